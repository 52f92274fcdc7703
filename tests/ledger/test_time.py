"""The time that a ledger uses: the later of clock and mark. A jump is accepted only on explicit request."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from jitid.authority.open_local import open_local
from jitid.capabilities.identity.filter_store import Filter
from jitid.capabilities.identity.store import CredentialChanges, CredentialStore
from jitid.capabilities.integrity import verify_log
from jitid.capabilities.integrity.store import RowStore
from jitid.config import effective
from jitid.errors import ClockError, IntegrityError
from jitid.ledger import expiry
from jitid.model.credential import State
from jitid.model.ledger_rows import Selection
from jitid.values.ids import parse_id
from tests.builders import DAY, NAMES, NOW, Row, World, put
from tests.ledger.places import Place, with_a_mark


def state(place: Place, row: Row) -> str:
    """Return the state of a credential now, as a newly started process sees it."""
    with place.again().read() as snapshot:
        found = CredentialStore(snapshot).find_credential("jti", parse_id(row.jti)[1])
        assert found is not None
        return found.state_at(snapshot.now).value


def note(place: Place, *, accept: bool = False) -> int:
    """Commit an event and return its time."""
    with place.ledger.write(accept_clock=accept) as transaction:
        transaction.append("note", {})
        return transaction.now


@with_a_mark
@pytest.mark.parametrize("back", [1, 3600, DAY])
def test_the_time_mark_outlasts_a_clock_that_steps_back(place: Place, back: int) -> None:
    place.clock.now += 500
    note(place)
    place.clock.now -= back
    assert note(place) == NOW + 500
    with place.again().read() as snapshot:
        assert snapshot.now == NOW + 500


@pytest.mark.parametrize("back", [1, 3600, DAY, DAY + 1, 2 * DAY, NOW])
def test_what_has_expired_stays_expired_when_the_clock_steps_back(place: Place, back: int) -> None:
    with place.ledger.write() as transaction:
        row = put(transaction, ttl=60)
    place.clock.now += 60
    note(place)
    place.clock.now -= back
    if back > DAY and place.ledger.condition().clock().refuses:
        with pytest.raises(ClockError, match="behind the ledger"):
            state(place, row)
    else:
        assert state(place, row) == "expired"


@with_a_mark
def test_a_clock_two_days_behind_is_refused(place: Place) -> None:
    place.clock.now -= 2 * DAY
    with pytest.raises(ClockError, match="behind the ledger"):
        note(place)
    place.clock.now += 2 * DAY
    with place.ledger.read() as snapshot:
        assert snapshot.head().seq == 1


@with_a_mark
@pytest.mark.parametrize("look", ["read", "glance"])
@pytest.mark.parametrize("back", [DAY + 1, 2 * DAY, NOW])
def test_a_look_refuses_a_clock_that_is_more_than_a_day_behind(place: Place, look: str, back: int) -> None:
    """No write happened since the credential expired: by the mark alone it would be valid again."""
    with place.ledger.write() as transaction:
        row = put(transaction, ttl=60)
        transaction.append("note", {})
    place.clock.now += 3600
    assert state(place, row) == "expired"
    place.clock.now = NOW - back
    with pytest.raises(ClockError, match="behind the ledger"), getattr(place.again(), look)():
        pass
    place.clock.now = NOW - DAY
    with getattr(place.again(), look)() as snapshot:
        assert snapshot.now == NOW


@with_a_mark
def test_a_jump_ahead_beyond_the_uptime_is_refused(place: Place) -> None:
    place.clock.now += 2 * DAY
    with pytest.raises(IntegrityError, match="ahead"):
        note(place)


@with_a_mark
def test_an_accepted_clock_is_an_event_and_lowers_the_mark(place: Place) -> None:
    place.clock.now -= 2 * DAY
    assert note(place, accept=True) == NOW - 2 * DAY
    with place.again().read() as snapshot:
        assert snapshot.now == NOW - 2 * DAY
        accepted = snapshot.event(2)
    assert accepted is not None
    assert (accepted.document()["op"], accepted.document()["jump"]) == ("accept-clock", -2 * DAY)


@with_a_mark
def test_accepting_a_clock_that_is_right_changes_nothing(place: Place) -> None:
    place.clock.now -= 3600
    assert note(place, accept=True) == NOW
    with place.ledger.read() as snapshot:
        assert snapshot.head().seq == 2


@with_a_mark
def test_a_clock_is_not_accepted_by_a_transaction_that_fails(place: Place) -> None:
    place.clock.now -= 2 * DAY
    with pytest.raises(ZeroDivisionError), place.ledger.write(accept_clock=True) as transaction:
        raise ZeroDivisionError
    with pytest.raises(IntegrityError):
        note(place)
    del transaction


def test_reading_does_not_raise_the_mark(place: Place) -> None:
    place.clock.now += 3600
    with place.ledger.read() as snapshot:
        assert snapshot.now == NOW + 3600
    place.clock.now -= 3600
    with place.ledger.read() as snapshot:
        assert snapshot.now == NOW


def test_a_transaction_without_an_event_does_not_raise_the_mark(place: Place) -> None:
    place.clock.now += 3600
    with place.ledger.write():
        pass
    place.clock.now -= 3600
    with place.ledger.read() as snapshot:
        assert snapshot.now == NOW


@with_a_mark
def test_more_than_one_transaction_closes_stays_dead_under_an_accepted_clock(place: Place) -> None:
    """A writer records only some of many expired credentials. A lower mark must not make the others valid again."""
    with place.ledger.write() as transaction:
        for _ in range(1_500):
            put(transaction, ttl=60)
    place.clock.now += 60
    note(place)
    place.clock.now -= 2 * DAY
    note(place, accept=True)
    with place.ledger.read() as snapshot:
        assert not CredentialStore(snapshot).credentials(
            Filter(live=True), "id", descending=False, after=None, limit=9
        )
        verify_log.verify(snapshot, NAMES, None)


def test_expiry_is_closed_as_an_event_that_names_its_members(place: Place) -> None:
    with place.ledger.write() as transaction:
        first, second = put(transaction, ttl=60), put(transaction, ttl=61)
    place.clock.now += 60
    note(place)
    with place.ledger.read() as snapshot:
        closing = snapshot.event(4)
        assert closing is not None
        assert (closing.document()["op"], closing.document()["count"]) == ("expire", 1)
        assert CredentialStore(snapshot).event_members(4) == ([], [first.jti])
        found = CredentialStore(snapshot).find_credential("jti", parse_id(first.jti)[1])
    assert found is not None
    assert (found.ended_at, found.ended_as) == (NOW + 60, State.EXPIRED.value)
    assert state(place, second) == "active"


def test_a_writer_closes_a_bounded_number_of_the_expired(place: Place) -> None:
    with place.ledger.write() as transaction:
        for _ in range(5):
            put(transaction, ttl=60)
    place.clock.now += 60
    with place.ledger.write() as transaction:
        assert expiry.close_due(transaction, 3) == 0, "they were closed when the transaction began"
        transaction.append("note", {})
    with place.ledger.read() as snapshot:
        assert len(list(RowStore(snapshot).ended_members())) == 5


def test_revoking_what_has_expired_does_not_change_why_it_ended(place: Place) -> None:
    with place.ledger.write() as transaction:
        row = put(transaction, ttl=60)
    place.clock.now += 60
    with place.ledger.write() as transaction:
        radius, _ = CredentialChanges(transaction).end(Selection(ids=(row.id,)), State.REVOKED)
        transaction.append("note", {})
    assert radius.credentials == 0
    assert state(place, row) == "expired"


def test_the_clock_is_read_after_the_lock(place: Place) -> None:
    """A writer that waited uses the time at which it got the lock."""
    asked = threading.Event()

    def clock() -> float:
        asked.set()
        return float(NOW)

    def second() -> None:
        ledger = place.open_one(clock)
        with ledger.write():
            pass
        ledger.close()

    thread = threading.Thread(target=second)
    with place.ledger.write():
        thread.start()
        assert not asked.wait(0.2)
    thread.join()
    assert asked.is_set()


@pytest.mark.parametrize("accept_clock", [False, True])
def test_a_ledger_that_a_command_has_opened_is_closed_by_it(tmp_path: Path, *, accept_clock: bool) -> None:
    """Processes that search a text are started later, and a connection must not cross a fork."""
    World(tmp_path / "ledger").close()
    settings = effective.load(flags={"ledger": str(tmp_path / "ledger")}, environ={"HOME": str(tmp_path)})
    open_local(settings, accept_clock=accept_clock).close()
    held = [str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
    assert not [path for path in held if path.startswith(str(tmp_path))]
