"""The storage of a backup: a private folder, or one tar file with the same members; and its signed manifest.

The manifest has the digests of the files and the end of the audit log.
"""

from __future__ import annotations

import itertools
import os
import re
import stat
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from typing import IO, Protocol, cast

from jitid import __version__
from jitid.capabilities.audit import audit_log
from jitid.crypto import jws
from jitid.errors import IntegrityError, InvalidCredentialError, NewerSchemaError, StorageError, UsageError
from jitid.keys.keyring import MAX_KEY
from jitid.ledger.sqlite.schema import SQLITE_STEPS
from jitid.model.event import Head
from jitid.model.ledger_rows import Names
from jitid.system.files import check_private, write_private
from jitid.values import strict_json
from jitid.values.record import Record
from jitid.values.text import quote
from jitid.values.times import format_time

DATABASE = "ledger.sqlite"
"""Not the name in a ledger's folder, so that nothing opens a backup as a ledger and writes to it."""
KEYS = "keys"
POLICY = "policy"
MANIFEST = "manifest.json"
HEAD = "audit.head"
"""The last member: it signs the manifest, which lists the other members."""

MAX_MANIFEST = 1 << 20
"""The limit in bytes, enough for some thousand members."""
MAX_HEAD = 16_384
"""The limit in bytes, the same as for any token."""
_MAX_POLICY = 64 << 20
_MOST = 2_000
"""The maximum number of members of a backup."""
_LONGEST = 90
"""The maximum length of a name in bytes: with the folder it fits a tar header (POSIX.1-1988)."""

_PIECE = 1 << 20
SCHEMA = "jitid.ledger-backup/1"
_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,89}")


class MemberSource(Protocol):
    """The source of a member's bytes."""

    def read(self, size: int, /) -> bytes:
        """Return `size` bytes, or the remaining ones if they are fewer."""


class Sink(Protocol):
    """The destination of a tar file."""

    def write(self, data: bytes, /) -> object:
        """Write all of `data`."""


def largest(name: str) -> int | None:
    """Return the maximum size in bytes of a member with that name; None for no limit.

    Raises IntegrityError if a backup cannot have a member with that name.
    """
    if name == DATABASE:
        return None
    if name in (MANIFEST, HEAD):
        return MAX_MANIFEST if name == MANIFEST else MAX_HEAD
    folder, _, base_name = name.partition("/")
    if folder == KEYS and _KEY.fullmatch(base_name):
        return MAX_KEY
    if folder == POLICY and is_name(base_name):
        return _MAX_POLICY
    raise IntegrityError(f"the backup has an unknown member {quote(name)}")


def is_name(name: str) -> bool:
    """Return whether a backup can have a policy file of that name: one printable part of a path."""
    return (
        name not in ("", ".", "..")
        and "/" not in name
        and name.isprintable()
        and len(name.encode("utf-8", "surrogatepass")) <= _LONGEST
    )


def names_in(folder: str) -> list[str]:
    """Return the names of a backup's members in the order of the archive. Raises OSError."""
    names = [DATABASE]
    for part in (KEYS, POLICY):
        path = os.path.join(folder, part)
        if os.path.lexists(path):
            names += [f"{part}/{name}" for name in sorted(os.listdir(path))]
    return [*names, MANIFEST, HEAD]


def pack(folder: str, sink: Sink, modified_at: int) -> None:
    """Write the members of a folder as one tar file, with `modified_at` as the time of each member. Raises OSError."""
    # The GNU format stores sizes of more than 8 GiB. No member has a name that needs an extra header.
    with tarfile.open(
        fileobj=cast("IO[bytes]", sink), mode="w|", format=tarfile.GNU_FORMAT, bufsize=_PIECE
    ) as tar:
        for name in names_in(folder):
            with open(os.path.join(folder, name), "rb") as file:
                member = tarfile.TarInfo(name)
                member.size = os.fstat(file.fileno()).st_size
                member.mode, member.mtime = 0o600, modified_at
                tar.addfile(member, file)


def members(path: str, standard_input: IO[bytes] | None = None) -> Iterator[tuple[str, int, MemberSource]]:
    """Yield name, size and content of each member of a backup: a folder, a tar file, or a tar stream.

    `standard_input` is the tar stream; without it, the backup is at `path`.

    Raises:
        IntegrityError: other users have access to it, or it is a link, cut short, or not a valid backup.
        StorageError: it cannot be read.
        UsageError: there is no backup at `path`.

    """
    if standard_input is not None:
        yield from _unpacked(standard_input, "standard input")
        return
    try:
        status = check_private(path, "the backup")
        if stat.S_ISDIR(status.st_mode):
            yield from _folder(path)
        elif stat.S_ISREG(status.st_mode):
            with _opened(path) as file:
                yield from _unpacked(file, quote(path))
        else:
            raise UsageError(f"{quote(path)} is neither a file nor a folder")
    except FileNotFoundError as error:
        raise UsageError(f"there is no backup at {quote(path)}") from error
    except NotADirectoryError as error:
        raise UsageError(
            f"there is no backup at {quote(path)}: a part of the path is not a folder"
        ) from error
    except OSError as error:
        raise StorageError(f"cannot read {quote(path)}: {(error.strerror or 'error').lower()}") from error


