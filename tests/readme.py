"""A reader of the README: its chapters, and the commands in them with their answers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.cli.transcripts import Step, placeholders_of_readable

PATH = Path(__file__).parent.parent / "README.md"
TEXT = PATH.read_text(encoding="utf-8")
FLEET = "For a fleet"
"""The chapter that needs more programs than jitid; a separate test runs it."""


def chapter(title: str) -> str:
    """Return the text under a heading."""
    _, heading, rest = TEXT.partition(f"\n## {title}\n")
    assert heading, f"there is no chapter {title}"
    return rest.partition("\n## ")[0]


def blocks(language: str, text: str = TEXT) -> list[str]:
    """Return the fenced blocks of one language in a text."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def as_seen(answer: Sequence[str]) -> Iterator[str]:
    """Yield the lines of an answer without a transcript's marks: a terminal shows both streams, and no status."""
    for line in answer:
        if not line.startswith("? "):
            yield line.removeprefix("2> ").removeprefix("2>").removeprefix("| ").rstrip()


def rewrite(played: Iterator[tuple[Step, Sequence[str]]], *, fleet: bool) -> None:
    """Write today's answers into the README, block by block; the commands are in it already.

    `fleet` chooses the chapter for a fleet; otherwise all other chapters are rewritten.
    """
    # Read the file again: another test may have written to it.
    before, heading, rest = PATH.read_text(encoding="utf-8").partition(f"\n## {FLEET}\n")
    own, next_heading, after = rest.partition("\n## ")
    pieces = [before, heading, own, next_heading, after]

    def block(match: re.Match[str]) -> str:
        lines: list[str] = []
        for _ in [line for line in match[1].splitlines() if line.startswith("$ ")]:
            step, answer = next(played)
            lines += [*step.command, *as_seen(answer)]
        written = match[1].splitlines()
        # An answer that differs only in its times and ids stays unchanged.
        if [placeholders_of_readable(line) for line in lines] == [
            placeholders_of_readable(line) for line in written
        ]:
            lines = written
        return "```console\n" + "".join(f"{line}\n" for line in lines) + "```"

    for number in (2,) if fleet else (0, 4):
        pieces[number] = re.sub(
            r"^```console\n(.*?)^```$", block, pieces[number], flags=re.MULTILINE | re.DOTALL
        )
    PATH.write_text("".join(pieces), encoding="utf-8")
