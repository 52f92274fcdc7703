"""The contract of outside issuers, tested for every kind against a real target."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from jitid.errors import StorageError
from jitid.issuers.target_issuer import OutsideIssuer
from jitid.model.target import Life, Settlement, TargetRecord
from tests.issuers.places import Place, live_names, make, try_to_make

KINDS = {
    "postgres-role": "postgres_roles",
    "aws-sts": "aws_account",
    "openbao-lease": "openbao",
    "exec": "exec_shop",
}
"""By kind, the fixture that returns its place."""


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest) -> Place:
    """Return the real target of each kind."""
    found: Place = request.getfixturevalue(KINDS[request.param])
    return found


@pytest.fixture
def issuer(place: Place) -> Iterator[OutsideIssuer]:
    """Return an issuer of that target."""
    issuer = place.issuer()
    yield issuer
    issuer.close()


def end(issuer: OutsideIssuer, *records: TargetRecord) -> None:
    """Revoke credentials, and assert that each is settled."""
    outcomes = issuer.revoke(records)
    assert [each.settlement for each in outcomes] == [Settlement.DONE] * len(records), outcomes


def test_what_is_made_works_and_is_listed(place: Place, issuer: OutsideIssuer) -> None:
    record, made = make(issuer, place.record())
    try:
        assert issuer.probe(record, made.secret).life is Life.LIVE
        assert issuer.probe(record).life is not Life.DEAD
        assert place.exists(record)
        names = issuer.names_of(record.name, record.reference)
        assert issuer.unseen is not None or set(names) & live_names(issuer, names)
    finally:
        end(issuer, record)


def test_what_is_ended_is_dead_and_listed_no_more(place: Place, issuer: OutsideIssuer) -> None:
    record, made = make(issuer, place.record())
    (outcome,) = issuer.revoke([record])
    assert outcome.settlement is Settlement.DONE
    assert outcome.proof
    assert issuer.probe(record, made.secret).life is Life.DEAD
    assert issuer.probe(record).life is Life.DEAD
    assert not place.exists(record)
    names = issuer.names_of(record.name, record.reference)
    assert not set(names) & live_names(issuer, names)


def test_ending_twice_is_done_twice(place: Place, issuer: OutsideIssuer) -> None:
    record, _ = make(issuer, place.record())
    end(issuer, record)
    end(issuer, record)


def test_what_was_never_made_is_done(place: Place, issuer: OutsideIssuer) -> None:
    end(issuer, place.record())
    assert issuer.probe(place.record()).life is Life.DEAD


def test_a_credential_whose_answer_was_lost_is_found_and_ended(place: Place, issuer: OutsideIssuer) -> None:
    with place.losing() as losing:
        record, raised = try_to_make(losing, place.record())
    assert isinstance(raised, StorageError), raised
    end(issuer, record)
    assert not place.exists(record)
    assert issuer.probe(record).life is Life.DEAD


def test_many_are_answered_in_their_order(place: Place, issuer: OutsideIssuer) -> None:
    records = [make(issuer, place.record())[0] for _ in range(3)]
    never = place.record()
    end(issuer, records[2], never, records[0], records[1])
    assert not any(place.exists(record) for record in (*records, never))


def test_two_at_once_do_not_meet(place: Place, issuer: OutsideIssuer) -> None:
    with ThreadPoolExecutor(2) as pool:
        (first, one), (second, other) = pool.map(
            lambda record: make(issuer, record), [place.record(), place.record()]
        )
    end(issuer, first)
    try:
        assert issuer.probe(first, one.secret).life is Life.DEAD
        assert issuer.probe(second, other.secret).life is Life.LIVE
    finally:
        end(issuer, second)


def test_what_the_ledger_keeps_has_no_secret_in_it(place: Place, issuer: OutsideIssuer) -> None:
    record, made = make(issuer, place.record())
    try:
        public = {record.name, record.reference, record.jti, record.task, record.agent}
        kept = f"{made.reference} {dict(made.facts)} {made}"
        leaked = [
            part
            for part in made.secret.names
            if (text := made.secret.reveal(part)) in kept and text not in public
        ]
        assert not leaked
    finally:
        end(issuer, record)


@pytest.mark.deep
@pytest.mark.parametrize("trouble", ["away", "silent", "nonsense"])
def test_a_target_in_trouble_is_unavailable(place: Place, trouble: str) -> None:
    """The four calls run at the same time, because each may wait for the whole time limit."""
    with place.disturbed(trouble) as issuer, ThreadPoolExecutor(4) as pool:
        making = pool.submit(try_to_make, issuer, place.record())
        ending = pool.submit(issuer.revoke, [place.known(), place.known()])
        listing = pool.submit(lambda: list(issuer.inventory()))
        looking = pool.submit(issuer.probe, place.known())
        _, raised = making.result()
        assert isinstance(raised, StorageError), raised
        with pytest.raises(StorageError):
            listing.result()
        # If the whole target fails, the issuer may report it for each credential or raise it once for all.
        with suppress(StorageError):
            assert [each.settlement for each in ending.result()] == [Settlement.UNAVAILABLE] * 2
        with suppress(StorageError):
            assert looking.result().life is Life.UNKNOWN
