"""Supervision of a command: signals, exit statuses, the deadline, and tasks that are due meanwhile."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import textwrap
from pathlib import Path

import pytest

from jitid.errors import NotRunError
from jitid.system.processes import find_program
from tests.real import need_root

# A separate process, since the wrapper holds back signals and forks. It watches `sh -c SCRIPT` until a deadline.
WRAPPER = textwrap.dedent(
    """
    import os, sys, time
    from jitid.capabilities.run.child import start
    from jitid.capabilities.run.child import Clock, Signals, watch
    until, grace, script = float(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    due = []
    def when(now):
        due.append(now)
        return now + 0.05 if "tick" in sys.argv else now + 1000
    signals = Signals()
    child = start("/bin/sh", ["sh", "-c", script], os.environ, signals.before)
    clock = Clock(time.time())
    status = watch(child, signals, clock, until=clock() + until, grace=grace, due=when, report=print)
    print("status", status, len(due) > 3, flush=True)
    """
)


def wrapper(
    script: str, *more: str, until: float = 60, grace: float = 60, prefix: tuple[str, ...] = ()
) -> subprocess.Popen[str]:
    """Start the wrapper around a script."""
    return subprocess.Popen(
        [*prefix, sys.executable, "-c", WRAPPER, str(until), str(grace), script, *more],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> list[str]:
    """Return the remaining lines of the wrapper's output."""
    lines = process.communicate(timeout=60)[0].splitlines()
    assert process.returncode == 0
    return lines


@pytest.mark.parametrize(
    ("script", "status"), [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143), ("kill -KILL $$", 137)]
)
def test_the_status_is_the_commands_own(script: str, status: int) -> None:
    assert finish(wrapper(script)) == [f"status {status} False"]


@pytest.mark.parametrize("name", ["HUP", "INT", "QUIT", "TERM", "USR1", "USR2"])
def test_signals_are_passed_on_as_often_as_they_come(name: str) -> None:
    """The second signal is sent when the command has reported the first."""
    process = wrapper(
        f"trap 'echo got; n=x$n' {name}; echo ready; while [ \"$n\" != xx ]; do sleep 0.01; done"
    )
    assert process.stdout is not None
    for said in ("ready\n", "got\n"):
        assert process.stdout.readline() == said
        process.send_signal(getattr(signal, f"SIG{name}"))
    assert finish(process) == ["got", "status 0 False"]


def test_what_was_ignored_stays_ignored_for_the_command() -> None:
    process = wrapper("echo ready; kill -HUP $$; echo still; while :; do sleep 0.01; done", prefix=("nohup",))
    assert process.stdout is not None
    assert [process.stdout.readline(), process.stdout.readline()] == ["ready\n", "still\n"]
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    assert finish(process) == ["status 143 False"]


def test_a_command_gets_the_signals_that_python_keeps_for_itself() -> None:
    """Otherwise `yes | head` would print an error in every script."""
    script = "sh -c 'kill -PIPE $$'; echo $?"
    assert finish(wrapper(script)) == ["141", "status 0 False"]


def test_past_its_last_moment_a_command_is_ended() -> None:
    assert finish(wrapper("trap 'echo asked; exit 5' TERM; while :; do sleep 0.01; done", until=0.2)) == [
        "asked",
        "status 124 False",
    ]


def test_one_that_does_not_listen_is_killed() -> None:
    assert finish(wrapper("trap '' TERM; while :; do sleep 0.01; done", until=0.2, grace=0.2)) == [
        "status 124 False"
    ]


def test_one_that_is_stopped_is_ended_too() -> None:
    assert finish(wrapper("kill -STOP $$", until=0.3)) == ["status 124 False"]


def test_one_that_was_stopped_goes_on_when_the_wrapper_is_told_so() -> None:
    process = wrapper("echo $$; kill -STOP $$; echo on; exit 3")
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        pass
    process.send_signal(signal.SIGCONT)
    assert finish(process) == ["on", "status 3 False"]


def test_a_wrapper_that_was_stopped_goes_on_as_if_nothing_had_been() -> None:
    """The stop lasts longer than the wrapper's wait. Python's own wait with a timeout then returns a wrong result."""
    process = wrapper("trap 'echo got; exit 5' USR1; echo ready; while :; do sleep 0.01; done", "tick")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    for _ in range(3):
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        select.select([], [], [], 0.2)
        process.send_signal(signal.SIGCONT)
        os.waitid(os.P_PID, process.pid, os.WCONTINUED)
    process.send_signal(signal.SIGUSR1)
    assert [line[:8] for line in finish(process)] == ["got", "status 5"]


