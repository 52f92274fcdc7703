"""`jitid ledger restore`: a backup compared with all that is known of its ledger, and put in its place."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, NamedTuple

from jitid.authority.open import caller, place_of, with_transit
from jitid.backup import archive, revive
from jitid.backup import snapshot as backup
from jitid.backup.destination import OUT
from jitid.capabilities.audit import audit_log
from jitid.capabilities.integrity import verify_log
from jitid.capabilities.trust import rotation
from jitid.errors import IntegrityError, JitidError, StorageError, UsageError
from jitid.keys.keyring import Keyring
from jitid.ledger.signing_keys import KeyStore
from jitid.ledger.sqlite import folder, read_only
from jitid.ledger.sqlite.ledger_folder import LedgerFolder
from jitid.ledger.sqlite.lock import FairLock
from jitid.redaction.token_format import bare
from jitid.system.files import read_regular, sync_folder
from jitid.system.xdg import AUTHORITY
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.backup.revive import Restored
    from jitid.config.effective import Config
    from jitid.ledger.sqlite.ledger import SqliteLedger
    from jitid.model.event import Head
    from jitid.model.ledger_rows import SigningKey


class Back(NamedTuple):
    """A ledger that was put back."""

    path: str
    told: backup.Told
    restored: Restored
    lost: int | None
    """So many events it is known to have lost; None where nobody knows."""
    newest: bool
    """Nothing has happened since the backup was made."""
    replaced: str | None
    """Where the ledger is that was there before."""


class _Before(NamedTuple):
    """What is known of the ledger that is replaced."""

    head: Head | None
    """Where its audit chain ends, if it can be read."""
    holds: bool
    """Whether it holds by itself, so that its end can be believed."""
    kept: str | None
    """The signed head that a sweep has left there."""


class _BackupStanding(NamedTuple):
    """How a backup stands to what else is known of its ledger."""

    lost: int | None
    """So many events it lacks; None where nothing tells of any."""
    forked: bool
    """Something tells of other events in the place of some of its own."""
    newest: bool
    """The ledger that is replaced holds, and ends where the backup does."""


def restore(
    config: Config,
    place: str,
    *,
    replace: bool,
    keep: bool,
    expect: str | None,
    accept_clock: bool,
    progress: Callable[[str], None],
    standard_input: IO[bytes] | None,
) -> Back:
    """Put the ledger of a backup where the configuration names one, after checking all of it.

    Args:
        config: names the place.
        place: the backup, or `-` for standard input.
        replace: whether the ledger that is there is moved aside.
        keep: whether what lives in the backup goes on living.
        expect: a signed head that was kept elsewhere.
        accept_clock: whether the clock is believed if it has jumped.
        progress: is told what is begun.
        standard_input: what is read for `-`.

    Raises:
        IntegrityError: the backup is damaged or open to others; or it is older than what is known, and is to be kept.
        StorageError: there is no room, or the backup cannot be read.
        UsageError: there is something at the place, or it is another ledger's.

    """
    target = place_of(config)
    if not isinstance(target, LedgerFolder):
        raise UsageError(
            "a backup is put back into a folder; nothing was restored",
            "jitid --ledger DIR ledger restore BACKUP, then jitid --ledger DIR ledger copy --to URL",
        )
    shown = target.home
    path = os.path.abspath(shown)
    timeout = float(config.number("timeout"))
    present = folder.content(path)
    if present and not replace:
        raise UsageError(
            f"there is something at {quote(path, 200)} already; nothing was restored",
            "--replace moves it aside; or name another place with --ledger",
        )
    parent, name = os.path.split(path)
    with _making(parent, name) as aside:
        progress("unpacking")
        members = archive.members(place, standard_input if place == OUT else None)
        unpacked = revive.unpack(members, aside)
        with revive.opened(aside, caller(), timeout) as ledger:
            progress("verifying")
            revive.verify(ledger, unpacked)
            with _shut_out(path, present, timeout):
                known = _known(ledger, _look(path, present, ledger.names.uuid, timeout), expect)
                if keep and (known.lost or known.forked):
                    raise IntegrityError(
                        f"the backup is older than what is known of the ledger ({_by(known)}): what was ended since "
                        "it was made would live again; nothing was restored",
                        "leave --keep-live out, or take a newer backup",
                    )
                keyring = with_transit(config, folder.keyring(aside))
                _take_over(ledger, Keyring(os.path.join(path, folder.KEYS)), keyring)
                progress("recording")
                done = revive.revive(
                    ledger,
                    keyring,
                    unpacked.told,
                    # Where the ledger itself tells that nothing has happened since, nothing can have been ended.
                    keep=keep or known.newest,
                    lost=known.lost,
                    accept_clock=accept_clock,
                )
                with ledger.read(by_mark=True) as snapshot:
                    for kid in rotation.spent(snapshot):
                        keyring.forget(kid)
                ledger.close()
                replaced = _publish(aside, path, parent, present=bool(present))
    return Back(shown, unpacked.told, done, known.lost, known.newest, replaced)


@contextmanager
def _making(parent: str, name: str) -> Iterator[str]:
    """Make the folder in which the ledger is put together, and remove it if it is still there at the end."""
    try:
        folder.make_parents(parent)
        folder.remove_abandoned(parent, name)
        aside, held = folder.begin(parent, name)
    except OSError as error:
        raise StorageError(
            f"no ledger could be made in {quote(parent, 200)}: {error.strerror}", "name another with --ledger"
        ) from error
    try:
        # Whoever writes to the ledger takes that lock; that it is a file of its own is all that is needed.
        yield aside
    except OSError as error:
        raise StorageError(
            f"the ledger could not be restored: {(error.strerror or 'error').lower()}"
        ) from error
    finally:
        folder.remove(aside)
        os.close(held)


@contextmanager
def _shut_out(path: str, present: set[str], timeout: float) -> Iterator[None]:
    """Let nobody write to the ledger that is replaced."""
    if not present:
        yield
        return
    turn = FairLock(os.path.join(path, folder.LOCK), timeout)
    with suppress(IntegrityError):
        # Where there is no lock nobody can write.
        turn.acquire()
    try:
        yield
    finally:
        turn.close()


def _look(path: str, present: set[str], uuid: str, timeout: float) -> _Before:
    """Return what the ledger in the place of the backup's tells. Raises UsageError for another ledger."""
    kept = None
    with suppress(OSError):
        if folder.VERIFIED in present:
            text = read_regular(os.path.join(path, folder.VERIFIED), archive.MAX_HEAD)
            kept = bare(text.decode("utf-8", "replace"))
    nothing = _Before(None, False, kept)
    if folder.DATABASE not in present:
        return nothing

    def ask(ledger: SqliteLedger) -> tuple[str, Head, bool]:
        # With a clock that is behind, too: whether it is another ledger must be known before it is replaced.
        with ledger.read(by_mark=True) as snapshot:
            names = ledger.names
            head = snapshot.head()
            try:
                backup.must_hold(ledger)
                verify_log.verify(snapshot, names, None)
            except JitidError:
                return names.uuid, head, False
            return names.uuid, head, True

    try:
        found, head, holds = read_only.look(
            os.path.join(path, folder.DATABASE),
            os.path.join(path, folder.LOCK),
            ask,
            by=caller(),
            timeout=timeout,
        )
    except JitidError:
        # It is damaged, as a ledger may be that is replaced.
        return nothing
    if found != uuid:
        raise UsageError(
            f"the ledger at {quote(path, 200)} is another than the one in the backup; nothing was restored",
            "name another place with --ledger, or move that ledger away by yourself",
        )
    return _Before(head, holds, kept)


