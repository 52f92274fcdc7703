"""What an answer of an authority elsewhere must be besides of its type, before a command relies on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NoReturn, cast

from jitid.authority import operations as ops
from jitid.authority import target_operations as targets
from jitid.authority import token_operations as tokens
from jitid.authority.operations import Operation, Result
from jitid.errors import StorageError


def fitting(operation: Operation[Result], result: Result) -> Result:
    """Return an answer, which must be one to this operation; one that comes in pieces must have an end.

    Raises:
        StorageError: it is not.

    """
    match operation:
        case ops.Issue(requests=requests, dry_run=dry_run):
            issued = cast("list[Any]", result)
            _must(len(issued) == len(requests), operation)
            for request, one in zip(requests, issued, strict=True):
                _must(len(one.credentials) == (0 if dry_run else request.copies), operation)
        case ops.Renew() | targets.Attach() | tokens.Exchange():
            _must(len(cast("Any", result).credentials) == 1, operation)
        case ops.PublishKeys():
            _must(type(cast("Any", result).get("keys")) is list, operation)
        case ops.SignHead():
            # RFC 7515, section 3.1.
            _must(cast("str", result).count(".") == 2, operation)
        case ops.Sweep():
            return cast("Result", _ended(operation, cast("Iterable[Any]", result)))
        case ops.ExportLog():
            return cast("Result", _begun(operation, cast("Iterable[Any]", result)))
        case _:
            pass
    return result


def _ended(operation: Operation[Any], pieces: Iterable[Any]) -> Iterator[Any]:
    """Yield pieces of which the last one says that it is."""
    from jitid.sweep.finding import Swept

    last: Any = None
    for piece in pieces:
        _must(not isinstance(last, Swept), operation)
        yield piece
        last = piece
    _must(isinstance(last, Swept), operation)


def _begun(operation: Operation[Any], pieces: Iterable[Any]) -> Iterator[Any]:
    """Yield pieces, of which there is one at least."""
    begun = False
    for piece in pieces:
        yield piece
        begun = True
    _must(begun, operation)


def _must(fits: bool, operation: Operation[Any]) -> None:
    if not fits:
        refuse(operation)


def refuse(operation: Operation[Any], why: str = "it is not whole") -> NoReturn:
    """Raise the error for an answer that does not fit its operation."""
    error = StorageError(
        f"the authority's answer to {type(operation).__name__} cannot be used: {why}",
        "is --remote the address of an authority of this version? see: jitid doctor",
    )
    # The same answer would come again.
    error.retryable = False
    raise error
