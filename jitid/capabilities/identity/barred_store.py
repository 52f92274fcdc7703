"""Processes that may have no other identity since a revocation, in SQL for both SQLite and PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.ledger.select import LIVE, MANY, dialect_of
from jitid.ledger.transaction import Changes
from jitid.ledger.view import Store, spared
from jitid.values.ids import identity_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jitid.model.process import Process, ProcessAbove

MARK = b'"barred":['
"""Bytes of every event that bars a process, and of no other event: inside a text the quotes would be escaped."""

_OF_PROCESS = ("host", "boot", "namespace", "pid", "started")
"""The columns that distinguish a process from all others: the first fields of `Process`."""

_IS_PAST = """NOT EXISTS (
    SELECT 1 FROM credential c
     WHERE c.identity = d.identity AND (
           c.ended_event = :event
           OR coalesce(c.ended_as, CASE WHEN c.superseded_at IS NULL THEN '' ELSE 'superseded' END)
              NOT IN ('revoked', 'superseded')))"""
"""The condition that the doomed identity `d` had been revoked before the event. An expired one was not."""

_ROOT = """
    WITH RECURSIVE line (id, parent) AS (
        SELECT i.id, i.parent UNION ALL SELECT a.id, a.parent FROM line l JOIN identity a ON a.id = l.parent
    ) SELECT line.id FROM line WHERE line.parent IS NULL
"""
"""The query for the root of the identity `i`."""


class BarredStore(Store):
    """Queries about barred processes on a view of the ledger."""

    def among(
        self,
        process: Process,
        above: Sequence[ProcessAbove],
        delegator: str,
        requester: str | None,
        *,
        of_root: bool,
    ) -> int | None:
        """Return the number of a process that had an identity that was revoked: this one, or a process above it.

        Only identities of the delegator count, and identities that `requester` requested; with `of_root`, also all
        below them.
        """
        dialect, whose = dialect_of(self._db), _ROOT if of_root else "i.id"
        each = [(process.pid, process.started), *above]
        numbers = {
            f"{name}{index}": number
            for index, pair in enumerate(each)
            for name, number in zip(("pid", "started"), pair, strict=True)
        }
        stated = ", ".join(f"(:pid{index}, :started{index})" for index in range(len(each)))
        row = self._one(
            f"""WITH stated (pid, started) AS (VALUES {stated})
                SELECT s.pid FROM stated s CROSS JOIN process p ON p.started = s.started AND p.pid = s.pid
                  JOIN barred b ON b.identity = p.identity
                  JOIN identity i ON i.id = p.identity JOIN term t ON t.id = i.delegator
                 WHERE p.namespace = :namespace AND p.boot = :boot AND p.host = :host
                   AND (t.text = :delegator OR :requester = (
                       SELECT {dialect.member("by")} FROM {dialect.event_bodies}
                        WHERE seq = (SELECT min(c.event) FROM credential c WHERE c.identity = ({whose}))
                   )) LIMIT 1""",
            delegator=delegator,
            requester=requester or "",
            namespace=process.namespace,
            boot=process.boot,
            host=process.host,
            **numbers,
        )
        return None if row is None else int(row[0])

    def all(self, without: str) -> dict[bytes | None, int]:
        """Return the event by the raw id of the identity, except identities in the table `without`."""
        rows = self._db.execute(
            f"""SELECT i.uid, b.event FROM barred b LEFT JOIN identity i ON i.id = b.identity
                 WHERE {spared(without, "b.identity")}"""
        )
        return dict(rows.fetchall())

    def knows(self, uid: bytes, without: str) -> bool:
        """Return whether the ledger has an identity that is not in the table `without`."""
        row = self._one(f"SELECT 1 FROM identity i WHERE i.uid = :uid AND {spared(without, 'i.id')}", uid=uid)
        return row is not None


class BarredChanges(BarredStore, Changes):
    """Changes of barred processes in a transaction."""

    def bar_doomed(self, event: int, identities: int, *, without: Process | None) -> list[str]:
        """Bar the processes of the clients that identities in `doomed` are bound to, except the process `without`.

        An identity that had been revoked before, as by its client that closed it, bars no process that has a live one
        of the same delegator now. Return the ids of the identities; `identities` is the number of all doomed ones.
        """
        tables = "doomed d CROSS JOIN process p" if identities < MANY else "process p CROSS JOIN doomed d"
        of_process = ", ".join(f"p.{name}" for name in _OF_PROCESS)
        is_other, excluded = "", {}
        if without is not None:
            excluded = dict(zip(_OF_PROCESS, without, strict=False))
            is_other = f"AND NOT ({' AND '.join(f'p.{name} = :{name}' for name in _OF_PROCESS)})"
        rows = self._db.execute(
            f"""SELECT d.identity, i.uid FROM {tables} CROSS JOIN identity i
                WHERE p.identity = d.identity AND i.id = d.identity AND p.kept = 0 AND p.renews_until = 0
                  {is_other} AND NOT EXISTS (SELECT 1 FROM barred b WHERE b.identity = d.identity)
                  AND NOT ({_IS_PAST} AND ({of_process}, i.delegator) IN (
                    SELECT {of_process}, j.delegator
                      FROM (SELECT DISTINCT o.started, o.pid FROM doomed e CROSS JOIN process o
                             WHERE o.identity = e.identity) g
                      CROSS JOIN process p CROSS JOIN identity j CROSS JOIN credential c
                     WHERE p.started = g.started AND p.pid = g.pid AND j.id = p.identity
                       AND c.identity = p.identity AND {LIVE}))
                ORDER BY d.identity""",
            {"event": event, "now": self._now, **excluded},
        ).fetchall()
        for identity, _ in rows:
            self._db.execute(
                "INSERT INTO barred VALUES (:identity, :event)", {"identity": identity, "event": event}
            )
        return [identity_id(uid) for _, uid in rows]
