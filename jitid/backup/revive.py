"""The restore of a ledger from a backup that is verified: the end of its live credentials before its first use.

A backup does not know which credentials were ended after it was made. So its live credentials are ended, unless none
can have been ended since.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from tarfile import TarError

from jitid.backup import archive
from jitid.backup.archive import Manifest, read_manifest
from jitid.backup.store import live_on_adopted_tasks, open_tasks
from jitid.capabilities.access import grant
from jitid.capabilities.access.store import AccessChanges
from jitid.capabilities.identity import revocation
from jitid.capabilities.inventory import task_sharing
from jitid.capabilities.issue.approval_store import ApprovalChanges
from jitid.capabilities.trust import rotation
from jitid.capabilities.trust.signing import usable_key
from jitid.errors import IntegrityError, StorageError
from jitid.keys.keyring import Keyring
from jitid.ledger.contract import Ledger, change
from jitid.ledger.signing_keys import KeyChanges, KeyStore
from jitid.ledger.sqlite import folder
from jitid.ledger.sqlite import ledger as sqlite_ledger
from jitid.ledger.sqlite.ledger import SqliteLedger
from jitid.ledger.transaction import Transaction
from jitid.model.ledger_rows import RESTORED, Names, Selection, SigningKey
from jitid.redaction.token_format import bare
from jitid.system.files import sync_folder
from jitid.values.record import Record
from jitid.values.text import quote

REASON = "restored from a backup, which does not contain later revocations"

_AT_ONCE = 1_000
LOCK = "restoring"
"""The lock file of a ledger that is being assembled; it is not a part of the ledger."""


class Unpacked(Record):
    """A backup that was unpacked; each member matches the manifest."""

    manifest: Manifest
    head: str
    """The signed head that vouches for the manifest, and for the audit chain in it."""


class Restored(Record):
    """The outcome of a restore."""

    event: int
    """The number of the audit event about the restore."""
    kept: bool
    """Whether the live credentials of the backup stayed live."""
    credentials: int
    """The number of credentials that were ended."""
    tasks: int
    access: int
    revoked: tuple[str, ...]
    """The ids of the signing keys that were revoked."""
    retired: tuple[str, ...]
    """The ids of the keys that were retired because their private keys are missing."""
    trusted: tuple[str, ...]
    """The ids of the certificate authorities' keys that stay in use."""


def unpack(members: Iterable[tuple[str, int, archive.MemberSource]], aside: str) -> Unpacked:
    """Write the members of a backup to their places in the folder `aside`, durably.

    Raises:
        IntegrityError: a member is missing, or does not match the manifest.
        StorageError: the disk is full, or the backup cannot be read completely.

    """
    for part in (folder.KEYS, folder.POLICY):
        folder.make_private(os.path.join(aside, part))
    signed_files: dict[str, bytes] = {}
    seen: dict[str, tuple[int, str]] = {}
    try:
        for name, size, content in members:
            if name in seen or name in signed_files:
                raise IntegrityError(f"the backup has two members {quote(name)}")
            if name in (archive.MANIFEST, archive.HEAD):
                signed_files[name] = content.read(size)
                continue
            seen[name] = _write(os.path.join(aside, _place(name)), size, content)
    except TarError as error:
        raise IntegrityError("the backup is truncated") from error
    except OSError as error:
        raise StorageError(
            f"cannot unpack the backup into {quote(aside, 200)}: {(error.strerror or 'error').lower()}",
            "free space there, or name another folder: --ledger DIR",
        ) from error
    for name in (archive.MANIFEST, archive.HEAD):
        if name not in signed_files:
            raise IntegrityError(f"the backup lacks {name}: it is truncated, or was never completed")
    manifest = read_manifest(signed_files[archive.MANIFEST])
    for name in sorted(seen.keys() | manifest.files.keys()):
        if seen.get(name) != manifest.files.get(name):
            fault = "is missing" if name not in seen else "does not match the manifest"
            raise IntegrityError(f"the member {quote(name)} of the backup {fault}: the backup is damaged")
    for part in (folder.KEYS, folder.POLICY, "."):
        sync_folder(os.path.join(aside, part))
    return Unpacked(manifest, bare(signed_files[archive.HEAD].decode("utf-8", "replace")))


def _place(name: str) -> str:
    # The folders have the same names in both.
    return folder.DATABASE if name == archive.DATABASE else name


