"""Private files: made 0600 whatever the umask, replaced whole, never reached through a link."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self

from jitid.errors import IntegrityError, JitidError, OutputError, RefusedError
from jitid.text import quote

# What a stream collects before it is written.
_PIECE = 1 << 16


def check_private(path: str, what: str) -> os.stat_result:
    """Return the status of a file or folder that only its owner may reach.

    Raises:
        FileNotFoundError: it is not there.
        IntegrityError: it is a link, open to others, or somebody else's.
        RefusedError: this user may not look.

    """
    try:
        status = os.lstat(path)
    except PermissionError as error:
        raise RefusedError(f"{what} {path} is out of reach for this user: {error.strerror}") from error
    if stat.S_ISLNK(status.st_mode):
        raise IntegrityError(
            f"{what} {path} is a symbolic link, and none is followed here", "name the real place"
        )
    if status.st_mode & 0o077:
        mode = "700" if stat.S_ISDIR(status.st_mode) else "600"
        raise IntegrityError(
            f"{what} {path} is open to others (mode {stat.S_IMODE(status.st_mode):03o}); nothing was changed",
            f"chmod {mode} {path}",
        )
    me = os.geteuid()
    if status.st_uid != me and me != 0:
        raise RefusedError(f"{what} {path} belongs to another user", "run the command as its owner")
    return status


class ReadableError(IntegrityError):
    """A file that others may read, where that does no harm."""


def offences(path: str, readable: str | None = None) -> Iterator[JitidError]:
    """Yield what is wrong with each thing in a private folder, itself included: all of it, not the first alone.

    Files are for their owner alone, and all of one owner; no link is followed. What others may only read is a
    ReadableError in the folder `readable`.
    """
    try:
        owner = os.lstat(path).st_uid
    except OSError as error:
        yield RefusedError(f"{path} is out of reach for this user: {error.strerror}")
        return
    me = os.geteuid()
    if me not in (0, owner):
        yield RefusedError(f"{path} belongs to another user", "run the command as its owner")
    folders = [path]
    yield from _offences(path, owner)
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    yield from _offences(entry.path, owner, readable=os.path.dirname(entry.path) == readable)
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
        except FileNotFoundError:
            continue  # it went away while we looked
        except OSError as error:
            yield RefusedError(f"{error.filename} is out of reach for this user: {error.strerror}")


def _offences(path: str, owner: int, *, readable: bool = False) -> Iterator[JitidError]:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    from shlex import quote as word

    shown = word(path)
    mode = stat.S_IMODE(status.st_mode)
    right, needed = (0o700, 0o500) if stat.S_ISDIR(status.st_mode) else (0o600, 0o400)
    if stat.S_ISLNK(status.st_mode):
        yield IntegrityError(
            f"{path} is a symbolic link, and none is followed here",
            f'real=$(readlink -e {shown}) && rm {shown} && mv "$real" {shown}',
        )
    elif not (stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode)):
        yield IntegrityError(f"{path} is neither a file nor a folder", f"rm -i {shown}")
    elif readable and mode & 0o022 and stat.S_ISREG(status.st_mode):
        yield IntegrityError(f"{path} may be written by others (mode {mode:03o})", f"chmod go-w {shown}")
    elif readable and mode & 0o077 and stat.S_ISREG(status.st_mode):
        yield ReadableError(f"{path} may be read by others (mode {mode:03o})", f"chmod {right:o} {shown}")
    elif mode & 0o077:
        yield IntegrityError(f"{path} is open to others (mode {mode:03o})", f"chmod {right:o} {shown}")
    elif mode & needed != needed:
        yield IntegrityError(f"{path} is closed to its owner (mode {mode:03o})", f"chmod {right:o} {shown}")
    if status.st_uid != owner:
        yield IntegrityError(f"{path} belongs to another user than its folder", f"chown -h {owner} {shown}")


def write_private(path: str, data: bytes) -> None:
    """Write `data` durably to `path` with mode 0600: a reader sees the old file or the new one, never a part.

    A link at `path` is replaced, not followed. What is no regular file (a terminal, a pipe) is written to directly.

    Raises:
        OutputError: it could not be written; an old file is as it was.

    """
    with writing_private(path) as file:
        file.write_bytes(data)


def write_public(path: str, data: bytes) -> None:
    """Write `data` as `write_private` does, but for everybody to read: mode 0644.

    Raises:
        OutputError: it could not be written; an old file is as it was.

    """
    with writing_public(path) as file:
        file.write_bytes(data)


def writing_private(path: str) -> Replacement:
    """Return what writes to `path` piece by piece, as `write_private` does all at once."""
    return Replacement(path, 0o600)


def writing_public(path: str) -> Replacement:
    """Return what writes to `path` piece by piece, as `write_public` does all at once."""
    return Replacement(path, 0o644)


class Replacement:
    """A file in the place of another, from the end of a `with` block on, and only if the block ends well.

    What could not be written raises OutputError; then, and if the block raises anything, an old file is as it was
    and nothing of the new one is left. What is no regular file gets each piece as it comes.
    """

    def __init__(self, path: str, mode: int) -> None:
        """`mode` is that of the new file, whatever the umask."""
        self._path = path
        self._mode = mode
        folder, name = os.path.split(path)
        self._folder = folder or "."
        self._aside: str | None = os.path.join(folder, f".{name[:100]}.{os.urandom(6).hex()}")
        self._descriptor = -1
        self._pieces: list[bytes] = []
        self._size = 0

    def __enter__(self) -> Self:
        try:
            with _told(self._path):
                self._open()
        except BaseException:
            self._discard()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                with _told(self._path):
                    self._flush()
                    self._publish()
        finally:
            # Once the file has its name, nothing is left to throw away.
            self._discard()

    def write(self, text: str) -> None:
        """Add text, as UTF-8. Raises OutputError."""
        # Lone surrogates (undecodable bytes of a file name) must not turn a report into a crash.
        self.write_bytes(text.encode("utf-8", "backslashreplace"))

    def write_bytes(self, data: bytes) -> None:
        """Add bytes. Raises OutputError."""
        self._pieces.append(data)
        self._size += len(data)
        if self._size >= _PIECE:
            with _told(self._path):
                self._flush()

    def _open(self) -> None:
        if self._path == "-":
            raise OutputError("`-` is no file: without --out it goes to standard output")
        if is_special(self._path):
            self._aside = None
            # Standard output by its name may be a file that others write to as well: nothing of theirs is overwritten.
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            return
        assert self._aside is not None
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        # The mode is given at creation: a later chmod leaves a moment when others can read the secret.
        self._descriptor = os.open(self._aside, flags, self._mode)
        # A umask can only take permissions away; an owner who may not write could not renew the file later.
        os.fchmod(self._descriptor, self._mode)
        # Whoever clears up after the dead sees that this one lives; not every file system has such locks.
        with suppress(OSError):
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        _give_to_owner(self._descriptor, self._path)

    def _flush(self) -> None:
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        _write_all(self._descriptor, data)

    def _publish(self) -> None:
        if self._aside is None:
            return
        os.fsync(self._descriptor)
        # Whatever can be refused is asked for while the old file still stands.
        held = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.rename(self._aside, self._path)
            _sync_names(held)
        finally:
            os.close(held)

    def _discard(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        with suppress(OSError):
            if descriptor >= 0:
                os.close(descriptor)
        with suppress(OSError):
            if self._aside is not None:
                os.unlink(self._aside)


@contextmanager
def _told(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{quote(path, 200)} could not be written: {(error.strerror or 'error').lower()}"
        ) from error


def is_special(path: str) -> bool:
    """Tell whether something is written to, and not replaced: a pipe, a device, an open descriptor by its name."""
    if not os.path.exists(path):
        return False
    folder = os.path.realpath(os.path.dirname(path) or ".")
    # /dev/stdout and /dev/fd/3 are links to what may be a regular file: replacing the link would break the system.
    return not os.path.isfile(path) or folder == "/dev" or folder.startswith("/proc/")


def read_regular(path: str, most: int) -> bytes:
    """Return the first `most` bytes of a regular file, and none of what is none: reading a pipe would wait for ever.

    Raises OSError.
    """
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if is_special(path):
        return b""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        return file.read(most) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""


def _give_to_owner(descriptor: int, path: str) -> None:
    """Let a file that root replaces belong to whom it belonged before."""
    if os.geteuid() != 0:
        return
    try:
        status = os.lstat(path)
    except OSError:
        return
    if stat.S_ISREG(status.st_mode) and status.st_uid != 0:
        os.fchown(descriptor, status.st_uid, status.st_gid)


def _sync_names(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems cannot do that for folders.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_folder(path: str) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
