"""Checks of a remote authority's answers beyond their types, before a command relies on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn, cast

from jitid.errors import JitidError, StorageError
from jitid.values.declaration import FieldType
from jitid.values.field_types import choice, number

if TYPE_CHECKING:
    from jitid.operation.base import Operation, Result


def fitting(operation: Operation[Result], answer: Result) -> Result:
    """Return the answer if it fits the operation. A streamed answer is checked while it is read, also for its end.

    Raises:
        StorageError: the answer does not fit.

    """
    if operation.last_piece or operation.never_empty:
        return cast("Result", _complete(operation, cast("Iterable[Any]", answer)))
    if not operation.fits(answer):
        refuse(operation)
    return answer


def _complete(operation: Operation[Any], pieces: Iterable[Any]) -> Iterator[Any]:
    """Yield pieces; the last one, and no other, must be the end marker, or there must be one at all."""
    last = ""
    for piece in pieces:
        if operation.last_piece and last == operation.last_piece:
            refuse(operation)
        yield piece
        last = type(piece).__name__
    if last != operation.last_piece if operation.last_piece else not last:
        refuse(operation)


def add_aftermath(operation: Operation[Any], error: JitidError) -> None:
    """Add to an error that credentials may exist that no caller holds, and the command that lists them."""
    command = operation.aftermath() if error.unsure else None
    if command is not None:
        error.message += f"; what was made for it may be live: {command}"


def refuse(operation: Operation[Any], reason: str = "it is not whole") -> NoReturn:
    """Raise the error for an answer that does not fit its operation."""
    error = StorageError(
        f"the authority's answer to {type(operation).__name__} cannot be used: {reason}",
        "is --remote the address of an authority of this version? see: jitid doctor",
    )
    # A retry would give the same answer.
    error.retryable = False
    raise error


def _among(module: str, name: str) -> Callable[[], FieldType[Any]]:
    return lambda: choice(*getattr(import_module(f"jitid.{module}"), name))


def _of(module: str, name: str) -> Callable[[], FieldType[Any]]:
    return lambda: getattr(import_module(f"jitid.{module}"), name)


_RULE = _of("capabilities.sweep.operations", "RULE")

# Suppliers: a client loads only the modules of the records in its answer.
BY_FIELD: Mapping[str, Callable[[], FieldType[Any]]] = {
    "Access.ended_as": _among("model.access", "AccessState"),
    "Approval.ended_as": _among("model.approval", "ApprovalState"),
    "Breakdown.live": lambda: number(0),
    "Coverage.rule": _RULE,
    "Credential.ended_as": _among("model.credential", "State"),
    "Evidence.match": _among("capabilities.leak.trace_result", "MATCHES"),
    "Finding.rule": _RULE,
    "Remedied.rule": _RULE,
    "Sensitive.sensitivity": _of("model.types", "SENSITIVITY"),
    "Unfixed.rule": _RULE,
}
"""The types of fields, by their record. For other fields the annotation is enough."""


def type_of(label: str) -> FieldType[Any] | None:
    """Return the type of a field of an answer, named as `Record.field`; None if its annotation is enough."""
    supply = BY_FIELD.get(label)
    return None if supply is None else supply()
