"""What the ledger says that verifiers took after it had ended, compared with what events ended."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from jitid.errors import IntegrityError

if TYPE_CHECKING:
    from jitid.capabilities.integrity.verify_pruned import PrunedMembers

_ENDED_AT, _EXPIRES_AT = itemgetter(2), itemgetter(4)


class HonouredMembers:
    """Takes what each event ended that was signed and had not expired, and compares the table `honoured` with that."""

    def __init__(self, pruned: PrunedMembers) -> None:
        self._pruned = pruned
        self._ended: dict[int, tuple[int, int, int]] = {}
        """By the event: how many, the first end, and the last expiry."""

    def take(self, seq: int, rows: Sequence[tuple[Any, ...]]) -> None:
        """Go on with what an event ended: rows of `EndedRow`."""
        if rows:
            self._ended[seq] = (len(rows), min(map(_ENDED_AT, rows)), max(map(_EXPIRES_AT, rows)))

    def must_be_done(self, rows: Sequence[tuple[int, int, int, int]], partly: Collection[int]) -> None:
        """Compare the rows of the table.

        Args:
            rows: (event, credentials, ended_at, expires_at) of each.
            partly: events of which rows are gone that they ended: that explains a row that counts more of them.

        Raises:
            IntegrityError: one was edited, removed or inserted.

        """
        told = {seq: row for seq, *row in rows}
        for seq in self._ended.keys() | told.keys():
            if not self._is_right(seq, told.get(seq), partly):
                raise IntegrityError(
                    f"until when verifiers accept what event {seq} ended is not in the ledger as its rows say"
                )

    def _is_right(self, seq: int, told: Sequence[int] | None, partly: Collection[int]) -> bool:
        old, before = seq <= self._pruned.through, self._pruned.before
        found = self._ended.get(seq)
        if told is None or found is None:
            # What had expired before a pruning went with it: the row, and what it counted.
            (*_, expires_at) = told or found or (0,)
            return old and expires_at < before
        (credentials, ended_at, expires_at), (ended, first_at, last_expiry) = told, found
        if ended_at != first_at or credentials < ended or expires_at < last_expiry:
            return False
        if (credentials, expires_at) == (ended, last_expiry):
            return True
        return seq in partly and old and (expires_at == last_expiry or expires_at < before)
