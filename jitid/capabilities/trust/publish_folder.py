"""Publish into a folder that any web server or bucket can serve; the folder is consistent at every moment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

from jitid.capabilities.trust import publication, status_lists
from jitid.capabilities.trust.operations import MakePublication
from jitid.crypto import jws, openssh, status_list
from jitid.errors import ConfigurationError, IntegrityError, InvalidCredentialError, UsageError
from jitid.system.public_folder import PublicFolder
from jitid.values.record import Record
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.capabilities.trust.publication import Document
    from jitid.operation.base import Authority

_MOST = status_list.MAX_LIST_TOKEN
_HEAD = 32_768
"""The number of bytes at the beginning of a list that contain its header."""


class Put(Record):
    """The outcome for one file."""

    name: str
    state: str
    """`written`, `unchanged` or `removed`."""
    bytes: int


class PublishResult(Record):
    """The outcome of publishing."""

    files: list[Put]
    notes: list[str]
    """Notes for the operator on verifiers that cannot use the publication."""


def publish(authority: Authority, path: str, patience: float, *, dry: bool = False) -> PublishResult:
    """Bring the folder `path` up to date with the ledger.

    An interruption leaves the folder consistent: each file is complete, and no status list is signed by a key that is
    not published.

    Args:
        authority: the authority of the ledger.
        path: the folder; it is created if it does not exist.
        patience: how many seconds to wait for another publisher.
        dry: change nothing.

    Raises:
        UsageError: the folder belongs to another ledger, or contains files of another program.
        BusyError: another process publishes there.
        OutputError: a file could not be written.

    """
    files: dict[str, Put] = {}
    with PublicFolder(path, patience, dry=dry) as folder:
        documents: Iterator[Document] = authority.perform(MakePublication(kids=_kids(folder)))
        index = next(documents, None)
        if index is None or index.name != publication.INDEX:
            raise _strange()
        _must_be_own_folder(folder, index, path)
        for document in chain([index], documents):
            put = _put(folder, document)
            # The documents may contain the keys twice.
            if document.name not in files or put.state == "written":
                files[document.name] = put
        # No live token names lists from before the oldest one. Without published lists, jitid cannot know that.
        oldest = min((_number(name) for name in files if _is_list(name)), default=0)
        for name in _lists(folder):
            if _number(name) < oldest:
                folder.remove(name)
                files[name] = Put(name, "removed", 0)
    return PublishResult(list(files.values()), _notes(publication.read_index(index.data)))


def _notes(index: publication.Index) -> list[str]:
    issuer, url = index.issuer, index.url
    notes = []
    if not publication.is_address(issuer):
        notes.append(
            f"the issuer {issuer} is not an address: verifiers cannot discover these keys by it, and AWS and "
            "Kubernetes cannot federate; to change it: jitid ledger issuer set URL"
        )
    elif not issuer.startswith("https://"):
        notes.append(f"the issuer {issuer} is not an https address: federations accept only https")
    elif url is not None and url != issuer:
        notes.append(f"{publication.DISCOVERY[0]} must be served at {issuer}/{publication.DISCOVERY[0]}")
    if url is None:
        notes.append(
            "no status list is published: offline verifiers do not see revocations; to publish lists, set publish_url "
            "to the address of this folder; later tokens then name their list"
        )
    return notes


def _is_list(name: str) -> bool:
    return os.path.dirname(name) == status_lists.FOLDER


def _lists(folder: PublicFolder) -> list[str]:
    names = (f"{status_lists.FOLDER}/{name}" for name in folder.names(status_lists.FOLDER))
    return [name for name in names if _number(name) >= 0]


def _number(name: str) -> int:
    return publication.number_of(os.path.basename(name))


def _kids(folder: PublicFolder) -> tuple[str, ...]:
    """Return the ids of the keys that the status lists in the folder name."""
    kids = set()
    for name in _lists(folder):
        head = (folder.read(name, _HEAD) or b"").partition(b".")[0]
        try:
            _, members = jws.decode_object(head.decode("ascii", "replace"), "header")
        except InvalidCredentialError:
            continue
        kid = members.get("kid")
        if type(kid) is str and 0 < len(kid) <= jws.MAX_KID:
            kids.add(kid)
    return tuple(sorted(kids))


def _must_be_own_folder(folder: PublicFolder, index: Document, path: str) -> None:
    """Refuse a folder with files of another ledger, or of unknown origin. Raises UsageError."""
    hint = "name a new folder, or a folder that only this ledger uses"
    index_bytes = folder.read(publication.INDEX, publication.MAX_INDEX)
    if index_bytes is None:
        foreign = [name for name in (publication.KEYS, *publication.DISCOVERY) if folder.has(name)]
        if foreign or folder.has(publication.INDEX):
            raise UsageError(
                f"{quote(path, 200)} has a file {(foreign or [publication.INDEX])[0]} that jitid did not write; "
                "nothing was changed",
                hint,
            )
        return
    try:
        existing = publication.read_index(index_bytes)
    except ConfigurationError as error:
        raise UsageError(
            f"cannot verify that {quote(path, 200)} is this ledger's: {error.message}", hint
        ) from None
    if existing.ledger != publication.read_index(index.data).ledger:
        raise UsageError(f"another ledger publishes into {quote(path, 200)}; nothing was changed", hint)


def _strange() -> IntegrityError:
    return IntegrityError(
        "the authority sent unknown file names; the files in the folder are complete",
        "both sides must have similar versions: jitid --version",
    )


def _put(folder: PublicFolder, document: Document) -> Put:
    # A remote authority may have chosen the name, and must not choose where to write.
    if not publication.is_name(document.name):
        raise _strange()
    current = folder.read(document.name, _MOST + 1)
    if current is not None and (current == document.data or _is_as_good(current, document)):
        return Put(document.name, "unchanged", len(current))
    folder.write(document.name, document.data)
    return Put(document.name, "written", len(document.data))


def _is_as_good(current: bytes, document: Document) -> bool:
    """Return whether a file is equivalent to a newer one, so that verifiers need not fetch that yet."""
    if document.name == publication.SSH_REVOKED:
        return openssh.same_krl(current, document.data)
    if document.name.startswith(f"{publication.X509}/") and "crl" in document.name:
        from jitid.crypto.x509 import as_good

        return as_good(current, document.data)
    if not _is_list(document.name):
        return False
    try:
        old, new = (jws.parse(data, types=status_list.TYPES, most=_MOST) for data in (current, document.data))
    except InvalidCredentialError:
        return False
    old_claims, new_claims = dict(old.claims), dict(new.claims)
    old_iat, new_iat = old_claims.pop("iat", None), new_claims.pop("iat")
    old_exp, new_exp = old_claims.pop("exp", None), new_claims.pop("exp")
    if old.kid != new.kid or old_claims != new_claims or type(old_iat) is not int or type(old_exp) is not int:
        return False
    return bool(old_exp - old_iat == new_exp - new_iat and 0 <= new_iat - old_iat < new_claims["ttl"])
