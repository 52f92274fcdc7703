"""Facts about processes: the identity of this process, and whether another process still runs.

And the search for programs on PATH.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress

from jitid.errors import ExitStatus, NotRunError
from jitid.model.credential import Credential, State
from jitid.model.process import (
    MOST_ABOVE,
    Liveness,
    Process,
    ProcessAbove,
    ended_with_boot,
    has_same_pid_namespace,
)
from jitid.values.text import quote

_STATE = 0
_PARENT = 1
_STARTED = 19
# Fields 3, 4 and 22 of /proc/PID/stat (proc_pid_stat(5)), counted from the first field after the name in parentheses.

OF_RUN = "jitid-run"
"""The name of a process of `jitid run` (15 bytes at most)."""
_LONGEST_LINE = 4096


def host_name() -> str:
    """Return the name of this machine."""
    return os.uname().nodename


def this_process(*, kept: bool = False, renews_until: int = 0) -> Process:
    """Return this process in the form that the ledger records."""
    started = 0 if _has_own_time() else (_stat(os.getpid()) or ("", 0))[1]
    return Process(host_name(), _boot(), _namespace(), os.getpid(), started, kept, renews_until)


def process_of(pid: int) -> Process | None:
    """Return a process of this machine in the form of the ledger; None if the system does not report its start."""
    own_process, status = this_process(), _stat(pid)
    if status is None or not own_process.started:
        return None
    return own_process._replace(pid=pid, started=status[1])


def ancestors() -> Iterator[tuple[int, tuple[str, ...], tuple[str, ...]]]:
    """Yield the processes of this user above the current process, the nearest first.

    Each with its number, the words of its command line, and the names of its program.
    """
    pid, seen = os.getppid(), 0
    while pid > 1 and seen < MOST_ABOVE:
        seen += 1
        try:
            if os.stat(f"/proc/{pid}").st_uid == os.geteuid():
                yield pid, words(pid), program_names(pid)
            with open(f"/proc/{pid}/stat", "rb") as file:
                pid = int(file.read().rpartition(b")")[2].split()[_PARENT])
        except (OSError, ValueError, IndexError):
            return


def all_above() -> tuple[ProcessAbove, ...]:
    """Return the processes above the current process, of any user, the nearest first."""
    return tuple([ProcessAbove(pid, int(fields[_STARTED])) for pid, _, fields in _stats_above()])


def _stats_above() -> Iterator[tuple[int, bytes, list[bytes]]]:
    """Yield the processes above the current one, of any user: number, name, and the fields of `stat` after the name."""
    pid = os.getppid()
    for _ in range(MOST_ABOVE):
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                head, _, rest = file.read().rpartition(b")")
            fields = rest.split()
            above = int(fields[_PARENT])
        except (OSError, ValueError, IndexError):
            return
        yield pid, head.partition(b"(")[2], fields
        pid = above


def variable_of(pid: int, name: str) -> str:
    """Return a variable that a process of this user started with; empty if it is not set, or cannot be read."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            variables = file.read(_LONGEST_ENVIRONMENT).split(b"\0")
    except OSError:
        return ""
    prefix = f"{name}=".encode()
    return next((os.fsdecode(each[len(prefix) :]) for each in variables if each.startswith(prefix)), "")


_LONGEST_ENVIRONMENT = 4 << 20
"""Maximum number of bytes of variables that are read."""


def name_as_run() -> None:
    """Give this process the name by which the processes below it know that an agent runs there."""
    with suppress(OSError), open("/proc/self/comm", "wb") as file:
        file.write(OF_RUN.encode())


def is_below_run() -> bool:
    """Return whether a process above this one is `jitid run`, of any user.

    A process finds this out without its environment, which programs often clear. A process that was detached from its
    parents is not found.
    """
    return any(name == OF_RUN.encode() for _, name, _ in _stats_above())


def words(pid: int) -> tuple[str, ...]:
    """Return the words of the command line of a process, of 4 KiB at most. Raises OSError."""
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        line = file.read(_LONGEST_LINE).removesuffix(b"\0")
    return tuple(word.decode("utf-8", "replace") for word in line.split(b"\0"))


