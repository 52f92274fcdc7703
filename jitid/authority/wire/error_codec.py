"""Errors as JSON, complete enough for a remote client to exit like a local command."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from jitid import errors
from jitid.errors import ApprovalNeededError, ExitStatus, JitidError, StorageError

_SORTS: Mapping[str, tuple[str, str]] = {
    "busy": ("jitid.errors", "BusyError"),
    "disk": ("jitid.errors", "DiskError"),
    "clock": ("jitid.errors", "ClockError"),
    "damaged": ("jitid.errors", "DamagedError"),
    "too_many": ("jitid.capabilities.identity.revocation", "TooManyError"),
    "unreadable_head": ("jitid.capabilities.audit.audit_log", "UnreadableHeadError"),
}
"""Error classes that share a code, but commands treat differently: module and class."""

_CODES: Mapping[str, type[JitidError]] = {
    kind.code: kind
    for kind in (
        errors.UsageError,
        errors.ConfigurationError,
        errors.NewerSchemaError,
        errors.NotFoundError,
        errors.PolicyDeniedError,
        StorageError,
        errors.RefusedError,
        errors.ShownError,
        errors.UnauthenticatedError,
        errors.IntegrityError,
        errors.InvalidCredentialError,
        errors.PresenterError,
        errors.PartialError,
    )
}


def encode_error(error: JitidError) -> dict[str, Any]:
    """Return the document of an error: code, message, hint, whether a retry may help, and the exit status."""
    told: dict[str, Any] = {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "retryable": error.retryable,
        "exit": int(error.exit_status),
    }
    sort = next((name for name, (_, kind) in _SORTS.items() if type(error).__name__ == kind), None)
    if sort is not None:
        told["sort"] = sort
    if error.unsure:
        told["unsure"] = True
    if error.position is not None:
        told["position"] = error.position
    if isinstance(error, ApprovalNeededError):
        told["approval"] = {
            "requests": list(error.requests),
            "groups": list(error.groups),
            "missing": list(error.missing),
            "asking": list(error.asking),
        }
    if isinstance(error, errors.PolicyDeniedError) and "rules" in error.facts:
        told["rules"] = list(error.facts["rules"])
    return {"error": told}


def decode_error(document: object) -> JitidError:
    """Return the error in a document; for an invalid document, an error that the answer is not from jitid."""
    told = document.get("error") if isinstance(document, Mapping) else None
    if not isinstance(told, Mapping) or not isinstance(told.get("message"), str):
        return StorageError(
            "the authority's answer is none of jitid", "is the address of --remote right, and no proxy's?"
        )
    message = told["message"]
    hint = told["hint"] if isinstance(told.get("hint"), str) else None
    error = _made(told, message, hint)
    position = told.get("position")
    error.position = position if type(position) is int else None
    if isinstance(told.get("code"), str):
        error.code = told["code"]
    if type(told.get("exit")) is int and told["exit"] in _STATUSES:
        error.exit_status = ExitStatus(told["exit"])
    if error.exit_status is ExitStatus.BUG:
        # A bug of the server is not a bug of the client: for the client the server is unavailable.
        error.exit_status = ExitStatus.STORAGE
        # The server may have performed a part of the operation.
        error.unsure = True
    if told.get("unsure") is True:
        error.unsure = True
    error.retryable = told.get("retryable") is True
    return error


_BY_STATUS: Mapping[int, type[JitidError]] = {
    kind.exit_status: kind
    for kind in (
        errors.UsageError,
        errors.NotFoundError,
        errors.PolicyDeniedError,
        StorageError,
        errors.RefusedError,
        errors.IntegrityError,
        errors.InvalidCredentialError,
        errors.PartialError,
    )
}

_STATUSES = frozenset(status for status in ExitStatus if status <= ExitStatus.INCOMPLETE and status != 0)
"""Exit statuses of operations. A server must not choose a status that describes the client's own process."""


def _made(told: Mapping[str, Any], message: str, hint: str | None) -> JitidError:
    approval = told.get("approval")
    if told.get("code") == ApprovalNeededError.code and isinstance(approval, Mapping):
        error = ApprovalNeededError(
            message,
            hint,
            {"rules": _texts(told.get("rules"))},
            exact=b"",
            groups=_texts(approval.get("groups")),
            asking=_texts(approval.get("asking")),
        )
        error.missing = _texts(approval.get("missing"))
        error.requests = _texts(approval.get("requests"))
        return error
    code, sort = told.get("code"), told.get("sort")
    if isinstance(sort, str) and sort in _SORTS:
        module, name = _SORTS[sort]
        kind: type[JitidError] = getattr(import_module(module), name)
        return kind(message, hint)
    if code == errors.PolicyDeniedError.code:
        return errors.PolicyDeniedError(message, hint, {"rules": _texts(told.get("rules"))})
    # For an unknown code, the exit status selects the class of the error.
    status = told.get("exit")
    by_status = _BY_STATUS.get(status, JitidError) if type(status) is int else JitidError
    return (_CODES.get(code, by_status) if isinstance(code, str) else by_status)(message, hint)


def _texts(raw: object) -> tuple[str, ...]:
    return tuple(each for each in raw if isinstance(each, str)) if isinstance(raw, list) else ()
