"""`jitid verify`: say whether a token is valid, for scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.authority.operations import Verify
from jitid.commands import reading
from jitid.commands.globals import Globals
from jitid.environment import open_authority
from jitid.name import check_audience

if TYPE_CHECKING:
    from jitid.commands import options


def verify(
    given: Globals, file: options.TokenArgument = None, audience: options.ExpectedAudiences = None
) -> None:
    """Say whether a token is valid: silent and 0 if it is, 8 with the reason on standard error if not.

    Signature, issuer, type, audience, expiry, the ledger's state of it and of everything it descends from
    are checked. The token is read from FILE or from standard input.
    """
    token = reading.token(file or "-", "the token")
    audiences = tuple(check_audience(text) for text in audience or ())
    credential = open_authority(given.config()).perform(Verify(token=token, audiences=audiences))
    given.detail(f"valid: {credential.jti} of {credential.agent} on {credential.task}")
