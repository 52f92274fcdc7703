"""Check of the segments that were cut from the audit log against their events."""

from __future__ import annotations

from collections.abc import Iterator

from jitid.capabilities.audit.cut_store import CutStore, Segment, digest_of
from jitid.errors import IntegrityError
from jitid.model.event import Event
from jitid.values import strict_json

MARK = b'"op":"cut"'
"""Bytes of every event about a segment, and of no other event: inside a text the quotes would be escaped."""


class CutMembers:
    """The comparison of segments, and of the events that remain of them, with the events about segments."""

    def __init__(self, segments: CutStore) -> None:
        self._segments = segments
        self._rows = segments.all()
        self._expected: list[Segment] = []
        self.last: Segment | None = self._rows[-1] if self._rows else None
        """The last segment; None if the log was never cut."""
        self.through = 0 if self.last is None else self.last.through
        """The number of the last event that was cut, or may have been cut."""

    def kept(self) -> Iterator[Event]:
        """Yield the remaining events of the cut part.

        Raises:
            IntegrityError: they differ from the events that remained after the cut.

        """
        if self.last is None:
            return
        try:
            count, digest = digest_of(self._segments.kept(self.through))
        except TypeError as error:
            # An editor that uses a database's own functions may leave text instead of bytes.
            raise IntegrityError("an event that stayed is no longer the bytes that were written") from error
        if (count, digest) != (self.last.kept, self.last.digest):
            raise IntegrityError(
                "the events that stayed when the audit log was cut are not those that are there"
            )
        yield from self._segments.kept(self.through)

    def check(self, seq: int, body: bytes) -> None:
        """Take an event."""
        if MARK in body:
            event = strict_json.loads(body, "audit event")
            self._expected.append(Segment(seq, *(event.get(name) for name in Segment._fields[1:])))

    def compare_rows(self) -> None:
        """Compare the segments. Raises IntegrityError if a segment was edited, removed or inserted."""
        if sorted(self._expected, key=lambda segment: segment.event) != sorted(
            self._rows, key=lambda segment: segment.event
        ):
            raise IntegrityError("where the audit log was cut is not told as its events tell it")
