"""The directory of a ledger, in SQL that SQLite and PostgreSQL both take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from jitid.capabilities.directory.delegator_store import WITHOUT_NAMES, DelegatorStore, put_delegators
from jitid.capabilities.directory.delegator_store import delegator as delegator_of
from jitid.capabilities.directory.departure_store import DepartureStore, disable
from jitid.errors import IntegrityError
from jitid.ledger import select
from jitid.ledger.dialect import dialect_of
from jitid.ledger.events import spared
from jitid.model.agent import Agent, AgentState
from jitid.model.delegator import Delegator
from jitid.model.directory import DirectoryEntry, Holding, LiveUnder, Ties
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
"""As `Agent.state_at` tells it."""
_AT_ONCE = 500


def _agent(row: Any) -> Agent:
    """Return an agent from a row. Raises IntegrityError for one that no ledger writes."""
    key, name, owner, purpose, scopes, audiences, kinds, max_ttl, concurrency, *rest = row
    review_at, registered_at, reviewed_at, suspended_at, suspended_as, unregistered_at, users = rest
    check_times(max_ttl, concurrency, review_at, registered_at, reviewed_at, suspended_at, unregistered_at)
    if None in (max_ttl, review_at, registered_at) or not all(
        isinstance(text, str)
        for text in (name, owner, purpose, scopes, audiences, kinds, users, suspended_as or "")
    ):
        raise IntegrityError(
            "the record of an agent in the ledger holds what no ledger writes", "run: jitid audit verify"
        )
    lists = (tuple(scopes.split()), tuple(audiences.split()), tuple(kinds.split()))
    times = (review_at, registered_at, reviewed_at, suspended_at, suspended_as, unregistered_at)
    return Agent(key, name, owner, purpose, *lists, max_ttl, concurrency, *times, tuple(users.split()))


def _is_stable(entry: DirectoryEntry) -> bool:
    """Tell whether an entry stays as it is while identities are issued: how many of an agent's live does not."""
    return entry.agent is None or entry.agent.concurrency is None


class DirectoryStore(DelegatorStore, DepartureStore):
    """What a view of a ledger that speaks SQL answers about delegators and agents."""

    def entry(self, delegator: str, agent: str) -> DirectoryEntry:
        """Return what the directory has of a delegator, by any of their names, and of an agent."""
        return self._view.once(
            "entry", (delegator, agent), lambda: self._entry(delegator, agent), keep=_is_stable
        )

    def _entry(self, delegator: str, agent: str) -> DirectoryEntry:
        record = self.find_agent(agent)
        if record is not None and record.concurrency is not None:
            # Two transactions at once would each take the last place.
            self._view.alone()
        row = self._db.execute(
            f"{WITHOUT_NAMES} WHERE d.id = (SELECT delegator FROM delegator_name WHERE name = :name)",
            {"name": delegator},
        ).fetchone()
        found = None
        if row is not None:
            groups = self._db.execute(
                "SELECT name FROM delegator_group WHERE delegator = :key ORDER BY name", {"key": row[0]}
            ).fetchall()
            found = delegator_of(row, [name for (name,) in groups], ())
        live = 0
        if record is not None and record.concurrency is not None:
            (live,) = self._db.execute(
                f"""SELECT count(DISTINCT c.identity) FROM credential c
                     WHERE c.recurring = :key AND {select.LIVE}""",
                {"key": record.key, "now": self._now},
            ).fetchone()
        return DirectoryEntry(found, record, live)

    def agents_named(self, names: Iterable[str]) -> dict[str, Agent]:
        """Return the records of the agents of these names, by name; also those that have ended."""
        return {row[1]: _agent(row) for row in select.alike(self._db, f"{_AGENT} WHERE r.name", names)}

    def find_agent(self, name: str) -> Agent | None:
        """Return the record of an agent, also one that has ended."""
        return self._view.once("agent", name, lambda: self._find_agent(name))

    def _find_agent(self, name: str) -> Agent | None:
        row = self._db.execute(f"{_AGENT} WHERE r.name = :name", {"name": name}).fetchone()
        return None if row is None else _agent(row)

    def wrongly_named(self) -> str | None:
        """Return a delegator's own name that stands for another, or a name or group of no delegator; or None."""
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

    def wrongly_held(self, registered: Mapping[str, int], ended: int, without: str = "") -> str | None:
        """Return whose credentials are not counted to their agent's record, or are to another's; None for none's.

        Args:
            registered: the event that registered each agent first, by name.
            ended: how many ended credentials are counted to a record; not what was adopted.
            without: names a table of identities that are gone.

        """
        # A temporary table costs more than it is filled with: SQLite then prepares each statement anew.
        counted, wrong = self._recorded(registered, without) if registered else (0, None)
        others = f"c.recurring IS NOT NULL AND c.kind <> 'adopted' AND {spared(without)}"
        (living,) = self._db.execute(
            f"SELECT count(*) FROM credential c WHERE c.ended_at IS NULL AND {others}"
        ).fetchone()
        found = ended + living
        if wrong is None and found != counted:
            (wrong,) = self._db.execute(
                f"""SELECT coalesce(min(t.text), '?') FROM credential c CROSS JOIN identity i CROSS JOIN term t
                      {"LEFT JOIN registered g ON g.name = t.text" if registered else ""}
                     WHERE {others} AND i.id = c.identity AND t.id = i.agent
                       {"AND (g.event IS NULL OR c.ended_event <= g.event)" if registered else ""}"""
            ).fetchone()
        return None if wrong is None else str(wrong)

    def _recorded(self, registered: Mapping[str, int], without: str) -> tuple[int, str | None]:
        """Return how much counts to the records of registered agents, and whose does not."""
        dialect = dialect_of(self._db)
        dialect.temporaries(self._db, {"registered": "name TEXT PRIMARY KEY, event INTEGER NOT NULL"})
        dialect.insert(self._db, "registered", ("name", "event"), registered.items())
        dialect.counted(self._db, "registered")
        # A record counts what had not ended before it. Whatever registers or ends has the ledger alone, so that the
        # numbers of such events are in their order.
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
        """Return records of agents in the order of their names; of these owners if any are named."""
        values: dict[str, Any] = {"after": after, "limit": limit, "now": self._now}
        where = "" if after is None else " AND r.name > :after"
        if owner:
            where += f" AND r.owner IN ({select.placeholders('owner', owner, values)})"
        if state is not None:
            where += f" AND {_IN_STATE[state]}"
        rows = self._db.execute(f"{_AGENT} WHERE 1 = 1{where} ORDER BY r.name LIMIT :limit", values)
        return [_agent(row) for row in rows]

    def live_under(self, name: str) -> list[LiveUnder]:
        """Return the identities of an agent of which anything lives; not what was adopted."""
        rows = self._db.execute(
            f"""SELECT DISTINCT i.uid, d.text, CASE WHEN c.recurring IS NULL THEN 0 ELSE 1 END
                  FROM term a CROSS JOIN identity i CROSS JOIN credential c CROSS JOIN term d
                 WHERE a.text = :name AND i.agent = a.id AND c.identity = i.id AND {select.LIVE}
                   AND c.kind <> 'adopted' AND d.id = c.delegator""",
            {"name": name, "now": self._now},
        )
        return [LiveUnder(uid, delegator, bool(recorded)) for uid, delegator, recorded in rows]

    def holdings(self, agents: Iterable[Agent]) -> dict[int, Holding]:
        """Return what each of these agents has been given, by its number."""
        found: dict[int, Holding] = {}
        keys = iter([agent.key for agent in agents])
        while chunk := list(islice(keys, _AT_ONCE)):
            values: dict[str, Any] = {"now": self._now}
            among = select.placeholders("key", chunk, values)
            live = dict(
                self._db.execute(
                    f"""SELECT c.recurring, count(DISTINCT c.identity) FROM credential c
                         WHERE c.recurring IN ({among}) AND {select.LIVE} GROUP BY c.recurring""",
                    values,
                )
            )
            for key, last in self._db.execute(
                f"""SELECT r.id, (SELECT max(c.issued_at) FROM credential c
                                   WHERE c.identity = (SELECT i.id FROM term t JOIN identity i ON i.agent = t.id
                                                        WHERE t.text = r.name ORDER BY i.id DESC LIMIT 1))
                      FROM agent r WHERE r.id IN ({among})""",
                values,
            ):
                found[key] = Holding(live.get(key, 0), last)
        return found


