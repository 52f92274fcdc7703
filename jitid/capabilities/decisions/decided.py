"""What a ledger answers about the requests that were decided, as far as policies can tell them apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from jitid.policy.decision import PolicyLooks

Zones = Mapping[str, Sequence[tuple[int, int]]]
"""By zone: from which second since the epoch on it is ahead of UTC by how many seconds, the oldest first."""


class Apart(NamedTuple):
    """What tells requests apart."""

    looks: PolicyLooks
    zones: Zones
    """The time zones for the hours in a policy."""


class DecidedAlike(NamedTuple):
    """Requests that policies decide alike."""

    first: int
    """The first of them: its audit event, or the number of its credential."""
    credentials: int
    """How many were asked for, or are alive."""
