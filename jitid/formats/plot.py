"""Plots inside a page, drawn as SVG: as wide as there is room, with a name and a description for who cannot see them.

Colours come from the page's style by class (`bar`, `track`, `other`, `warn`, `axis`, `grid`, `name`, `value`,
`tick`), so that a plot is light or dark as the page is. Widths are shares of the whole: text keeps its size on a phone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from jitid.formats.page import text

_HEIGHT = 132
_TOP, _FLOOR = 22, 108


class Bar(NamedTuple):
    """One bar with its name."""

    name: str
    value: float
    shown: str
    """The value with its unit."""
    mark: str = "bar"
    """The class of the page's style that colours it."""


class Column(NamedTuple):
    """One column of a row of them, such as a day."""

    name: str
    value: int
    shown: str


def bars(key: str, title: str, told: str, parts: Sequence[Bar], whole: float) -> str:
    """Return horizontal bars below each other, each under its name and its value; `whole` is as wide as the plot.

    `key` tells the plot from the others on its page. Names are lines of HTML, which are folded where they are too
    long: SVG would cut them off.
    """
    lines = []
    for part in parts:
        share = 100 * min(part.value / whole, 1) if whole else 0
        bar = f'<rect class="{part.mark}" width="{max(share, 0.5):.2f}%" height="7" rx="2"/>' if share else ""
        lines.append(
            f'<div class="row"><span class="name">{text(part.name)}</span> '
            f'<span class="value">{text(part.shown)}</span></div>'
            f'<svg width="100%" height="7"><rect class="track" width="100%" height="7" rx="2"/>{bar}</svg>'
        )
    return (
        f'<div class="plot bars" role="img" aria-labelledby="{key}-t" aria-describedby="{key}-d">'
        f'<span id="{key}-t" hidden>{text(title)}</span><span id="{key}-d" hidden>{text(told)}</span>'
        f'<div aria-hidden="true">{"".join(lines)}</div></div>'
    )


def read_out(parts: Sequence[Bar]) -> str:
    """Return a plot in words."""
    return "; ".join([f"{part.name}: {part.shown}" for part in parts]) + "."


def columns(key: str, title: str, told: str, parts: Sequence[Column], mark: str = "bar") -> str:
    """Return columns side by side over an axis with the first and the last name; the highest one says its value."""
    most = max((part.value for part in parts), default=0)
    step = 100 / max(len(parts), 1)
    lines = [f'<line class="grid" x1="0" x2="100%" y1="{_TOP}" y2="{_TOP}"/>'] if most else []
    for number, part in enumerate(parts):
        left, height = number * step, (_FLOOR - _TOP) * part.value / most if part.value else 0
        column = (
            f'<rect class="{mark}" x="{left + 0.12 * step:.3f}%" width="{0.76 * step:.3f}%" '
            f'y="{_FLOOR - max(height, 1.5):.2f}" height="{max(height, 1.5):.2f}"/>'
        )
        # Each stands on a place that shows its value, also where there is nothing to see.
        lines.append(
            f"<g><title>{text(part.name)}: {text(part.shown)}</title>"
            f'<rect class="place" x="{left:.3f}%" width="{step:.3f}%" y="{_TOP}" height="{_FLOOR - _TOP}"/>'
            f"{column if height else ''}</g>"
        )
    lines.append(f'<line class="axis" x1="0" x2="100%" y1="{_FLOOR}" y2="{_FLOOR}"/>')
    highest = max(parts, key=lambda part: part.value).shown if most else "none"
    lines.append(f'<text class="tick" x="0" y="{_TOP - 7}">{text(highest)}</text>')
    if parts:
        lines.append(f'<text class="tick" x="0" y="{_FLOOR + 18}">{text(parts[0].name)}</text>')
    if len(parts) > 1:
        lines.append(
            f'<text class="tick" x="100%" y="{_FLOOR + 18}" text-anchor="end">{text(parts[-1].name)}</text>'
        )
    return (
        f'<svg class="plot" role="img" aria-labelledby="{key}-t" aria-describedby="{key}-d" width="100%" '
        f'height="{_HEIGHT}"><title id="{key}-t">{text(title)}</title><desc id="{key}-d">{text(told)}</desc>'
        f"{''.join(lines)}</svg>"
    )
