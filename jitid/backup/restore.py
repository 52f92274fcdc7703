"""`jitid ledger restore`: a backup is compared with all known heads of its ledger, and put at the ledger's place.

The backup is verified first: its manifest, its audit log, and the heads that were seen before.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING

from jitid.authority.open_local import caller, place_of, with_transit
from jitid.backup import archive, revive
from jitid.backup.archive import Manifest, must_be_sealed
from jitid.backup.revive import Restored, Unpacked
from jitid.backup.take_backup import OUT, head_kept_in, must_hold, needed
from jitid.capabilities.audit import audit_log
from jitid.capabilities.integrity import verify_log
from jitid.capabilities.trust import rotation
from jitid.errors import IntegrityError, JitidError, StorageError, UsageError
from jitid.keys.keyring import Keyring
from jitid.ledger.signing_keys import KeyStore
from jitid.ledger.sqlite import folder, read_only
from jitid.ledger.sqlite.ledger import SqliteLedger
from jitid.ledger.sqlite.ledger_folder import LedgerFolder
from jitid.ledger.sqlite.lock import FairLock
from jitid.ledger.view import View
from jitid.model.chain import marks
from jitid.model.event import BrokenChainError, Head
from jitid.system.files import sync_folder
from jitid.system.xdg import AUTHORITY
from jitid.values.record import Record
from jitid.values.text import number_of, quote

if TYPE_CHECKING:
    from jitid.config.effective import Config
    from jitid.model.ledger_rows import SigningKey


def verify_backup(ledger: SqliteLedger, unpacked: Unpacked) -> None:
    """Check that a ledger is the one in the backup's manifest, complete, and ends at the signed head.

    Raises IntegrityError if one of these checks failed.
    """
    manifest = unpacked.manifest
    names = ledger.names
    if names.uuid != manifest.ledger:
        raise IntegrityError("the ledger in the backup does not match its manifest")
    must_hold(ledger)
    # A backup may contain damage in an index alone, and the queries below read the indexes.
    ledger.reindex()
    # No verifier queries it. A clock behind the mark only matters when the ledger is written to.
    with ledger.read(by_mark=True) as snapshot:
        head = audit_log.read_head(unpacked.head, names, KeyStore(snapshot).signing_keys())
        must_be_sealed(manifest, unpacked.head)
        verify_log.verify(snapshot, names, head)
        if snapshot.head() != head or (head.seq, head.hash.hex()) != (manifest.events, manifest.head):
            raise IntegrityError("the ledger in the backup does not end at its signed head")


def behind(snapshot: View, head: Head) -> int:
    """Return the number of events that a remembered head covers and the ledger lacks.

    Raises IntegrityError if an event of the ledger differs from the event that the head covers.
    """
    try:
        expected = marks(head, snapshot.chains())
    except BrokenChainError:
        # The head covers chains that were opened after the backup.
        expected = {}
    for seq, hash_ in expected.items():
        event = snapshot.event(seq)
        if event is not None and event.hash != hash_:
            raise IntegrityError(
                f"event {seq} of the backup does not match a remembered head: "
                "one history was rewritten, or continued from another backup"
            )
    return max(head.seq - snapshot.head().seq, 0)


class RestoredLedger(Record):
    """A ledger that was restored."""

    path: str
    manifest: Manifest
    restored: Restored
    lost: int | None
    """The number of events that were lost; None if that is unknown."""
    newest: bool
    """Whether the replaced ledger shows that it had no events after the backup."""
    replaced: str | None
    """The new place of the ledger that was replaced."""


class _Before(Record):
    """The known facts about the ledger that is replaced."""

    head: Head | None
    """The head of its audit chain, if it can be read."""
    holds: bool
    """Whether its verification succeeded, so that its head can be trusted."""
    kept: str | None
    """The signed head that a sweep has left there."""


class _Comparison(Record):
    """The comparison of a backup with the known heads of its ledger."""

    lost: int | None
    """The number of events that it lacks; None if no head is known."""
    forked: bool
    """Whether a known head contradicts an event of the backup."""
    newest: bool
    """Whether the ledger that is replaced is intact and ends with the same event as the backup."""


def restore(
    config: Config,
    backup_path: str,
    *,
    replace: bool,
    keep: bool,
    expect: str | None,
    accept_clock: bool,
    progress: Callable[[str], None],
    standard_input: IO[bytes] | None,
) -> RestoredLedger:
    """Put the ledger of a backup at the configured place, after verifying all of it.

    Args:
        config: names the place.
        backup_path: the backup, or `-` for standard input.
        replace: whether to move an existing ledger aside.
        keep: whether the live credentials of the backup stay live.
        expect: a signed head that was kept elsewhere.
        accept_clock: whether to accept a clock that has jumped.
        progress: is called with the name of each stage.
        standard_input: the stream for `-`.

    Raises:
        IntegrityError: the backup is damaged, or other users have access to it; or `keep` was requested, and the
            backup is older than a known head.
        StorageError: the disk is full, or the backup cannot be read.
        UsageError: the place is in use, or it holds another ledger.

    """
    target = place_of(config)
    if not isinstance(target, LedgerFolder):
        raise UsageError(
            "a backup can be restored only into a folder; nothing was restored",
            "jitid --ledger DIR ledger restore BACKUP, then jitid --ledger DIR ledger copy --to URL",
        )
    configured_path = target.home
    path = os.path.abspath(configured_path)
    timeout = float(config.number("timeout"))
    present = folder.content(path)
    if present and not replace:
        raise UsageError(
            f"{quote(path, 200)} exists already; nothing was restored",
            "to move it aside: --replace; or name another folder: --ledger DIR",
        )
    parent, name = os.path.split(path)
    with _making(parent, name) as aside:
        progress("unpacking")
        members = archive.members(backup_path, standard_input if backup_path == OUT else None)
        unpacked = revive.unpack(members, aside)
        with revive.opened(aside, caller(), timeout) as ledger:
            progress("verifying")
            verify_backup(ledger, unpacked)
            with _shut_out(path, present, timeout):
                compared = _known(ledger, _look(path, present, ledger.names.uuid, timeout), expect)
                if keep:
                    _must_be_latest(compared)
                keyring = with_transit(config, folder.keyring(aside))
                _copy_private_keys(ledger, Keyring(os.path.join(path, folder.KEYS)), keyring)
                progress("recording")
                restored = revive.revive(
                    ledger,
                    keyring,
                    unpacked.manifest,
                    # If the ledger itself shows that there were no events since, no credential can have been ended.
                    keep=keep or compared.newest,
                    lost=compared.lost,
                    accept_clock=accept_clock,
                )
                with ledger.read(by_mark=True) as snapshot:
                    for kid in rotation.spent(snapshot):
                        keyring.forget(kid)
                ledger.close()
                replaced = _publish(aside, path, parent, present=bool(present))
    return RestoredLedger(
        configured_path, unpacked.manifest, restored, compared.lost, compared.newest, replaced
    )


def _must_be_latest(compared: _Comparison) -> None:
    """Refuse a backup that is older than a known head of its ledger: its live credentials may have been ended since."""
    if compared.lost or compared.forked:
        raise IntegrityError(
            f"the ledger has events after the backup ({_by(compared)}): credentials revoked since then would be "
            "valid again; nothing was restored",
            "leave out --keep-live, or use a newer backup",
        )


@contextmanager
def _making(parent: str, name: str) -> Iterator[str]:
    """Create the folder in which the ledger is assembled, and remove it at the end if it still exists."""
    try:
        folder.make_parents(parent)
        folder.remove_abandoned(parent, name)
        aside, lock = folder.begin(parent, name)
    except OSError as error:
        raise StorageError(
            f"cannot make a ledger in {quote(parent, 200)}: {error.strerror}",
            "name another folder: --ledger DIR",
        ) from error
    try:
        # Writers use the lock file that is held here, so `revive.opened` uses a separate one.
        yield aside
    except OSError as error:
        raise StorageError(
            f"the ledger could not be restored: {(error.strerror or 'error').lower()}"
        ) from error
    finally:
        folder.remove(aside)
        os.close(lock)


@contextmanager
def _shut_out(path: str, present: set[str], timeout: float) -> Iterator[None]:
    """Prevent other processes from writing to the ledger that is replaced."""
    if not present:
        yield
        return
    turn = FairLock(os.path.join(path, folder.LOCK), timeout)
    with suppress(IntegrityError):
        # Without a lock file, no process can write.
        turn.acquire()
    try:
        yield
    finally:
        turn.close()


def _look(path: str, present: set[str], uuid: str, timeout: float) -> _Before:
    """Return the facts about the ledger that would be replaced. Raises UsageError if it is another ledger."""
    kept_head = head_kept_in(path)
    unknown = _Before(None, False, kept_head)
    if folder.DATABASE not in present:
        return unknown

    def examine(ledger: SqliteLedger) -> tuple[str, Head, bool]:
        # Even if the clock is behind: another ledger must be recognized before it is replaced.
        with ledger.read(by_mark=True) as snapshot:
            names = ledger.names
            head = snapshot.head()
            try:
                must_hold(ledger)
                verify_log.verify(snapshot, names, None)
            except JitidError:
                return names.uuid, head, False
            return names.uuid, head, True

    try:
        found_uuid, head, holds = read_only.look(
            os.path.join(path, folder.DATABASE),
            os.path.join(path, folder.LOCK),
            examine,
            by=caller(),
            timeout=timeout,
        )
    except JitidError:
        # It is damaged, which may be the reason for the restore.
        return unknown
    if found_uuid != uuid:
        raise UsageError(
            f"{quote(path, 200)} has another ledger than the backup; nothing was restored",
            "name another folder with --ledger, or move that ledger away",
        )
    return _Before(head, holds, kept_head)


def _known(ledger: SqliteLedger, previous: _Before, expect: str | None) -> _Comparison:
    """Compare a backup with the known heads of its ledger.

    Raises IntegrityError if it contradicts the head `expect`.
    """
    with ledger.read(by_mark=True) as snapshot:
        keys = KeyStore(snapshot).signing_keys()
        heads: list[tuple[Head, bool]] = [] if previous.head is None else [(previous.head, False)]
        if previous.kept:
            # A head that this ledger cannot read proves nothing: it may be signed with a later key.
            with suppress(IntegrityError):
                heads.append((audit_log.read_head(previous.kept, ledger.names, keys), False))
        if expect is not None:
            heads.append((audit_log.read_head(expect, ledger.names, keys), True))
        lost: list[int] = []
        forked = False
        for head, must_match in heads:
            try:
                lost.append(behind(snapshot, head))
            except IntegrityError:
                if must_match:
                    raise
                # The replaced ledger may have been tampered with, or it is another backup that was used after its
                # restore.
                forked = True
        newest = previous.holds and not any(lost) and not forked and snapshot.head() == previous.head
    return _Comparison(max(lost, default=None), forked, newest)


def _by(compared: _Comparison) -> str:
    if not compared.lost:
        return "its history differs"
    return number_of(compared.lost, "event")


def _copy_private_keys(ledger: SqliteLedger, source: Keyring, target: Keyring) -> None:
    """Copy the private keys of the ledger that is replaced; a key that was revoked there has no private key left."""
    with ledger.read(by_mark=True) as snapshot:
        keys: list[SigningKey] = [key for key in KeyStore(snapshot).signing_keys() if needed(snapshot, key)]
    for key in keys:
        if os.path.lexists(source.path(key.kid)) and not os.path.lexists(target.path(key.kid)):
            # A damaged key is not copied; `revive` makes a new one.
            with suppress(JitidError, OSError):
                source.give(target, key.kid, key.algorithm, key.public)


def _publish(aside: str, path: str, parent: str, *, present: bool) -> str | None:
    """Rename the ledger to its final path; return the new path of the ledger that was there."""
    os.unlink(os.path.join(aside, revive.LOCK))
    for name in os.listdir(aside):
        if name.startswith(f"{folder.DATABASE}-"):
            raise IntegrityError(f"the restored database was not closed: it left {quote(name)}")
    _sync(aside)
    if not present:
        if not folder.publish(aside, path, parent):
            raise StorageError(
                f"{quote(path, 200)} was created meanwhile; nothing was restored",
                "to move it aside: --replace",
            )
        return None
    _give_to(aside, os.lstat(path))
    replaced_path = f"{path}.replaced-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    if os.path.lexists(replaced_path):
        raise UsageError(
            f"{quote(replaced_path, 200)} exists already; nothing was restored",
            "repeat the command after a second",
        )
    # With this name no process treats the folder as abandoned, whichever of the two ledgers it holds.
    os.rename(aside, replaced_path)
    if not _exchange(replaced_path, path):
        temporary_path = f"{replaced_path}.new"
        os.rename(replaced_path, temporary_path)
        os.rename(path, replaced_path)
        os.rename(temporary_path, path)
    _leave_behind(replaced_path, path)
    sync_folder(parent)
    return replaced_path


def _leave_behind(old: str, path: str) -> None:
    """Move the keys of ledgers in databases back: they are in the ledger's folder, but not a part of the ledger."""
    if os.path.lexists(os.path.join(old, AUTHORITY)):
        try:
            os.rename(os.path.join(old, AUTHORITY), os.path.join(path, AUTHORITY))
        except OSError as error:
            raise StorageError(
                f"the ledger was restored, but the keys in {quote(os.path.join(old, AUTHORITY), 200)} could not be "
                f"moved: {error.strerror}",
                f"move that folder to {quote(path, 200)}",
            ) from error


def _sync(aside: str) -> None:
    with open(os.path.join(aside, folder.DATABASE), "rb") as file:
        os.fsync(file.fileno())
    for name in (folder.KEYS, folder.POLICY, "."):
        sync_folder(os.path.join(aside, name))


def _give_to(aside: str, status: os.stat_result) -> None:
    """Give a ledger that root restores to the owner of the replaced ledger."""
    if os.geteuid() != 0 or status.st_uid == 0 or not stat.S_ISDIR(status.st_mode):
        return
    for folder_path, folders, files in os.walk(aside):
        for name in (".", *folders, *files):
            os.chown(os.path.join(folder_path, name), status.st_uid, status.st_gid, follow_symlinks=False)


_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


def _exchange(path: str, other_path: str) -> bool:
    """Exchange the names of two folders atomically (renameat2(2)); return False if the system cannot do that."""
    import ctypes

    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    if rename(_AT_FDCWD, os.fsencode(path), _AT_FDCWD, os.fsencode(other_path), _RENAME_EXCHANGE) == 0:
        return True
    error_number = ctypes.get_errno()
    if error_number in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(error_number, os.strerror(error_number), other_path)
