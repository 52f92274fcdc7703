"""`jitid verify`: say whether a token is valid, for scripts."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from jitid.authority.open import open_authority
from jitid.cli import hints
from jitid.cli.invocation import Invocation
from jitid.errors import InvalidCredentialError, UsageError
from jitid.redaction.token_format import bare
from jitid.system import read_input
from jitid.system.read_input import check_one_stdin, read
from jitid.values.record import Record
from jitid.values.text import quote
from jitid.values.times import format_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitid.capabilities.identity.operations import Verify


def verify(cli: Invocation, operation: Verify) -> None:
    """Perform `jitid verify`."""
    path, jwks, status_list = operation.file or "-", operation.jwks, operation.status_list
    source = _place(operation.published, jwks, status_list, operation.issuer)
    check_one_stdin(path, jwks, status_list)
    token = read_input.token(path, "the token")
    if source is not None:
        _offline(cli, token.reveal(), source, operation.audiences)
        return
    with hints.advised(token):
        credential = open_authority(cli.config()).perform(operation.replace(token=token))
    cli.detail(f"valid: {credential.jti} of {credential.agent} on {credential.task}")


class _PublishedPlace(Record):
    """The place of published keys and status lists: a folder, or two files."""

    folder: str | None
    jwks: str
    status_list: str
    issuer: str | None


def _place(
    published: str | None, jwks: str | None, status_list: str | None, issuer: str | None
) -> _PublishedPlace | None:
    """Return the place of published keys and status lists; None to verify with the ledger. Raises UsageError."""
    if published is not None:
        if jwks is not None or status_list is not None:
            raise UsageError("--published excludes --jwks and --status-list: the folder has both")
        return _PublishedPlace(published, "", "", issuer)
    if jwks is not None and status_list is not None:
        return _PublishedPlace(None, jwks, status_list, issuer)
    if jwks is not None or status_list is not None:
        raise UsageError(
            "--jwks and --status-list require each other: keys alone do not show revocations",
            "name both, or a folder of `jitid publish`: --published DIR",
        )
    if issuer is not None:
        raise UsageError("--issuer requires --published, or --jwks and --status-list")
    return None


def _offline(cli: Invocation, token: str, source: _PublishedPlace, audiences: tuple[str, ...]) -> None:
    from jitid.capabilities.trust import offline, publication
    from jitid.crypto import status_list as statuslist

    config = cli.config()
    issuer = source.issuer or config.text("issuer")
    former: Mapping[str, int] = {}
    if source.folder is not None:
        index = publication.read_index(
            _read(os.path.join(source.folder, publication.INDEX), publication.MAX_INDEX)
        )
        if issuer is not None and issuer not in (index.issuer, *index.former):
            raise UsageError(
                f"{quote(source.folder, 200)} is of the issuer {index.issuer}; expected {issuer}"
            )
        issuer, former = index.issuer, index.former
        keys_path = os.path.join(source.folder, publication.KEYS)
        list_path = os.path.join(source.folder, index.place_of(offline.named_list(token)))
        if not os.path.lexists(list_path):
            raise InvalidCredentialError(
                f"the token's status list is not in {quote(source.folder, 200)}: cannot check whether it was revoked",
                "to write status lists: jitid publish DIR",
            )
    else:
        keys_path, list_path = source.jwks, source.status_list
    if issuer is None:
        raise UsageError(
            "an issuer is required: the keys do not name it",
            "use --issuer ISS, or the setting `issuer`",
        )
    keys = offline.read_keys(_read(keys_path, offline.MAX_KEYS))
    list_token = bare(_read(list_path, statuslist.MAX_LIST_TOKEN).decode("ascii", "replace"))
    now = int(time.time())
    default_audiences = (issuer, *(name for name, accepted_until in former.items() if now < accepted_until))
    verified = offline.verify(
        token,
        keys,
        issuer,
        audiences or config.many("audience") or default_audiences,
        [list_token],
        now,
        former,
    )
    jti = verified.claims.get("jti")
    cli.detail(f"valid: {jti if type(jti) is str else 'a token without a jti'}")
    cli.note(
        f"valid by the status list of {format_time(verified.listing.issued_at)}; later revocations are not included"
    )


def _read(path: str, limit: int) -> bytes:
    data = read(path, limit, "a published file")
    if len(data) > limit:
        raise InvalidCredentialError(f"{quote(path, 200)} is longer than {limit} bytes")
    return data
