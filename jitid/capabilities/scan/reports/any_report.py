"""Reader for a report of any known scanner; the contents show the format."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from enum import StrEnum
from typing import Any, assert_never

from jitid.capabilities.scan.reports import (
    from_betterleaks,
    from_gitleaks,
    from_kingfisher,
    from_sarif,
    from_trufflehog,
)
from jitid.capabilities.scan.reports.json_reader import JsonReader
from jitid.capabilities.scan.reports.reported_finding import ReportedFinding
from jitid.errors import UsageError

REPORT_LABEL = "the report"
REDACTED = "search the place with jitid scan, or repeat the report without --redact"
"""Hint for a report that hides the strings it found."""


class ReportFormat(StrEnum):
    """The scanner or format of a report."""

    GITLEAKS = "gitleaks"
    KINGFISHER = "kingfisher"
    BETTERLEAKS = "betterleaks"
    TRUFFLEHOG = "trufflehog"
    SARIF = "sarif"


_KNOWN = (
    "expected JSON of gitleaks, kingfisher, betterleaks or trufflehog, or SARIF; for any text: jitid leak add"
)
_READ = frozenset(
    (
        "RuleID",
        "Secret",
        "Match",
        "File",
        "StartLine",
        "Commit",
        "Date",
        "rule",
        "finding",
        "rule_id",
        "match",
    )
) | {"attributes", "location", "DetectorName", "SourceMetadata", "Raw", "RawV2", "Verified"}
"""The members of findings that are read."""
_OF_THE_WHOLE = frozenset({"audit", "scan"})
"""Members by which kingfisher or betterleaks describe the scan as a whole."""


def parse(pieces: Iterable[bytes], format_: ReportFormat | None = None) -> Iterator[ReportedFinding]:
    """Yield each finding of a report, one place at a time; little more than one finding is held in memory.

    Args:
        pieces: the bytes of the report, cut anywhere.
        format_: the scanner or format; None detects it from the contents.

    Raises:
        UsageError: the report is cut short, not JSON, or of another format. The message states the number of findings
            that were yielded before.

    """
    count = 0
    try:
        for finding in _Report(pieces, format_).findings():
            count += 1
            yield finding
    except UsageError as error:
        progress = f", after {count} finding{'' if count == 1 else 's'}" if count else ""
        raise UsageError(f"{error.message}{progress}", error.hint) from error


class _Report:
    def __init__(self, pieces: Iterable[bytes], format_: ReportFormat | None) -> None:
        self._reading = JsonReader(pieces, REPORT_LABEL)
        self._format = format_
        self._seen = False
        """Whether any part showed that the format is known."""

    def findings(self) -> Iterator[ReportedFinding]:
        reading = self._reading
        first_mark = reading.peek()
        if first_mark not in ("[", "{"):
            raise UsageError(f"{REPORT_LABEL} is {'empty' if not first_mark else 'not JSON'}", _KNOWN)
        while mark := reading.peek():
            if mark == "[":
                yield from self._list()
            elif mark == "{":
                yield from self._object()
            else:
                raise reading.broken("is not JSON")
        if not self._seen:
            raise UsageError(f"{REPORT_LABEL} is not in the format of a known scanner", _KNOWN)

    def _list(self) -> Iterator[ReportedFinding]:
        # An empty list is the report of a scan without findings.
        self._seen = True
        for _ in self._reading.elements():
            yield self._finding(self._reading.value())

    def _object(self) -> Iterator[ReportedFinding]:
        """Yield the findings that an object lists, or the object itself if it is a finding."""
        reading = self._reading
        line = reading.glance()
        if line is not None and "findings" not in line and "runs" not in line:
            reading.pass_glanced()
        else:
            line = yield from self._walked()
        if not _OF_THE_WHOLE.isdisjoint(line):
            self._seen = True
        elif line:
            inner = line.get("finding")
            yield self._finding(inner if "rule" not in line and isinstance(inner, dict) else line)
            self._seen = True

    def _walked(self) -> Generator[ReportedFinding, None, dict[str, Any]]:
        """Yield the findings that an object lists. Return its members that a finding has; none if it lists findings."""
        reading = self._reading
        members: dict[str, Any] = {}
        listed = False
        for name in reading.members():
            if name == "runs" and reading.peek() == "[":
                self._must_be(ReportFormat.SARIF)
                self._seen = listed = True
                yield from from_sarif.read(reading)
            elif name == "findings" and reading.peek() == "[":
                listed = True
                yield from self._list()
            elif name in _READ and not listed:
                members[name] = reading.value()
            else:
                if name in _OF_THE_WHOLE:
                    members[name] = None
                reading.skip()
        return {} if listed else members

    def _finding(self, element: object) -> ReportedFinding:
        format_ = None if not isinstance(element, dict) else _format_of(element)
        if format_ is None or not isinstance(element, dict):
            raise UsageError(
                f"{REPORT_LABEL} has an element that is not a known finding, before {self._reading.place()}",
                _KNOWN,
            )
        self._must_be(format_)
        match format_:
            case ReportFormat.GITLEAKS:
                return from_gitleaks.read(element)
            case ReportFormat.KINGFISHER:
                return from_kingfisher.read(element)
            case ReportFormat.BETTERLEAKS:
                return from_betterleaks.read(element)
            case ReportFormat.TRUFFLEHOG:
                return from_trufflehog.read(element)
            case ReportFormat.SARIF:
                raise AssertionError("SARIF has no findings outside of runs")
            case _:
                assert_never(format_)

    def _must_be(self, format_: ReportFormat) -> None:
        if self._format is None:
            self._format = format_
        elif self._format is not format_:
            raise UsageError(
                f"{REPORT_LABEL} has the format {format_} instead of {self._format} at {self._reading.place()}",
                "put each report into a separate file",
            )


def _format_of(element: dict[str, Any]) -> ReportFormat | None:
    if from_gitleaks.is_one(element):
        return ReportFormat.GITLEAKS
    if from_kingfisher.is_one(element):
        return ReportFormat.KINGFISHER
    if from_betterleaks.is_one(element):
        return ReportFormat.BETTERLEAKS
    return ReportFormat.TRUFFLEHOG if from_trufflehog.is_one(element) else None
