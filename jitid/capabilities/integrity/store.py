"""Queries for the rows of the ledger that the check of the audit log reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from jitid.capabilities.integrity.runs_store import Run
from jitid.ledger.dialect import dialect_of
from jitid.ledger.view import Store, by_event, spared

_HERE = "o.credential IS NULL OR c.kind = 'adopted'"
"""The condition that no target made a credential: its event has all its facts, and no later event confirms it."""

# Successors from before lines existed have no line.
_UNSUCCEEDED = """c.superseded_at IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM credential q
     WHERE q.identity = c.identity AND q.id > c.id
       AND coalesce(q.line, CASE WHEN q.source IS NULL THEN coalesce(c.line, c.id) END) = coalesce(c.line, c.id))"""
"""The condition that a credential `c` is marked as superseded but has no successor."""


class RowStore(Store):
    """Queries of a view of the ledger for its rows, in the order of their events."""

    def _stream(self, sql: str, **values: Any) -> Iterator[Any]:
        """Return rows that may not fit into memory together."""
        return dialect_of(self._db).stream(self._db, sql, values)

    def issued_members(self, without: str = "", after: int | None = None) -> Iterator[tuple[Any, ...]]:
        """Yield the members of `IssuedRow` of every credential, ordered by the event that issued it.

        `after` is the number of the last credential to skip; None skips none.
        """
        has_places = self.has_status_places()
        columns = f"CASE WHEN {_HERE} THEN c.fingerprint END, c.event, CASE WHEN {_HERE} THEN c.public END"
        rows: Iterator[tuple[Any, ...]] = self._stream(
            f"""SELECT c.id, c.jti, {columns if without else "c.fingerprint, c.event, c.public"}, i.uid, c.claims_hash,
                       {"s.list, s.place" if has_places else "NULL, NULL"}
                  FROM credential c LEFT JOIN identity i ON i.id = c.identity
                       {"LEFT JOIN status s ON s.credential = c.id" if has_places else ""}
                       {"LEFT JOIN outside o ON o.credential = c.id" if without else ""}
                 WHERE {spared(without)}{"" if after is None else " AND c.id > :after"}
                 ORDER BY {by_event(self._db, "c.")}""",
            **({} if after is None else {"after": after}),
        )
        return rows

    def alike(self, key: int) -> tuple[Any, ...] | None:
        """Return the members of `AlikeRows` for a credential; None if none has that number."""
        from jitid.capabilities.integrity import runs_store

        return runs_store.one(self._db, key)

    def count_alike(
        self, first_key: int, last_key: int, event: int, alike: Sequence[Any], without: str = ""
    ) -> int:
        """Return the number of credentials of an event, from `first_key` to `last_key`, that begin lines and are alike.

        `alike` has the values of `OF_CREDENTIAL` and `OF_IDENTITY`.
        """
        from jitid.capabilities.integrity import runs_store

        return runs_store.count(self._db, first_key, last_key, event, alike, spared(without))

    def run_alike(
        self, first_key: int, last_key: int, event: int, alike: Sequence[Any], without: str = ""
    ) -> Run:
        """Return the same credentials as a whole, without rows that lack bytes or have bytes of another length."""
        from jitid.capabilities.integrity import runs_store

        return runs_store.whole(self._db, first_key, last_key, event, alike, spared(without))

    def has_status_places(self) -> bool:
        """Return whether any credential has a place in a status list."""
        return self._one("SELECT 1 FROM status LIMIT 1") is not None

    def status_places(self, first_key: int, last_key: int) -> list[tuple[int, int]]:
        """Return status list and place of the credentials with keys from `first_key` to `last_key`, in their order."""
        rows = self._db.execute(
            "SELECT list, place FROM status WHERE credential BETWEEN ? AND ? ORDER BY credential",
            (first_key, last_key),
        )
        return list(rows.fetchall())

    def first_credential(self) -> int | None:
        """Return the number of the first credential if the numbers are in the order of the events; None otherwise."""
        if by_event(self._db) != "id":
            return None
        (key,) = self._one("SELECT min(id) FROM credential")
        return None if key is None else int(key)

    def processes(self, without: str = "") -> int:
        """Return the number of identities that have a process."""
        (count,) = self._one(f"SELECT count(*) FROM process c WHERE {spared(without)}")
        return int(count)

    def last_identity(self) -> int:
        """Return the number of the last identity; 0 if there is none."""
        (key,) = self._one("SELECT coalesce(max(id), 0) FROM identity")
        return int(key)

    def terms(self, start: int, stop: int) -> list[tuple[int, str]]:
        """Return the numbered names from number `start` to before `stop`."""
        rows = self._db.execute("SELECT id, text FROM term WHERE id >= ? AND id < ?", (start, stop))
        return list(rows.fetchall())

    def predecessors(self, identity: int, jti: bytes) -> list[tuple[int | None, int | None, int]]:
        """Return (source, proved subject, line) of the credential of an identity with that raw id."""
        rows = self._db.execute(
            """SELECT source, proved_subject, coalesce(line, id) FROM credential
                WHERE identity = ? AND substr(jti, 1) = ?""",
            (identity, jti),
        )
        return list(rows.fetchall())

    def count_publics(self, without: str = "") -> int:
        """Return the number of credentials for which the ledger has the key."""
        (count,) = self._one(
            f"SELECT count(*) FROM credential c WHERE c.public IS NOT NULL AND {spared(without)}"
        )
        total: int = count
        return total

    def reused(self, without: str = "") -> dict[bytes, int]:
        """Return the credentials that a caller tried to renew although they have a successor, with the first time."""
        rows = self._db.execute(
            f"SELECT c.jti, c.reused_at FROM credential c WHERE c.reused_at IS NOT NULL AND {spared(without)}"
        )
        return dict(rows.fetchall())

    def policies(self) -> list[str]:
        """Return the digests of the policies that the ledger keeps."""
        return [
            digest for (digest,) in self._db.execute("SELECT digest FROM policy WHERE digest IS NOT NULL")
        ]

    def wrongly_superseded(self, without: str = "") -> bytes | None:
        """Return a credential that is marked as superseded, has no successor and has not ended; or None."""
        row = self._one(
            f"""SELECT c.jti FROM credential c
                 WHERE c.ended_at IS NULL AND {_UNSUCCEEDED} AND {spared(without)} LIMIT 1"""
        )
        return None if row is None else bytes(row[0])

    def honoured(self) -> list[tuple[int, int, int, int]]:
        """Return (event, credentials, ended_at, expires_at) for each event that ended signed credentials early."""
        rows = self._db.execute("SELECT event, credentials, ended_at, expires_at FROM honoured")
        return list(rows.fetchall())

    def ended_members(self, without: str = "") -> Iterator[tuple[int, bytes, int, str]]:
        """Yield (event, jti, ended_at, ended_as) of every ended credential, ordered by the event that ended it."""
        rows: Iterator[tuple[int, bytes, int, str]] = self._ended("", without)
        return rows

    def ended_rows(self, without: str = "") -> Iterator[tuple[Any, ...]]:
        """Yield the members of `EndedRow` of every ended credential, ordered by the event that ended it."""
        return self._ended(
            f""", CASE WHEN c.claims_hash IS NOT NULL AND c.ended_as <> 'expired' THEN c.expires_at END,
                 CASE WHEN c.ended_as = 'expired' AND c.ended_at <> c.expires_at
                        OR c.ended_as = 'superseded' AND c.ended_at <> coalesce(c.superseded_at, 0)
                        OR {_UNSUCCEEDED} THEN 1 ELSE 0 END,
                 CASE WHEN c.ended_at IS NOT NULL AND c.recurring IS NOT NULL AND c.kind <> 'adopted'
                      THEN 1 ELSE 0 END""",
            without,
        )

    def _ended(self, columns: str, without: str) -> Iterator[Any]:
        return self._stream(
            f"""SELECT c.ended_event, c.jti, c.ended_at, c.ended_as{columns} FROM credential c
                 WHERE (c.ended_at IS NOT NULL OR c.ended_event IS NOT NULL OR c.ended_as IS NOT NULL)
                   AND {spared(without)}
                 ORDER BY c.ended_event, c.id"""
        )
