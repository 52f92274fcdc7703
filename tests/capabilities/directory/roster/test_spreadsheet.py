"""Spreadsheets of delegators: each cell is read literally, or an error names its line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.capabilities.directory.operations import ListDelegators
from jitid.capabilities.directory.roster import spreadsheet
from jitid.capabilities.directory.roster.roster_entry import KEEP, StatedDelegator, merged
from jitid.cli.directory import delegator_verbs
from jitid.cli.invocation import Invocation
from jitid.errors import UsageError
from jitid.formats import csv as csv_format
from jitid.formats.display import Display
from jitid.model.directory import Delegator, check_group
from tests.builders import NOW

VIEW = ListDelegators.view


def read(*lines: str) -> list[StatedDelegator]:
    """Return the delegators that lines of CSV state."""
    return list(spreadsheet.read([f"{line}\r\n" for line in lines]).people)


def test_a_column_that_is_not_there_states_nothing() -> None:
    (one,) = read("name", "alice")
    assert one == StatedDelegator("line 2", "user:alice")
    assert one.groups is KEEP


def test_a_blank_cell_states_that_there_is_none() -> None:
    (one,) = read("name,entitlements,groups,manager,aliases,external_id,disabled", "alice,,,,,,")
    assert one == StatedDelegator("line 2", "user:alice", (), KEEP, (), None, (), disabled=False)


def test_several_values_are_parted_by_semicolons_and_scopes_by_blanks_too() -> None:
    (one,) = read(
        "Name,Entitlements,GROUPS,aliases",
        'alice,"a:* b:*;c", Site Reliability ;; sre,https://id.example x y; user:al',
    )
    assert one.entitlements == ("a:*", "b:*", "c")
    assert one.groups == ("Site Reliability", "sre")
    assert one.aliases == ("https://id.example x y", "user:al")


def test_quotes_hold_together_what_has_a_semicolon_or_a_line_break_in_it() -> None:
    first, second = read("name,groups", 'alice,"""a;b"";the ""A"" team"', '"bob"," x', '"')
    assert first.groups == ("a;b", 'the "A" team')
    assert (second.place, second.name, second.groups) == ("line 3", "user:bob", ("x",))


def test_lines_are_counted_as_an_editor_counts_them() -> None:
    with pytest.raises(UsageError, match=r"^line 7: `x y\\x07` is not a valid id"):
        read("name,entitlements,external_id", 'alice,"a', 'b",1', "", ",,", "bob,a,1", "carol,b,x y\x07")
    with pytest.raises(UsageError, match=r"^line 5: the delegator name `x y`"):
        read("name,groups", 'alice,"a;', 'b"', "bob,", "x y,")


def test_cells_may_be_parted_by_semicolons() -> None:
    (one,) = read("name;groups;manager", 'alice;"a;b";bob')
    assert (one.groups, one.manager) == (("a", "b"), "user:bob")


@pytest.mark.parametrize(
    ("cell", "meant"), [("(policy)", None), ("(none)", ()), ("", ()), ("b:* a:x a:*", ("a:*", "b:*"))]
)
def test_entitlements_say_whether_the_policy_alone_decides(cell: str, meant: tuple[str, ...] | None) -> None:
    assert read("name,entitlements", f"alice,{cell}")[0].entitlements == meant


