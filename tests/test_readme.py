"""The README describes the real command tree, and shows the real answers of its commands."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import jitid
from jitid.cli.verbs import GROUPS, all_verbs
from jitid.errors import ExitStatus
from tests.cli.transcripts import answers, parse, placeholders_of_readable, readable
from tests.readme import CHAPTERS, FLEET, TEXT, as_seen, blocks, chapter, rewrite, story

TRANSCRIPT = (Path(__file__).parent / "cli/transcripts/readme.txt").read_text(encoding="utf-8")


def test_every_command_is_shown_with_its_real_answer(tmp_path: Path) -> None:
    """Parts that differ from run to run are compared as placeholders, as in the transcript, which another test runs.

    `JITID_UPDATE_README=1` writes today's answers into the README; update the transcript first. Another test runs the
    chapter for a fleet.
    """
    steps, _ = parse(TRANSCRIPT)
    if os.environ.get("JITID_UPDATE_README") == "1":
        rewrite(zip(steps, answers(steps, tmp_path, readable), strict=True), fleet=False)
        return
    shown = [
        placeholders_of_readable(line) for block in blocks("console", story()) for line in block.splitlines()
    ]
    expected = [line for step in steps for line in (*step.command, *as_seen(step.expected))]
    assert shown == expected


@pytest.mark.parametrize("verb", all_verbs())
def test_every_verb_is_used_in_a_chapter(verb: str) -> None:
    text = "\n".join([story(), chapter(FLEET)])
    used = "\n".join(
        line for block in blocks("console", text) for line in block.splitlines() if line[:2] in ("$ ", "> ")
    )
    if verb in _NAMED:
        used = "\n".join([text, *map(_card, TOPICS_WITH_CARDS)])
    assert re.search(rf"\bjitid {_GLOBAL}{verb}\b", used)


_NAMED = ("help", "version", "whoami", "example")
"""Verbs about jitid itself: a text or a card names them."""
_GLOBAL = r"(?:--[a-z-]+ \S+ )?"
TOPICS_WITH_CARDS = ("author", "operator", "responder", "fleet")


def _card(topic: str) -> str:
    return Path(jitid.__file__).parent.joinpath("cli", "topics", f"{topic}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["README", *CHAPTERS, *TOPICS_WITH_CARDS])
def test_no_text_names_a_verb_that_there_is_not(name: str) -> None:
    text = TEXT if name == "README" else "\n".join([*map(chapter, {name} & {*CHAPTERS})])
    text += "\n".join(map(_card, {name} & {*TOPICS_WITH_CARDS}))
    named = re.findall(r"(?:`|^\$ |^ +)jitid((?: [a-z]+)+)", text, re.MULTILINE)
    assert named
    for words in map(str.split, named):
        known = {"", *GROUPS} | set(all_verbs())
        verb = max((" ".join(words[:end]) for end in range(4) if " ".join(words[:end]) in known), key=len)
        following = words[len(verb.split()) :]
        assert verb in all_verbs() or not following, words


@pytest.mark.parametrize("name", [name for name in CHAPTERS if name != "benchmarks"])
def test_each_chapter_has_commands(name: str) -> None:
    assert chapter(name).count("```console") >= 3


@pytest.mark.parametrize("name", CHAPTERS)
def test_the_readme_links_each_chapter(name: str) -> None:
    assert f"](man/{name}.md)" in TEXT


@pytest.mark.parametrize("topic", TOPICS_WITH_CARDS)
def test_the_cards_are_those_of_the_help(topic: str) -> None:
    assert f"```text\n{_card(topic)}```" in TEXT


def test_the_readme_is_short() -> None:
    assert TEXT.count("\n") <= 350


def test_links_lead_to_files_and_headings() -> None:
    for target in re.findall(r"\]\((?!https:)([^)]*)\)", TEXT):
        if target.startswith("#"):
            headings = {
                re.sub(r"\W+", "-", line[3:].lower()) for line in TEXT.splitlines() if line.startswith("## ")
            }
            assert target[1:] in headings
        else:
            assert (Path(jitid.__file__).parents[1] / target).is_file(), target


def test_the_readme_opens_with_installing_and_with_testing() -> None:
    install, test, *_ = blocks("sh")
    assert "jitid issue" in install
    assert "pytest" in test
    assert install.count("\n") == test.count("\n") == 1


def test_the_exit_statuses_are_those_of_the_code() -> None:
    section = TEXT.partition("| exit | meaning |")[2].partition("\n\n")[0]
    stated = {
        int(number)
        for numbers in re.findall(r"^\| ([\d, ]+) \|", section, re.MULTILINE)
        for number in numbers.split(",")
    }
    assert stated == {status.value for status in ExitStatus}
