"""A word in place of an id: the task, the agent or the delegator of that name."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, assert_never

from jitid.capabilities.identity.filter_store import Filter
from jitid.capabilities.inventory.operations import ListCredentials, ShowTask, TaskRow
from jitid.errors import NotFoundError, RefusedError, UsageError
from jitid.model.types import TASK
from jitid.redaction.token_format import name_holds_token
from jitid.values.field_types import AGENT, DELEGATOR
from jitid.values.record import Record
from jitid.values.text import quote, token_warning

if TYPE_CHECKING:
    from jitid.operation.base import Authority


class NamedKind(StrEnum):
    """The kind of object that has a name; the values are the options of verbs, without the dashes."""

    TASK = "task"
    AGENT = "agent"
    DELEGATOR = "delegator"


class NamedObject(Record):
    """An object with a name."""

    kind: NamedKind
    name: str
    task: TaskRow | None = None
    """The task, if it is one."""

    @property
    def filter(self) -> Filter:
        """The filter for the credentials of the object."""
        match self.kind:
            case NamedKind.TASK:
                return Filter(task=self.name)
            case NamedKind.AGENT:
                return Filter(agent=self.name)
            case NamedKind.DELEGATOR:
                return Filter(delegator=self.name)
            case _:
                assert_never(self.kind)


def find(authority: Authority, word: str) -> NamedObject | None:
    """Return the task, else the agent, else the delegator of a name; None if the caller sees no such object.

    Raises the errors of the authority, except for names that do not exist.
    """
    if name_holds_token(word) or token_warning(word):
        # A secret in place of a name must not be sent or looked up.
        return None
    task = _task(authority, word)
    if task is not None:
        return NamedObject(NamedKind.TASK, task.task.full_name if "/" in word else word, task)
    for kind, type_ in ((NamedKind.AGENT, AGENT), (NamedKind.DELEGATOR, DELEGATOR)):
        try:
            named = NamedObject(kind, type_.parse(word, "the name"))
        except UsageError:
            continue
        if _has_credentials(authority, named.filter):
            return named
    return None


def unknown(word: str) -> UsageError:
    """Return the error for a word that is neither an id nor a name."""
    return UsageError(
        f"{quote(word)} is not an id, a task, an agent or a delegator", "to find it: jitid list"
    )


def _task(authority: Authority, word: str) -> TaskRow | None:
    try:
        return authority.perform(ShowTask(name=TASK.parse(word, "the name")))
    except (NotFoundError, RefusedError, UsageError):
        return None


def _has_credentials(authority: Authority, chosen: Filter) -> bool:
    try:
        page = authority.perform(
            ListCredentials(chosen=chosen, sort="issued_at", descending=True, after=None, limit=1)
        )
    except (RefusedError, NotFoundError, UsageError):
        return False
    return bool(page.credentials)
