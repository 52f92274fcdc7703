"""The last recorded run of the benchmarks (`recorded.json`), shown by jitid-benchmarks(7), and regressions since."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.bench.ground import ROOT
from tests.bench.measure import HEADER, Row, per_second, spread

PATH = Path(__file__).with_name("recorded.json")
README = ROOT / "man" / "benchmarks.md"
ONE_ROUND = 0.1
"""The assumed noise of a ratio that was measured once, relative to the ratio: one value does not show its noise."""


class Line(NamedTuple):
    """One line of the table."""

    group: str
    what: str
    against: str
    """The floor or the peer. One operation may have several."""
    text: str
    """The printed line."""
    ratio: float
    noise: float | None
    """Half of the interquartile range, relative to the ratio; None after a single round."""
    larger: bool
    """Whether a larger ratio is better."""

    @property
    def key(self) -> tuple[str, str]:
        """Return the key of the line, which is the same in each run."""
        return self.what, self.against


class Recorded(NamedTuple):
    """One whole run."""

    commit: str
    lines: tuple[Line, ...]


def line(group: str, row: Row) -> Line:
    """Return the line of a measured row."""
    ratios = row.ratios
    noise = spread(ratios) if len(ratios) > 1 else None
    larger = row.measured.shown is per_second if row.goal is None else row.goal.at_least
    return Line(group, row.what, row.floor.name, str(row), median(ratios), noise, larger)


def read(path: Path = PATH) -> Recorded:
    """Return the last recorded run."""
    document = json.loads(path.read_text())
    return Recorded(document["commit"], tuple(Line(**one) for one in document["lines"]))


def write(run: Recorded, path: Path = PATH, readme: Path = README) -> None:
    """Record a run, and put its table into the chapter."""
    document = {"commit": run.commit, "lines": [one._asdict() for one in run.lines]}
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    text = readme.read_text()
    readme.write_text(text.replace(table_of(text), table(run)))


def table(run: Recorded) -> str:
    """Return a run as a table."""
    return "\n".join([HEADER, *(one.text for one in run.lines)]) + "\n"


def table_of(text: str) -> str:
    """Return the table of figures in a text.

    Raises:
        ValueError: the text has no such table.

    """
    start = text.index(HEADER)
    return text[start : text.index("\n\n", start) + 1]


def worse(before: Recorded, now: Sequence[Line]) -> list[str]:
    """Return each line whose ratio got worse by more than the noise of both runs."""
    old = {one.key: one for one in before.lines}
    return [
        f"{new.what}, against {new.against}: ratio {old[new.key].ratio:.4g}, now {new.ratio:.4g}"
        for new in now
        if new.key in old and _is_worse(old[new.key], new)
    ]


def unmeasured(before: Recorded, now: Iterable[Line], groups: Iterable[str]) -> list[str]:
    """Return the recorded lines of these groups that are missing in this run."""
    known, measured = set(groups), {one.key for one in now}
    return [one.what for one in before.lines if one.group in known and one.key not in measured]


def _is_worse(before: Line, now: Line) -> bool:
    noise = sum(ONE_ROUND if one.noise is None else one.noise for one in (before, now))
    if now.larger:
        return now.ratio < before.ratio * (1 - noise)
    return now.ratio > before.ratio * (1 + noise)
