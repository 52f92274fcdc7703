"""A read-only look at a ledger changes none of its files, in any combination of existing files."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from jitid.capabilities.identity.task_store import TaskStore
from jitid.errors import DamagedError, IntegrityError, JitidError, StorageError
from jitid.ledger.sqlite import folder
from jitid.ledger.sqlite.ledger import SqliteLedger
from jitid.ledger.sqlite.read_only import look
from tests.builders import Clock, make_folder, open_sqlite, put
from tests.real import tmpfs

CLOCK = Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a ledger with one task in the database and another one in its write-ahead log."""
    made = make_folder(tmp_path / "made")
    ledger = open_sqlite(made, CLOCK)
    for task in ("OLD", "NEW"):
        with ledger.write() as transaction:
            put(transaction, task=task)
        if task == "OLD":
            db = sqlite3.connect(made / folder.DATABASE)
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            db.close()
    # Copy the files of the open ledger, as a killed process would leave them.
    shutil.copytree(made, tmp_path / "ledger", copy_function=shutil.copy2)
    ledger.close()
    return tmp_path / "ledger"


def tasks(path: Path) -> list[str]:
    """Return the names of the tasks from a read-only look."""

    def ask(ledger: SqliteLedger) -> list[str]:
        assert ledger.condition().damage() == []
        with ledger.read() as snapshot:
            return sorted(task.name for task, _, _ in TaskStore(snapshot).find_tasks(None, None, 9))

    return look(
        str(path / folder.DATABASE), str(path / folder.LOCK), ask, by="tester", timeout=1, clock=CLOCK
    )


def standing(path: Path) -> dict[str, tuple[int, bytes]]:
    """Return every file with its time of last change and its content."""
    return {
        each.name: (each.stat().st_mtime_ns, each.read_bytes()) for each in path.iterdir() if each.is_file()
    }


ABSENT: list[tuple[tuple[str, ...], list[str]]] = [
    ((), ["NEW", "OLD"]),
    (("-shm",), ["NEW", "OLD"]),
    (("-shm", "-wal"), ["OLD"]),
]


@pytest.mark.parametrize(("absent", "seen"), ABSENT)
def test_nothing_is_written_whichever_files_there_are(
    absent: tuple[str, ...], seen: list[str], path: Path
) -> None:
    for suffix in absent:
        (path / f"{folder.DATABASE}{suffix}").unlink()
    before = standing(path)
    assert tasks(path) == seen
    assert standing(path) == before


@pytest.mark.parametrize(("absent", "seen"), ABSENT)
def test_a_read_only_disk_can_be_looked_at(absent: tuple[str, ...], seen: list[str], path: Path) -> None:
    for suffix in absent:
        (path / f"{folder.DATABASE}{suffix}").unlink()
    with tmpfs(path.parent / "disk", "size=4m") as disk:
        shutil.copytree(path, disk / "ledger", copy_function=shutil.copy2)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert tasks(disk / "ledger") == seen


def test_a_writer_that_comes_meanwhile_has_it_looked_at_again(path: Path) -> None:
    """Without the log's index, no lock separates the reader from the writer."""
    for suffix in ("-shm", "-wal"):
        (path / f"{folder.DATABASE}{suffix}").unlink()
    seen = []

    def ask(ledger: SqliteLedger) -> None:
        with ledger.read() as snapshot:
            seen.append([task.name for task, _, _ in TaskStore(snapshot).find_tasks(None, None, 9)])
        if len(seen) == 1:
            writer = open_sqlite(path, CLOCK)
            with writer.write() as transaction:
                put(transaction, task="MEANWHILE")
            writer.close()

    look(str(path / folder.DATABASE), str(path / folder.LOCK), ask, by="tester", timeout=1, clock=CLOCK)
    assert seen == [["OLD"], ["MEANWHILE", "OLD"]]


def test_an_empty_database_keeps_its_log(path: Path) -> None:
    """SQLite deletes the log, even in read-only mode."""
    (path / folder.DATABASE).write_bytes(b"")
    before = standing(path)
    with pytest.raises(IntegrityError, match="empty"):
        tasks(path)
    assert standing(path) == before


@pytest.mark.parametrize("name", [folder.DATABASE, f"{folder.DATABASE}-wal", f"{folder.DATABASE}-shm"])
@pytest.mark.parametrize("what", ["link", "pipe", "folder"])
def test_what_is_no_plain_file_is_not_opened(name: str, what: str, path: Path) -> None:
    (path / name).rename(path / "moved")
    match what:
        case "link":
            (path / name).symlink_to(path / "moved")
        case "pipe":
            os.mkfifo(path / name, 0o600)
        case _:
            (path / name).mkdir()
    with pytest.raises(IntegrityError, match=r"link|not a regular file"):
        tasks(path)


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("length", [31, 40_000])
@pytest.mark.parametrize("first", [b"?", b"\x37\x7f\x06\x82"])
def test_a_log_that_is_none_is_damage_and_kept(first: bytes, length: int, index: bool, path: Path) -> None:
    """SQLite would wait a long time for another process to repair the log, or truncate it."""
    (path / f"{folder.DATABASE}-wal").write_bytes(first + b"?" * (length - len(first)))
    if not index:
        (path / f"{folder.DATABASE}-shm").unlink()
    before = standing(path)
    with pytest.raises(DamagedError, match="write-ahead log"):
        tasks(path)
    assert standing(path) == before


@pytest.mark.parametrize("length", [10, 32, 40_000])
def test_a_log_that_a_power_cut_left_blank_has_nothing_to_add(length: int, path: Path) -> None:
    (path / f"{folder.DATABASE}-wal").write_bytes(bytes(length))
    before = standing(path)
    tasks(path)
    assert standing(path) == before


def test_a_database_that_is_missing_is_not_made(path: Path) -> None:
    (path / folder.DATABASE).unlink()
    with pytest.raises(StorageError, match="missing"):
        tasks(path)
    assert not (path / folder.DATABASE).exists()


def test_a_name_with_marks_that_addresses_use_is_taken_as_it_is(path: Path) -> None:
    odd = path.parent / "a b?mode=rw#%41é\n"
    path.rename(odd)
    assert tasks(odd) == ["NEW", "OLD"]


def test_only_looking_is_possible(path: Path) -> None:
    def ask(ledger: SqliteLedger) -> None:
        with ledger.write() as transaction:
            put(transaction)

    with pytest.raises(JitidError):
        look(str(path / folder.DATABASE), str(path / folder.LOCK), ask, by="tester", timeout=1, clock=CLOCK)
    assert tasks(path) == ["NEW", "OLD"]
