"""A task: the unit of work that an identity is issued for, and how sensitive it is."""

from __future__ import annotations

from typing import NamedTuple

SENSITIVITIES = ("low", "moderate", "high", "critical")
"""From the least to the most sensitive; the policy gives each its own limits."""
MAX_PURPOSE = 1_000
"""So many characters a purpose has at most."""


def rank(sensitivity: str) -> int:
    """Return the place of `sensitivity` among `SENSITIVITIES`; a larger number is more sensitive.

    Raises:
        ValueError: no such sensitivity.

    """
    return SENSITIVITIES.index(sensitivity)


def most_sensitive(*sensitivities: str) -> str:
    """Return the most sensitive one; at least one is needed."""
    return max(sensitivities, key=rank)


class Task(NamedTuple):
    """What the first issue for a task fixed, and whether the task has ended. Times are seconds since the epoch."""

    key: int
    """The ledger's own number for it."""
    name: str
    purpose: str | None
    sensitivity: str
    deadline: int
    opened_at: int
    ended_at: int | None
    """When `retire` ended it; an ended task's name is never used again."""

    def is_open_at(self, now: int) -> bool:
        """Tell whether identities may be issued and credentials be valid for this task at `now`."""
        return self.ended_at is None and now < self.deadline

    def state_at(self, now: int) -> str:
        """Return `open`, `overdue` (its deadline has passed, nobody retired it) or `ended`."""
        if self.ended_at is not None:
            return "ended"
        return "open" if now < self.deadline else "overdue"
