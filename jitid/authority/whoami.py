"""Whom an authority takes its caller for, as it tells them."""

from __future__ import annotations

from typing import NamedTuple


class WhoAmI(NamedTuple):
    """What an authority says of its caller and of itself."""

    caller: str
    """The name that stands in the audit log."""
    roles: tuple[str, ...]
    """Sorted; none for who may ask only about what is their own."""
    delegator: str | None
    """Whom the caller delegates as."""
    proof: str | None
    agent: str | None
    """The agent, if it is one's own credential that was shown."""
    issuer: str
    now: int
    """The time there, in seconds since the epoch."""
    version: str
