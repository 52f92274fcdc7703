"""The JSON encoding of operations, answers and errors for network clients, derived from type annotations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

from jitid.authority.wire import answer_checks
from jitid.authority.wire.annotations import operations, result_of
from jitid.authority.wire.error_codec import decode_error, encode_error
from jitid.authority.wire.shape_of import item_of, record_of, shape_of
from jitid.authority.wire.shapes import Definitions, Schema, UnfitError
from jitid.errors import UsageError
from jitid.operation.base import Operation, Result
from jitid.values.text import quote

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
        answer_checks.refuse(operation, str(error))


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
