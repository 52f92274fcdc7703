"""The JSON encoding of operations, answers and errors for network clients, derived from type annotations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any, cast

from jitid import errors
from jitid.authority.wire.shape_of import item_of, record_of, refuse, shape_of
from jitid.authority.wire.shapes import Definitions, Schema, UnfitError, operations, result_of
from jitid.errors import ApprovalNeededError, ExitStatus, JitidError, StorageError, UsageError
from jitid.operation.base import Operation, Result
from jitid.values.text import quote

_ERROR_TYPES: Mapping[str, tuple[str, str]] = {
    "busy": ("jitid.errors", "BusyError"),
    "disk": ("jitid.errors", "DiskError"),
    "clock": ("jitid.errors", "ClockError"),
    "damaged": ("jitid.errors", "DamagedError"),
    "too_many": ("jitid.capabilities.identity.revocation_result", "TooManyError"),
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


__all__ = [
    "decode_error",
    "decode_operation",
    "decode_result",
    "described",
    "encode_error",
    "encode_operation",
    "encode_result",
    "names",
    "schema_of",
    "streams",
]

# JSON may be anything.
# ruff: noqa: ANN401


def names() -> Iterable[str]:
    """Return the names of the operations that remote clients may request."""
    return [name for name, kind in operations().items() if not kind.local]


def encode_operation(operation: Operation[Any]) -> dict[str, Any]:
    """Return the values of an operation as JSON, without fields equal to their default.

    Raises:
        UsageError: remote clients may not request it.

    """
    kind = type(operation)
    if kind.local:
        raise UsageError(f"{kind.__name__} is only for whoever is beside the ledger")
    return cast("dict[str, Any]", record_of(kind, request=True).encode(operation))


def decode_operation(name: str, values: object) -> Operation[Any]:
    """Return the operation with this name and these values, each checked against the form of its field.

    Raises:
        UsageError: there is no such operation, or a value is unknown, missing or invalid. The message contains no
            value, since it may be a secret.

    """
    kind = operations().get(name)
    if kind is None or kind.local:
        raise UsageError(f"there is no operation {quote(name)}", "see the OpenAPI document: /v1/openapi.json")
    try:
        return cast("Operation[Any]", record_of(kind, request=True).decode(values))
    except UnfitError as error:
        raise UsageError(str(error), error.hint) from None


def streams(kind: type[Operation[Any]]) -> bool:
    """Return whether the answer to this kind of operation is streamed."""
    return item_of(result_of(kind)) is not None


def encode_result(operation: Operation[Result], result: Result) -> Any:
    """Return an answer as JSON; for a streamed answer, an iterator of its pieces."""
    kind = result_of(type(operation))
    item = item_of(kind)
    if item is not None:
        return map(shape_of(item, request=False).encode, cast("Iterator[Any]", result))
    return shape_of(kind, request=False).encode(result)


def decode_result(operation: Operation[Result], document: Any) -> Result:
    """Return the answer that `encode_result` encoded; for a streamed answer, an iterator of its pieces.

    Raises:
        StorageError: it is not an answer to this operation: the server has another version, or is not an authority.

    """
    kind = result_of(type(operation))
    item = item_of(kind)
    if item is not None:
        return cast("Result", (_decoded(operation, item, piece) for piece in document))
    return cast("Result", _decoded(operation, kind, document))


def _decoded(operation: Operation[Any], kind: Any, document: Any) -> Any:
    try:
        return shape_of(kind, request=False).decode(document)
    except UnfitError as error:
        refuse(operation, str(error))


def schema_of(name: str, definitions: Definitions) -> tuple[Schema, Schema]:
    """Return the JSON Schemas of an operation's request and of its answer, or of one piece of a streamed answer.

    `definitions` receives the schemas of nested records, with references as in OpenAPI 3.1.
    """
    kind = operations()[name]
    answer = result_of(kind)
    item = item_of(answer)
    return (
        record_of(kind, request=True).schema(definitions),
        shape_of(answer if item is None else item, request=False).schema(definitions),
    )


def described(name: str) -> str:
    """Return a one-sentence description of an operation."""
    return (operations()[name].__doc__ or "").partition("\n")[0]
