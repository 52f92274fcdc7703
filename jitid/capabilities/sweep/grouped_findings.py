"""A sweep's rows by rule and state, counted, for formats that show the first of each and the number of the rest."""

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
    """The findings of one rule: those that are shown, and how many there are."""

    def __init__(self, rule: str, most: int, *, ended: bool, wording: Wording = SWEEP) -> None:
        self._wording = wording
        self.rule = rule
        self.ended = ended
        """They are those that the sweep has ended."""
        self.shown: list[FindingRow] = []
        """The first ones; of those that the baseline knows, none."""
        self.count = 0
        """How many were found, without those that the baseline knows."""
        self.known = 0
        self.credentials = 0
        self._events: dict[int, None] = {}
        """The audit events that name what was ended, the first few."""
        self._sweep = ""
        self._event: int | None = None
        self._worst = Severity.INFO
        self._most = most

    def add(self, row: FindingRow) -> None:
        """Count one more."""
        if row["state"] == "known":
            self.known += 1
            return
        self.count += 1
        if row["state"] != "ended":
            self.credentials += row["credentials"]
        elif row["event"] != self._event:
            # One event may have ended what many findings are about.
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
        """The gravest severity among those that the baseline does not know."""
        return self._worst

    @property
    def left(self) -> int:
        """How many are not shown."""
        return self.count - len(self.shown)

    @property
    def listing(self) -> str:
        """The command that lists them all."""
        if not self.ended:
            return self._wording.listing.format(rule=self.rule)
        if len(self._events) == 1:
            return f"jitid audit log --members --event {next(iter(self._events))}"
        return f"jitid audit log --members --sweep {self._sweep or 'ID'}"


class Closing(NamedTuple):
    """What stands at the end: what was examined, and the result as a whole; none of it if the rows broke off."""

    coverage: list[Examined]
    summary: Summary | None


def grouped(rows: SweptRows, most: int, wording: Wording = SWEEP) -> Iterator[FindingGroup | Closing]:
    """Yield a group as soon as another begins, with the first `most` findings of it, and at the end the closing."""
    coverage: list[Examined] = []
    summary: Summary | None = None
    group: FindingGroup | None = None
    for row in rows:
        if group is not None and not _belongs(row, group):
            yield group
            group = None
        if "state" in row:
            if group is None:
                group = FindingGroup(row["rule"], most, ended=row["state"] == "ended", wording=wording)
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
