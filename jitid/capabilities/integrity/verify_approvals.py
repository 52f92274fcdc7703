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


class _Said(NamedTuple):
    """The decision of an approver for a group, in the columns of its row."""

    approver: str
    proof: str
    granted: int
    decided_at: int
    expires_at: int | None
    event: int


class _ToldRequest:
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
        self.words: dict[str, _Said | None] = dict.fromkeys(event["groups"])
        self.end: tuple[str, int, int] | None = None
        self.used_for: str | None = None
        """The first identity that was issued with it, if the identity's row is there."""

    def speak(self, seq: int, event: Mapping[str, Any]) -> None:
        """Take the event of an approver's decision."""
        until = event.get("until")
        said = _Said(event["approver"], event["proof"], int(until is not None), event["at"], until, seq)
        self.words |= dict.fromkeys(event["groups"], said)
        if until is None:
            self.end = (ApprovalState.DENIED.value, event["at"], seq)

    def granted_at(self, at: int) -> dict[str, str]:
        """Return the approvers with valid grants at a time, by group."""
        return {
            group: said.approver
            for group, said in self.words.items()
            if said is not None and said.expires_at is not None and said.decided_at <= at < said.expires_at
        }


class ApprovalRows:
    """The comparison of requests for approval with the events about them."""

    def __init__(self, snapshot: ApprovalStore, now: int, pruned: PrunedMembers) -> None:
        self._snapshot = snapshot
        self._pruned = pruned
        self._told: dict[str, _ToldRequest] = {}
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
                self._told[event["approval"]] = _ToldRequest(seq, event)
            case _:
                self._open(seq, event["approval"], event["digest"]).speak(seq, event)

    def use(self, seq: int, event: Mapping[str, Any], identity: str | None) -> None:
        """Take an event that has used an approval, and the first identity that it issued.

        Raises:
            IntegrityError: the approval was not granted, or had ended.

        """
        one = self._open(seq, event["approval"])
        grants = one.granted_at(event["at"])
        if grants != event["approvers"] or grants.keys() != one.words.keys() or event["at"] >= one.until:
            raise IntegrityError(f"event {seq} uses an approval that nobody had granted")
        one.end = (ApprovalState.USED.value, event["at"], seq)
        one.used_for = identity

    def must_be_done(self) -> None:
        """Compare the rows.

        Raises:
            IntegrityError: a row was edited, removed or inserted.

        """
        if self._snapshot.has_strays():
            raise IntegrityError("the ledger has an approval of a request that it does not have")
        withdrawn: Counter[tuple[int, int]] = Counter()
        for row in self._snapshot.all():
            self._pruned.request(row)
            told = self._told.pop(row.id, None)
            if told is None:
                raise IntegrityError(f"the ledger has a request {row.id} that no event tells of")
            end = _end_of(row)
            if end is not None and end[0] == ApprovalState.WITHDRAWN.value and told.end is None:
                withdrawn[end[2], end[1]] += 1
            elif not self._has_ended_so(end, told):
                raise IntegrityError(f"request {row.id} has not ended as its events say")
            if not self._is_as_told(row, told):
                raise IntegrityError(f"request {row.id} is not in the ledger as its events say")
        for id_, one in self._told.items():
            # A request that may be gone is covered by the digests of the remaining rows.
            if one.request[-1] <= self._pruned.through:
                continue
            raise IntegrityError(f"the ledger lacks the request {id_} that an event tells of")
        if withdrawn != self._withdrawn:
            raise IntegrityError("the requests that were withdrawn are not in the ledger as the events say")

    def _open(self, seq: int, id_: str, digest: str | None = None) -> _ToldRequest:
        found = self._told.get(id_)
        if found is None or found.end is not None or digest not in (None, found.request[0]):
            raise IntegrityError(f"event {seq} is about a request that was not open")
        return found

    def _has_ended_so(self, end: tuple[Any, ...] | None, told: _ToldRequest) -> bool:
        if end is None or told.end is not None:
            return end == told.end
        # An expired request is closed without an event, by any later command.
        return (
            end[2] is not None
            and end[:2] == (ApprovalState.EXPIRED.value, told.until)
            and told.until <= self._latest
        )

    def _is_as_told(self, row: Approval, told: _ToldRequest) -> bool:
        request = (row.digest.hex(), row.delegator, row.asked_by, row.asked_at, row.expires_at, row.event)
        used = told.end is not None and told.end[0] == ApprovalState.USED.value
        words = {word.group: None if word.granted is None else _Said._make(word[1:7]) for word in row.words}
        return (
            request == told.request
            and (row.identity is not None) == used
            and (told.used_for is None or row.identity == told.used_for)
            and words.keys() == told.words.keys()
            and all(
                words[group] == said
                or (words[group] is None and said is not None and self._is_over(said, _end_of(row)))
                for group, said in told.words.items()
            )
            # A row without a decision must not have the values of one.
            and not any(
                word.granted is None
                and (word.approver, word.proof, word.decided_at, word.expires_at, word.event) != (None,) * 5
                for word in row.words
            )
        )

    def _is_over(self, said: _Said, end: tuple[Any, ...] | None) -> bool:
        """Return whether a grant expired, or was withdrawn with its approver, before the request ended."""
        if said.expires_at is None:
            return False
        _, at, event = (None, self._latest, None) if end is None else end
        return said.expires_at <= at or any(
            said.event < seq and (event is None or seq <= event) and name in (None, said.approver)
            for seq, name in self._silenced
        )


def _end_of(row: Approval) -> tuple[Any, ...] | None:
    end = (row.ended_as, row.ended_at, row.ended_event)
    return None if end == (None, None, None) else end
