"""Queries for the rows of the ledger that the check of the audit log reads.

Credentials of one event with consecutive numbers are read together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, Generic, TypeVar

from jitid.ledger.select import dialect_of
from jitid.ledger.view import Store, by_event, spared
from jitid.values.record import Record


class AlikeRows(Record):
    """The common values of all credentials of one event, or the values of one. Names are numbers of a table.

    The first seventeen are columns of the credentials, the next eight columns of their identities.
    """

    expires_at: int
    issued_at: int
    scopes: str
    kind: str
    template: str | None
    may_kind: str | None
    may_audience: str | None
    may_act: str | None
    details: str | None
    signed_by: int | None
    task: int
    delegator: int
    audiences: int
    proved_subject: int | None
    subject: int | None
    exchange_life: int | None
    source: int | None
    task_of_identity: int | None
    delegator_of_identity: int | None
    agent: int | None
    depth: int | None
    proof: str | None
    sensitivity: str | None
    parent: int | None
    source_of_identity: int | None
    identity: int
    line: int | None
    """The first credential of its line; None for the first one itself."""
    parent_uid: bytes | None
    task_name: str | None
    opener: int | None
    given: int | None
    right: bytes | None
    """The raw id of the credential that `source` or `source_of_identity` names."""
    subject_of_right: int | None
    host: str | None
    boot: str | None
    namespace: int | None
    pid: int | None
    started: int | None
    kept: int | None
    is_client: int | None


_OF_CREDENTIAL = AlikeRows._fields[:17]
_OF_IDENTITY = tuple(field.removesuffix("_of_identity") for field in AlikeRows._fields[17:25])
COMPARED = len(_OF_CREDENTIAL) + len(_OF_IDENTITY)
"""The number of columns that are equal in all credentials of one event, and in their identities."""

# Outer joins from the credential: SQLite then looks up each number in the table that it numbers.
_ALIKE = f"""SELECT {", ".join(f"c.{column}" for column in _OF_CREDENTIAL)},
                    {", ".join(f"i.{column}" for column in _OF_IDENTITY)}, c.identity, c.line, p.uid,
                    t.name, t.opener, t.given_event, q.jti, q.proved_subject,
                    r.host, r.boot, r.namespace, r.pid, r.started, r.kept,
                    CASE r.renews_until WHEN 0 THEN 1 ELSE 0 END
               FROM credential c LEFT JOIN identity i ON i.id = c.identity LEFT JOIN task t ON t.id = i.task
                    LEFT JOIN process r ON r.identity = c.identity LEFT JOIN identity p ON p.id = i.parent
                    LEFT JOIN credential q ON q.id = coalesce(c.source, i.source)
              WHERE c.id = :key"""
_ALL_ALIKE = """FROM credential c CROSS JOIN identity i
    WHERE c.id BETWEEN ? AND ? AND c.event = ? AND i.id = c.identity + 0 AND coalesce(c.line, c.id) = c.id"""
# Only bytes are greater than or equal to empty bytes: NULL, or text that an editor left, is not.
_PLAIN = """c.jti >= ? AND length(c.jti) = 16 AND c.fingerprint >= ? AND length(c.fingerprint) = 32
    AND i.uid >= ? AND length(i.uid) = 16
    AND (c.claims_hash IS NULL OR c.claims_hash >= ? AND length(c.claims_hash) = 32)"""
_NO_BYTES = (b"",) * 4


@lru_cache(maxsize=64)
def _equal(absent: tuple[bool, ...]) -> str:
    """Return the condition that the common columns have certain values, or NULL."""
    columns = [*(f"c.{column}" for column in _OF_CREDENTIAL), *(f"i.{column}" for column in _OF_IDENTITY)]
    return " AND ".join(
        f"{column} IS NULL" if is_absent else f"{column} = ?"
        for column, is_absent in zip(columns, absent, strict=True)
    )


class Run(Record):
    """Credentials of one event that are alike; the values of all are joined in the order of their numbers."""

    length: int
    jtis: bytes | None
    """None if there is no credential."""
    prints: bytes | None
    """The fingerprints."""
    uids: bytes | None
    """The raw ids of the identities."""
    claims: bytes | None
    """The hashes of the signed claims, for credentials that have one."""


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

    def issued_members(self, without: str = "", after: int | None = None) -> Iterator[tuple[Any, ...]]:
        """Yield the values of every credential that `AlikeRows` lacks, ordered by the event that issued it.

        A row has number, jti, fingerprint and event; SHA-256 of the key that a certificate is for; the raw id of the
        identity; the hash of the claims; status list and place in it, or None twice.
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
        row = self._one(_ALIKE, key=key)
        return None if row is None else tuple(row)

    def count_alike(
        self, first_key: int, last_key: int, event: int, alike: Sequence[Any], without: str = ""
    ) -> int:
        """Return the number of credentials of an event, from `first_key` to `last_key`, that begin lines and are alike.

        `alike` has the first `COMPARED` values of `AlikeRows`.
        """
        (count,) = self._among_alike("count(*)", first_key, last_key, event, alike, spared(without))
        return int(count)

    def run_alike(
        self, first_key: int, last_key: int, event: int, alike: Sequence[Any], without: str = ""
    ) -> Run:
        """Return the same credentials as a whole, without rows that lack bytes or have bytes of another length."""
        joined = dialect_of(self._db).joined_bytes
        columns = [joined(column, "c.id") for column in ("c.jti", "c.fingerprint", "i.uid", "c.claims_hash")]
        condition = f"{_PLAIN} AND {spared(without)}"
        return Run(
            *self._among_alike(
                f"count(*), {', '.join(columns)}", first_key, last_key, event, alike, condition, _NO_BYTES
            )
        )

    def _among_alike(
        self,
        columns: str,
        first_key: int,
        last_key: int,
        event: int,
        alike: Sequence[Any],
        condition: str,
        further: Sequence[Any] = (),
    ) -> Any:
        absent = tuple([value is None for value in alike])
        values = [value for value in alike if value is not None]
        return self._db.execute(
            f"SELECT {columns} {_ALL_ALIKE} AND {_equal(absent)} AND {condition}",
            (first_key, last_key, event, *values, *further),
        ).fetchone()

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
        return int(count)

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
        """Yield every ended credential, ordered by the event that ended it.

        A row has that event, the jti, when and how it ended; the expiry of a signed credential that ended early, until
        which verifiers may accept it; 1 if it did not expire at its expiry, or was superseded without a successor; 1 if
        the record of an agent counts it.
        """
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


