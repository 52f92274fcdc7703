"""Contract tests of successors: when the predecessor ends, how that can be undone, and the link to a process."""

from __future__ import annotations

import sqlite3

import psycopg
import pytest

from jitid.capabilities.identity.filter_store import Filter
from jitid.capabilities.identity.store import CredentialChanges, CredentialStore
from jitid.capabilities.identity.task_store import TaskStore
from jitid.errors import JitidError
from jitid.model.credential import State
from jitid.model.ledger_rows import Selection
from jitid.model.process import Process
from jitid.values.ids import parse_id
from tests.builders import NOW, Row, put
from tests.ledger.places import Place

PROCESS = Process("host", "boot", 4026531836, 77, 1234, kept=False)


def supersede(place: Place, row: Row, at: int) -> int | None:
    """Supersede a credential, with an event."""
    with place.ledger.write() as transaction:
        found = CredentialChanges(transaction).supersede(row.key, at)
        transaction.append("note", {})
    return found


def state(place: Place, row: Row) -> State:
    """Return the state of a credential now."""
    with place.again().read() as snapshot:
        found = CredentialStore(snapshot).find_credential("jti", parse_id(row.jti)[1])
        assert found is not None
        return found.state_at(snapshot.now)


def live(place: Place) -> list[str]:
    """Return the ids that the ledger lists as live."""
    with place.again().read() as snapshot:
        return [
            one.jti
            for one in CredentialStore(snapshot).credentials(
                Filter(live=True), "issued_at", descending=False, after=None, limit=99
            )
        ]


def issue(place: Place, **fields: int) -> Row:
    """Record one credential."""
    with place.ledger.write() as transaction:
        return put(transaction, **fields)  # type: ignore[arg-type]


def test_what_is_superseded_lives_until_then(place: Place) -> None:
    row = issue(place)
    assert supersede(place, row, NOW + 30) == NOW + 30
    place.clock.now += 29
    assert (state(place, row), live(place)) == (State.ACTIVE, [row.jti])
    place.clock.now += 1
    assert (state(place, row), live(place)) == (State.SUPERSEDED, [])


def test_nothing_is_superseded_after_its_expiry(place: Place) -> None:
    row = issue(place, ttl=10)
    assert supersede(place, row, NOW + 30) == NOW + 10


@pytest.mark.parametrize("at", [NOW + 5, NOW + 10, NOW + 30])
def test_what_has_a_successor_gets_no_second_one(place: Place, at: int) -> None:
    row = issue(place)
    supersede(place, row, NOW + 10)
    assert supersede(place, row, at) is None
    place.clock.now += 9
    assert state(place, row) is State.ACTIVE
    place.clock.now += 1
    assert state(place, row) is State.SUPERSEDED


def test_what_has_ended_is_not_superseded(place: Place) -> None:
    row = issue(place, ttl=10)
    place.clock.now += 10
    assert supersede(place, row, NOW + 40) is None
    assert state(place, row) is State.EXPIRED


def test_a_line_has_one_head_whatever_is_written(place: Place) -> None:
    """The database refuses a second successor, even if the code above it has a defect."""
    first, other = issue(place), issue(place)
    with place.ledger.write() as transaction:
        supersede_both = [
            CredentialChanges(transaction).supersede(row.key, NOW + 30) for row in (first, other)
        ]
        put(transaction, line=first.key)
        transaction.append("note", {})
    assert supersede_both == [NOW + 30, NOW + 30]
    refusals = (JitidError, sqlite3.IntegrityError, psycopg.IntegrityError)
    with pytest.raises(refusals), place.ledger.write() as transaction:
        put(transaction, line=first.key)
        transaction.append("note", {})


def test_the_next_writer_records_the_end(place: Place) -> None:
    row = issue(place)
    supersede(place, row, NOW + 30)
    place.clock.now += 40
    assert state(place, row) is State.SUPERSEDED
    issue(place)
    with place.again().read() as snapshot:
        found = CredentialStore(snapshot).find_credential("jti", parse_id(row.jti)[1])
        assert found is not None
        assert (found.ended_as, found.ended_at) == ("superseded", NOW + 30)
        event = snapshot.event(found.ended_event or 0)
        assert event is not None
        assert (event.document()["op"], event.document()["count"]) == ("supersede", 1)


def test_what_was_superseded_counts_nowhere_as_alive(place: Place) -> None:
    """This holds before a writer records the end: in previews, tasks, lineages, descendants, filters."""
    row = issue(place)
    supersede(place, row, NOW + 30)
    place.clock.now += 30
    with place.again().read() as snapshot:
        assert CredentialStore(snapshot).measure(Selection(ids=(row.id,))).credentials == 0
        task = TaskStore(snapshot).find_task("T1")
        assert task is not None
        assert TaskStore(snapshot).count_for_task(task.key) == (1, 0)
        assert TaskStore(snapshot).find_tasks(None, None, 9)[0][1:] == (1, 0)
        for name, expected in (("superseded", 1), ("active", 0), ("expired", 0), ("pending", 0)):
            found = CredentialStore(snapshot).credentials(
                Filter(state=name), "id", descending=False, after=None, limit=9
            )
            assert len(found) == expected, name


