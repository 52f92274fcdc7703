"""Mistakes in a declaration are reported, not ignored."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import Any, get_args

import pytest

import jitid
from jitid.authority.wire import codec
from jitid.authority.wire.codec import fields_of, operations, result_of
from jitid.authority.wire.shapes import RecordShape, Tagged, UnfitError
from jitid.cli.verbs import all_verbs
from jitid.errors import UsageError
from jitid.operation.base import IDEMPOTENT, KEYED, READS, Operation, Verb
from jitid.values.declaration import Declared, opt
from jitid.values.field_types import COUNT
from jitid.values.record import Record

VERBS = {verb.verb: verb for verb in all_verbs().values()}
DECLARATIONS: dict[str, type[Verb]] = {
    **{f"verb {name}": verb for name, verb in VERBS.items()},
    **{f"operation {name}": kind for name, kind in operations().items()},
}


def test_a_field_without_an_annotation_is_refused() -> None:
    """Without an annotation its value would be the declaration, which is true."""
    with pytest.raises(TypeError, match=r"Counting\.most needs an annotation"):
        type("Counting", (Declared,), {"most": opt(COUNT, "--most", help="At most N.")})


class _First(Declared):
    first: int = opt(COUNT, "--first", help="One.", default=1)


class _Second(Declared):
    second: int = opt(COUNT, "--second", help="Another.", default=2)


def test_a_class_has_the_fields_of_all_its_bases() -> None:
    both: Any = type("Both", (_First, _Second), {})
    assert [*both.fields] == ["first", "second"]
    assert both(second=3).second == 3


def test_a_field_is_not_replaced_by_a_value_without_an_annotation() -> None:
    """The value of the class would differ from the default in requests."""
    with pytest.raises(TypeError, match=r"Changed\.first is a field already"):
        type("Changed", (_First,), {"first": 7})


@pytest.mark.parametrize("name", DECLARATIONS)
def test_a_declaration_sets_only_what_its_base_has(name: str) -> None:
    """A misspelt attribute such as `efect` would be ignored."""
    kind = DECLARATIONS[name]
    known = {*vars(Verb), *vars(Operation), "page_size", "checked_request", "checked_answer"}
    for base in kind.__mro__:
        if not issubclass(base, Declared) or base in (Declared, Verb, Operation):
            continue
        own = {
            attribute
            for attribute, member in vars(base).items()
            if not attribute.startswith("_")
            and not inspect.isfunction(member)
            and not isinstance(member, property)
        }
        views = {attribute for attribute in own if type(vars(base)[attribute]).__name__ == "Columns"}
        classes = {name for each in base.__mro__ for name in vars(each).get("__annotations__", {})}
        assert own - known - views - classes == set()


@pytest.mark.parametrize("name", DECLARATIONS)
def test_the_names_in_a_declaration_exist(name: str) -> None:
    kind = DECLARATIONS[name]
    assert kind.effect in ("", READS, IDEMPOTENT, KEYED)
    assert {*kind.changes_with} <= {*kind.fields}
    if kind.function:
        module, function = kind.function.split(":")
        assert callable(getattr(importlib.import_module(f"jitid.cli.{module}"), function))
    if not issubclass(kind, Operation):
        return
    if kind.task_in:
        field, _, inner = kind.task_in.partition(".")
        assert field in kind.fields
        assert not inner or inner in fields_of(_fields(kind)[field].kind)
    if kind.last_piece:
        pieces: Any = result_of(kind).__args__[0]
        assert kind.last_piece in [piece.__name__ for piece in getattr(pieces, "__args__", [pieces])]


def _fields(kind: Any) -> Any:
    return fields_of(kind)


def _record_of(kind: type[Operation[Any]]) -> Any:
    answer = result_of(kind)
    return answer.__args__[0] if hasattr(answer, "__args__") else answer


@pytest.mark.parametrize(
    "name", [name for name, verb in VERBS.items() if issubclass(verb, Operation) and not verb.function]
)
def test_the_columns_of_a_verb_without_a_function_are_attributes_of_its_answer(name: str) -> None:
    verb = VERBS[name]
    assert issubclass(verb, Operation)
    view = verb.view
    assert view is not None
    record = _record_of(verb)
    if not hasattr(record, "_fields"):
        return
    parts = [field.kind for field in fields_of(record).values()]
    records = [record, *(arm for part in parts for arm in (part, *get_args(part)) if hasattr(arm, "_fields"))]
    for field in view.named:
        first = view._paths.get(field, field).partition(".")[0]
        assert any(hasattr(each, first) for each in records), f"{field} is in no record of {name}"


def test_each_verb_is_in_the_index() -> None:
    """A verb in a module that the index does not name would not exist."""
    modules = [
        module.name
        for module in pkgutil.walk_packages(jitid.__path__, "jitid.")
        if module.name.endswith(("operations", "commands"))
    ]
    declared = [
        member
        for module in modules
        for member in vars(importlib.import_module(module)).values()
        if isinstance(member, type)
        and issubclass(member, Verb)
        and member.verb
        and member.__module__ == module
    ]
    assert len(declared) > 90
    assert {kind.verb: kind for kind in declared} == VERBS
    assert len({kind.verb for kind in declared}) == len(declared)


def test_the_summary_of_an_operation_is_not_about_a_command_line() -> None:
    """A service prints nothing, and writes no file of the caller."""
    summaries = {name: codec.described(name) for name in codec.names()}
    assert not [name for name, text in summaries.items() if text.startswith(("Print", "Write"))]


@pytest.mark.parametrize("tag", [[], {}, 1, None, "no_such_type"])
def test_a_piece_with_a_type_that_does_not_exist_is_no_answer(tag: object) -> None:
    shape = RecordShape("Piece", dict, {}, {}, request=False, tag="piece")
    with pytest.raises(UnfitError, match="whose type is one of: piece"):
        Tagged({dict: ("piece", shape)}).decode({"type": tag})


class _Base(Record):
    first: int


_RECORDS: Any = type(_Base)


def test_a_record_cannot_be_extended_with_fields() -> None:
    with pytest.raises(TypeError, match="More extends a record"):
        _RECORDS("More", (_Base,), {"__annotations__": {"second": "int"}})


def test_a_record_cannot_have_a_required_field_after_one_with_a_default() -> None:
    with pytest.raises(TypeError, match="Mixed: second has no default"):
        _RECORDS("Mixed", (Record,), {"__annotations__": {"first": "int", "second": "int"}, "first": 1})


def test_a_record_cannot_have_its_own_new() -> None:
    with pytest.raises(TypeError, match="Own has its own __new__"):
        _RECORDS("Own", (_Base,), {"__new__": lambda cls: tuple.__new__(cls, (1,))})


@pytest.mark.parametrize("name", [name for name, kind in operations().items() if not kind.local])
def test_no_request_has_a_value_that_only_the_verb_or_the_authority_sets(name: str) -> None:
    """A client with one role must not choose its own limits, by an option of the command line or otherwise."""
    own = [field.name for field in operations()[name].fields.values() if field.local or field.authority_only]
    for field in own:
        with pytest.raises(UsageError, match=f"has no member `{field}`"):
            codec.decode_operation(name, {field: None})
