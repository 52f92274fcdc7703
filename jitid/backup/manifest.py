"""The manifest of a backup: the digests of its files, the end of its audit log, and the signature of the ledger."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256

from jitid import __version__
from jitid.backup import archive
from jitid.capabilities.audit import audit_log
from jitid.crypto import jws
from jitid.errors import IntegrityError, InvalidCredentialError, NewerSchemaError
from jitid.ledger.sqlite.schema import SQLITE_STEPS
from jitid.model.event import Head
from jitid.model.ledger_rows import Names
from jitid.system.files import write_private
from jitid.values import strict_json
from jitid.values.record import Record
from jitid.values.text import quote
from jitid.values.times import format_time


class Manifest(Record):
    """The manifest of a backup."""

    ledger: str
    """The UUID of the ledger in it."""
    events: int
    """The number of the last link of the audit chain in it."""
    head: str
    """The hash of that link, as hex."""
    at: int
    """The time of the backup in seconds since the epoch."""
    schema: int
    """The schema version of the ledger in it."""
    keys: tuple[str, ...]
    """The ids of the private keys that are in it."""
    files: Mapping[str, tuple[int, str]]
    """Size and SHA-256, as hex, of each member by its name."""
    verified: bool
    """Whether it was verified when it was made: the database, the audit chain, and the rows against the chain."""
    digest: str
    """The SHA-256 digest of its stored form, as hex; the signed head and the audit log name the backup by it."""


def write_manifest(
    names: Names, head: Head, made_at: int, keys: tuple[str, ...], aside: str, *, verified: bool
) -> Manifest:
    """Write the manifest of the backup in the folder `aside`, and return it. Raises OSError."""
    files = dict(_digests(aside))
    stored = strict_json.dumps(
        {
            "schema": SCHEMA,
            "jitid": __version__,
            "ledger": names.uuid,
            "issuer": names.issuer,
            "trust_domain": names.trust_domain,
            "events": head.seq,
            "head": head.hash.hex(),
            "made_at": format_time(made_at),
            "at": made_at,
            "ledger_schema": len(SQLITE_STEPS),
            "verified": verified,
            "keys": list(keys),
            "files": {name: list(entry) for name, entry in files.items()},
        }
    ).encode()
    write_private(os.path.join(aside, archive.MANIFEST), stored)
    return read_manifest(stored)


def read_manifest(data: bytes) -> Manifest:
    """Return the content of a manifest; the caller must still check its signature.

    Raises:
        IntegrityError: it is not a manifest.
        NewerSchemaError: a newer jitid made it.

    """
    try:
        document = strict_json.loads(data, "the manifest")
        schema = document["schema"]
        if schema != SCHEMA:
            if isinstance(schema, str) and schema.startswith("jitid.ledger-backup/"):
                raise NewerSchemaError(
                    f"the backup is of the sort {quote(schema)}, and this jitid knows {SCHEMA}",
                    "upgrade jitid on this machine",
                )
            raise ValueError(schema)
        files = {str(name): (int(size), str(digest)) for name, (size, digest) in document["files"].items()}
        manifest = Manifest(
            str(document["ledger"]),
            int(document["events"]),
            str(document["head"]),
            int(document["at"]),
            int(document["ledger_schema"]),
            tuple(map(str, document["keys"])),
            files,
            document.get("verified") is True,
            sha256(data).hexdigest(),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise IntegrityError("the manifest of the backup does not tell what a manifest tells") from error
    if manifest.schema > len(SQLITE_STEPS):
        raise NewerSchemaError(
            f"the ledger in the backup has schema {manifest.schema}, and this jitid knows {len(SQLITE_STEPS)}",
            "upgrade jitid on this machine",
        )
    return manifest


def must_be_sealed(manifest: Manifest, head: str) -> None:
    """Check that a signed head contains the digest of the manifest; `audit_log.read_head` checks the signature.

    Raises IntegrityError.
    """
    try:
        claims = jws.parse(head, types=frozenset({audit_log.HEAD_TYPE})).claims
    except InvalidCredentialError as error:
        raise IntegrityError(f"the signed head of the backup cannot be read: {error.message}") from error
    if claims.get("backup") != manifest.digest:
        raise IntegrityError("the manifest of the backup is not the one that was signed: it was changed")


SCHEMA = "jitid.ledger-backup/1"
_PIECE = 1 << 20


def _digests(aside: str) -> Iterator[tuple[str, tuple[int, str]]]:
    for name in archive.names_in(aside)[:-2]:
        with open(os.path.join(aside, name), "rb") as file:
            yield name, hashed(file)


def hashed(file: archive.MemberSource, write: Callable[[bytes], object] | None = None) -> tuple[int, str]:
    """Return the size and the SHA-256 of a member, and pass each piece of it to `write`."""
    digest, size = sha256(), 0
    while piece := file.read(_PIECE):
        digest.update(piece)
        size += len(piece)
        if write is not None:
            write(piece)
    return size, digest.hexdigest()
