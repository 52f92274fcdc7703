"""Check of the rows of requests for approval against their audit events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from jitid.capabilities.integrity.verify_pruned import PrunedMembers
from jitid.capabilities.issue.approval_store import ApprovalStore
from jitid.errors import IntegrityError
from jitid.model.approval import Approval, ApprovalState

MARKS = (
    b'"op":"approval-',
    b'"op":"delegator-disable"',
    b'"op":"delegator-import"',
    b'"op":"accept-clock"',
    b'"op":"ledger-restore"',
)
"""Bytes of the events that matter here, and of no other event: inside a text the quotes would be escaped."""


class _Decision(NamedTuple):
    """The decision of an approver for a group, in the columns of its row."""

    approver: str
    proof: str
    granted: int
    decided_at: int
    expires_at: int | None
    event: int


class _ExpectedRequest:
    """A request according to the events."""

    def __init__(self, seq: int, event: Mapping[str, Any]) -> None:
        self.request = (
            event["digest"],
            event["delegator"],
            event["asked_by"],
            event["at"],
            event["until"],
            seq,
        )
        self.until: int = event["until"]
        self.decisions: dict[str, _Decision | None] = dict.fromkeys(event["groups"])
        self.end: tuple[str, int, int] | None = None
        self.used_for: str | None = None
        """The first identity that was issued with it, if the identity's row is there."""

    def decide(self, seq: int, event: Mapping[str, Any]) -> None:
        """Take the event of an approver's decision."""
        expires_at = event.get("until")
        decision = _Decision(
            event["approver"], event["proof"], int(expires_at is not None), event["at"], expires_at, seq
        )
        self.decisions |= dict.fromkeys(event["groups"], decision)
        if expires_at is None:
            self.end = (ApprovalState.DENIED.value, event["at"], seq)

    def granted_at(self, time: int) -> dict[str, str]:
        """Return the approvers with valid grants at a time, by group."""
        return {
            group: decision.approver
            for group, decision in self.decisions.items()
            if decision is not None
            and decision.expires_at is not None
            and decision.decided_at <= time < decision.expires_at
        }


