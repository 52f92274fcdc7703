"""The baseline of a sweep: a file with known findings, which do not count."""

from __future__ import annotations

import json
import os
import tempfile
from array import array
from collections.abc import Iterator, Mapping
from typing import Any, Self

from jitid.capabilities.sweep.finding import Finding, KnownFindings, Severity
from jitid.errors import UsageError
from jitid.system import read_input
from jitid.system.files import remove_leftovers, writing_private
from jitid.values.record import Record
from jitid.values.text import quote

SCHEMA = "jitid.baseline/1"
_LONGEST = 1 << 20


class BaselineEntry(Record):
    """One finding of a baseline."""

    rule: str
    severity: str
    subject: str
    fingerprint: str
    credentials: int
    """Number of credentials of the finding. A larger number makes it new again."""


class NewBaseline:
    """Findings for a baseline file, which is written at the end, completely or not at all."""

    def __init__(self, path: str | None) -> None:
        """Collect findings for the file at `path`; without a path collect none."""
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
        """Collect a finding. A critical finding is never part of a baseline."""
        if self._file is not None and finding.severity is not Severity.CRITICAL:
            entry = BaselineEntry(
                finding.rule,
                finding.severity.value,
                finding.subject,
                finding.fingerprint,
                finding.credentials,
            )
            self._added.append(int(entry.fingerprint, 16))
            self._file.write(json.dumps(entry._asdict()) + "\n")

    def finish(self, complete: Mapping[str, bool]) -> None:
        """Write the file. Keep its old entries for rules that were not examined completely.

        Raises OutputError, and UsageError like `entries`.
        """
        if self._file is None or self._path is None:
            return
        added = KnownFindings((fingerprint, 0) for fingerprint in self._added)
        for entry in entries(self._path, new=True):
            if not complete.get(entry.rule) and added.number(int(entry.fingerprint, 16)) < 0:
                self._file.write(json.dumps(entry._asdict()) + "\n")
        self._file.seek(0)
        with writing_private(self._path) as file:
            file.write(json.dumps({"schema": SCHEMA}) + "\n")
            for line in self._file:
                file.write(line)
        remove_leftovers(self._path)


def entries(path: str, *, new: bool) -> Iterator[BaselineEntry]:
    """Yield the findings of the baseline in the file `path`. A `new` baseline may be missing.

    Raises:
        UsageError: it cannot be read, is not a baseline, or has another version.

    """
    if new and not os.path.lexists(path):
        return
    lines = read_input.lines(path, "the baseline", _LONGEST)
    _, first_line = next(lines, (0, ""))
    schema = _parsed(first_line, path).get("schema")
    if schema != SCHEMA:
        other = f": its schema is {quote(str(schema))}" if schema else ""
        raise UsageError(
            f"{quote(path)} is not a baseline of version {SCHEMA}{other}; nothing was changed",
            "write another file: --baseline NEW --update-baseline",
        )
    for line_number, line in lines:
        row = _parsed(line, path)
        entry = _entry(row)
        if entry is None:
            raise UsageError(f"line {line_number} of the baseline {quote(path)} is not a finding")
        yield entry


def _entry(row: Mapping[str, Any]) -> BaselineEntry | None:
    entry = BaselineEntry._make(row.get(name) for name in BaselineEntry._fields)
    if not all(isinstance(value, str) for value in entry[:4]) or type(entry.credentials) is not int:
        return None
    well_formed = len(entry.fingerprint) == 16 and not entry.fingerprint.strip("0123456789abcdef")
    return entry if well_formed and 0 <= entry.credentials < 1 << 63 else None


def _parsed(text: str, path: str) -> dict[str, Any]:
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise UsageError(
            f"{quote(path)} is not a baseline; nothing was changed",
            "create one: --baseline NEW --update-baseline",
        )
    return parsed


def known_findings(path: str | None, *, new: bool) -> KnownFindings:
    """Return the findings of a baseline; none without a file. A `new` baseline may be missing. Raises UsageError."""
    if path is None:
        return KnownFindings(())
    return KnownFindings((int(entry.fingerprint, 16), entry.credentials) for entry in entries(path, new=new))
