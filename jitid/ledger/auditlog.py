"""The audit log of a ledger that speaks SQL, and the rows that its events account for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from jitid.audit import Event, Head
from jitid.chains import Chain, head_of, opening, settled
from jitid.credential import ANY_KIND
from jitid.errors import IntegrityError
from jitid.identifier import credential_id
from jitid.ledger.dialect import dialect_of
from jitid.ledger.records import IssuedTerms, Names

_HERE = "o.credential IS NULL OR c.kind = 'adopted'"
"""What no target made: its event tells all of it, and no later one confirms it."""


class SqlAuditLog:
    """Reads the audit log within one consistent view."""

    def __init__(self, db: Any, names: Names) -> None:
        self._db = db
        self._names = names

    @property
    def names(self) -> Names:
        """What the ledger is called in this view."""
        return self._names

    def _one(self, sql: str, **values: Any) -> Any:
        return self._db.execute(sql, values).fetchone()

    def _stream(self, sql: str, **values: Any) -> Iterator[Any]:
        """Return rows of which there may be more than fit into memory."""
        return dialect_of(self._db).stream(self._db, sql, values)

    def event(self, seq: int) -> Event | None:
        """Return one audit event."""
        row = self._one("SELECT seq, body, hash FROM audit_event WHERE seq = :seq", seq=seq)
        return None if row is None else Event(*row)

    def events(self, after: int, *, newest_first: bool = False) -> Iterator[Event]:
        """Yield the audit events after number `after`, in order or the other way round."""
        order = "DESC" if newest_first else "ASC"
        rows: Iterator[Event] = self._stream(
            f"SELECT seq, body, hash FROM audit_event WHERE seq > :after ORDER BY seq {order}",
            after=after,
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
        """Return the last link of the audit chain; of several the head over all."""
        return head_of(self.chains())

    def chains(self) -> list[Chain]:
        """Return the audit chains, in their order. Raises IntegrityError for what are none."""
        rows = self._db.execute(
            "SELECT id, epoch, start, stride, length, hash, closed_at FROM chain ORDER BY id"
        ).fetchall()
        found: list[Chain] = []
        try:
            for row in rows:
                found.append(self._chain(row, found))
        except (TypeError, ValueError) as error:
            raise IntegrityError(
                "a row of the ledger's audit chains holds what no ledger writes", "restore it from a backup"
            ) from error
        latest = max([chain.epoch for chain in found], default=0)
        if not found or any(chain.closed != (chain.epoch < latest) for chain in found):
            raise IntegrityError(
                "the ledger's open audit chains are not those of its latest epoch", "restore it from a backup"
            )
        return found

    def _chain(self, row: Any, before: list[Chain]) -> Chain:
        number, epoch, start, stride, length, hash_, closed_at = row
        if length is None and stride == 1:
            length, hash_ = 0, None
            last = self._one("SELECT seq, hash FROM audit_event ORDER BY seq DESC LIMIT 1")
            if last is not None and last[0] >= start:
                length, hash_ = last[0] - start + 1, last[1]
        numbers = (number, epoch, start, stride, length)
        if not all(type(each) is int for each in numbers) or stride < 1 or not isinstance(length, int):
            raise ValueError(number)
        chain = Chain(number, epoch, start, stride, length, hash_ or b"", closed_at is not None)
        if not length and hash_ is None:
            ends = [each.end for each in before if each.epoch < epoch]
            chain = chain._replace(hash=opening(self._names.uuid, chain, ends))
        if not isinstance(chain.hash, bytes):
            raise TypeError(number)
        return chain

    def settled(self) -> int:
        """Return the number up to which every event is there; a later one may still get company before it."""
        return settled(self.chains())

    def issued_members(self, without: str = "") -> Iterator[tuple[Any, ...]]:
        """Yield (key, jti, fingerprint, event) of every credential, ordered by the event that issued it."""
        rows: Iterator[tuple[Any, ...]] = self._stream(
            f"""SELECT c.id, c.jti, CASE WHEN {_HERE} THEN c.fingerprint END, c.event,
                       CASE WHEN {_HERE} THEN c.public END
                  FROM credential c LEFT JOIN outside o ON o.credential = c.id
                 WHERE {spared(without)} ORDER BY {by_event(self._db, "c.")}"""
            if without
            else f"SELECT id, jti, fingerprint, event FROM credential ORDER BY {by_event(self._db)}"
        )
        return rows

    def count_issued(
        self,
        first: int,
        last: int,
        event: int,
        terms: IssuedTerms | None,
        reach: tuple[str, str, str] = ("", "", ""),
        without: str = "",
        subject: str | None = None,
    ) -> int:
        """Return how many credentials with keys from `first` to `last` were issued by an event on certain terms.

        `reach`: what a row stands for that has no `may_audience`, what it must be, and what `may_act` must be.
        `subject`: the required `proved_subject`; "" requires none, None does not check it.
        """
        sql = (
            f"SELECT count(*) FROM credential c WHERE id BETWEEN ? AND ? AND event = ? AND {spared(without)}"
        )
        if terms is not None:
            sql += f""" AND expires_at = ? AND issued_at = ? AND scopes = ? AND kind = ?
                        AND coalesce(template, '') = ? AND coalesce(may_kind, '{ANY_KIND}') = ?
                        AND coalesce(may_audience, ?) = ? AND coalesce(may_act, '') = ?"""
        if subject is not None:
            # A subject that is not a term matches no row.
            sql += (
                " AND proved_subject = (SELECT id FROM term WHERE text = ?)"
                if subject
                else " AND proved_subject IS NULL"
            )
        values = (
            *(first, last, event),
            *(() if terms is None else (*terms, *reach)),
            *((subject,) if subject else ()),
        )
        count: int = self._db.execute(sql, values).fetchone()[0]
        return count

    def publics(self, first: int, last: int, event: int, without: str = "") -> list[bytes]:
        """Return the hashes of the keys that certificates are for, of an event's credentials from `first` to `last`."""
        rows = self._db.execute(
            f"""SELECT c.public FROM credential c
                 WHERE c.id BETWEEN ? AND ? AND c.event = ? AND c.public IS NOT NULL AND {spared(without)}
                 ORDER BY c.id""",
            (first, last, event),
        )
        return [public for (public,) in rows]

    def count_publics(self, without: str = "") -> int:
        """Return how many credentials say which key they are for."""
        (count,) = self._one(
            f"SELECT count(*) FROM credential c WHERE c.public IS NOT NULL AND {spared(without)}"
        )
        found: int = count
        return found

    def count_alike(
        self, first: int, last: int, event: int, facts: Mapping[str, Any], without: str = ""
    ) -> int:
        """Return how many credentials with keys from `first` to `last` an event issued to identities of these facts."""
        # Left to itself the planner begins with all that the agent ever had, or looks up the whole task for each
        # credential: a column with `+ 0` has no index. Nothing is looked up in the index on jtis:
        # a backup rebuilds indexes, and is made where one of them is damaged.
        (count,) = self._one(
            f"""SELECT count(*)
                 FROM credential c CROSS JOIN identity i CROSS JOIN task t CROSS JOIN term a CROSS JOIN term d
                CROSS JOIN term au CROSS JOIN term o LEFT JOIN identity p ON p.id = i.parent
                WHERE c.id BETWEEN :first AND :last AND c.event = :event
                  AND i.id = c.identity AND i.task + 0 = c.task AND i.delegator + 0 = c.delegator
                  AND t.id = i.task AND t.name = :task AND o.id = t.opener
                  AND (o.text = :opener OR t.given_event IS NOT NULL) AND a.id = i.agent AND a.text = :agent
                  AND d.id = i.delegator AND d.text = :delegator AND au.id = c.audiences AND au.text = :audiences
                  AND i.proof = :proof AND i.sensitivity = :sensitivity AND i.depth = :depth
                  AND (i.parent IS NULL) = (i.depth = 0) AND coalesce(p.uid, :none) = coalesce(:parent, :none)
                  AND CASE :delegated WHEN 1 THEN (SELECT q.jti FROM credential q WHERE q.id = i.source) = :right
                                      WHEN 0 THEN TRUE ELSE i.source IS NULL END
                  AND CASE WHEN :attached = 1 THEN (SELECT q.jti FROM credential q WHERE q.id = c.source) = :right
                           WHEN :renewed = 1 THEN EXISTS (
                               SELECT 1 FROM credential q
                                WHERE q.identity = c.identity AND substr(q.jti, 1) = :of
                                  AND coalesce(q.source, 0) = coalesce(c.source, 0))
                           ELSE c.source IS NULL END
                  AND CASE WHEN :renewed = 1 THEN EXISTS (
                               SELECT 1 FROM credential q
                                WHERE q.identity = c.identity AND substr(q.jti, 1) = :of
                                  AND coalesce(q.line, q.id) = c.line)
                           ELSE coalesce(c.line, c.id) = c.id END
                  AND coalesce(c.proved_subject, 0) = coalesce(
                          CASE WHEN :renewed = 1 THEN (SELECT q.proved_subject FROM credential q
                                                        WHERE q.identity = c.identity AND substr(q.jti, 1) = :of)
                               WHEN :attached = 1 OR :delegated = 1 THEN (
                                   SELECT q.proved_subject FROM credential q WHERE q.id = coalesce(c.source, i.source))
                               ELSE c.proved_subject END, 0)
                  AND {spared(without)}""",
            first=first,
            last=last,
            event=event,
            none=b"",
            **facts,
        )
        found: int = count
        return found

    def reused(self, without: str = "") -> set[bytes]:
        """Return the credentials that somebody tried to renew although they have a successor."""
        rows = self._db.execute(
            f"SELECT c.jti FROM credential c WHERE c.reused_at IS NOT NULL AND {spared(without)}"
        )
        return {jti for (jti,) in rows}

    def ended_members(self, without: str = "") -> Iterator[tuple[int, bytes, int, str]]:
        """Yield (event, jti, ended_at, ended_as) of every ended credential, ordered by the event that ended it."""
        rows: Iterator[tuple[int, bytes, int, str]] = self._stream(
            f"""SELECT c.ended_event, c.jti, c.ended_at, c.ended_as FROM credential c
                 WHERE (c.ended_at IS NOT NULL OR c.ended_event IS NOT NULL OR c.ended_as IS NOT NULL)
                   AND {spared(without)}
                 ORDER BY c.ended_event, c.id"""
        )
        return rows


def by_event(db: Any, prefix: str = "") -> str:
    """Return what sorts rows by the events that they belong to; `prefix` names their table: `c.`."""
    # With a single chain that is the order of their own numbers, in which they lie.
    (chains,) = db.execute("SELECT count(*) FROM chain").fetchone()
    return f"{prefix}id" if chains == 1 else f"{prefix}event, {prefix}id"


def spared(without: str, identity: str = "c.identity") -> str:
    """Return the condition that an identity does not stand in a table; without a table one that always holds."""
    if not without:
        return "1 = 1"
    return f"NOT EXISTS (SELECT 1 FROM {without} w WHERE w.identity = {identity})"