def test_a_line_that_is_hung_up_is_told_to_the_command(tmp_path: Path) -> None:
    """The kernel sends the hangup only to the leader of the session."""
    master, terminal = pty.openpty()
    os.mkfifo(tmp_path / "said")
    script = f"exec 5> {tmp_path}/said; trap 'echo hup >&5; exit' HUP; echo ready >&5; while :; do sleep 0.01; done"
    process = subprocess.Popen(
        [sys.executable, "-c", WRAPPER, "60", "60", script],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0) and None,
    )
    os.close(terminal)
    with (tmp_path / "said").open() as said:
        assert said.readline() == "ready\n"
        os.close(master)
        assert said.readline() == "hup\n"
    process.wait(timeout=60)


@pytest.mark.parametrize("name", ["ALRM", "WINCH", "XCPU", "RTMIN"])
def test_every_other_signal_is_passed_on_too(name: str) -> None:
    number = int(getattr(signal, f"SIG{name}"))
    process = wrapper(f"trap 'echo got; exit 6' {number}; echo ready; while :; do sleep 0.01; done")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    assert finish(process) == ["got", "status 6 False"]


def test_a_command_that_became_another_user_is_watched_all_the_same() -> None:
    """The wrapper cannot signal the command. It reports that once, and still returns a status."""
    need_root()
    # The wrapper drops root, and the command stays root.
    given_up = WRAPPER.replace(
        'start("/bin/sh", ["sh", "-c", script]', 'start(sys.executable, [sys.executable, "-c", script]'
    ).replace("clock = Clock(", "os.setresuid(65534, 65534, 65534)\nclock = Clock(")
    process = subprocess.Popen(
        [sys.executable, "-c", given_up, "0.2", "0.2", "import time; time.sleep(1)"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    lines = finish(process)
    assert lines == [
        "cannot signal the command: it now runs as another user",
        "status 124 False",
    ]


def test_what_is_due_is_done_while_the_command_runs() -> None:
    assert finish(wrapper("sleep 0.5", "tick")) == ["status 0 True"]


def test_a_command_dies_with_its_wrapper() -> None:
    process = wrapper("echo $$; exec sleep 1000")
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    descriptor = os.pidfd_open(pid)
    process.kill()
    # The output ends when neither the wrapper nor the command has it open.
    assert process.communicate()[0] == ""
    assert select.select([descriptor], [], [], 60) == ([descriptor], [], []), "it is still there"
    os.close(descriptor)


def test_a_system_that_cannot_wait_with_a_limit_passes_signals_on_as_well() -> None:
    script = f"import signal\ndel signal.sigwaitinfo\n{WRAPPER}"
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            script,
            "60",
            "60",
            "trap 'echo got; exit 4' USR1; echo ready; while :; do sleep 0.01; done",
        ],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGUSR1)
    assert finish(process) == ["got", "status 4 False"]


def test_a_script_without_an_interpreter_is_read_by_the_shell(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text('echo "$0" "$1"\n')
    script.chmod(0o755)
    code = (
        "import os, sys; from jitid.capabilities.run.child import start\n"
        "child = start(sys.argv[1], [sys.argv[1], 'word'], os.environ, set()); os.waitpid(child.pid, 0)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(script)], capture_output=True, text=True, env=environment
    )
    assert done.stdout == f"{script} word\n", done.stderr


@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("nowhere", 127),
        ("", 127),
        ("/nowhere/at/all", 127),
        ("/etc/passwd", 126),
        ("/etc", 126),
        ("/etc/passwd/x", 127),
        ("plain", 126),
    ],
)
def test_what_cannot_be_run_is_found_beforehand(program: str, status: int, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    with pytest.raises(NotRunError) as caught:
        find_program(program, f"/bin:{tmp_path}")
    assert caught.value.exit_status == status


def test_a_program_is_looked_for_as_the_shell_does(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        (folder / "tool").write_text("#!/bin/sh\n")
    (second / "tool").chmod(0o755)
    (first / "folder").mkdir()
    assert find_program("tool", f"{first}:{second}") == str(second / "tool")
