"""`jitid helper aws`: a credential_process of AWS's command line and of its SDKs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.cli.invocation import Invocation
from jitid.cli.issue.obtain import hand_over, obtain
from jitid.issuers.aws_sts import credential_process
from jitid.model.credential import Kind
from jitid.system import output

if TYPE_CHECKING:
    from jitid.cli import options

_TTL = "20m"
"""With 15 minutes, botocore would request a new session at each signature (`RefreshableCredentials`)."""


def aws(
    cli: Invocation,
    template: options.Template = None,
    task: options.Task = None,
    delegator: options.Delegator = None,
    agent: options.Agent = None,
    scope: options.Scopes = None,
    ttl: options.Ttl = None,
    parent_file: options.ParentFile = None,
) -> None:
    """Give AWS's command line and SDKs a session of a role, as their credential_process.

    A profile has the line `credential_process = jitid helper aws --template deploy`, which is all that is needed within
    a `jitid run`; elsewhere the line needs --task and --delegator too. What the session may do follows from the scopes
    and the template; jitid-aws(7) tells how.

    A session lives 20 minutes unless --ttl or a setting says otherwise: AWS's programs ask for the next one from 15
    minutes before its end on. With --ttl 1h a program that makes many calls starts jitid every three quarters of an
    hour.
    """
    cli.expect_own_form()
    if ttl is None and cli.config().origin("ttl") == "default":
        ttl = _TTL
    issued = obtain(
        cli,
        Kind.AWS_STS if template is None else f"{Kind.AWS_STS}:{template}",
        scope=scope or (),
        ttl=ttl,
        task=task,
        delegator=delegator,
        agent=agent,
        parent_file=parent_file,
    )
    secret = issued.credentials[0].secret
    hand_over(cli, issued, lambda: output.write(f"{credential_process(secret, issued.expires_at)}\n"))
