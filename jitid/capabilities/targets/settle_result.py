"""The outcome of settling ended credentials at their targets."""

from __future__ import annotations

from typing import NamedTuple


class Left(NamedTuple):
    """A credential whose end is not confirmed at its target. Times are seconds since the epoch."""

    jti: str
    id: str
    kind: str
    target: str
    name: str
    settlement: str
    """`unavailable`, `stuck` or `unsupported`."""
    seen: str
    next_at: int | None
    """The time of the next attempt; None if the target cannot end it."""
    honoured_until: int | None
    """The time until which the target may accept it."""


class SettledTargets(NamedTuple):
    """The result of ending expired and revoked credentials at their targets."""

    done: int
    """Number of credentials that are confirmed to be gone."""
    unsupported: int
    """Number of credentials that their targets cannot end: they are accepted until their expiry."""
    open: int
    """Number of credentials that must still be ended: they are tried again later, or stuck."""
    left: tuple[Left, ...]
    """The first credentials that are not gone."""
    events: tuple[int, ...]
    """The audit events that record the outcomes."""
    late: tuple[str, ...] = ()
    """The targets that did not answer for all within their time limit."""
    at: int = 0
    """The ledger's time afterwards."""
