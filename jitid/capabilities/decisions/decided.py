"""Groups of decided requests that a policy cannot distinguish."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from jitid.policy.decision import PolicyLooks

Zones = Mapping[str, Sequence[tuple[int, int]]]
"""By zone: the offsets to UTC in seconds, each with the time since the epoch from which it holds; oldest first."""


class Distinctions(NamedTuple):
    """The properties that distinguish requests."""

    looks: PolicyLooks
    zones: Zones
    """The time zones for the hours in a policy."""


class DecidedAlike(NamedTuple):
    """Requests that get the same decision."""

    first: int
    """The first request: the number of its audit event, or of its credential."""
    credentials: int
    """The number of requested, or of live, credentials."""
