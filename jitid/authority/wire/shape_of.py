"""The JSON shape of each type, derived from annotations, for requests and for answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from enum import Enum
from functools import lru_cache, partial
from types import NoneType, UnionType
from typing import Any, Literal, NewType, Union, get_args, get_origin

from jitid.authority.wire import answer_fields, field_table
from jitid.authority.wire.annotations import fields_of
from jitid.authority.wire.fields import MOST_ITEMS
from jitid.authority.wire.record_codec import FindsShape, KnownShape, RecordShape, Tagged, ZoneShape
from jitid.authority.wire.secret_values import Given, PresentedSecret
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
    WireShape,
)
from jitid.operation.base import Operation

# Types have no common type.
# ruff: noqa: ANN401

_SPECIAL: Mapping[tuple[str, str], Callable[[], WireShape]] = {
    ("jitid.search.find", "Finds"): FindsShape,
    ("jitid.capabilities.sweep.known_findings", "KnownFindings"): KnownShape,
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


@lru_cache(maxsize=1024)
def shape_of(kind: Any, *, request: bool) -> WireShape:
    """Return the JSON shape of a type. Raises TypeError if none is declared."""
    return _shape(kind, request=request, owner=None, field="")


def _shape(kind: Any, *, request: bool, owner: type | None, field: str) -> WireShape:
    """Return the shape of the type of a field of `owner`.

    In a request every text and number needs a declared form; in an answer the form is optional.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    inner_shape = partial(_shape, request=request, owner=owner, field=field)
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
        min_items, max_items = 0, None
        if request and owner is not None:
            max_items = field_table.MOST.get(f"{owner.__name__}.{field}", MOST_ITEMS)
            min_items = field_table.LEAST.get(f"{owner.__name__}.{field}", 0)
        return Array(inner_shape(arguments[0]), _ARRAYS[origin], max_items, min_items)
    if origin in (dict, Mapping):
        return MappingShape(arguments[0], inner_shape(arguments[1]))
    if kind in (str, int, bytes):
        plain: WireShape = Octets() if kind is bytes else Plain(kind)
        form = answer_fields.form_of(owner, field) if owner is not None and not request else None
        return _formed(plain, owner, field) if request else plain if form is None else Formed(plain, form)
    if kind is bool:
        return Plain(bool)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return Choice(kind)
    if (kind.__module__, kind.__name__) == ("jitid.values.secret", "Secret"):
        return PresentedSecret() if request else Given()
    special = _SPECIAL.get((kind.__module__, kind.__name__))
    return special() if special else record_of(kind, request=request)


def _formed(plain: WireShape, owner: type | None, field: str) -> WireShape:
    form = None if owner is None else field_table.form_of(owner, field)
    if form is None:
        raise TypeError(f"nobody has said what may stand in {owner and owner.__name__}.{field}")
    return Formed(plain, form)


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
    if issubclass(kind, Operation):
        defaults = {name: getattr(kind, name) for name in fields if hasattr(kind, name)}
    elif hasattr(kind, "_field_defaults"):
        defaults = kind._field_defaults
    else:
        raise TypeError(f"nobody has said how {kind.__name__} travels")
    record = RecordShape(
        _called(kind, request=request, tagged=tag is not None),
        kind,
        {
            field: partial(_shape, hint, request=request, owner=kind, field=field)
            for field, hint in fields.items()
        },
        defaults,
        request=request,
        tag=tag,
        kept_back=field_table.KEPT_BACK.get(field_table.owned(kind), frozenset()) if request else frozenset(),
    )
    whole = (field_table.WHOLE if request else answer_fields.WHOLE).get(field_table.owned(kind))
    return record if whole is None else Formed(record, whole)


_SCHEMAS = {
    "aftermath.EndedByEvent": "Over",
    "aftermath.MadeAfterLeak": "Made",
    "authorization.UseRequest": "Asked",
    "authorization.UseVerdict": "AuthorizationVerdict",
    "decision.PolicyOutcome": "Outcome",
    "explanation.ChangedInput": "Difference",
    "grant.AccessRequest": "Wanted",
    "import_delegators.NameGroup": "Sort",
    "import_delegators.RosterSource": "Source",
    "leak.LeakPlaces": "Places",
    "leak.SeenPlace": "Seen",
    "leaks.ClosedLeaks": "LeaksClosed",
    "leaks.ReportedLeaks": "Reported",
    "policy_request.DirectoryFacts": "Standing",
    "recurrence.RecurrenceRule": "RecurrenceRule",
    "recurrence.RecurrenceVerdict": "RecurrenceVerdict",
    "registry.KeptAgent": "Kept",
    "registry.StatedAgent": "RegistryStated",
    "remedies.ForeseenFix": "Foreseen",
    "replacement.SecretReplacement": "Replacement",
    "replay.DecisionChange": "ReplayingChange",
    "roster_diff.DelegatorChange": "ComparingChange",
    "roster_entry.StatedDelegator": "StatedStated",
    "secret_shapes.SecretShape": "Shape",
    "settle.SettledTargets": "Settled",
    "survey.SurveyedUse": "SurveyUse",
    "target.TargetRecord": "Record",
    "thresholds.Thresholds": "Limits",
    "usage.RecordedUses": "Recorded",
    "use.RecordedUse": "UseUse",
    "withdrawal.WithdrawnAgent": "Withdrawn",
}
"""Names of schemas that differ from the names of their classes: clients use these names."""


def _called(kind: type, *, request: bool, tagged: bool) -> str:
    """Return the name of a record's schema; it differs between requests and answers."""
    name = _SCHEMAS.get(field_table.owned(kind), kind.__name__)
    if tagged:
        return f"{name}Piece"
    return f"{name}Given" if request and not issubclass(kind, Operation) else name


def item_of(kind: Any) -> Any | None:
    """Return the type of the pieces if a type is that of an iterator; otherwise None."""
    return get_args(kind)[0] if get_origin(kind) is Iterator else None
