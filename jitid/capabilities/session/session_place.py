"""The private folder of a client's process: the state of its sessions, and the files of their identity tokens."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from typing import Any

from jitid.errors import ConfigurationError, IntegrityError, JitidError, OutputError, StorageError, UsageError
from jitid.formats.json import dumps
from jitid.model.process import Liveness, Process
from jitid.system import processes, xdg
from jitid.system.files import check_private, read_regular, write_private
from jitid.system.time_limit import Pause
from jitid.values import strict_json

_STATE = "sessions.json"
_MOST = 8 << 20
"""Maximum number of bytes of a state: 200 subagents need 60,000."""
_ROOM = 4 << 20
"""Maximum number of bytes of a state to which a session or a subagent is added: the others can still end."""
_MOST_FOLDERS = 10_000
_VERSION = 2


def base_folder(pid: int) -> str:
    """Return the folder with the places of all processes: in memory if this user has such a folder.

    Only the variables of the client decide: its hooks, helpers and commands may have others, and must find one place.

    Raises ConfigurationError if the client has no home folder.
    """
    runtime = processes.variable_of(pid, "XDG_RUNTIME_DIR")
    if runtime.startswith("/"):
        with suppress(OSError):
            status = os.lstat(runtime)
            if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077:
                return f"{runtime.rstrip('/')}/jitid/sessions"
    variables = {name: processes.variable_of(pid, name) for name in ("XDG_STATE_HOME", "HOME")}
    return f"{xdg.state_folder(variables)}/sessions"


class SessionPlace:
    """The place of one process of a client, for one ledger or authority.

    It stays until the process has ended, even without a session: until then the process is an agent's.
    """

    def __init__(self, ledger: str, process: Process) -> None:
        """Name the place; nothing is made yet."""
        self.ledger = ledger
        self.process = process
        words = (
            ledger,
            process.host,
            process.boot,
            str(process.namespace),
            str(process.pid),
            str(process.started),
        )
        text = "".join(f"{len(word)}:{word}" for word in words)
        self._base = base_folder(process.pid)
        self.folder = f"{self._base}/{sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}"

    def exists(self) -> bool:
        """Return whether the process has sessions, or has had one: its place stays as long as the process."""
        return os.path.lexists(f"{self.folder}/{_STATE}")

    def path(self, name: str) -> str:
        """Return the path of a file in the place."""
        return f"{self.folder}/{name}"

    def read(self) -> dict[str, Any]:
        """Return the state; an empty one if there is none.

        Raises IntegrityError if other users have access to it, or if it is damaged.
        """
        try:
            for path in (self._base, self.folder):
                check_private(path, "the folder of sessions")
            check_private(self.path(_STATE), "the state of sessions")
            data = read_regular(self.path(_STATE), _MOST)
        except FileNotFoundError:
            return _empty()
        except OSError as error:
            raise StorageError(f"the state of sessions cannot be read: {error.strerror}") from error
        try:
            state = strict_json.loads(data, "the state of sessions")
            if not isinstance(state, dict) or state["version"] != _VERSION:
                raise KeyError("version")
        except (strict_json.StrictJSONError, KeyError) as error:
            raise IntegrityError(
                f"the state of sessions in {self.folder} is damaged: {error}",
                "start the client again; to find and revoke its identity: jitid list --live",
            ) from error
        return state

    def write(self, state: dict[str, Any]) -> None:
        """Replace the state. Raises OutputError."""
        state |= {"ledger": self.ledger, "process": list(self.process)}
        write_private(self.path(_STATE), dumps(state).encode())

    def must_have_room(self, state: dict[str, Any]) -> None:
        """Raise UsageError if a state is too large for another identity: a larger one could not be read again."""
        if len(dumps(state)) > _ROOM:
            raise UsageError("the client has too many sessions and subagents", "end some of them")

    def put(self, name: str, token: str) -> None:
        """Write a token to a file in the place. Raises OutputError."""
        write_private(self.path(name), f"{token}\n".encode())

    def token(self, name: str) -> str:
        """Return the token in a file of the place. Raises StorageError if it cannot be read."""
        try:
            check_private(self.path(name), "the token of a session")
            return read_regular(self.path(name), _MOST).decode("ascii", "replace").strip()
        except OSError as error:
            raise StorageError(f"the token of the session cannot be read: {error.strerror}") from error

    def delete(self, name: str) -> None:
        """Delete a token."""
        with suppress(OSError):
            os.unlink(self.path(name))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the place alone; make its folder if there is none.

        Raises:
            IntegrityError: other users may access the folder, or it is a link.
            StorageError: it cannot be made.

        """
        while True:
            descriptor = self._open()
            try:
                with Pause():
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
                if not self._is(descriptor):
                    continue  # removed while this process waited
                yield
                return
            finally:
                os.close(descriptor)

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """Wait until no other process is in such a block: many helpers of one client queue here, without a limit.

        Otherwise they would wait for the ledger, where a wait has a limit.
        """
        try:
            descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            # The session has ended meanwhile: the ledger refuses its token.
            yield
            return
        try:
            with Pause():
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _open(self) -> int:
        while True:
            try:
                parent = os.path.dirname(self._base)
                os.makedirs(parent, mode=0o700, exist_ok=True)
                for path in (self._base, self.folder):
                    with suppress(FileExistsError):
                        os.mkdir(path, 0o700)
                    check_private(path, "the folder of sessions")
                return os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError:
                continue  # another process removed it meanwhile
            except OSError as error:
                raise StorageError(f"no folder for sessions at {self.folder}: {error.strerror}") from error

    def _is(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), os.lstat(self.folder))
        except OSError:
            return False


