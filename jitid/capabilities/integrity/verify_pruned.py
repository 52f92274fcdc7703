"""What the last pruning says is left of old events, compared with what is found to be left of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from jitid.capabilities.integrity.remains import Remains, issued_parts, request_parts
from jitid.errors import IntegrityError
from jitid.ledger.idempotency import REMEMBERED
from jitid.ledger.pruned import Pruned
from jitid.ledger.select import KEPT, Gone

if TYPE_CHECKING:
    from jitid.capabilities.integrity.prune_store import PruneStore
    from jitid.model.approval import Approval

MARK = b'"op":"prune"'
"""What stands in each event about a pruning, and in no other: in a text the quotes would be escaped."""


class PrunedMembers:
    """Takes what is left of the events of which rows may be gone, and says whether it is what was left.

    Nothing may be gone where nothing was pruned: then it takes nothing, and `through` is 0.
    """

    def __init__(self, retention: PruneStore) -> None:
        self._retention = retention
        self._last = retention.last()
        self.through = 0 if self._last is None else self._last.through
        """The number of the last event of which rows may be gone."""
        self.nobody = (0, 0) if self._last is None else (self._last.before, self._last.through)
        """Before which time, and up to which event, actions of nobody we know may be gone."""
        self.gone = KEPT if self._last is None else Gone("condemned", self._last.leaks)
        """Which leaks may be gone."""
        self.without = "" if self._last is None else "condemned"
        """The table of identities that are gone, though rows of theirs may still be there."""
        self.before = 0
        """Before which time everything had ended and expired that is gone; seconds since the epoch."""
        self.answers = 0
        """What was answered to requests before this time may be gone; seconds since the epoch."""
        self._remains = Remains()
        self._told: tuple[int, Mapping[str, Any]] | None = None

    def tell(self, seq: int, event: Mapping[str, Any]) -> None:
        """Take the event of a pruning; the last one counts."""
        self._told = (seq, event)
        self.before = max(self.before, event["before"])
        # Unless the clock was set back since, no answer from before still counts.
        self.answers = max(self.answers, event["at"] - REMEMBERED)

    def issued(self, seq: int, rows: Iterable[tuple[Any, ...]], *, at_target: bool) -> None:
        """Take what is left of what an event issued: rows of key, jti, fingerprint, event and the key it is for."""
        if seq <= self.through:
            self._remains.take("issues", seq, issued_parts(rows, at_target=at_target))

    def ended(self, seq: int, rows: Iterable[tuple[Any, ...]]) -> None:
        """Take what is left of what an event ended: rows of event and jti, and more."""
        if seq <= self.through:
            self._remains.take("ends", seq, [row[1] for row in rows])

    def used(self, seq: int, rows: Iterable[object], digest: str) -> None:
        """Take what is left of the actions that an event accounts for."""
        if seq <= self.through and any(True for _ in rows):
            self._remains.take("uses", seq, [digest.encode()])

    def settled(self, seq: int, rows: Iterable[object], digest: str) -> None:
        """Take what is left of what an event settled at targets."""
        if seq <= self.through and any(True for _ in rows):
            self._remains.take("settlements", seq, [digest.encode()])

    def leaked(self, seq: int, jtis: Iterable[bytes]) -> None:
        """Take what is left of the leaks that an event tells of."""
        if seq <= self.through:
            self._remains.take("leaks", seq, jtis)

    def closed(self, seq: int, jtis: Iterable[bytes]) -> None:
        """Take what is left of the leaks that an event closed."""
        if seq <= self.through:
            self._remains.take("closings", seq, jtis)

    def seen(self, seq: int, digest: str) -> None:
        """Take what is left of the sightings that an event tells of."""
        if seq <= self.through:
            self._remains.take("sightings", seq, [digest.encode()])

    def proved(self, rows: Iterable[tuple[int, int, bytes]]) -> None:
        """Take leaks of which some may be gone that were proved refused with them: time, number and jti."""
        for _, number, jti in rows:
            self._remains.take("proofs", number, [jti])

    def request(self, row: Approval) -> None:
        """Take a request for approval that is there."""
        if row.event <= self.through:
            self._remains.take("approvals", row.event, request_parts(row, self.through))

    def there(self, jtis: Collection[bytes]) -> list[bytes]:
        """Return which of these credentials the ledger has, as far as they are not gone."""
        return list(jtis) if self._last is None else self._retention.there(jtis)

    def must_be_done(self) -> None:
        """Compare what was told with what is left.

        Raises:
            IntegrityError: it is not that; or the ledger does not say that it was pruned, or says so without an event;
                or something that lives is said to be gone.

        """
        seq, told = self._told or (0, {})
        if self._last is None:
            if self._told is not None:
                raise IntegrityError(f"event {seq} pruned the ledger, and the ledger no longer says so")
            return
        if (seq, *(told.get(name) for name in Pruned._fields[1:])) != self._last:
            raise IntegrityError("the ledger says that it was pruned, and no event says so")
        if told["left"] != self._remains.digests():
            raise IntegrityError(f"what is left in the ledger is not what event {seq} left of it")
        if self._retention.is_wrongly_gone():
            raise IntegrityError(
                "the ledger says of something that lived after it was pruned that it is gone"
            )
