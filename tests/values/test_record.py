"""Records behave like `typing.NamedTuple`."""

from __future__ import annotations

import copy
import pickle
import types
from typing import Any, NamedTuple, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.values.record import Record

NAMES = st.lists(st.sampled_from(["cls", "self", "_make", "values", "count", "index", "a", "b"]), unique=True)


class Pair(Record):
    """Two values."""

    first: int
    second: str | None = None

    @property
    def both(self) -> str:
        """Both values as a text."""
        return f"{self.first}{self.second}"


def kinds(names: list[str], defaults: int) -> tuple[Any, Any]:
    """Return a record and a `NamedTuple` with the same fields; the last ones have defaults."""
    namespace: dict[str, Any] = {"__annotations__": dict.fromkeys(names, "int"), "__module__": __name__}
    namespace |= {name: number for number, name in enumerate(names) if number >= len(names) - defaults}
    record = types.new_class("Kind", (Record,), exec_body=lambda body: body.update(namespace))
    named = types.new_class("Kind", (NamedTuple,), exec_body=lambda body: body.update(namespace))
    return record, named


def outcome(kind: Any, args: list[int], kwargs: dict[str, int]) -> Any:
    """Return all that a new instance shows, or the class of the error."""
    try:
        made = kind(*args, **kwargs)
    except TypeError:
        return TypeError
    return (
        tuple(made),
        repr(made),
        hash(made),
        made._asdict(),
        [getattr(made, name) for name in kind._fields],
        made == kind._make(made),
        copy.copy(made) == made,
        kind.__match_args__,
        kind._field_defaults,
    )


@given(data=st.data(), names=NAMES)
def test_a_record_does_what_a_named_tuple_does(data: st.DataObject, names: list[str]) -> None:
    # The names of a named tuple's fields do not begin with `_`.
    names = [name for name in names if not name.startswith("_")]
    record, named = kinds(names, data.draw(st.integers(0, len(names))))
    for _ in range(2):
        args = data.draw(st.lists(st.integers(), max_size=len(names) + 1))
        kwargs = data.draw(st.dictionaries(st.sampled_from([*names, "more"]), st.integers(), max_size=3))
        assert outcome(record, args, kwargs) == outcome(named, args, kwargs)


def test_a_record_is_frozen_and_has_no_other_attributes() -> None:
    pair = Pair(1)
    with pytest.raises(AttributeError):
        pair.first = 2  # type: ignore[misc]
    with pytest.raises(AttributeError):
        pair.third = 3  # type: ignore[attr-defined]
    assert not hasattr(pair, "__dict__")


def test_methods_copies_and_patterns_work() -> None:
    pair = Pair(1)._replace(second="x")
    assert pair.both == "1x"
    assert pickle.loads(pickle.dumps(pair)) == copy.deepcopy(pair) == pair == (1, "x")
    match pair:
        case Pair(first, "x"):
            assert first == 1
        case _:
            raise AssertionError
    assert get_type_hints(Pair) == {"first": int, "second": str | None}


def test_wrong_values_are_refused() -> None:
    with pytest.raises(TypeError, match="Pair has 2 fields, and there are 1 values"):
        Pair._make([1])
    with pytest.raises(TypeError, match="Pair has no third, fourth"):
        Pair(1)._replace(third=3, fourth=4)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'first'"):
        Pair()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'third'"):
        Pair(1, third=3)  # type: ignore[call-arg]


def test_a_class_of_a_record_keeps_its_fields() -> None:
    class Named(Pair):
        def name(self) -> str:
            return "named"

    named = Named(1, "x")
    assert (named.name(), named.second, named._fields) == ("named", "x", ("first", "second"))
