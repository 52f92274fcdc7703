"""Check of the rows that remain of old events against the digests that the last pruning recorded."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from jitid.capabilities.integrity.prune_store import PruneStore, Remains, request_parts
from jitid.errors import IntegrityError
from jitid.ledger.expiry import Pruned
from jitid.ledger.idempotency import REMEMBERED
from jitid.ledger.select import NO_PRUNED_LEAKS, PrunedLeaks
from jitid.model.approval import Approval

MARK = b'"op":"prune"'
"""Bytes of every event about a pruning, and of no other event: inside a text the quotes would be escaped."""


class PrunedMembers:
    """The comparison of the rows that remain of old events with the digests that the last pruning recorded.

    Without a pruning no row may be gone: then it takes no rows, and `through` is 0.
    """

    def __init__(self, prunes: PruneStore) -> None:
        self._prunes = prunes
        self._last = prunes.last()
        self.through = 0 if self._last is None else self._last.through
        """The number of the last event of which rows may be gone."""
        self.prunable_uses = (0, 0) if self._last is None else (self._last.before, self._last.through)
        """The time before which, and the event up to which, actions without a credential may be gone."""
        self.leaks = NO_PRUNED_LEAKS if self._last is None else PrunedLeaks("condemned", self._last.leaks)
        """The leaks that may be gone."""
        self.condemned_table = "" if self._last is None else "condemned"
        """The table of identities that are gone, although some of their rows may still exist."""
        self.before = 0
        """The time before which all pruned rows had ended and expired, in seconds since the epoch."""
        self.answers = 0
        """The time before which answers to requests may be gone, in seconds since the epoch."""
        self._remains = Remains()
        self._last_event: tuple[int, Mapping[str, Any]] | None = None

    def take(self, seq: int, event: Mapping[str, Any]) -> None:
        """Take the event of a pruning; the last one counts."""
        self._last_event = (seq, event)
        self.before = max(self.before, event["before"])
        # Unless the clock was set back since, no earlier answer still counts.
        self.answers = max(self.answers, event["at"] - REMEMBERED)

    def left(self, side: str, seq: int, parts: Iterable[bytes]) -> None:
        """Take the parts of the remaining rows of an event, as `Remains.digests` lists them for each of `SIDES`."""
        if seq <= self.through:
            self._remains.take(side, seq, parts)

    def proved(self, rows: Iterable[tuple[int, int, bytes]]) -> None:
        """Take the remaining leaks of a proof of which some leaks may be gone: time, number and jti."""
        for _, leak, jti in rows:
            self._remains.take("proofs", leak, [jti])

    def request(self, row: Approval) -> None:
        """Take a remaining request for approval."""
        self.left("approvals", row.event, request_parts(row, self.through))

    def there(self, jtis: Collection[bytes]) -> list[bytes]:
        """Return which of these credentials are in the ledger and not condemned."""
        return list(jtis) if self._last is None else self._prunes.there(jtis)

    def compare_rows(self) -> None:
        """Compare the event of the last pruning with the remaining rows.

        Raises:
            IntegrityError: they differ; the ledger's record of the pruning or its event is missing; or a credential is
                condemned that was still needed.

        """
        seq, document = self._last_event or (0, {})
        if self._last is None:
            if self._last_event is not None:
                raise IntegrityError(f"event {seq} pruned the ledger, but the ledger no longer records that")
            return
        if (seq, *(document.get(name) for name in Pruned._fields[1:])) != self._last:
            raise IntegrityError("the ledger records a pruning that no event records")
        if document["left"] != self._remains.digests():
            raise IntegrityError(
                f"the remaining rows of the ledger do not match event {seq}, which pruned it"
            )
        if self._prunes.is_wrongly_condemned():
            raise IntegrityError("the ledger marks a credential as pruned that was live after the pruning")