def _write(path: str, size: int, content: archive.MemberSource) -> tuple[int, str]:
    room = os.statvfs(os.path.dirname(path))
    if size > room.f_bavail * room.f_frsize:
        raise StorageError(
            f"not enough space for the backup in {quote(os.path.dirname(path), 200)}: it has {size} bytes",
            "free space there, or name another folder: --ledger DIR",
        )
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(path, flags, 0o600), "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        written = archive.hashed(content, file.write)
        file.flush()
        os.fsync(file.fileno())
    return written


@contextmanager
def opened(aside: str, by: str, timeout: float) -> Iterator[SqliteLedger]:
    """Open the ledger that is assembled in a folder, with a separate lock: its final lock file is locked already."""
    lock = os.path.join(aside, LOCK)
    os.close(os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    ledger = sqlite_ledger.connect(os.path.join(aside, folder.DATABASE), lock, by=by, timeout=timeout)
    try:
        yield ledger
    finally:
        ledger.close()


def revive(
    ledger: Ledger,
    keyring: Keyring,
    manifest: Manifest,
    *,
    keep: bool,
    lost: int | None,
    accept_clock: bool,
) -> Restored:
    """Record in a ledger from a backup that it was restored; without `keep`, end its live credentials.

    Args:
        ledger: a ledger that no other process uses yet.
        keyring: its current private keys.
        manifest: the backup's manifest.
        keep: whether its live credentials stay live.
        lost: the number of events that were lost; None if that is unknown.
        accept_clock: whether to accept a clock that has jumped.

    Raises:
        ClockError: the clock is behind the backup's time mark.
        StorageError: the ledger cannot be written.

    """
    names = ledger.names

    def work(transaction: Transaction) -> Restored:
        live_keys = [key for key in KeyStore(transaction).signing_keys() if key.signs]
        present_kids = {key.kid for key in live_keys if os.path.lexists(keyring.path(key.kid))}
        missing = [key for key in live_keys if key.kid not in present_kids and (keep or key.use != "jws")]
        for key in missing:
            KeyChanges(transaction).end_key(key.key, revoked=False)
        retired = tuple([key.kid for key in missing])
        # A request that was used, denied or withdrawn since would allow another issue. And an approval by a person who
        # was disabled since must not count, like that person's login.
        requests = ApprovalChanges(transaction).withdraw()
        transaction.set(RESTORED, str(transaction.now))
        event = transaction.append(
            "ledger-restore",
            {
                "backup": manifest.digest,
                "made_at": manifest.at,
                "events": manifest.events,
                "head": manifest.head,
                "lost": lost,
                "kept": keep,
                "retired": list(retired) or None,
                "requests": requests or None,
                "restored_at": transaction.now,
            },
        )
        restored = Restored(event.seq, keep, 0, 0, 0, (), retired, ())
        if not keep:
            restored = _end(transaction, names, keyring, live_keys, restored)
        usable_key(transaction, names, keyring, "EdDSA")
        trusted = [key.kid for key in live_keys if key.use != "jws" and key.kid in present_kids]
        return restored._replace(trusted=tuple(trusted))

    return change(ledger, work, accept_clock=accept_clock)


def _end(
    transaction: Transaction,
    names: Names,
    keyring: Keyring,
    live_keys: Iterable[SigningKey],
    restored: Restored,
) -> Restored:
    credentials = 0
    tasks = list(open_tasks(transaction))
    for name in tasks:
        # The task too, so that no credentials are issued on it: a task that was ended since would be open again.
        credentials += task_sharing.retire(transaction, name, REASON).credentials
    while issued := live_on_adopted_tasks(transaction):
        credentials += revocation.revoke(transaction, Selection(ids=issued), REASON, None).credentials
    access = 0
    while live_access := AccessChanges(transaction).some(live=True, name=None, after=None, limit=_AT_ONCE):
        access += len(grant.revoke(transaction, [entry.id for entry in live_access], (), REASON).ids)
    revoked = []
    for key in live_keys:
        if key.use == "jws":
            # A key that was revoked since would be published again.
            rotation.revoke(transaction, names, keyring, key.kid, REASON, None)
            revoked.append(key.kid)
    return restored._replace(credentials=credentials, tasks=len(tasks), access=access, revoked=tuple(revoked))
