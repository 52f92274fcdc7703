"""A client's file: read through links, and replaced as a whole with its own mode, or removed again."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from jitid.capabilities.setup.splice import ClientFileError
from jitid.errors import ConfigurationError, StorageError
from jitid.system.files import FileReplacement, remove_leftovers
from jitid.values.record import Record
from jitid.values.text import foreign, quote

MAX_BYTES = 64 << 20
_NEW_MODE = 0o600
_UNCHANGED = "nothing was changed"


class FileContent(Record):
    """The content of a client's file."""

    path: str
    """Its real path: behind all links."""
    text: str
    """Empty for a missing file."""
    exists: bool
    mark: tuple[int, ...]
    """Number, size and time of the file: another process that replaces it changes them."""
    mode: int


def read(path: str) -> FileContent:
    """Return the content of a client's file, which may be missing.

    Raises:
        ConfigurationError: it is not a regular file of this user, or not UTF-8.

    """
    real = os.path.realpath(path)
    try:
        status = os.stat(real)
        if not stat.S_ISREG(status.st_mode):
            raise ConfigurationError(f"{quote(path, 200)} is not a regular file; {_UNCHANGED}")
        if status.st_uid != os.geteuid():
            raise ConfigurationError(
                f"{quote(path, 200)} belongs to another user; {_UNCHANGED}", "run the command as its owner"
            )
        if status.st_size > MAX_BYTES:
            raise ConfigurationError(f"{quote(path, 200)} has more than {MAX_BYTES >> 20} MiB; {_UNCHANGED}")
        with open(real, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return missing(real)
    except OSError as error:
        reason = (error.strerror or "error").lower()
        raise ConfigurationError(f"{quote(path, 200)} cannot be read: {reason}; {_UNCHANGED}") from error
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ConfigurationError(f"{quote(path, 200)} is not UTF-8; {_UNCHANGED}")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise ConfigurationError(f"{quote(path, 200)} is not UTF-8; {_UNCHANGED}") from None
    return FileContent(real, text, exists=True, mark=_mark(status), mode=stat.S_IMODE(status.st_mode))


def missing(path: str) -> FileContent:
    """Return the content of a file that is not there."""
    return FileContent(path, "", exists=False, mark=(), mode=_NEW_MODE)


def check_within(path: str, folder: str) -> None:
    """Raise ConfigurationError if links lead from a file of a project out of its folder: the project made them."""
    real, root = os.path.realpath(path), os.path.realpath(folder)
    if not real.startswith(f"{root.rstrip('/')}/"):
        raise ConfigurationError(
            f"{quote(path, 200)} leads to {quote(real, 200)}, outside of {quote(root, 200)}; {_UNCHANGED}",
            "replace the link by a file or a folder",
        )


def _mark(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def check_writable(content: FileContent) -> None:
    """Raise ConfigurationError if the file may not be replaced, before anything is changed."""
    if content.exists:
        status = os.stat(content.path)
        if not os.access(content.path, os.W_OK) or not status.st_mode & stat.S_IWUSR:
            raise ConfigurationError(
                f"{quote(content.path, 200)} is read-only; {_UNCHANGED}", "change its mode first"
            )
        if status.st_nlink > 1:
            raise ConfigurationError(
                f"{quote(content.path, 200)} has {status.st_nlink} hard links, which a new file would break; "
                f"{_UNCHANGED}",
                "replace them by symbolic links",
            )
    folder = os.path.dirname(content.path)
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigurationError(f"the folder {quote(folder, 200)} cannot be written to; {_UNCHANGED}")


def write(content: FileContent, text: str) -> list[str]:
    """Replace the file; return the folders that were made for it.

    Raises:
        StorageError: another process changed the file meanwhile; its content stays.
        OutputError: it could not be written; the old file is unchanged.

    """
    folders = _make_folders(os.path.dirname(content.path))
    try:
        with FileReplacement(content.path, content.mode) as file:
            file.write_bytes(text.encode())
            _check_same(content)
    except BaseException:
        remove_folders(folders)
        raise
    remove_leftovers(content.path)
    return folders


def delete(content: FileContent) -> None:
    """Delete the file. Raises StorageError if another process changed it meanwhile, or if the system refuses."""
    _check_same(content)
    try:
        os.unlink(content.path)
    except OSError as error:
        raise StorageError(
            f"{quote(content.path, 200)} cannot be deleted: {foreign((error.strerror or 'error').lower())}"
        ) from error


def _check_same(content: FileContent) -> None:
    try:
        mark = _mark(os.stat(content.path))
    except FileNotFoundError:
        mark = ()
    if mark != content.mark:
        raise StorageError(
            f"another program changed {quote(content.path, 200)} meanwhile; {_UNCHANGED}", "try again"
        )


def _make_folders(folder: str) -> list[str]:
    missing = []
    while not os.path.lexists(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    for each in reversed(missing):
        try:
            os.mkdir(each, 0o700)
        except FileExistsError:
            missing.remove(each)
        except OSError as error:
            reason = (error.strerror or "error").lower()
            raise StorageError(f"the folder {quote(each, 200)} cannot be made: {reason}") from error
    return missing


def remove_folders(folders: list[str]) -> None:
    """Remove folders that are empty, the innermost first."""
    for folder in folders:
        with suppress(OSError):
            os.rmdir(folder)


@contextmanager
def locked(folder: str) -> Iterator[None]:
    """Let one process at a time change clients' files: a second one waits. Raises StorageError."""
    try:
        _make_folders(folder)
        descriptor = os.open(
            os.path.join(folder, "lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
    except OSError as error:
        reason = (error.strerror or "error").lower()
        raise StorageError(
            f"the folder {quote(folder, 200)} cannot be used: {reason}; {_UNCHANGED}"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def failure(path: str, error: ClientFileError) -> ConfigurationError:
    """Return the error about the content of a file, with its path."""
    return ConfigurationError(f"{quote(path, 200)}: {error.message}; {_UNCHANGED}", error.hint)
