"""Backups of a ledger of 1.5 million credentials, against copies of the file without verification."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

from jitid.backup import archive, restore, revive, take_backup
from jitid.backup.take_backup import BackupProgress
from jitid.capabilities.integrity.operations import VerifyLog
from jitid.ledger.sqlite import copy
from jitid.ledger.sqlite import folder as ledgers
from tests.bench import fleet
from tests.bench.ground import Ground
from tests.bench.measure import Row, Series, at_most, duration, in_turns, seconds
from tests.real import need

_QUIET = BackupProgress(lambda _done, _all: None, lambda _what: None)


def rows(place: Ground) -> Iterator[Row]:
    """Measure a backup with and without verification, a restore, and the release of free space."""
    made = fleet.fleet(place.cache or place.new("cache"))
    ledger, here = made / "ledger", place.new("backup")
    database = ledger / ledgers.DATABASE
    rounds = min(place.rounds, 3)
    found = in_turns(
        rounds,
        {
            "plain": lambda: seconds(lambda: _take(ledger, here / "plain", verify=False)),
            "cp": lambda: seconds(lambda: _cp(database, here / "cp.db")),
            "own": lambda: seconds(lambda: _own(database, here / "own.db")),
            "whole": lambda: seconds(lambda: _take(ledger, here / "whole", verify=True)),
            "verify": lambda: seconds(lambda: _verify(made)),
            "back": lambda: seconds(lambda: _unpack(here / "whole", here / "back")),
        },
    )
    fast = Series("`ledger backup --no-verify`", found["plain"], duration)
    yield Row(
        "backup of 1.5 million, not verified",
        fast,
        Series("`cp` and `fsync`", found["cp"], duration),
        at_most(3),
    )
    yield Row(
        "backup of 1.5 million, not verified",
        fast,
        Series("sqlite3's `.backup`", found["own"], duration),
        at_most(2),
    )
    yield Row(
        "backup of 1.5 million, verified",
        Series("`ledger backup`", found["whole"], duration),
        Series("`audit verify` alone", found["verify"], duration),
        at_most(3),
    )
    yield Row(
        "unpacking and verifying it",
        Series("`ledger restore` but for what ends", found["back"], duration),
        Series("`audit verify` alone", found["verify"], duration),
        at_most(3),
    )
    for name in ("cp.db", "own.db"):
        (here / name).unlink()
    shutil.rmtree(here / "whole")
    shutil.rmtree(here / "plain")
    changed = fleet.copy(made, here / "changed")
    turns = in_turns(
        1,
        {
            "ours": lambda: seconds(lambda: copy.vacuum(str(changed / "ledger"), 5)),
            "bare": lambda: seconds(lambda: _vacuum(changed / "ledger" / ledgers.DATABASE)),
        },
    )
    yield Row(
        "giving room back, 1.5 million",
        Series("`ledger vacuum`", turns["ours"], duration),
        Series("bare `VACUUM`", turns["bare"], duration),
        at_most(1.3),
    )
    shutil.rmtree(here)


def _take(ledger: Path, to: Path, *, verify: bool) -> None:
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir(mode=0o700)
    keyring = ledgers.keyring(str(ledger))
    take_backup.take(
        str(ledger), str(to), keyring, keys=False, verify=verify, by="bench", timeout=5, progress=_QUIET
    )


def _unpack(place: Path, to: Path) -> None:
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir(mode=0o700)
    unpacked = revive.unpack(archive.members(str(place)), str(to))
    with revive.opened(str(to), "bench", 5) as ledger:
        restore.verify_backup(ledger, unpacked)
    shutil.rmtree(to)


def _cp(database: Path, to: Path) -> None:
    to.unlink(missing_ok=True)
    subprocess.run(["cp", "--reflink=never", str(database), str(to)], check=True)
    _sync(to)


def _own(database: Path, to: Path) -> None:
    to.unlink(missing_ok=True)
    subprocess.run([need("sqlite3"), "-readonly", str(database), f".backup {to}"], check=True)
    _sync(to)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def _verify(made: Path) -> None:
    authority = fleet.open_fleet(made)
    authority.perform(VerifyLog())
    authority.close()


def _vacuum(database: Path) -> None:
    db = sqlite3.connect(database, isolation_level=None)
    db.execute("VACUUM")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
