"""Queries and changes of a ledger's directory, in SQL for SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from jitid.capabilities.directory.delegator_store import (
    WITHOUT_NAMES,
    DelegatorStore,
    DepartureStore,
    disable,
    put_delegators,
)
from jitid.capabilities.directory.delegator_store import delegator as delegator_of
from jitid.errors import IntegrityError
from jitid.ledger import select
from jitid.ledger.select import dialect_of
from jitid.ledger.transaction import Changes
from jitid.ledger.view import spared
from jitid.model.directory import Agent, AgentState, Delegator, DirectoryEntry, Holding, LiveUnder, Ties
from jitid.values.times import check_times

if TYPE_CHECKING:
    from jitid.ledger.transaction import Transaction

_AGENT = """SELECT r.id, r.name, r.owner, r.purpose, r.scopes, r.audiences, r.kinds, r.max_ttl, r.concurrency,
           r.review_at, r.registered_at, r.reviewed_at, r.suspended_at, r.suspended_as, r.unregistered_at, r.users
      FROM agent r"""
_IN_STATE = {
    AgentState.REGISTERED: "r.unregistered_at IS NULL AND r.suspended_at IS NULL AND r.review_at > :now",
    AgentState.OVERDUE: "r.unregistered_at IS NULL AND r.suspended_at IS NULL AND r.review_at <= :now",
    AgentState.SUSPENDED: "r.unregistered_at IS NULL AND r.suspended_at IS NOT NULL",
    AgentState.UNREGISTERED: "r.unregistered_at IS NOT NULL",
}
"""The SQL conditions of the states, equal to `Agent.state_at`."""
_AT_ONCE = 500


def _agent(row: Any) -> Agent:
    """Return an agent from a row. Raises IntegrityError if no ledger writes such a row."""
    key, name, owner, purpose, scopes, audiences, kinds, max_ttl, concurrency, *later_columns = row
    review_at, registered_at, reviewed_at, suspended_at, suspended_as, unregistered_at, users = later_columns
    check_times(max_ttl, concurrency, review_at, registered_at, reviewed_at, suspended_at, unregistered_at)
    if None in (max_ttl, review_at, registered_at) or not all(
        isinstance(text, str)
        for text in (name, owner, purpose, scopes, audiences, kinds, users, suspended_as or "")
    ):
        raise IntegrityError(
            "an agent's record in the ledger has an invalid value", "run: jitid audit verify"
        )
    lists = (tuple(scopes.split()), tuple(audiences.split()), tuple(kinds.split()))
    times = (review_at, registered_at, reviewed_at, suspended_at, suspended_as, unregistered_at)
    return Agent(key, name, owner, purpose, *lists, max_ttl, concurrency, *times, tuple(users.split()))


def _is_stable(entry: DirectoryEntry) -> bool:
    """Return whether an issue leaves an entry unchanged: the number of live identities, if limited, changes."""
    return entry.agent is None or entry.agent.concurrency is None


class DirectoryStore(DelegatorStore, DepartureStore):
    """Queries about delegators and agents, on a view of a SQL ledger."""

    def entry(self, delegator: str, agent: str) -> DirectoryEntry:
        """Return the directory entry of a delegator, by any of their names, and of an agent."""
        return self._view.once(
            "entry", (delegator, agent), lambda: self._entry(delegator, agent), keep=_is_stable
        )

    def _entry(self, delegator: str, agent: str) -> DirectoryEntry:
        record = self.find_agent(agent)
        if record is not None and record.concurrency is not None:
            # Otherwise two concurrent transactions could both issue the last permitted identity.
            self._view.alone()
        row = self._db.execute(
            f"{WITHOUT_NAMES} WHERE d.id = (SELECT delegator FROM delegator_name WHERE name = :name)",
            {"name": delegator},
        ).fetchone()
        person = None
        if row is not None:
            groups = self._db.execute(
                "SELECT name FROM delegator_group WHERE delegator = :key ORDER BY name", {"key": row[0]}
            ).fetchall()
            person = delegator_of(row, [name for (name,) in groups], ())
        live = 0
        if record is not None and record.concurrency is not None:
            (live,) = self._db.execute(
                f"""SELECT count(DISTINCT c.identity) FROM credential c
                     WHERE c.recurring = :key AND {select.LIVE}""",
                {"key": record.key, "now": self._now},
            ).fetchone()
        return DirectoryEntry(person, record, live)

    def agents_named(self, names: Iterable[str]) -> dict[str, Agent]:
        """Return the records of the agents with these names, by name; also of unregistered agents."""
        return {row[1]: _agent(row) for row in select.alike(self._db, f"{_AGENT} WHERE r.name", names)}

    def find_agent(self, name: str) -> Agent | None:
        """Return the record of an agent, also of an unregistered one."""
        return self._view.once("agent", name, lambda: self._find_agent(name))

    def _find_agent(self, name: str) -> Agent | None:
        row = self._db.execute(f"{_AGENT} WHERE r.name = :name", {"name": name}).fetchone()
        return None if row is None else _agent(row)

    def wrongly_named(self) -> str | None:
        """Return a name that is assigned to a wrong delegator, or a name or group without a delegator; or None."""
        row = self._db.execute(
            """SELECT d.name FROM delegator d LEFT JOIN delegator_name n ON n.name = d.name
                WHERE coalesce(n.delegator, 0) <> d.id
                UNION ALL
               SELECT n.name FROM delegator_name n LEFT JOIN delegator d ON d.id = n.delegator WHERE d.id IS NULL
                UNION ALL
               SELECT g.name FROM delegator_group g LEFT JOIN delegator d ON d.id = g.delegator WHERE d.id IS NULL
                LIMIT 1"""
        ).fetchone()
        return None if row is None else str(row[0])

    def miscounted_agent(self, registered: Mapping[str, int], ended: int, without: str = "") -> str | None:
        """Return an agent whose credentials are not counted to its own record, or None if all are right.

        An agent without a record is wrong if any record counts its credentials.

        Args:
            registered: the event of the first registration of each agent, by name.
            ended: the number of ended credentials that a record counts, without adopted secrets.
            without: the name of a table of pruned identities.

        """
        # All credentials of registered agents are counted to their records, so both counts must be equal: a
        # difference is a credential that counts for a record whose agent has none.
        # A temporary table costs more than filling it: SQLite then prepares each statement again.
        counted, wrong = self._recorded(registered, without) if registered else (0, None)
        condition = f"c.recurring IS NOT NULL AND c.kind <> 'adopted' AND {spared(without)}"
        (live,) = self._db.execute(
            f"SELECT count(*) FROM credential c WHERE c.ended_at IS NULL AND {condition}"
        ).fetchone()
        total = ended + live
        if wrong is None and total != counted:
            (wrong,) = self._db.execute(
                f"""SELECT coalesce(min(t.text), '?') FROM credential c CROSS JOIN identity i CROSS JOIN term t
                      {"LEFT JOIN registered g ON g.name = t.text" if registered else ""}
                     WHERE {condition} AND i.id = c.identity AND t.id = i.agent
                       {"AND (g.event IS NULL OR c.ended_event <= g.event)" if registered else ""}"""
            ).fetchone()
        return None if wrong is None else str(wrong)

    def has_login(self, holder: str) -> bool:
        """Return whether a system user, as `LOGIN+HASH@HOST`, may have a login beside the ledger."""
        return self._view.once("login", holder, lambda: self._has_login(holder))

    def _has_login(self, holder: str) -> bool:
        return (
            self._one("SELECT 1 FROM access WHERE holder = :holder AND ended_at IS NULL", holder=holder)
            is not None
        )

    def _recorded(self, registered: Mapping[str, int], without: str) -> tuple[int, str | None]:
        """Return the number of credentials that count to registered agents, and an agent with a wrong one or None."""
        dialect = dialect_of(self._db)
        dialect.temporaries(self._db, {"registered": "name TEXT PRIMARY KEY, event INTEGER NOT NULL"})
        dialect.insert(self._db, "registered", ("name", "event"), registered.items())
        dialect.counted(self._db, "registered")
        # A record counts credentials that had not ended before its registration. Transactions that register or revoke
        # exclude other writers, so that the numbers of their events are in order.
        count, wrong = self._db.execute(
            f"""SELECT count(*), min(CASE WHEN coalesce(c.recurring, 0) <> r.id THEN g.name END)
                  FROM registered g CROSS JOIN agent r CROSS JOIN term t CROSS JOIN identity i CROSS JOIN credential c
                 WHERE r.name = g.name AND t.text = g.name AND i.agent = t.id AND c.identity = i.id
                   AND c.kind <> 'adopted' AND (c.ended_event IS NULL OR c.ended_event > g.event)
                   AND {spared(without)}"""
        ).fetchone()
        return int(count), wrong

    def agents(
        self, *, owner: Sequence[str], state: AgentState | None = None, after: str | None, limit: int
    ) -> list[Agent]:
        """Return records of agents in the order of their names; with `owner`, only of these owners."""
        values: dict[str, Any] = {"after": after, "limit": limit, "now": self._now}
        where = "" if after is None else " AND r.name > :after"
        if owner:
            where += f" AND r.owner IN ({select.placeholders('owner', owner, values)})"
        if state is not None:
            where += f" AND {_IN_STATE[state]}"
        rows = self._db.execute(f"{_AGENT} WHERE 1 = 1{where} ORDER BY r.name LIMIT :limit", values)
        return [_agent(row) for row in rows]

    def live_under(self, name: str) -> list[LiveUnder]:
        """Return the identities of an agent that have a live credential, without adopted secrets."""
        rows = self._db.execute(
            f"""SELECT DISTINCT i.uid, d.text, CASE WHEN c.recurring IS NULL THEN 0 ELSE 1 END
                  FROM term a CROSS JOIN identity i CROSS JOIN credential c CROSS JOIN term d
                 WHERE a.text = :name AND i.agent = a.id AND c.identity = i.id AND {select.LIVE}
                   AND c.kind <> 'adopted' AND d.id = c.delegator""",
            {"name": name, "now": self._now},
        )
        return [LiveUnder(uid, delegator, bool(recorded)) for uid, delegator, recorded in rows]

    def holdings(self, agents: Iterable[Agent]) -> dict[int, Holding]:
        """Return the live identities and the latest issue of each of these agents, by its key."""
        holdings: dict[int, Holding] = {}
        keys = iter([agent.key for agent in agents])
        while chunk := list(islice(keys, _AT_ONCE)):
            values: dict[str, Any] = {"now": self._now}
            placeholders = select.placeholders("key", chunk, values)
            live = dict(
                self._db.execute(
                    f"""SELECT c.recurring, count(DISTINCT c.identity) FROM credential c
                         WHERE c.recurring IN ({placeholders}) AND {select.LIVE} GROUP BY c.recurring""",
                    values,
                )
            )
            for key, last_issued_at in self._db.execute(
                f"""SELECT r.id, (SELECT max(c.issued_at) FROM credential c
                                   WHERE c.identity = (SELECT i.id FROM term t JOIN identity i ON i.agent = t.id
                                                        WHERE t.text = r.name ORDER BY i.id DESC LIMIT 1))
                      FROM agent r WHERE r.id IN ({placeholders})""",
                values,
            ):
                holdings[key] = Holding(live.get(key, 0), last_issued_at)
        return holdings


class DirectoryChanges(Changes, DirectoryStore):
    """Changes to the directory; each changed row points to the next event."""

    def __init__(self, transaction: Transaction) -> None:
        super().__init__(transaction)
        transaction.alone()

    def put_delegators(self, delegators: Iterable[Delegator]) -> None:
        """Record delegators: a new row if the key is 0, otherwise a replacement of the row with that key."""
        self._transaction.forget("entry")
        put_delegators(self._db, delegators, self._transaction.next_seq())

    def disable(self, keys: Iterable[int], names: Iterable[str]) -> Ties:
        """Disable enabled delegators, suspend their agents, and withdraw their requests, unused grants and access."""
        names = list(names)
        ties = self.ties(names)
        self._transaction.forget("entry")
        disable(self._db, keys, names, ties, now=self._now, event=self._transaction.next_seq())
        return ties

    def put_agents(self, agents: Iterable[Agent]) -> None:
        """Record agents: a new row if the key is 0, otherwise a replacement of the row with that key."""
        self._transaction.forget("entry")
        _put_agents(self._db, agents, self._transaction.next_seq())


def _put_agents(db: Any, agents: Iterable[Agent], event: int) -> None:
    """Record agents; each replaces the row with its key."""
    (last_key,) = db.execute("SELECT coalesce(max(id), 0) FROM agent").fetchone()
    for agent in agents:
        if agent.key:
            db.execute("DELETE FROM agent WHERE id = ?", (agent.key,))
        else:
            last_key += 1
            # Live credentials from before the registration count to the record, too.
            db.execute(
                """UPDATE credential SET recurring = :key
                    WHERE ended_at IS NULL AND identity IN (
                        SELECT i.id FROM term a JOIN identity i ON i.agent = a.id WHERE a.text = :name)""",
                {"key": last_key, "name": agent.name},
            )
        key, name, owner, purpose, scopes, audiences, kinds, *columns, users = agent
        words = (" ".join(scopes), " ".join(audiences), " ".join(kinds))
        db.execute(
            """INSERT INTO agent (id, name, owner, purpose, scopes, audiences, kinds, max_ttl, concurrency, review_at,
                                  registered_at, reviewed_at, suspended_at, suspended_as, unregistered_at, users,
                                  event)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
            (key or last_key, name, owner, purpose, *words, *columns, " ".join(users), event),
        )
