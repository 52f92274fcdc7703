"""Sections of lines in the files of git and of AWS's tools: every other line stays identical.

A section begins with a header line such as `[profile deploy]`, and ends before the next one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from jitid.capabilities.setup.splice import (
    ClientFileError,
    Splice,
    difference,
    lines_of,
    newline_of,
    terminated,
)
from jitid.values.text import MARK, quote

_HEADER = re.compile(r"[ \t]*\[[^\n]*", re.ASCII)
_KEY = re.compile(r"[ \t]*([A-Za-z][\w.-]*)[ \t]*(?:=|$)", re.ASCII)


def appended(text: str, header: str, lines: Sequence[str], *, gap: bool) -> list[Splice]:
    """Return the change that appends a section; `gap`: with a blank line before it."""
    newline = newline_of(text)
    before = terminated(text) + (newline if gap and text.removeprefix(MARK).strip() else "")
    # A line that ends with a backslash continues in the next one.
    if text.rstrip("\r\n").endswith("\\"):
        raise ClientFileError("its last line ends with a backslash")
    return [Splice(len(text), "", before + "".join(f"{line}{newline}" for line in (header, *lines)))]


def inserted(text: str, header: str, lines: Sequence[str]) -> list[Splice]:
    """Return the change that adds lines with new keys to a section, which is appended if there is none.

    Raises ClientFileError for a key that the section has already.
    """
    all_lines = lines_of(text)
    headers = [index for index, line in enumerate(all_lines) if _same_header(line, header)]
    if not headers:
        return appended(text, header, lines, gap=True)
    if len(headers) > 1:
        raise ClientFileError(f"it has the section {quote(header)} more than once")
    section = all_lines[headers[0] + 1 : _section_end(all_lines, headers[0])]
    present = {found[1].lower() for line in section if (found := _KEY.match(line))}
    for line in lines:
        key = line.partition("=")[0].strip().lower()
        if key in present:
            raise ClientFileError(f"{quote(header)} has another {quote(key)}")
    newline = newline_of(text)
    offset = sum(map(len, all_lines[: headers[0] + 1]))
    before = "" if all_lines[headers[0]].endswith("\n") else newline
    return [Splice(offset, "", before + "".join(f"{line}{newline}" for line in lines))]


def present(text: str, header: str, line: str) -> bool:
    """Return whether a section has a line."""
    return any(
        each.strip() == line.strip()
        for start, all_lines in _sections(text, header)
        for each in all_lines[start + 1 : _section_end(all_lines, start)]
    )


def removing(text: str, header: str, lines: Sequence[str]) -> list[Splice] | None:
    """Return the changes that remove lines from a section, and the section if it is empty then.

    Without the last of the lines, the user changed them: the result is then None.
    """
    all_lines = lines_of(text)
    own = [line.strip() for line in lines]
    for start, _ in _sections(text, header):
        end = _section_end(all_lines, start)
        indexes = [index for index in range(start + 1, end) if all_lines[index].strip() in own]
        if not any(all_lines[index].strip() == own[-1] for index in indexes):
            continue
        # A comment may precede the next section.
        others = [
            index for index in range(start + 1, end) if index not in indexes and all_lines[index].strip()
        ]
        if not others:
            indexes.append(start)
            if (
                start
                and not all_lines[start - 1].strip()
                and (end == len(all_lines) or not all_lines[end - 1].strip())
            ):
                indexes.append(start - 1)
        kept = "".join(line for index, line in enumerate(all_lines) if index not in set(indexes))
        return difference(text, kept)
    return None


def _sections(text: str, header: str) -> list[tuple[int, list[str]]]:
    all_lines = lines_of(text)
    return [(index, all_lines) for index, line in enumerate(all_lines) if _same_header(line, header)]


def _same_header(line: str, header: str) -> bool:
    return " ".join(line.removeprefix(MARK).split()) == " ".join(header.split())


def _section_end(lines: Sequence[str], start: int) -> int:
    return next((index for index in range(start + 1, len(lines)) if _HEADER.match(lines[index])), len(lines))
