"""Check of the table `honoured` (until when verifiers accept ended credentials) against the events."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from jitid.errors import IntegrityError

if TYPE_CHECKING:
    from jitid.capabilities.integrity.verify_pruned import PrunedMembers

_ENDED_AT, _EXPIRES_AT = itemgetter(2), itemgetter(4)


class HonouredMembers:
    """The comparison of the table `honoured` with the signed credentials that each event ended early."""

    def __init__(self, pruned: PrunedMembers) -> None:
        self._pruned = pruned
        self._ended: dict[int, tuple[int, int, int]] = {}
        """By event: the number of credentials, the first end, and the last expiry."""

    def take(self, seq: int, rows: Sequence[tuple[Any, ...]]) -> None:
        """Take the credentials that an event ended: rows of `EndedRow`."""
        if rows:
            self._ended[seq] = (len(rows), min(map(_ENDED_AT, rows)), max(map(_EXPIRES_AT, rows)))

    def compare_rows(self, rows: Sequence[tuple[int, int, int, int]], partly: Collection[int]) -> None:
        """Compare the rows of the table.

        Args:
            rows: (event, credentials, ended_at, expires_at) of each row.
            partly: events that ended rows of which some are gone; their row of the table may count more.

        Raises:
            IntegrityError: a row was edited, removed or inserted.

        """
        recorded = {seq: row for seq, *row in rows}
        for seq in self._ended.keys() | recorded.keys():
            if not self._is_right(seq, recorded.get(seq), partly):
                raise IntegrityError(
                    f"until when verifiers accept what event {seq} ended is not in the ledger as its rows say"
                )

    def _is_right(self, seq: int, recorded: Sequence[int] | None, partly: Collection[int]) -> bool:
        may_be_pruned, pruned_before = seq <= self._pruned.through, self._pruned.before
        expected = self._ended.get(seq)
        if recorded is None or expected is None:
            # A pruning deletes the credentials that had expired before it, and the row that counts them.
            (*_, expires_at) = recorded or expected or (0,)
            return may_be_pruned and expires_at < pruned_before
        (credentials, ended_at, expires_at), (count, first_at, last_expiry) = recorded, expected
        if ended_at != first_at or credentials < count or expires_at < last_expiry:
            return False
        if (credentials, expires_at) == (count, last_expiry):
            return True
        return seq in partly and may_be_pruned and (expires_at == last_expiry or expires_at < pruned_before)
