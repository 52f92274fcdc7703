"""The audit log of a ledger that speaks SQL, and the rows that its events account for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from jitid.audit import Event, Head
from jitid.chains import Chain, head_of, opening, settled
from jitid.errors import IntegrityError
from jitid.identifier import credential_id
from jitid.ledger.dialect import dialect_of
from jitid.ledger.records import Names

_HERE = "o.credential IS NULL OR c.kind = 'adopted'"
"""What no target made: its event tells all of it, and no later one confirms it."""

OF_CREDENTIAL = (
    *(
        "expires_at",
        "issued_at",
        "scopes",
        "kind",
        "template",
        "may_kind",
        "may_audience",
        "may_act",
        "details",
    ),
    *("signed_by", "task", "delegator", "audiences", "proved_subject", "source"),
)
OF_IDENTITY = ("task", "delegator", "agent", "depth", "proof", "sensitivity", "parent", "source")
"""The columns in which all credentials of one event, and their identities, have the same."""

# Outer joins from the credential: SQLite then looks up each number in the table that it numbers.
_ALIKE = f"""SELECT {", ".join(f"c.{column}" for column in OF_CREDENTIAL)},
                    {", ".join(f"i.{column}" for column in OF_IDENTITY)}, c.identity, c.line, p.uid,
                    t.name, t.opener, t.given_event, q.jti, q.proved_subject,
                    r.host, r.boot, r.namespace, r.pid, r.started, r.kept
               FROM credential c LEFT JOIN identity i ON i.id = c.identity LEFT JOIN task t ON t.id = i.task
                    LEFT JOIN process r ON r.identity = c.identity LEFT JOIN identity p ON p.id = i.parent
                    LEFT JOIN credential q ON q.id = coalesce(c.source, i.source)
              WHERE c.id = :key"""
_COUNT = """SELECT count(*) FROM credential c CROSS JOIN identity i
             WHERE c.id BETWEEN ? AND ? AND c.event = ? AND i.id = c.identity + 0 AND coalesce(c.line, c.id) = c.id"""


@lru_cache(maxsize=64)
def _equal(absent: tuple[bool, ...]) -> str:
    """Return the condition that the columns that are alike have certain values, or none."""
    columns = [*(f"c.{column}" for column in OF_CREDENTIAL), *(f"i.{column}" for column in OF_IDENTITY)]
    return " AND ".join(
        f"{column} IS NULL" if none else f"{column} = ?" for column, none in zip(columns, absent, strict=True)
    )


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
            if hash_ is not None:
                raise ValueError(number)
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
        """Yield the members of `IssuedRow` of every credential, ordered by the event that issued it."""
        listed = self._one("SELECT 1 FROM status LIMIT 1") is not None
        here = f"CASE WHEN {_HERE} THEN c.fingerprint END, c.event, CASE WHEN {_HERE} THEN c.public END"
        rows: Iterator[tuple[Any, ...]] = self._stream(
            f"""SELECT c.id, c.jti, {here if without else "c.fingerprint, c.event, c.public"}, i.uid, c.claims_hash,
                       {"s.list, s.place" if listed else "NULL, NULL"}
                  FROM credential c LEFT JOIN identity i ON i.id = c.identity
                       {"LEFT JOIN status s ON s.credential = c.id" if listed else ""}
                       {"LEFT JOIN outside o ON o.credential = c.id" if without else ""}
                 WHERE {spared(without)} ORDER BY {by_event(self._db, "c.")}"""
        )
        return rows

    def alike(self, key: int) -> tuple[Any, ...] | None:
        """Return the members of `Alike` of a credential; None if there is none of that number."""
        row = self._one(_ALIKE, key=key)
        return None if row is None else tuple(row)

    def count_alike(self, first: int, last: int, event: int, alike: Sequence[Any], without: str = "") -> int:
        """Return how many credentials with keys from `first` to `last` an event issued that begin lines like this one.

        `alike` has the values of `OF_CREDENTIAL` and `OF_IDENTITY`.
        """
        values = [value for value in alike if value is not None]
        (count,) = self._db.execute(
            f"{_COUNT} AND {_equal(tuple(value is None for value in alike))} AND {spared(without)}",
            (first, last, event, *values),
        ).fetchone()
        return int(count)

    def processes(self, without: str = "") -> int:
        """Return how many identities have a process."""
        (count,) = self._one(f"SELECT count(*) FROM process c WHERE {spared(without)}")
        return int(count)

    def last_identity(self) -> int:
        """Return the number of the last identity; 0 if there is none."""
        (last,) = self._one("SELECT coalesce(max(id), 0) FROM identity")
        return int(last)

    def terms(self, first: int, end: int) -> list[tuple[int, str]]:
        """Return the numbered names from number `first` to before `end`."""
        rows = self._db.execute("SELECT id, text FROM term WHERE id >= ? AND id < ?", (first, end))
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
        """Return how many credentials say which key they are for."""
        (count,) = self._one(
            f"SELECT count(*) FROM credential c WHERE c.public IS NOT NULL AND {spared(without)}"
        )
        found: int = count
        return found

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

    def wrongly_timed(self, without: str = "") -> bytes | None:
        """Return a credential that did not expire at its expiry, or was superseded without a successor; or None."""
        # Successors from before there were lines have none.
        row = self._one(
            f"""SELECT c.jti FROM credential c
                 WHERE (c.ended_as = 'expired' AND c.ended_at <> c.expires_at
                        OR c.ended_as = 'superseded' AND c.ended_at <> coalesce(c.superseded_at, 0)
                        OR c.superseded_at IS NOT NULL AND NOT EXISTS (
                            SELECT 1 FROM credential q
                             WHERE q.identity = c.identity AND q.id > c.id
                               AND coalesce(q.line, CASE WHEN q.source IS NULL THEN coalesce(c.line, c.id) END)
                                   = coalesce(c.line, c.id)))
                   AND {spared(without)} LIMIT 1"""
        )
        return None if row is None else bytes(row[0])

    def wrongly_honoured(self, through: int, before: int, without: str = "") -> list[tuple[int, bool]]:
        """Return events whose row in `honoured` differs from what is left of what they ended.

        Each with whether nothing explains that. If other credentials of the event are gone, that explains a row that
        counts more of them.

        Args:
            through: the number of the last event of which rows may be gone.
            before: the time before which these had expired; seconds since the epoch.
            without: names a table of identities that are gone.

        """
        ended = f"""SELECT c.ended_event AS event, count(*) AS credentials, min(c.ended_at) AS ended_at,
                           max(c.expires_at) AS expires_at
                      FROM credential c
                     WHERE c.claims_hash IS NOT NULL AND c.ended_event IS NOT NULL AND c.ended_as <> 'expired'
                       AND {spared(without)}
                     GROUP BY c.ended_event"""
        old = "e.event <= :through AND e.expires_at < :before"
        rows = self._db.execute(
            f"""SELECT event, wrong FROM (
                    SELECT e.event, CASE
                           WHEN h.event IS NULL THEN CASE WHEN {old} THEN 0 ELSE 2 END
                           WHEN h.ended_at <> e.ended_at OR h.credentials < e.credentials OR h.expires_at < e.expires_at
                                OR h.expires_at > e.expires_at AND NOT ({old} AND h.expires_at < :before) THEN 2
                           WHEN h.credentials = e.credentials AND h.expires_at = e.expires_at THEN 0
                           WHEN e.event > :through THEN 2 ELSE 1 END AS wrong
                      FROM ({ended}) e LEFT JOIN honoured h ON h.event = e.event
                     UNION ALL
                    SELECT h.event, 2 FROM honoured h LEFT JOIN ({ended}) e ON e.event = h.event
                     WHERE e.event IS NULL AND (h.event > :through OR h.expires_at >= :before)) AS found
                 WHERE wrong > 0""",
            {"through": through, "before": before},
        )
        return [(int(event), wrong == 2) for event, wrong in rows.fetchall()]

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
