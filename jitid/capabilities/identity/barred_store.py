"""Processes that may have no other identity since a revocation, in SQL for both SQLite and PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.ledger.select import LIVE, MANY, dialect_of
from jitid.ledger.transaction import Changes
from jitid.ledger.view import Store
from jitid.values.ids import identity_id
from jitid.values.record import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jitid.model.ledger_rows import Radius
    from jitid.model.process import Process, ProcessAbove

MARK = b'"bars":['
"""Bytes of every event that bars a process, and of no other event: inside a text the quotes would be escaped."""

_OF_PROCESS = ("host", "boot", "namespace", "pid", "started")
"""The columns that distinguish a process from all others: the first fields of `Process`."""

_DELEGATOR, _REQUESTER, _ROOT_REQUESTER = "delegator", "requester", "root"
"""The relations of a name to the revoked identity: its delegator, its requester, the requester of its root."""

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


class BarredRow(Record):
    """A row: a process and a name, without the number and the time of the revocation's event."""

    host: str
    boot: str
    namespace: int
    pid: int
    started: int
    relation: str
    name: str


class Barred(Record):
    """The processes that a revocation bars."""

    identities: tuple[str, ...] = ()
    """The ids of identities by which these rows came: one for each row, without repetitions."""
    rows: tuple[BarredRow, ...] = ()

    @property
    def processes(self) -> int:
        """The number of the processes."""
        return processes(self.rows)

    @property
    def facts(self) -> dict[str, Any]:
        """The members of the revocation's event."""
        return {"barred": self.identities, "bars": self.rows}


def processes(bars: Sequence[BarredRow]) -> int:
    """Return the number of the processes in some rows."""
    return len({bar[: len(_OF_PROCESS)] for bar in bars})


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
        below them. The cost does not depend on the number of revoked identities.
        """
        names = {_DELEGATOR: delegator}
        if requester is not None:
            names |= {_REQUESTER: requester} | ({_ROOT_REQUESTER: requester} if of_root else {})
        each = [(process.pid, process.started), *above]
        numbers = {
            f"{name}{index}": number
            for index, pair in enumerate(each)
            for name, number in zip(("pid", "started"), pair, strict=True)
        }
        stated = ", ".join(f"(:pid{index}, :started{index})" for index in range(len(each)))
        named = ", ".join(f"('{relation}', :{relation})" for relation in names)
        row = self._one(
            f"""WITH stated (pid, started) AS (VALUES {stated}), named (relation, name) AS (VALUES {named})
                SELECT s.pid FROM stated s CROSS JOIN named n CROSS JOIN barred b
                 WHERE b.started = s.started AND b.pid = s.pid AND b.namespace = :namespace AND b.boot = :boot
                   AND b.host = :host AND b.relation = n.relation AND b.name = n.name LIMIT 1""",
            namespace=process.namespace,
            boot=process.boot,
            host=process.host,
            **names,
            **numbers,
        )
        return None if row is None else int(row[0])

    def all(self) -> dict[tuple[Any, ...], tuple[int, int]]:
        """Return the number and the time of the event by the row."""
        rows = self._db.execute(f"SELECT {', '.join(BarredRow._fields)}, event, at FROM barred").fetchall()
        return {tuple(row): (event, at) for *row, event, at in rows}


class BarredChanges(BarredStore, Changes):
    """Changes of barred processes in a transaction."""

    def bar_doomed(self, radius: Radius, *, without: Process | None) -> Barred:
        """Bar the processes of the clients that identities in `doomed` are bound to, except the process `without`.

        The rows point to the next event. If the revocation ends no credential, it only adds missing rows.
        An identity that had been revoked before, as by its client that closed it, bars no process that has a live one
        of the same delegator now.
        """
        dialect = dialect_of(self._db)
        tables = (
            "doomed d CROSS JOIN process p" if radius.identities < MANY else "process p CROSS JOIN doomed d"
        )
        event = self._transaction.next_seq()
        of_process = ", ".join(f"p.{name}" for name in _OF_PROCESS)
        is_other, excluded = "", {}
        if without is not None:
            excluded = dict(zip(_OF_PROCESS, without, strict=False))
            is_other = f"AND NOT ({' AND '.join(f'p.{name} = :{name}' for name in _OF_PROCESS)})"

        def requester_of(identity: str) -> str:
            return f"""(SELECT {dialect.member("by")} FROM {dialect.event_bodies}
                         WHERE seq = (SELECT min(c.event) FROM credential c WHERE c.identity = {identity}))"""

        identities = self._db.execute(
            f"""SELECT i.uid, {of_process}, t.text, {requester_of("i.id")},
                       CASE WHEN i.parent IS NOT NULL THEN {requester_of(f"({_ROOT})")} END
                  FROM {tables} CROSS JOIN identity i CROSS JOIN term t
                 WHERE p.identity = d.identity AND i.id = d.identity AND p.kept = 0 AND p.renews_until = 0
                   AND t.id = i.delegator {is_other}
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
        bars: dict[BarredRow, bytes] = {}
        for uid, *process, delegator, requester, root_requester in identities:
            names = {_DELEGATOR: delegator, _REQUESTER: requester, _ROOT_REQUESTER: root_requester}
            for relation, name in names.items():
                if name is not None:
                    bars.setdefault(BarredRow._make((*process, relation, name)), uid)
        columns = (*BarredRow._fields, "event", "at")
        known = (
            "DO UPDATE SET event = excluded.event, at = excluded.at" if radius.credentials else "DO NOTHING"
        )
        statement = f"""INSERT INTO barred ({", ".join(columns)}) VALUES ({", ".join(f":{name}" for name in columns)})
                        ON CONFLICT ({", ".join(BarredRow._fields)}) {known}"""
        changed = {
            row: identity_id(uid)
            for row, uid in bars.items()
            if self._db.execute(statement, dict(zip(columns, (*row, event, self._now), strict=True))).rowcount
        }
        return Barred(tuple(dict.fromkeys(changed.values())), tuple(changed))
