"""A backup of a ledger: one consistent state of it with its policy, and a manifest of that which the ledger signed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from typing import NamedTuple

from jitid import __version__
from jitid.backup import archive
from jitid.capabilities.audit import audit_log
from jitid.capabilities.integrity import verify_log
from jitid.capabilities.trust.rotation import still_tells
from jitid.capabilities.trust.signing import current_key_of
from jitid.config.policy_files import LARGEST
from jitid.crypto import jws
from jitid.errors import (
    IntegrityError,
    InvalidCredentialError,
    JitidError,
    NewerSchemaError,
    OutputError,
    StorageError,
    UsageError,
)
from jitid.keys.keyring import Keyring, Signer
from jitid.ledger.signing_keys import KeyStore
from jitid.ledger.sqlite import folder
from jitid.ledger.sqlite import ledger as sqlite_ledger
from jitid.ledger.sqlite.duplicate import duplicate
from jitid.ledger.sqlite.schema import SQLITE_STEPS
from jitid.ledger.view import View
from jitid.model.event import Head
from jitid.model.ledger_rows import Names, SigningKey
from jitid.redaction.token_format import bare
from jitid.system.files import sync_folder, write_private
from jitid.values import strict_json
from jitid.values.text import quote
from jitid.values.times import format_time

SCHEMA = "jitid.ledger-backup/1"

_PIECE = 1 << 20


class BackupProgress(NamedTuple):
    """Who is told how far it has come."""

    pages: Callable[[int, int], None]
    """How many pages have been copied, and how many there are."""
    stage: Callable[[str], None]
    """What is begun."""


class Manifest(NamedTuple):
    """What a backup says of itself."""

    names: Names
    head: Head
    """The last link of the audit chain in it."""
    made_at: int
    """Seconds since the epoch."""
    schema: int
    """Of the ledger in it."""
    verified: bool
    """Whether it was examined when it was made: the database, the audit chain, and the rows against it."""
    keys: tuple[str, ...]
    """The ids of the private keys that are in it."""
    files: Mapping[str, tuple[int, str]]
    """Size and SHA-256, as hex, of each member by its name."""

    @property
    def text(self) -> str:
        """The manifest as it is stored: canonical JSON."""
        return strict_json.dumps(
            {
                "schema": SCHEMA,
                "jitid": __version__,
                "ledger": self.names.uuid,
                "issuer": self.names.issuer,
                "trust_domain": self.names.trust_domain,
                "events": self.head.seq,
                "head": self.head.hash.hex(),
                "made_at": format_time(self.made_at),
                "at": self.made_at,
                "ledger_schema": self.schema,
                "verified": self.verified,
                "keys": list(self.keys),
                "files": {name: list(told) for name, told in self.files.items()},
            }
        )


class Told(NamedTuple):
    """What the manifest of a backup tells that is not read from the ledger in it."""

    ledger: str
    events: int
    head: str
    at: int
    schema: int
    keys: tuple[str, ...]
    files: Mapping[str, tuple[int, str]]
    digest: str
    """SHA-256 of the manifest itself, as hex: by it the backup is named in the audit log."""


def read_manifest(data: bytes) -> Told:
    """Return what a manifest tells, which its signature still has to vouch for.

    Raises:
        IntegrityError: it is none.
        NewerSchemaError: a newer jitid has made it.

    """
    try:
        found = strict_json.loads(data, "the manifest")
        schema = found["schema"]
        if schema != SCHEMA:
            if isinstance(schema, str) and schema.startswith("jitid.ledger-backup/"):
                raise NewerSchemaError(
                    f"the backup is of the sort {quote(schema)}, and this jitid knows {SCHEMA}",
                    "upgrade jitid on this machine",
                )
            raise ValueError(schema)
        files = {str(name): (int(size), str(digest)) for name, (size, digest) in found["files"].items()}
        told = Told(
            str(found["ledger"]),
            int(found["events"]),
            str(found["head"]),
            int(found["at"]),
            int(found["ledger_schema"]),
            tuple(map(str, found["keys"])),
            files,
            sha256(data).hexdigest(),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise IntegrityError("the manifest of the backup does not tell what a manifest tells") from error
    if told.schema > len(SQLITE_STEPS):
        raise NewerSchemaError(
            f"the ledger in the backup has schema {told.schema}, and this jitid knows {len(SQLITE_STEPS)}",
            "upgrade jitid on this machine",
        )
    return told


def must_be_sealed(told: Told, head: str) -> None:
    """Check that a signed head vouches for a manifest; whose signature it is, `audit_log.read_head` tells.

    Raises IntegrityError.
    """
    try:
        claims = jws.parse(head, types=frozenset({audit_log.HEAD_TYPE})).claims
    except InvalidCredentialError as error:
        raise IntegrityError(f"the signed head of the backup cannot be read: {error.message}") from error
    if claims.get("backup") != told.digest:
        raise IntegrityError("the manifest of the backup is not the one that was signed: it was changed")


def take(
    path: str,
    aside: str,
    keyring: Keyring,
    *,
    keys: bool,
    verify: bool,
    by: str,
    timeout: float,
    progress: BackupProgress,
) -> Manifest:
    """Put a backup of the ledger in the folder `path` into the empty folder `aside`, all of it durable.

    Nobody waits for that, and nothing of the ledger is changed.

    Args:
        path: the ledger's folder, which was looked at by `folder.exists`.
        aside: where the members go.
        keyring: the ledger's private keys, one of which signs.
        keys: whether the private keys that are still needed go along.
        verify: whether the copy is examined: its database, its audit chain, and its rows against that.
        by: who acts.
        timeout: how many seconds to wait for others.
        progress: who is told how far it has come.

    Raises:
        IntegrityError: the copy does not hold, or a key is missing.
        OutputError: it cannot be written.
        StorageError: the ledger is out of reach.

    """
    database = os.path.join(aside, archive.DATABASE)
    # Not the one by which others see that this folder is in use.
    lock = os.path.join(aside, "copying")
    # Before the ledger, which only grows.
    kept = _kept_head(path)
    duplicate(
        os.path.join(path, folder.DATABASE),
        os.path.join(path, folder.LOCK),
        database,
        timeout=timeout,
        progress=progress.pages,
    )
    with _written(aside):
        _give_policy(os.path.join(path, folder.POLICY), os.path.join(aside, archive.POLICY))
        with _copy(database, lock, by, timeout) as ledger:
            if verify:
                progress.stage("verifying")
                must_hold(ledger)
            names = ledger.names
            # A copy answers no verifier: with a clock that is behind, it is as it was at its mark.
            with ledger.read(by_mark=True) as snapshot:
                head, now = snapshot.head(), snapshot.now
                if verify:
                    verify_log.verify(snapshot, names, _expected(kept, names, snapshot))
                signer = _signer(snapshot, keyring)
                given = _give_keys(snapshot, keyring, aside) if keys else ()
        progress.stage("signing")
        manifest = Manifest(names, head, now, len(SQLITE_STEPS), verify, given, dict(_digests(aside)))
        text = manifest.text.encode()
        write_private(os.path.join(aside, archive.MANIFEST), text)
        seal = audit_log.sign_head(head, names, signer, now, {"backup": sha256(text).hexdigest()})
        write_private(os.path.join(aside, archive.HEAD), f"{seal}\n".encode())
        for part in (archive.POLICY, archive.KEYS, "."):
            if os.path.isdir(os.path.join(aside, part)):
                sync_folder(os.path.join(aside, part))
    return manifest


@contextmanager
def _written(aside: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{quote(aside, 200)} could not be written: {(error.strerror or 'error').lower()}"
        ) from error


@contextmanager
def _copy(database: str, lock: str, by: str, timeout: float) -> Iterator[sqlite_ledger.SqliteLedger]:
    """Open the copy, whose schema is brought up to date if it is older: the ledger itself is left as it is."""
    os.close(os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    ledger = sqlite_ledger.connect(database, lock, by=by, timeout=timeout)
    try:
        yield ledger
    finally:
        # The last connection to go writes everything into the database itself, and takes the log away.
        ledger.close()
        os.unlink(lock)
    with open(database, "rb") as file:
        os.fsync(file.fileno())


def must_hold(ledger: sqlite_ledger.SqliteLedger) -> None:
    """Raise IntegrityError for a database that is damaged but for its indexes, or not as its schema has it."""
    condition = ledger.condition()
    # Whoever restores it builds the indexes anew.
    damage = condition.damage(indexes=False) or condition.schema().differences
    if damage:
        raise IntegrityError(f"the ledger is damaged: {damage[0]}", "see: jitid doctor")


def _kept_head(path: str) -> str | None:
    """Return the signed head up to which a sweep found the ledger whole, if there is one that can be read."""
    from jitid.system.files import read_regular

    try:
        data = read_regular(os.path.join(path, folder.VERIFIED), archive.MAX_HEAD)
    except OSError:
        return None
    return bare(data.decode("utf-8", "replace"))


def _expected(kept: str | None, names: Names, snapshot: View) -> Head | None:
    try:
        return None if kept is None else audit_log.read_head(kept, names, KeyStore(snapshot).signing_keys())
    except audit_log.UnreadableHeadError:
        # It vouches for nothing, and accuses of nothing either: doctor and sweep tell of it.
        return None


def _signer(snapshot: View, keyring: Keyring) -> Signer:
    key = current_key_of(snapshot, keyring, "EdDSA")
    if key is None:
        raise IntegrityError("the ledger has no EdDSA key that signs", "jitid keys rotate")
    return keyring.load(key.kid, key.algorithm, key.public)


def needed(snapshot: View, key: SigningKey) -> bool:
    """Tell whether the private half of a key is still of use: it signs, or it tells which certificates are revoked."""
    return key.signs or still_tells(snapshot, key)


def _give_keys(snapshot: View, ours: Keyring, aside: str) -> tuple[str, ...]:
    place = os.path.join(aside, archive.KEYS)
    _make_folder(place)
    theirs = Keyring(place)
    given = [
        key for key in KeyStore(snapshot).signing_keys() if needed(snapshot, key) and ours.holds(key.kid)
    ]
    for key in given:
        ours.give(theirs, key.kid, key.algorithm, key.public)
    return tuple([key.kid for key in given])


def _give_policy(ours: str, theirs: str) -> None:
    _make_folder(theirs)
    for name, data in policy_in(ours):
        if not archive.is_name(name):
            raise UsageError(
                f"the policy file {quote(name)} has a name that no backup can have; nothing was written",
                "give it a shorter name of characters that can be shown",
            )
        write_private(os.path.join(theirs, name), data)


def policy_in(path: str) -> list[tuple[str, bytes]]:
    """Return names and contents of the plain files in the folder of a policy. Raises StorageError."""
    found = []
    try:
        for entry in sorted(os.scandir(path), key=lambda each: each.name):
            if entry.is_file(follow_symlinks=False):
                with open(entry.path, "rb") as file:
                    found.append((entry.name, file.read(LARGEST + 1)))
                if len(found[-1][1]) > LARGEST:
                    raise StorageError(f"the policy file {entry.path} is too large for a backup")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError(f"the policy in {path} cannot be read: {error.strerror}") from error
    return found


def _make_folder(path: str) -> None:
    os.mkdir(path, 0o700)
    os.chmod(path, 0o700)


def _digests(aside: str) -> Iterator[tuple[str, tuple[int, str]]]:
    for name in archive.names_in(aside)[:-2]:
        with open(os.path.join(aside, name), "rb") as file:
            yield name, hashed(file)


def hashed(file: archive.MemberSource, write: Callable[[bytes], object] | None = None) -> tuple[int, str]:
    """Return the size and the SHA-256 of what is read, each piece of which is handed to `write`."""
    digest, size = sha256(), 0
    while piece := file.read(_PIECE):
        digest.update(piece)
        size += len(piece)
        if write is not None:
            write(piece)
    return size, digest.hexdigest()


def refused(error: JitidError) -> JitidError:
    """Return an error of verifying with what it means for a backup."""
    if isinstance(error, IntegrityError):
        error.message = f"the ledger does not hold by itself, and no backup was made: {error.message}"
        error.hint = error.hint or "see: jitid audit verify; --no-verify copies it all the same"
    return error
