"""The baseline of a sweep: findings that somebody knows of, and that are no news."""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from typing import Any, NamedTuple

from jitid.commands import reading
from jitid.errors import UsageError
from jitid.lifetime import format_time
from jitid.text import quote

SCHEMA = "jitid.baseline/1"
_LONGEST = 4_096


class Known:
    """The fingerprints of a baseline, eight bytes each: there may be a million."""

    def __init__(self, fingerprints: Iterator[str]) -> None:
        self._sorted = array("Q", sorted(array("Q", (int(text, 16) for text in fingerprints))))

    def __contains__(self, fingerprint: object) -> bool:
        value = int(str(fingerprint), 16)
        place = bisect_left(self._sorted, value)
        return place < len(self._sorted) and self._sorted[place] == value


class Entry(NamedTuple):
    """One finding of a baseline."""

    rule: str
    severity: str
    subject: str
    fingerprint: str


def read(path: str) -> Iterator[Entry]:
    """Yield the findings of the baseline in the file `path`.

    Raises:
        UsageError: it cannot be read, is no baseline, or one of another version.

    """
    lines = reading.lines(path, "the baseline", _LONGEST)
    _, first = next(lines, (0, ""))
    schema = _parsed(first, path).get("schema")
    if schema != SCHEMA:
        raise UsageError(
            f"{quote(path)} is no baseline of this version ({SCHEMA})"
            + (f" but {quote(str(schema))}" if schema else ""),
            "write it anew with --update-baseline, in another file",
        )
    for number, text in lines:
        row = _parsed(text, path)
        try:
            entry = Entry(*(str(row[name]) for name in Entry._fields))
            int(entry.fingerprint, 16)
        except (KeyError, ValueError):
            raise UsageError(f"line {number} of the baseline {quote(path)} is no finding") from None
        if len(entry.fingerprint) != 16:
            raise UsageError(f"line {number} of the baseline {quote(path)} is no finding")
        yield entry


def header(now: int) -> str:
    """Return the first line of a baseline."""
    return json.dumps({"schema": SCHEMA, "made_at": format_time(now)}) + "\n"


def line(entry: Entry) -> str:
    """Return the line of a finding."""
    return json.dumps(entry._asdict()) + "\n"


def _parsed(text: str, path: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise UsageError(f"{quote(path)} is no baseline", "make one with --update-baseline")
    return found
