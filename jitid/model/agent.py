"""A recurring agent as the directory has it: who answers for it, and within which limits it is given identities."""

# Without `from __future__ import annotations`, which has the annotation of each field compiled at every start.
from enum import StrEnum
from typing import NamedTuple


class AgentState(StrEnum):
    """What a registered agent is at a given time; identities are issued to it in the first state alone."""

    REGISTERED = "registered"
    OVERDUE = "overdue"
    """Its review date has passed."""
    SUSPENDED = "suspended"
    UNREGISTERED = "unregistered"


class Agent(NamedTuple):
    """A recurring agent. Times are seconds since the epoch."""

    key: int
    """The ledger's own number; 0 for one that is not recorded yet."""
    name: str
    owner: str
    """The delegator who answers for it, as `user:bob`."""
    purpose: str
    scopes: tuple[str, ...]
    """Those that cover whatever it may hold."""
    audiences: tuple[str, ...]
    """Whom its credentials may be meant for; none stated: the ledger's issuer and what is configured."""
    kinds: tuple[str, ...]
    max_ttl: int
    """The longest lifetime of a credential of its, in seconds."""
    concurrency: int | None
    """How many identities of it may live at the same time; None for any number."""
    review_at: int
    registered_at: int
    reviewed_at: int | None
    suspended_at: int | None
    suspended_as: str | None
    """Why: a reason that was stated, or `owner disabled`."""
    unregistered_at: int | None
    users: tuple[str, ...] = ()
    """Who may issue under its name besides the owner: delegators, `group:NAME`, `agent:NAME`."""

    def state_at(self, now: int) -> AgentState:
        """Return the state at `now`, which the caller chooses."""
        if self.unregistered_at is not None:
            return AgentState.UNREGISTERED
        if self.suspended_at is not None:
            return AgentState.SUSPENDED
        return AgentState.OVERDUE if now >= self.review_at else AgentState.REGISTERED