@pytest.mark.parametrize(
    ("column", "cell", "disabled"),
    [
        ("active", "TRUE", False),
        ("active", "0", True),
        ("active", "no", True),
        ("disabled", "yes", True),
        ("disabled", "", False),
        ("disabled", "False", False),
        ("state", "Disabled", True),
        ("state", "enabled", False),
    ],
)
def test_whether_somebody_is_disabled_is_said_in_one_of_three_columns(
    column: str, cell: str, *, disabled: bool
) -> None:
    assert read(f"name,{column}", f"alice,{cell}")[0].disabled is disabled


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ((), "the file is empty"),
        (("",), "line 1: the column `name` is missing"),
        (("groups", "sre"), "line 1: the column `name` is missing"),
        (("name,entitlments", "a,b"), "line 1: unknown column `entitlments`"),
        (("name,groups,Groups", "a,b,c"), "line 1: the column `groups` occurs twice"),
        (
            ("name,active,disabled", "a,true,false"),
            "line 1: the columns active and disabled exclude each other",
        ),
        (("name,groups", "alice"), "line 2: expected 2 cells, like the header, found 1"),
        (("name,groups", "alice,a,b"), "line 2: expected 2 cells, like the header, found 3"),
        (("name", "agent:bot"), "line 2: `agent:bot` is an agent"),
        (("name", "root:x"), "line 2: `root:x` is not a delegator"),
        (("name", "a" * 129), "line 2: the delegator name has 129 characters"),
        (("name", "ali\u200bce"), r"line 2: the delegator name `ali\\u200bce`"),
        (("name,entitlements", "alice,a b!"), "line 2: scope `b!`"),
        (("name,groups", "alice,a\u202eb"), r"line 2: `a\\u202eb` is not a valid name of a group"),
        (("name,groups", "alice," + "g" * 129), "line 2: .* is not a valid name of a group"),
        (("name,groups", "alice," + ";".join(f"g{n}" for n in range(1001))), "line 2: too many groups: 1001"),
        (("name,sensitivity", "alice,"), "line 2: `` is not a sensitivity"),
        (("name,active", "alice,"), "line 2: `` in the column `active` is neither true nor false"),
        (("name,active", "alice,maybe"), "line 2: `maybe` in the column `active`"),
        (("name,state", "alice,gone"), "line 2: `gone` is not a state"),
        (("name,groups", "bob,x", 'alice,"a', "carol,b"), "line 3: invalid quotes"),
        (("name,groups", 'alice,"a"b'), "line 2: invalid quotes"),
        (("name,groups", 'alice,"' + "x" * 200_000 + '"'), "line 2: invalid quotes"),
        (("name,manager", "alice,x y"), "line 2: the delegator name `x y`"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_line(lines: tuple[str, ...], told: str) -> None:
    with pytest.raises(UsageError, match=told) as refused:
        read(*lines)
    assert str(refused.value).endswith("; nothing was changed")


_GROUPS = st.text(min_size=1, max_size=12).filter(lambda text: _is_group(text))


def _is_group(text: str) -> bool:
    try:
        check_group(text)
    except UsageError:
        return False
    # The CSV output may add an apostrophe. A reader cannot distinguish it from an apostrophe of the value.
    return spreadsheet._MARKED.search(text) is None


@given(
    groups=st.sets(_GROUPS | st.text(";\"' =+-@a\\", min_size=1, max_size=6).filter(_is_group), max_size=4),
    entitlements=st.none() | st.sets(st.sampled_from(["a:*", "@b", "-c", "+d:e"]), max_size=3),
    aliases=st.sets(st.sampled_from(["user:al", "system:x", "https://id.example =1;2"]), max_size=3),
    disabled=st.booleans(),
)
def test_what_is_printed_as_csv_is_read_as_it_was(
    groups: set[str], entitlements: set[str] | None, aliases: set[str], *, disabled: bool
) -> None:
    one = Delegator(
        7,
        "user:alice",
        "high",
        None if entitlements is None else tuple(sorted(entitlements)),
        tuple(sorted(groups)),
        "system:ci",
        tuple(sorted(aliases)),
        imported=True,
        added_at=NOW,
        disabled_at=NOW if disabled else None,
        external="7",
    )
    cli = Invocation()
    cli.format = "csv"
    row = delegator_verbs.shown(cli, VIEW.row(one))
    text = "".join(csv_format.text(Display("x", VIEW.fields, [row])))
    (stated,) = spreadsheet.read(text.splitlines(keepends=True)).people
    assert merged(stated, one, NOW) == one
