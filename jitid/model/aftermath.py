"""What became of an identity whose credential leaked: what was made with it, what it did, and how all of that ended."""

from __future__ import annotations

from typing import NamedTuple


class MadeAfterLeak(NamedTuple):
    """A credential of the identity or of one below it, besides the one that leaked; times since the epoch."""

    jti: str
    id: str
    agent: str
    kind: str
    depth: int
    """How many delegations below the identity: 0 for its own, which a renewal has made."""
    issued_at: int
    event: int


class Acted(NamedTuple):
    """What the identity or one below it did, of one sort, before the report or after it."""

    agent: str
    action: str
    resource: str
    allowed: bool
    after: bool
    """Whether that was after the report."""
    times: int
    first_at: int
    last_at: int
    first_event: int
    last_event: int


class Over(NamedTuple):
    """What one event ended of it."""

    event: int
    state: str
    credentials: int
    identities: int
    own: bool
    """Whether the credential that leaked is among them."""
    first_at: int
    last_at: int


class AtTarget(NamedTuple):
    """What became of it at a target."""

    target: str
    credentials: int
    settlement: str | None
    """What came of ending it there; none if nothing was tried yet."""
    settled_at: int | None
    """Since when nothing is left to be done for the last of them; none while something is."""
    event: int | None


class Aftermath(NamedTuple):
    """All of it, the first of each sort."""

    identities: int
    """How many hang below the identity."""
    credentials: int
    """How many credentials there are of it and below, the one that leaked included."""
    later: int
    """How many of those were made after the report."""
    live: int
    """How many of those are alive."""
    made: list[MadeAfterLeak]
    acted: list[Acted]
    over: list[Over]
    at_targets: list[AtTarget]
