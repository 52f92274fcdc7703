"""The base of operations, records of arguments with the type of their answer; and the interface of an authority."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar

from jitid.operation.verb import Verb

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
    slow = False
    """Whether it may read the whole ledger or wait for targets, and so take longer than others."""
    local = False
    """Whether remote clients may not request it: it examines files of the ledger's machine, or authenticates them."""
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

    def facts_if_denied(self) -> dict[str, object]:
        """Return the facts of the request for the audit log if its token is not valid: no others are known then."""
        return {"operation": type(self).__name__}


def performer(kind: type[Operation[Any]]) -> ModuleType:
    """Return the module whose `perform` performs an operation of a kind: `perform` beside its `operations`.

    Beside `agent_operations` it is `agent_perform`. It is loaded at its first use.
    """
    return import_module(kind.__module__.removesuffix("operations") + "perform")


class Authority(Protocol):
    """An authority: it issues, verifies and revokes credentials, and records events."""

    def perform(self, operation: Operation[Result]) -> Result:
        """Perform an operation and return its answer; raise a `JitidError` if it fails."""

    def close(self) -> None:
        """Release the resources."""
