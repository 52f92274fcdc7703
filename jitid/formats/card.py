"""Cards of an HTML page: plots, and the tables of their figures.

Templates draw them (`card.html`, `columns.svg`). Colours come from the page's style by class (`bar`, `other`, `warn`),
so that a plot is light or dark like the page. Widths are percentages: text keeps its size on a phone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from jitid.model.survey import Spread


class Bar(NamedTuple):
    """One bar with its name."""

    name: str
    value: float
    shown: str
    """The value with its unit."""
    mark: str = "bar"
    """The class that colours it."""


class Bars(NamedTuple):
    """Horizontal bars below each other, each under its name and its value."""

    key: str
    """The plot's own prefix of ids on its page."""
    title: str
    parts: Sequence[Bar]
    whole: float
    """The value of a bar as wide as the plot."""

    @property
    def description(self) -> str:
        """The plot in words, for a screen reader."""
        return "; ".join([f"{part.name}: {part.shown}" for part in self.parts]) + "."

    def width(self, part: Bar) -> float:
        """Return the width of a bar in percent: 0 for a value of 0, otherwise wide enough to be seen."""
        return max(100 * min(part.value / self.whole, 1), 0.5) if part.value and self.whole else 0


class ChartColumns(NamedTuple):
    """Columns side by side over an axis with the first and the last name; the highest one has its value."""

    key: str
    title: str
    description: str
    parts: Sequence[tuple[str, int]]
    """Name and value of each, at least one."""
    mark: str = "bar"

    @property
    def highest(self) -> int:
        """The value that is as high as the plot."""
        return max(value for _, value in self.parts)


class CardTable(NamedTuple):
    """Rows with a name first and figures after it."""

    caption: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


class Card(NamedTuple):
    """A part of a page with its own heading; parts that it does not have are left out."""

    title: str
    note: str = ""
    """A sentence of jitid's own words."""
    bars: Bars | None = None
    columns: ChartColumns | None = None
    spread: Spread | None = None
    table: CardTable | None = None
    """The figures of the plot, shown to a reader who opens it."""
