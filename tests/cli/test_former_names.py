"""Former names of verbs work like the present ones, wherever the global options are."""

from __future__ import annotations

import pytest

from jitid.cli.line import read
from jitid.cli.old_names import RENAMED, present
from jitid.cli.verbs import GROUPS, all_verbs


@pytest.mark.parametrize("former", RENAMED)
def test_no_former_name_is_a_present_one(former: str) -> None:
    assert former not in all_verbs()
    assert former not in GROUPS
    words = RENAMED[former].partition(" --")[0]
    assert words in all_verbs()


@pytest.mark.parametrize("former", RENAMED)
def test_a_line_with_a_former_name_is_the_line_with_the_present_one(former: str) -> None:
    new = RENAMED[former].split()
    first, *second = former.split()
    assert list(present([*former.split(), "a", "--b"])) == [*new, "a", "--b"]
    assert list(present(["--ledger", "x", first, *second])) == ["--ledger", "x", *new]
    assert list(present(["-q", first, "--format=json", *second, "--ledger", "x", "a"])) == [
        "-q",
        "--format=json",
        "--ledger",
        "x",
        *new,
        "a",
    ]


@pytest.mark.parametrize("verb", all_verbs())
def test_a_present_line_stays_as_it_is(verb: str) -> None:
    line = ["--format", "json", *verb.split(), "a"]
    assert present(line) is line


def test_a_former_word_as_a_value_stays_as_it_is() -> None:
    for line in (
        ["list", "--task", "prune"],
        ["--ledger", "prune", "list"],
        ["--ledger"],
        [],
        ["--nosuch", "prune"],
    ):
        assert present(line) is line


def test_a_former_line_is_parsed_like_the_present_one() -> None:
    former = read(list(present(["prune", "--dry-run"])))
    assert former is not None
    assert former == read(["ledger", "prune", "--dry-run"])
