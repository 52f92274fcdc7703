"""The README describes the real command tree, and shows the real answers of its commands."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from jitid.cli.verbs import all_verbs
from jitid.errors import ExitStatus
from tests.cli.transcripts import answers, parse, placeholders_of_readable, readable
from tests.readme import FLEET, TEXT, as_seen, blocks, chapter, rewrite

TRANSCRIPT = (Path(__file__).parent / "cli/transcripts/readme.txt").read_text(encoding="utf-8")
CHAPTERS = (
    "For the author of a script",
    "For the operator",
    "For the responder",
    "For whoever governs",
    FLEET,
    "For other systems",
)


def test_every_command_is_shown_with_its_real_answer(tmp_path: Path) -> None:
    """Parts that differ from run to run are compared as placeholders, as in the transcript, which another test runs.

    `JITID_UPDATE_README=1` writes today's answers into the README; update the transcript first. Another test runs the
    chapter for a fleet.
    """
    steps, _ = parse(TRANSCRIPT)
    if os.environ.get("JITID_UPDATE_README") == "1":
        rewrite(zip(steps, answers(steps, tmp_path, readable), strict=True), fleet=False)
        return
    others = TEXT.replace(chapter(FLEET), "")
    shown = [
        placeholders_of_readable(line) for block in blocks("console", others) for line in block.splitlines()
    ]
    expected = [line for step in steps for line in (*step.command, *as_seen(step.expected))]
    assert shown == expected


@pytest.mark.parametrize("verb", all_verbs())
def test_every_verb_is_used_in_a_chapter(verb: str) -> None:
    used = "\n".join(
        line for block in blocks("console") for line in block.splitlines() if line[:2] in ("$ ", "> ")
    )
    assert re.search(rf"\bjitid {verb}\b", used)


def test_each_user_has_a_chapter_with_commands() -> None:
    for title in CHAPTERS:
        text = chapter(title)
        assert text.count("```console") >= 3, title


@pytest.mark.parametrize("verb", all_verbs())
def test_the_readme_names_every_verb(verb: str) -> None:
    assert f"`{verb}`" in TEXT


def test_the_readme_names_no_verb_that_there_is_not() -> None:
    section = TEXT.partition("## Verbs")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`([a-z ]+)`", "".join(rows))) == set(all_verbs())


def test_the_readme_opens_with_installing_and_with_testing() -> None:
    install, test, *_ = blocks("sh")
    assert "jitid issue" in install
    assert "pytest" in test
    assert install.count("\n") == test.count("\n") == 1


def test_the_exit_statuses_are_those_of_the_code() -> None:
    section = TEXT.partition("| exit | meaning |")[2].partition("\n\n")[0]
    told = {
        int(number)
        for numbers in re.findall(r"^\| ([\d, ]+) \|", section, re.MULTILINE)
        for number in numbers.split(",")
    }
    assert told == {status.value for status in ExitStatus}