class DirectoryChanges(DirectoryStore):
    """Changes to the directory; each points to the next event."""

    def __init__(self, transaction: Transaction) -> None:
        super().__init__(transaction)
        self._transaction = transaction
        transaction.alone()

    def put_delegators(self, delegators: Iterable[Delegator]) -> None:
        """Record delegators as they are given: new where their key is 0, otherwise instead of what was there."""
        self._transaction.forget("entry")
        put_delegators(self._db, delegators, self._transaction.next_seq())

    def disable(self, keys: Iterable[int], names: Iterable[str]) -> Ties:
        """Disable delegators who are not, suspend the agents they own, withdraw their requests and unused grants."""
        names = list(names)
        ties = self.ties(names)
        self._transaction.forget("entry")
        disable(self._db, keys, names, ties, now=self._now, event=self._transaction.next_seq())
        return ties

    def put_agents(self, agents: Iterable[Agent]) -> None:
        """Record agents as they are given: new where their key is 0, otherwise instead of what was there."""
        self._transaction.forget("entry")
        _put_agents(self._db, agents, self._transaction.next_seq())


def _put_agents(db: Any, agents: Iterable[Agent], event: int) -> None:
    """Record agents as they are given, in the place of what was there under their key."""
    (last,) = db.execute("SELECT coalesce(max(id), 0) FROM agent").fetchone()
    for one in agents:
        if one.key:
            db.execute("DELETE FROM agent WHERE id = ?", (one.key,))
        else:
            last += 1
            # What it was given before it was registered counts too.
            db.execute(
                """UPDATE credential SET recurring = :key
                    WHERE ended_at IS NULL AND identity IN (
                        SELECT i.id FROM term a JOIN identity i ON i.agent = a.id WHERE a.text = :name)""",
                {"key": last, "name": one.name},
            )
        key, name, owner, purpose, scopes, audiences, kinds, *rest, users = one
        words = (" ".join(scopes), " ".join(audiences), " ".join(kinds))
        db.execute(
            """INSERT INTO agent (id, name, owner, purpose, scopes, audiences, kinds, max_ttl, concurrency, review_at,
                                  registered_at, reviewed_at, suspended_at, suspended_as, unregistered_at, users,
                                  event)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
            (key or last, name, owner, purpose, *words, *rest, " ".join(users), event),
        )
