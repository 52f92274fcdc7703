"""Contract tests: how a ledger reports its own state."""

from __future__ import annotations

from jitid.ledger.contract import Ledger
from jitid.model.ledger_condition import ClockReading
from tests.builders import DAY, NOW, put
from tests.ledger.places import Place, with_a_mark


def objects(ledger: Ledger) -> int:
    """Commit a credential and return how many events there are."""
    with ledger.write() as transaction:
        put(transaction)
    with ledger.read() as snapshot:
        return snapshot.head().seq


def test_a_sound_ledger_has_no_damage_and_the_schema_that_is_known(place: Place) -> None:
    objects(place.ledger)
    condition = place.again().condition()
    assert condition.damage() == []
    schema = condition.schema()
    assert (schema.version, schema.differences) == (schema.known, [])


def test_a_ledger_knows_its_size(place: Place) -> None:
    before = place.ledger.condition().size()
    events = objects(place.ledger)
    after = place.ledger.condition().size()
    assert (after.credentials, after.tasks, after.events) == (
        before.credentials + 1,
        before.tasks + 1,
        events,
    )
    assert after.file + after.log > before.file + before.log > 0
    assert after.free is None or after.free > 0


@with_a_mark
def test_a_ledger_tells_how_the_clock_stands_to_its_last_event(place: Place) -> None:
    """A clock jump is reported, and the ledger still answers."""
    objects(place.ledger)
    for seconds, jump in ((0, 0), (-60, 0), (60, 0), (-2 * DAY, -2 * DAY)):
        place.clock.now = NOW + seconds
        assert place.ledger.condition().clock() == ClockReading(NOW + seconds, NOW, jump)
