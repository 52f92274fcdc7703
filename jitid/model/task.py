"""A task: the unit of work that an identity is issued for, and how sensitive it is."""

# Without `from __future__ import annotations`, which has the annotation of each field compiled at every start.
from typing import NamedTuple

from jitid.errors import UsageError
from jitid.values.names import check_name
from jitid.values.text import label

SENSITIVITIES = ("low", "moderate", "high", "critical")
"""From the least to the most sensitive; the policy gives each its own limits."""
MAX_PURPOSE = 1_000
"""So many characters a purpose has at most."""
ADOPTED = "adopted/"
"""How the names of the tasks begin that adopted secrets are on, one each."""


def rank(sensitivity: str) -> int:
    """Return the place of `sensitivity` among `SENSITIVITIES`; a larger number is more sensitive.

    Raises:
        ValueError: no such sensitivity.

    """
    return SENSITIVITIES.index(sensitivity)


def most_sensitive(*sensitivities: str) -> str:
    """Return the most sensitive one; at least one is needed."""
    return max(sensitivities, key=rank)


_OPENERS = ("user:", "system:", "agent:")
"""How the delegators begin who open tasks."""
NOBODY = "?"
"""To whom a task belongs from before names had owners, if nothing is left that tells of its opener."""
_SLASH = "%2F"
"""How a slash in the name of an opener is written: no name has a percent sign."""


class TaskName(NamedTuple):
    """A task as it is named: `NAME`, or `OWNER/NAME`."""

    name: str
    opener: str | None
    """The delegator to whom it belongs; None in a bare name."""


def parse_task(text: str) -> TaskName:
    """Return the name and the owner that a text names; everything up to the first slash is an owner with its kind."""
    owner, slash, name = text.partition("/")
    if slash and (owner.startswith(_OPENERS) or owner == NOBODY):
        return TaskName(name, owner.replace(_SLASH, "/"))
    return TaskName(text, None)


def written_task(opener: str, name: str, slash: str = _SLASH) -> str:
    """Return `OWNER/NAME`, which names one task whatever others are called; `slash` stands for those of the owner."""
    return f"{opener.replace('/', slash)}/{name}"


def check_task(text: str) -> str:
    """Return the text of a task unchanged: `NAME`, or `OWNER/NAME`. Raise UsageError for anything else."""
    named = parse_task(text)
    check_name(named.name, "task")
    if named.opener not in (None, NOBODY):
        check_name(str(named.opener).partition(":")[2], "task owner")
    return text


def check_new_task(name: str) -> str:
    """Return the name of a task that is to be opened. Raise UsageError for one that reads as `OWNER/NAME`."""
    if parse_task(name).opener is not None:
        raise UsageError(
            f"the task name {label(name)} begins like an owner",
            "a new task's name does not begin with user:, system: or agent: before a slash",
        )
    return name


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
    """When `retire` ended it; an ended task's name is never used again by its opener."""
    opener: str = ""
    """The delegator to whom it belongs: the root delegator of the first event, unless it was given away."""
    event: int = 0
    """The audit event that opened it."""
    given_event: int | None = None
    """The audit event that gave it to its present owner; none where the owner opened it, 0 from before events told."""

    @property
    def full_name(self) -> str:
        """The name that no other task has: `OWNER/NAME`."""
        return written_task(self.opener, self.name)

    def is_open_at(self, now: int) -> bool:
        """Tell whether identities may be issued and credentials be valid for this task at `now`."""
        return self.ended_at is None and now < self.deadline

    def state_at(self, now: int) -> str:
        """Return `open`, `overdue` (its deadline has passed, nobody retired it) or `ended`."""
        if self.ended_at is not None:
            return "ended"
        return "open" if now < self.deadline else "overdue"
