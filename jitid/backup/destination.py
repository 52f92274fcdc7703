"""`jitid ledger backup`: the places of backups. A backup gets its final name only when it is complete."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jitid.authority.open_local import caller, place_of, with_transit
from jitid.backup import archive, take_backup
from jitid.backup.manifest import Manifest
from jitid.backup.take_backup import BackupProgress
from jitid.errors import (
    JitidError,
    OutputError,
    RefusedError,
    UsageError,
)
from jitid.ledger.sqlite import folder
from jitid.ledger.sqlite.ledger_folder import LedgerFolder
from jitid.system.files import check_private, sync_folder
from jitid.values.record import Record
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.config.effective import Config

OUT = "-"
"""The path that means standard output or standard input."""

_ASIDE = "jitid-backup"
_TAR = ".tar"


class MadeBackup(Record):
    """A backup that was made."""

    place: str
    manifest: Manifest
    size: int
    """The total size of its members in bytes."""


def back_up(
    config: Config,
    to: str,
    *,
    keys: bool,
    verify: bool,
    progress: BackupProgress,
    write: Callable[[bytes], None],
) -> MadeBackup:
    """Make a backup of the configured ledger: a folder, a file `*.tar`, or a stream (`-`).

    In an existing folder, the backup gets a name with the current time. `write` receives the pieces of a stream.

    Raises:
        IntegrityError: the verification of the ledger failed.
        OutputError: the backup could not be written; no part of it is left.
        StorageError: there is no ledger, or it cannot be reached.
        UsageError: the place already exists, or the ledger is in a database.

    """
    source = place_of(config)
    if not isinstance(source, LedgerFolder):
        raise UsageError(
            "a ledger in a database is backed up by what backs up the database; nothing was written",
            "pg_dump makes a consistent copy",
        )
    source.must_exist()
    path = source.home
    backup_path = _place(to, path)
    with aside_for(to, backup_path) as aside:
        try:
            manifest = take_backup.take(
                path,
                aside,
                with_transit(config, source.keyring()),
                keys=keys,
                verify=verify,
                by=caller(),
                timeout=float(config.number("timeout")),
                progress=progress,
            )
        except JitidError as error:
            raise take_backup.refused(error) from error
        size = sum(entry[0] for entry in manifest.files.values())
        try:
            _store(to, backup_path, aside, manifest, write)
        except OSError as error:
            raise OutputError(
                f"{'standard output' if to == OUT else quote(backup_path, 200)} could not be written: "
                f"{(error.strerror or 'error').lower()}"
            ) from error
    return MadeBackup(backup_path, manifest, size)


def _place(to: str, ledger: str) -> str:
    if to == OUT:
        return OUT
    backup_path = to.rstrip("/") or to
    if os.path.isdir(to) and not os.path.lexists(os.path.join(to, archive.MANIFEST)):
        name = time.strftime("jitid-%Y%m%dT%H%M%SZ", time.gmtime())
        backup_path = os.path.join(to, name)
    if os.path.lexists(backup_path):
        raise UsageError(
            f"{quote(backup_path, 200)} is there already, and nothing is written over it",
            "name another place",
        )
    parent = os.path.dirname(backup_path) or "."
    if not os.path.isdir(parent):
        raise UsageError(
            f"there is no folder {quote(parent, 200)} for the backup", "make it, or name another place"
        )
    ledger_path = os.path.realpath(ledger)
    if os.path.commonpath([ledger_path, os.path.realpath(parent)]) == ledger_path:
        raise UsageError(
            "a backup inside of the ledger's folder would be lost with it; nothing was written",
            "name a place elsewhere, best on another disk",
        )
    return backup_path


@contextmanager
def aside_for(to: str, backup_path: str) -> Iterator[str]:
    """Create the private folder in which a backup is assembled, and remove it at the end if it still exists."""
    if to == OUT:
        import tempfile

        parent = tempfile.gettempdir()
    else:
        parent = os.path.dirname(backup_path) or "."
    try:
        folder.remove_abandoned(parent, _ASIDE)
        aside, lock = folder.begin(parent, _ASIDE)
    except PermissionError as error:
        raise RefusedError(f"no backup can be made in {quote(parent, 200)}: {error.strerror}") from error
    except OSError as error:
        raise OutputError(f"{quote(parent, 200)} cannot be written: {error.strerror}") from error
    try:
        check_private(aside, "the folder of the backup")
        yield aside
    finally:
        folder.remove(aside)
        os.close(lock)


def _store(to: str, backup_path: str, aside: str, manifest: Manifest, write: Callable[[bytes], None]) -> None:
    if to == OUT:
        archive.pack(aside, _Stream(write), manifest.at)
        return
    parent = os.path.dirname(backup_path) or "."
    if not backup_path.endswith(_TAR):
        sync_folder(aside)
        if not folder.publish(aside, backup_path, parent):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), backup_path)
        # Before the rename, the lock file showed other processes that the folder was in use.
        os.unlink(os.path.join(backup_path, folder.LOCK))
        return
    tar_path = os.path.join(aside, "whole")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(tar_path, flags, 0o600), "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        archive.pack(aside, file, manifest.at)
        file.flush()
        os.fsync(file.fileno())
    _name(tar_path, backup_path)
    sync_folder(parent)


def _name(tar_path: str, backup_path: str) -> None:
    """Give a file its final name, unless that name exists. Raises OSError."""
    try:
        # A rename would replace a file that was created there meanwhile.
        os.link(tar_path, backup_path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS):
            raise
        if os.path.lexists(backup_path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), backup_path) from error
        os.rename(tar_path, backup_path)


class _Stream:
    """Standard output as the destination of a tar file."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write

    def write(self, data: bytes) -> int:
        """Write all of `data`. Raises OutputError."""
        self._write(data)
        return len(data)
