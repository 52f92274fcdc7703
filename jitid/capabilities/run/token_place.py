"""The path where a command finds its token: always complete, and the same path when the token changes."""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import suppress
from typing import Protocol

from jitid.errors import IntegrityError, StorageError, UsageError
from jitid.system.files import open_to_others, write_private
from jitid.system.output_place import check_output
from jitid.values.text import quote

_FILE = "token"
IDENTITY = "identity"
"""The file name of an identity token that is delivered with tokens for services."""
STARTED_BY = "JITID_STARTED_BY"
"""The variable with the number of the user whose own access to a remote authority the outermost `jitid run` used."""
RUN_TOKEN = "JITID_PARENT_FILE"  # noqa: S105 - a variable, which names a file
"""The variable by which a jitid inside `run` finds the identity token of that run."""
RUN_SERVICE = "JITID_TOKEN_FILE"
"""The variable by which a command inside `run` finds the token that it shows to a service."""


class TokenPlace(Protocol):
    """A path at which a token can be read, and replaced atomically."""

    path: str

    def put(self, token: str, end: str = "\n") -> None:
        """Write `token` and `end` to the path. Raises OutputError and StorageError; the old token then stays."""

    def was_read(self) -> bool:
        """Return whether a process has read the current token, as far as the file system records that."""

    def sibling(self, name: str) -> TokenPlace:
        """Return a further place of that name, in the same folder if there is one; close it before this place."""

    def close(self, *, keep: bool = False) -> None:
        """Delete the token; with `keep`, keep a token that can stay without this process."""

    def leave(self) -> None:
        """Close the descriptors that a forked process has inherited; the token stays at the path."""


def open_place(folder: str | None, name: str = _FILE) -> TokenPlace:
    """Return the place for the token: in `folder` if one is named, otherwise in memory if the system supports that.

    `name` is the name of the file.

    Raises:
        UsageError: the folder cannot be used, or another command's token is there.
        IntegrityError: other users may write to the folder.
        StorageError: there is no place for a private file.

    """
    if folder is not None:
        return _Folder(folder, name)
    return _Memory() if _has_memory_files() else _Folder(private_folder(), name, delete_folder=True)


def _has_memory_files() -> bool:
    """Return whether this process has files in memory that its children can open by name."""
    try:
        # If /proc belongs to another PID namespace, this number is another process there.
        return hasattr(os, "memfd_create") and os.readlink("/proc/self") == str(os.getpid())
    except OSError:
        return False


