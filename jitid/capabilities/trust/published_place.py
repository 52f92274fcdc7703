"""Verification with published keys and status lists: a folder of `jitid publish`, or two files."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import Any

from jitid.capabilities.trust import offline, publication
from jitid.capabilities.trust.offline import Offline
from jitid.crypto import status_list as statuslist
from jitid.errors import InvalidCredentialError, UsageError
from jitid.redaction.token_format import bare
from jitid.system.read_input import read
from jitid.values import strict_json
from jitid.values.record import Record
from jitid.values.text import quote

_COPY = f"`jitid publish DIR` writes it; from there, copy {publication.INDEX}, {publication.KEYS} and status/"


class PublishedPlace(Record):
    """The place of published keys and status lists: a folder, or two files."""

    folder: str | None
    jwks: str | Mapping[str, Any]
    """A file, or the document itself."""
    status_list: str
    issuer: str | None


def place_of(
    published: str | None, jwks: str | Mapping[str, Any] | None, status_list: str | None, issuer: str | None
) -> PublishedPlace | None:
    """Return the place of published keys and status lists; None to verify with the ledger. Raises UsageError."""
    if published is not None:
        if jwks is not None or status_list is not None:
            raise UsageError("--published excludes --jwks and --status-list: the folder has both")
        if published.lower().startswith(("https://", "http://")):
            raise UsageError(f"--published expects a folder, not the address {quote(published, 200)}", _COPY)
        return PublishedPlace(published, "", "", issuer)
    if jwks is not None and status_list is not None:
        return PublishedPlace(None, jwks, status_list, issuer)
    if jwks is not None or status_list is not None:
        raise UsageError(
            "--jwks and --status-list require each other: keys alone do not show revocations",
            "name both, or a folder of `jitid publish`: --published DIR",
        )
    if issuer is not None:
        raise UsageError("--issuer requires --published, or --jwks and --status-list")
    return None


def verify_published(
    token: str, source: PublishedPlace, audiences: Collection[str], usual_issuer: str | None, now: int
) -> Offline:
    """Return the claims of a token that is valid by published keys and lists, for one of `audiences`.

    Without audiences it must be for the issuer. `usual_issuer` is the issuer if the source names none.

    Raises:
        InvalidCredentialError: it is not valid, or this is unknown.
        UsageError: the issuer is unknown, or a file cannot be read.

    """
    issuer = source.issuer or usual_issuer
    former: Mapping[str, int] = {}
    keys_path = source.jwks
    list_path = source.status_list
    if source.folder is not None:
        try:
            index_data = _read(os.path.join(source.folder, publication.INDEX), publication.MAX_INDEX)
        except UsageError as error:
            error.hint = error.hint or _COPY
            raise
        index = publication.read_index(index_data)
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
                "the issuer writes it with: jitid publish DIR; a copy of that folder may lack it",
            )
    if issuer is None:
        raise UsageError(
            "an issuer is required: the keys do not name it",
            "use --issuer ISS, or the setting `issuer`",
        )
    keys_document = (
        _read(keys_path, offline.MAX_KEYS)
        if isinstance(keys_path, str)
        else strict_json.dumps(dict(keys_path)).encode()
    )
    keys = offline.read_keys(keys_document)
    list_token = bare(_read(list_path, statuslist.MAX_LIST_TOKEN).decode("ascii", "replace"))
    default_audiences = (issuer, *(name for name, accepted_until in former.items() if now < accepted_until))
    return offline.verify(token, keys, issuer, audiences or default_audiences, [list_token], now, former)


def _read(path: str, limit: int) -> bytes:
    data = read(path, limit, "a published file")
    if len(data) > limit:
        raise InvalidCredentialError(f"{quote(path, 200)} is longer than {limit} bytes")
    return data
