"""A sweep's rows grouped by rule and state, for formats that show the first rows and count the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from jitid.capabilities.sweep.finding import Severity
from jitid.capabilities.sweep.findings_view import (
    SWEEP,
    Examined,
    FindingRow,
    Summary,
    SweptRow,
    SweptRows,
    Wording,
)


class FindingGroup:
    """The findings of one rule: the first ones, and their number."""

    def __init__(self, rule: str, limit: int, *, ended: bool, wording: Wording = SWEEP) -> None:
        self._wording = wording
        self.rule = rule
        self.ended = ended
        """Whether the sweep has ended these findings."""
        self.shown: list[FindingRow] = []
        """The first findings, without those in the baseline."""
        self.count = 0
        """Number of findings, without those in the baseline."""
        self.known = 0
        self.credentials = 0
        self._events: dict[int, None] = {}
        """The audit events that name the ended credentials, only the first few."""
        self._sweep = ""
        self._event: int | None = None
        self._worst = Severity.INFO
        self._most = limit

    def add(self, row: FindingRow) -> None:
        """Count another finding."""
        if row["state"] == "known":
            self.known += 1
            return
        self.count += 1
        if row["state"] != "ended":
            self.credentials += row["credentials"]
        elif row["event"] != self._event:
            # One event may have ended the credentials of many findings.
            self._event = row["event"]
            self.credentials += row["ended_credentials"] or 0
        severity = Severity(row["severity"])
        if severity.rank > self._worst.rank:
            self._worst = severity
        if row["event"] is not None and len(self._events) < self._most:
            self._events[row["event"]] = None
        self._sweep = row["sweep"] or ""
        if len(self.shown) < self._most:
            self.shown.append(row)

    @property
    def worst(self) -> Severity:
        """The highest severity of the findings that are not in the baseline."""
        return self._worst

    @property
    def left(self) -> int:
        """Number of findings that are not shown."""
        return self.count - len(self.shown)

    @property
    def listing(self) -> str:
        """The command that lists all these findings."""
        if not self.ended:
            return self._wording.listing.format(rule=self.rule)
        if len(self._events) == 1:
            return f"jitid audit log --members --event {next(iter(self._events))}"
        return f"jitid audit log --members --sweep {self._sweep or 'ID'}"


class Closing(NamedTuple):
    """The coverage of the rules, and the summary, which is missing if the rows broke off."""

    coverage: list[Examined]
    summary: Summary | None


def grouped(rows: SweptRows, limit: int, wording: Wording = SWEEP) -> Iterator[FindingGroup | Closing]:
    """Yield each group with its first `limit` findings when the next one begins, and the closing at the end."""
    coverage: list[Examined] = []
    summary: Summary | None = None
    group: FindingGroup | None = None
    for row in rows:
        if group is not None and not _belongs(row, group):
            yield group
            group = None
        if "state" in row:
            if group is None:
                group = FindingGroup(row["rule"], limit, ended=row["state"] == "ended", wording=wording)
            group.add(row)
        elif "coverage" in row:
            coverage.append(row["coverage"])
        else:
            summary = row["summary"]
    if group is not None:
        yield group
    yield Closing(coverage, summary)


def _belongs(row: SweptRow, group: FindingGroup) -> bool:
    return "state" in row and row["rule"] == group.rule and (row["state"] == "ended") == group.ended
