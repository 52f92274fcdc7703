"""The first use of a ledger: it completes or has no effect, exactly one of many wins, and remains block nothing."""

from __future__ import annotations

import os
import signal
import sqlite3
from pathlib import Path

import pytest

from jitid.ledger.sqlite import folder
from tests.builders import NAMES, NOW, make_folder, modes
from tests.real import Shell, need, other_user, reachable, tmpfs

ISSUE = ("issue", "--task", "T1", "--delegator", "alice", "--kind", "opaque")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a shell whose ledger does not exist yet."""
    return Shell(tmp_path)


def test_a_first_use_says_so_and_the_second_does_not(shell: Shell) -> None:
    first, second = shell.run(*ISSUE), shell.run(*ISSUE)
    assert (first.returncode, second.returncode) == (0, 0)
    assert "first use" in first.stderr
    assert second.stderr == ""


@pytest.mark.deep
def test_first_uses_at_one_instant_make_one_ledger(shell: Shell) -> None:
    """Each of many processes finds no ledger and creates one. One of them wins; all others use its ledger."""
    started = [shell.start(*ISSUE) for _ in range(12)]
    done = [(process.communicate(timeout=60), process.returncode) for process in started]
    assert [status for _, status in done] == [0] * 12, [error for (_, error), _ in done if error]
    assert sum("first use" in error for (_, error), _ in done) == 1
    for (token, _), _ in done:
        assert shell.run("verify", stdin=token).returncode == 0
    shell.good("audit", "verify")
    assert [path.name for path in shell.home.iterdir()] == ["ledger"]


def test_rivals_in_one_process_make_one_ledger(tmp_path: Path) -> None:
    """In one process there is no start-up delay, so the first uses overlap while they create the ledger."""
    path = tmp_path / "ledger"
    children = []
    gate, opened = os.pipe()
    for _ in range(8):
        child = os.fork()
        if child == 0:
            os.close(opened)
            os.read(gate, 1)
            status = 1
            try:
                made = folder.create(str(path), NAMES, [("a.cedar", "")], by="tester", now=NOW)
                status = 0 if folder.exists(str(path)) else 1
                status += 2 if made else 0
            finally:
                os._exit(status)
        children.append(child)
    os.close(gate)
    os.close(opened)
    statuses = sorted(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)
    assert statuses == [0] * 7 + [2]
    assert [one.name for one in tmp_path.iterdir()] == ["ledger"]


@pytest.mark.deep
@pytest.mark.parametrize("call", ["mkdir", "openat", "fsync", "pwrite64", "renameat", "rename"])
def test_what_a_killed_first_use_left_goes_with_the_next(shell: Shell, call: str) -> None:
    strace = need("strace")
    # Python opens many files; count only those below the ledger's folder.
    only = ["-P", str(shell.home / "nothing")] if call == "openat" else []
    when = {"mkdir": 1, "openat": 1, "fsync": 2, "pwrite64": 5, "renameat": 2, "rename": 1}[call]
    kill = f"inject={call}:signal=KILL:when={when}"
    killed = shell.run(
        *ISSUE, before=[strace, "-f", "-qq", "-o", os.devnull, *only, "-e", f"trace={call}", "-e", kill]
    )
    assert (killed.returncode == -signal.SIGKILL) != (call == "openat"), killed.stderr
    token = shell.good(*ISSUE)
    assert shell.run("verify", stdin=token).returncode == 0
    left = sorted(path.name for path in shell.home.iterdir())
    # A folder without a lock may belong to a process that has just started, so it is deleted only after an hour.
    assert left == ["ledger"] or (call == "mkdir" and not any((shell.home / left[0]).iterdir()))


def test_a_folder_that_another_first_use_is_filling_is_left_alone(tmp_path: Path) -> None:
    import fcntl

    filling = tmp_path / ".ledger.0123456789ab.new"
    filling.mkdir(0o700)
    with (filling / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        make_folder(tmp_path / "ledger")
        assert filling.exists()
    other = make_folder(tmp_path / "sub" / "ledger")
    assert other.exists()


def test_an_abandoned_folder_is_removed(tmp_path: Path) -> None:
    abandoned = tmp_path / ".ledger.0123456789ab.new"
    abandoned.mkdir(0o700)
    (abandoned / "lock").touch()
    (abandoned / "keys").mkdir()
    make_folder(tmp_path / "ledger")
    assert not abandoned.exists()


def test_a_strange_folder_beside_it_is_left_alone(tmp_path: Path) -> None:
    strange = tmp_path / ".ledger.new"
    strange.mkdir()
    make_folder(tmp_path / "ledger")
    assert strange.exists()


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_a_new_ledger_is_for_its_owner_alone_under_any_umask(shell: Shell, umask: int) -> None:
    shell.ledger = shell.home / "some" / "where" / "ledger"
    shell.environment["JITID_LEDGER"] = str(shell.ledger)
    done = shell.run(*ISSUE, "--out", "token", umask=umask)
    assert done.returncode == 0, done.stderr
    # An open reader keeps the write-ahead log and its index on the disk, so that their modes can be checked.
    reader = sqlite3.connect(shell.ledger / "ledger.db")
    reader.execute("SELECT count(*) FROM task").fetchone()
    assert shell.run(*ISSUE, umask=umask).returncode == 0
    found = modes(shell.home)
    reader.close()
    assert "some/where/ledger/ledger.db-wal" in found
    del found["."]
    assert set(found.values()) == {0o600, 0o700}
    assert all(mode == (0o700 if (shell.home / name).is_dir() else 0o600) for name, mode in found.items())


def test_a_first_use_on_a_full_disk_leaves_nothing(shell: Shell) -> None:
    with tmpfs(shell.home / "disk", "size=64k") as disk:
        shell.environment["JITID_LEDGER"] = str(disk / "ledger")
        done = shell.run(*ISSUE)
        assert (done.returncode, done.stdout) == (5, ""), done.stderr
        assert list(disk.iterdir()) == []


def test_a_first_use_without_room_for_files_leaves_nothing(shell: Shell) -> None:
    for inodes in range(2, 12):
        with tmpfs(shell.home / f"disk{inodes}", f"size=1m,nr_inodes={inodes}") as disk:
            shell.environment["JITID_LEDGER"] = str(disk / "ledger")
            done = shell.run(*ISSUE)
            if done.returncode == 0:
                break
            assert (done.returncode, done.stdout) == (5, ""), done.stderr
            assert list(disk.iterdir()) == []


def test_a_first_use_in_a_read_only_place_says_what_to_do(shell: Shell) -> None:
    with tmpfs(shell.home / "disk", "size=1m,ro") as disk:
        shell.environment["JITID_LEDGER"] = str(disk / "ledger")
        done = shell.run(*ISSUE)
    assert (done.returncode, done.stdout) == (5, "")
    assert "--ledger" in done.stderr


def test_a_first_use_where_this_user_may_not_write_is_refused(shell: Shell) -> None:
    with reachable(shell.home) as home:
        done = Shell(home).run(*ISSUE, before=other_user())
        assert (done.returncode, done.stdout) == (6, ""), done.stderr
        assert list(home.iterdir()) == []


def test_an_empty_folder_becomes_the_ledger(shell: Shell) -> None:
    shell.ledger.mkdir(0o755)
    shell.good(*ISSUE)
    assert modes(shell.ledger)["."] == 0o700


def test_a_folder_with_other_things_is_left_alone(shell: Shell) -> None:
    shell.ledger.mkdir(0o700)
    (shell.ledger / "thesis.tex").touch()
    done = shell.run(*ISSUE)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert [path.name for path in shell.ledger.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    "verb", [("list",), ("revoke", "--task", "T1"), ("verify", "/dev/null"), ("audit", "verify")]
)
def test_only_issuing_makes_a_ledger(shell: Shell, verb: tuple[str, ...]) -> None:
    assert shell.run(*verb).returncode != 0
    assert not shell.ledger.exists()


def test_a_dry_run_makes_no_ledger(shell: Shell) -> None:
    assert shell.run(*ISSUE, "--dry-run").returncode == 0
    assert not shell.ledger.exists()
