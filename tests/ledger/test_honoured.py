"""Contract tests: the ledger records signed credentials that ended early. Offline verifiers still accept them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from jitid.capabilities.identity import store as identity_store
from jitid.capabilities.identity.store import CredentialChanges
from jitid.ledger import expiry
from jitid.ledger.signing_keys import KeyChanges
from jitid.ledger.transaction import Transaction
from jitid.model.credential import State
from jitid.model.ledger_rows import Selection, SigningKey
from tests.builders import NOW, put
from tests.ledger.places import Place, public_key

Change = Callable[[Transaction], object]


def made(place: Place) -> SigningKey:
    """Record three signed credentials with different lifetimes and an unsigned one; return the key."""
    with place.ledger.write() as transaction:
        key = KeyChanges(transaction).add_key(*public_key(transaction))
        for ttl in (600, 900, 300):
            put(transaction, signed_by=key, ttl=ttl)
        put(transaction, ttl=3_600)
    return key


def change(place: Place, how: Change) -> int:
    """Make a change with its event; return the number of the event."""
    with place.ledger.write() as transaction:
        how(transaction)
        return transaction.append("note", {}).seq


def honoured(place: Place) -> list[tuple[int, ...]]:
    """Return the recorded rows: event, number of credentials, earliest end, latest expiry."""
    with place.again().read() as snapshot:
        return list(
            snapshot.query("SELECT event, credentials, ended_at, expires_at FROM honoured ORDER BY event", {})
        )


@pytest.mark.parametrize("many", [1, 50_000])
@pytest.mark.parametrize("state", [State.REVOKED, State.RETIRED])
def test_what_an_event_ends_early(
    place: Place, state: State, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity_store, "_MANY", many)
    made(place)
    place.clock.now += 300
    event = change(
        place, lambda transaction: CredentialChanges(transaction).end(Selection(tasks=("T1",)), state)
    )
    assert honoured(place) == [(event, 2, NOW + 300, NOW + 900)]


def test_what_an_edited_ledger_says_of_events_to_come_hinders_nobody(place: Place) -> None:
    made(place)
    with place.ledger.read() as snapshot:
        event = snapshot.head().seq + 1
    with place.ledger.write() as transaction:
        list(transaction.query("INSERT INTO honoured VALUES (:event, 7, 7, 7)", {"event": event}))
        CredentialChanges(transaction).end(Selection(tasks=("T1",)), State.REVOKED)
        assert transaction.append("note", {}).seq == event
    assert honoured(place) == [(event, 3, NOW, NOW + 900)]


def test_one_that_ends_alone(place: Place) -> None:
    key = made(place)
    with place.ledger.write() as transaction:
        row = put(transaction, signed_by=key, ttl=120)
    event = change(place, lambda transaction: CredentialChanges(transaction).end_one(row.key, State.REVOKED))
    assert honoured(place) == [(event, 1, NOW, NOW + 120)]


def test_what_is_superseded_once_that_is_recorded(place: Place) -> None:
    with place.ledger.write() as transaction:
        key = KeyChanges(transaction).add_key(*public_key(transaction))
        for at, ttl in ((30, 600), (20, 900)):
            row = put(transaction, kind="jwt", signed_by=key, ttl=ttl)
            CredentialChanges(transaction).supersede(row.key, NOW + at)
        row = put(transaction, kind="opaque")
        CredentialChanges(transaction).supersede(row.key, NOW + 10)
    assert honoured(place) == []
    place.clock.now += 60
    change(place, lambda _: None)
    ((_, *remembered),) = honoured(place)
    assert remembered == [2, NOW + 20, NOW + 900]


@pytest.mark.parametrize(
    "how",
    [
        lambda transaction: CredentialChanges(transaction).end(Selection(agents=("nobody",)), State.REVOKED),
        lambda transaction: CredentialChanges(transaction).end(
            Selection(agents=("unsigned",)), State.REVOKED
        ),
        lambda transaction: expiry.close_due(transaction, 100),
    ],
    ids=["nothing", "what nobody signed", "what has expired"],
)
def test_nothing_of_what_nobody_honours(place: Place, how: Change) -> None:
    made(place)
    with place.ledger.write() as transaction:
        put(transaction, agent="unsigned", ttl=7_200)
    place.clock.now += 3_600
    change(place, how)
    assert honoured(place) == []
