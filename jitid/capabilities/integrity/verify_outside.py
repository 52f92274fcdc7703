"""Check of the rows of credentials at targets against the audit events that confirmed and settled them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jitid.capabilities.integrity.verify_pruned import PrunedMembers
from jitid.capabilities.targets.store import OutsideStore
from jitid.errors import IntegrityError
from jitid.model.target import (
    LAST_AFTER,
    OutsideRow,
    Settlement,
    confirmed_digest,
    evidence_digest,
    settled_digest,
)
from jitid.values.ids import credential_id, parse_id

_OWN = "jti_"
"""Prefix of a credential id. A name at a target consists of the target's prefix and the rest of the id."""


class _Settled(NamedTuple):
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
        """Compare the rows.

        Raises:
            IntegrityError: a row disagrees with its events, has no event, or is missing.

        """
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
            raise IntegrityError(f"{credential_id(missing)} is at a target, and the ledger no longer says so")
        # The digest of the rows that remained after a pruning depends on the order of the events.
        for seq in sorted(final.keys() | self._settled.keys(), key=lambda seq: seq or 0):
            self._compare_settled(seq, final.get(seq, []), self._settled.get(seq or 0))

    def _compare(self, row: OutsideRow) -> None:
        if row.jti not in self._made:
            raise IntegrityError("the ledger has a credential at a target that no event says was made there")
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
            self._pruned.settled(seq, rows, digest)
            # An event has no digest of the remaining rows if other rows of it were pruned.
            partly_pruned = settled.digest != digest
        evidence = evidence_digest((row.jti, row.honoured_until, row.proof) for row in rows)
        if (
            settled is None
            or (not partly_pruned and (settled.digest != digest or settled.evidence not in (None, evidence)))
            or any(row.settled_at != settled.at for row in rows)
        ):
            raise IntegrityError(f"what event {seq} settled at a target is not in the ledger as it says")


def _edited(jti: bytes) -> IntegrityError:
    return IntegrityError(
        f"what the ledger has of {credential_id(jti)} at its target is not what was confirmed"
    )
