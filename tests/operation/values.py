"""Strategies for values of every encoded type, by the annotations alone, and a way to compare them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from enum import Enum
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, Literal, NewType, Union, cast, get_args, get_origin
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from jitid.authority.wire.codec import WireField, fields_of, type_of
from jitid.capabilities.decisions.operations import StoredPolicy
from jitid.capabilities.directory.roster.roster_entry import KEEP
from jitid.capabilities.directory.roster_diff import RosterSource
from jitid.capabilities.sweep.finding import KnownFindings
from jitid.capabilities.sweep.operations import RULE, Fix
from jitid.capabilities.sweep.rules import NAMES
from jitid.capabilities.use.authorization import CONTEXT
from jitid.errors import UsageError
from jitid.model.directory import ALIAS, PERSON
from jitid.model.process import Process
from jitid.model.request import DETAIL
from jitid.model.survey import PROPERTIES
from jitid.model.task import SENSITIVITIES
from jitid.model.types import KIND
from jitid.search.find import Finds
from jitid.values.declaration import Declared, FieldType
from jitid.values.field_types import ACCESS_ID, DELEGATOR, FINGERPRINT, ID
from jitid.values.ids import access_id, credential_id, identity_id
from jitid.values.secret import Secret

_BIG = 10**18 - 1
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.integers(-_BIG, _BIG)
SECRETS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(str.strip)
VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=12)
_LINES = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0x7E) | st.just("\n"), min_size=1, max_size=12
)
_PARTS = st.dictionaries(VISIBLE, _LINES, min_size=1, max_size=3).map(Secret)
_WORDS = st.text("abcdefghijkl0123456789", min_size=1, max_size=8)
_IDS = st.builds(
    lambda raw, jti: credential_id(raw) if jti else identity_id(raw),
    st.binary(min_size=16, max_size=16),
    st.booleans(),
)
_PEOPLE = _WORDS.map(lambda word: f"user:{word}")
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
_BY_CHECK = {
    cast("FieldType[Any]", type_).check: strategy
    for type_, strategy in (
        (ID, _IDS),
        (DELEGATOR, _PEOPLE),
        (PERSON, _PEOPLE),
        (ALIAS, _PEOPLE),
        (ACCESS_ID, st.binary(min_size=16, max_size=16).map(access_id)),
        (RULE, st.sampled_from(NAMES)),
        (KIND, st.sampled_from(["jwt", "opaque", "exec:vault"])),
        (Fix.fields["sweep"].type, st.uuids().map(str)),
        (fields_of(RosterSource)["content"].type, st.binary(min_size=32, max_size=32).map(bytes.hex)),
        (fields_of(Process)["boot"].type, st.uuids().map(str)),
        (StoredPolicy.fields["digest"].type, st.binary(min_size=1, max_size=32).map(bytes.hex)),
        (CONTEXT, st.sampled_from(["{}", '{"ip":"192.0.2.1"}'])),
        (DETAIL, st.sampled_from(['{"type":"a"}', '{"n":1,"type":"b"}'])),
        (FINGERPRINT, st.binary(min_size=32, max_size=32)),
    )
}
"""By the check: several types may have one, with different spellings on a command line."""


def operation_values(kind: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for operations of a class, with values that a command would give."""
    return _record(kind, request=True)


def answers(kind: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for values of an answer's type, in the forms that an authority uses."""
    return _of(kind, WireField(kind), request=False, label="")


def _of(kind: Any, field: WireField, *, request: bool, label: str) -> st.SearchStrategy[Any]:
    origin, inside = get_origin(kind), get_args(kind)

    def within(each: Any) -> st.SearchStrategy[Any]:
        return _of(each, field, request=request, label=label)

    if isinstance(kind, NewType):
        return within(kind.__supertype__)
    if kind is Any:
        return JSON
    if kind in (None, NoneType):
        return st.none()
    if origin in (Union, UnionType):
        return st.one_of([within(each) for each in inside])
    if origin is Literal:
        return st.sampled_from(inside)
    if origin is tuple and not (len(inside) == 2 and inside[1] is Ellipsis):
        return st.tuples(*map(within, inside))
    if origin in (tuple, list, Sequence):
        # Some tuples are sorted or have no duplicates; a tuple of one element always fits.
        found = st.lists(
            within(inside[0]), min_size=field.bounds.least if request else 0, max_size=1 if request else 2
        )
        return found.map(tuple) if origin is tuple else found
    if origin in (set, frozenset, AbstractSet):
        return st.sets(within(inside[0]), max_size=2).map(set if origin is set else frozenset)
    if origin in (dict, Mapping):
        keys = TEXTS if inside[0] is str else st.integers(0, _BIG)
        return st.dictionaries(keys, within(inside[1]), max_size=2)
    if origin is Iterator:
        return st.lists(within(inside[0]), max_size=3)
    return _scalar(kind, field, request=request, label=label)


def _scalar(kind: Any, field: WireField, *, request: bool, label: str) -> st.SearchStrategy[Any]:
    if kind in (str, int, bytes):
        type_ = field.type if request else type_of(label)
        assert type_ is not None or not request, f"{label} has no type"
        if type_ is not None:
            return _typed(kind, type_)
    plain: dict[Any, st.SearchStrategy[Any]] = {
        str: TEXTS,
        int: NUMBERS,
        bool: st.booleans(),
        bytes: st.binary(max_size=8),
        Secret: SECRETS.map(Secret.single) if request else VISIBLE.map(Secret.single) | _PARTS,
        Finds: _finds(),
        KnownFindings: st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, _BIG)), max_size=3).map(
            KnownFindings
        ),
    }
    if kind in plain:
        return plain[kind]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return st.just(KEEP) if isinstance(KEEP, kind) else st.sampled_from(kind)
    if kind.__name__ == "tzinfo":
        return st.sampled_from([ZoneInfo("Europe/Berlin"), ZoneInfo("UTC")])
    return _record(kind, request=request)


