"""Laws of the formats: hostile text has no effect, no text is cut off, and a parser reads the stored values."""

from __future__ import annotations

import csv as csv_reader
import io
import json as json_reader
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.cli import show
from jitid.formats import checklist, csv, drawing, json, jsonl, table, tsv
from jitid.formats.display import Display, Format
from jitid.formats.stream import Stream
from jitid.values.text import safe

FIELDS = ("id", "purpose", "scopes")

# Strings with a meaning to Rich, spreadsheets or terminals, mixed with any other text.
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
        "a\u3164b",
        "\u2800",
        "x\ufe0f",
        "x;=cmd|' /C calc'!A0",
        '; "+1',
        ";;@x;'-1",
    ]
)
texts = st.one_of(hostile, st.text(st.characters(exclude_categories=["Cs"])))
values = st.one_of(st.none(), st.booleans(), st.integers(), texts, st.lists(texts, max_size=3))
rows = st.fixed_dictionaries({"id": texts, "purpose": values, "scopes": values})
views = st.builds(
    lambda found, one: Display("jitid.test/1", FIELDS, found[:1] if one else found, one),
    st.lists(rows, min_size=1, max_size=4),
    st.booleans(),
)


def written(text: Callable[[Display], Iterator[str]], view: Display) -> str:
    """Return the whole output of a format."""
    return "".join(text(view))


@given(views)
def test_a_row_is_one_line_of_tab_separated_values(view: Display) -> None:
    """With any content of the cells, `cut` and `read` find the fields."""
    lines = written(tsv.text, view).removesuffix("\n").split("\n")
    if view.one:
        assert [line.split("\t")[0] for line in lines] == list(FIELDS)
        assert {line.count("\t") for line in lines} == {1}
    else:
        assert [line.count("\t") for line in lines] == [len(FIELDS) - 1] * len(list(view.rows))


# Characters that Unicode counts as printable but that are invisible, and blanks.
# (DerivedCoreProperties.txt: Default_Ignorable_Code_Point)
INVISIBLE = [
    *"\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0\U0001d159\U000e0100",
    *map(chr, range(0xFE00, 0xFE10)),
]
NODE: dict[str, Any] = {
    "parent": None,
    "delegator": "user:a",
    "depth": 0,
    "task": "T1",
    "state": "active",
    "scopes": [],
}
WRITERS: dict[str, Callable[[str], str]] = {
    "tsv": lambda text: written(tsv.text, _row(text)),
    "tsv-one": lambda text: written(tsv.text, _row(text)._replace(one=True)),
    "tsv-list": lambda text: written(tsv.text, Display("", ("v",), [{"v": [text, "x"]}])),
    "csv": lambda text: written(csv.text, _row(text)),
    "field": lambda text: "".join(show.pieces(_row(text), Format.TSV, ("purpose",), colour=False)),
    "stream": lambda text: Stream(FIELDS, Format.TSV, (), widths={}, colour=False).lines(_row(text).rows),
    "stream-field": lambda text: Stream(FIELDS, Format.TSV, ("purpose",), widths={}, colour=False).lines(
        _row(text).rows
    ),
    "table": lambda text: written(lambda each: table.text(each, False), _row(text)),
    "tree": lambda text: drawing.text([{**NODE, "id": ID, "agent": text}], False),
    "checks": lambda text: checklist.text(
        [{"check": "keys", "status": "ok", "detail": text, "repair": text}], False
    ),
}


def _row(text: str) -> Display:
    return Display("jitid.test/1", FIELDS, [{"id": "1", "purpose": text, "scopes": ["a:b"]}])


@pytest.mark.parametrize("name", WRITERS)
def test_what_cannot_be_seen_is_shown_by_its_number(name: str) -> None:
    """This applies to lines for scripts as well: people also read their output."""
    for character in INVISIBLE:
        text = WRITERS[name](f"x{character}y")
        assert character not in text
        assert f"x{safe(character)}y" in text
        assert safe(character).isascii()


@given(views)
def test_no_line_holds_a_character_that_acts(view: Display) -> None:
    """The exceptions are tabs and line ends, which separate cells and rows."""
    text = written(tsv.text, view)
    assert all(character in "\t\n" or safe(character) == character for character in text)


@given(views)
def test_json_gives_every_text_back_unchanged(view: Display) -> None:
    """Its single line has only printable ASCII."""
    text = written(json.text, view)
    assert text.isascii()
    assert text.removesuffix("\n").isprintable()
    document = json_reader.loads(text)
    found = list(view.rows)
    assert document.pop("schema") == "jitid.test/1"
    assert document == (found[0] if view.one else {"items": found})


