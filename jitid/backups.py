"""`jitid ledger backup` and `restore`: where backups and ledgers are, and how each gets its name at the end alone."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, NamedTuple

from jitid import auditing, backup, backupfile, restoring, rotation
from jitid.backup import Manifest, Progress
from jitid.environment import caller, is_database, keyring_of, ledger_path, must_be_beside
from jitid.errors import (
    IntegrityError,
    JitidError,
    OutputError,
    RefusedError,
    StorageError,
    UsageError,
)
from jitid.files import read_regular, sync_folder
from jitid.keyring import Keyring
from jitid.ledger import folder, sqlite, untouched
from jitid.ledger.lock import FairLock
from jitid.lifetime import format_time
from jitid.text import quote

if TYPE_CHECKING:
    from jitid.audit import Head
    from jitid.config import Config
    from jitid.ledger.records import SigningKey
    from jitid.ledger.sqlite import SqliteLedger
    from jitid.restoring import Restored

OUT = "-"
"""In the place of a path: standard output, or standard input."""

_ASIDE = "jitid-backup"
_TAR = ".tar"
_RESTORING = "restoring"
"""The lock of a ledger that is put together."""


class Made(NamedTuple):
    """A backup that was made."""

    place: str
    manifest: Manifest
    size: int
    """Bytes of all its members."""


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


def back_up(
    config: Config,
    to: str,
    *,
    keys: bool,
    verify: bool,
    progress: Progress,
    write: Callable[[bytes], None],
) -> Made:
    """Make a backup of the ledger that the configuration names: a folder, a file `*.tar`, or a stream (`-`).

    In a folder that is there it gets a name of its own. `write` takes the pieces of a stream.

    Raises:
        IntegrityError: the ledger does not hold by itself.
        OutputError: the backup could not be written; nothing of it is there.
        StorageError: there is no ledger, or it is out of reach.
        UsageError: something is at the place already.

    """
    must_be_beside(config)
    if is_database(config):
        raise UsageError(
            "a ledger in a database is backed up by what backs up the database; nothing was written",
            "pg_dump makes a consistent copy; as a folder: jitid ledger copy --to DIR",
        )
    path = ledger_path(config)
    if not folder.exists(path):
        raise StorageError(f"there is no ledger at {path}", "name another with --ledger")
    place = _place(to, path)
    with _aside(to, place) as aside:
        try:
            manifest = backup.take(
                path,
                aside,
                keyring_of(config, path),
                keys=keys,
                verify=verify,
                by=caller(),
                timeout=float(config.number("timeout")),
                progress=progress,
            )
        except JitidError as error:
            raise backup.refused(error) from error
        size = sum(told[0] for told in manifest.files.values())
        try:
            _store(to, place, aside, manifest, write)
        except OSError as error:
            raise OutputError(
                f"{'standard output' if to == OUT else quote(place, 200)} could not be written: "
                f"{(error.strerror or 'error').lower()}"
            ) from error
    return Made(place, manifest, size)


def _place(to: str, ledger: str) -> str:
    if to == OUT:
        return OUT
    place = to.rstrip("/") or to
    if os.path.isdir(to):
        name = time.strftime("jitid-%Y%m%dT%H%M%SZ", time.gmtime())
        place = os.path.join(to, name)
    if os.path.lexists(place):
        raise UsageError(
            f"{quote(place, 200)} is there already, and nothing is written over it", "name another place"
        )
    parent = os.path.dirname(place) or "."
    if not os.path.isdir(parent):
        raise UsageError(
            f"there is no folder {quote(parent, 200)} for the backup", "make it, or name another place"
        )
    inside = os.path.realpath(ledger)
    if os.path.commonpath([inside, os.path.realpath(parent)]) == inside:
        raise UsageError(
            "a backup inside of the ledger's folder would be lost with it; nothing was written",
            "name a place elsewhere, best on another disk",
        )
    return place


@contextmanager
def _aside(to: str, place: str) -> Iterator[str]:
    """Make the private folder in which a backup is put together, and remove it if it is still there at the end."""
    from shutil import rmtree

    from jitid.files import check_private

    if to == OUT:
        import tempfile

        parent = tempfile.gettempdir()
    else:
        parent = os.path.dirname(place) or "."
    try:
        folder.remove_abandoned(parent, _ASIDE)
        aside, held = folder.begin(parent, _ASIDE)
    except PermissionError as error:
        raise RefusedError(f"no backup can be made in {quote(parent, 200)}: {error.strerror}") from error
    except OSError as error:
        raise OutputError(f"{quote(parent, 200)} cannot be written: {error.strerror}") from error
    try:
        check_private(aside, "the folder of the backup")
        yield aside
    finally:
        os.close(held)
        rmtree(aside, ignore_errors=True)


def _store(to: str, place: str, aside: str, manifest: Manifest, write: Callable[[bytes], None]) -> None:
    os.unlink(os.path.join(aside, folder.LOCK))
    if to == OUT:
        backupfile.pack(aside, _Stream(write), manifest.made_at)
        return
    parent = os.path.dirname(place) or "."
    if not place.endswith(_TAR):
        sync_folder(aside)
        if not folder.publish(aside, place, parent):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), place)
        return
    whole = os.path.join(aside, "whole")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(whole, flags, 0o600), "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        backupfile.pack(aside, file, manifest.made_at)
        file.flush()
        os.fsync(file.fileno())
    _name(whole, place)
    sync_folder(parent)


def _name(whole: str, place: str) -> None:
    """Give a file its name, unless something has it. Raises OSError."""
    try:
        # A rename would take the place of whatever has come meanwhile.
        os.link(whole, place)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS):
            raise
        if os.path.lexists(place):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), place) from error
        os.rename(whole, place)


class _Stream:
    """Standard output as what writes a tar file wants it."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write

    def write(self, data: bytes) -> int:
        """Write all of it. Raises OutputError."""
        self._write(data)
        return len(data)


