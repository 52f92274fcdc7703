"""`jitid helper aws`: a credential_process of AWS's command line and of its SDKs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.cli.invocation import Invocation
from jitid.cli.issue.obtain import hand_over, obtain
from jitid.issuers.aws_sts import credential_process
from jitid.model.credential import Kind
from jitid.system import output

if TYPE_CHECKING:
    from jitid.cli.helper import commands

_TTL = 1200
"""Seconds. With 15 minutes, botocore would request a new session at each signature (`RefreshableCredentials`)."""


def aws(cli: Invocation, args: commands.HelperAwsCommand) -> None:
    """Perform `jitid helper aws`."""
    template = args.template
    ttl = args.ttl
    cli.expect_own_form()
    if ttl is None and cli.config().origin("ttl") == "default":
        ttl = _TTL
    issued = obtain(
        cli,
        Kind.AWS_STS if template is None else f"{Kind.AWS_STS}:{template}",
        scope=args.scope,
        ttl=ttl,
        task=args.task,
        delegator=args.delegator,
        agent=args.agent,
        parent_file=args.parent_file,
    )
    secret = issued.credentials[0].secret
    hand_over(cli, issued, lambda: output.write(f"{credential_process(secret, issued.expires_at)}\n"))
