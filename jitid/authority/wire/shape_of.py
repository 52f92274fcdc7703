"""The JSON shape of each type, derived from annotations, for requests and for answers.

And checks of a remote authority's answers beyond their types, before a command relies on them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from enum import Enum
from functools import lru_cache, partial
from importlib import import_module
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, NewType, NoReturn, Union, cast, get_args, get_origin

from jitid.authority.wire.record_codec import (
    FindsShape,
    Given,
    KnownShape,
    PresentedSecret,
    RecordShape,
    Tagged,
    ZoneShape,
)
from jitid.authority.wire.shapes import (
    Absent,
    Anything,
    Array,
    Choice,
    Formed,
    MappingShape,
    Octets,
    OneOf,
    Plain,
    Row,
    WireField,
    WireShape,
    fields_of,
)
from jitid.errors import JitidError, StorageError
from jitid.operation.base import Operation
from jitid.values.declaration import Bounds, Declared, FieldType
from jitid.values.field_types import choice, number

if TYPE_CHECKING:
    from jitid.operation.base import Result


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


# Types have no common type.
# ruff: noqa: ANN401

_SPECIAL: Mapping[tuple[str, str], Callable[[], WireShape]] = {
    ("jitid.search.find", "Finds"): FindsShape,
    ("jitid.capabilities.sweep.finding", "KnownFindings"): KnownShape,
    ("datetime", "tzinfo"): ZoneShape,
}
"""Types that are not records, by module and name. Each module is loaded at its first use."""

_ARRAYS: Mapping[Any, Callable[..., Any]] = {
    tuple: tuple,
    list: list,
    Sequence: list,
    frozenset: frozenset,
    set: set,
    AbstractSet: frozenset,
}


_MAX_ITEMS = 1_000
"""Maximum number of values in a list of a request, unless the field has its own limit."""


@lru_cache(maxsize=1024)
def shape_of(kind: Any, *, request: bool) -> WireShape:
    """Return the JSON shape of a type. Raises TypeError if none is declared."""
    return _shape(WireField(kind), kind, request=request, label="")


def _shape(field: WireField, kind: Any, *, request: bool, label: str) -> WireShape:
    """Return the shape of the type of a field, or of a part of it.

    In a request every text and number needs a declared type; in an answer it is optional.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    inner_shape = partial(_shape, field, request=request, label=label)
    if isinstance(kind, NewType):
        return inner_shape(kind.__supertype__)
    if kind is Any:
        return Anything()
    if kind is None or kind is NoneType:
        return Plain(NoneType)
    if origin in (Union, UnionType):
        return _union(arguments, inner_shape, request=request)
    if origin is Literal:
        return Choice(arguments)
    if origin is tuple and not (len(arguments) == 2 and arguments[1] is Ellipsis):
        return Row([inner_shape(item) for item in arguments])
    if origin in _ARRAYS:
        bounds = field.bounds if request else Bounds()
        most = _MAX_ITEMS if request and label and bounds.most is None else bounds.most
        return Array(inner_shape(arguments[0]), _ARRAYS[origin], most, bounds.least)
    if origin in (dict, Mapping):
        return MappingShape(arguments[0], inner_shape(arguments[1]))
    if kind in (str, int, bytes):
        return _leaf(field, Octets() if kind is bytes else Plain(kind), request=request, label=label)
    if kind is bool:
        return Plain(bool)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return Choice(kind)
    if (kind.__module__, kind.__name__) == ("jitid.values.secret", "Secret"):
        return PresentedSecret() if request else Given()
    special = _SPECIAL.get((kind.__module__, kind.__name__))
    return special() if special else record_of(kind, request=request)


def _leaf(field: WireField, plain: WireShape, *, request: bool, label: str) -> WireShape:
    type_ = field.type if request else type_of(label)
    if request and type_ is None:
        raise TypeError(f"{label} has no declared type")
    return plain if type_ is None else Formed(plain, type_.check, type_.schema)