def _typed(kind: type, type_: FieldType[Any]) -> st.SearchStrategy[Any]:
    if type_.check in _BY_CHECK:
        return _BY_CHECK[type_.check]
    if "enum" in type_.schema:
        return st.sampled_from(type_.schema["enum"])
    if kind is int:
        return st.integers(type_.schema["minimum"], type_.schema["maximum"])
    return _WORDS.filter(lambda text: _fits(type_, text))


def _fits(type_: FieldType[Any], text: str) -> bool:
    try:
        return bool(type_.check(text) == text)
    except UsageError:
        return False


@lru_cache(maxsize=512)
def _record(kind: Any, *, request: bool) -> st.SearchStrategy[Any]:
    fields: dict[str, st.SearchStrategy[Any]] = {
        name: st.just(getattr(kind, "_field_defaults", vars(kind))[name])
        if field.authority_only and request
        else _of(field.kind, field, request=request, label=f"{kind.__name__}.{name}")
        for name, field in fields_of(kind).items()
    }
    if kind.__name__ == "AddLeaks":
        marks = st.binary(min_size=16, max_size=16).map(bytes.hex)
        fields["sightings"] = st.dictionaries(marks, fields["sightings"].map(_first_value), max_size=2)
    if kind.__name__ == "Survey":
        kinds = fields_of(kind)
        (_, breakdown), (day, _) = get_args(kinds["live_by"].kind), get_args(kinds["trend"].kind)
        fields["live_by"] = st.fixed_dictionaries(
            dict.fromkeys(PROPERTIES, _record(breakdown, request=False))
        )
        fields["trend"] = st.lists(_record(day, request=False), min_size=1, max_size=2).map(tuple)
    if kind.__name__ == "Report":
        fields["limits"] = st.fixed_dictionaries(dict.fromkeys(SENSITIVITIES, NUMBERS))
    found = st.builds(kind, **fields)
    if kind.__name__ == "IssueRequest":
        return found.filter(lambda one: one.deadline is None or one.deadline_after is None)
    if kind.__name__ == "ReadLog":
        return found.filter(lambda one: one.limit is not None)
    if kind.__name__ == "Edit":
        # The type of an amendment does not show which values are valid, such as scopes or names of people.
        return found.map(lambda one: one._replace(entitlements=type(one)().entitlements)).filter(
            lambda one: (one.manager is None or not one.no_manager) and _are_people(one.aliases)
        )
    return found


def _first_value(table: dict[str, Any]) -> Any:
    return next(iter(table.values()), ())


def _are_people(amendment: Any) -> bool:
    return all(":" in text for text in (*amendment.add, *amendment.remove))


@st.composite
def _finds(draw: st.DrawFn) -> Finds:
    found = Finds()
    counts = st.integers(0, _BIG)
    for name in ("opaque", "prints", "secrets", "keys", "locked"):
        getattr(found, name).update(
            draw(st.dictionaries(st.binary(min_size=32, max_size=32), counts, max_size=2))
        )
    for name in ("cut", "ids", "guessed"):
        getattr(found, name).update(draw(st.dictionaries(_IDS, counts, max_size=2)))
    found.foreign.update(draw(st.dictionaries(TEXTS, counts, max_size=2)))
    found.mistyped = draw(counts)
    return found


def told(value: Any) -> Any:
    """Return a value with its secrets revealed, so that it can be compared."""
    if isinstance(value, Secret):
        return "secret", {name: value.reveal(name) for name in value.names}
    if isinstance(value, Finds):
        return "finds", value.pack()
    if isinstance(value, KnownFindings):
        return "known", list(value)
    if isinstance(value, Declared):
        return type(value).__name__, {name: told(getattr(value, name)) for name in value.fields}
    if hasattr(value, "_asdict"):
        return type(value).__name__, {name: told(each) for name, each in value._asdict().items()}
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [told(each) for each in value]
    if isinstance(value, dict):
        return {key: told(each) for key, each in value.items()}
    return value
