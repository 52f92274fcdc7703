"""`jitid helper aws`: a credential_process of AWS's command line and of its SDKs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.cli.invocation import Invocation
from jitid.cli.issue.obtain import hand_over, obtain
from jitid.issuers.aws_sts import credential_process
from jitid.system import output

if TYPE_CHECKING:
    from jitid.cli.helper import commands

_TTL = 1200
"""Seconds. With 15 minutes, botocore would request a new session at each signature (`RefreshableCredentials`)."""


def aws(cli: Invocation, args: commands.HelperAwsCommand) -> None:
    """Perform `jitid helper aws`."""
    cli.expect_own_form()
    usual_ttl = _TTL if cli.config().origin("ttl") == "default" else None
    issued = obtain(cli, args, args.template, usual_ttl=usual_ttl)
    secret = issued.credentials[0].secret
    hand_over(cli, issued, lambda: output.write(f"{credential_process(secret, issued.expires_at)}\n"))
