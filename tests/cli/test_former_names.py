"""Former names of verbs work like the present ones, wherever the global options are."""

from __future__ import annotations

from pathlib import Path

import pytest

from jitid.cli.line import read
from jitid.cli.old_names import RENAMED, has_no_verb, present
from jitid.cli.verbs import GROUPS, all_verbs
from tests.real import Shell


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


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ([], True),
        (["-q", "--json"], True),
        (["--ledger", "x"], True),
        (["--ledger=x"], True),
        (["--ledger"], False),
        (["-q", "--ledger"], False),
        (["list"], False),
        (["--nosuch"], False),
        (["--help"], False),
    ],
)
def test_a_line_without_a_verb_is_recognised(line: list[str], expected: bool) -> None:
    assert has_no_verb(line) is expected


def test_a_line_without_a_verb_shows_the_status(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.good("issue", "--task", "T", "--delegator", "alice")
    for line in ((), ("--json",), ("-q", "--field", "live")):
        assert shell.good(*line) == shell.good(*line, "status")
    assert shell.run("--ledger").returncode == 2


def test_a_former_line_is_parsed_like_the_present_one() -> None:
    former = read(list(present(["prune", "--dry-run"])))
    assert former is not None
    assert former == read(["ledger", "prune", "--dry-run"])
