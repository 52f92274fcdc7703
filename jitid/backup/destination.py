"""`jitid ledger backup`: the places of backups. A backup gets its final name only when it is complete."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from jitid.authority.open import caller, place_of, with_transit
from jitid.backup import archive, snapshot
from jitid.backup.snapshot import BackupProgress, Manifest
from jitid.errors import (
    JitidError,
    OutputError,
    RefusedError,
    UsageError,
)
from jitid.ledger.sqlite import folder
from jitid.ledger.sqlite.ledger_folder import LedgerFolder
from jitid.system.files import sync_folder
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.config.effective import Config

OUT = "-"
"""The path that means standard output or standard input."""

_ASIDE = "jitid-backup"
_TAR = ".tar"


class MadeBackup(NamedTuple):
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
    place = _place(to, path)
    with aside_for(to, place) as aside:
        try:
            manifest = snapshot.take(
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
            raise snapshot.refused(error) from error
        size = sum(entry[0] for entry in manifest.files.values())
        try:
            _store(to, place, aside, manifest, write)
        except OSError as error:
            raise OutputError(
                f"{'standard output' if to == OUT else quote(place, 200)} could not be written: "
                f"{(error.strerror or 'error').lower()}"
            ) from error
    return MadeBackup(place, manifest, size)


def _place(to: str, ledger: str) -> str:
    if to == OUT:
        return OUT
    place = to.rstrip("/") or to
    if os.path.isdir(to) and not os.path.lexists(os.path.join(to, archive.MANIFEST)):
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
def aside_for(to: str, place: str) -> Iterator[str]:
    """Create the private folder in which a backup is assembled, and remove it at the end if it still exists."""
    from jitid.system.files import check_private

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
        folder.remove(aside)
        os.close(held)


def _store(to: str, place: str, aside: str, manifest: Manifest, write: Callable[[bytes], None]) -> None:
    if to == OUT:
        archive.pack(aside, _Stream(write), manifest.at)
        return
    parent = os.path.dirname(place) or "."
    if not place.endswith(_TAR):
        sync_folder(aside)
        if not folder.publish(aside, place, parent):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), place)
        # Before the rename, the lock file showed other processes that the folder was in use.
        os.unlink(os.path.join(place, folder.LOCK))
        return
    whole = os.path.join(aside, "whole")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(whole, flags, 0o600), "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        archive.pack(aside, file, manifest.at)
        file.flush()
        os.fsync(file.fileno())
    _name(whole, place)
    sync_folder(parent)


def _name(whole: str, place: str) -> None:
    """Give a file its final name, unless that name exists. Raises OSError."""
    try:
        # A rename would replace a file that was created there meanwhile.
        os.link(whole, place)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS):
            raise
        if os.path.lexists(place):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), place) from error
        os.rename(whole, place)


class _Stream:
    """Standard output as the destination of a tar file."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write

    def write(self, data: bytes) -> int:
        """Write all of `data`. Raises OutputError."""
        self._write(data)
        return len(data)
