"""Checks of actions, marks against repetition, credentials at targets and leaks against their audit events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any

from jitid.capabilities.access.store import AccessStore, assertion_digest
from jitid.capabilities.integrity.store import EventRows
from jitid.capabilities.integrity.verify_pruned import PrunedMembers
from jitid.capabilities.leak.store import LeakStore
from jitid.capabilities.targets.store import OutsideStore
from jitid.capabilities.use.store import UseStore
from jitid.errors import IntegrityError
from jitid.ledger.idempotency import REMEMBERED, IdempotencyStore, request_digest
from jitid.ledger.select import bounds
from jitid.model.access import ASSERTION_LEEWAY
from jitid.model.event import ended_digest, sighted_digest, used_digest
from jitid.model.target import (
    LAST_AFTER,
    OutsideRow,
    Settlement,
    confirmed_digest,
    evidence_digest,
    settled_digest,
)
from jitid.model.use import UseRow
from jitid.values.ids import credential_id, parse_id
from jitid.values.record import Record

if TYPE_CHECKING:
    from jitid.capabilities.integrity.verify_keys import NamesMembers
    from jitid.ledger.view import View

MARK = b'"op":"use"'
"""Bytes of every event about actions, and of no other event: inside a text the quotes would be escaped."""


class UseMembers:
    """The comparison of actions with the events that account for them, one event after another."""

    def __init__(self, snapshot: UseStore, pruned: PrunedMembers) -> None:
        self._snapshot = snapshot
        self._pruned = pruned
        rows = snapshot.use_rows(pruned.condemned_table, pruned.prunable_uses)
        self._rows = EventRows(rows, attrgetter("event"), pruned.through)

    def check(self, seq: int, event: Mapping[str, Any]) -> None:
        """Compare the rows of one event. Raises IntegrityError if a row was edited, removed or inserted."""
        try:
            rows = self._rows.take(seq, event["count"])
            digest = used_digest([row.members for row in rows])
        except (TypeError, ValueError) as error:
            raise IntegrityError(f"an action of event {seq} has an invalid value") from error
        self._pruned.left("uses", seq, [digest.encode()] if rows else [])
        partly_pruned = seq <= self._pruned.through and len(rows) < event["count"]
        if not partly_pruned and (len(rows) != event["count"] or digest != event["used"]):
            raise IntegrityError(f"the ledger's actions do not match event {seq}, which records them")
        if rows and {(seq, event["at"])} != {(row.event, row.at) for row in rows}:
            raise IntegrityError(f"an action that event {seq} records was changed in the ledger")

    def compare_rows(self) -> None:
        """Compare the table `used` with the actions, and find actions that no event accounts for.

        Raises IntegrityError if there are such actions, or the table disagrees with the actions.
        """
        try:
            row: UseRow | None = self._rows.next()
        except (TypeError, ValueError) as error:
            raise IntegrityError("an action in the ledger has an invalid value") from error
        if row is not None:
            raise IntegrityError(f"no audit event records the action {row.key} of the ledger")
        if not self._snapshot.is_rolled_up():
            raise IntegrityError("the ledger's summary of uses does not match its actions")


ASSERTION = b'"op":"assertion"'
"""Bytes of every event about a used assertion, and of no other event: inside a text the quotes would be escaped."""


class MarkMembers:
    """The comparison of marks with the events that record them: the ledger must have all marks that still count."""

    def __init__(self, snapshot: View, pruned: PrunedMembers, names: NamesMembers) -> None:
        self._snapshot = snapshot
        self._pruned = pruned
        self._names = names
        self._latest = snapshot.now
        """The latest time that the ledger has seen: a clock may have been set back."""
        self._assertions: dict[str, int] = {}
        self._requests: dict[bytes, tuple[int, str]] = {}
        """By the raw id of a credential that was made for a request: the time, and the request."""
        self._answered: dict[str, int] = {}
        """The time of the last answer to each request; it replaced earlier answers. Clocks may have been set back."""
        self._unknown: dict[bytes, int] = {}
        """By the raw ids of the first and the last credential of an event of an earlier version: the time."""
        self._last = snapshot.now
        """The latest time of an issue, however clocks were set since: older answers may be gone."""
        self._states_requests = False
        """Whether events state their requests from here on."""

    def clock(self, event: Mapping[str, Any]) -> None:
        """Take an event that accepted a clock."""
        self._latest = max(self._latest, event["at"] - event["jump"])
        # A pruning that only deletes condemned rows has no event that states its time.
        self._last = max(self._last, event["at"] - event["jump"])

    def use(self, event: Mapping[str, Any]) -> None:
        """Take an event that records the use of an assertion."""
        self._assertions[event["assertion"]] = event["until"]

    def made(self, event: Mapping[str, Any], raw_ids: Iterable[bytes]) -> None:
        """Take an event that issued credentials or granted access, and their raw ids.

        The event states the request if it may be repeated. Events of earlier versions state no request.
        """
        self._states_requests = self._states_requests or "rows" in event or not self._names.upgraded
        self._last = max(self._last, event["at"])
        if event["at"] <= self._snapshot.now - REMEMBERED:
            self._answered.pop(event.get("request", ""), None)
            return
        if "request" in event:
            self._answered[event["request"]] = event["at"]
            self._requests.update(dict.fromkeys(raw_ids, (event["at"], event["request"])))
        elif not self._states_requests and (ids := list(raw_ids)):
            self._unknown.update(dict.fromkeys((ids[0], ids[-1]), event["at"]))

    def compare_rows(self) -> None:
        """Compare the marks. Raises IntegrityError if a mark that still counts was edited or removed."""
        for client, jti, until in AccessStore(self._snapshot).assertions():
            self._assertions.pop(assertion_digest(client, jti, until), None)
        # A mark without an event only refuses more, and marks of earlier versions have no event.
        if any(until + ASSERTION_LEEWAY >= self._latest for until in self._assertions.values()):
            raise IntegrityError("the ledger lacks the mark of a used assertion, which an event records")
        answers_since = max(self._last - REMEMBERED, self._pruned.answers)
        missing = {request for request, answered_at in self._answered.items() if answered_at > answers_since}
        for caller, key, answered, answered_at in IdempotencyStore(self._snapshot).answered():
            request = request_digest(caller, key, answered.digest, answered.sort)
            missing.discard(request)
            answer_ids = (answered.first, answered.last)
            if {self._requests.get(raw_id) for raw_id in answer_ids} == {(answered_at, request)}:
                continue
            if all(self._unknown.get(raw_id) == answered_at for raw_id in answer_ids):
                continue
            # If the answer was pruned, a repeated request is issued again, whether its mark is right or not.
            was_pruned = answered_at < self._pruned.answers and not any(
                raw_id in self._requests for raw_id in answer_ids
            )
            if not was_pruned or self._pruned.there(answer_ids):
                raise IntegrityError("the ledger's answer to a request does not match its event")
        if missing:
            raise IntegrityError("the ledger lacks the answer to a request, which an event records")


_OWN = "jti_"
"""Prefix of a credential id. A name at a target consists of the target's prefix and the rest of the id."""


