"""A folder of public files: each file is replaced completely, by one writer at a time, and no link is followed."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

from jitid.errors import BusyError, OutputError
from jitid.values.text import quote

_ASIDE = re.compile(r"\..+\.[0-9a-f]{12}\.part")
"""The temporary name of a file until it is complete."""
_AGAIN = 0.05
"""Seconds between two attempts to lock the folder."""
_OPEN = 0o755
"""The mode of the folder, regardless of the umask: other users must be able to read its files."""
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class PublicFolder:
    """A folder that this writer locks during a `with` block.

    Names of files have at most one folder before them. A file that cannot be read counts as missing. A failed write
    raises OutputError, and the old content is unchanged.
    """

    def __init__(self, path: str, patience: float, *, dry: bool = False) -> None:
        """`patience`: the maximum wait for another writer in seconds; `dry`: change nothing and do not wait."""
        self._path = path
        self._patience = patience
        self._dry = dry
        self._root_descriptor = -1
        self._made = False
        self._folders: dict[str, int] = {}

    def __enter__(self) -> Self:
        try:
            with self._as_output_errors(""):
                self._open()
            if self._root_descriptor >= 0 and not self._dry:
                self._lock()
                self._clear("")
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._close()
        if kind is not None and self._made:
            # An empty folder is removed after a failure; a folder with files stays.
            with suppress(OSError):
                os.rmdir(self._path)

    def read(self, name: str, max_size: int) -> bytes | None:
        """Return the first `max_size` bytes of a file; None if it is missing, a link, or not a regular file."""
        folder, base = os.path.split(name)
        try:
            descriptor = os.open(
                base, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._at(folder)
            )
        except OSError:
            return None
        # `os.open` opens a folder too, and `open` fails for it.
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            return None
        with open(descriptor, "rb") as file:
            return file.read(max_size)

    def has(self, name: str) -> bool:
        """Return whether an entry of any kind has that name."""
        folder, base = os.path.split(name)
        try:
            os.stat(base, dir_fd=self._at(folder), follow_symlinks=False)
        except OSError:
            return False
        return True

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder of it, sorted."""
        try:
            return sorted(os.listdir(self._at(folder)))
        except OSError:
            return []

    def write(self, name: str, data: bytes) -> None:
        """Write a file, replacing an existing one: readers see the old file or the new one, never a part.

        Raises:
            OutputError: it could not be written.

        """
        if self._dry:
            return
        folder, base = os.path.split(name)
        with self._as_output_errors(name):
            folder_descriptor = self._at(folder, make=True)
            temp_name = f".{base}.{os.urandom(6).hex()}.part"
            try:
                _write(folder_descriptor, temp_name, data)
                os.rename(temp_name, base, src_dir_fd=folder_descriptor, dst_dir_fd=folder_descriptor)
            except BaseException:
                with suppress(OSError):
                    os.unlink(temp_name, dir_fd=folder_descriptor)
                raise
            os.fsync(folder_descriptor)

    def remove(self, name: str) -> None:
        """Remove a file. Raises OutputError."""
        if self._dry:
            return
        folder, base = os.path.split(name)
        with self._as_output_errors(name), suppress(FileNotFoundError):
            os.unlink(base, dir_fd=self._at(folder))

    def _open(self) -> None:
        self._made = not self._dry and _made(self._path)
        try:
            self._root_descriptor = os.open(self._path, _FLAGS)
        except FileNotFoundError:
            if not self._dry:
                raise
        if self._made:
            os.fchmod(self._root_descriptor, _OPEN)

    def _lock(self) -> None:
        deadline = time.monotonic() + self._patience
        while True:
            try:
                with self._as_output_errors(""):
                    fcntl.flock(self._root_descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OutputError as error:
                if not isinstance(error.__cause__, BlockingIOError):
                    raise
                if time.monotonic() >= deadline:
                    raise BusyError(
                        f"another process publishes to {quote(self._path, 200)}; nothing was changed",
                        "repeat the command, or use a longer --timeout",
                    ) from None
                time.sleep(_AGAIN)
            else:
                return

    def _at(self, folder: str, *, make: bool = False) -> int:
        """Return the descriptor of one of its folders. Raises OSError."""
        if not folder or self._root_descriptor < 0:
            if self._root_descriptor < 0:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            return self._root_descriptor
        if folder not in self._folders:
            created = make and _made(folder, self._root_descriptor)
            self._folders[folder] = os.open(folder, _FLAGS | os.O_NOFOLLOW, dir_fd=self._root_descriptor)
            if created:
                os.fchmod(self._folders[folder], _OPEN)
                os.fsync(self._root_descriptor)
            if not self._dry:
                self._clear(folder)
        return self._folders[folder]

    def _clear(self, folder: str) -> None:
        """Remove the temporary files of writers that were killed; the lock excludes other active writers."""
        for name in self.names(folder):
            if _ASIDE.fullmatch(name):
                with suppress(OSError):
                    os.unlink(name, dir_fd=self._at(folder))

    def _close(self) -> None:
        for descriptor in (*self._folders.values(), self._root_descriptor):
            if descriptor >= 0:
                os.close(descriptor)
        self._folders.clear()
        self._root_descriptor = -1

    @contextmanager
    def _as_output_errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            path = os.path.join(self._path, name) if name else self._path
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                reason = "it is in a symbolic link, which is never followed, or in a file instead of a folder"
            else:
                reason = (error.strerror or "error").lower()
            raise OutputError(
                f"{quote(path, 200)} could not be written: {reason}; the previous file is unchanged",
                "the published files stay consistent: mend the cause, then repeat the command",
            ) from error


def _made(path: str, folder: int | None = None) -> bool:
    """Create a folder; return False if the path exists already. Raises OSError."""
    try:
        os.mkdir(path, _OPEN, dir_fd=folder)
    except FileExistsError:
        return False
    return True


def _write(folder: int, name: str, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, 0o644, dir_fd=folder)
    try:
        # A umask can only take permissions away, and other users must be able to read it.
        os.fchmod(descriptor, 0o644)
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
