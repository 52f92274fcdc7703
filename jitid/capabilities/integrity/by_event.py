"""Rows of the ledger, event by event, in the order of the events that account for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Generic, TypeVar

Row = TypeVar("Row")


class EventRows(Generic[Row]):
    """A reader of the rows of each event; rows may be missing only for old events that were pruned.

    Args:
        rows: the rows in the order of their events.
        event: returns the event of a row.
        through: the number of the last event of which rows may be gone; 0 if no rows may be gone.

    """

    def __init__(self, rows: Iterator[Row], event: Callable[[Row], int], through: int) -> None:
        self._rows = rows
        self._event = event
        self._through = through
        self._ahead: list[Row] = []
        """The row that was read ahead and belongs to a later event: at most one."""

    def take(self, seq: int, count: int) -> list[Row]:
        """Return the next `count` rows, or fewer if there are no more; of an old event, its remaining rows."""
        if seq > self._through:
            if self._ahead and count:
                return [self._ahead.pop(), *islice(self._rows, count - 1)]
            return list(islice(self._rows, count))
        rows: list[Row] = []
        while len(rows) < count and (row := self.next()) is not None:
            if self._event(row) != seq:
                self._ahead.append(row)
                break
            rows.append(row)
        return rows

    def put_back(self, row: Row) -> None:
        """Put back the row that was read last, so that it is returned next."""
        self._ahead.append(row)

    def next(self) -> Row | None:
        """Return the next row, if there is one."""
        return self._ahead.pop() if self._ahead else next(self._rows, None)
