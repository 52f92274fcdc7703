"""What a ledger answers about the requests that were decided, as far as policies can tell them apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from jitid.policy.decision import Looks

Zones = Mapping[str, Sequence[tuple[int, int]]]
"""By zone: from which second since the epoch on it is ahead of UTC by how many seconds, the oldest first."""


class Apart(NamedTuple):
    """What tells requests apart."""

    looks: Looks
    zones: Zones
    """Those that the hours of a policy are told in."""


class Alike(NamedTuple):
    """Requests that policies decide alike."""

    first: int
    """The first of them: its audit event, or the number of its credential."""
    credentials: int
    """How many were asked for, or are alive."""


class Decided(Protocol):
    """The part of a consistent view that is about what was decided."""

    def recorded(self, apart: Apart, since: int | None) -> list[Alike]:
        """Return the events of the audit log; those whose requests are decided alike are joined.

        Where hours count, and they are told in a zone that is not among those of `apart`, all of that zone count as
        alike: then its offsets are needed.
        """

    def latest_zone(self) -> str | None:
        """Return the zone, if it is not UTC, that the policy was asked in lately."""

    def living(self, apart: Apart, zone: str | None) -> list[Alike]:
        """Return what is alive, by its credential; what was approved of is left out, and what was only adopted.

        `zone` is that in which a policy's hours are told, of the time of issue.
        """

    def living_as(self, apart: Apart, zone: str | None, firsts: Iterable[int]) -> list[bytes]:
        """Return the identities of what is alive and was told by these credentials, the first of those like them."""

    def documents(self, events: Iterable[int]) -> dict[int, dict[str, Any]]:
        """Return what audit events say, by their numbers."""

    def approved_living(self) -> dict[int, frozenset[str]]:
        """Return the live credentials that were approved of, each with the groups that did."""

    def policies(self, prefix: str) -> list[str]:
        """Return the digests of stored policies that begin so."""
