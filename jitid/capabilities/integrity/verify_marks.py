"""Check of marks against repetition (used assertions, answered requests) against the audit events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from jitid.capabilities.access.store import AccessStore, assertion_digest
from jitid.errors import IntegrityError
from jitid.ledger.idempotency import REMEMBERED, IdempotencyStore, request_digest
from jitid.model.access import ASSERTION_LEEWAY

if TYPE_CHECKING:
    from jitid.capabilities.integrity.verify_names import NamesMembers
    from jitid.capabilities.integrity.verify_pruned import PrunedMembers
    from jitid.ledger.view import View

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
        """Compare the marks.

        Raises:
            IntegrityError: a mark that still counts was edited or removed.

        """
        for client, jti, until in AccessStore(self._snapshot).assertions():
            self._assertions.pop(assertion_digest(client, jti, until), None)
        # A mark without an event only refuses more, and marks of earlier versions have no event.
        if any(until + ASSERTION_LEEWAY >= self._latest for until in self._assertions.values()):
            raise IntegrityError("the ledger lacks the mark of an assertion that an event says was used")
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
                raise IntegrityError(
                    "what a request was answered with is not in the ledger as its event says"
                )
        if missing:
            raise IntegrityError("the ledger lacks what a request was answered with, as an event says")