def _known(ledger: SqliteLedger, before: _Before, expect: str | None) -> _BackupStanding:
    """Compare a backup with all that tells of its ledger. Raises IntegrityError for a head that contradicts it."""
    with ledger.read(by_mark=True) as snapshot:
        keys = KeyStore(snapshot).signing_keys()
        found: list[tuple[Head, bool]] = [] if before.head is None else [(before.head, False)]
        if before.kept:
            # One that this ledger cannot read proves nothing: it may be signed with a later key.
            with suppress(IntegrityError):
                found.append((audit_log.read_head(before.kept, ledger.names, keys), False))
        if expect is not None:
            found.append((audit_log.read_head(expect, ledger.names, keys), True))
        lost: list[int] = []
        forked = False
        for head, must in found:
            try:
                lost.append(revive.behind(snapshot, head))
            except IntegrityError:
                if must:
                    raise
                # The ledger that is replaced may have been tampered with, or be another backup that was gone on with.
                forked = True
        newest = before.holds and not any(lost) and not forked and snapshot.head() == before.head
    return _BackupStanding(max(lost, default=None), forked, newest)


def _by(known: _BackupStanding) -> str:
    if not known.lost:
        return "that has gone on in another way"
    return "1 event" if known.lost == 1 else f"{known.lost} events"


