"""Contract tests: filters, orders, and pages that do not shift while rows are added."""

from __future__ import annotations

from typing import Any

import pytest

from jitid.capabilities.identity.filter_store import SORT_KEYS, Filter
from jitid.capabilities.identity.store import CredentialChanges, CredentialStore
from jitid.errors import NotFoundError, UsageError
from jitid.ledger.signing_keys import KeyChanges
from jitid.model.credential import State
from jitid.model.ledger_rows import Selection
from tests.builders import DAY, NOW, Row, put
from tests.ledger.places import Place, public_key


def listed(place: Place, chosen: Filter, sort: str = "issued_at", **more: Any) -> list[str]:
    """Return the ids of a page."""
    given: dict[str, Any] = {"descending": False, "after": None, "limit": 100, **more}
    with place.ledger.read() as snapshot:
        return [one.id for one in CredentialStore(snapshot).credentials(chosen, sort, **given)]


class Fleet:
    """Credentials that differ in every column."""

    def __init__(self, place: Place) -> None:
        with place.ledger.write() as transaction:
            self.key = KeyChanges(transaction).add_key(*public_key(transaction))
            self.plain = put(transaction, task="T1", purpose="repair")
            self.child = put(
                transaction, task="T1", agent="coder", parent=self.plain, depth=1, proof="parent"
            )
            self.signed = put(transaction, task="T2", kind="jwt", signed_by=self.key, delegator="user:bob")
            self.scoped = put(
                transaction, task="T2", scopes="db:read re_o:* db:%", audiences="urn:a urn:B", ttl=7200
            )
            self.secret = put(transaction, task="T2", sensitivity="high", pending=True)
            self.ended = put(transaction, task="T3")
            CredentialChanges(transaction).end(Selection(ids=(self.ended.id,)), State.RETIRED)
            transaction.append("retire", {"count": 1, "ended": ""})
        place.clock.now += 60
        with place.ledger.write() as transaction:
            self.late = put(transaction, task="T4", agent="late", delegator="user:bob", ttl=30)
        place.clock.now += 60

    def name(self, id_: str) -> str:
        """Return the short name of an identity in this fleet."""
        return next(name for name, row in vars(self).items() if isinstance(row, Row) and row.id == id_)


@pytest.mark.deep
@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({}, "plain child signed scoped secret ended late"),
        ({"task": "T1"}, "plain child"),
        ({"task": "t1"}, ""),
        ({"agent": "coder"}, "child"),
        ({"agent": "nobody"}, ""),
        ({"delegator": "user:bob"}, "signed late"),
        ({"delegator": "agent:agent"}, "child"),
        ({"delegator": "user:nobody"}, ""),
        ({"kind": "jwt"}, "signed"),
        ({"sensitivity": "high"}, "secret"),
        ({"delegator_proof": "parent"}, "child"),
        ({"scope": "db:read"}, "scoped"),
        ({"scope": "re_o:*"}, "scoped"),
        ({"scope": "repo:*"}, ""),
        ({"scope": "db:%"}, "scoped"),
        ({"scope": "%"}, ""),
        ({"scope": "DB:READ"}, ""),
        ({"scope": "read"}, ""),
        ({"audience": "urn:a"}, "scoped"),
        ({"audience": "urn:b"}, ""),
        ({"purpose": "repair"}, "plain child"),
        ({"depth": 1}, "child"),
        ({"state": "active"}, "plain child signed scoped"),
        ({"state": "pending"}, "secret"),
        ({"state": "expired"}, "late"),
        ({"state": "retired"}, "ended"),
        ({"state": "revoked"}, ""),
        ({"live": True}, "plain child signed scoped"),
        ({"live": True, "state": "retired"}, ""),
        ({"live": True, "delegator": "user:bob"}, "signed"),
        ({"issued_since": NOW + 60}, "late"),
        ({"issued_until": NOW + 60}, "plain child signed scoped secret ended"),
        ({"expires_before": NOW + 900}, "late"),
        ({"expires_after": NOW + 901}, "scoped"),
        ({"task": "T2", "live": True, "kind": "opaque"}, "scoped"),
    ],
)
def test_every_condition_of_a_filter_must_hold(place: Place, chosen: dict[str, Any], expected: str) -> None:
    fleet = Fleet(place)
    assert [fleet.name(id_) for id_ in listed(place, Filter(**chosen))] == expected.split()


def test_a_filter_takes_ids_of_both_sorts(place: Place) -> None:
    fleet = Fleet(place)
    assert listed(place, Filter(id=fleet.signed.jti)) == [fleet.signed.id]
    assert listed(place, Filter(id=fleet.signed.id)) == [fleet.signed.id]
    assert listed(place, Filter(parent=fleet.plain.id)) == [fleet.child.id]
    assert listed(place, Filter(signed_by=fleet.key.kid)) == [fleet.signed.id]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("sort", SORT_KEYS)
def test_pages_join_to_the_whole_list(place: Place, sort: str, *, descending: bool) -> None:
    Fleet(place)
    whole = listed(place, Filter(), sort, descending=descending)
    pages: list[str] = []
    while page := listed(
        place, Filter(), sort, descending=descending, limit=2, after=pages[-1] if pages else None
    ):
        pages += page
    assert pages == whole


@pytest.mark.parametrize(
    ("sort", "first", "last"),
    [
        ("issued_at", "plain", "late"),
        ("expires_at", "late", "scoped"),
        ("task", "plain", "late"),
        ("agent", "plain", "late"),
        ("delegator", "plain", "late"),
        ("depth", "plain", "child"),
        ("id", "plain", "late"),
    ],
)
def test_a_list_is_sorted_by_its_column(place: Place, sort: str, first: str, last: str) -> None:
    fleet = Fleet(place)
    found = [fleet.name(id_) for id_ in listed(place, Filter(), sort)]
    assert (found[0], found[-1]) == (first, last)


@pytest.mark.parametrize("sort", SORT_KEYS)
def test_a_page_does_not_move_when_rows_are_added(place: Place, sort: str) -> None:
    fleet = Fleet(place)
    whole = listed(place, Filter(), sort)
    first = listed(place, Filter(), sort, limit=3)
    with place.ledger.write() as transaction:
        new = {put(transaction, task=task, agent=agent).id for task in ("A", "Z") for agent in ("a", "z")}
        new.add(put(transaction, parent=fleet.plain, depth=1).id)
    rest = listed(place, Filter(), sort, after=first[-1])
    assert [id_ for id_ in [*first, *rest] if id_ not in new] == whole


def test_pages_join_where_the_clock_was_set_back(place: Place) -> None:
    with place.ledger.write() as transaction:
        early = put(transaction).id
    place.clock.now -= 2 * DAY
    with place.ledger.write(accept_clock=True) as transaction:
        late = put(transaction).id
    first = listed(place, Filter(), limit=1)
    assert [*first, *listed(place, Filter(), after=first[0])] == [early, late]


def test_a_page_cannot_follow_what_is_unknown(place: Place) -> None:
    with pytest.raises(NotFoundError):
        listed(place, Filter(), after="jid_" + "0" * 26)


def test_a_list_is_sorted_by_a_known_column_only(place: Place) -> None:
    with pytest.raises(UsageError):
        listed(place, Filter(), "task; DROP TABLE credential")