class _Before(NamedTuple):
    """What is known of the ledger that is replaced."""

    head: Head | None
    """Where its audit chain ends, if it can be read."""
    holds: bool
    """Whether it holds by itself, so that its end can be believed."""
    kept: str | None
    """The signed head that a sweep has left there."""


class _Known(NamedTuple):
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
    must_be_beside(config)
    if is_database(config):
        raise UsageError(
            "a backup is put back into a folder; nothing was restored",
            "jitid --ledger DIR ledger restore BACKUP, then jitid --ledger DIR ledger copy --to URL",
        )
    shown = ledger_path(config)
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
        members = backupfile.members(place, standard_input if place == OUT else None)
        unpacked = restoring.unpack(members, aside)
        with _opened(aside, timeout) as ledger:
            progress("verifying")
            restoring.verify(ledger, unpacked)
            with _shut_out(path, present, timeout):
                known = _known(ledger, _look(path, present, ledger.names.uuid, timeout), expect)
                if keep and (known.lost or known.forked):
                    raise IntegrityError(
                        f"the backup is older than what is known of the ledger ({_by(known)}): what was ended since "
                        "it was made would live again; nothing was restored",
                        "leave --keep-live out, or take a newer backup",
                    )
                keyring = keyring_of(config, aside)
                _take_over(ledger, Keyring(os.path.join(path, folder.KEYS)), keyring)
                progress("recording")
                done = restoring.revive(
                    ledger,
                    keyring,
                    unpacked.told,
                    # Where the ledger itself tells that nothing has happened since, nothing can have been ended.
                    keep=keep or known.newest,
                    lost=known.lost,
                    accept_clock=accept_clock,
                )
                with ledger.read() as snapshot:
                    for kid in rotation.spent(snapshot):
                        keyring.forget(kid)
                ledger.close()
                os.unlink(os.path.join(aside, _RESTORING))
                replaced = _publish(aside, path, parent, present=bool(present))
    return Back(shown, unpacked.told, done, known.lost, known.newest, replaced)


@contextmanager
def _making(parent: str, name: str) -> Iterator[str]:
    """Make the folder in which the ledger is put together, and remove it if it is still there at the end."""
    from shutil import rmtree

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
        os.close(held)
        rmtree(aside, ignore_errors=True)


@contextmanager
def _opened(aside: str, timeout: float) -> Iterator[SqliteLedger]:
    """Open the ledger that is put together, under a lock of its own: the one that it will have is held."""
    lock = os.path.join(aside, _RESTORING)
    os.close(os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    database = os.path.join(aside, folder.DATABASE)
    ledger = sqlite.connect(database, lock, by=caller(), timeout=timeout)
    try:
        yield ledger
    finally:
        ledger.close()


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
            text = read_regular(os.path.join(path, folder.VERIFIED), backupfile.MAX_HEAD)
            kept = text.decode("utf-8", "replace").strip()
    nothing = _Before(None, False, kept)
    if folder.DATABASE not in present:
        return nothing

    def ask(ledger: SqliteLedger) -> tuple[str, Head, bool]:
        with ledger.read() as snapshot:
            names = ledger.names
            head = snapshot.head()
            try:
                backup.must_hold(ledger)
                auditing.verify(snapshot, names, None)
            except JitidError:
                return names.uuid, head, False
            return names.uuid, head, True

    try:
        found, head, holds = untouched.look(
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


def _known(ledger: SqliteLedger, before: _Before, expect: str | None) -> _Known:
    """Compare a backup with all that tells of its ledger. Raises IntegrityError for a head that contradicts it."""
    with ledger.read() as snapshot:
        keys = snapshot.signing_keys()
        found: list[tuple[Head, bool]] = [] if before.head is None else [(before.head, False)]
        if before.kept:
            # One that this ledger cannot read proves nothing: it may be signed with a later key.
            with suppress(IntegrityError):
                found.append((auditing.read_head(before.kept, ledger.names, keys), False))
        if expect is not None:
            found.append((auditing.read_head(expect, ledger.names, keys), True))
        lost: list[int] = []
        forked = False
        for head, must in found:
            try:
                lost.append(restoring.behind(snapshot, head))
            except IntegrityError:
                if must:
                    raise
                # The ledger that is replaced may have been tampered with, or be another backup that was gone on with.
                forked = True
        newest = before.holds and not any(lost) and not forked and snapshot.head() == before.head
    return _Known(max(lost, default=None), forked, newest)


def _by(known: _Known) -> str:
    if not known.lost:
        return "that has gone on in another way"
    return "1 event" if known.lost == 1 else f"{known.lost} events"


def _take_over(ledger: SqliteLedger, theirs: Keyring, ours: Keyring) -> None:
    """Take along the private keys of the ledger that is replaced: what was revoked there has none any longer."""
    with ledger.read() as snapshot:
        wanted: list[SigningKey] = [key for key in snapshot.signing_keys() if backup.needed(snapshot, key)]
    for key in wanted:
        if os.path.lexists(theirs.path(key.kid)) and not os.path.lexists(ours.path(key.kid)):
            # What is damaged there is made anew here.
            with suppress(JitidError, OSError):
                theirs.give(ours, key.kid, key.algorithm, key.public)


def _publish(aside: str, path: str, parent: str, *, present: bool) -> str | None:
    """Give the ledger its name; return where the one is now that had it."""
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
    sync_folder(parent)
    return old


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


def made_at(told: backup.Told) -> str:
    """Return when a backup was made, as text."""
    return format_time(told.at)
