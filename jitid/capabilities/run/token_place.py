"""Where a command finds its token: always whole, always at the same path, though the token changes."""

from __future__ import annotations

import fcntl
import os
import re
from contextlib import suppress
from typing import Protocol

from jitid.errors import IntegrityError, StorageError, UsageError
from jitid.system.files import write_private
from jitid.system.output_place import check_output
from jitid.system.writers import open_to_others
from jitid.values.text import quote

_FILE = "token"
IDENTITY = "identity"
"""The file of an identity token that stands beside tokens for services."""
STARTED_BY = "JITID_STARTED_BY"
"""Names the user, by number, whose own access to an authority elsewhere the outermost `jitid run` used."""
RUN_TOKEN = "JITID_PARENT_FILE"  # noqa: S105 - a variable, which names a file
"""The variable by which jitid within `run` finds the identity token of that."""
RUN_SERVICE = "JITID_TOKEN_FILE"
"""The variable by which a command within `run` finds the token that it shows to a service."""


def unreadable_hint(path: str, error: OSError) -> str | None:
    """Return what to do where the token that `run` keeps in memory is another user's; None for any other file."""
    if not isinstance(error, PermissionError) or not re.fullmatch(r"/proc/[0-9]+/fd/[0-9]+", path):
        return None
    return (
        "only the user of `jitid run` can read the token that it keeps in memory; in a command of another user, name a "
        "file of that user with the token in JITID_PARENT_FILE, and an authority on loopback in JITID_REMOTE: "
        "see jitid-run(1)"
    )


class TokenPlace(Protocol):
    """A path at which a token can be read, and replaced at once."""

    path: str

    def put(self, token: str) -> None:
        """Let the path give `token` from now on. Raises OutputError and StorageError; it then gives the old one."""

    def beside(self, name: str) -> TokenPlace:
        """Return a further place of that name, in the same folder if this one is in a folder; close it before."""

    def close(self, *, keep: bool = False) -> None:
        """Take the token away; `keep` leaves what can stay without this process."""


def open_place(folder: str | None, name: str = _FILE) -> TokenPlace:
    """Return where the token is to be found: in `folder` if one is named, in memory where the system can do that.

    `name` is that of the file.

    Raises:
        UsageError: the folder cannot be used, or another command's token is there.
        IntegrityError: others may write to it.
        StorageError: there is no place for a private file.

    """
    if folder is not None:
        return _Folder(folder, name)
    return _Memory() if _has_memory_files() else _Folder(private_folder(), name, ours=True)


def _has_memory_files() -> bool:
    """Tell whether this process has files in memory which its children can open by name."""
    try:
        # Where /proc is that of another PID namespace, this number is somebody else's there.
        return hasattr(os, "memfd_create") and os.readlink("/proc/self") == str(os.getpid())
    except OSError:
        return False


class _Memory:
    """A sealed file in memory, reached through this process's own descriptor: nothing of it is on a disk.

    It is opened by name, so that a command that closes what it inherits, or a child of its own, reads it as well.
    Only the same user in the same PID namespace can. To replace the token, another file takes the descriptor.
    """

    def __init__(self) -> None:
        self._descriptor = os.memfd_create("jitid-token", os.MFD_CLOEXEC)
        self.path = f"/proc/{os.getpid()}/fd/{self._descriptor}"

    def put(self, token: str) -> None:
        """Let the path give `token` from now on."""
        try:
            new = os.memfd_create("jitid-token", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        except OSError as error:
            raise StorageError(f"no memory for the token: {error.strerror}") from error
        try:
            os.fchmod(new, 0o400)
            os.write(new, f"{token}\n".encode())
            # Whoever may read it may open it for writing too: a seal is what keeps it as it is.
            fcntl.fcntl(
                new,
                fcntl.F_ADD_SEALS,
                fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL,
            )
            os.dup2(new, self._descriptor, inheritable=False)
        finally:
            os.close(new)

    def beside(self, name: str) -> TokenPlace:  # noqa: ARG002 - nothing in memory has a name
        """Return a further place."""
        return _Memory()

    def close(self, *, keep: bool = False) -> None:  # noqa: ARG002 - there is no choice here
        """Take the token away; it cannot stay without this process."""
        os.close(self._descriptor)


class _Folder:
    """A file of mode 0600 in a folder, replaced by rename."""

    def __init__(self, folder: str, name: str, *, ours: bool = False) -> None:
        self._folder = folder
        self._ours = ours
        """The folder goes when the token goes."""
        self._written = False
        """What stands there is this run's; a token that an earlier one was to keep is not."""
        self._held = _hold(folder)
        _tidy(folder)
        self.path = os.path.join(os.path.abspath(folder), name)
        check_output(self.path)

    def put(self, token: str) -> None:
        """Let the path give `token` from now on."""
        write_private(self.path, f"{token}\n".encode())
        self._written = True

    def beside(self, name: str) -> TokenPlace:
        """Return a further place in the folder."""
        return _File(os.path.join(os.path.abspath(self._folder), name))

    def close(self, *, keep: bool = False) -> None:
        """Take the token away, unless it is to be kept."""
        try:
            if self._written and not keep:
                os.unlink(self.path)
            if self._ours and not keep:
                os.rmdir(self._folder)
        except OSError:
            pass  # somebody has tidied up already, and the token is dead anyway
        os.close(self._held)


class _File:
    """A further file in a folder that another place holds."""

    def __init__(self, path: str) -> None:
        check_output(path)
        self.path = path
        self._written = False

    def put(self, token: str) -> None:
        """Let the path give `token` from now on."""
        write_private(self.path, f"{token}\n".encode())
        self._written = True

    def beside(self, name: str) -> TokenPlace:
        """Return a further place in the folder."""
        return _File(os.path.join(os.path.dirname(self.path), name))

    def close(self, *, keep: bool = False) -> None:
        """Take the token away, unless it is to be kept."""
        if self._written and not keep:
            with suppress(OSError):
                os.unlink(self.path)


def _hold(folder: str) -> int:
    """Return a descriptor that keeps other runs out of the folder, which is made if it is not there."""
    try:
        if not os.path.isdir(folder):
            os.mkdir(folder, 0o700)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is no path"
        raise UsageError(f"the folder {quote(folder, 200)} cannot be used: {reason.lower()}") from error
    status = os.fstat(descriptor)
    if open_to_others(status):
        os.close(descriptor)
        raise IntegrityError(
            f"others may write to the folder {quote(folder, 200)}, and put another token there",
            f"chmod go-w {folder}, or name a folder of your own",
        )
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise UsageError(
            f"the folder {quote(folder, 200)} holds the token of a command that is still running",
            "name a folder for each",
        ) from None
    return descriptor


def _tidy(folder: str) -> None:
    """Remove what a run that was killed in the middle of writing has left there."""
    for name in os.listdir(folder):
        if name.startswith((f".{_FILE}.", f".{_FILE}-", f".{IDENTITY}.")):
            os.unlink(os.path.join(folder, name))


def private_folder(longest: int | None = None) -> str:
    """Return a new folder that only this user can enter, in memory if the system has such a place.

    `longest` is how many bytes its path may have: a socket's has to be short. Raises StorageError where there is no
    such place.
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
    raise StorageError("there is no place for a private file", "let XDG_RUNTIME_DIR or TMPDIR name one")