@given(views)
def test_json_lines_are_the_rows(view: Display) -> None:
    """There is one object on each line, without the enclosing document."""
    text = written(jsonl.text, view)
    assert text.isascii()
    assert [json_reader.loads(line) for line in text.splitlines()] == list(view.rows)


@given(views)
def test_no_csv_cell_is_a_formula(view: Display) -> None:
    """A spreadsheet shows the text, and a parser finds the same cells as in the other formats."""
    header, *records = csv_reader.reader(io.StringIO(written(csv.text, view), newline=""))
    assert tuple(header) == FIELDS
    assert len(records) == len(list(view.rows))
    for record, row in zip(records, view.rows, strict=True):
        for shown, value in zip(record, [row.get(field) for field in FIELDS], strict=True):
            assert isinstance(value, (int, bool)) or not shown.lstrip().startswith(MARKS)
            if isinstance(value, str):
                assert unmarked(shown) == unmarked(safe(value))


@given(views, st.dictionaries(texts, texts, max_size=2))
def test_no_csv_cell_is_a_formula_where_the_semicolon_parts_cells(
    view: Display, mapping: dict[str, str]
) -> None:
    """This holds with any treatment of quotes, and a parser reads the same JSON from a cell."""
    found = view._replace(
        fields=(*FIELDS, "evidence"), rows=[{**row, "evidence": mapping} for row in view.rows]
    )
    text = written(csv.text, found)
    for line in text.removesuffix("\r\n").split("\r\n"):
        _, *cells = line.split(";")
        assert not [cell for cell in cells if cell.lstrip(' "').startswith(MARKS)]
    for record in csv_reader.DictReader(io.StringIO(text, newline="")):
        shown = json_reader.loads(record["evidence"])
        told = {safe(name): safe(value) for name, value in mapping.items()}
        assert {safe(name): safe(value) for name, value in shown.items()} == told


MARKS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def unmarked(cell: str) -> str:
    """Return the text of a cell without the apostrophes that prevent a formula."""
    return re.sub(r"(^|;)'", r"\1", cell)


@given(views, st.booleans())
def test_a_table_holds_no_character_that_acts(view: Display, colour: bool) -> None:
    """Only Rich's own colours are allowed, and markup is never interpreted as a style."""
    text = written(lambda each: table.text(each, colour), view)
    if colour:
        text = text.replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert all(character == "\n" or safe(character) == character for character in text)


