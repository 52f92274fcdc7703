"""A word in place of an id: the task, the agent or the delegator of that name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, assert_never

from jitid.capabilities.identity.filter_store import Filter
from jitid.capabilities.inventory.operations import Inspect, ListCredentials, ShowTask, TaskRow
from jitid.cli import hints
from jitid.errors import NotFoundError, RefusedError, UsageError
from jitid.model.types import TASK
from jitid.redaction.token_format import CERTIFICATE, is_ssh_certificate, name_holds_token
from jitid.system import read_input
from jitid.values.field_types import AGENT, DELEGATOR
from jitid.values.ids import PREFIXES
from jitid.values.record import Record
from jitid.values.text import may_be_secret, quote, refuse_mark, safe

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
    def with_article(self) -> str:
        """The kind, as in `is a task`."""
        return f"{'an' if self.kind is NamedKind.AGENT else 'a'} {self.kind.value}"

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


def find(authority: Authority, word: str, verb: str = "list") -> NamedObject | None:
    """Return the task, the agent or the delegator of a name; None if the caller sees no such object.

    Agents choose the names of their sub-agents, and any delegator may open a task of any name. So a name that several
    objects have is never taken for one of them. Of `verb` is the command in the hint.

    Raises:
        UsageError: several objects have the name, or the word has a byte order mark; or the errors of the authority.

    """
    refuse_mark(word, "the name")
    if not may_look_up(word):
        return None
    found = [named for named in (task_of(authority, word), *_others(authority, word)) if named is not None]
    if len(found) > 1:
        kinds = " and ".join(named.kind.value for named in found)
        commands = ", or ".join(f"jitid {verb} {option_of(named)}" for named in found)
        raise UsageError(f"{quote(word)} is the name of several objects: {kinds}", f"select one: {commands}")
    return found[0] if found else None


def of_file(authority: Authority, path: str) -> str:
    """Return the id of the identity whose token is in a file.

    A file without a token may be a private key or a password: its content is never sent to an authority.

    Raises:
        UsageError: the file cannot be read, is empty, or has no text in the form of a token.
        InvalidCredentialError: it has no token of this ledger; or another error of the authority.

    """
    token = read_input.token(path, "the token")
    text = token.reveal()
    if not (name_holds_token(text) or text.startswith(CERTIFICATE) or is_ssh_certificate(text)):
        raise UsageError(
            f"{quote(path)} is a file without a token", "to look for tokens in any text: jitid trace FILE"
        )
    with hints.advised():
        return authority.perform(Inspect(token=token)).credential.id


def is_file(word: str) -> bool:
    """Return whether a word that is not an id is the name of a file."""
    return not word.startswith(PREFIXES) and safe(word) == word and os.path.isfile(word)


def may_look_up(word: str) -> bool:
    """Return whether a word can be sent to an authority as a name; another word may be a secret."""
    mixed = all(any(map(has, word)) for has in (str.isupper, str.islower, str.isdigit))
    return not (may_be_secret(word) or name_holds_token(word) or (len(word) >= _LONGEST_MIXED and mixed))


_LONGEST_MIXED = 32
"""The number of characters from which a word of upper and lower case letters and digits may be a random secret."""


def _others(authority: Authority, word: str) -> Iterator[NamedObject]:
    """Yield the agent and the delegator of a name that have credentials."""
    only = _only_delegator(authority)
    for kind, type_ in ((NamedKind.AGENT, AGENT), (NamedKind.DELEGATOR, DELEGATOR)):
        try:
            named = NamedObject(kind, type_.parse(word, "the name"))
        except UsageError:
            continue
        if only in (None, named.name) and _has_credentials(authority, named.filter):
            yield named


def unknown(word: str) -> UsageError:
    """Return the error for a word that is neither an id nor a name."""
    from jitid.cli.mistakes import dash_hint

    hint = "for help: jitid help VERB" if word == "help" else dash_hint(word)
    return UsageError(
        f"{quote(word)} is not an id, a file, or the name of a task, an agent or a delegator",
        hint or "to find it: jitid list",
    )


def option_of(named: NamedObject) -> str:
    """Return the option that selects an object. A name that begins like an option is joined to it."""
    joint = "=" if named.name.startswith("-") else " "
    return f"--{named.kind.value}{joint}{named.name}"


def task_of(authority: Authority, word: str) -> NamedObject | None:
    """Return the task of a name; None if the caller sees none, or the word may not be looked up."""
    if not may_look_up(word):
        return None
    try:
        name = TASK.parse(word, "the name")
    except UsageError:
        return None
    try:
        row = authority.perform(ShowTask(name=name))
    except (NotFoundError, RefusedError):
        return None
    return NamedObject(NamedKind.TASK, row.task.full_name if "/" in word else word, row)


def _only_delegator(authority: Authority) -> str | None:
    """Return the only delegator whose credentials the caller may list, or ""; None for a caller with a role.

    An authority would record any other request as a denial, and the user has only mistyped a name.
    """
    from jitid.authority.remote import RemoteAuthority

    if not isinstance(authority, RemoteAuthority):
        return None
    answer = authority.whoami()
    return (answer.delegator or "") if {*ListCredentials.roles, "admin"}.isdisjoint(answer.roles) else None


def _has_credentials(authority: Authority, chosen: Filter) -> bool:
    try:
        page = authority.perform(
            ListCredentials(chosen=chosen, sort="issued_at", descending=True, after=None, limit=1)
        )
    except (RefusedError, NotFoundError, UsageError):
        return False
    return bool(page.credentials)
