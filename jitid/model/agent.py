"""A recurring agent in the directory: its owner, and the limits of its identities."""

# Without `from __future__ import annotations`, which has the annotation of each field compiled at every start.
from enum import StrEnum
from typing import NamedTuple


class AgentState(StrEnum):
    """The state of a registered agent at a given time; only in the first state can it obtain identities."""

    REGISTERED = "registered"
    OVERDUE = "overdue"
    """Its review date has passed."""
    SUSPENDED = "suspended"
    UNREGISTERED = "unregistered"


class Agent(NamedTuple):
    """A recurring agent. Times are seconds since the epoch."""

    key: int
    """The ledger's number for the agent; 0 before it is recorded."""
    name: str
    owner: str
    """The responsible delegator, such as `user:bob`."""
    purpose: str
    scopes: tuple[str, ...]
    """The scopes that cover all scopes which the agent may hold."""
    audiences: tuple[str, ...]
    """The audiences that its credentials may have; if empty, the ledger's issuer and the configured audiences."""
    kinds: tuple[str, ...]
    max_ttl: int
    """The longest lifetime of its credentials, in seconds."""
    concurrency: int | None
    """The maximum number of its identities that are live at the same time; None for no limit."""
    review_at: int
    registered_at: int
    reviewed_at: int | None
    suspended_at: int | None
    suspended_as: str | None
    """The stated reason, or `owner disabled`."""
    unregistered_at: int | None
    users: tuple[str, ...] = ()
    """Further parties that may issue under its name besides the owner: delegators, `group:NAME`, `agent:NAME`."""

    def state_at(self, now: int) -> AgentState:
        """Return the state at `now`."""
        if self.unregistered_at is not None:
            return AgentState.UNREGISTERED
        if self.suspended_at is not None:
            return AgentState.SUSPENDED
        return AgentState.OVERDUE if now >= self.review_at else AgentState.REGISTERED