def test_a_table_keeps_markup_and_long_values_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value wider than the terminal is folded, not cut."""
    monkeypatch.setenv("COLUMNS", "40")
    view = Display("jitid.test/1", ("id", "text"), [{"id": "1", "text": "[bold]" + "x" * 100}])
    text = written(lambda each: table.text(each, False), view)
    assert "[bold]" in text
    assert text.count("x") == 100 + len("text") - len("tet")


# Each cell has its own set of letters, narrow or wide, so that a test can find the letters of each cell.
BLOCK = 16
narrow = st.just(0x100)  # With some combining marks.
wide = st.just(0x4E00)
words = st.lists(
    st.lists(st.integers(0, BLOCK - 1), min_size=1, max_size=40) | st.just([0, 1]), min_size=1, max_size=4
)
ID = "jti_06h0000000000000000000000v"


@st.composite
def tables(draw: st.DrawFn) -> tuple[Display, list[str]]:
    """Return a view, and its column names and cells, each with different letters. Some cells also contain an id."""
    count, high = draw(st.integers(1, 7)), draw(st.integers(1, 4))
    cells = [
        " ".join("".join(chr(block + BLOCK * place + at) for at in word) for word in draw(words))
        for place in range(count * (high + 1))
        for block in [draw(narrow | wide)]
    ]
    fields = tuple(cells[:count])
    rows = [
        {
            field: f"{draw(st.sampled_from(['', '', ID + ' ']))}{cells[count * (row + 1) + at]}"
            for at, field in enumerate(fields)
        }
        for row in range(high)
    ]
    return Display("jitid.test/1", fields, rows, one=high == 1 and draw(st.booleans())), cells


@pytest.mark.deep
@given(tables(), st.integers(20, 200), st.booleans(), st.booleans())
def test_nothing_is_cut_off(made: tuple[Display, list[str]], width: int, growing: bool, colour: bool) -> None:
    """At any width and for any kind of terminal, the output has all letters of each cell in order."""
    view, cells = made
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        patch.setenv("TERM", "dumb")
        if growing:
            stream = table.Growing(view.fields, {}, colour)
            text = stream.header() + stream.lines(view.rows)
        else:
            text = written(lambda each: table.text(each, colour), view)
    for place, cell in enumerate(cells):
        own = [chr(block + BLOCK * place + at) for block in (0x100, 0x4E00) for at in range(BLOCK)]
        shown = [letter for letter in text if letter in own]
        whole = cell.replace(" ", "")
        # In the vertical layout, the names are repeated for each row.
        assert "".join(shown) in {whole, whole * len(list(view.rows))}
    if not growing:
        ids = sum(value.count(ID) for row in view.rows for value in row.values())
        assert text.count(ID) == ids


def test_a_tree_is_as_wide_as_its_names_on_a_dumb_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """This holds with colours too, which a user may force."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "dumb")
    node = {
        "id": ID,
        "parent": None,
        "delegator": "user:" + "d" * 100,
        "agent": "a" * 100,
        "depth": 0,
        "task": "T1",
        "state": "active",
        "scopes": ["s" * 100],
    }
    for colour in (False, True):
        text = drawing.text([node], colour)
        assert all(whole in text for whole in (ID, "d" * 100, "a" * 100, "s" * 100))


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 12)), min_size=1), st.integers(0, 300))
def test_the_widest_column_gives_way_first(columns: list[tuple[int, int]], room: int) -> None:
    """The columns use all the room that they need, and a narrow column keeps its natural width."""
    least = [min(wanted, low) for wanted, low in columns]
    natural = [wanted for wanted, _ in columns]
    widths = table.fitted(natural, least, room)
    assert (widths is None) == (sum(least) > room)
    if widths is not None:
        assert sum(widths) == min(sum(natural), room)
        assert all(low <= width <= most for low, width, most in zip(least, widths, natural, strict=True))
        given_way = [at for at, wanted in enumerate(natural) if widths[at] < wanted]
        for at in given_way:
            assert all(
                width <= widths[at] + 1 or width == low for width, low in zip(widths, least, strict=True)
            )


def test_ordinary_names_leave_every_column_on_eighty(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the columns do not fit side by side, only long names are folded."""
    monkeypatch.setenv("COLUMNS", "80")
    row = {
        "leak": 1,
        "jti": ID,
        "agent": "release-planner",
        "source": "github-secret-scanning",
        "state": "active",
        "exposure": "14m55s",
    }
    head, first, *_ = written(
        lambda each: table.text(each, False), Display("", tuple(row), [row])
    ).splitlines()
    assert head.split() == list(row)
    assert first.split() == ["1", ID, "release-pla", "github-secr", "active", "14m55s"]


TASK = "session/claude-code/s1-4c125d8d"


@pytest.mark.parametrize(
    ("width", "spare", "shown"),
    [
        (100, ("left",), "id task agent left"),
        (80, ("left",), "id task agent"),
        # Without a column that may go, and where not even that is enough, they are folded.
        (80, (), "id task agent left"),
        (60, ("left",), "id task agent left"),
    ],
)
def test_a_column_goes_before_the_name_of_a_row_is_broken(
    width: int, spare: tuple[str, ...], shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of a task is whole, to be copied; words of the columns after it are broken first."""
    monkeypatch.setenv("COLUMNS", str(width))
    row = {"id": ID, "task": TASK, "agent": "claude-code/tester", "left": "14m59s"}
    view = Display("", tuple(row), [row, row], spare=spare)
    text = written(lambda each: table.text(each, False), view)
    assert text.splitlines()[0].split() == shown.split()
    assert (TASK in text) == (width == 100 or (width, spare) == (80, ("left",)))
    assert text.count(ID) == 2
    assert max(map(len, text.splitlines())) <= width


def test_words_are_whole_if_other_columns_can_be_folded_between_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    row = {"name": "a b c d e f g", "missing": "rule organization", "note": "one two three four"}
    text = written(lambda each: table.text(each, False), Display("", tuple(row), [row]))
    assert "organization" in text


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, ""), (True, "true"), (7, "7"), (("a", "b"), "a b"), ({"b": 1, "a": None}, '{"a":null,"b":1}')],
)
def test_a_value_has_one_plain_form(value: Any, shown: str) -> None:
    """The form in tab-separated values equals the form everywhere else."""
    assert written(tsv.text, Display("jitid.test/1", ("v",), [{"v": value}])) == f"{shown}\n"
