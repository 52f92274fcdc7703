"""Results of policy cases for a terminal: one per line, with the differences from the expected answer below."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jitid.formats.cell import cell, counted
from jitid.formats.table import terminal_width

_SGR = {"passed": "32", "failed": "1;31"}
_WIDEST = 100
"""Maximum width: longer lines are hard to read."""
_INDENT = " " * 8


def text(
    rows: Sequence[Mapping[str, Any]], unreached: Sequence[Mapping[str, Any]], colour: bool
) -> Iterator[str]:
    """Yield the lines of cases with their results, and the rules that no case reaches."""
    width = min(terminal_width(), _WIDEST)
    for row in rows:
        word = row["result"].ljust(6)
        if colour:
            word = f"\x1b[{_SGR[row['result']]}m{word}\x1b[0m"
        position = f"  ({cell(row['file'])}:{row['line']})" if row["result"] == "failed" else ""
        yield f"{word}  {cell(row['case'])}{position}\n"
        for field, expected in (row["expected"] or {}).items():
            yield from _wrapped(
                f"{field}: expected {cell(expected)}, got {cell(row[field]) or 'none'}", width
            )
        if row["expected"]:
            yield from _wrapped(cell(row["reason"]), width)
    failed = sum(row["result"] == "failed" for row in rows)
    yield f"{counted(len(rows), 'case')}, " + (
        f"{failed:,} not as expected\n" if failed else "all as expected\n"
    )
    if unreached:
        names = ", ".join(f"`{row['rule']}` ({row['file']})" for row in unreached)
        yield from _wrapped(f"reached by no case: {cell(names)}", width, "")


def _wrapped(words: str, width: int, indent: str = _INDENT) -> Iterator[str]:
    lines = textwrap.wrap(
        words,
        width,
        initial_indent=indent,
        subsequent_indent=indent or "  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    yield from (f"{line}\n" for line in lines)
