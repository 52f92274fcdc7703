"""A list that is read element by element equals the list that is read at once, and the same texts are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.values.strict_json import Elements, StrictJSONError, loads

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def read(text: str) -> list[Any]:
    """Return only the values."""
    return [value for _, value in Elements(text, "it", "items")]


@given(values=st.lists(_VALUES, max_size=6), indent=st.sampled_from([None, 2]), ascii_only=st.booleans())
def test_a_list_is_read_as_it_is_at_once(values: list[Any], indent: int | None, *, ascii_only: bool) -> None:
    text = json.dumps(values, indent=indent, ensure_ascii=ascii_only)
    assert read(text) == loads(text)
    elements = Elements(json.dumps({"a": 1, "Items": values, "b": [values]}), "it", "items")
    assert [value for _, value in elements] == values
    assert elements.around == [{"a": 1, "b": [values]}]


@given(values=st.lists(_VALUES.filter(lambda one: not isinstance(one, list)), max_size=6))
def test_values_after_one_another_are_read_each(values: list[Any]) -> None:
    plain = [one for one in values if not (isinstance(one, dict) and "items" in map(str.lower, one))]
    assert read("\n".join(json.dumps(one) for one in plain)) == plain


def test_places_are_those_that_a_program_would_name() -> None:
    text = '{"items": [1, 2]}\n\n{"x": 3}\n[4]'
    assert [place for place, _ in Elements(text, "it", "items")] == [
        ".items[0]",
        ".items[1]",
        "line 3",
        "[0]",
    ]


def test_a_member_that_is_no_list_makes_no_list() -> None:
    assert read('{"items": {"a": 1}}') == [{"items": {"a": 1}}]


@pytest.mark.parametrize(
    "text",
    [
        "[1, 2",
        "[1 2]",
        "[1,]",
        "[,]",
        "[",
        "{",
        '{"a"}',
        '{"a": }',
        '{"a": 1,}',
        '{"a": 1, "a": 2}',
        '{"items": [], "items": []}',
        '{"items": 1, "items": []}',
        "{1: 2}",
        "[NaN]",
        "[1e999]",
        "[123456789012345678901]",
        '[{"a": 1, "a": 2}]',
        '["\\ud800"]',
        "\ufeff[]",
        "[1]]",
        "x",
        "[" + "[" * 70 + "]" * 70 + "]",
        "[" * 100_000,
        '{"items": [' + '{"a":' * 70 + "1" + "}" * 70 + "]}",
        '{"items": ' + "[" * 100_000,
    ],
)
def test_what_is_no_json_for_every_reader_is_refused(text: str) -> None:
    with pytest.raises(StrictJSONError):
        read(text)
