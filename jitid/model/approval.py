"""Requests for approval in a ledger, and the answers to queries about them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from jitid.values.field_types import COUNT, FILTER
from jitid.values.record import Record


class ApprovalState(StrEnum):
    """The state of a request for approval at a given time."""

    OPEN = "open"
    """At least one group has not granted it, or its grant is no longer valid."""
    GRANTED = "granted"
    """Granted by every group and not used yet."""
    USED = "used"
    DENIED = "denied"
    EXPIRED = "expired"
    """Not used in time."""
    WITHDRAWN = "withdrawn"
    """Withdrawn because its delegator was disabled, or because the ledger was restored from a backup."""


class Word(Record):
    """The decision of one of the groups that must approve. Times are seconds since the epoch."""

    group: str
    approver: str | None
    """The primary name of the approver; None without a decision."""
    proof: str | None
    """How the approver was proved: `os-user`, `credential` or `oidc`."""
    granted: int | None
    """1 for a grant, 0 for a denial."""
    decided_at: int | None
    expires_at: int | None
    """The time until which a grant is valid."""
    event: int | None
    stands: int
    """1 if the approver is still known, enabled and a member of that group."""

    def holds_at(self, now: int) -> bool:
        """Return whether it is a valid grant at `now`."""
        return bool(self.granted and self.stands and self.expires_at is not None and now < self.expires_at)


class Approval(Record):
    """A request that a policy permits once it is approved. Times are seconds since the epoch."""

    key: int
    """The ledger's own number."""
    id: str
    digest: bytes
    """SHA-256 of `request`."""
    request: bytes
    """The exact request that needs approval, as canonical JSON."""
    delegator: str
    asked_by: str
    """The requester, by its name with its kind, or by the id of an identity. No other caller may use the request.

    Older rows have the login of a local person, and `agent:NAME` for an agent.
    """
    asked_at: int
    expires_at: int
    """The time until which it can be granted and used."""
    ended_at: int | None
    ended_as: str | None
    """The last state of an `ApprovalState`."""
    identity: str | None
    """The first identity that it was used for."""
    event: int
    """The audit event that records it."""
    ended_event: int | None
    words: tuple[Word, ...]
    """The decision of each group that must approve, in the order of their names."""

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups that must approve."""
        return tuple([word.group for word in self.words])

    def state_at(self, now: int) -> ApprovalState:
        """Return the state at `now`."""
        if self.ended_as is not None:
            return ApprovalState(self.ended_as)
        if now >= self.expires_at:
            return ApprovalState.EXPIRED
        return ApprovalState.OPEN if self.missing_at(now) else ApprovalState.GRANTED

    def usable_until_at(self, now: int) -> int | None:
        """Return the end of the time in which it can be used if it is granted at `now`; otherwise None."""
        if self.state_at(now) is not ApprovalState.GRANTED:
            return None
        ends = [word.expires_at for word in self.words if word.expires_at is not None]
        return min([self.expires_at, *ends])

    def missing_at(self, now: int) -> tuple[str, ...]:
        """Return the groups without a valid grant."""
        return tuple([word.group for word in self.words if not word.holds_at(now)])


class ApprovalFilter(Record):
    """A selection of requests; every given condition must hold."""

    waiting: bool = False
    """Only requests that wait for the decision of a group."""
    live: bool = False
    """Only requests that have neither ended nor expired."""
    group: Annotated[str | None, FILTER] = None
    """Only requests that this group must approve; with `waiting`, requests that wait for its decision."""
    before: Annotated[int | None, COUNT] = None
    """Only numbers below this: the cursor of the next page."""
