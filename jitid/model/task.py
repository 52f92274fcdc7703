"""A task: the unit of work that an identity is issued for, and how sensitive it is."""

from __future__ import annotations

from jitid.errors import UsageError
from jitid.values.names import check_name
from jitid.values.record import Record
from jitid.values.text import label

SENSITIVITIES = ("low", "moderate", "high", "critical")
"""From the least to the most sensitive; the policy gives each its own limits."""
MAX_PURPOSE = 1_000
"""The maximum length of a purpose, in characters."""
ADOPTED = "adopted/"
"""The prefix of the names of tasks for adopted secrets; each secret has its own task."""


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
"""The prefixes of the delegators that open tasks."""
UNKNOWN_OWNER = "?"
"""The owner of a task that is older than owners of names, if no record of its opener is left."""
_SLASH = "%2F"
"""The encoding of a slash in an opener's name: no name has a percent sign."""


class TaskName(Record):
    """A task by its stated name: `NAME`, or `OWNER/NAME`."""

    name: str
    opener: str | None
    """The delegator that owns the task; None in a bare name."""


def parse_task(text: str) -> TaskName:
    """Return the name and the owner in a text.

    The owner is the part before the first slash, if it begins with a kind of delegator; otherwise None.
    """
    owner, slash, name = text.partition("/")
    if slash and (owner.startswith(_OPENERS) or owner == UNKNOWN_OWNER):
        return TaskName(name, owner.replace(_SLASH, "/"))
    return TaskName(text, None)


def written_task(opener: str, name: str, slash: str = _SLASH) -> str:
    """Return `OWNER/NAME`, the unambiguous name of a task; `slash` replaces each slash in the owner."""
    return f"{opener.replace('/', slash)}/{name}"


def check_task(text: str) -> str:
    """Return the text of a task unchanged: `NAME`, or `OWNER/NAME`. Raise UsageError for any other text."""
    task_name = parse_task(text)
    check_name(task_name.name, "task")
    if task_name.opener not in (None, UNKNOWN_OWNER):
        check_name(str(task_name.opener).partition(":")[2], "task owner")
    return text


def check_new_task(name: str) -> str:
    """Return the name of a new task. Raise UsageError for a name that reads as `OWNER/NAME`."""
    if parse_task(name).opener is not None:
        raise UsageError(
            f"the task name {label(name)} looks like OWNER/NAME",
            "use a name that does not begin with user:, system: or agent: before a slash",
        )
    return name


class Task(Record):
    """The properties that the first issue for a task fixed, and its end. Times are seconds since the epoch."""

    key: int
    """The ledger's own number for it."""
    name: str
    purpose: str | None
    sensitivity: str
    deadline: int
    opened_at: int
    ended_at: int | None
    """When `retire` ended it; its opener can never use the name of an ended task again."""
    opener: str = ""
    """The delegator that owns the task: the root delegator of the first event, or the one it was given to later."""
    event: int = 0
    """The audit event that opened it."""
    given_event: int | None = None
    """The audit event that gave it to its owner; None if the owner opened it, 0 if older than such events."""

    @property
    def full_name(self) -> str:
        """The unambiguous name of the task: `OWNER/NAME`."""
        return written_task(self.opener, self.name)

    def is_open_at(self, now: int) -> bool:
        """Return whether the task permits issue and valid credentials at `now`."""
        return self.ended_at is None and now < self.deadline

    def state_at(self, now: int) -> str:
        """Return `open`, `overdue` (past its deadline and not retired) or `ended`."""
        if self.ended_at is not None:
            return "ended"
        return "open" if now < self.deadline else "overdue"