def program_names(pid: int) -> tuple[str, ...]:
    """Return the names of the program of a process: of the process, and of its file if that can be read."""
    with open(f"/proc/{pid}/comm", "rb") as file:
        name = file.read().decode("utf-8", "replace").rstrip("\n")
    try:
        return name, os.path.basename(os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)"))
    except OSError:
        return (name,)


def liveness(process: Process, observer: Process) -> Liveness:
    """Return whether `process` is still there, seen from `observer`, which is this process.

    A process is gone if its number was given to another process since, or if it has ended and only waits to be reaped.
    """
    if ended_with_boot(process, observer):
        return Liveness.GONE
    if not has_same_pid_namespace(process, observer):
        return Liveness.UNKNOWN
    try:
        os.kill(process.pid, 0)
    except (ProcessLookupError, OverflowError):
        return Liveness.GONE
    except PermissionError:
        pass  # the process of another user
    status = _stat(process.pid)
    if status is None or not process.started or not observer.started:
        # Without /proc, with processes of other users hidden in it, or with start times that cannot be compared, the
        # number alone proves nothing.
        return Liveness.UNKNOWN
    state, started = status
    return Liveness.ALIVE if started == process.started and state not in ("Z", "X") else Liveness.GONE


def orphans(credentials: Iterable[Credential], now: int) -> list[Credential]:
    """Return the live credentials whose process should have revoked them, but is gone.

    For each identity, this is its credential that stays valid longest.
    """
    observer = this_process()
    latest: dict[str, Credential] = {}
    for row in credentials:
        if row.process is None or row.process.kept or row.state_at(now) is not State.ACTIVE:
            continue
        previous = latest.get(row.id)
        if (previous is None or row.ends_at > previous.ends_at) and liveness(
            row.process, observer
        ) is Liveness.GONE:
            latest[row.id] = row
    return list(latest.values())


def _stat(pid: int) -> tuple[str, int] | None:
    """Return state and start time of a process; None if the system does not report them."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            content = file.read()
        # The name may hold anything, parentheses and spaces too.
        fields = content.rpartition(b")")[2].split()
        return fields[_STATE].decode(), int(fields[_STARTED])
    except (OSError, ValueError, IndexError):
        return None


def _has_own_time() -> bool:
    """Return whether this process has a time namespace with other times since the boot (time_namespaces(7))."""
    try:
        with open("/proc/self/timens_offsets", "rb") as file:
            return any(field.strip(b"0") for line in file for field in line.split()[1:])
    except OSError:
        return False


def _boot() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except (OSError, ValueError):
        return ""


def _namespace() -> int:
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


def find_program(program: str, path: str) -> str:
    """Return the path of a program, searched along `path` like `execvp`, before a credential is issued for it.

    Raises:
        NotRunError: it does not exist, or may not be executed.

    """
    error_number = errno.ENOENT
    for folder in [""] if "/" in program else path.split(os.pathsep):
        candidate = program if "/" in program else os.path.join(folder or ".", program)
        if os.path.isdir(candidate):
            error_number = errno.EISDIR if "/" in program else error_number
        elif os.access(candidate, os.X_OK):
            return candidate
        elif os.path.exists(candidate):
            error_number = errno.EACCES
    raise _not_run(program, error_number)


def _advice(program: str) -> str | None:
    if " " in program:
        return (
            "separate the words of the command: -- PROGRAM ARGUMENT; for a line of a shell: -- sh -c 'LINE'"
        )
    return None if "/" in program else "use the full path, or check PATH"


def _not_run(program: str, error_number: int) -> NotRunError:
    missing = error_number in (errno.ENOENT, errno.ENOTDIR)
    return NotRunError(
        f"{quote(program, 200)} cannot be run: {os.strerror(error_number).lower()}",
        _advice(program) if missing else None,
        ExitStatus.NO_COMMAND if missing else ExitStatus.CANNOT_EXECUTE,
    )