Row = TypeVar("Row")


class EventRows(Generic[Row]):
    """A reader of the rows of each event; rows may be missing only for old events that were pruned.

    Args:
        rows: the rows in the order of their events.
        event: returns the event of a row.
        through: the number of the last event of which rows may be gone; 0 if no rows may be gone.

    """

    def __init__(self, rows: Iterator[Row], event: Callable[[Row], int], through: int) -> None:
        self._rows = rows
        self._event = event
        self._through = through
        self._ahead: list[Row] = []
        """The row that was read ahead and belongs to a later event: at most one."""

    def take(self, seq: int, count: int) -> list[Row]:
        """Return the next `count` rows, or fewer if there are no more; of an old event, its remaining rows."""
        if seq > self._through:
            if self._ahead and count:
                return [self._ahead.pop(), *islice(self._rows, count - 1)]
            return list(islice(self._rows, count))
        rows: list[Row] = []
        while len(rows) < count and (row := self.next()) is not None:
            if self._event(row) != seq:
                self._ahead.append(row)
                break
            rows.append(row)
        return rows

    def put_back(self, row: Row) -> None:
        """Put back the row that was read last, so that it is returned next."""
        self._ahead.append(row)

    def next(self) -> Row | None:
        """Return the next row, if there is one."""
        return self._ahead.pop() if self._ahead else next(self._rows, None)
