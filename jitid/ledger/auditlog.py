"""The audit log of a ledger that speaks SQL, and the rows that its events account for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from jitid.audit import Event, Head, genesis
from jitid.identifier import credential_id
from jitid.ledger.records import Names


class SqlAuditLog:
    """Reads the audit log within one consistent view."""

    def __init__(self, db: Any, names: Names) -> None:
        self._db = db
        self._names = names

    def _one(self, sql: str, **values: Any) -> Any:
        return self._db.execute(sql, values).fetchone()

    def event(self, seq: int) -> Event | None:
        """Return one audit event."""
        row = self._one("SELECT seq, body, hash FROM audit_event WHERE seq = :seq", seq=seq)
        return None if row is None else Event(*row)

    def events(self, after: int, *, newest_first: bool = False) -> Iterator[Event]:
        """Yield the audit events after number `after`, in order or the other way round."""
        order = "DESC" if newest_first else "ASC"
        rows: Iterator[Event] = self._db.execute(
            f"SELECT seq, body, hash FROM audit_event WHERE seq > :after ORDER BY seq {order}",
            {"after": after},
        )
        return rows

    def event_members(self, seq: int) -> tuple[list[str], list[str]]:
        """Return the ids of the credentials that an event issued, and of those that it ended."""
        rows = self._db.execute(
            "SELECT jti, event = :seq FROM credential WHERE event = :seq OR ended_event = :seq ORDER BY id",
            {"seq": seq},
        )
        issued: list[str] = []
        ended: list[str] = []
        for jti, was_issued in rows:
            (issued if was_issued else ended).append(credential_id(jti))
        return issued, ended

    def head(self) -> Head:
        """Return the last link of the audit chain."""
        row = self._one("SELECT seq, hash FROM audit_event ORDER BY seq DESC LIMIT 1")
        return Head(0, genesis(self._names.uuid)) if row is None else Head(*row)

    def issued_members(self) -> Iterator[tuple[int, bytes, bytes | None]]:
        """Yield (key, jti, fingerprint) of every credential, in the order of issue."""
        rows: Iterator[tuple[int, bytes, bytes | None]] = self._db.execute(
            "SELECT id, jti, fingerprint FROM credential ORDER BY id"
        )
        return rows

    def count_issued(self, first: int, last: int, event: int, terms: tuple[str, str, int, int] | None) -> int:
        """Return how many credentials with keys from `first` to `last` were issued by an event on certain terms."""
        sql = "SELECT count(*) FROM credential WHERE id BETWEEN ? AND ? AND event = ?"
        if terms is not None:
            sql += " AND expires_at = ? AND issued_at = ? AND scopes = ? AND kind = ?"
        count: int = self._db.execute(sql, (first, last, event, *reversed(terms or ()))).fetchone()[0]
        return count

    def count_alike(self, first: int, last: int, event: int, facts: Mapping[str, Any]) -> int:
        """Return how many credentials with keys from `first` to `last` an event issued to identities of these facts."""
        # Left to itself the planner begins with all that the agent ever had.
        (count,) = self._one(
            """SELECT count(*)
                 FROM credential c CROSS JOIN identity i CROSS JOIN task t CROSS JOIN term a CROSS JOIN term d
                CROSS JOIN term au LEFT JOIN identity p ON p.id = i.parent
                WHERE c.id BETWEEN :first AND :last AND c.event = :event
                  AND i.id = c.identity AND i.task = c.task AND i.delegator = c.delegator
                  AND t.id = i.task AND t.name = :task AND a.id = i.agent AND a.text = :agent
                  AND d.id = i.delegator AND d.text = :delegator AND au.id = c.audiences AND au.text = :audiences
                  AND i.proof = :proof AND i.sensitivity = :sensitivity AND i.depth = :depth
                  AND (i.parent IS NULL) = (i.depth = 0) AND coalesce(p.uid, :none) = coalesce(:parent, :none)""",
            first=first,
            last=last,
            event=event,
            none=b"",
            **facts,
        )
        found: int = count
        return found

    def ended_members(self) -> Iterator[tuple[int, bytes, int, str]]:
        """Yield (event, jti, ended_at, ended_as) of every ended credential, ordered by the event that ended it."""
        rows: Iterator[tuple[int, bytes, int, str]] = self._db.execute(
            """SELECT ended_event, jti, ended_at, ended_as FROM credential
                WHERE ended_at IS NOT NULL OR ended_event IS NOT NULL OR ended_as IS NOT NULL
                ORDER BY ended_event, id"""
        )
        return rows
