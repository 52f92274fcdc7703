"""What a ledger answers about delegators and recurring agents."""

# Without `from __future__ import annotations`, which has the annotation of each field compiled at every start.
from typing import NamedTuple

from jitid.model.agent import Agent
from jitid.model.delegator import Delegator


class DirectoryEntry(NamedTuple):
    """What the directory has of a delegator and of an agent, as far as an issue is decided by it."""

    delegator: Delegator | None
    """Without aliases: an issue asks for whom a name stands, not for the other names."""
    agent: Agent | None
    live: int
    """How many identities of the agent live, if it has a limit of that; otherwise 0."""


class Holder(NamedTuple):
    """Who has a name."""

    key: int
    own: str
    """Their own name."""


class Ties(NamedTuple):
    """What hangs on delegators."""

    live: int
    """Live credentials that descend from them."""
    agents: tuple[str, ...]
    """Those that they own and that are in service, sorted."""
    requests: int
    """Their requests for approval that are open."""
    grants: int
    """What they approved and nobody has used yet."""
    others: int
    """Live credentials that those agents hold for other delegators."""
    access: int = 0
    """What lets them ask an authority that serves others."""


class Holding(NamedTuple):
    """What a registered agent has been given."""

    live: int
    """How many identities of it live."""
    last_issued_at: int | None
    """When its latest identity was given a credential for the last time, in seconds since the epoch."""


class LiveUnder(NamedTuple):
    """An identity under the name of an agent, of which anything lives."""

    uid: bytes
    delegator: str
    """The root delegator."""
    recorded: bool
    """Whether it is counted to a record of that name."""
