"""Marks of presented foreign tokens: until its expiry, each token is accepted only from its first presenter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any, NamedTuple

from jitid.errors import ConflictError, IntegrityError
from jitid.ledger.transaction import Changes
from jitid.ledger.view import Store
from jitid.values import strict_json

REMEMBERED = 86_400
"""Seconds for which a mark is kept after its token has expired; a clock further behind needs --accept-clock."""

MARK = b'"presented":['
"""Bytes that every event with marks contains, and no other event: inside a text the quotes would be escaped."""


class Presentation(NamedTuple):
    """One use of a foreign token by a caller."""

    token: bytes
    """SHA-256 that identifies the token: of its issuer with its `jti`, or with the text that the issuer signed."""
    presenter: str
    until: int
    """When the token expires; seconds since the epoch."""

    @property
    def digest(self) -> str:
        """The digest of the mark in the audit event of the first use."""
        fields = [self.token.hex(), self.presenter, self.until]
        return sha256(strict_json.dumps(fields).encode()).hexdigest()


class PresentedStore(Store):
    """The marks of presented tokens, in a view of a SQL ledger."""

    def presenter(self, token: bytes) -> str | None:
        """Return the first presenter of a token; None if it was not presented yet."""
        return self._view.once("presented", token, lambda: self._presenter(token))

    def _presenter(self, token: bytes) -> str | None:
        row = self._db.execute(
            "SELECT presenter FROM presented WHERE token = :token", {"token": token}
        ).fetchone()
        return None if row is None else row[0]

    def all(self) -> Iterator[tuple[Presentation, int]]:
        """Yield every mark with the number of the event that recorded it, in the order of these numbers."""
        for *mark, event in self._db.execute(
            "SELECT token, presenter, until, event FROM presented ORDER BY event, token"
        ):
            yield Presentation(*mark), event


class PresentedChanges(Changes, PresentedStore):
    """Records that tokens were presented."""

    def present(self, presentation: Presentation) -> bool:
        """Record with the next event that a foreign token was presented; return False if another caller did before."""
        presenter = self.presenter(presentation.token)
        if presenter is None:
            self._transaction.with_next("presented", presentation, self._record)
        return presenter in (None, presentation.presenter)

    def _record(self, presentations: list[Presentation]) -> list[list[str | int]]:
        """Write the marks of the tokens that the next event records; return the event's content.

        Raises ConflictError if another transaction has recorded one of them meanwhile.
        """
        seq = self._transaction.next_seq()
        marks = {mark.token: mark for mark in presentations}.values()
        for mark in marks:
            if not self.add(mark, seq, self._transaction.now):
                raise ConflictError(
                    "the same foreign token is presented twice at the same time; nothing was changed",
                    "repeat the command",
                )
        return [[mark.digest, mark.until] for mark in marks]

    def add(self, mark: Presentation, event: int, now: int) -> bool:
        """Record a mark; return False if another transaction has recorded the token meanwhile."""
        self._db.execute("DELETE FROM presented WHERE until < :past", {"past": now - REMEMBERED})
        cursor = self._db.execute(
            """INSERT INTO presented (token, presenter, until, event) VALUES (:token, :presenter, :until, :event)
               ON CONFLICT (token) DO NOTHING""",
            {**mark._asdict(), "event": event},
        )
        return bool(cursor.rowcount == 1)


class PresentedMembers:
    """Compares the marks with the audit events that recorded them."""

    def __init__(self, presented: PresentedStore, now: int) -> None:
        self._presented = presented
        self._recorded: dict[int, dict[str, int]] = {}
        """By event: the digests of its marks, with the expiry of each token."""
        self._latest = now
        """The latest time that the ledger had: its clock may have been set back."""

    def clock(self, event: Mapping[str, Any]) -> None:
        """Update the latest time from an event that accepted a clock."""
        self._latest = max(self._latest, event["at"] - event["jump"])

    def check(self, seq: int, event: Mapping[str, Any]) -> None:
        """Collect the marks of an event that recorded some."""
        try:
            self._recorded[seq] = {str(digest): int(until) for digest, until in event["presented"]}
        except ValueError as error:
            raise IntegrityError(f"event {seq} does not tell what an event of its sort tells") from error

    def compare_rows(self) -> None:
        """Compare the rows. Raises IntegrityError if a mark was edited, removed or inserted."""
        for mark, seq in self._presented.all():
            if self._recorded.get(seq, {}).pop(mark.digest, None) != mark.until:
                raise IntegrityError(
                    f"the mark of a foreign token that event {seq} recorded is not in the ledger as it says"
                )
        for seq, missing in self._recorded.items():
            # Expired marks are deleted.
            if any(until >= self._latest - REMEMBERED for until in missing.values()):
                raise IntegrityError(
                    f"the ledger lacks the mark of a foreign token that event {seq} recorded"
                )
