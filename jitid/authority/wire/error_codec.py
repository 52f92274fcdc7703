"""Errors as JSON, complete enough for a remote client to exit like a local command."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from jitid import errors
from jitid.errors import ApprovalNeededError, ExitStatus, JitidError, StorageError

_ERROR_TYPES: Mapping[str, tuple[str, str]] = {
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
    document: dict[str, Any] = {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "retryable": error.retryable,
        "exit": int(error.exit_status),
    }
    type_name = next((name for name, (_, kind) in _ERROR_TYPES.items() if type(error).__name__ == kind), None)
    if type_name is not None:
        document["sort"] = type_name
    if error.unsure:
        document["unsure"] = True
    if error.position is not None:
        document["position"] = error.position
    if isinstance(error, ApprovalNeededError):
        document["approval"] = {
            "requests": list(error.requests),
            "groups": list(error.groups),
            "missing": list(error.missing),
            "asking": list(error.approval_rules),
        }
    if isinstance(error, errors.PolicyDeniedError) and "rules" in error.facts:
        document["rules"] = list(error.facts["rules"])
    return {"error": document}


def decode_error(document: object) -> JitidError:
    """Return the error in a document; for an invalid document, an error that the answer is not from jitid."""
    facts = document.get("error") if isinstance(document, Mapping) else None
    if not isinstance(facts, Mapping) or not isinstance(facts.get("message"), str):
        return StorageError(
            "the authority's answer is none of jitid", "is the address of --remote right, and no proxy's?"
        )
    message = facts["message"]
    hint = facts["hint"] if isinstance(facts.get("hint"), str) else None
    error = _made(facts, message, hint)
    position = facts.get("position")
    error.position = position if type(position) is int else None
    if isinstance(facts.get("code"), str):
        error.code = facts["code"]
    if type(facts.get("exit")) is int and facts["exit"] in _STATUSES:
        error.exit_status = ExitStatus(facts["exit"])
    if error.exit_status is ExitStatus.BUG:
        # A bug of the server is not a bug of the client: for the client the server is unavailable.
        error.exit_status = ExitStatus.STORAGE
        # The server may have performed a part of the operation.
        error.unsure = True
    if facts.get("unsure") is True:
        error.unsure = True
    error.retryable = facts.get("retryable") is True
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


def _made(facts: Mapping[str, Any], message: str, hint: str | None) -> JitidError:
    approval = facts.get("approval")
    if facts.get("code") == ApprovalNeededError.code and isinstance(approval, Mapping):
        error = ApprovalNeededError(
            message,
            hint,
            {"rules": _texts(facts.get("rules"))},
            exact=b"",
            groups=_texts(approval.get("groups")),
            approval_rules=_texts(approval.get("asking")),
        )
        error.missing = _texts(approval.get("missing"))
        error.requests = _texts(approval.get("requests"))
        return error
    code, type_name = facts.get("code"), facts.get("sort")
    if isinstance(type_name, str) and type_name in _ERROR_TYPES:
        module, name = _ERROR_TYPES[type_name]
        kind: type[JitidError] = getattr(import_module(module), name)
        return kind(message, hint)
    if code == errors.PolicyDeniedError.code:
        return errors.PolicyDeniedError(message, hint, {"rules": _texts(facts.get("rules"))})
    # For an unknown code, the exit status selects the class of the error.
    status = facts.get("exit")
    by_status = _BY_STATUS.get(status, JitidError) if type(status) is int else JitidError
    return (_CODES.get(code, by_status) if isinstance(code, str) else by_status)(message, hint)


def _texts(raw: object) -> tuple[str, ...]:
    return tuple(text for text in raw if isinstance(text, str)) if isinstance(raw, list) else ()