def _folder(folder: str) -> Iterator[tuple[str, int, MemberSource]]:
    if not os.path.lexists(os.path.join(folder, MANIFEST)):
        raise IntegrityError(f"{quote(folder)} is not a complete backup: it has no {MANIFEST}")
    for part in (KEYS, POLICY):
        if os.path.lexists(os.path.join(folder, part)):
            check_private(os.path.join(folder, part), "the backup's folder")
    for count, name in enumerate(names_in(folder)):
        if count == _MOST:
            raise IntegrityError(f"the backup has more than {_MOST} members")
        path = os.path.join(folder, name)
        try:
            check_private(path, "the backup's part")
            with _opened(path) as file:
                size = os.fstat(file.fileno()).st_size
                yield name, _checked(name, size), file
        except FileNotFoundError as error:
            raise IntegrityError(f"the backup lacks {name}") from error


@contextmanager
def _opened(path: str) -> Iterator[IO[bytes]]:
    # Without O_NONBLOCK, opening a named pipe there would wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise IntegrityError(f"{quote(path)} is not a regular file")
        yield file


class _Content:
    """The content of a member of a tar file, which is read sequentially."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._left = size
        self._padding = -size % tarfile.BLOCKSIZE

    def read(self, size: int, /) -> bytes:
        """Return this number of bytes, or the remaining ones. Raises ReadError if the file ends before them."""
        expected = min(size, self._left)
        data = _read(self._file, expected)
        if len(data) < expected:
            raise tarfile.ReadError("unexpected end of data")
        self._left -= expected
        return data

    def skip(self) -> None:
        """Read to the end of the member's last tar block."""
        self._left, self._padding = self._left + self._padding, 0
        while self._left:
            self.read(_PIECE)


def _read(file: IO[bytes], size: int) -> bytes:
    """Return this number of bytes, or fewer at the end of the file: a pipe may return less per read."""
    data = bytearray()
    while len(data) < size and (piece := file.read(size - len(data))):
        data += piece
    return bytes(data)


def _unpacked(file: IO[bytes], label: str) -> Iterator[tuple[str, int, MemberSource]]:
    # `tarfile.TarFile` would read headers of other types into memory, with any size that they state.
    try:
        for count in itertools.count():
            block = _read(file, tarfile.BLOCKSIZE)
            if (count and not block) or block == bytes(tarfile.BLOCKSIZE):
                return
            member = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.size < 0:
                raise IntegrityError("the backup has a member that is not a regular file")
            if count == _MOST:
                raise IntegrityError(f"the backup has more than {_MOST} members")
            content = _Content(file, member.size)
            yield member.name, _checked(member.name, member.size), content
            content.skip()
    except tarfile.TarError as error:
        raise IntegrityError(f"{label} is not a backup, or is truncated") from error


def _checked(name: str, size: int) -> int:
    max_size = largest(name)
    if max_size is not None and size > max_size:
        raise IntegrityError(
            f"the member {name} of the backup has {size} bytes, more than the maximum of {max_size}"
        )
    return size


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
    write_private(os.path.join(aside, MANIFEST), stored)
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
                    f"the backup has the schema {quote(schema)}, but this jitid knows only {SCHEMA}",
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
        raise IntegrityError("the manifest of the backup has missing or invalid members") from error
    if manifest.schema > len(SQLITE_STEPS):
        raise NewerSchemaError(
            f"the ledger in the backup has schema {manifest.schema}, "
            f"but this jitid knows only up to {len(SQLITE_STEPS)}",
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
        raise IntegrityError(f"the signed head of the backup is damaged: {error.message}") from error
    if claims.get("backup") != manifest.digest:
        raise IntegrityError("the manifest of the backup was changed: it does not match its signature")


def _digests(aside: str) -> Iterator[tuple[str, tuple[int, str]]]:
    for name in names_in(aside)[:-2]:
        with open(os.path.join(aside, name), "rb") as file:
            yield name, hashed(file)


def hashed(file: MemberSource, write: Callable[[bytes], object] | None = None) -> tuple[int, str]:
    """Return the size and the SHA-256 of a member, and pass each piece of it to `write`."""
    digest, size = sha256(), 0
    while piece := file.read(_PIECE):
        digest.update(piece)
        size += len(piece)
        if write is not None:
            write(piece)
    return size, digest.hexdigest()