class _Memory:
    """A sealed file in memory, reached through this process's own descriptor: it is never on a disk.

    It is opened by name, so that a command that closes its inherited descriptors, or a child of the command, can read
    it as well. Only the same user in the same PID namespace can. To replace the token, another file takes the
    descriptor.
    """

    def __init__(self) -> None:
        self._descriptor = os.memfd_create("jitid-token", os.MFD_CLOEXEC)
        self.path = f"/proc/{os.getpid()}/fd/{self._descriptor}"
        self._unread = os.fstat(self._descriptor).st_atime_ns
        """The time of access that the file has while no process has read it."""

    def put(self, token: str, end: str = "\n") -> None:
        """Write `token` to the path."""
        try:
            new_descriptor = os.memfd_create("jitid-token", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        except OSError as error:
            raise StorageError(f"no memory for the token: {error.strerror}") from error
        try:
            os.fchmod(new_descriptor, 0o400)
            os.write(new_descriptor, f"{token}{end}".encode())
            # A process that may read the file may also open it for writing: a seal keeps it unchanged.
            fcntl.fcntl(
                new_descriptor,
                fcntl.F_ADD_SEALS,
                fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL,
            )
            self._unread = os.fstat(new_descriptor).st_atime_ns
            os.dup2(new_descriptor, self._descriptor, inheritable=False)
        finally:
            os.close(new_descriptor)

    def was_read(self) -> bool:
        """Return whether a process has read the current token."""
        return os.fstat(self._descriptor).st_atime_ns != self._unread

    def sibling(self, name: str) -> TokenPlace:  # noqa: ARG002 - nothing in memory has a name
        """Return a further place."""
        return _Memory()

    def close(self, *, keep: bool = False) -> None:  # noqa: ARG002 - there is no choice here
        """Delete the token; it cannot stay without this process."""
        os.close(self._descriptor)

    def leave(self) -> None:
        """Close the inherited descriptor."""
        os.close(self._descriptor)


class _Folder:
    """A file of mode 0600 in a folder, replaced by rename."""

    def __init__(self, folder: str, name: str, *, delete_folder: bool = False) -> None:
        self._folder = folder
        self._delete_folder = delete_folder
        """Whether to delete the folder with the token."""
        self._written = False
        """Whether this run wrote the file; a file from before may be a token that an earlier run kept."""
        self._held = _hold(folder)
        _tidy(folder)
        self.path = os.path.join(os.path.abspath(folder), name)
        check_output(self.path)

    def put(self, token: str, end: str = "\n") -> None:
        """Write `token` to the path."""
        write_private(self.path, f"{token}{end}".encode())
        self._written = True

    def was_read(self) -> bool:
        """Return whether a process has read the current token."""
        return self._written and _was_read(self.path)

    def sibling(self, name: str) -> TokenPlace:
        """Return a further place in the folder."""
        return _File(os.path.join(os.path.abspath(self._folder), name))

    def close(self, *, keep: bool = False) -> None:
        """Delete the token, unless `keep` is set."""
        try:
            if self._written and not keep:
                os.unlink(self.path)
            if self._delete_folder and not keep:
                os.rmdir(self._folder)
        except OSError:
            pass  # another process has deleted it already, and the token is no longer valid
        os.close(self._held)

    def leave(self) -> None:
        """Close the inherited descriptor; the lock on the folder stays with the process that holds it."""
        os.close(self._held)


class _File:
    """A further file in a folder that another place holds."""

    def __init__(self, path: str) -> None:
        check_output(path)
        self.path = path
        self._written = False

    def put(self, token: str, end: str = "\n") -> None:
        """Write `token` to the path."""
        write_private(self.path, f"{token}{end}".encode())
        self._written = True

    def was_read(self) -> bool:
        """Return whether a process has read the current token."""
        return self._written and _was_read(self.path)

    def sibling(self, name: str) -> TokenPlace:
        """Return a further place in the folder."""
        return _File(os.path.join(os.path.dirname(self.path), name))

    def close(self, *, keep: bool = False) -> None:
        """Delete the token, unless `keep` is set."""
        if self._written and not keep:
            with suppress(OSError):
                os.unlink(self.path)

    def leave(self) -> None:
        """Do nothing: it has no descriptor."""


def _was_read(path: str) -> bool:
    """Return whether a file was read since it was written; False on a file system that does not record it."""
    try:
        status = os.stat(path)
    except OSError:
        return False
    # A new file has one time for both; the first read sets the time of access, with `relatime` too (mount(8)).
    return status.st_atime_ns > status.st_mtime_ns


def _hold(folder: str) -> int:
    """Return a descriptor that locks the folder against other runs; create the folder if it does not exist."""
    try:
        if not os.path.isdir(folder):
            os.mkdir(folder, 0o700)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a path"
        raise UsageError(f"cannot use the folder {quote(folder, 200)}: {reason.lower()}") from error
    status = os.fstat(descriptor)
    if open_to_others(status):
        os.close(descriptor)
        raise IntegrityError(
            f"other users may write to the folder {quote(folder, 200)}, and replace the token",
            f"chmod go-w {folder}, or name a private folder",
        )
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise UsageError(
            f"a running command uses the token in the folder {quote(folder, 200)}",
            "use a separate folder for each command",
        ) from None
    return descriptor


def _tidy(folder: str) -> None:
    """Delete the files of a run that was killed: its temporary files, and the tokens of a run for vendors.

    A run for vendors keeps no token; any other run may have kept its tokens.
    """
    names = os.listdir(folder)
    for name in names:
        if name.startswith((f".{_FILE}.", f".{_FILE}-", f".{IDENTITY}.")):
            os.unlink(os.path.join(folder, name))
    of_vendors = [
        name for name in names if name.startswith(f"{_FILE}-") and name[len(_FILE) + 1 :][:1].isalpha()
    ]
    deleted = [name for name in of_vendors if _delete_token(os.path.join(folder, name))]
    if deleted and IDENTITY in names:
        _delete_token(os.path.join(folder, IDENTITY))


def _delete_token(path: str) -> bool:
    """Delete a file if it has a token of jitid; return whether it did. Another file of the user's stays."""
    # Imported here: only a killed run leaves such a file.
    from jitid.crypto import jws
    from jitid.errors import InvalidCredentialError
    from jitid.redaction.token_format import OPAQUE_PREFIX

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return False
            text = file.read(jws.MAX_TOKEN + 2)
        token = text.decode("ascii").strip()
        if not (token.startswith(OPAQUE_PREFIX) and token.removeprefix(OPAQUE_PREFIX).isalnum()):
            jws.parse(token, types=jws.TOKENS)
        os.unlink(path)
    except (OSError, UnicodeDecodeError, InvalidCredentialError):
        return False
    return True


def private_folder(longest: int | None = None) -> str:
    """Return a new folder that only this user can enter, in memory if the system has such a place.

    `longest` is the maximum number of bytes of its path: a socket needs a short path. Raises StorageError if there is
    no such place.
    """
    for parent in (os.environ.get("XDG_RUNTIME_DIR"), os.environ.get("TMPDIR"), "/tmp"):  # noqa: S108 - 0700 and new
        if not parent or not parent.startswith("/"):
            continue
        folder = os.path.join(parent, f"jitid-{os.urandom(8).hex()}")
        if longest is not None and len(os.fsencode(folder)) > longest:
            continue
        try:
            os.mkdir(folder, 0o700)
        except OSError:
            continue
        return folder
    raise StorageError(
        "found no folder for a private file", "set XDG_RUNTIME_DIR or TMPDIR to a writable folder"
    )