class _Settled(Record):
    """The facts that an event states about the credentials that it settled."""

    at: int
    digest: str
    evidence: str | None
    """None in events of earlier versions."""


class OutsideMembers:
    """The comparison of credentials at targets with the events that confirm and settle them."""

    def __init__(self, outside: OutsideStore, pruned: PrunedMembers) -> None:
        self._outside = outside
        self._pruned = pruned
        self._made: dict[bytes, str] = {}
        """The target of each credential for which no row was found yet."""
        self._adopted: set[bytes] = set()
        self._confirmed: dict[bytes, str] = {}
        self._settled: dict[int, _Settled] = {}
        self._tried: dict[int, int] = {}
        """The time of each event that tried to end credentials."""
        self._since: dict[bytes, int] = {}
        """The time at which each credential was issued or adopted."""
        self._changed = 0
        """The last time at which facts about an adopted secret changed: then its end is tried at once."""
        self.count = 0

    def made(self, jtis: Sequence[bytes], target: str, issued_at: int) -> None:
        """Take the credentials that an event issued at a target."""
        self._made.update(dict.fromkeys(jtis, target))
        self._since.update(dict.fromkeys(jtis, issued_at))

    def adopted(self, jtis: Sequence[bytes], adopted_at: int) -> None:
        """Take the standing secrets that an event adopted; its own digest covers all of them."""
        self._adopted.update(jtis)
        self._since.update(dict.fromkeys(jtis, adopted_at))

    def changed(self, changed_at: int) -> None:
        """Take an event that changed facts about standing secrets."""
        self._changed = max(self._changed, changed_at)

    def check(self, seq: int, event: Mapping[str, Any]) -> None:
        """Take an event that confirms a credential, or settles some."""
        if "confirmed" in event:
            self._confirmed[parse_id(event["jti"])[1]] = event["confirmed"]
            return
        self._tried[seq] = event["at"]
        if event["final"]:
            self._settled[seq] = _Settled(event["at"], event["settled"], event.get("evidence"))

    def compare_rows(self) -> None:
        """Compare the rows. Raises IntegrityError if a row disagrees with its events, has no event, or is missing."""
        final: dict[int | None, list[OutsideRow]] = {}
        for row in self._outside.rows(self._pruned.condemned_table):
            self.count += 1
            if row.settled_at is not None:
                final.setdefault(row.event, []).append(row)
            elif row.settlement == Settlement.DONE:
                raise _edited(row.jti)
            self._compare_tried(row)
            if row.jti not in self._adopted:
                self._compare(row)
        missing = next(iter(self._made.keys() or self._pruned.there(self._confirmed)), None)
        if missing is not None:
            raise IntegrityError(
                f"{credential_id(missing)} is at a target, but the ledger no longer records that"
            )
        # The digest of the rows that remained after a pruning depends on the order of the events.
        for seq in sorted(final.keys() | self._settled.keys(), key=lambda seq: seq or 0):
            self._compare_settled(seq, final.get(seq, []), self._settled.get(seq or 0))

    def _compare(self, row: OutsideRow) -> None:
        if row.jti not in self._made:
            raise IntegrityError("no audit event issued a credential that the ledger has at a target")
        target = self._made.pop(row.jti)
        if row.target != target or not row.name.endswith(credential_id(row.jti).removeprefix(_OWN)):
            raise _edited(row.jti)
        confirmed = self._confirmed.pop(row.jti, None)
        if row.fingerprint is None:
            if confirmed is not None or row.parts:
                raise _edited(row.jti)
        elif confirmed != confirmed_digest(
            row.jti, row.target, row.name, row.reference, row.facts, row.fingerprint, row.parts
        ):
            raise _edited(row.jti)

    def _compare_tried(self, row: OutsideRow) -> None:
        """Compare the times of the last and the next attempt at the target; a next attempt must not be too late."""
        if row.tried_at != (None if row.event is None else self._tried.get(row.event)):
            raise _edited(row.jti)
        latest = self._since.get(row.jti, 0) if row.tried_at is None else row.tried_at + LAST_AFTER
        if row.jti in self._adopted:
            latest = max(latest, self._changed)
        if row.settled_at is None and row.next_at > latest:
            raise _edited(row.jti)

    def _compare_settled(self, seq: int | None, rows: Sequence[OutsideRow], settled: _Settled | None) -> None:
        digest = settled_digest((row.jti, row.settlement) for row in rows)
        partly_pruned = False
        if seq is not None and seq <= self._pruned.through and settled is not None:
            self._pruned.left("settlements", seq, [digest.encode()] if rows else [])
            # An event has no digest of the remaining rows if other rows of it were pruned.
            partly_pruned = settled.digest != digest
        evidence = evidence_digest((row.jti, row.honoured_until, row.proof) for row in rows)
        if (
            settled is None
            or (not partly_pruned and (settled.digest != digest or settled.evidence not in (None, evidence)))
            or any(row.settled_at != settled.at for row in rows)
        ):
            raise IntegrityError(f"the ledger's settled credentials at targets do not match event {seq}")


