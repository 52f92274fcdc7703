"""Check of the processes that may have no other identity, against the revocations that decided so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jitid.capabilities.identity.barred_store import BarredStore
from jitid.capabilities.integrity.verify_pruned import PrunedMembers
from jitid.errors import IntegrityError


class BarredMembers:
    """The comparison of barred processes with the last revocation of each."""

    def __init__(self, barred: BarredStore, pruned: PrunedMembers) -> None:
        self._barred = barred
        self._pruned = pruned
        self._expected: dict[tuple[Any, ...], tuple[int, int]] = {}

    def take(self, seq: int, event: Mapping[str, Any]) -> None:
        """Take an event."""
        for row in event["bars"]:
            self._expected[tuple(row)] = (seq, event["at"])

    def compare_rows(self) -> None:
        """Raise IntegrityError if a row was edited, removed or inserted."""
        recorded = self._barred.all()
        for row in recorded.keys() | self._expected.keys():
            expected = self._expected.get(row)
            is_missing = row not in recorded and expected is not None
            if recorded.get(row) != expected and not (is_missing and self._may_be_pruned(row)):
                raise IntegrityError("the ledger's barred processes do not match their events")

    def _may_be_pruned(self, row: tuple[Any, ...]) -> bool:
        seq, at = self._expected[row]
        return seq <= self._pruned.through and at < self._pruned.before
