"""Operations, their answers and errors as JSON, for those who ask over a network: all by the types' annotations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

from jitid.authority.wire import answer_checks, field_table
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
    """Return the names of the operations that may be asked for from elsewhere."""
    return [name for name in operations() if name not in field_table.LOCAL]


def encode_operation(operation: Operation[Any]) -> dict[str, Any]:
    """Return the values of an operation as JSON has them; what is as it is unless it is said is left out.

    Raises:
        UsageError: it cannot be asked for from elsewhere.

    """
    kind = type(operation)
    if kind.__name__ in field_table.LOCAL:
        raise UsageError(f"{kind.__name__} is only for whoever is beside the ledger")
    return cast("dict[str, Any]", record_of(kind, request=True).encode(operation))


def decode_operation(name: str, values: object) -> Operation[Any]:
    """Return the operation of that name with these values, each held to the form that its field demands.

    Raises:
        UsageError: there is no such operation, a value is unknown, missing, or not as it has to be. The message
            repeats no value, which may be a secret.

    """
    kind = operations().get(name)
    if kind is None or name in field_table.LOCAL:
        raise UsageError(f"there is no operation {quote(name)}", "see the OpenAPI document: /v1/openapi.json")
    try:
        return cast("Operation[Any]", record_of(kind, request=True).decode(values))
    except UnfitError as error:
        raise UsageError(str(error), error.hint) from None


def streams(kind: type[Operation[Any]]) -> bool:
    """Tell whether the answer to such operations comes piece by piece."""
    return item_of(result_of(kind)) is not None


def encode_result(operation: Operation[Result], result: Result) -> Any:
    """Return an answer as JSON has it; of one that comes piece by piece an iterator of the pieces."""
    kind = result_of(type(operation))
    item = item_of(kind)
    if item is not None:
        return map(shape_of(item, request=False).encode, cast("Iterator[Any]", result))
    return shape_of(kind, request=False).encode(result)


def decode_result(operation: Operation[Result], document: Any) -> Result:
    """Return an answer out of what `encode_result` made of it; of pieces an iterator.

    Raises:
        StorageError: it is not an answer to such an operation: the other side is of another version, or no authority.

    """
    kind = result_of(type(operation))
    item = item_of(kind)
    if item is not None:
        return cast("Result", (_decoded(operation, item, each) for each in document))
    return cast("Result", _decoded(operation, kind, document))


def _decoded(operation: Operation[Any], kind: Any, document: Any) -> Any:
    try:
        return shape_of(kind, request=False).decode(document)
    except UnfitError as error:
        answer_checks.refuse(operation, str(error))


def schema_of(name: str, definitions: Definitions) -> tuple[Schema, Schema]:
    """Return the JSON Schemas of an operation's request and of its answer, or of a piece of that.

    `definitions` takes the schemas of the records in them, which are referred to as OpenAPI 3.1 has it.
    """
    kind = operations()[name]
    answer = result_of(kind)
    item = item_of(answer)
    return (
        record_of(kind, request=True).schema(definitions),
        shape_of(answer if item is None else item, request=False).schema(definitions),
    )


def described(name: str) -> str:
    """Return what an operation does, in a sentence."""
    return (operations()[name].__doc__ or "").partition("\n")[0]
