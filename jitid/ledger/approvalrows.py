"""Rows of requests for approval compared with the audit events that tell of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jitid.errors import IntegrityError
from jitid.ledger.approval import Approval, ApprovalSnapshot, ApprovalState

MARKS = (b'"op":"approval-', b'"op":"accept-clock"')
"""What stands in the events that matter here, and in no other: in a text the quotes would be escaped."""

_Word = tuple[str, str, int, int, int | None, int]
"""Approver, proof, 1 for a grant, time, its end, event."""


class _Told:
    """A request as the events tell of it."""

    def __init__(self, seq: int, event: Mapping[str, Any]) -> None:
        self.request = (
            event["digest"],
            event["delegator"],
            event["asked_by"],
            event["at"],
            event["until"],
            seq,
        )
        self.words: dict[str, _Word | None] = dict.fromkeys(event["groups"])
        self.until: int = event["until"]
        self.end: tuple[str, int, int] | None = None

    def silence(self, approver: str) -> None:
        """Take back what somebody has said."""
        for group, word in self.words.items():
            if word is not None and word[0] == approver:
                self.words[group] = None

    def speak(self, seq: int, event: Mapping[str, Any]) -> None:
        """Take what somebody says."""
        until = event.get("until")
        word = (event["approver"], event["proof"], int(until is not None), event["at"], until, seq)
        self.words |= dict.fromkeys(event["groups"], word)
        if until is None:
            self.end = (ApprovalState.DENIED.value, event["at"], seq)


class ApprovalRows:
    """Takes the events about approvals one by one, and says which rows are not as they tell."""

    def __init__(self, snapshot: ApprovalSnapshot, now: int) -> None:
        self._snapshot = snapshot
        self._told: dict[str, _Told] = {}
        self._latest = now
        """The latest time there ever was: a clock may have been set back."""

    def check(self, seq: int, event: Mapping[str, Any]) -> None:
        """Take what an event tells.

        Raises:
            IntegrityError: it tells of something that was never asked for, or was over.

        """
        match event["op"]:
            case "accept-clock":
                self._latest = max(self._latest, event["at"] - event["jump"])
            case "approval-request":
                self._told[event["approval"]] = _Told(seq, event)
            case "approval-withdraw":
                for id_ in event["approvals"]:
                    self._open(seq, id_).silence(event["approver"])
            case _:
                self._open(seq, event["approval"], event["digest"]).speak(seq, event)

    def use(self, seq: int, event: Mapping[str, Any]) -> None:
        """Take what an event tells that has used an approval.

        Raises:
            IntegrityError: nobody had granted it, or it was over.

        """
        at = event["at"]
        one = self._open(seq, event["approval"])
        grants = {
            group: word[0]
            for group, word in one.words.items()
            if word is not None and word[4] is not None and word[3] <= at < word[4]
        }
        if grants != event["approvers"] or grants.keys() != one.words.keys() or at >= one.until:
            raise IntegrityError(f"event {seq} uses an approval that nobody had granted")
        one.end = (ApprovalState.USED.value, at, seq)

    def must_be_done(self) -> None:
        """Compare the rows.

        Raises:
            IntegrityError: one of them was edited, removed or inserted.

        """
        for row in self._snapshot.all():
            told = self._told.pop(row.id, None)
            if told is None:
                raise IntegrityError(f"the ledger has a request {row.id} that no event tells of")
            if not self._is_as_told(row, told):
                raise IntegrityError(f"request {row.id} is not in the ledger as its events say")
        for id_ in self._told:
            raise IntegrityError(f"the ledger lacks the request {id_} that an event tells of")

    def _open(self, seq: int, id_: str, digest: str | None = None) -> _Told:
        found = self._told.get(id_)
        if found is None or found.end is not None or digest not in (None, found.request[0]):
            raise IntegrityError(f"event {seq} is about a request that was not open")
        return found

    def _is_as_told(self, row: Approval, told: _Told) -> bool:
        request = (
            row.digest.hex(),
            row.delegator,
            row.asked_by,
            row.asked_at,
            row.expires_at,
            row.event,
        )
        end = None if row.ended_as is None else (row.ended_as, row.ended_at, row.ended_event)
        if told.end is None and end is not None:
            # What has run out is closed by whoever comes by.
            end_is_told = end[:2] == (ApprovalState.EXPIRED.value, told.until) and told.until <= self._latest
        else:
            end_is_told = end == told.end
        used = told.end is not None and told.end[0] == ApprovalState.USED.value
        return (
            request == told.request
            and end_is_told
            and (row.identity is not None) == used
            and self._words_are_told(row, told.words)
        )

    def _words_are_told(self, row: Approval, told: Mapping[str, _Word | None]) -> bool:
        said = {
            word.group: None
            if word.approver is None
            else (word.approver, word.proof, word.granted, word.decided_at, word.expires_at, word.event)
            for word in row.words
        }
        return said.keys() == told.keys() and all(
            said[group] == word or (said[group] is None and self._has_run_out(word))
            for group, word in told.items()
        )

    def _has_run_out(self, word: _Word | None) -> bool:
        return word is not None and word[4] is not None and word[4] <= self._latest
