"""Contract tests: each leak is recorded once, proved once and closed once, also if a second reporter tries again."""

from __future__ import annotations

import pytest

from jitid.capabilities.access.store import AccessStore
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.leak.store import LeakChanges, LeakStore
from jitid.ledger.transaction import Transaction
from jitid.model.event import sighted_digest
from jitid.model.leak import MOST_PLACES, Kin, LeakFilter, LeakPlaces, NewPlaces, Noted, Sighting
from jitid.values.ids import parse_id
from tests.builders import NOW, put, put_chain
from tests.ledger.places import Place


def report(transaction: Transaction, *credentials: int, source: str = "wiki", at: int = NOW) -> list[int]:
    """Record leaks with their event; return the numbers of the newly reported credentials."""
    recorded = LeakChanges(transaction).add_leaks(credentials, source, at)
    transaction.append("leak", {"count": len(recorded.new)})
    return [key for key, _ in recorded.new]


def test_a_credential_leaks_once_from_each_source(place: Place) -> None:
    with place.ledger.write() as transaction:
        rows = [put(transaction) for _ in range(3)]
        keys = [row.key for row in rows]
        assert report(transaction, *keys[:2]) == keys[:2]
    with place.again().write() as transaction:
        seq = transaction.next_seq()
        assert report(transaction, *reversed(keys)) == keys[2:]
        assert report(transaction, keys[0], source="git") == keys[:1]
        assert report(transaction, 99) == []
    with place.again().read() as snapshot:
        found = LeakStore(snapshot).leaks(LeakFilter(), 9)
        assert [(leak.jti, leak.source) for leak in found] == [
            (rows[0].jti, "git"),
            *((row.jti, "wiki") for row in reversed(rows)),
        ]
        assert [leak.event for leak in found] == [seq + 1, seq, rows[2].event + 1, rows[2].event + 1]
        assert len(LeakStore(snapshot).leaks(LeakFilter(), 2)) == 2
        assert LeakStore(snapshot).leaks(LeakFilter(credentials=(keys[0],), source="git"), 9) == found[:1]


@pytest.mark.parametrize("what", ["prove_leaks", "close_leaks"])
def test_whoever_is_second_changes_nothing(what: str, place: Place) -> None:
    with place.ledger.write() as transaction:
        rows = [put(transaction) for _ in range(2)]
        report(transaction, *(row.key for row in rows))
        first = getattr(LeakChanges(transaction), what)([1])
        assert [number for number, _ in first] == [1]
        transaction.append("leak-close", {"count": 1})
    place.clock.now += 60
    with place.again().write() as transaction:
        assert [number for number, _ in getattr(LeakChanges(transaction), what)([1, 2, 3])] == [2]
        assert getattr(LeakChanges(transaction), what)([1, 2]) == []
        times = [leak.proved_at or leak.closed_at for leak in LeakStore(transaction).leaks(LeakFilter(), 9)]
        assert times == [NOW + 60, NOW]


def test_only_what_is_dead_and_not_proved_waits_for_a_proof(place: Place) -> None:
    with place.ledger.write() as transaction:
        rows = [put(transaction, ttl=ttl) for ttl in (60, 60, 900)]
        report(transaction, *(row.key for row in rows))
        assert LeakStore(transaction).unproved_leaks(0, 9) == []
    place.clock.now += 60
    with place.again().write() as transaction:
        assert [leak.key for leak in LeakStore(transaction).unproved_leaks(0, 9)] == [1, 2]
        assert [leak.key for leak in LeakStore(transaction).unproved_leaks(1, 9)] == [2]
        assert [leak.key for leak in LeakStore(transaction).unproved_leaks(0, 1)] == [1]
        LeakChanges(transaction).prove_leaks([1])
        assert [leak.key for leak in LeakStore(transaction).unproved_leaks(0, 9)] == [2]


def test_what_was_closed_may_be_reported_again(place: Place) -> None:
    """A source has at most one open leak of a credential, and any number of closed ones."""
    with place.ledger.write() as transaction:
        key = put(transaction).key
        report(transaction, key)
    for number in (1, 2):
        with place.again().write() as transaction:
            LeakChanges(transaction).close_leaks([number])
            transaction.append("leak-close", {"count": 1})
            assert report(transaction, key) == [key]
            assert report(transaction, key) == []
    with place.again().read() as snapshot:
        found = LeakStore(snapshot).leaks(LeakFilter(), 9)
        assert [(leak.key, leak.closed_at is None) for leak in found] == [(3, True), (2, False), (1, False)]
        assert LeakStore(snapshot).leaks(LeakFilter(open=True), 9) == found[:1]


