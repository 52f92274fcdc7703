"""A ledger that is damaged, foreign, incomplete or accessible to other users is refused, and stays unchanged."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders import edit, modes
from tests.real import Shell, other_user, reachable, tmpfs

ISSUE = ("issue", "--task", "T1", "--delegator", "alice")


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """Return a shell over a ledger with one credential."""
    shell = Shell(tmp_path)
    (tmp_path / "token").write_text(shell.good(*ISSUE))
    yield shell


def contents(folder: Path) -> dict[str, bytes | str]:
    """Return the contents of all files of a folder, except the index that SQLite's readers share."""
    return {
        str(path.relative_to(folder)): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if (path.is_symlink() or path.is_file()) and not path.name.endswith("-shm")
    }


def key_of(shell: Shell) -> Path:
    """Return the file of the signing key."""
    (key,) = (shell.ledger / "keys").iterdir()
    return key


def refused(shell: Shell, status: int, *arguments: str) -> str:
    """Check that a command (default: issue) fails with that status and changes no file; return its standard error."""
    before = contents(shell.ledger)
    done = shell.run(*(arguments or ISSUE))
    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    assert "Traceback" not in done.stderr
    assert contents(shell.ledger) == before
    return done.stderr


@pytest.mark.deep
@pytest.mark.parametrize("name", ["", "ledger.db", "lock", "keys", "policy", "the key"])
def test_what_others_may_reach_is_refused_with_the_command_that_repairs_it(shell: Shell, name: str) -> None:
    path = key_of(shell) if name == "the key" else shell.ledger / name
    path.chmod(path.stat().st_mode | 0o040)
    said = refused(shell, 7)
    repair = re.search(r"hint: (chmod .*)", said)
    assert repair is not None, said
    subprocess.run(["sh", "-c", repair[1]], check=True)
    shell.good(*ISSUE)


@pytest.mark.deep
@pytest.mark.parametrize(
    "name", ["ledger", "ledger.db", "lock", "keys", "policy", "default.cedar", "the key"]
)
def test_a_link_is_never_followed(shell: Shell, name: str) -> None:
    path = {
        "ledger": shell.ledger,
        "the key": key_of(shell),
        "default.cedar": shell.ledger / "policy" / "default.cedar",
    }.get(name, shell.ledger / name)
    shutil.move(path, shell.home / "moved")
    path.symlink_to(shell.home / "moved")
    assert "link" in refused(shell, 7)


@pytest.mark.parametrize("target", ["nowhere", "ledger"])
def test_a_link_that_leads_nowhere_is_no_place_for_a_ledger(tmp_path: Path, target: str) -> None:
    shell = Shell(tmp_path)
    shell.ledger.symlink_to(tmp_path / target)
    done = shell.run(*ISSUE)
    assert (done.returncode, done.stdout) == (7, ""), done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["ledger"]


@pytest.mark.parametrize("name", ["ledger.db", "keys", "lock", "the key", "policy"])
def test_what_is_missing_is_not_made_anew(shell: Shell, name: str) -> None:
    path = key_of(shell) if name == "the key" else shell.ledger / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    refused(shell, 7)
    assert not path.exists()


def test_another_key_under_the_name_of_the_signing_key_is_refused(shell: Shell) -> None:
    key_of(shell).write_bytes(bytes(32))
    refused(shell, 7)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_damaged_key_is_refused(shell: Shell, length: int) -> None:
    key_of(shell).write_bytes(bytes(length))
    refused(shell, 7)


@pytest.mark.deep
@pytest.mark.parametrize(
    "damage", [lambda _: b"", lambda data: data[: len(data) // 2], lambda _: b"not a database\n" * 4096]
)
@pytest.mark.parametrize("verb", [ISSUE, ("list",), ("verify", "token"), ("revoke", "--task", "T1")])
def test_a_file_that_is_no_ledger_is_refused_and_left_alone(
    shell: Shell, damage: object, verb: tuple[str, ...]
) -> None:
    assert callable(damage)
    edit(shell.ledger, "PRAGMA wal_checkpoint(TRUNCATE)")
    database = shell.ledger / "ledger.db"
    database.write_bytes(damage(database.read_bytes()))
    refused(shell, 7, *verb)


def test_an_emptied_database_keeps_its_write_ahead_log(shell: Shell) -> None:
    """SQLite would treat it as a new database, and delete the log of the old one."""
    (shell.ledger / "ledger.db").write_bytes(b"")
    assert "ledger.db-wal" in contents(shell.ledger)
    refused(shell, 7)


def test_a_ledger_of_a_newer_schema_is_refused(shell: Shell) -> None:
    edit(shell.ledger, "PRAGMA user_version = 999")
    assert "upgrade" in refused(shell, 2)


def test_a_database_of_another_program_is_refused(shell: Shell) -> None:
    edit(shell.ledger, "PRAGMA application_id = 1")
    refused(shell, 7)


def test_a_ledger_on_a_read_only_disk_is_not_changed(shell: Shell) -> None:
    with tmpfs(shell.home / "disk", "size=4m") as disk:
        shutil.copytree(shell.ledger, disk / "ledger", copy_function=shutil.copy2)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        shell.environment["JITID_LEDGER"] = str(disk / "ledger")
        done = shell.run(*ISSUE)
    assert (done.returncode, done.stdout) == (5, ""), done.stderr


def test_a_full_disk_changes_nothing(shell: Shell) -> None:
    with tmpfs(shell.home / "disk", "size=1m") as disk:
        shutil.copytree(shell.ledger, disk / "ledger", copy_function=shutil.copy2)
        shell.environment["JITID_LEDGER"] = str(disk / "ledger")
        with (disk / "fill").open("wb", buffering=0) as fill:
            try:
                while fill.write(bytes(4096)):
                    pass
            except OSError:
                pass
        done = shell.run(*ISSUE)
        assert (done.returncode, done.stdout) == (5, ""), done.stderr
        (disk / "fill").unlink()
        assert shell.good("list", "--format", "jsonl").count("\n") == 1
        shell.good("audit", "verify")


def test_a_ledger_of_another_user_is_refused(shell: Shell) -> None:
    with reachable(shell.home) as home:
        shutil.copytree(shell.ledger, home / "ledger", copy_function=shutil.copy2)
        before = contents(home / "ledger")
        done = Shell(home).run(*ISSUE, before=other_user())
        assert (done.returncode, done.stdout) == (6, ""), done.stderr
        assert contents(home / "ledger") == before


def test_a_policy_that_others_may_write_is_refused(shell: Shell) -> None:
    (shell.ledger / "policy" / "default.cedar").chmod(0o620)
    assert "chmod go-w" in refused(shell, 7)


def test_nothing_of_a_ledger_becomes_readable_by_use(shell: Shell) -> None:
    shell.good("keys", "rotate")
    shell.good("revoke", "--task", "T1")
    assert set(modes(shell.ledger).values()) == {0o600, 0o700}