def _union(arms: Sequence[Any], inner_shape: Callable[[Any], WireShape], *, request: bool) -> WireShape:
    records = [arm for arm in arms if hasattr(arm, "_fields")]
    if len(records) > 1:
        tags = {arm: _tag(arm.__name__) for arm in records}
        return Tagged({arm: (tag, record_of(arm, request=request, tag=tag)) for arm, tag in tags.items()})
    # A sentinel for "not provided", such as `Keep`, is an enumeration with one member.
    absent = {
        arm: Absent() for arm in arms if isinstance(arm, type) and issubclass(arm, Enum) and len(arm) == 1
    }
    return OneOf({_class_of(arm): absent.get(arm) or inner_shape(arm) for arm in arms})


def _class_of(kind: Any) -> type:
    if isinstance(kind, NewType):
        return _class_of(kind.__supertype__)
    origin = get_origin(kind) or kind
    return NoneType if origin is None else origin


def _tag(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


def record_of(kind: Any, *, request: bool, tag: str | None = None) -> Any:
    """Return the shape of a record or an operation; a request may have a separate form."""
    return _record_of(kind, request, tag)


@lru_cache(maxsize=1024)
def _record_of(kind: Any, request: bool, tag: str | None) -> Any:
    fields = fields_of(kind)
    if issubclass(kind, Declared):
        defaults = {
            name: field.default
            for name, field in kind.fields.items()
            if name in fields and not field.required
        }
    elif hasattr(kind, "_field_defaults"):
        defaults = kind._field_defaults
    else:
        raise TypeError(f"{kind.__name__} has no declared form in JSON")
    record = RecordShape(
        _called(kind, request=request, tagged=tag is not None),
        kind,
        {
            name: partial(_shape, field, field.kind, request=request, label=f"{kind.__name__}.{name}")
            for name, field in fields.items()
            if not (request and field.authority_only)
        },
        defaults,
        request=request,
        tag=tag,
    )
    check = getattr(kind, "checked_request" if request else "checked_answer", None)
    return record if check is None else Formed(record, check, {})


_SCHEMAS = {
    "AccessRequest": "Wanted",
    "ChangedInput": "Difference",
    "ClosedLeaks": "LeaksClosed",
    "DecisionChange": "ReplayingChange",
    "DelegatorChange": "ComparingChange",
    "DirectoryFacts": "Standing",
    "EndedByEvent": "Over",
    "ForeseenFix": "Foreseen",
    "KeptAgent": "Kept",
    "LeakPlaces": "Places",
    "MadeAfterLeak": "Made",
    "NameGroup": "Sort",
    "PolicyOutcome": "Outcome",
    "RecordedUse": "UseUse",
    "RecordedUses": "Recorded",
    "ReportedLeaks": "Reported",
    "RosterSource": "Source",
    "SecretReplacement": "Replacement",
    "SecretShape": "Shape",
    "SeenPlace": "Seen",
    "SettledTargets": "Settled",
    "StatedAgent": "RegistryStated",
    "StatedDelegator": "StatedStated",
    "SurveyedUse": "SurveyUse",
    "TargetRecord": "Record",
    "Thresholds": "Limits",
    "UseRequest": "Asked",
    "UseVerdict": "AuthorizationVerdict",
    "WithdrawnAgent": "Withdrawn",
}
"""Names of schemas that differ from the names of their classes: clients use these names."""


def _called(kind: type, *, request: bool, tagged: bool) -> str:
    """Return the name of a record's schema; it differs between requests and answers."""
    name = _SCHEMAS.get(kind.__name__, kind.__name__)
    if tagged:
        return f"{name}Piece"
    return f"{name}Given" if request and not issubclass(kind, Operation) else name


def item_of(kind: Any) -> Any | None:
    """Return the type of the pieces if a type is that of an iterator; otherwise None."""
    return get_args(kind)[0] if get_origin(kind) is Iterator else None
