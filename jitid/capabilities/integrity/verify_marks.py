"""Marks against repetition compared with the audit events that recorded them: used assertions, answered requests."""

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
"""What stands in events about used assertions, and in no others: in a text the quotes would be escaped."""


class MarkMembers:
    """Takes the events that record marks, and says at their end whether the ledger has the marks that still count."""

    def __init__(self, snapshot: View, pruned: PrunedMembers, names: NamesMembers) -> None:
        self._snapshot = snapshot
        self._pruned = pruned
        self._names = names
        self._latest = snapshot.now
        """The latest time there ever was: a clock may have been set back."""
        self._assertions: dict[str, int] = {}
        self._requests: dict[bytes, tuple[int, str]] = {}
        """By the raw id of what was made for it: the time, and the request."""
        self._answered: dict[str, int] = {}
        """When each request was answered last, which replaced its earlier answers. Clocks may have been set back."""
        self._unknown: dict[bytes, int] = {}
        """By the raw ids of the first and the last that an event of an earlier version made: the time."""
        self._last = snapshot.now
        """The latest time at which something was issued, however clocks were set since: older answers may be gone."""
        self._told = False
        """Whether events tell of requests from here on."""

    def clock(self, event: Mapping[str, Any]) -> None:
        """Go on with an event that accepted a clock."""
        self._latest = max(self._latest, event["at"] - event["jump"])
        # A pruning that only deletes what was condemned before has no event that tells its time.
        self._last = max(self._last, event["at"] - event["jump"])

    def use(self, event: Mapping[str, Any]) -> None:
        """Go on with an event that records the use of an assertion."""
        self._assertions[event["assertion"]] = event["until"]

    def made(self, event: Mapping[str, Any], made: Iterable[bytes]) -> None:
        """Go on with an event that issued or granted something, and the raw ids of that.

        It states the request if that may come again. Events of earlier versions state none, whatever they answered.
        """
        self._told = self._told or "rows" in event or not self._names.upgraded
        self._last = max(self._last, event["at"])
        if event["at"] <= self._snapshot.now - REMEMBERED:
            self._answered.pop(event.get("request", ""), None)
            return
        if "request" in event:
            self._answered[event["request"]] = event["at"]
            self._requests.update(dict.fromkeys(made, (event["at"], event["request"])))
        elif not self._told and (ids := list(made)):
            self._unknown.update(dict.fromkeys((ids[0], ids[-1]), event["at"]))

    def must_be_done(self) -> None:
        """Compare the marks.

        Raises:
            IntegrityError: one that still counts was edited or removed.

        """
        for client, jti, until in AccessStore(self._snapshot).assertions():
            self._assertions.pop(assertion_digest(client, jti, until), None)
        # A mark without an event only refuses more, and marks from before have none.
        if any(until + ASSERTION_LEEWAY >= self._latest for until in self._assertions.values()):
            raise IntegrityError("the ledger lacks the mark of an assertion that an event says was used")
        since = max(self._last - REMEMBERED, self._pruned.answers)
        missing = {request for request, at in self._answered.items() if at > since}
        for caller, key, answered, at in IdempotencyStore(self._snapshot).answered():
            request = request_digest(caller, key, answered.digest, answered.sort)
            missing.discard(request)
            made = (answered.first, answered.last)
            if {self._requests.get(one) for one in made} == {(at, request)}:
                continue
            if all(self._unknown.get(one) == at for one in made):
                continue
            # What was pruned is made anew, whatever is said of it.
            gone = at < self._pruned.answers and not any(one in self._requests for one in made)
            if not gone or self._pruned.there(made):
                raise IntegrityError(
                    "what a request was answered with is not in the ledger as its event says"
                )
        if missing:
            raise IntegrityError("the ledger lacks what a request was answered with, as an event says")
