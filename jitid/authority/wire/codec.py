"""Operations, answers and errors as JSON for network clients, derived from type annotations.

The types come from the annotations of operations and records, also types for the type checker only.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from enum import Enum
from functools import lru_cache, partial
from importlib import import_module
from pkgutil import iter_modules
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NewType,
    NoReturn,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from jitid import capabilities, errors
from jitid.authority.wire.shapes import (
    Absent,
    Anything,
    Array,
    Choice,
    Definitions,
    FindsShape,
    Formed,
    Given,
    KnownShape,
    MappingShape,
    Octets,
    OneOf,
    Plain,
    PresentedSecret,
    RecordShape,
    Row,
    Schema,
    Tagged,
    UnfitError,
    WireShape,
    ZoneShape,
)
from jitid.errors import ApprovalNeededError, ExitStatus, JitidError, StorageError, UsageError
from jitid.operation.base import Answering, Operation, Result
from jitid.values.declaration import AuthorityOnly, Bounds, Declared, FieldType
from jitid.values.field_types import choice, number
from jitid.values.record import Record
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
    "omits",
    "schema_of",
    "streams",
]

# Values of every annotated type are encoded, and JSON may be anything.
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
        raise UsageError(f"{kind.__name__} is available only on the machine of the ledger")
    return cast("dict[str, Any]", record_of(kind, request=True).encode(operation))


def omits(operation: Operation[Any], values: dict[str, Any], refusal: str) -> bool:
    """Remove the member that an older authority lacks, by its refusal; return whether the request can do without it."""
    unknown = [path for path in operation.dispensable if f" no member `{path[-1]}`" in refusal]
    return any(_remove(values, path) for path in unknown)


def _remove(value: Any, path: Sequence[str]) -> bool:
    if isinstance(value, list):
        return sum(_remove(each, path) for each in value) > 0
    if len(path) > 1:
        return _remove(value.get(path[0], {}), path[1:])
    return value.pop(path[0], None) is not None


def decode_operation(name: str, values: object) -> Operation[Any]:
    """Return the operation with this name and these values, each checked against the form of its field.

    Raises:
        UsageError: there is no such operation, or a value is unknown, missing or invalid. The message contains no
            value, since it may be a secret.

    """
    kind = operations().get(name)
    if kind is None or kind.local:
        raise UsageError(f"unknown operation {quote(name)}", "see the OpenAPI document: /v1/openapi.json")
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
    kind = operations()[name]
    return kind.summary or (kind.__doc__ or "").partition("\n")[0]


def refuse(operation: Operation[Any], reason: str = "it is incomplete") -> NoReturn:
    """Raise the error for an answer that does not fit its operation."""
    error = StorageError(
        f"the authority's answer to {type(operation).__name__} is invalid: {reason}",
        "is --remote the address of an authority of this version? see: jitid doctor",
    )
    # A retry would give the same answer.
    error.retryable = False
    raise error


@lru_cache(maxsize=1)
def operations() -> Mapping[str, type[Operation[Any]]]:
    """Return all operations by their names: those of each `operations.py`, and `..._operations.py`, of a capability."""
    modules = [
        import_module(module.name)
        for folder in iter_modules(capabilities.__path__, "jitid.capabilities.")
        for module in iter_modules(import_module(folder.name).__path__, f"{folder.name}.")
        if module.name.endswith("operations")
    ]
    return {
        kind.__name__: kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type)
        and issubclass(kind, Operation)
        and kind.__module__ == module.__name__
        # A base class of operations is not an operation.
        and not kind.__subclasses__()
    }


class WireField(Record):
    """The declaration of a field, as far as it concerns requests and answers."""

    kind: Any
    """Its Python type."""
    type: FieldType[Any] | None = None
    """The type of its texts and numbers; None if it has none, or if nothing restricts them."""
    bounds: Bounds = Bounds()
    authority_only: bool = False


@lru_cache(maxsize=256)
def fields_of(cls: type) -> Mapping[str, WireField]:
    """Return the fields of a record or an operation, by their names in their order."""
    if issubclass(cls, Declared):
        return {
            name: WireField(
                _evaluated(cls, name), field.type, Bounds(field.least, field.most), field.authority_only
            )
            for name, field in cls.fields.items()
            if not field.local
        }
    hints = get_type_hints(cls, globalns={}, localns=_names_in(cls.__module__), include_extras=True)
    return {name: _annotated(hints[name]) for name in cls.__annotations__}


def _evaluated(cls: type, name: str) -> Any:
    owner = next(base for base in cls.__mro__ if name in vars(base).get("__annotations__", ()))
    return eval(vars(owner)["__annotations__"][name], {}, _names_in(owner.__module__))  # noqa: S307 - the text is an annotation in a module of jitid, no input


def _annotated(hint: Any) -> WireField:
    if get_origin(hint) is not Annotated:
        return WireField(hint)
    kind, *details = get_args(hint)
    return WireField(
        kind,
        next((each for each in details if isinstance(each, FieldType)), None),
        next((each for each in details if isinstance(each, Bounds)), Bounds()),
        any(isinstance(each, AuthorityOnly) for each in details),
    )


def result_of(operation: type[Operation[Any]]) -> Any:
    """Return the type of an operation's answer."""
    base: Answering = operation.__orig_bases__[-1]  # type: ignore[attr-defined] # set by `Answering.__mro_entries__`, which mypy cannot follow
    if not isinstance(base.result, str):
        return base.result
    return eval(base.result, {}, _names_in(operation.__module__))  # noqa: S307 - the text is an annotation in a module of jitid, no input


class _Names(dict[str, Any]):
    """The names of a module. Imports for the type checker only are loaded when they are first looked up."""

    def __init__(self, module: str) -> None:
        super().__init__(vars(sys.modules[module]))
        self._elsewhere = dict(_typing_imports(str(sys.modules[module].__file__)))

    def __missing__(self, name: str) -> Any:
        module, original = self._elsewhere[name]
        self[name] = member = getattr(import_module(module), original)
        return member


@lru_cache(maxsize=256)
def _names_in(module: str) -> dict[str, Any]:
    return _Names(module)


_BLOCK = re.compile(r"^if TYPE_CHECKING:\n((?:    .*\n|\n)+)", re.MULTILINE)
_IMPORT = re.compile(r"^    from ([\w.]+) import (?:\(([^)]*)\)|(.*))$", re.MULTILINE)


def _typing_imports(path: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield a file's imports for the type checker only: the name, and the module and name that it stands for."""
    with open(path, encoding="utf-8") as file:
        source = file.read()
    # Not by `ast`: parsing a module would take as long as importing it.
    for block in _BLOCK.findall(source):
        for module, listed, line in _IMPORT.findall(block):
            for name in re.sub(r"#.*", "", listed or line).split(","):
                if name.strip():
                    original, _, alias = name.strip().partition(" as ")
                    yield alias or original, (module, original)


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
            "the answer is not from an authority of jitid",
            "is --remote the address of an authority, and not of a proxy?",
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
