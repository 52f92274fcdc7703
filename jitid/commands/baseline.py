"""The baseline of a sweep: findings that somebody knows of, and that are no news."""

from __future__ import annotations

import json
import os
import tempfile
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Self

from jitid.commands import reading
from jitid.errors import UsageError
from jitid.files import writing_private
from jitid.sweep.finding import Finding, Severity
from jitid.text import quote

SCHEMA = "jitid.baseline/1"
_LONGEST = 4_096


class Entry(NamedTuple):
    """One finding of a baseline."""

    rule: str
    severity: str
    subject: str
    fingerprint: str


class Known:
    """The fingerprints of a baseline, eight bytes each: there may be a million."""

    def __init__(self, fingerprints: Iterable[int]) -> None:
        self._sorted = array("Q", sorted(array("Q", fingerprints)))

    def __contains__(self, fingerprint: object) -> bool:
        value = int(str(fingerprint), 16)
        place = bisect_left(self._sorted, value)
        return place < len(self._sorted) and self._sorted[place] == value


class NewBaseline:
    """Gathers what is left for a baseline that is written at the end, whole or not at all."""

    def __init__(self, path: str | None) -> None:
        """Without a path nothing is gathered."""
        self._path = path
        self._added = array("Q")
        # Closed by __exit__.
        self._file = None if path is None else tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, finding: Finding) -> None:
        """Gather a finding; what is critical never becomes old news."""
        if self._file is not None and finding.severity is not Severity.CRITICAL:
            entry = Entry(finding.rule, finding.severity.value, finding.subject, finding.fingerprint)
            self._added.append(int(entry.fingerprint, 16))
            self._file.write(json.dumps(entry._asdict()) + "\n")

    def finish(self, complete: Mapping[str, bool]) -> None:
        """Write the file; what stood in it of rules that were not wholly asked stays.

        Raises OutputError, and UsageError as `entries` does.
        """
        if self._file is None or self._path is None:
            return
        again = Known(self._added)
        for entry in entries(self._path, new=True):
            if not complete.get(entry.rule) and entry.fingerprint not in again:
                self._file.write(json.dumps(entry._asdict()) + "\n")
        self._file.seek(0)
        with writing_private(self._path) as file:
            file.write(json.dumps({"schema": SCHEMA}) + "\n")
            for line in self._file:
                file.write(line)


def entries(path: str, *, new: bool) -> Iterator[Entry]:
    """Yield the findings of the baseline in the file `path`; a `new` one need not be there.

    Raises:
        UsageError: it cannot be read, is no baseline, or one of another version.

    """
    if new and not os.path.lexists(path):
        return
    lines = reading.lines(path, "the baseline", _LONGEST)
    _, first = next(lines, (0, ""))
    schema = _parsed(first, path).get("schema")
    if schema != SCHEMA:
        other = f": it says {quote(str(schema))}" if schema else ""
        raise UsageError(
            f"{quote(path)} is no baseline of this version, {SCHEMA}{other}; nothing was changed",
            "write another file: --baseline NEW --update-baseline",
        )
    for number, text in lines:
        row = _parsed(text, path)
        try:
            entry = Entry(*(str(row[name]) for name in Entry._fields))
            valid = len(bytes.fromhex(entry.fingerprint)) == 8
        except (KeyError, ValueError):
            valid = False
        if not valid:
            raise UsageError(f"line {number} of the baseline {quote(path)} is no finding")
        yield entry


def _parsed(text: str, path: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise UsageError(
            f"{quote(path)} is no baseline; nothing was changed", "make one: --baseline NEW --update-baseline"
        )
    return found