def test_a_leak_is_told_with_what_lives_by_it(place: Place) -> None:
    """Live descendants below expired credentials are counted too, and each leak has its own numbers."""
    with place.ledger.write() as transaction:
        chain = put_chain(transaction, 3, ttl=60)
        last = put(transaction, parent=chain[-1], depth=3, ttl=900)
        other = put(transaction, ttl=60)
        report(transaction, *(row.key for row in (*chain, last, other)))

        def kin() -> list[Kin | None]:
            return [leak.kin for leak in reversed(LeakStore(transaction).leaks(LeakFilter(), 9))]

        assert kin() == [
            Kin(0, 3, NOW + 900),
            Kin(0, 2, NOW + 900),
            Kin(0, 1, NOW + 900),
            Kin(0, 0, NOW + 900),
            Kin(0, 0, NOW + 60),
        ]
    place.clock.now += 60
    with place.again().read() as snapshot:
        found = list(reversed(LeakStore(snapshot).leaks(LeakFilter(), 9)))
        assert [leak.kin for leak in found] == [*[Kin(0, 1, NOW + 900)] * 3, Kin(0, 0, NOW + 900), None]
        assert [leak.has_live_kin for leak in found] == [True, True, True, False, False]
        assert [leak.kin for leak in LeakStore(snapshot).unproved_leaks(0, 9)] == [
            *[Kin(0, 1, NOW + 900)] * 3,
            None,
        ]


def see(transaction: Transaction, key: int, *seen: Sighting, met: int = 0, source: str = "wiki") -> Noted:
    """Record where a credential was seen; return how many rows are new, and their digest."""
    noted = LeakChanges(transaction).add_places(source, NewPlaces({key: seen}, {key: met}))
    transaction.append("leak-sighting", {"sightings": noted.rows})
    return noted


def test_each_place_is_kept_once(place: Place) -> None:
    """The finder does not matter. One line in two commits counts as two places."""
    first = Sighting("a.py", 3, "abc", NOW - 9, "gitleaks token")
    with place.ledger.write() as transaction:
        one, other = put(transaction).key, put(transaction).key
        report(transaction, one, other)
        seq = transaction.next_seq()
        rows, digest, _ = see(transaction, one, first, Sighting("a.py", 3), Sighting("b.py"))
        assert rows == 3
        assert (
            see(transaction, one, first._replace(finder="kingfisher", found_at=None), Sighting("b.py")).rows
            == 0
        )
        assert see(transaction, one, Sighting("a.py", 3, "def"), Sighting("a.py", 4)).rows == 2
        assert see(transaction, other, Sighting("c.py")).rows == 1
        assert see(transaction, one, Sighting("z.py"), source="elsewhere").rows == 0
        assert see(transaction, 99, Sighting("z.py")).rows == 0
    with place.again().read() as snapshot:
        seen = LeakStore(snapshot).sightings([1, 2, 3])
        assert [one.sighting for one in seen[1]][:4] == [
            first,
            Sighting("a.py", 3),
            Sighting("b.py"),
            Sighting("a.py", 3, "def"),
        ]
        assert (seen[1][0].event, [each.sighting for each in seen[2]]) == (seq, [Sighting("c.py")])
        short = LeakStore(snapshot).places([1, 2])
        assert short[1] == LeakPlaces(seen[1][0], 5, 5)
        assert (short[2].total, LeakStore(snapshot).places([])) == (1, {})
        told = [row for event, row in LeakStore(snapshot).sighting_rows() if event == seq]
        assert (sighted_digest(told), told[0]) == (digest, (1, *first, 0))


def test_of_many_places_the_first_are_kept_and_the_others_counted_once(place: Place) -> None:
    with place.ledger.write() as transaction:
        key = put(transaction).key
        report(transaction, key)
        seen = [Sighting(f"{number}.py") for number in range(MOST_PLACES + 20)]
        assert see(transaction, key, *seen[:90]).rows == 90
        for rows in (11, 0):  # Ten places, and the count of further places.
            assert see(transaction, key, *seen[10:], met=300).rows == rows
        (short,) = LeakStore(transaction).places([1]).values()
        # There is room for ten of the thirty new places. With 190 unlisted places and the earlier ten, the total is
        # 310.
        assert (short.kept, short.total) == (100, 310)
        assert see(transaction, key, *seen[10:], met=301).rows == 1
        assert see(transaction, key, Sighting("new.py")).rows == 0
        assert [each.sighting for each in LeakStore(transaction).sightings([1])[1]] == seen[:100]


def test_very_many_are_asked_about_at_once(place: Place) -> None:
    """The answer states which fingerprints are known and live, and which credentials a source has in an open report."""
    with place.ledger.write() as transaction:
        rows = [put(transaction, ttl=ttl) for ttl in (60, 900)]
        report(transaction, rows[1].key)
    place.clock.now += 60
    with place.again().read() as snapshot:
        credentials = CredentialStore(snapshot).credentials_numbered(row.key for row in rows)
        prints = [credentials[row.key].fingerprint or b"" for row in rows]
        found = LeakStore(snapshot).printed({*prints, bytes(32)})
        assert sorted(found.credentials) == [
            (row.key, parse_id(row.jti)[1], print_, alive)
            for row, print_, alive in zip(rows, prints, (0, 1), strict=True)
        ]
        assert found.others == set()
        assert LeakStore(snapshot).printed(set()).credentials == []
        keys = [row.key for row in rows]
        assert LeakStore(snapshot).reported(keys, "wiki") == {rows[1].key}
        assert LeakStore(snapshot).reported(keys, "git") == set()
        assert AccessStore(snapshot).access_tokens(prints) == set()
