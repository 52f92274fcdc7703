"""`jitid verify`: say whether a token is valid, for scripts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from jitid.authority.open import open_authority
from jitid.cli import hints
from jitid.cli.invocation import Invocation
from jitid.system import read_input
from jitid.system.read_input import check_one_stdin
from jitid.values.times import format_time

if TYPE_CHECKING:
    from jitid.capabilities.identity.operations import Verify
    from jitid.capabilities.trust.published_place import PublishedPlace


def verify(cli: Invocation, operation: Verify) -> None:
    """Perform `jitid verify`."""
    path, jwks, status_list = operation.file or "-", operation.jwks, operation.status_list
    source = None
    if any(stated is not None for stated in (operation.published, jwks, status_list, operation.issuer)):
        from jitid.capabilities.trust.published_place import place_of

        source = place_of(operation.published, jwks, status_list, operation.issuer)
    check_one_stdin(path, jwks, status_list)
    token = read_input.token(path, "the token")
    if source is not None:
        with hints.advised(token):
            _offline(cli, token.reveal(), source, operation.audiences)
        return
    with hints.advised(token):
        credential = open_authority(cli.config()).perform(operation.replace(token=token))
    cli.detail(f"valid: {credential.jti} of {credential.agent} on {credential.task}")


def _offline(cli: Invocation, token: str, source: PublishedPlace, audiences: tuple[str, ...]) -> None:
    from jitid.capabilities.trust.published_place import verify_published

    config = cli.config()
    verified = verify_published(
        token, source, audiences or config.many("audience"), config.text("issuer"), int(time.time())
    )
    jti = verified.claims.get("jti")
    cli.detail(f"valid: {jti if type(jti) is str else 'a token without a jti'}")
    cli.note(
        f"valid by the status list of {format_time(verified.listing.issued_at)}; later revocations are not included"
    )