class ApprovalRows:
    """The comparison of requests for approval with the events about them."""

    def __init__(self, snapshot: ApprovalStore, now: int, pruned: PrunedMembers) -> None:
        self._snapshot = snapshot
        self._pruned = pruned
        self._expected: dict[str, _ExpectedRequest] = {}
        self._latest = now
        """The latest time that the ledger has seen: a clock may have been set back."""
        self._withdrawn: dict[tuple[int, int], int] = {}
        """Number of requests that an event withdrew, by its number and time."""
        self._silenced: list[tuple[int, str | None]] = []
        """Events that withdrew grants, each with the approver; None stands for several approvers."""

    def check(self, seq: int, event: Mapping[str, Any]) -> None:
        """Take an event.

        Raises:
            IntegrityError: its request was never made, or had ended.

        """
        match event["op"]:
            case "accept-clock":
                self._latest = max(self._latest, event["at"] - event["jump"])
            case "delegator-disable" | "delegator-import" | "ledger-restore" | "approval-withdraw":
                if "requests" in event:
                    self._withdrawn[seq, event["at"]] = event["requests"]
                if "grants" in event:
                    self._silenced.append((seq, event.get("delegator")))
            case "approval-request":
                self._expected[event["approval"]] = _ExpectedRequest(seq, event)
            case _:
                self._open(seq, event["approval"], event["digest"]).decide(seq, event)

    def use(self, seq: int, event: Mapping[str, Any], identity: str | None) -> None:
        """Take an event that has used an approval, and the first identity that it issued.

        Raises:
            IntegrityError: the approval was not granted, or had ended.

        """
        request = self._open(seq, event["approval"])
        grants = request.granted_at(event["at"])
        if (
            grants != event["approvers"]
            or grants.keys() != request.decisions.keys()
            or event["at"] >= request.until
        ):
            raise IntegrityError(f"event {seq} uses an approval that nobody had granted")
        request.end = (ApprovalState.USED.value, event["at"], seq)
        request.used_for = identity

    def compare_rows(self) -> None:
        """Compare the rows.

        Raises:
            IntegrityError: a row was edited, removed or inserted.

        """
        if self._snapshot.has_strays():
            raise IntegrityError("the ledger has an approval of a request that it does not have")
        withdrawn: Counter[tuple[int, int]] = Counter()
        for row in self._snapshot.all():
            self._pruned.request(row)
            expected = self._expected.pop(row.id, None)
            if expected is None:
                raise IntegrityError(f"the ledger has a request {row.id} that no event tells of")
            end = _end_of(row)
            if end is not None and end[0] == ApprovalState.WITHDRAWN.value and expected.end is None:
                withdrawn[end[2], end[1]] += 1
            elif not self._has_ended_so(end, expected):
                raise IntegrityError(f"request {row.id} has not ended as its events say")
            if not self._matches(row, expected):
                raise IntegrityError(f"request {row.id} is not in the ledger as its events say")
        for id_, request in self._expected.items():
            # A request that may be gone is covered by the digests of the remaining rows.
            if request.request[-1] <= self._pruned.through:
                continue
            raise IntegrityError(f"the ledger lacks the request {id_} that an event tells of")
        if withdrawn != self._withdrawn:
            raise IntegrityError("the requests that were withdrawn are not in the ledger as the events say")

    def _open(self, seq: int, id_: str, digest: str | None = None) -> _ExpectedRequest:
        request = self._expected.get(id_)
        if request is None or request.end is not None or digest not in (None, request.request[0]):
            raise IntegrityError(f"event {seq} is about a request that was not open")
        return request

    def _has_ended_so(self, end: tuple[Any, ...] | None, expected: _ExpectedRequest) -> bool:
        if end is None or expected.end is not None:
            return end == expected.end
        # An expired request is closed without an event, by any later command.
        return (
            end[2] is not None
            and end[:2] == (ApprovalState.EXPIRED.value, expected.until)
            and expected.until <= self._latest
        )

    def _matches(self, row: Approval, expected: _ExpectedRequest) -> bool:
        request = (row.digest.hex(), row.delegator, row.asked_by, row.asked_at, row.expires_at, row.event)
        is_used = expected.end is not None and expected.end[0] == ApprovalState.USED.value
        decisions = {
            word.group: None if word.granted is None else _Decision._make(word[1:7]) for word in row.words
        }
        return (
            request == expected.request
            and (row.identity is not None) == is_used
            and (expected.used_for is None or row.identity == expected.used_for)
            and decisions.keys() == expected.decisions.keys()
            and all(
                decisions[group] == decision
                or (
                    decisions[group] is None
                    and decision is not None
                    and self._has_lapsed(decision, _end_of(row))
                )
                for group, decision in expected.decisions.items()
            )
            # A row without a decision must not have the values of one.
            and not any(
                word.granted is None
                and (word.approver, word.proof, word.decided_at, word.expires_at, word.event) != (None,) * 5
                for word in row.words
            )
        )

    def _has_lapsed(self, decision: _Decision, end: tuple[Any, ...] | None) -> bool:
        """Return whether a grant expired, or was withdrawn with its approver, before the request ended."""
        if decision.expires_at is None:
            return False
        _, ended_at, ended_event = (None, self._latest, None) if end is None else end
        return decision.expires_at <= ended_at or any(
            decision.event < seq
            and (ended_event is None or seq <= ended_event)
            and name in (None, decision.approver)
            for seq, name in self._silenced
        )


def _end_of(row: Approval) -> tuple[Any, ...] | None:
    end = (row.ended_as, row.ended_at, row.ended_event)
    return None if end == (None, None, None) else end
