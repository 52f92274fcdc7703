"""Backup and restore with a clock that is days behind: checked by the time mark, written with an accepted clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jitid.backup import restore
from jitid.backup.restore import RestoredLedger
from jitid.doctor import upkeep
from jitid.errors import ClockError, InvalidCredentialError, UsageError
from tests.backup.test_backup import at_home, back_up, config, names
from tests.backup.test_copy_ledger import copied
from tests.builders import DAY, World, edit

__all__ = ["at_home"]


@pytest.fixture
def ahead(tmp_path: Path) -> Iterator[World]:
    """Return a ledger whose time mark is three days ahead of the real clock."""
    with World(tmp_path / "ledger", now=int(time.time()) + 3 * DAY) as world:
        yield world


def _restore(place: Path, to: Path, *, replace: bool = False, accept_clock: bool = True) -> RestoredLedger:
    return restore.restore(
        config(to),
        str(place),
        replace=replace,
        keep=False,
        expect=None,
        accept_clock=accept_clock,
        progress=lambda _what: None,
        standard_input=None,
    )


def test_a_backup_is_made_and_checked_by_its_mark(ahead: World, tmp_path: Path) -> None:
    ahead.issue()
    made = back_up(ahead, tmp_path / "backup")
    assert made.manifest.at == int(ahead.clock())
    checks = list(upkeep.check_backup(config(tmp_path), str(tmp_path / "backup"), lambda _what: None, None))
    assert {check.status.value for check in checks} == {"ok"}


def test_a_restore_is_refused_until_the_clock_is_accepted(ahead: World, tmp_path: Path) -> None:
    made = ahead.issue()
    back_up(ahead, tmp_path / "backup", keys=True)
    with pytest.raises(ClockError) as refused:
        _restore(tmp_path / "backup", tmp_path / "again", accept_clock=False)
    assert "--accept-clock" in str(refused.value.hint)
    assert "sweep" not in str(refused.value.hint), "there is no ledger to sweep"
    assert "again" not in names(tmp_path)
    back = _restore(tmp_path / "backup", tmp_path / "again")
    assert back.restored.credentials == 1
    with World(tmp_path / "again", now=int(time.time())) as other:
        with pytest.raises(InvalidCredentialError):
            other.verify(made.token)
        assert "accept-clock" in [event["op"] for event in other.events()]
        other.check()


def test_another_ledger_is_not_replaced_whatever_the_clock_says(ahead: World, tmp_path: Path) -> None:
    ahead.issue()
    back_up(ahead, tmp_path / "backup", keys=True)
    edit(ahead.path, "UPDATE setting SET value = 'another' WHERE name = 'uuid'")
    with pytest.raises(UsageError, match="has another ledger"):
        _restore(tmp_path / "backup", ahead.path, replace=True)


def test_what_lived_goes_on_living_where_nothing_has_happened_since(ahead: World, tmp_path: Path) -> None:
    ahead.issue()
    back_up(ahead, tmp_path / "backup", keys=True)
    ahead.close()
    back = _restore(tmp_path / "backup", ahead.path, replace=True)
    assert (back.newest, back.restored.kept) == (True, True)
    ahead.reopen()


def test_a_copy_has_the_mark_of_its_source(ahead: World, tmp_path: Path) -> None:
    made = ahead.issue()
    mark = ahead.ledger.condition().clock().mark
    ahead.clock.now -= 3 * DAY
    copied(ahead, tmp_path / "copy")
    with World(tmp_path / "copy", now=ahead.clock.now) as other:
        assert other.ledger.condition().clock().mark == mark
        with pytest.raises(ClockError):
            other.verify(made.token)
    ahead.clock.now += 3 * DAY
