"""Private files: made 0600 whatever the umask, replaced whole, never reached through a link."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress

from jitid.errors import IntegrityError, JitidError, OutputError, RefusedError
from jitid.text import quote


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
    _write(path, data, 0o600)


def write_public(path: str, data: bytes) -> None:
    """Write `data` as `write_private` does, but for everybody to read: mode 0644.

    Raises:
        OutputError: it could not be written; an old file is as it was.

    """
    _write(path, data, 0o644)


def _write(path: str, data: bytes, mode: int) -> None:
    try:
        special = os.path.exists(path) and not os.path.isfile(path)
        if special:
            _write_through(path, data)
        else:
            _replace(path, data, mode)
    except OSError as error:
        raise OutputError(
            f"{quote(path, 200)} could not be written: {(error.strerror or 'error').lower()}"
        ) from error


def _write_through(path: str, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        _write_all(descriptor, data)
    finally:
        os.close(descriptor)


def _replace(path: str, data: bytes, mode: int) -> None:
    folder, name = os.path.split(path)
    aside = os.path.join(folder, f".{name[:100]}.{os.urandom(6).hex()}")
    # The mode is given at creation: a later chmod leaves a moment when others can read the secret.
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        try:
            # A umask can only take permissions away; an owner who may not write could not renew the file later.
            os.fchmod(descriptor, mode)
            _give_to_owner(descriptor, path)
            _write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        # Whatever can be refused is asked for while the old file still stands.
        held = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.rename(aside, path)
            _sync_names(held)
        finally:
            os.close(held)
    except BaseException:
        # Unless it has its name already.
        with suppress(FileNotFoundError):
            os.unlink(aside)
        raise


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
