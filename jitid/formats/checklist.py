"""Checks, and results of policy cases, for a terminal: one per line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jitid.formats.cell import cell, counted, folded
from jitid.formats.table import terminal_width

_SGR = {"ok": "32", "warning": "33", "failure": "1;31"}
_RESULT = {"passed": "32", "failed": "1;31"}
_STATUS = max(map(len, _SGR))
_LEGIBLE = 40


def text(checks: Sequence[Mapping[str, Any]], colour: bool) -> str:
    """Return the lines of rows with check, status, detail and repair; a narrow terminal has details below."""
    width = terminal_width()
    name_width = max((len(check["check"]) for check in checks), default=0)
    indent = _STATUS + name_width + 4
    same_line = width - indent >= _LEGIBLE
    lines: list[str] = []
    for check in checks:
        status = check["status"].ljust(_STATUS if same_line else 0)
        if colour:
            status = f"\x1b[{_SGR[check['status']]}m{status}\x1b[0m"
        head = f"{status}  {cell(check['check']).ljust(name_width)}"
        detail = folded(cell(check["detail"]), width, " " * (indent if same_line else 2)) or [""]
        lines += [f"{head}  {detail[0].lstrip()}", *detail[1:]] if same_line else [head.rstrip(), *detail]
        if check["repair"] is not None:
            # Not wrapped, so that it can be copied: the terminal may fold it.
            lines.append(f"{' ' * (indent if same_line else 2)}repair: {cell(check['repair'])}")
    return "".join(f"{line}\n" for line in lines)


_WIDEST = 100
"""Maximum width: longer lines are hard to read."""
_INDENT = " " * 8


def trials_text(
    rows: Sequence[Mapping[str, Any]], unreached: Sequence[Mapping[str, Any]], colour: bool
) -> Iterator[str]:
    """Yield the lines of cases with their results, and the rules that no case reaches."""
    width = min(terminal_width(), _WIDEST)
    for row in rows:
        word = row["result"].ljust(6)
        if colour:
            word = f"\x1b[{_RESULT[row['result']]}m{word}\x1b[0m"
        position = f"  ({cell(row['file'])}:{row['line']})" if row["result"] == "failed" else ""
        yield f"{word}  {cell(row['case'])}{position}\n"
        for field, expected in (row["expected"] or {}).items():
            yield from _wrapped_trial(
                f"{field}: expected {cell(expected)}, got {cell(row[field]) or 'none'}", width
            )
        if row["expected"]:
            yield from _wrapped_trial(cell(row["reason"]), width)
    failed = sum(row["result"] == "failed" for row in rows)
    yield f"{counted(len(rows), 'case')}, " + (
        f"{failed:,} not as expected\n" if failed else "all as expected\n"
    )
    if unreached:
        names = ", ".join(f"`{row['rule']}` ({row['file']})" for row in unreached)
        yield from _wrapped_trial(f"rules without a case: {cell(names)}", width, "")


def _wrapped_trial(words: str, width: int, indent: str = _INDENT) -> Iterator[str]:
    yield from (f"{line}\n" for line in folded(words, width, indent, indent or "  "))
