"""The places of signed tokens in status lists, and which of these tokens are marked there since they ended early."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from jitid.ledger.dialect import dialect_of
from jitid.ledger.view import Store


class StatusStore(Store):
    """The places in status lists, as stored in an SQL ledger."""

    def taken(self, list_: int, positions: Collection[int]) -> set[int]:
        """Return those of `positions` that tokens of the list already have."""
        among = ", ".join(str(int(position)) for position in positions)
        rows = self._db.execute(
            f"SELECT place FROM status WHERE list = :list AND place IN ({among})", {"list": list_}
        )
        return {position for (position,) in rows}

    def add(self, rows: Iterable[tuple[int, int, int]]) -> None:
        """Record places: the number of the list, the place in it, and the number of the credential."""
        dialect_of(self._db).insert(self._db, "status", ("list", "place", "credential"), rows)

    def lists(self, first: int) -> Iterator[int]:
        """Yield the numbers of the lists from `first` on in which at least one token has a place."""
        after = first - 1
        while True:
            # Each list costs one step along the index, regardless of the number of its tokens.
            (list_number,) = self._db.execute(
                "SELECT min(list) FROM status WHERE list > :after", {"after": after}
            ).fetchone()
            if list_number is None:
                return
            yield list_number
            after = list_number

    def revoked_places(self, list_: int) -> Iterator[int]:
        """Yield the places of the tokens of a list that ended before they expired."""
        rows = dialect_of(self._db).stream(
            self._db,
            """SELECT s.place FROM status s JOIN credential c ON c.id = s.credential
                WHERE s.list = :list
                  AND (c.ended_at IS NOT NULL AND c.ended_as <> 'expired'
                       OR c.ended_at IS NULL AND c.superseded_at <= :now)""",
            {"list": list_, "now": self._now},
        )
        return (position for (position,) in rows)
