"""Delegators and recurring agents in a ledger: the answers to queries about them."""

# Without `from __future__ import annotations`, which has the annotation of each field compiled at every start.
from typing import NamedTuple

from jitid.model.agent import Agent
from jitid.model.delegator import Delegator


class DirectoryEntry(NamedTuple):
    """The directory's records of a delegator and an agent, as far as an issue depends on them."""

    delegator: Delegator | None
    """Without aliases: an issue needs only the delegator that a name stands for."""
    agent: Agent | None
    live: int
    """The number of live identities of the agent if it has a limit of that; otherwise 0."""


class Holder(NamedTuple):
    """The delegator that has a name."""

    key: int
    own: str
    """The primary name of the delegator."""


class Ties(NamedTuple):
    """The records that depend on delegators."""

    live: int
    """The number of live credentials that descend from the delegators."""
    agents: tuple[str, ...]
    """The agents in service that they own, sorted."""
    requests: int
    """The number of their open requests for approval."""
    grants: int
    """The number of approvals that they granted and that are not used yet."""
    others: int
    """The number of live credentials that those agents hold for other delegators."""
    access: int = 0
    """The number of their access credentials for an authority."""


class Holding(NamedTuple):
    """The credentials of a registered agent in short."""

    live: int
    """The number of its live identities."""
    last_issued_at: int | None
    """When its latest identity last received a credential, in seconds since the epoch."""


class LiveUnder(NamedTuple):
    """A live identity under an agent's name."""

    uid: bytes
    delegator: str
    """The root delegator."""
    recorded: bool
    """Whether it belongs to a directory record of that name."""