def test_a_credential_rests_on_the_head_of_the_line_that_it_was_made_from(place: Place) -> None:
    with place.ledger.write() as transaction:
        parent = put(transaction, scopes="a b")
        child = put(transaction, parent=parent, scopes="a")
    supersede(place, parent, NOW + 30)
    with place.ledger.write() as transaction:
        put(transaction, scopes="a", ttl=60, line=parent.key)
    with place.again().read() as snapshot:
        (above,) = CredentialStore(snapshot).grounds(child.key)
        (renewed,) = CredentialStore(snapshot).grounds(parent.key)
        assert CredentialStore(snapshot).grounds_of([child.key, parent.key]) == {
            child.key: [above],
            parent.key: [renewed],
        }
    assert (above.how, above.scopes, above.expires_at) == ("delegated", ("a",), NOW + 60)
    assert (renewed.how, renewed.scopes, renewed.expires_at) == ("renewed", ("a",), NOW + 60)
    place.clock.now += 60
    with place.again().read() as snapshot:
        (above,) = CredentialStore(snapshot).grounds(child.key)
    assert (above.scopes, above.expires_at) == ((), None)


def test_it_can_be_taken_back_until_it_has_happened(place: Place) -> None:
    row = issue(place)
    raw = parse_id(row.jti)[1]
    for later, expected in ((0, State.ACTIVE), (30, State.SUPERSEDED)):
        supersede(place, row, NOW + 30)
        place.clock.now += later
        with place.ledger.write() as transaction:
            assert CredentialChanges(transaction).restore(raw, NOW + 30, None) is (later == 0)
            transaction.append("note", {})
        place.clock.now += 60
        assert state(place, row) is expected
        place.clock.now = NOW


def test_it_cannot_be_taken_back_once_it_has_happened(place: Place) -> None:
    """A writer records only a thousand ends. This end has happened too, although the ledger has not recorded it."""
    with place.ledger.write() as transaction:
        row, *others = [put(transaction) for _ in range(1_001)]
    with place.ledger.write() as transaction:
        for other in others:
            CredentialChanges(transaction).supersede(other.key, NOW + 10)
        CredentialChanges(transaction).supersede(row.key, NOW + 20)
        transaction.append("note", {})
    place.clock.now += 20
    with place.ledger.write() as transaction:
        assert CredentialStore(transaction).find_credential("jti", parse_id(row.jti)[1]).ended_at is None  # type: ignore[union-attr]
        assert not CredentialChanges(transaction).restore(parse_id(row.jti)[1], NOW + 20, None)
        transaction.append("note", {})
    assert state(place, row) is State.SUPERSEDED


def test_what_is_superseded_at_once_cannot_be_taken_back(place: Place) -> None:
    row = issue(place)
    with place.ledger.write() as transaction:
        at = CredentialChanges(transaction).supersede(row.key, NOW)
        assert at == NOW
        assert not CredentialChanges(transaction).restore(parse_id(row.jti)[1], at, None)
        transaction.append("note", {})
    assert state(place, row) is State.SUPERSEDED


def test_what_is_taken_back_leaves_what_stood_before(place: Place) -> None:
    """A renewal by an older version, when a line could have several heads, could move an end to an earlier time."""
    row = issue(place)
    raw = parse_id(row.jti)[1]
    assert supersede(place, row, NOW + 10) == NOW + 10
    with place.ledger.write() as transaction:
        assert not CredentialChanges(transaction).restore(raw, NOW + 30, None), "it is no longer so"
        assert CredentialChanges(transaction).restore(raw, NOW + 10, NOW + 30)
        transaction.append("note", {})
    place.clock.now += 29
    assert state(place, row) is State.ACTIVE
    place.clock.now += 1
    assert state(place, row) is State.SUPERSEDED


def test_one_credential_ends_alone(place: Place) -> None:
    with place.ledger.write() as transaction:
        parent = put(transaction)
        child = put(transaction, parent=parent)
        CredentialChanges(transaction).end_one(parent.key, State.REVOKED)
        transaction.append("note", {})
    assert state(place, parent) is State.REVOKED
    assert state(place, child) is State.ACTIVE


def test_a_process_stays_with_its_identity(place: Place) -> None:
    with place.ledger.write() as transaction:
        bound, free = put(transaction), put(transaction)
        CredentialChanges(transaction).bind(bound.identity, PROCESS)
    with place.again().read() as snapshot:
        found = {
            one.jti: one.process
            for one in CredentialStore(snapshot).credentials(
                Filter(), "id", descending=False, after=None, limit=9
            )
        }
        assert found == {bound.jti: PROCESS, free.jti: None}
        only = CredentialStore(snapshot).credentials(
            Filter(live=True, bound=True), "id", descending=False, after=None, limit=9
        )
        assert [one.jti for one in only] == [bound.jti]
