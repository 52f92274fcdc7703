"""Check of the rows of access credentials against their audit events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from jitid.capabilities.access.store import AccessStore
from jitid.errors import IntegrityError
from jitid.model.access import Access, AccessState

MARKS = (
    b'"op":"access-',
    b'"op":"delegator-disable"',
    b'"op":"delegator-import"',
    b'"op":"accept-clock"',
)
"""Bytes of the events that matter here, and of no other event: inside a text the quotes would be escaped."""

_End = tuple[str, int, int]


class _ExpectedAccess:
    """An access credential according to the events."""

    def __init__(self, seq: int, event: Mapping[str, Any]) -> None:
        self.granted = (
            event["name"],
            event.get("roles", []),
            event["at"],
            event["until"],
            event.get("fingerprint"),
            event.get("key"),
            int(event["op"] == "access-bootstrap"),
            event.get("predecessor"),
            event.get("audiences"),
            seq,
        )
        self.superseded_at: int | None = None
        self.end: _End | None = None


class AccessMembers:
    """The comparison of access credentials with the events about them."""

    def __init__(self, snapshot: AccessStore, now: int) -> None:
        self._snapshot = snapshot
        self._expected: dict[str, _ExpectedAccess] = {}
        self._latest = now
        """The latest time that the ledger has seen: a clock may have been set back."""
        self._departed: dict[tuple[int, int], int] = {}
        """Number of access credentials that ended with their delegators, by number and time of the event."""

    def check(self, seq: int, event: Mapping[str, Any]) -> None:
        """Take an event. Raises IntegrityError if its access credential was never granted, or had ended."""
        match event["op"]:
            case "accept-clock":
                self._latest = max(self._latest, event["at"] - event["jump"])
            case "delegator-disable" | "delegator-import":
                if "access" in event:
                    self._departed[seq, event["at"]] = event["access"]
            case "access-revoke":
                for id_ in event["access"]:
                    self._end(seq, id_, (AccessState.REVOKED.value, event["at"], seq))
            case _:
                self._expected[event["access"]] = _ExpectedAccess(seq, event)
                if "spent" in event:
                    self._end(seq, event["spent"], (AccessState.SPENT.value, event["at"], seq))
                if "predecessor" in event:
                    predecessor = self._open(seq, event["predecessor"])
                    ends_at = event["ends"]
                    predecessor.superseded_at = (
                        ends_at
                        if predecessor.superseded_at is None
                        else min(predecessor.superseded_at, ends_at)
                    )

    def compare_rows(self) -> None:
        """Compare the rows. Raises IntegrityError if a row was edited, removed or inserted."""
        departed: Counter[tuple[int, int]] = Counter()
        for row in self._snapshot.all():
            expected = self._expected.pop(row.id, None)
            if expected is None:
                raise IntegrityError(f"the ledger has an access credential {row.id} that no event tells of")
            if _granted(row) != expected.granted or row.superseded_at != expected.superseded_at:
                raise IntegrityError(f"the access credential {row.id} is not in the ledger as its events say")
            if row.ended_as == AccessState.DISABLED and expected.end is None:
                departed[int(row.ended_event or 0), int(row.ended_at or 0)] += 1
            elif not self._has_ended_so(row, expected):
                raise IntegrityError(f"the access credential {row.id} has not ended as its events say")
        for id_ in self._expected:
            raise IntegrityError(f"the ledger lacks the access credential {id_} that an event tells of")
        if departed != self._departed:
            raise IntegrityError(
                "the access that ended with its delegators is not in the ledger as the events say"
            )

    def _open(self, seq: int, id_: str) -> _ExpectedAccess:
        expected = self._expected.get(id_)
        if expected is None or expected.end is not None:
            raise IntegrityError(f"event {seq} is about an access credential that did not count")
        return expected

    def _end(self, seq: int, id_: str, end: _End) -> None:
        self._open(seq, id_).end = end

    def _has_ended_so(self, row: Access, expected: _ExpectedAccess) -> bool:
        end = (row.ended_as, row.ended_at, row.ended_event)
        if expected.end is not None:
            return end == expected.end
        if end == (None, None, None):
            return True
        # An expired or rotated credential is closed without an event, by any later command.
        end_times = {
            AccessState.EXPIRED.value: row.expires_at,
            AccessState.ROTATED.value: expected.superseded_at,
        }
        end_time = None if row.ended_as is None else end_times.get(row.ended_as)
        return end_time is not None and end[1:] == (end_time, None) and end_time <= self._latest


def _granted(row: Access) -> tuple[Any, ...]:
    return (
        row.name,
        list(row.roles),
        row.issued_at,
        row.expires_at,
        None if row.fingerprint is None else row.fingerprint.hex(),
        None if row.public is None else sha256(row.public.encode()).hexdigest(),
        row.bootstrap,
        row.predecessor,
        None if row.audiences is None else list(row.audiences),
        row.event,
    )
