"""The consequences of a leak: the later credentials of the identity, its actions, and how all of these ended."""

from __future__ import annotations

from typing import NamedTuple


class MadeAfterLeak(NamedTuple):
    """Another credential of the identity or of a descendant than the leaked one. Times are seconds since the epoch."""

    jti: str
    id: str
    agent: str
    kind: str
    depth: int
    """The number of delegations between the identity and the descendant: 0 for the identity's own credentials."""
    issued_at: int
    event: int


class Acted(NamedTuple):
    """Equal actions of the identity or a descendant, either before or after the report."""

    agent: str
    action: str
    resource: str
    allowed: bool
    after: bool
    """Whether the actions happened after the report."""
    times: int
    first_at: int
    last_at: int
    first_event: int
    last_event: int


class EndedByEvent(NamedTuple):
    """The credentials that one event ended."""

    event: int
    state: str
    credentials: int
    identities: int
    own: bool
    """Whether the leaked credential is among them."""
    first_at: int
    last_at: int


class AtTarget(NamedTuple):
    """The state of some of the credentials at a target."""

    target: str
    credentials: int
    settlement: str | None
    """The outcome of ending them there; None before the first attempt."""
    settled_at: int | None
    """When the last of them was settled; None while work is left."""
    event: int | None


class Aftermath(NamedTuple):
    """The totals of the consequences, with the first records of each list."""

    identities: int
    """The number of descendants of the identity."""
    credentials: int
    """The number of credentials of the identity and its descendants, the leaked one included."""
    later: int
    """How many of them were issued after the report."""
    live: int
    """How many of them are live."""
    made: list[MadeAfterLeak]
    acted: list[Acted]
    over: list[EndedByEvent]
    at_targets: list[AtTarget]
