"""What a ledger remembers of requests for approval, and what it answers about them."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class ApprovalState(StrEnum):
    """What a request for approval is at a given time."""

    OPEN = "open"
    """Somebody has still to say a word."""
    GRANTED = "granted"
    """Every group has granted it, and it was not used yet."""
    USED = "used"
    DENIED = "denied"
    EXPIRED = "expired"
    """Nobody used it in time."""
    WITHDRAWN = "withdrawn"
    """The delegator for whom it was asked was disabled, or the ledger was put back from a backup."""


class Word(NamedTuple):
    """What one of the groups that have to approve has said. Times are seconds since the epoch."""

    group: str
    approver: str | None
    """The own name of who spoke for it; None for nobody."""
    proof: str | None
    """How the approver was proved: `os-user`, `credential` or `oidc`."""
    granted: int | None
    """1 for yes, 0 for no."""
    decided_at: int | None
    expires_at: int | None
    """Until when a grant holds."""
    event: int | None
    stands: int
    """1 if the approver is still known, enabled and of that group."""

    def holds_at(self, now: int) -> bool:
        """Tell whether it is a grant that counts."""
        return bool(self.granted and self.stands and self.expires_at is not None and now < self.expires_at)


class Approval(NamedTuple):
    """A request that a policy permits once it is approved. Times are seconds since the epoch."""

    key: int
    """The ledger's own number."""
    id: str
    digest: bytes
    """SHA-256 of `request`."""
    request: bytes
    """The exact request that is asked for, as canonical JSON."""
    delegator: str
    asked_by: str
    """The requester, who alone may use it: a person or a service by its name with its kind, or the id of an identity.

    Rows from before have the login of a person beside the ledger, and `agent:NAME` for an agent."""
    asked_at: int
    expires_at: int
    """Until when it can be granted and used."""
    ended_at: int | None
    ended_as: str | None
    """The last state of an `ApprovalState`."""
    identity: str | None
    """The first identity that it was used for."""
    event: int
    """The audit event that tells of it."""
    ended_event: int | None
    words: tuple[Word, ...]
    """Of each group that has to approve, in the order of their names."""

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups that have to approve."""
        return tuple([word.group for word in self.words])

    def state_at(self, now: int) -> ApprovalState:
        """Return the state at `now`, which the caller chooses."""
        if self.ended_as is not None:
            return ApprovalState(self.ended_as)
        if now >= self.expires_at:
            return ApprovalState.EXPIRED
        return ApprovalState.OPEN if self.missing_at(now) else ApprovalState.GRANTED

    def missing_at(self, now: int) -> tuple[str, ...]:
        """Return the groups of which nobody has granted it, or whose grant counts no longer."""
        return tuple([word.group for word in self.words if not word.holds_at(now)])


class ApprovalFilter(NamedTuple):
    """Which requests are meant; every given condition must hold."""

    waiting: bool = False
    """Only those that wait for a group's word."""
    live: bool = False
    """Only those that have neither ended nor run out."""
    group: str | None = None
    """Only those that this group has to approve; with `waiting`, that wait for its word."""
    before: int | None = None
    """With a lower number than this: a page follows another so."""