def _edited(jti: bytes) -> IntegrityError:
    return IntegrityError(
        f"the ledger's facts about {credential_id(jti)} at its target do not match the confirmed facts"
    )


LEAK = b'"op":"leak'
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

        Raises IntegrityError if a row has the time of a proof that no event states, or there are such rows.
        """
        leak, sighting = self._added.next(), self._sightings.next()
        if leak is not None:
            raise IntegrityError(f"no audit event records the leak {leak.key} of the ledger")
        if sighting is not None:
            raise IntegrityError(f"the ledger has a sighting that event {sighting[0]} does not record")
        if self._closed.next() is not None:
            raise IntegrityError("the ledger has a closed leak, but no event closed it")
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
            raise IntegrityError("the ledger marks a leak as proved refused, but no event records that")

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
                raise IntegrityError(f"a leak that event {seq} records was changed in the ledger")
        if not self._is_left(seq, len(rows), event["count"]) and (
            len(rows) != event["count"] or ended_digest(jtis) != event["leaked"]
        ):
            raise IntegrityError(f"the ledger's leaks do not match event {seq}, which records them")

    def _check_seen(self, seq: int, event: Mapping[str, Any]) -> None:
        rows = self._sightings.take(seq, event.get("sightings", 0))
        try:
            digest = sighted_digest(row for _, row in rows) if rows else None
        except ValueError:
            digest = "invalid"
        expected = event.get("sightings", 0), event.get("sighted")
        if digest is not None:
            self._pruned.left("sightings", seq, [digest.encode()])
        if self._is_left(seq, len(rows), expected[0]):
            return
        if (len(rows), digest) != expected or any(row_seq != seq for row_seq, _ in rows):
            raise IntegrityError(f"the ledger's sightings do not match event {seq}, which records them")

    def _check_closed(self, seq: int, event: Mapping[str, Any]) -> None:
        rows = self._closed.take(seq, event["count"])
        jtis = _jtis([jti for _, _, jti in rows])
        self._pruned.left("closings", seq, jtis)
        if self._is_left(seq, len(rows), event["count"]) and {time for _, time, _ in rows} <= {event["at"]}:
            return
        if {(seq, event["at"])} != {(row_seq, time) for row_seq, time, _ in rows} or (
            ended_digest(jtis) != event["closed"]
        ):
            raise IntegrityError(f"the ledger's closed leaks do not match event {seq}, which closed them")

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
        raise IntegrityError("the ledger's proofs of refused leaks do not match the events")


def _jtis(raw_jtis: list[Any]) -> list[bytes]:
    """Return the jtis of the leaked credentials. Raises IntegrityError for a leak without a credential."""
    jtis = [jti for jti in raw_jtis if isinstance(jti, bytes)]
    if len(jtis) != len(raw_jtis):
        raise IntegrityError("the ledger has a leak without its credential")
    return jtis
