"""A value as the text of one cell, and figures as people read them: counts in groups of three, shares in percent."""

from __future__ import annotations

from collections.abc import Mapping

from jitid.values.text import safe
from jitid.values.times import brief_duration


def plain(value: object) -> str:
    """Return a value as text, unescaped: a sequence joined by spaces, a mapping as JSON, None as nothing."""
    if type(value) is str:
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if type(value) is int:
        return str(value)
    if isinstance(value, Mapping):
        from jitid.values.strict_json import dumps

        return dumps(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return " ".join(plain(item) for item in value)
    return str(value)


def cell(value: object) -> str:
    """Return a value as text that cannot control a terminal: one line, without tabs and control characters."""
    return safe(plain(value))


def folded(words: str, width: int, first: str = "", rest: str | None = None) -> list[str]:
    """Return words in lines after an indent; `rest` is the indent of further lines, if it differs.

    A word that is wider than a line is not broken: a path or an id must stay whole, and the terminal folds it.
    """
    import textwrap

    return textwrap.wrap(
        words,
        width,
        initial_indent=first,
        subsequent_indent=first if rest is None else rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


NONE = "-"
"""The text for a missing value."""


def count(number: int | None) -> str:
    """Return a count such as `1,570,000`."""
    return NONE if number is None else f"{number:,}"


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """Return a count with its noun: `1 task`, `2 tasks`."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def percent(share: float | None) -> str:
    """Return a share from 0 to 1 in percent; a share close to 0 or 1 is not rounded to it."""
    if share is None:
        return NONE
    if 0 < share < 0.001:
        return "< 0.1 %"
    if 0.999 < share < 1:
        return "> 99.9 %"
    return f"{100 * share:.1f} %".replace("100.0", "100")


def mean(number: float | None) -> str:
    """Return an average with one place."""
    return NONE if number is None else f"{number:,.1f}"


def duration(seconds: int | None) -> str:
    """Return a duration such as `8h` or `1d4h`."""
    return NONE if seconds is None else brief_duration(seconds)


_UNITS = ("bytes", "kB", "MB", "GB", "TB")
_STEP = 1000


def size(count: int) -> str:
    """Return a number of bytes in a unit for people."""
    amount, unit = float(count), 0
    while amount >= _STEP and unit < len(_UNITS) - 1:
        amount, unit = amount / _STEP, unit + 1
    return f"{count} {_UNITS[0]}" if unit == 0 else f"{amount:.3g} {_UNITS[unit]}"
