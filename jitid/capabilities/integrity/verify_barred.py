"""Check of the processes that may have no other identity, against the revocations that decided so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jitid.capabilities.identity.barred_store import BarredStore
from jitid.errors import IntegrityError
from jitid.values.ids import parse_id


class BarredMembers:
    """The comparison of barred processes with the first revocation of each."""

    def __init__(self, barred: BarredStore, without: str) -> None:
        """Keep the view; `without` names a table of identities that are gone."""
        self._barred = barred
        self._without = without
        self._expected: dict[bytes, int] = {}

    def take(self, seq: int, event: Mapping[str, Any]) -> None:
        """Take an event."""
        for id_ in event["barred"]:
            self._expected[parse_id(id_)[1]] = seq

    def compare_rows(self) -> None:
        """Raise IntegrityError if a row was edited, removed or inserted."""
        recorded = self._barred.all(self._without)
        for uid in recorded.keys() | self._expected.keys():
            event = self._expected.get(uid) if uid is not None else None
            if recorded.get(uid) != event and (
                uid is None or uid in recorded or self._barred.knows(uid, self._without)
            ):
                raise IntegrityError("the ledger's barred processes do not match their events")
