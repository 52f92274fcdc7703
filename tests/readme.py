"""A reader of the README: its chapters, and the commands in them with their answers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.cli.transcripts import Step, placeholders_of_readable

_ROOT = Path(__file__).parent.parent
PATH = _ROOT / "README.md"
CHAPTERS = {
    name: _ROOT / "man" / f"{name}.md"
    for name in ("author", "operator", "responder", "governor", "fleet", "systems", "benchmarks")
}
"""The chapters, which are manual pages too (`jitid-author(7)`); their commands are one story with the README's."""
FLEET = "fleet"
"""The chapter that needs more programs than jitid; a separate test runs it."""
TEXT = PATH.read_text(encoding="utf-8")


def chapter(name: str) -> str:
    """Return the text of a chapter."""
    return CHAPTERS[name].read_text(encoding="utf-8")


def story() -> str:
    """Return the README and the chapters whose commands one test runs, in this order."""
    return "\n".join([TEXT, *(chapter(name) for name in CHAPTERS if name != FLEET)])


def blocks(language: str, text: str = TEXT) -> list[str]:
    """Return the fenced blocks of one language in a text."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def as_seen(answer: Sequence[str]) -> Iterator[str]:
    """Yield the lines of an answer without a transcript's marks: a terminal shows both streams, and no status."""
    for line in answer:
        if not line.startswith("? "):
            yield line.removeprefix("2> ").removeprefix("2>").removeprefix("| ").rstrip()


def rewrite(played: Iterator[tuple[Step, Sequence[str]]], *, fleet: bool) -> None:
    """Write today's answers into the README and the chapters, block by block; the commands are in them already.

    `fleet` chooses the chapter for a fleet; otherwise all others are rewritten.
    """

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

    others = [PATH, *(path for name, path in CHAPTERS.items() if name != FLEET)]
    for path in [CHAPTERS[FLEET]] if fleet else others:
        text = path.read_text(encoding="utf-8")
        changed = re.sub(r"^```console\n(.*?)^```$", block, text, flags=re.MULTILINE | re.DOTALL)
        path.write_text(changed, encoding="utf-8")