def _take_over(ledger: SqliteLedger, theirs: Keyring, ours: Keyring) -> None:
    """Take along the private keys of the ledger that is replaced: what was revoked there has none any longer."""
    with ledger.read(by_mark=True) as snapshot:
        wanted: list[SigningKey] = [
            key for key in KeyStore(snapshot).signing_keys() if backup.needed(snapshot, key)
        ]
    for key in wanted:
        if os.path.lexists(theirs.path(key.kid)) and not os.path.lexists(ours.path(key.kid)):
            # What is damaged there is made anew here.
            with suppress(JitidError, OSError):
                theirs.give(ours, key.kid, key.algorithm, key.public)


def _publish(aside: str, path: str, parent: str, *, present: bool) -> str | None:
    """Give the ledger its name; return where the one is now that had it."""
    os.unlink(os.path.join(aside, revive.LOCK))
    for name in os.listdir(aside):
        if name.startswith(f"{folder.DATABASE}-"):
            raise IntegrityError(f"the restored database was not closed: {quote(name)} is left")
    _sync(aside)
    if not present:
        if not folder.publish(aside, path, parent):
            raise StorageError(
                f"something was made at {quote(path, 200)} meanwhile; nothing was restored",
                "--replace moves it aside",
            )
        return None
    _give_to(aside, os.lstat(path))
    old = f"{path}.replaced-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    if os.path.lexists(old):
        raise UsageError(f"{quote(old, 200)} is there already; nothing was restored", "wait a second")
    # From here on nobody takes it for something abandoned, whichever of the two it holds.
    os.rename(aside, old)
    if not _exchange(old, path):
        between = f"{old}.new"
        os.rename(old, between)
        os.rename(path, old)
        os.rename(between, path)
    _leave_behind(old, path)
    sync_folder(parent)
    return old


def _leave_behind(old: str, path: str) -> None:
    """Put the keys of ledgers in databases back: they are in the folder of a ledger, and no part of it."""
    if os.path.lexists(os.path.join(old, AUTHORITY)):
        try:
            os.rename(os.path.join(old, AUTHORITY), os.path.join(path, AUTHORITY))
        except OSError as error:
            raise StorageError(
                f"the ledger was restored, but the keys in {quote(os.path.join(old, AUTHORITY), 200)} are still there: "
                f"{error.strerror}",
                f"move that folder to {quote(path, 200)}",
            ) from error


def _sync(aside: str) -> None:
    with open(os.path.join(aside, folder.DATABASE), "rb") as file:
        os.fsync(file.fileno())
    for each in (folder.KEYS, folder.POLICY, "."):
        sync_folder(os.path.join(aside, each))


def _give_to(aside: str, status: os.stat_result) -> None:
    """Let a ledger that root restores belong to whom the one before it belongs."""
    if os.geteuid() != 0 or status.st_uid == 0 or not stat.S_ISDIR(status.st_mode):
        return
    for here, folders, files in os.walk(aside):
        for name in (".", *folders, *files):
            os.chown(os.path.join(here, name), status.st_uid, status.st_gid, follow_symlinks=False)


_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


def _exchange(one: str, other: str) -> bool:
    """Let two folders change their names at once (renameat2(2)); return False where the system cannot."""
    import ctypes

    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(number, os.strerror(number), other)
