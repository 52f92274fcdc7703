"""Check of the rows of leaks against their audit events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from operator import attrgetter, itemgetter
from typing import Any

from jitid.capabilities.integrity.store import EventRows
from jitid.capabilities.integrity.verify_pruned import PrunedMembers
from jitid.capabilities.leak.store import LeakStore
from jitid.errors import IntegrityError
from jitid.ledger.select import bounds
from jitid.model.event import ended_digest, sighted_digest
from jitid.values.record import Record

MARK = b'"op":"leak'
"""Bytes of every event about leaks, and of no other event: inside a text the quotes would be escaped."""


class LeakMembers:
    """The comparison of leaks with the events about them, one event after another."""

    def __init__(self, snapshot: LeakStore, pruned: PrunedMembers) -> None:
        self._snapshot = snapshot
        self._pruned = pruned
        pruned_leaks, through = pruned.leaks, pruned.through
        self._added = EventRows(snapshot.leak_rows(pruned_leaks), attrgetter("event"), through)
        self._closed = EventRows(snapshot.closed_leaks(pruned_leaks), itemgetter(0), through)
        self._sightings = EventRows(snapshot.sighting_rows(pruned_leaks), itemgetter(0), through)
        self._proofs: list[_Proof] = []
        """Proofs are compared at the end: a leak has the time of its proof, but not the event."""

    def check(self, seq: int, event: Mapping[str, Any]) -> None:
        """Compare the rows of one event. Raises IntegrityError if a row was edited, removed or inserted."""
        match event["op"]:
            case "leak":
                self._check_added(seq, event)
                self._check_seen(seq, event)
            case "leak-sighting":
                self._check_seen(seq, event)
            case "leak-close":
                self._check_closed(seq, event)
            case "leak-proof":
                span = bounds(event)
                self._proofs.append(
                    _Proof(event["at"], span["first"], span["last"], event["count"], event["proved"], seq)
                )

    def compare_rows(self) -> None:
        """Compare the proofs, and find rows that no event accounts for.

        Raises:
            IntegrityError: a row has the time of a proof that no event states, or there are such rows.

        """
        leak, sighting = self._added.next(), self._sightings.next()
        if leak is not None:
            raise IntegrityError(f"the ledger has a leak {leak.key} that no event tells of")
        if sighting is not None:
            raise IntegrityError(f"the ledger has a sighting that event {sighting[0]} does not tell of")
        if self._closed.next() is not None:
            raise IntegrityError("the ledger has a closed leak, and no event closed it")
        # A proof is found by its time: the remaining rows of an old proof are between its first and its last leak.
        proved_rows = EventRows(self._snapshot.proved_leaks(self._pruned.leaks), itemgetter(0), 1 << 62)
        for proof in _separated(self._proofs):
            rows = _proved_by(proof, proved_rows)
            # No row of a later event is gone, even if a clock was set back since.
            may_be_pruned = proof.seq <= self._pruned.through and proof.at < self._pruned.leaks.before
            if may_be_pruned:
                self._pruned.proved(rows)
            _check_proved(proof, rows, may_be_pruned=may_be_pruned)
        if proved_rows.next() is not None:
            raise IntegrityError("the ledger says that a leak was proved refused, and no event does")

    def _check_added(self, seq: int, event: Mapping[str, Any]) -> None:
        rows = self._added.take(seq, event["count"])
        jtis = _jtis([row.jti for row in rows])
        self._pruned.left("leaks", seq, jtis)
        for row in rows:
            if (row.event, row.source, row.added_at, row.reported_at) != (
                seq,
                event["source"],
                event["at"],
                max(event["reported"], row.issued_at),
            ):
                raise IntegrityError(f"a leak that event {seq} tells of was changed in the ledger")
        if not self._is_left(seq, len(rows), event["count"]) and (
            len(rows) != event["count"] or ended_digest(jtis) != event["leaked"]
        ):
            raise IntegrityError(f"the leaks that event {seq} tells of are not in the ledger as it says")

    def _check_seen(self, seq: int, event: Mapping[str, Any]) -> None:
        rows = self._sightings.take(seq, event.get("sightings", 0))
        try:
            digest = sighted_digest(row for _, row in rows) if rows else None
        except ValueError:
            digest = "holds what no ledger writes"
        expected = event.get("sightings", 0), event.get("sighted")
        if digest is not None:
            self._pruned.left("sightings", seq, [digest.encode()])
        if self._is_left(seq, len(rows), expected[0]):
            return
        if (len(rows), digest) != expected or any(row_seq != seq for row_seq, _ in rows):
            raise IntegrityError(f"the sightings that event {seq} tells of are not in the ledger as it says")

    def _check_closed(self, seq: int, event: Mapping[str, Any]) -> None:
        rows = self._closed.take(seq, event["count"])
        jtis = _jtis([jti for _, _, jti in rows])
        self._pruned.left("closings", seq, jtis)
        if self._is_left(seq, len(rows), event["count"]) and {time for _, time, _ in rows} <= {event["at"]}:
            return
        if {(seq, event["at"])} != {(row_seq, time) for row_seq, time, _ in rows} or (
            ended_digest(jtis) != event["closed"]
        ):
            raise IntegrityError(f"the leaks that event {seq} closed are not closed as it says")

    def _is_left(self, seq: int, row_count: int, count: int) -> bool:
        """Return whether rows of an event are missing that a pruning may have deleted."""
        return seq <= self._pruned.through and row_count < count


class _Proof(Record):
    """The proofs of one event, or of several events whose proofs cannot be separated."""

    at: int
    first: int
    last: int
    size: int
    digest: str | None
    """None for several events."""
    seq: int
    """The number of the event; for several events, the number of the first."""


def _separated(proofs: list[_Proof]) -> Iterator[_Proof]:
    """Yield the proofs in the order of the rows; proofs of one second with mixed numbers of leaks become one.

    These occur when two processes record proofs at once, while credentials end: the rows do not show which proof they
    belong to.
    """
    merged: _Proof | None = None
    for proof in sorted(proofs):
        if merged is None:
            merged = proof
        elif proof.at == merged.at and proof.first <= merged.last:
            merged = merged._replace(
                last=max(merged.last, proof.last),
                size=merged.size + proof.size,
                digest=None,
                seq=min(merged.seq, proof.seq),
            )
        else:
            yield merged
            merged = proof
    if merged is not None:
        yield merged


def _proved_by(proof: _Proof, proved_rows: EventRows[tuple[int, int, bytes]]) -> list[tuple[int, int, bytes]]:
    """Return the rows that an event has proved, or the remaining ones."""
    rows: list[tuple[int, int, bytes]] = []
    while len(rows) < proof.size and (row := proved_rows.next()) is not None:
        if row[:2] > (proof.at, proof.last):
            proved_rows.put_back(row)
            break
        rows.append(row)
    return rows


def _check_proved(proof: _Proof, rows: list[tuple[int, int, bytes]], *, may_be_pruned: bool) -> None:
    jtis = _jtis([jti for _, _, jti in rows])
    if may_be_pruned and len(rows) < proof.size:
        proof = proof._replace(size=len(rows), digest=None)
    if (
        len(rows) != proof.size
        or not all(proved_at == proof.at and proof.first <= leak <= proof.last for proved_at, leak, _ in rows)
        or (proof.digest is not None and ended_digest(jtis) != proof.digest)
    ):
        raise IntegrityError("the ledger's proofs that leaks are dead are not as the events say")


def _jtis(raw_jtis: list[Any]) -> list[bytes]:
    """Return the jtis of the leaked credentials. Raises IntegrityError for a leak without a credential."""
    jtis = [jti for jti in raw_jtis if isinstance(jti, bytes)]
    if len(jtis) != len(raw_jtis):
        raise IntegrityError("the ledger has a leak of a credential that it does not have")
    return jtis
