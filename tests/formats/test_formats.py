"""Laws of the formats: nothing hostile acts, nothing is cut off, and a parser reads what was stored."""

from __future__ import annotations

import csv as csv_reader
import io
import json as json_reader
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.formats import csv, json, jsonl, table, tsv
from jitid.formats.view import View
from jitid.text import safe

FIELDS = ("id", "purpose", "scopes")

# Words that Rich, spreadsheets and terminals would obey, among any other text.
hostile = st.sampled_from(
    [
        "[red]x[/red]",
        "=1+1",
        "-2",
        "@SUM(1)",
        "\tx",
        "\x1b[31m",
        "\x9b31m",
        "a\u202eb",
        "a\u200bb",
        "\r\n",
        '"',
        "\x7f",
        "\uff1d1",
    ]
)
texts = st.one_of(hostile, st.text(st.characters(exclude_categories=["Cs"])))
values = st.one_of(st.none(), st.booleans(), st.integers(), texts, st.lists(texts, max_size=3))
rows = st.fixed_dictionaries({"id": texts, "purpose": values, "scopes": values})
views = st.builds(
    lambda found, one: View("jitid.test/1", FIELDS, found[:1] if one else found, one),
    st.lists(rows, min_size=1, max_size=4),
    st.booleans(),
)


def written(text: Callable[[View], Iterator[str]], view: View) -> str:
    """Return what a format writes, in one piece."""
    return "".join(text(view))


@given(views)
def test_a_row_is_one_line_of_tab_separated_values(view: View) -> None:
    """Whatever the cells hold, `cut` and `read` find the fields."""
    lines = written(tsv.text, view).removesuffix("\n").split("\n")
    if view.one:
        assert [line.split("\t")[0] for line in lines] == list(FIELDS)
        assert {line.count("\t") for line in lines} == {1}
    else:
        assert [line.count("\t") for line in lines] == [len(FIELDS) - 1] * len(list(view.rows))


@given(views)
def test_json_gives_every_text_back_unchanged(view: View) -> None:
    """And holds nothing but printable ASCII on its one line."""
    text = written(json.text, view)
    assert text.isascii()
    assert text.removesuffix("\n").isprintable()
    document = json_reader.loads(text)
    found = list(view.rows)
    assert document.pop("schema") == "jitid.test/1"
    assert document == (found[0] if view.one else {"items": found})


@given(views)
def test_json_lines_are_the_rows(view: View) -> None:
    """One object a line, without the document."""
    text = written(jsonl.text, view)
    assert text.isascii()
    assert [json_reader.loads(line) for line in text.splitlines()] == list(view.rows)


@given(views)
def test_no_csv_cell_is_a_formula(view: View) -> None:
    """A spreadsheet shows the text; a reader finds the same cells as in the other formats."""
    header, *records = csv_reader.reader(io.StringIO(written(csv.text, view), newline=""))
    assert tuple(header) == FIELDS
    assert len(records) == len(list(view.rows))
    for record, row in zip(records, view.rows, strict=True):
        for shown, value in zip(record, [row.get(field) for field in FIELDS], strict=True):
            assert isinstance(value, (int, bool)) or not shown.lstrip().startswith(
                ("=", "+", "-", "@", "\uff1d")
            )
            if isinstance(value, str):
                assert shown.removeprefix("'") == safe(value).removeprefix("'")


@given(views, st.booleans())
def test_a_table_holds_no_character_that_acts(view: View, colour: bool) -> None:
    """Rich's own colours aside; and no markup is taken for a style."""
    text = written(lambda each: table.text(each, colour), view)
    if colour:
        text = text.replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert all(character == "\n" or safe(character) == character for character in text)


def test_a_table_keeps_markup_and_long_values_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value wider than the terminal is folded, not cut."""
    monkeypatch.setenv("COLUMNS", "40")
    view = View("jitid.test/1", ("id", "text"), [{"id": "1", "text": "[bold]" + "x" * 100}])
    text = written(lambda each: table.text(each, False), view)
    assert "[bold]" in text
    assert text.count("x") == 100 + len("text") - len("tet")


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, ""), (True, "true"), (7, "7"), (("a", "b"), "a b"), ({"b": 1, "a": None}, '{"a":null,"b":1}')],
)
def test_a_value_has_one_plain_form(value: Any, shown: str) -> None:
    """The same in tab-separated values as everywhere."""
    assert written(tsv.text, View("jitid.test/1", ("v",), [{"v": value}])) == f"{shown}\n"
