"""The base of operations, records of arguments with the type of their answer; and the interface of an authority.

And the declaration of verbs of the command line, with the options that many of them have.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Literal, Protocol, Self, TypeVar

from jitid.values.declaration import Declared, flag, opt, optional_arg
from jitid.values.field_types import COUNT, FILE, ID_OR_FILE, LIMIT, MAX_ROWS, SHORT_REASON

if TYPE_CHECKING:
    from jitid.formats.columns import Columns
    from jitid.model.access import Role
    from jitid.operation.context import Context


READS: Final = "reads"
"""The effect of a verb or an operation that changes nothing."""
IDEMPOTENT: Final = "idempotent"
"""The effect of an operation that changes something once, however often it is repeated."""
KEYED: Final = "keyed"
"""The effect of an operation with an idempotency key: a repetition replaces the result of the first try."""


class Verb(Declared):
    """A verb, with the values of one line as its fields. Its docstring is its help."""

    verb: ClassVar[str] = ""
    """Its words; empty for an operation that has no verb."""
    effect: ClassVar[Literal["", "reads", "idempotent", "keyed"]] = ""
    """`READS`, `IDEMPOTENT` or `KEYED`; empty if a repetition would change something again."""
    changes_with: ClassVar[tuple[str, ...]] = ()
    """Names of the fields that make a reading verb change data."""
    runs_command: ClassVar[bool] = False
    """Whether the last words of its line are another command, passed on unchanged."""
    is_hook: ClassVar[bool] = False
    """Whether another program runs it as a hook: an error of usage then has status 125, since 2 stops that program."""
    unattended: ClassVar[bool] = False
    """Whether another program runs it, wherever that works: see `jitid.config.effective.load`."""
    function: ClassVar[str] = ""
    """The module in `cli/` and the function in it that runs the verb, loaded when the verb is used.

    An operation without one is performed, and its answer is shown by its view.
    """
    view: ClassVar[Columns | None] = None
    """The fields of its output; None if its output has one form."""
    formats: ClassVar[tuple[str, ...]] = ()
    """Its own formats, besides those of all verbs."""
    only_formats: ClassVar[tuple[str, ...] | None] = None
    """All its formats, if it has none of the usual ones and no fields; empty if its output has one form alone."""
    repairs_configuration: ClassVar[bool] = False
    """Whether it works with an invalid configuration too; its function then checks the format and the field."""

    def shown_view(self) -> Columns | None:
        """Return the fields of this line's output, if an option changes them; None if its output has one form."""
        return self.view

    def may_page(self) -> bool:
        """Return whether a terminal shows long output of this line in a pager."""
        return self.effect == READS

    def may_change(self) -> bool:
        """Return whether this line may change data."""
        if any(getattr(self, name, None) for name in ("dry_run", "list_rules")):
            return False
        return self.effect != READS or any(getattr(self, name) for name in self.changes_with)


# Options that many verbs have.


def dry_run_flag() -> bool:
    """Declare `--dry-run`."""
    return flag("--dry-run", "-n", help="Report the changes without making them.", default=False)


def max_opt() -> int | None:
    """Declare `--max`, the number of credentials that a verb may revoke without `--yes`."""
    return opt(COUNT, "--max", help="Refuse to revoke more than N without --yes.")


def yes_flag() -> bool:
    """Declare `--yes` of a verb that revokes credentials."""
    return flag("--yes", "-y", help="Revoke any number without confirmation.")


def reason_opt() -> str | None:
    """Declare `--reason`."""
    return opt(SHORT_REASON, "--reason", help="Reason, stored in the audit log.", default=None)


def limit_opt() -> int | None:
    """Declare `--limit`, the number of rows."""
    return opt(LIMIT, "--limit", "-l", help="Maximum number of rows.")


def rows_opt() -> int:
    """Declare `--limit` of an operation, which shows 1,000 rows without it."""
    return opt(LIMIT, "--limit", "-l", help="Maximum number of rows.", absent=1_000)


def subject_arg() -> str | None:
    """Declare the argument that is an id, or a file with a token."""
    return optional_arg(
        ID_OR_FILE,
        "[ID|FILE]",
        help="Id, or file with a token; `-`: standard input.",
        verb_refuses_tokens=True,
    )


def public_out_opt() -> str | None:
    """Declare `--out` of a verb that prints public data."""
    return opt(FILE, "--out", "-o", help="Write to FILE, readable by all (0644).")


def private_out_opt() -> str | None:
    """Declare `--out` of a verb that prints secret or confidential data."""
    return opt(FILE, "--out", "-o", help="Write to FILE, readable by its owner (0600).")


