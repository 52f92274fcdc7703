"""Queries and changes of adopted secrets, in SQL for both SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import groupby
from operator import itemgetter
from typing import Any

from jitid.ledger import select
from jitid.ledger.select import dialect_of
from jitid.ledger.view import Store
from jitid.model.adopted import Adopted, AdoptedRow, digest_of
from jitid.model.target import BY_HAND, Settlement
from jitid.model.task import Task
from jitid.search.find import SecretShape
from jitid.values import strict_json

# A missing row must not hide a secret: the digest then differs from that of the event.
_MEMBERS = """
    SELECT c.event, x.credential, c.jti, i.uid, t.name, t.purpose, a.text, d.text, i.proof, i.sensitivity, i.depth,
           c.kind, c.scopes, au.text, c.details, c.issued_at, c.expires_at, c.fingerprint, c.public, x.place, x.prefix,
           x.length, o.target, o.name, o.reference, o.facts
      FROM adopted x LEFT JOIN credential c ON c.id = x.credential LEFT JOIN identity i ON i.id = c.identity
           LEFT JOIN task t ON t.id = i.task LEFT JOIN term a ON a.id = i.agent LEFT JOIN term d ON d.id = i.delegator
           LEFT JOIN term au ON au.id = c.audiences LEFT JOIN outside o ON o.credential = x.credential"""
_CHANGE = (
    "UPDATE adopted SET place = :place WHERE credential = :key",
    "UPDATE credential SET delegator = :owner, expires_at = :expires_at WHERE id = :key",
    """UPDATE identity SET delegator = :owner, agent = :agent
        WHERE id = (SELECT identity FROM credential WHERE id = :key)""",
    "UPDATE task SET purpose = :purpose WHERE id = (SELECT task FROM credential WHERE id = :key)",
    """UPDATE outside SET target = :target, name = :name, reference = :reference, facts = :facts,
              settlement = :settlement, next_at = :next_at, proof = :proof
        WHERE credential = :key AND settled_at IS NULL""",
)
_OUTSIDE = ("target", "name", "reference", "facts", "settlement", "next_at", "proof")
_MAY_WORK = "(c.ended_at IS NULL OR o.settled_at IS NULL OR o.settlement <> 'done')"
"""Whether a secret may still work: its end, where it is kept, is not confirmed."""


class AdoptedStore(Store):
    """Queries about adopted secrets on a view of the ledger."""

    def of(self, keys: Iterable[int]) -> dict[int, Adopted]:
        """Return the adopted secrets of credentials, by the ledger's own numbers."""
        rows = select.alike(
            self._db,
            "SELECT credential, place, prefix, length FROM adopted WHERE credential",
            keys,
        )
        return {row[0]: Adopted._make(row) for row in rows}

    def on_tasks(self, tasks: Iterable[str]) -> dict[str, int]:
        """Return the latest adopted credential on each of these tasks that has any."""
        latest_keys: dict[str, int] = {}
        rows = select.alike(
            self._db,
            """SELECT t.name, c.id FROM adopted x JOIN credential c ON c.id = x.credential
                 JOIN task t ON t.id = c.task WHERE t.name""",
            tasks,
        )
        for name, key in rows:
            latest_keys[name] = max(key, latest_keys.get(name, 0))
        return latest_keys

    def page(self, owners: Sequence[str], after: int, limit: int, *, live: bool, open_: bool) -> list[int]:
        """Return numbers of adopted credentials above `after`, in order."""
        values: dict[str, Any] = {"now": self._now, "after": after, "limit": limit}
        where = "x.credential > :after"
        if owners:
            names = select.placeholders("owner", owners, values)
            where += f" AND c.delegator IN (SELECT id FROM term WHERE text IN ({names}))"
        if live:
            where += f" AND {select.LIVE}" if not open_ else f" AND (({select.LIVE}) OR {_MAY_WORK})"
        rows = self._db.execute(
            f"""SELECT x.credential FROM adopted x JOIN credential c ON c.id = x.credential
                  LEFT JOIN outside o ON o.credential = x.credential WHERE {where}
                 ORDER BY x.credential LIMIT :limit""",
            values,
        )
        return [key for (key,) in rows]

    def shapes(self) -> list[SecretShape]:
        """Return the shapes of all secrets that were ever adopted: a search must recognise ended secrets too."""
        rows = self._db.execute(
            "SELECT DISTINCT prefix, length FROM adopted WHERE length IS NOT NULL"
        ).fetchall()
        return sorted(
            (SecretShape(*row) for row in rows), key=lambda shape: (shape.prefix or "~~", shape.length)
        )

    def shapeless(self) -> bool:
        """Return whether a live adopted secret has no known length: a search by shape does not find it."""
        row = self._db.execute(
            """SELECT 1 FROM adopted x JOIN credential c ON c.id = x.credential
                WHERE x.length IS NULL AND c.ended_at IS NULL LIMIT 1"""
        ).fetchone()
        return row is not None

    def prints(self, size: int) -> bytes:
        """Return the first `size` bytes of the fingerprint of each secret with a known length, concatenated."""
        rows = self._db.execute(
            """SELECT c.fingerprint FROM adopted x JOIN credential c ON c.id = x.credential
                WHERE x.length IS NOT NULL AND c.fingerprint IS NOT NULL ORDER BY x.credential"""
        )
        return b"".join(bytes(print_)[:size] for (print_,) in rows)

    def digest(self, event: int) -> str:
        """Return the digest of the secrets that an event adopted."""
        rows = self._db.execute(f"{_MEMBERS} WHERE c.event = :event ORDER BY x.credential", {"event": event})
        return digest_of(self._with_parts(rows.fetchall()))

    def digests(self) -> dict[int, str]:
        """Return the digest of each event that adopted secrets."""
        rows = self._db.execute(f"{_MEMBERS} ORDER BY c.event, x.credential").fetchall()
        return {
            event: digest_of(self._with_parts(list(members)))
            for event, members in groupby(rows, itemgetter(0))
        }

    def _with_parts(self, rows: Sequence[Sequence[Any]]) -> Iterator[Sequence[Any]]:
        parts: dict[int, list[list[Any]]] = {}
        keys = [row[1] for row in rows]
        for key, name, print_ in select.alike(
            self._db, "SELECT credential, name, fingerprint FROM part WHERE credential", keys
        ):
            parts.setdefault(key, []).append([name, bytes(print_).hex()])
        for _, key, *columns in rows:
            members = [bytes(value) if isinstance(value, (bytes, memoryview)) else value for value in columns]
            yield [*members, sorted(parts.get(key, ()))]


