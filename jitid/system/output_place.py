"""Permitted places of output: a regular file of the caller, a descriptor that the caller opened, a harmless device.

A secret elsewhere is lost: the owner of a file, the reader of a pipe or the target of a link would get it. So each
command calls `check_output` before it issues a credential, and `files.FileReplacement` checks again when it writes.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import suppress

from jitid.errors import OutputError, UsageError
from jitid.values.record import Record
from jitid.values.text import quote

_NAMED = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
_FOLDERS = ("/dev/fd", "/proc/self/fd", "/proc/thread-self/fd")
"""The folders in which the system lists the open descriptors of a process by number."""
_STANDARD = 2
"""The last of the standard descriptors of a process."""
_HARMLESS = ("/dev/null", "/dev/full", "/dev/tty")
"""Devices that pass no data to other users: two have no reader, and the third is the caller's terminal."""
_NO_TEMPORARY = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT)
"""The errors of file systems and kernels without nameless files; a missing folder is detected before."""
_OPEN_IT = "open it in the shell, such as --out /dev/fd/3 3> FILE"


class OutputPlace(Record):
    """The checked place at the path of an output."""

    descriptor: int | None = None
    """The caller's open descriptor that the path names; None for another path."""
    device: bool = False
    """Whether it is a device, which is written to and never replaced."""


def check_output(path: str | None) -> None:
    """Check the path of an output before anything is issued, and change nothing; None is standard output.

    Raises:
        UsageError: the path is not a permitted place, such as another user's file or a link.
        OutputError: the file could not be written, as in a folder that does not exist.

    """
    if path is None:
        return
    try:
        if place_at(path) == OutputPlace():
            _try(os.path.dirname(path) or ".")
    except UsageError as error:
        raise UsageError(f"{error.message}; nothing was changed", error.hint) from error
    except OSError as error:
        reason = (error.strerror or "error").lower()
        raise OutputError(
            f"{quote(path, 200)} could not be written: {reason}; nothing was changed",
            "make its folder first" if isinstance(error, FileNotFoundError) else None,
        ) from error
    except ValueError as error:
        raise UsageError(f"{quote(path, 200)} is not a path; nothing was changed") from error


def place_at(
    path: str, *, folder: int | None = None, link: bool = False, owner: int | None = None
) -> OutputPlace:
    """Return the place at the path of an output, if output may go there.

    With `folder`, the path is a name in that open folder. With `link`, a symbolic link is permitted, because the
    caller replaces it. `owner` is another user whose file is permitted.

    Raises:
        UsageError: it is a link, a pipe, a socket, a foreign device, or a file of another user.
        OSError: it is a folder, or cannot be reached.

    """
    if folder is None and path == "-":
        raise UsageError("`-` is not a file", "without --out, the output goes to standard output")
    if folder is None and (descriptor := descriptor_of(path)) is not None:
        _check_descriptor(descriptor, path)
        return OutputPlace(descriptor)
    try:
        status = os.stat(path, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return OutputPlace()
    mode = status.st_mode
    if stat.S_ISREG(mode):
        if status.st_uid not in (os.geteuid(), owner):
            raise UsageError(
                f"{quote(path, 200)} belongs to {_user(status.st_uid)}, not to you",
                "name a new file or a file of your own",
            )
        return OutputPlace()
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if stat.S_ISLNK(mode) and link:
        return OutputPlace()
    if stat.S_ISCHR(mode) and (status.st_uid == os.geteuid() or status.st_rdev in _harmless()):
        return OutputPlace(device=True)
    raise UsageError(
        f"{quote(path, 200)} is {_kind(mode)}, not a regular file",
        "name the file itself" if stat.S_ISLNK(mode) else "name a regular file, or redirect standard output",
    )


def descriptor_of(path: str) -> int | None:
    """Return the number of the open descriptor that a path such as /dev/fd/3 names; None for another path."""
    absolute_path = os.path.abspath(path)
    if absolute_path in _NAMED:
        return _NAMED[absolute_path]
    folder, name = os.path.split(absolute_path)
    if not (name.isascii() and name.isdigit() and len(name) <= len("1048576")):
        return None
    return int(name) if folder in (*_FOLDERS, f"/proc/{os.getpid()}/fd") else None


def _check_descriptor(descriptor: int, path: str) -> None:
    """Raise UsageError for a descriptor that the caller did not open for writing.

    Such a descriptor belongs to the ledger or to another file.
    """
    try:
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        # Descriptors that this process opened are not inheritable; descriptors that it was started with are.
        inherited = descriptor <= _STANDARD or os.get_inheritable(descriptor)
    except OSError as error:
        raise UsageError(f"{quote(path, 200)} is not an open descriptor", _OPEN_IT) from error
    if not inherited or flags & os.O_ACCMODE == os.O_RDONLY:
        raise UsageError(f"{quote(path, 200)} is not open for writing", _OPEN_IT)


def _try(folder: str) -> None:
    """Create a nameless file in a folder, if the system supports that. Raises OSError."""
    if not os.path.isdir(folder):
        code = errno.ENOTDIR if os.path.lexists(folder) else errno.ENOENT
        raise OSError(code, os.strerror(code), folder)
    nameless = getattr(os, "O_TMPFILE", None)
    if nameless is None:
        return
    try:
        os.close(os.open(folder, nameless | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except OSError as error:
        if error.errno not in _NO_TEMPORARY:
            raise


def _harmless() -> set[int]:
    devices = set()
    for path in _HARMLESS:
        with suppress(OSError):
            devices.add(os.stat(path).st_rdev)
    return devices


def _kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    if stat.S_ISFIFO(mode):
        return "a named pipe"
    if stat.S_ISSOCK(mode):
        return "a socket"
    return "a device"


def _user(uid: int) -> str:
    from pwd import getpwuid

    try:
        return f"user {quote(getpwuid(uid).pw_name)}"
    except KeyError:
        return f"user {uid}"


def is_special(path: str) -> bool:
    """Return whether output to a path does not replace a file: a pipe, a device, or an open descriptor."""
    return os.path.exists(path) and (descriptor_of(path) is not None or not os.path.isfile(path))
