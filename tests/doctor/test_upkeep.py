"""The check of the ledger's file, and the release of its free space: no visible data changes."""

from __future__ import annotations

import fcntl
import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jitid.backup import take_backup
from jitid.backup.take_backup import BackupProgress
from jitid.config.effective import Config, load
from jitid.doctor import upkeep
from jitid.errors import IntegrityError, JitidError, StorageError, UsageError
from jitid.ledger.sqlite import folder
from jitid.ledger.sqlite.lock import FairLock
from jitid.model.ledger_condition import Status
from tests.builders import World, edit, make_database
from tests.postgres import Postgres


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Isolate the test from the user's configuration."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "JITID_LEDGER"):
        monkeypatch.delenv(name, raising=False)


def config(ledger: object, timeout: str = "5s") -> Config:
    """Return a configuration with a ledger."""
    return load(file=None, profile=None, flags={"ledger": str(ledger), "timeout": timeout})


@pytest.fixture
def used(tmp_path: Path) -> Iterator[World]:
    """Return a ledger that uses the real clock, with free space from deleted rows."""
    with World(tmp_path / "ledger", now=int(time.time())) as world:
        world.chain(3)
        db = sqlite3.connect(world.path / folder.DATABASE, isolation_level=None)
        db.executescript(
            "CREATE TABLE large (data); INSERT INTO large VALUES (zeroblob(1200000)); DROP TABLE large"
        )
        db.close()
        yield world


def seen(path: object) -> dict[str, Status]:
    """Return the most severe status of each check."""
    found: dict[str, Status] = {}
    order = [Status.OK, Status.WARNING, Status.FAILURE]
    for one in upkeep.check(config(path)):
        found[one.name] = max(found.get(one.name, Status.OK), one.status, key=order.index)
    return found


def test_a_ledger_that_is_well(used: World) -> None:
    assert set(seen(used.path).values()) == {Status.OK}


def test_what_was_left_unfinished_is_told_and_what_is_at_work_is_not(used: World) -> None:
    left = [used.path / ".audit.head.0123456789ab", used.path.parent / ".ledger.0123456789ab.new"]
    left[0].touch(0o600)
    left[1].mkdir(0o700)
    (left[1] / "lock").touch(0o600)
    told = [one.detail for one in upkeep.check(config(used.path)) if one.name == "leftovers"]
    assert len(told) == 2
    with (left[1] / "lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        told = [one.detail for one in upkeep.check(config(used.path)) if one.name == "leftovers"]
    assert [str(left[0]) in one for one in told] == [True]


def _bits(data: bytes, count: int) -> bytes:
    found = bytearray(data)
    chosen = random.Random(7)
    for _ in range(count):
        found[chosen.randrange(100, len(found))] ^= 1 << chosen.randrange(8)
    return bytes(found)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:50],
        lambda data: data[:4096],
        lambda data: data[: len(data) // 2],
        lambda data: bytes(len(data)),
        lambda data: data[:4096] + bytes(len(data) - 4096),
        lambda data: _bits(data, 2000),
        lambda _: b"",
    ],
)
def test_a_damaged_ledger_is_told_and_never_a_surprise(used: World, change: Callable[[bytes], bytes]) -> None:
    used.close()
    database = used.path / folder.DATABASE
    data = change(database.read_bytes())
    database.write_bytes(data)
    assert Status.FAILURE in seen(used.path).values()
    assert database.read_bytes() == data
    for work in (
        lambda: upkeep.vacuum(config(used.path), lambda _: None),
        lambda: take_backup.back_up(
            config(used.path),
            str(used.path.parent / "backup"),
            keys=False,
            verify=True,
            progress=BackupProgress(lambda _a, _b: None, lambda _: None),
            write=lambda _: None,
        ),
    ):
        with pytest.raises(JitidError):
            work()
    assert not (used.path.parent / "backup").exists()
    used.close = lambda: None  # type: ignore[method-assign]


def test_a_row_that_was_changed_is_told(used: World) -> None:
    edit(used.path, "UPDATE credential SET expires_at = expires_at + 1 WHERE id = 1")
    assert seen(used.path)["audit"] is Status.FAILURE


def test_room_is_given_back(used: World) -> None:
    events = used.events()
    done = upkeep.vacuum(config(used.path), lambda _: None)
    assert done.before - done.after > 1_000_000
    assert (used.path / folder.DATABASE).stat().st_size <= done.after
    assert used.events() == events
    used.issue()
    used.check()
    assert "SQLITE_TMPDIR" not in os.environ
    assert upkeep.vacuum(config(used.path), lambda _: None).after <= done.after + 100_000


def test_a_writer_has_its_turn_first(used: World) -> None:
    turn = FairLock(str(used.path / folder.LOCK), 1)
    turn.acquire()
    with pytest.raises(StorageError, match="other writers held"):
        upkeep.vacuum(config(used.path, "1s"), lambda _: None)
    turn.close()
    upkeep.vacuum(config(used.path), lambda _: None)


@pytest.mark.deep
def test_while_somebody_reads_an_old_state(used: World) -> None:
    with used.ledger.read() as snapshot:
        before = list(snapshot.events(0))
        done = upkeep.vacuum(config(used.path, "1s"), lambda _: None)
        assert list(snapshot.events(0)) == before
    assert done.log_left > 0
    used.issue()
    used.check()
    assert upkeep.vacuum(config(used.path), lambda _: None).log_left == 0


def test_a_backup_is_checked_and_nothing_is_left_of_that(
    used: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    place = tmp_path / "backup"
    quiet = BackupProgress(lambda _a, _b: None, lambda _: None)
    take_backup.back_up(
        config(used.path), str(place), keys=True, verify=True, progress=quiet, write=lambda _: None
    )
    told = list(upkeep.check_backup(config(used.path), str(place), lambda _: None, None))
    assert told[-1].detail.endswith(", with 1 private key")
    assert {one.status for one in told} == {Status.OK}
    with (place / "ledger.sqlite").open("r+b") as file:
        file.seek(5000)
        file.write(b"\xff\x00\xff")
    with pytest.raises(IntegrityError):
        list(upkeep.check_backup(config(used.path), str(place), lambda _: None, None))
    assert not list((tmp_path / "temporary").iterdir())


def test_in_a_database(postgres_server: Postgres, tmp_path: Path) -> None:
    address = postgres_server.url(postgres_server.new_database())
    make_database(address, tmp_path / ".local" / "share" / "jitid" / "authority")
    told = upkeep.check(config(address))
    assert Status.FAILURE not in {one.status for one in told}
    stages: list[str] = []
    done = upkeep.vacuum(config(address), stages.append)
    assert done.after > 0
    assert "vacuuming credential" in stages
    with pytest.raises(UsageError, match="does not support ledgers in a database"):
        take_backup.back_up(
            config(address),
            str(tmp_path / "backup"),
            keys=False,
            verify=True,
            progress=BackupProgress(lambda _a, _b: None, lambda _: None),
            write=lambda _: None,
        )
