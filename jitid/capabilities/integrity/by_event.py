"""Rows of the ledger in the order of the events that account for them, taken event by event."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Generic, TypeVar

Row = TypeVar("Row")


class EventRows(Generic[Row]):
    """Takes the rows that belong to each event, where none is missing but of old events that were pruned.

    Args:
        rows: the rows in the order of their events.
        event: tells whose a row is.
        through: the number of the last event of which rows may be gone; 0 if of none.

    """

    def __init__(self, rows: Iterator[Row], event: Callable[[Row], int], through: int) -> None:
        self._rows = rows
        self._event = event
        self._through = through
        self._ahead: list[Row] = []
        """What was read and belongs to a later event: one row at most."""

    def take(self, seq: int, count: int) -> list[Row]:
        """Return the next `count` rows, or fewer where there are no more; of an old event what is left of its own."""
        if seq > self._through:
            if self._ahead and count:
                return [self._ahead.pop(), *islice(self._rows, count - 1)]
            return list(islice(self._rows, count))
        found: list[Row] = []
        while len(found) < count and (row := self.next()) is not None:
            if self._event(row) != seq:
                self._ahead.append(row)
                break
            found.append(row)
        return found

    def put_back(self, row: Row) -> None:
        """Let a row be the next one that was read just now."""
        self._ahead.append(row)

    def next(self) -> Row | None:
        """Return the next row, if there is one."""
        return self._ahead.pop() if self._ahead else next(self._rows, None)
