"""`jitid audit log --follow` prints the existing events, then new ones, until it is stopped."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jitid.capabilities.audit.audit_log import LogFilter
from jitid.capabilities.integrity.follow_log import follow
from jitid.errors import BusyError, IntegrityError
from tests.builders import World, edit
from tests.real import Shell

LOG = ("audit", "log", "--follow")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a ledger of thirteen events."""
    made = Shell(tmp_path_factory.mktemp("home"))
    for number in range(12):
        issue(made, f"T{number}")
    return made.ledger


@pytest.fixture
def shell(template: Path, tmp_path: Path) -> Shell:
    """Return a shell with a copy of that ledger."""
    shutil.copytree(template, tmp_path / "ledger")
    (tmp_path / "ledger").chmod(0o700)
    return Shell(tmp_path)


def issue(shell: Shell, task: str) -> None:
    """Commit one more event."""
    shell.good("-q", "issue", "--task", task, "--delegator", "alice", "--kind", "opaque", "--out", "token")


@contextmanager
def following(shell: Shell, *more: str) -> Iterator[subprocess.Popen[str]]:
    """Start following, and stop the process after the block."""
    with shell.start(*LOG, *more) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    """Wait for a line, and return it."""
    assert process.stdout is not None
    return process.stdout.readline()


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for the end, and return the exit status and standard error."""
    assert process.stderr is not None
    return process.wait(), process.stderr.read()


@pytest.mark.deep
def test_the_last_ten_come_first_and_then_what_is_committed(shell: Shell) -> None:
    with following(shell, "--field", "seq") as process:
        assert [line(process) for _ in range(10)] == [f"{seq}\n" for seq in range(4, 14)]
        for number in range(14, 17):
            issue(shell, f"N{number}")
            assert line(process) == f"{number}\n"


@pytest.mark.parametrize(
    ("start", "first"),
    [
        (("--after", "0", "--operation", "issue"), 2),
        (("--after", "11"), 12),
        (("--since", "2000-01-01T00:00:00Z"), 1),
    ],
)
def test_the_log_goes_on_from_where_it_is_told_to(start: tuple[str, ...], first: int, shell: Shell) -> None:
    with following(shell, "--field", "seq", *start) as process:
        assert line(process) == f"{first}\n"


def test_only_what_matches_is_shown(shell: Shell) -> None:
    with following(shell, "--operation", "retire", "--format", "jsonl", "--members") as process:
        issue(shell, "OTHER")
        shell.good("retire", "T3")
        found = json.loads(line(process))
        assert (found["op"], found["task"], len(found["members"])) == ("retire", "T3", 1)
        issue(shell, "OTHER2")
        shell.good("retire", "T4")
        assert json.loads(line(process))["task"] == "T4"


def test_csv_has_one_header(shell: Shell) -> None:
    with following(shell, "--after", "13", "--format", "csv") as process:
        assert line(process).startswith("seq,at,op,by,")
        for task in ("A", "B"):
            issue(shell, task)
            assert f",{task}," in line(process)


def test_later_rows_stand_in_the_columns_of_the_first_ones(shell: Shell) -> None:
    """One header is printed above all rows, and a long name is folded within its column."""
    with following(shell, "--after", "12", "--format", "table") as process:
        header, first = line(process), line(process)
        task = "a-task-whose-name-is-longer-than-a-column"
        issue(shell, task)
        later = [line(process) for _ in range(2)]
    column = header.index("task")
    assert first[column:].startswith("T11")
    assert "".join(row[column:].split()[0] for row in later) == task
    assert later[0].index("issue") == header.index("op")


def test_it_ends_with_the_limit(shell: Shell) -> None:
    assert shell.good(*LOG, "--limit", "3", "--field", "seq").split() == ["11", "12", "13"]
    with following(shell, "--after", "12", "--limit", "2", "--field", "seq") as process:
        assert line(process) == "13\n"
        issue(shell, "LAST")
        assert line(process) == "14\n"
        assert ended(process) == (0, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_without_a_word(number: signal.Signals, shell: Shell) -> None:
    with following(shell) as process:
        line(process)
        process.send_signal(number)
        assert ended(process) == (128 + number, "")


def test_it_ends_when_its_reader_is_gone_though_nothing_happens(shell: Shell) -> None:
    with following(shell) as process:
        line(process)
        assert process.stdout is not None
        process.stdout.close()
        assert ended(process) == (74, "")


@pytest.mark.parametrize("where", ['"$@" >&-', '"$@" >&- 2>&-'])
def test_a_closed_output_ends_it_though_nothing_matches(where: str, shell: Shell) -> None:
    done = shell.run(*LOG, "--operation", "nothing", before=["sh", "-c", where, "sh"])
    assert done.returncode == 74


@pytest.mark.parametrize(
    ("more", "hint"), [(("--format", "json"), "jsonl"), (("--event", "3"), "leave one of them out")]
)
def test_what_has_an_end_cannot_be_followed(more: tuple[str, ...], hint: str, shell: Shell) -> None:
    done = shell.run(*LOG, *more)
    assert (done.returncode, done.stdout) == (2, "")
    assert hint in done.stderr


@pytest.mark.parametrize("fault", ["removed", "replaced", "loosened"])
def test_a_ledger_that_is_no_longer_there_ends_it(fault: str, shell: Shell) -> None:
    """A deleted file can still be read, and would never change."""
    with following(shell) as process:
        line(process)
        if fault == "loosened":
            (shell.ledger / "ledger.db").chmod(0o644)
        else:
            shutil.copytree(shell.ledger, shell.home / "copy")
            (shell.home / "copy").chmod(0o700)
            shell.ledger.rename(shell.home / "moved")
        if fault == "replaced":
            (shell.home / "copy").rename(shell.ledger)
        status, said = ended(process)
    assert status == (7 if fault == "loosened" else 5)
    assert ("chmod 600" if fault == "loosened" else "removed or replaced") in said


def test_a_busy_ledger_is_waited_for(tmp_path: Path) -> None:
    looks = iter([None, BusyError("the ledger is busy"), None])

    def check() -> None:
        trouble = next(looks)
        if trouble is not None:
            raise trouble

    with World(tmp_path / "ledger") as world:
        batches = follow(world.authority, check, time.sleep, LogFilter(), None, start=False, members=False)
        assert [event["op"] for event in next(batches)[0]] == ["init"]
        world.issue()
        assert [event["op"] for event in next(batches)[0]] == ["issue"]


def test_a_log_that_became_shorter_ends_it(tmp_path: Path) -> None:
    with World(tmp_path / "ledger") as world:
        world.issue()
        batches = follow(
            world.authority, lambda: None, time.sleep, LogFilter(), None, start=False, members=False
        )
        assert next(batches)[1] == 2
        edit(world.path, "DELETE FROM audit_event WHERE seq = 2")
        with pytest.raises(IntegrityError, match="ended at event 2"):
            next(batches)


def test_what_does_not_match_is_not_looked_at_twice(tmp_path: Path) -> None:
    """Otherwise a filter that rarely matches would cost more and more on a busy ledger."""
    with World(tmp_path / "ledger") as world:
        batches = follow(
            world.authority,
            lambda: None,
            time.sleep,
            LogFilter(operation="retire"),
            None,
            start=False,
            members=False,
        )
        for seq in (1, 2, 3):
            assert next(batches) == ([], seq)
            world.issue()
