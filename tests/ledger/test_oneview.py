"""A ledger for one request: its reads share a view, and the view does not block a write."""

from __future__ import annotations

import pytest

from jitid.capabilities.identity.task_store import TaskStore
from jitid.errors import JitidError
from jitid.ledger.wrapped import OneViewLedger
from tests.ledger.places import Place


def test_reads_see_one_view_until_something_is_written(place: Place) -> None:
    ledger = OneViewLedger(place.ledger)
    with ledger.read() as first:
        assert TaskStore(first).find_task("T-1") is None
    with ledger.read() as second:
        assert second is first
    with ledger.acting("user:alice", {}).write() as transaction:
        transaction.append("denial", {"reason": "none"})
    with ledger.read() as third:
        assert third is not first
        assert third.event(1) is not None
    ledger.close()
    ledger.close()
    with place.ledger.write() as transaction:
        transaction.append("denial", {"reason": "none"})


def test_an_error_of_ours_comes_through(place: Place) -> None:
    ledger = OneViewLedger(place.ledger)
    with pytest.raises(JitidError, match="as it was"), ledger.read():
        raise JitidError("as it was")
    with ledger.read() as snapshot:
        assert snapshot.now > 0
    ledger.close()