Result = TypeVar("Result")


class Answering:
    """The value of `Operation[...]`: a base class and the type of the answer, as a class or as text."""

    def __init__(self, base: type, result: object) -> None:
        self.base = base
        self.result = result

    def __mro_entries__(self, _bases: tuple[object, ...]) -> tuple[type, ...]:
        return (self.base,)


class Operation(Verb, Generic[Result]):
    """A frozen record of its arguments; `Result` is the type of its answer."""

    # Without annotations, which would make them fields.
    roles: ClassVar[tuple[Role, ...]] = ()
    """The roles whose callers may request it; without any of them, and of the next two, no caller may."""
    for_anybody = False
    """Whether each authenticated caller may: it contains its own authorization, or checks the caller."""
    for_own = False
    """Whether each authenticated caller may for its own objects: see `authority/guard`."""
    authenticates = False
    """Whether its own fields authenticate the caller, so that a client without a credential may request it."""
    slow = False
    """Whether it may read the whole ledger or wait for targets, and so take longer than others."""
    summary: ClassVar[str] = ""
    """A sentence for clients of the service; empty if the first line of its help is one."""
    local = False
    """Whether remote clients may not request it: it examines files of the ledger's machine, or authenticates them."""
    last_piece: ClassVar[str] = ""
    """The class of the last piece of a streamed answer; empty for any."""
    never_empty = False
    """Whether a streamed answer has at least one piece."""
    dispensable: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Paths to the members that an older authority may lack: without them, the request is as good there."""
    task_in = ""
    """The field that names existing tasks: `task`, or `chosen.task` for a field of a record."""

    if not TYPE_CHECKING:

        def __class_getitem__(cls, result: object) -> Answering:
            # Generic aliases for all operations would add more than a millisecond to every start.
            return Answering(cls, result)

    def replace(self, **values: object) -> Self:
        """Return the same operation with other values."""
        return type(self)(**{name: getattr(self, name) for name in self.fields} | values)

    def names_task(self) -> bool:
        """Return whether it names existing tasks."""
        if not self.task_in:
            return False
        value: object = self
        for name in self.task_in.split("."):
            value = getattr(value, name)
        return value is not None and value != ()

    @property
    def is_reading(self) -> bool:
        """Whether it changes nothing."""
        return self.effect == READS or bool(getattr(self, "dry_run", False))

    def fits(self, answer: Any) -> bool:  # noqa: ANN401, ARG002 - subclasses narrow it
        """Return whether an answer of a remote authority fits the request, beyond its type."""
        return True

    def aftermath(self) -> str | None:
        """Return the command that lists its results if the answer is unusable; None if it creates nothing.

        The authority may have created credentials that no caller holds.
        """
        return None

    def facts_if_denied(self) -> dict[str, object]:
        """Return the facts of the request for the audit log if its token is not valid: no others are known then."""
        return {"operation": type(self).__name__}


class PagedOperation(Operation[Result]):
    """An operation with a limit of rows: over a network, a longer answer comes in pages."""

    if TYPE_CHECKING:
        limit: Any

    page_size: ClassVar[int] = MAX_ROWS
    """The maximum number of rows of one answer."""

    def following(self, row: Any) -> Self:  # noqa: ANN401 - rows have no common type
        """Return the request that continues after a row."""
        raise NotImplementedError

    def rows_of(self, answer: Result) -> list[Any]:
        """Return the rows of an answer."""
        raise NotImplementedError

    def joined(self, answer: Result, rows: list[Any]) -> Result:
        """Return one answer from the first answer and the rows of all answers."""
        raise NotImplementedError


def performer(kind: type[Operation[Any]]) -> Callable[[Context, Any], Any]:
    """Return the function that performs an operation of a kind: `list_tasks` for `ListTasks`.

    It is in the module `perform` beside the `operations`; beside `agent_operations`, in `agent_perform`. The module is
    loaded at its first use.
    """
    module = import_module(kind.__module__.removesuffix("operations") + "perform")
    name = re.sub(r"(?<!^)([A-Z])", r"_\1", kind.__name__).lower()
    function: Callable[[Context, Any], Any] = getattr(module, name)
    return function


class Authority(Protocol):
    """An authority: it issues, verifies and revokes credentials, and records events."""

    def perform(self, operation: Operation[Result]) -> Result:
        """Perform an operation and return its answer; raise a `JitidError` if it fails."""

    def close(self) -> None:
        """Release the resources."""
