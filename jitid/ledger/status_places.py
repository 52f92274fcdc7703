"""The places that signed tokens have in status lists, and which of them are ended."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

from jitid.ledger.dialect import dialect_of

if TYPE_CHECKING:
    from jitid.ledger.view import View


class StatusStore:
    """The places in status lists, as a ledger that speaks SQL has them."""

    def __init__(self, view: View) -> None:
        self._db = view.db
        self._now = view.now

    def taken(self, list_: int, places: Collection[int]) -> set[int]:
        """Return which of these places of a list some token has."""
        among = ", ".join(str(int(place)) for place in places)
        rows = self._db.execute(
            f"SELECT place FROM status WHERE list = :list AND place IN ({among})", {"list": list_}
        )
        return {place for (place,) in rows}

    def add(self, rows: Iterable[tuple[int, int, int]]) -> None:
        """Record lists and places, each with the ledger's number of the credential that has it."""
        dialect_of(self._db).insert(self._db, "status", ("list", "place", "credential"), rows)

    def lists(self, first: int) -> Iterator[int]:
        """Yield, from the list `first` on, those in which some token has a place."""
        after = first - 1
        while True:
            # One step along the index a list, however many tokens it has.
            (found,) = self._db.execute(
                "SELECT min(list) FROM status WHERE list > :after", {"after": after}
            ).fetchone()
            if found is None:
                return
            yield found
            after = found

    def ended(self, list_: int) -> Iterator[int]:
        """Yield the places of those tokens of a list that were ended before their time."""
        rows = dialect_of(self._db).stream(
            self._db,
            """SELECT s.place FROM status s JOIN credential c ON c.id = s.credential
                WHERE s.list = :list
                  AND (c.ended_at IS NOT NULL AND c.ended_as <> 'expired'
                       OR c.ended_at IS NULL AND c.superseded_at <= :now)""",
            {"list": list_, "now": self._now},
        )
        return (place for (place,) in rows)
