"""The README tells of the command tree as it is, and shows what its commands really answer."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from jitid.commands import COMMANDS
from jitid.errors import ExitStatus
from tests.cli.transcripts import Step, answers, parse, placeholders_of_readable, readable

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
TRANSCRIPT = (ROOT / "tests/cli/transcripts/readme.txt").read_text(encoding="utf-8")
CHAPTERS = ("For the author of a script", "For the operator", "For the responder", "For whoever governs")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def _as_seen(answer: tuple[str, ...] | list[str]) -> Iterator[str]:
    """Yield the lines of an answer without the marks of a transcript: a terminal shows both streams, and no status."""
    for line in answer:
        if not line.startswith("? "):
            yield line.removeprefix("2> ").removeprefix("2>").removeprefix("| ").rstrip()


def _rewrite(steps: list[Step], folder: Path) -> None:
    """Write what is answered today into the README, block by block; the commands stand there already."""
    answered = iter(zip(steps, answers(steps, folder, readable), strict=True))

    def block(match: re.Match[str]) -> str:
        lines: list[str] = []
        for _ in [line for line in match[1].splitlines() if line.startswith("$ ")]:
            step, answer = next(answered)
            lines += [*step.command, *_as_seen(answer)]
        return "```console\n" + "".join(f"{line}\n" for line in lines) + "```"

    text = re.sub(r"^```console\n(.*?)^```$", block, README, flags=re.MULTILINE | re.DOTALL)
    (ROOT / "README.md").write_text(text, encoding="utf-8")


def test_every_command_is_shown_with_its_real_answer(tmp_path: Path) -> None:
    """What differs from run to run is compared as a placeholder, as in the transcript, which another test runs.

    `JITID_UPDATE_README=1` writes today's answers into the README; the transcript comes first.
    """
    steps, _ = parse(TRANSCRIPT)
    if os.environ.get("JITID_UPDATE_README") == "1":
        _rewrite(steps, tmp_path)
        return
    shown = [placeholders_of_readable(line) for block in _blocks("console") for line in block.splitlines()]
    expected = [line for step in steps for line in (*step.command, *_as_seen(step.expected))]
    assert shown == expected


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_verb_is_used_in_a_chapter(verb: str) -> None:
    used = "\n".join(
        line for block in _blocks("console") for line in block.splitlines() if line[:2] in ("$ ", "> ")
    )
    assert re.search(rf"\bjitid {verb}\b", used)


def test_each_user_has_a_chapter_with_commands() -> None:
    for chapter in CHAPTERS:
        text = README.partition(f"\n## {chapter}\n")[2].partition("\n## ")[0]
        assert text.count("```console") >= 3, chapter


@pytest.mark.parametrize("verb", COMMANDS)
def test_the_readme_names_every_verb(verb: str) -> None:
    assert f"`{verb}`" in README


def test_the_readme_names_no_verb_that_there_is_not() -> None:
    section = README.partition("## Verbs")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`([a-z ]+)`", "".join(rows))) == set(COMMANDS)


def test_the_readme_opens_with_installing_and_with_testing() -> None:
    install, test = _blocks("sh")
    assert "jitid issue" in install
    assert "pytest" in test
    assert install.count("\n") == test.count("\n") == 1


def test_the_exit_statuses_are_those_of_the_code() -> None:
    section = README.partition("| exit | meaning |")[2].partition("\n\n")[0]
    told = {
        int(number)
        for numbers in re.findall(r"^\| ([\d, ]+) \|", section, re.MULTILINE)
        for number in numbers.split(",")
    }
    assert told == {status.value for status in ExitStatus}
