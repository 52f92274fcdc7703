"""What is searched for leaks: a text of any sort, or the report of a scanner, finding by finding."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import NamedTuple, Self

from jitid.capabilities.leak.places import kept, parts
from jitid.capabilities.scan.reports.any_report import REDACTED, WHAT, ReportFormat, parse
from jitid.capabilities.scan.reports.reported_finding import ReportedFinding
from jitid.cli import read_input
from jitid.cli.leak.search_stream import StreamSearch
from jitid.errors import JitidError, PartialError, UsageError
from jitid.model.sighting import MOST_PLACES, Sighting
from jitid.search.find import MARK, Finds, mark
from jitid.search.hidden import HiddenSearch
from jitid.search.pasted import LONGEST, SHORTEST, search_pasted
from jitid.search.secret_shapes import Shapes
from jitid.search.strings import ALL, add, search

_PIECE = 1 << 18
_AS_TEXT = "any text can be searched, without places: jitid leak add FILE"
_BATCH = 50_000
"""So many findings are looked up together; no more of them are held at a time."""
_BATCH_TEXT = 1 << 24
"""So many characters of tokens are, and of places."""
_MOST_MANY = 1_000
"""Of so many strings that stand in many places it is remembered from one batch to the next in how many."""


class LeakBatch(NamedTuple):
    """What is to be asked about at once."""

    finds: Finds
    sightings: Mapping[str, tuple[Sighting, ...]]
    """Where each string was seen, by its mark in hexadecimal."""


class TextSearch:
    """Searches a text of any sort, which tells of no places."""

    def __init__(self, path: str, shapes: Callable[[], Shapes | None] | None = None) -> None:
        """Take the file, `-` for standard input. Raises UsageError if there is none.

        `shapes` says how secrets look that were adopted.
        """
        read_input.check_text_file(path)
        self._text = StreamSearch(path, "the text", command="jitid leak add", shapes=shapes)

    def __enter__(self) -> Self:
        """Read its beginning. Raises UsageError."""
        self._text.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._text.close()

    @property
    def caveat(self) -> str | None:
        """Why something may be there though nothing was found, as a hint."""
        return self._text.caveat

    def batches(self, room: int | None = None) -> Iterator[LeakBatch]:
        """Search it, and yield what is to be asked about at once. Raises UsageError, StorageError."""
        return (LeakBatch(finds, {}) for finds in self._text.finds(room))

    def answered(self, marks: Iterable[str]) -> None:
        """Nobody asked which strings are known."""

    def shortcoming(self) -> JitidError | None:
        """Return the error for a text of which a part was not searched; None if all was."""
        if not self._text.missed:
            return None
        from jitid.cli.leak.trace_rows import incomplete

        return incomplete(self._text.missed, self._text.caveat, "jitid leak add")

    def nothing_recorded(self, error: JitidError) -> JitidError:
        """Return an error before which nothing was recorded, as it is."""
        return error

    def sentence(self) -> str | None:
        """Return None: a text is no list."""


class ReportSearch:
    """Searches a scanner's report, and counts what stood in it."""

    caveat: str | None = None
    """Why something may be there though nothing was found, as a hint."""

    def __init__(self, path: str, format_: ReportFormat | None = None) -> None:
        """Args are the file, `-` for standard input, and whose report it is, None to tell that by its content."""
        self._path = path
        self._format = format_
        self._descriptor = -1
        self.findings = 0
        """How many findings it has."""
        self.ours = 0
        """How many of them name what the ledger issued."""
        self.redacted = 0
        """How many of them do not say what was found."""
        self._missed: Counter[str] = Counter()
        """What in the others could not be searched, and how often."""
        self._many: dict[bytes, tuple[int, dict[_Place, Sighting]]] = {}
        """Of strings that were met as often as places are told: how often, and those places."""
        self._asked: list[tuple[str, ...]] = []
        """Of each finding that was yielded last and holds strings of ours, their marks."""

    def __enter__(self) -> Self:
        """Open it. Raises UsageError."""
        self._descriptor = read_input.opened(self._path, WHAT)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor > 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def batches(self, room: int | None = None) -> Iterator[LeakBatch]:
        """Search it, and yield what is to be asked about at once; `answered` is to be told which of it is known.

        `room` is how many characters whoever is asked about a batch takes at once; None for any number.

        Raises:
            UsageError: it cannot be read, is none, or shows nothing of what was found.

        """
        finds, places, size = Finds(), dict[bytes, dict[_Place, Sighting]](), 0
        for one in self._reported():
            self.findings += 1
            self.redacted += one.redacted
            signs = []
            seen = kept(one.sighting)
            found = _found(one, self._missed)
            finds.mistyped += found.mistyped
            for sort, key, count in found.strings():
                counts = getattr(finds, sort)
                sign = mark(sort, key)
                signs.append(sign.hex())
                # All places of a string are counted together, however many batches they come in.
                before, told = self._many.get(sign, _NEVER)
                # A finding is one place, however often the string stands in it.
                counts[key] = counts.get(key, before) + min(count, 1)
                known = places.setdefault(sign, dict(told))
                if len(known) < MOST_PLACES:
                    known.setdefault((seen.place, seen.line, seen.revision), seen)
                size += 2 * len(key) + len(seen.place)
            if signs:
                self._asked.append(tuple(signs))
            if len(self._asked) >= _BATCH or size >= _BATCH_TEXT:
                yield from self._yielded(finds, places, room)
                finds, places, size = Finds(), {}, 0
        if self.redacted == self.findings and self.findings:
            raise UsageError(
                f"{WHAT} does not show what was found: it is redacted; nothing was recorded", REDACTED
            )
        yield from self._yielded(finds, places, room)

    def answered(self, marks: Iterable[str]) -> None:
        """Take the marks of those strings of the batch that was yielded last which are of credentials."""
        known = frozenset(marks)
        left = [signs for signs in self._asked if known.isdisjoint(signs)]
        self.ours += len(self._asked) - len(left)
        self._asked = left

    def shortcoming(self) -> JitidError | None:
        """Return the error for findings that show nothing or were not searched completely; None if there are none."""
        what = "finding does" if self.redacted == 1 else "findings do"
        redacted = f"{self.redacted} {what} not show what was found, and could not be looked up"
        if self._missed:
            from jitid.cli.leak.trace_rows import incomplete

            error = incomplete(self._missed, None, "jitid leak add")
            error.message += f"; {redacted}" if self.redacted else ""
            return error
        return PartialError(redacted, REDACTED) if self.redacted else None

    def nothing_recorded(self, error: JitidError) -> JitidError:
        """Return an error before which nothing was recorded, with that in its message."""
        if self.findings and "nothing was" not in error.message:
            error.message += "; nothing was recorded"
        return error

    def sentence(self) -> str:
        """Return how many findings are of what the ledger issued."""
        are = "is" if self.ours == 1 else "are"
        return f"{self.ours} of {self.findings} finding{'' if self.findings == 1 else 's'} {are} ours"

    def _yielded(
        self, finds: Finds, places: Mapping[bytes, Mapping[_Place, Sighting]], room: int | None
    ) -> Iterator[LeakBatch]:
        told = {sign: tuple(seen.values()) for sign, seen in places.items()}
        for sort, key, count in finds.strings():
            sign = mark(sort, key) if count >= MOST_PLACES else b""
            if sign in places and (sign in self._many or len(self._many) < _MOST_MANY):
                self._many[sign] = count, dict(places[sign])
        for part, sightings in parts(finds, told, room):
            yield LeakBatch(part, sightings)
        self._asked.clear()

    def _reported(self) -> Iterator[ReportedFinding]:
        try:
            yield from parse(self._pieces(), self._format)
        except UsageError as error:
            raise UsageError(error.message, _AS_TEXT) from error

    def _pieces(self) -> Iterator[bytes]:
        try:
            while piece := read_input.piece_of(self._descriptor, _PIECE):
                yield piece
        except OSError as error:
            raise read_input.unreadable(self._path, WHAT, error) from error


_TOKEN = re.compile(rb"jitid_[0-9A-Za-z]{38}|(?:eyJ[\w-]+\.)?%b[\w-]+\.[\w-]{86}" % MARK)
_Place = tuple[str, int | None, str | None]
_NEVER: tuple[int, dict[_Place, Sighting]] = (0, {})


def _found(one: ReportedFinding, missed: Counter[str]) -> Finds:
    """Return jitid's strings in what a scanner found; count in `missed` what could not be searched."""
    finds = Finds()
    if len(one.text) > LONGEST:
        long = HiddenSearch(ALL)
        add(finds, long.found(one.text, 0, len(one.text), finds))
        missed.update(reason for reason, _ in long.missed)
        return finds
    search(one.text, 0, len(one.text), finds)
    if (finds.opaque or finds.signed) and len(_TOKEN.sub(b"", one.text)) < SHORTEST:
        # No room for another secret.
        return finds
    # It may be cut, encoded, or a secret that has no form of ours.
    return search_pasted(one.text, missed)
