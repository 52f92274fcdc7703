"""The number of round trips to PostgreSQL does not grow for a session that no pooler shares."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from jitid.ledger.contract import Ledger
from tests.builders import Clock, make_database, open_postgres, put
from tests.ledger.counting import Counting


@pytest.fixture
def counting(postgres_url: str, tmp_path: Path) -> Iterator[Counting]:
    """Return a counting proxy to a new ledger."""
    make_database(postgres_url, tmp_path / "home")
    way = Counting(postgres_url)
    yield way
    way.close()


def _view(ledger: Ledger) -> None:
    with ledger.read():
        pass


def _glance(ledger: Ledger) -> None:
    with ledger.glance():
        pass


def _add(ledger: Ledger) -> None:
    with ledger.write(shared=True) as transaction:
        transaction.append("note", {})


def _change(ledger: Ledger) -> None:
    with ledger.write() as transaction:
        put(transaction)


WORK: dict[str, tuple[Callable[[Ledger], None], int]] = {
    "view": (_view, 2),
    "glance": (_glance, 1),
    "add": (_add, 3),
    "change": (_change, 7),
}
"""Work on a ledger, and its number of round trips."""


def test_a_session_is_opened_in_one_round_trip(counting: Counting) -> None:
    """One query identifies the session and its ledger."""
    open_postgres(counting.address, Clock()).close()
    assert (counting.sent["startup"], counting.round_trips) == (1, 1)


@pytest.mark.parametrize("what", WORK)
def test_a_transaction_costs_what_it_did(counting: Counting, what: str) -> None:
    do, wanted = WORK[what]
    with closing(open_postgres(counting.address, Clock())) as ledger:
        for _ in range(3):
            do(ledger)
        _glance(ledger)
        counting.sent.clear()
        do(ledger)
        # The end of a view costs no round trip before the next query.
        _glance(ledger)
    assert counting.round_trips - 1 == wanted, counting.sent
