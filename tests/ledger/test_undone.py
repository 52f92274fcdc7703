"""After a rollback, the ledger works over the same connection as if the transaction had never begun."""

from __future__ import annotations

import pytest

from jitid.capabilities.identity.task_store import TaskStore
from tests.ledger.places import Place


def test_reading_and_writing_go_on_after_a_transaction_was_undone(place: Place) -> None:
    """Repeat it: a driver prepares a frequent statement, and the statement must outlive the transaction."""

    def read() -> None:
        for _ in range(8):
            with place.ledger.read() as snapshot:
                assert TaskStore(snapshot).find_task("T-1") is None

    def write() -> None:
        with place.ledger.write(shared=True) as transaction:
            transaction.append("denial", {"reason": "none"})

    def length() -> int:
        with place.ledger.read() as snapshot:
            return snapshot.head().seq

    write()
    for _ in range(3):
        before = length()
        read()
        with pytest.raises(KeyError), place.ledger.write(shared=True) as transaction:
            transaction.append("denial", {"reason": "undone"})
            raise KeyError
        read()
        write()
        assert length() == before + 1
