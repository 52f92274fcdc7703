"""Inputs that are searched for leaks: any text, or a scanner's report, finding by finding."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Self

from jitid.capabilities.leak.trace_result import kept_places, place_parts
from jitid.capabilities.scan.reports.any_report import REDACTED, REPORT_LABEL, ReportFormat, parse
from jitid.capabilities.scan.reports.reported_finding import ReportedFinding
from jitid.capabilities.scan.search_stream import StreamSearch, incomplete
from jitid.errors import JitidError, PartialError, UsageError
from jitid.model.leak import MOST_PLACES, Sighting
from jitid.search.find import MARK, Finds, Shapes, mark
from jitid.search.hidden import HiddenSearch
from jitid.search.pasted import LONGEST, SHORTEST, search_pasted
from jitid.search.strings import ALL, add, search
from jitid.system.read_input import opened, piece_of, unreadable
from jitid.values.record import Record

_PIECE = 1 << 18
COMMAND = "jitid leak add"
_AS_TEXT = f"to search the file as text, without places: {COMMAND} FILE"
_BATCH = 50_000
"""Maximum number of findings that are looked up together, and held in memory."""
_BATCH_TEXT = 1 << 24
"""Maximum number of characters of strings and places in a batch."""
_MOST_MANY = 1_000
"""Maximum number of frequent strings whose number of places is remembered from batch to batch."""


class LeakBatch(Record):
    """Strings to look up together."""

    finds: Finds
    sightings: Mapping[str, tuple[Sighting, ...]]
    """Places of each string, by its mark in hexadecimal."""


class TextSearch:
    """Search of any text. It reports no places."""

    def __init__(self, path: str, shapes: Callable[[], Shapes | None] | None = None) -> None:
        """Take the file, `-` for standard input.

        `shapes` returns the forms of adopted secrets.
        """
        self._text = StreamSearch(path, "the text", command=COMMAND, shapes=shapes)

    def __enter__(self) -> Self:
        """Read the beginning of the text. Raises UsageError."""
        self._text.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._text.close()

    @property
    def caveat(self) -> str | None:
        """Hint why the search may have missed a secret, or None."""
        return self._text.caveat

    def batches(self, room: int | None = None) -> Iterator[LeakBatch]:
        """Search the text, and yield the batches to look up. Raises UsageError, StorageError."""
        return (LeakBatch(finds, {}) for finds in self._text.finds(room))

    def answered(self, marks: Iterable[str]) -> None:
        """Ignore the marks: a text has no findings to count."""

    def shortcoming(self) -> JitidError | None:
        """Return the error for a text of which a part was not searched; None if all was."""
        return self._text.shortcoming()

    def nothing_recorded(self, error: JitidError) -> JitidError:
        """Return the error unchanged."""
        return error

    def sentence(self) -> str | None:
        """Return None: a text has no findings to count."""


class ReportSearch:
    """Search of a scanner's report, with counts of its findings."""

    caveat: str | None = None
    """Hint why the search may have missed a secret, or None."""

    def __init__(self, path: str, format_: ReportFormat | None = None) -> None:
        """Take the file, `-` for standard input, and the report's format. None detects the format from the content."""
        self._path = path
        self._format = format_
        self._descriptor = -1
        self.findings = 0
        """Number of findings in the report."""
        self.issued_findings = 0
        """Number of findings with a string that the ledger issued."""
        self.redacted = 0
        """Number of findings that do not show the found string."""
        self._missed: Counter[str] = Counter()
        """Reasons why parts of the other findings could not be searched, with counts."""
        self._many: dict[bytes, tuple[int, dict[_Place, Sighting]]] = {}
        """Strings with the maximum number of places: the number of their findings, and those places."""
        self._finding_marks: list[tuple[str, ...]] = []
        """Marks of each finding in the current batch that contains strings of jitid."""

    def __enter__(self) -> Self:
        """Open the report. Raises UsageError."""
        self._descriptor = opened(self._path, REPORT_LABEL)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor > 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def batches(self, room: int | None = None) -> Iterator[LeakBatch]:
        """Search the report, and yield the batches to look up. After each batch, pass the known marks to `answered`.

        `room` is the maximum number of characters of one request to the ledger; None means no limit.

        Raises:
            UsageError: the file cannot be read, is not a report, or shows none of the found strings.

        """
        finds, sightings, size = Finds(), dict[bytes, dict[_Place, Sighting]](), 0
        for finding in self._reported():
            self.findings += 1
            self.redacted += finding.redacted
            marks = []
            sighting = kept_places(finding.sighting)
            finding_finds = _found(finding, self._missed)
            finds.mistyped += finding_finds.mistyped
            for category, key, count in finding_finds.strings():
                counts = getattr(finds, category)
                string_mark = mark(category, key)
                marks.append(string_mark.hex())
                # The places of a string are counted across batches.
                earlier_count, earlier_sightings = self._many.get(string_mark, _NEVER)
                # A finding is one place, even if it contains the string several times.
                counts[key] = counts.get(key, earlier_count) + min(count, 1)
                string_sightings = sightings.setdefault(string_mark, dict(earlier_sightings))
                if len(string_sightings) < MOST_PLACES:
                    string_sightings.setdefault((sighting.place, sighting.line, sighting.revision), sighting)
                size += 2 * len(key) + len(sighting.place)
            if marks:
                self._finding_marks.append(tuple(marks))
            if len(self._finding_marks) >= _BATCH or size >= _BATCH_TEXT:
                yield from self._yielded(finds, sightings, room)
                finds, sightings, size = Finds(), {}, 0
        if self.redacted == self.findings and self.findings:
            raise UsageError(
                f"{REPORT_LABEL} is redacted, and does not show the found strings; nothing was recorded",
                REDACTED,
            )
        yield from self._yielded(finds, sightings, room)

    def answered(self, marks: Iterable[str]) -> None:
        """Take the marks of the strings in the last batch that belong to credentials."""
        known_marks = frozenset(marks)
        remaining = [
            finding_marks for finding_marks in self._finding_marks if known_marks.isdisjoint(finding_marks)
        ]
        self.issued_findings += len(self._finding_marks) - len(remaining)
        self._finding_marks = remaining

    def shortcoming(self) -> JitidError | None:
        """Return the error for redacted or incompletely searched findings; None if there are none."""
        subject = "finding is" if self.redacted == 1 else "findings are"
        redacted = f"{self.redacted} {subject} redacted, and could not be looked up"
        if self._missed:
            error = incomplete(self._missed, None, COMMAND)
            error.message += f"; {redacted}" if self.redacted else ""
            return error
        return PartialError(redacted, REDACTED) if self.redacted else None

    def nothing_recorded(self, error: JitidError) -> JitidError:
        """Return the error with "nothing was recorded" in its message."""
        if self.findings and "nothing was" not in error.message:
            error.message += "; nothing was recorded"
        return error

    def sentence(self) -> str:
        """Return a sentence with the number of findings that the ledger issued."""
        verb = "shows" if self.issued_findings == 1 else "show"
        findings = f"{self.findings} finding{'' if self.findings == 1 else 's'}"
        return f"{self.issued_findings} of {findings} {verb} a secret of this ledger"

    def _yielded(
        self, finds: Finds, string_sightings: Mapping[bytes, Mapping[_Place, Sighting]], room: int | None
    ) -> Iterator[LeakBatch]:
        by_mark = {
            string_mark: tuple(by_place.values()) for string_mark, by_place in string_sightings.items()
        }
        for category, key, count in finds.strings():
            string_mark = mark(category, key) if count >= MOST_PLACES else b""
            if string_mark in string_sightings and (
                string_mark in self._many or len(self._many) < _MOST_MANY
            ):
                self._many[string_mark] = count, dict(string_sightings[string_mark])
        for part, sightings in place_parts(finds, by_mark, room):
            yield LeakBatch(part, sightings)
        self._finding_marks.clear()

    def _reported(self) -> Iterator[ReportedFinding]:
        try:
            yield from parse(self._pieces(), self._format)
        except UsageError as error:
            raise UsageError(error.message, _AS_TEXT) from error

    def _pieces(self) -> Iterator[bytes]:
        try:
            while piece := piece_of(self._descriptor, _PIECE):
                yield piece
        except OSError as error:
            raise unreadable(self._path, REPORT_LABEL, error) from error


_TOKEN = re.compile(rb"jitid_[0-9A-Za-z]{38}|(?:eyJ[\w-]+\.)?%b[\w-]+\.[\w-]{86}(?:[\w-]{256})?" % MARK)
_Place = tuple[str, int | None, str | None]
_NEVER: tuple[int, dict[_Place, Sighting]] = (0, {})


def _found(finding: ReportedFinding, missed: Counter[str]) -> Finds:
    """Return jitid's strings in a finding. Count in `missed` the reasons why parts could not be searched."""
    finds = Finds()
    if len(finding.text) > LONGEST:
        hidden_search = HiddenSearch(ALL)
        add(finds, hidden_search.found(finding.text, 0, len(finding.text), finds))
        missed.update(reason for reason, _ in hidden_search.missed)
        return finds
    search(finding.text, 0, len(finding.text), finds)
    if (finds.opaque or finds.signed) and len(_TOKEN.sub(b"", finding.text)) < SHORTEST:
        # The rest is too short for another secret.
        return finds
    # The text may be cut or encoded, or a secret without jitid's form.
    return search_pasted(finding.text, missed)
