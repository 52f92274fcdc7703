"""Rows of leaks compared with the audit events that tell of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby, islice
from operator import itemgetter
from typing import Any

from jitid.audit import ended_digest
from jitid.errors import IntegrityError
from jitid.ledger.leak import LeakSnapshot

MARK = b'"op":"leak'
"""What stands in each event about leaks, and in no other: in a text the quotes would be escaped."""


class LeakMembers:
    """Takes the leaks that belong to each event, event by event, and says which are not as the event tells."""

    def __init__(self, snapshot: LeakSnapshot) -> None:
        self._snapshot = snapshot
        self._added = snapshot.leak_rows()
        self._closed = snapshot.closed_leaks()
        self._proofs: dict[int, list[Mapping[str, Any]]] = {}
        """By their time: a leak remembers when it was proved, and not by which event."""

    def check(self, seq: int, event: Mapping[str, Any]) -> None:
        """Compare the rows of one event.

        Raises:
            IntegrityError: one of them was edited, removed or inserted.

        """
        match event["op"]:
            case "leak":
                self._check_added(seq, event)
            case "leak-close":
                self._check_closed(seq, event)
            case "leak-proof":
                self._proofs.setdefault(event["at"], []).append(event)

    def must_be_done(self) -> None:
        """Compare what was proved, and rows that no event accounts for.

        Raises:
            IntegrityError: a row says that it was proved at a time at which it was not, or there are such rows.

        """
        for row in self._added:
            raise IntegrityError(f"the ledger has a leak {row.key} that no event tells of")
        if next(self._closed, None) is not None:
            raise IntegrityError("the ledger has a closed leak, and no event closed it")
        for at, rows in groupby(self._snapshot.proved_leaks(), itemgetter(0)):
            jtis = _jtis([jti for _, jti in rows])
            events = self._proofs.pop(at, [])
            # Of two within one second the rows do not tell which is whose.
            if len(jtis) != sum(event["count"] for event in events) or (
                len(events) == 1 and ended_digest(jtis) != events[0]["proved"]
            ):
                raise IntegrityError("the ledger's proofs that leaks are dead are not as the events say")
        if self._proofs:
            raise IntegrityError("an event proved leaks dead, and the ledger no longer says so")

    def _check_added(self, seq: int, event: Mapping[str, Any]) -> None:
        rows = _take(self._added, event["count"])
        for row in rows:
            if (row.event, row.source, row.added_at, row.reported_at) != (
                seq,
                event["source"],
                event["at"],
                max(event["reported"], row.issued_at),
            ):
                raise IntegrityError(f"a leak that event {seq} tells of was changed in the ledger")
        if len(rows) != event["count"] or ended_digest(_jtis([row.jti for row in rows])) != event["leaked"]:
            raise IntegrityError(f"the leaks that event {seq} tells of are not in the ledger as it says")

    def _check_closed(self, seq: int, event: Mapping[str, Any]) -> None:
        rows = _take(self._closed, event["count"])
        jtis = _jtis([jti for _, _, jti in rows])
        if {(seq, event["at"])} != {(number, at) for number, at, _ in rows} or (
            ended_digest(jtis) != event["closed"]
        ):
            raise IntegrityError(f"the leaks that event {seq} closed are not closed as it says")


def _take(rows: Iterator[Any], count: int) -> list[Any]:
    return list(islice(rows, count))


def _jtis(found: list[Any]) -> list[bytes]:
    """Return which credentials leaked. Raises IntegrityError for a leak of none."""
    jtis = [jti for jti in found if isinstance(jti, bytes)]
    if len(jtis) != len(found):
        raise IntegrityError("the ledger has a leak of a credential that it does not have")
    return jtis
