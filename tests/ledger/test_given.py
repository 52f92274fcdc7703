"""Bulk queries return the same answers as single queries."""

from __future__ import annotations

import pytest

from jitid.capabilities.identity.store import CredentialChanges, CredentialStore
from jitid.ledger.transaction import Transaction
from jitid.model.credential import State
from jitid.model.ledger_rows import Family, Selection
from jitid.values.ids import credential_id, identity_id
from tests.builders import Row, put, put_chain
from tests.ledger.places import Place


def forest(transaction: Transaction) -> list[Row]:
    """Record two chains, a branch of the first one, and a single pending credential; return all rows."""
    chain = put_chain(transaction, 4, scopes="db:read")
    other = put_chain(transaction, 2, task="T2")
    branch = put(transaction, parent=chain[1])
    leaf = put(transaction, parent=branch)
    alone = put(transaction, task="T3", pending=True)
    return [*chain, *other, branch, leaf, alone]


@pytest.fixture
def rows(place: Place) -> list[Row]:
    """Record a forest in the ledger, and return its rows."""
    with place.ledger.write() as transaction:
        return forest(transaction)


def test_what_is_given_is_found_by_any_of_its_names(place: Place, rows: list[Row]) -> None:
    """Each credential is returned once, in the order of issue, and unknown names are ignored."""
    first, second, third, *_ = rows
    with place.ledger.read() as snapshot:
        found = CredentialStore(snapshot).find_given(
            [third.jti, first.id, identity_id(bytes(16)), third.jti], [second.print, third.print, bytes(32)]
        )
        assert [one.jti for one in found] == [first.jti, second.jti, third.jti]
        assert CredentialStore(snapshot).find_given([], []) == []


def test_who_has_a_key_is_found_by_it(place: Place) -> None:
    """The query returns all usable credentials of a key, or the latest one if all have expired."""
    used, old, own = (bytes([number]) * 32 for number in range(3))
    with place.ledger.write() as transaction:
        wanted = [put(transaction, public=used, ttl=ttl) for ttl in (60, 900, 900)]
        gone = [put(transaction, public=old, ttl=60) for _ in range(3)]
        put(transaction, public=own)
        put(transaction)
    place.clock.now += 100
    with place.ledger.read() as snapshot:
        found = [
            (public, one.jti) for public, one in CredentialStore(snapshot).find_public([old, used, bytes(31)])
        ]
        assert found == [(used, row.jti) for row in wanted[1:]] + [(old, gone[-1].jti)]
        assert CredentialStore(snapshot).find_public([]) == []


def test_the_first_id_that_nothing_was_issued_under_is_told(place: Place, rows: list[Row]) -> None:
    unknown = [identity_id(bytes(16)), credential_id(bytes(16))]
    with place.ledger.read() as snapshot:
        known = [name for row in rows for name in (row.id, row.jti)]
        assert CredentialStore(snapshot).unknown_of(known) is None
        assert CredentialStore(snapshot).unknown_of([]) is None
        for first in (unknown, unknown[::-1]):
            assert CredentialStore(snapshot).unknown_of([*known, *first, *known]) == first[0]


def test_an_identity_is_given_by_its_latest_credential(place: Place, rows: list[Row]) -> None:
    with place.ledger.read() as snapshot:
        for row in rows:
            (found,) = CredentialStore(snapshot).find_given([row.id], [])
            assert found == CredentialStore(snapshot).latest_of(_uid(row))


def test_many_lineages_are_those_of_each(place: Place, rows: list[Row]) -> None:
    with place.ledger.read() as snapshot:
        found = CredentialStore(snapshot).lineages([row.identity for row in rows])
        assert {
            row.identity: CredentialStore(snapshot).lineage(row.identity) for row in rows if row.depth
        } == found
        assert CredentialStore(snapshot).lineages([]) == {}


def test_many_families_are_those_of_each(place: Place, rows: list[Row]) -> None:
    """The numbers are also right if an ended identity is in the middle of a chain."""
    with place.ledger.read() as snapshot:
        before = CredentialStore(snapshot).families([row.identity for row in rows])
        assert before[rows[0].identity] == Family(True, 5, 5)
        assert {key: (one.below, one.live_below) for key, one in before.items()} == {
            row.identity: CredentialStore(snapshot).descendants(row.identity) for row in rows
        }
    with place.ledger.write() as transaction:
        radius, digest = CredentialChanges(transaction).end(Selection(ids=(rows[6].jti,)), State.REVOKED)
        transaction.append("revoke", {"count": radius.credentials, "ended": digest})
    place.clock.now += 1
    with place.ledger.read() as snapshot:
        after = CredentialStore(snapshot).families([row.identity for row in rows])
        assert after[rows[0].identity] == Family(True, 5, 3)
        assert after[rows[6].identity] == Family(False, 1, 0)
        assert after[rows[8].identity] == Family(True, 0, 0)


def _uid(row: Row) -> bytes:
    from jitid.values.ids import parse_id

    return parse_id(row.id)[1]
