"""The README tells of the command tree as it is, and its commands are the ones that are tried."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jitid.commands import COMMANDS
from jitid.errors import ExitStatus

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
TRANSCRIPT = (ROOT / "tests/cli/transcripts/readme.txt").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("verb", COMMANDS)
def test_the_readme_names_every_verb(verb: str) -> None:
    assert f"`{verb}`" in README


def test_the_readme_names_no_verb_that_there_is_not() -> None:
    section = README.partition("## Verbs")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`([a-z ]+)`", "".join(rows))) == set(COMMANDS)


def test_the_walk_is_the_transcript_that_is_run() -> None:
    walk = [line for block in _blocks("console") for line in block.splitlines()]
    assert walk == [line for line in TRANSCRIPT.splitlines() if line.startswith("$ ")]


def test_the_readme_opens_with_installing_and_with_testing() -> None:
    install, test = _blocks("sh")
    assert "jitid issue" in install
    assert "pytest" in test
    assert install.count("\n") == test.count("\n") == 1


def test_the_exit_statuses_are_those_of_the_code() -> None:
    section = README.partition("| exit | meaning |")[2].partition("\n\n")[0]
    told = {int(number) for number in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)}
    # Findings and incomplete sweeps come with `sweep`.
    assert told == {status.value for status in ExitStatus} - {ExitStatus.FINDINGS, ExitStatus.INCOMPLETE}
