"""Checks of a remote authority's answers beyond their types, before a command relies on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn, cast

from jitid.capabilities.access import operations as accesses
from jitid.capabilities.integrity import operations as integrity_operations
from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.issue import token_operations as tokens
from jitid.capabilities.sweep import operations as sweep_operations
from jitid.capabilities.trust import operations as trust_operations
from jitid.errors import JitidError, StorageError
from jitid.model.credential import PARTS, SHOWN
from jitid.operation.base import Operation, Result

if TYPE_CHECKING:
    from jitid.capabilities.access.grant import Granted
    from jitid.capabilities.issue.issuance import Issued


def fitting(operation: Operation[Result], result: Result) -> Result:
    """Return the answer if it fits the operation. A streamed answer is checked while it is read, also for its end.

    Raises:
        StorageError: the answer does not fit.

    """
    match operation:
        case issue_operations.Issue(requests=requests, dry_run=dry_run):
            issued = cast("list[Any]", result)
            _must(len(issued) == len(requests), operation)
            for request, issuance in zip(requests, issued, strict=True):
                _must(len(issuance.credentials) == (0 if dry_run else request.copies), operation)
                _must(issuance.kind == request.kind, operation)
                _whole(operation, issuance)
        case issue_operations.Renew() | issue_operations.Attach() | tokens.Exchange():
            _must(len(cast("Issued", result).credentials) == 1, operation)
            _whole(operation, cast("Issued", result))
        case accesses.GrantAccess() | accesses.RotateAccess():
            secret = cast("Granted", result).secret
            _must(secret is None or secret.names == ("token",), operation)
        case integrity_operations.ReadLog():
            _must(all(map(_is_event, cast("list[Any]", result))), operation)
        case integrity_operations.FollowLog():
            _must(all(map(_is_event, cast("Any", result).events)), operation)
        case trust_operations.PublishKeys():
            _must(type(cast("Any", result).get("keys")) is list, operation)
        case integrity_operations.SignHead():
            # RFC 7515, section 3.1.
            _must(cast("str", result).count(".") == 2, operation)
        case sweep_operations.Sweep():
            return cast("Result", _ended(operation, cast("Iterable[Any]", result)))
        case integrity_operations.ExportLog():
            return cast("Result", _begun(operation, cast("Iterable[Any]", result)))
        case _:
            pass
    return result


def _whole(operation: Operation[Any], issued: Issued) -> None:
    """Refuse a credential that lacks a part of its kind. The key may be missing: the client may have its own."""
    needed = {"token"} if issued.kind in SHOWN else {*PARTS.get(issued.kind, ())} - {"key"}
    for credential in issued.credentials:
        _must(needed <= set(credential.secret.names), operation)


def _is_event(document: dict[str, Any]) -> bool:
    return type(document.get("seq")) is int and type(document.get("at")) is int


def _ended(operation: Operation[Any], pieces: Iterable[Any]) -> Iterator[Any]:
    """Yield pieces; the last one must be the end marker `Swept`."""
    from jitid.capabilities.sweep.finding import Swept

    last_piece: Any = None
    for piece in pieces:
        _must(not isinstance(last_piece, Swept), operation)
        yield piece
        last_piece = piece
    _must(isinstance(last_piece, Swept), operation)


def _begun(operation: Operation[Any], pieces: Iterable[Any]) -> Iterator[Any]:
    """Yield pieces; there must be at least one."""
    begun = False
    for piece in pieces:
        yield piece
        begun = True
    _must(begun, operation)


def _must(fits: bool, operation: Operation[Any]) -> None:
    if not fits:
        refuse(operation)


def aftermath(operation: Operation[Any]) -> str | None:
    """Return the command that lists the results of an operation whose answer is unusable; None if it creates nothing.

    The authority may have created credentials that no caller holds.
    """
    match operation:
        case issue_operations.Issue(dry_run=True):
            return None
        case issue_operations.Issue(requests=requests):
            tasks = {request.task for request in requests}
            task = next(iter(tasks)) if len(tasks) == 1 else None
            return "jitid list --live" + ("" if task is None else f" --task {task}")
        case issue_operations.Renew() | issue_operations.Attach() | tokens.Exchange():
            return "jitid list --live"
        case accesses.GrantAccess() | accesses.RotateAccess():
            return "jitid access list"
        case _:
            return None


def add_aftermath(operation: Operation[Any], error: JitidError) -> None:
    """Add to an error that credentials may exist that no caller holds, and the command that lists them."""
    command = aftermath(operation) if error.unsure else None
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
