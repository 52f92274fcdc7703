"""Private files: created with mode 0600 regardless of the umask, replaced completely, never reached through a link.

The temporary files of killed writers are removed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Self

from jitid.errors import IntegrityError, JitidError, OutputError, RefusedError, UsageError
from jitid.system.output_place import OutputPlace, is_special, place_at
from jitid.values.text import quote

# The bytes that a stream collects before it writes them.
_PIECE = 1 << 16


def check_private(path: str, label: str) -> os.stat_result:
    """Return the status of a file or folder that only its owner may access.

    Raises:
        FileNotFoundError: it does not exist.
        IntegrityError: it is a link, or other users have access.
        RefusedError: it belongs to another user, or this user may not read its status.

    """
    try:
        status = os.lstat(path)
    except PermissionError as error:
        raise RefusedError(f"this user cannot access {label} {path}: {error.strerror}") from error
    if stat.S_ISLNK(status.st_mode):
        raise IntegrityError(
            f"{label} {path} is a symbolic link, which is never followed", "name the target of the link"
        )
    if status.st_mode & 0o077:
        mode = "700" if stat.S_ISDIR(status.st_mode) else "600"
        raise IntegrityError(
            f"{label} {path} is open to others (mode {stat.S_IMODE(status.st_mode):03o}); nothing was changed",
            f"chmod {mode} {path}",
        )
    me = os.geteuid()
    if status.st_uid != me and me != 0:
        raise RefusedError(f"{label} {path} belongs to another user", "run the command as its owner")
    return status


class ReadableError(IntegrityError):
    """A file that others may read, although it contains no secret."""


def offences(path: str, readable: str | None = None) -> Iterator[JitidError]:
    """Yield an error for each problem in a private folder, itself included, and not only for the first one.

    All files must be private and have the same owner; no link is followed. In the folder `readable`, a file that
    others can only read gives a ReadableError.
    """
    try:
        owner = os.lstat(path).st_uid
    except OSError as error:
        yield RefusedError(f"this user cannot access {path}: {error.strerror}")
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
            continue  # it was removed meanwhile
        except OSError as error:
            yield RefusedError(f"this user cannot access {error.filename}: {error.strerror}")


def _offences(path: str, owner: int, *, readable: bool = False) -> Iterator[JitidError]:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    from shlex import quote as word

    quoted = word(path)
    mode = stat.S_IMODE(status.st_mode)
    proper, needed = (0o700, 0o500) if stat.S_ISDIR(status.st_mode) else (0o600, 0o400)
    if stat.S_ISLNK(status.st_mode):
        yield IntegrityError(
            f"{path} is a symbolic link, which is never followed",
            f'real=$(readlink -e {quoted}) && rm {quoted} && mv "$real" {quoted}',
        )
    elif not (stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode)):
        yield IntegrityError(f"{path} is neither a file nor a folder", f"rm -i {quoted}")
    elif readable and mode & 0o022 and stat.S_ISREG(status.st_mode):
        yield IntegrityError(f"{path} may be written by others (mode {mode:03o})", f"chmod go-w {quoted}")
    elif readable and mode & 0o077 and stat.S_ISREG(status.st_mode):
        yield ReadableError(f"{path} may be read by others (mode {mode:03o})", f"chmod {proper:o} {quoted}")
    elif mode & 0o077:
        yield IntegrityError(f"{path} is open to others (mode {mode:03o})", f"chmod {proper:o} {quoted}")
    elif mode & needed != needed:
        yield IntegrityError(f"{path} is closed to its owner (mode {mode:03o})", f"chmod {proper:o} {quoted}")
    if status.st_uid != owner:
        yield IntegrityError(f"{path} belongs to another user than its folder", f"chown -h {owner} {quoted}")


def write_private(path: str, data: bytes, *, of_folder: bool = False) -> None:
    """Write `data` durably to `path` with mode 0600: a reader sees the old file or the new one, never a part.

    A file at `path` is replaced if it is a regular file of this user. Another user's file, a link or a named pipe is
    never written to. An open descriptor (/dev/fd/3) and a device are written to directly.

    Args:
        path: the file.
        data: its new content.
        of_folder: whether a file that root writes belongs to the owner of the folder. That is for files of the ledger
            that hold no secret.

    Raises:
        OutputError: it could not be written; an old file is unchanged.

    """
    with FileReplacement(path, 0o600, of_folder=of_folder) as file:
        file.write_bytes(data)


def write_public(path: str, data: bytes, *, replace_link: bool = False) -> None:
    """Write `data` as `write_private` does, but with mode 0644, readable for all users.

    With `replace_link`, a symbolic link is replaced too.

    Raises:
        OutputError: it could not be written; an old file is unchanged.

    """
    with FileReplacement(path, 0o644, replace_link=replace_link) as file:
        file.write_bytes(data)


def writing_private(path: str) -> FileReplacement:
    """Return a writer of single pieces to `path`, with the rules of `write_private`."""
    return FileReplacement(path, 0o600)


def writing_public(path: str) -> FileReplacement:
    """Return a writer of single pieces to `path`, with the rules of `write_public`."""
    return FileReplacement(path, 0o644)


class FileReplacement:
    """A file that replaces another one at the end of a `with` block, unless the block raises an exception.

    A failed write raises OutputError. After a failed write or an exception in the block, an old file is unchanged and
    no part of the new one is left. An open descriptor and a device get each piece as it comes.
    """

    def __init__(self, path: str, mode: int, *, replace_link: bool = False, of_folder: bool = False) -> None:
        """`mode` is the mode of the new file, regardless of the umask; `replace_link` replaces a symbolic link too.

        `of_folder` has the same meaning as for `write_private`.
        """
        self._path = path
        self._mode = mode
        self._replace_link = replace_link
        self._of_folder = of_folder and os.geteuid() == 0
        folder, self._name = os.path.split(path)
        self._folder_path = folder or "."
        self._aside = f".{self._name[:100]}.{os.urandom(6).hex()}"
        self._folder = -1
        """The open folder: another folder may get its path meanwhile. -1 if no file is replaced."""
        self._descriptor = -1
        self._pieces: list[bytes] = []
        self._size = 0

    def __enter__(self) -> Self:
        try:
            with _as_output_errors(self._path):
                self._open()
        except BaseException:
            self._discard()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                with _as_output_errors(self._path):
                    self._flush()
                    self._publish()
        finally:
            # After the rename, there is no temporary file to delete.
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
            with _as_output_errors(self._path):
                self._flush()

    def _open(self) -> None:
        owner = os.stat(self._folder_path).st_uid if self._of_folder else None
        output = place_at(self._path, link=self._replace_link, owner=owner)
        if output.descriptor is not None:
            # The caller's descriptor: opening its path again could truncate the file, and fails for a socket.
            self._descriptor = os.dup(output.descriptor)
            return
        if output.device:
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC)
            if not stat.S_ISCHR(os.fstat(self._descriptor).st_mode):
                raise OutputError(f"{quote(self._path, 200)} was replaced while it was opened")
            return
        self._folder = os.open(self._folder_path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        # The mode is given at creation: a later chmod leaves a moment when others can read the secret.
        self._descriptor = os.open(self._aside, flags, self._mode, dir_fd=self._folder)
        # A umask can only take permissions away; an owner who may not write could not renew the file later.
        os.fchmod(self._descriptor, self._mode)
        if self._of_folder:
            status = os.fstat(self._folder)
            os.fchown(self._descriptor, status.st_uid, status.st_gid)
        # The lock shows `remove_leftovers` that this writer still runs; not every file system has such locks.
        with suppress(OSError):
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def _flush(self) -> None:
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        _write_all(self._descriptor, data)

    def _publish(self) -> None:
        if self._folder < 0:
            return
        os.fsync(self._descriptor)
        # In a folder that others may write to, another user may have created a file there meanwhile.
        owner = os.fstat(self._folder).st_uid if self._of_folder else None
        if place_at(self._name, folder=self._folder, link=self._replace_link, owner=owner) != OutputPlace():
            raise OutputError(f"{quote(self._path, 200)} was replaced by a device")
        os.rename(self._aside, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        _sync_names(self._folder)

    def _discard(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        folder, self._folder = self._folder, -1
        with suppress(OSError):
            if descriptor >= 0:
                os.close(descriptor)
        if folder >= 0:
            with suppress(OSError):
                os.unlink(self._aside, dir_fd=folder)
            os.close(folder)


@contextmanager
def _as_output_errors(path: str) -> Iterator[None]:
    try:
        yield
    except UsageError as error:
        # The path was checked before the issue, and was changed since.
        raise OutputError(error.message) from error
    except OSError as error:
        raise OutputError(
            f"{quote(path, 200)} could not be written: {(error.strerror or 'error').lower()}"
        ) from error


def read_regular(path: str, limit: int) -> bytes:
    """Return the first `limit` bytes of a regular file. Other kinds are not read: a pipe could make it wait for ever.

    Raises OSError.
    """
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if is_special(path):
        return b""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        return file.read(limit) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""


def _sync_names(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems do not support that for folders.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            # Another process made the shared terminal or pipe non-blocking.
            import select

            select.select([], [descriptor], [])


def sync_folder(path: str) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_MOST_LINKS = 40
"""The limit of Linux for one path (path_resolution(7))."""


def open_to_others(status: os.stat_result, owners: Collection[int] | None = None) -> bool:
    """Return whether users other than the owners, by default root and the caller, can change a file or folder."""
    return bool(status.st_mode & _OTHERS) or status.st_uid not in (owners or trusted_uids())


def trusted_uids() -> tuple[int, int]:
    """Return the users who may change files that the caller relies on: root and the caller."""
    return 0, os.geteuid()


def changeable(path: str) -> str | None:
    """Return the first place where other users can change the target of an absolute path; None if there is none.

    Every folder from the root on is checked, every link, the target of each link, and the file itself, as sshd's
    StrictModes does (sshd_config(5)). In a folder with the sticky bit, users cannot replace files of other users
    (unlink(2)).

    Raises OSError if the path does not exist, or has a circle of links.
    """
    owners = trusted_uids()
    pending = _parts(path)[::-1]
    current, links = "/", 0
    if _is_open(os.lstat(current), owners):
        return current
    while pending:
        name = pending.pop()
        if name == "..":
            # The folders above were checked on the way here.
            current = os.path.dirname(current)
            continue
        entry = os.path.join(current, name)
        status = os.lstat(entry)
        if stat.S_ISLNK(status.st_mode):
            # The mode of a link says nothing (symlink(7)).
            if status.st_uid not in owners:
                return entry
            links += 1
            if links > _MOST_LINKS:
                raise OSError(f"too many links on the way to {path}")
            target = os.readlink(entry)
            current = "/" if target.startswith("/") else current
            pending += _parts(target)[::-1]
            continue
        if _is_open(status, owners):
            return entry
        current = entry
    return None


def _is_open(status: os.stat_result, owners: Collection[int]) -> bool:
    if stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX:
        return status.st_uid not in owners
    return open_to_others(status, owners)


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


_HOUR = 3_600


def remove_leftovers(path: str) -> None:
    """Remove the temporary files beside `path` whose writers were killed at least an hour ago.

    A file must have the name of such a file, belong to this user, be a regular file, and not be locked. A file that
    cannot be removed stays.
    """
    folder, name = os.path.split(path)
    pattern = re.compile(rf"\.{re.escape(name[:100])}\.[0-9a-f]{{12}}")
    with suppress(OSError):
        for entry in os.listdir(folder or "."):
            if pattern.fullmatch(entry):
                with suppress(OSError):
                    _remove_leftover(os.path.join(folder, entry))


def _remove_leftover(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        plain = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and status.st_nlink == 1
        if plain and time.time() - status.st_mtime > _HOUR:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)
    finally:
        os.close(descriptor)