def stale_places(own: SessionPlace, limit: int) -> Iterator[tuple[str, list[str]]]:
    """Yield the folders of ended processes for the same ledger, with the ids of their sessions."""
    observer, count = processes.this_process(), 0
    for folder, process, state in _states(os.path.dirname(own.folder)):
        if folder == own.folder or state["ledger"] != own.ledger:
            continue
        if processes.liveness(process, observer) is Liveness.GONE:
            yield folder, [entry["id"] for entry in state["sessions"].values()]
            count += 1
            if count >= limit:
                return


def client_with_place(above: Sequence[Process]) -> str | None:
    """Return the client of the first of these processes that has or had a session, for any ledger; None without one."""
    states: dict[str, list[tuple[Process, str]]] = {}
    for process in above:
        try:
            base = base_folder(process.pid)
        except ConfigurationError:
            continue  # such a process has no place
        if base not in states:
            states[base] = [(found, str(state["client"])) for _, found, state in _states(base)]
        for found, client in states[base]:
            if found.is_same(process):
                return client
    return None


def _states(base: str) -> Iterator[tuple[str, Process, dict[str, Any]]]:
    """Yield the places in a folder, with their process and their state. Others' and damaged ones are left out."""
    for folder in _folders(base):
        try:
            check_private(folder, "the folder of sessions")
            state = strict_json.loads(read_regular(f"{folder}/{_STATE}", _MOST))
            process = Process(*state["process"])
            if not {"ledger", "client"} <= state.keys() or not all(
                "id" in e for e in state["sessions"].values()
            ):
                continue
        except (OSError, ValueError, KeyError, TypeError, AttributeError, JitidError):
            continue
        yield folder, process, state


def _folders(base: str) -> Iterator[str]:
    with suppress(OSError), os.scandir(base) as entries:
        for number, entry in enumerate(entries):
            if number >= _MOST_FOLDERS:
                return
            if entry.is_dir(follow_symlinks=False):
                yield entry.path


def remove_folder(folder: str) -> None:
    """Delete a folder with all its files."""
    with suppress(OSError):
        for name in os.listdir(folder):
            os.unlink(f"{folder}/{name}")
        os.rmdir(folder)


def append_lines(path: str, lines: str) -> None:
    """Append lines to a file that a client reads, unless it has them. Raises OutputError.

    The file must be a regular file of this user: no link is followed, and no other user's file is written to.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o600)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
                raise OutputError(f"{path} is not a regular file of this user")
            if lines.encode() not in os.pread(descriptor, _MOST, 0):
                os.write(descriptor, lines.encode())
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        raise OutputError(f"{path} cannot be written: {reason}") from error


def _empty() -> dict[str, Any]:
    # `request`: the facts of the first request of the process. `is_inner`: whether its parent is a session above the
    # client. `ended`: how a session ended that others ended.
    return {
        "version": _VERSION,
        "client": None,
        "current": None,
        "request": None,
        "is_inner": False,
        "sessions": {},
        "ended": None,
    }