class AdoptedChanges(AdoptedStore):
    """Changes of adopted secrets in a transaction."""

    def change(
        self, row: AdoptedRow, *, owner: int, agent: int, purpose: str | None, expires_at: int
    ) -> None:
        """Record the properties of an adopted secret, all of them; `owner` and `agent` are numbers of names."""
        values = {
            "key": row.credential,
            "owner": owner,
            "agent": agent,
            "purpose": purpose,
            "expires_at": expires_at,
            "place": row.place,
            **dict(zip(_OUTSIDE, self._outside(row), strict=True)),
        }
        for statement in _CHANGE:
            self._db.execute(statement, values)

    def add(self, rows: Sequence[AdoptedRow]) -> None:
        """Record the rows that belong to new credentials, which have rows already."""
        dialect = dialect_of(self._db)
        dialect.insert(
            self._db,
            "adopted",
            ("credential", "place", "prefix", "length"),
            [(row.credential, row.place, row.prefix, row.length) for row in rows],
        )
        dialect.insert(
            self._db,
            "outside",
            ("credential", "attempts", *_OUTSIDE),
            [(row.credential, 0, *self._outside(row)) for row in rows],
        )
        dialect.insert(
            self._db,
            "part",
            ("credential", "name", "fingerprint"),
            [(row.credential, *part) for row in rows for part in row.parts.items()],
        )

    def _outside(self, row: AdoptedRow) -> tuple[Any, ...]:
        """Return the values of the columns `_OUTSIDE`."""
        facts = strict_json.dumps(dict(row.facts)) if row.facts else None
        settlement = Settlement.STUCK.value if row.target == BY_HAND else None
        return row.target, row.name, row.reference, facts, settlement, self._now, row.waits_for


def adopted_digest(tasks: Iterable[Task]) -> str:
    """Return SHA-256, as hex, over the tasks of adopted secrets in their order: a canonical JSON array.

    It has an array for each: name, opener and sensitivity.
    """
    members = [[task.name, task.opener, task.sensitivity] for task in tasks]
    return sha256(strict_json.dumps(members).encode()).hexdigest()
