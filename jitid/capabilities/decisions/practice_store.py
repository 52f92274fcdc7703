"""The practice of agents: permitted and used rights, in SQL for SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from jitid.ledger.lifetime_statistics import GRANTED
from jitid.ledger.select import of_task
from jitid.model.credential import FORMER_PROOF, judged_kinds, read_kinds
from jitid.model.directory import Practice

if TYPE_CHECKING:
    from jitid.ledger.view import View

QUARTER = 900
"""A quarter of an hour in seconds: in every time zone, hours begin at a quarter of an hour of UTC."""

_TABLES = {
    "mined": "identity INTEGER PRIMARY KEY, began BIGINT, ended BIGINT",
    "reported": "identity INTEGER PRIMARY KEY, last BIGINT, uses BIGINT",
}


def practices(view: View, since: int, agent: str | None, task: str | None) -> list[Practice]:
    """Return the practice since a time: of an agent, of all agents on a task, or of an agent on a task."""
    return list(_Mining(view.db, since).practices(agent, task))


class _Mining:
    """The temporary tables and the start time of one call of `practices`."""

    def __init__(self, db: Any, since: int) -> None:
        self._db = db
        self._since = since
        for name, columns in _TABLES.items():
            db.execute(f"CREATE TEMPORARY TABLE IF NOT EXISTS {name} ({columns})")

    def practices(self, agent: str | None, task: str | None) -> Iterator[Practice]:
        values: dict[str, Any] = {}
        conditions = [] if agent is None else ["a.text = :agent"]
        if task is not None:
            conditions.append(f"i.task IN {of_task(task, values)}")
        where = " AND ".join(conditions)
        agents = self._all(
            f"""SELECT DISTINCT a.id, a.text FROM identity i JOIN term a ON a.id = i.agent
                 WHERE {where} ORDER BY a.text""",
            agent=agent,
            **values,
        )
        for key, name in agents:
            try:
                self._collect(key, task)
                practice = self._practice(name)
            finally:
                for table in _TABLES:
                    self._db.execute(f"DELETE FROM {table}")
            if practice is not None:
                yield practice

    def _collect(self, agent: int, task: str | None) -> None:
        values: dict[str, Any] = {}
        on_task = "" if task is None else f"AND i.task IN {of_task(task, values)}"
        self._all(
            f"""INSERT INTO mined
                SELECT i.id, min(c.issued_at), max({GRANTED})
                  FROM identity i CROSS JOIN credential c ON c.identity = i.id
                 WHERE i.agent = :agent {on_task} AND c.issued_at >= :since
                   AND c.kind <> 'adopted' GROUP BY i.id""",
            agent=agent,
            **values,
        )
        self._all(
            """INSERT INTO reported
               SELECT m.identity, max(u.last_at), sum(u.uses)
                 FROM mined m CROSS JOIN used u ON u.identity = m.identity GROUP BY m.identity"""
        )

    def _practice(self, name: str) -> Practice | None:
        ((used, uses),) = self._all("SELECT count(*), coalesce(sum(uses), 0) FROM reported")
        reported = bool(used)
        if reported:
            # An unused identity does not prove a need.
            self._all("DELETE FROM mined WHERE identity NOT IN (SELECT identity FROM reported)")
            self._all(
                "UPDATE mined SET ended = (SELECT last FROM reported WHERE reported.identity = mined.identity)"
            )
        identities, longest, last_use = self._all(
            "SELECT count(*), max(ended - began), max(CASE WHEN :used = 1 THEN ended END) FROM mined",
            used=reported,
        )[0]
        if not identities:
            return None
        people = self._all(
            """SELECT DISTINCT d.text, r.name, i.proof, i.sensitivity, i.depth
                 FROM mined m CROSS JOIN identity i ON i.id = m.identity JOIN term d ON d.id = i.delegator
                 LEFT JOIN delegator_name n ON n.name = d.text LEFT JOIN delegator r ON r.id = n.delegator"""
        )
        rights = self._all(
            """SELECT h.kind, au.text, h.scopes, h.template, h.may_kind
                 FROM (SELECT DISTINCT c.kind, c.audiences, c.scopes, c.template,
                              CASE WHEN c.source IS NULL THEN c.may_kind END AS may_kind
                         FROM mined m CROSS JOIN credential c ON c.identity = m.identity
                        WHERE c.issued_at >= :since) AS h
                 JOIN term au ON au.id = h.audiences"""
        )
        credentials, first_issued, last_issued = self._all(
            """SELECT count(*), min(c.issued_at), max(c.issued_at)
                 FROM mined m CROSS JOIN credential c ON c.identity = m.identity WHERE c.issued_at >= :since"""
        )[0]
        scopes = {scope for _, _, texts, _, _ in rights for scope in texts.split()}
        # The policy judges kinds that the holder may obtain as if they were issued.
        kind_pairs = {(kind, template or "") for kind, _, _, template, _ in rights}
        kind_pairs |= {pair for *_, may_kind in rights for pair in judged_kinds(read_kinds(may_kind))}
        if reported:
            scopes = {
                scope
                for (scope,) in self._all(
                    "SELECT DISTINCT u.scope FROM mined m CROSS JOIN used u ON u.identity = m.identity"
                )
            }
        return Practice(
            name,
            reported,
            identities,
            credentials,
            int(uses),
            first_issued,
            max(last_issued, last_use or last_issued),
            frozenset(
                name
                for recorded_name, current_name, *_ in people
                for name in (recorded_name, current_name)
                if name is not None
            ),
            frozenset(self._proofs(proof for _, _, proof, _, _ in people)),
            frozenset(sensitivity for _, _, _, sensitivity, _ in people),
            frozenset(kind for kind, _ in kind_pairs),
            frozenset(audience for _, audiences, *_ in rights for audience in audiences.split()),
            max(depth for *_, depth in people),
            frozenset(scopes),
            frozenset(quarter for (quarter,) in self._quarters()),
            max(longest, 1),
            frozenset(template for _, template in kind_pairs),
        )

    def _proofs(self, proofs: Iterable[str]) -> Iterator[str]:
        """Yield the proofs of root delegators; for old rows without a proof, those of their roots."""
        for proof in proofs:
            if proof != FORMER_PROOF:
                yield proof
                continue
            rows = self._all(
                """WITH RECURSIVE above (parent, proof) AS (
                       SELECT i.parent, i.proof FROM mined m CROSS JOIN identity i ON i.id = m.identity
                        WHERE i.proof = :former
                       UNION SELECT i.parent, i.proof FROM above JOIN identity i ON i.id = above.parent)
                   SELECT DISTINCT proof FROM above WHERE parent IS NULL""",
                former=FORMER_PROOF,
            )
            yield from (root for (root,) in rows)

    def _quarters(self) -> list[Any]:
        return self._all(
            f"""SELECT c.issued_at / {QUARTER}
                  FROM mined m CROSS JOIN credential c ON c.identity = m.identity WHERE c.issued_at >= :since
                UNION SELECT u.first_at / {QUARTER} FROM mined m CROSS JOIN used u ON u.identity = m.identity
                UNION SELECT u.last_at / {QUARTER} FROM mined m CROSS JOIN used u ON u.identity = m.identity
                UNION SELECT x.at / {QUARTER}
                  FROM mined m CROSS JOIN credential c ON c.identity = m.identity
                 CROSS JOIN action x ON x.credential = c.id WHERE x.allowed = 1"""
        )

    def _all(self, sql: str, **values: Any) -> list[Any]:
        rows: list[Any] = self._db.execute(sql, {"since": self._since, **values}).fetchall()
        return rows
