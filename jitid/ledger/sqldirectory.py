"""The directory of a ledger, in SQL that SQLite and PostgreSQL both take."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from jitid.agent import Agent, AgentState
from jitid.delegator import Delegator
from jitid.ledger import selecting
from jitid.ledger.directory import Entry, Holding

_DELEGATOR = """SELECT d.id, d.name, d.sensitivity, d.scopes, d.manager, d.imported, d.added_at, d.disabled_at
      FROM delegator d"""
_AGENT = """SELECT r.id, r.name, r.owner, r.purpose, r.scopes, r.audiences, r.kinds, r.max_ttl, r.concurrency,
           r.review_at, r.registered_at, r.reviewed_at, r.suspended_at, r.suspended_as, r.unregistered_at
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
    key, name, owner, purpose, scopes, audiences, kinds, *rest = row
    return Agent(
        key,
        name,
        owner,
        purpose,
        tuple(scopes.split()),
        tuple(audiences.split()),
        tuple(kinds.split()),
        *rest,
    )


class SqlDirectory:
    """What a view of a ledger that speaks SQL answers about delegators and agents."""

    _db: Any
    _now: int

    def entry(self, delegator: str, agent: str) -> Entry:
        """Return what the directory has of a delegator, by any of their names, and of an agent."""
        row = self._db.execute(
            f"{_DELEGATOR} WHERE d.id = (SELECT delegator FROM delegator_name WHERE name = :name)",
            {"name": delegator},
        ).fetchone()
        found = None
        if row is not None:
            groups = self._db.execute(
                "SELECT name FROM delegator_group WHERE delegator = :key ORDER BY name", {"key": row[0]}
            ).fetchall()
            found = _delegator(row, tuple([name for (name,) in groups]), ())
        record = self.find_agent(agent)
        live = 0
        if record is not None and record.concurrency is not None:
            (live,) = self._db.execute(
                f"""SELECT count(DISTINCT c.identity) FROM credential c
                     WHERE c.recurring = :key AND {selecting.LIVE}""",
                {"key": record.key, "now": self._now},
            ).fetchone()
        return Entry(found, record, live)

    def find_delegator(self, name: str) -> Delegator | None:
        """Return the delegator who has that name or alias; whole, with their aliases."""
        rows = self._db.execute(
            f"{_DELEGATOR} WHERE d.id = (SELECT delegator FROM delegator_name WHERE name = :name)",
            {"name": name},
        ).fetchall()
        return next(iter(self._whole(rows)), None)

    def delegators(
        self, *, group: str | None, disabled: bool | None, after: str | None, limit: int
    ) -> list[Delegator]:
        """Return delegators in the order of their names."""
        conditions = {
            "d.id IN (SELECT delegator FROM delegator_group WHERE name = :group)": group is not None,
            "d.disabled_at IS NOT NULL": disabled is True,
            "d.disabled_at IS NULL": disabled is False,
            "d.name > :after": after is not None,
        }
        where = "".join([f" AND {condition}" for condition, holds in conditions.items() if holds])
        rows = self._db.execute(
            f"{_DELEGATOR} WHERE 1 = 1{where} ORDER BY d.name LIMIT :limit",
            {"group": group, "after": after, "limit": limit},
        ).fetchall()
        return self._whole(rows)

    def is_delegator(self, name: str) -> bool:
        """Tell whether somebody in the directory has that name or alias."""
        row = self._db.execute("SELECT 1 FROM delegator_name WHERE name = :name", {"name": name}).fetchone()
        return row is not None

    def own_name(self, name: str) -> str:
        """Return the own name of the delegator who has that name or alias; an unknown one as it is."""
        row = self._db.execute(
            "SELECT d.name FROM delegator_name n JOIN delegator d ON d.id = n.delegator WHERE n.name = :name",
            {"name": name},
        ).fetchone()
        return name if row is None else str(row[0])

    def names_of(self, name: str) -> tuple[str, ...]:
        """Return every name of the delegator who has that one, the first of them their own; an unknown one's alone."""
        found = self.find_delegator(name)
        if found is None:
            return (name,)
        return (found.name, *(alias for alias in found.aliases if " " not in alias))

    def find_agent(self, name: str) -> Agent | None:
        """Return the record of an agent, also one that has ended."""
        row = self._db.execute(f"{_AGENT} WHERE r.name = :name", {"name": name}).fetchone()
        return None if row is None else _agent(row)

    def agents(
        self, *, owner: Sequence[str], state: AgentState | None = None, after: str | None, limit: int
    ) -> list[Agent]:
        """Return records of agents in the order of their names; of these owners if any are named."""
        values: dict[str, Any] = {"after": after, "limit": limit, "now": self._now}
        where = "" if after is None else " AND r.name > :after"
        if owner:
            where += f" AND r.owner IN ({selecting.placeholders('owner', owner, values)})"
        if state is not None:
            where += f" AND {_IN_STATE[state]}"
        rows = self._db.execute(f"{_AGENT} WHERE 1 = 1{where} ORDER BY r.name LIMIT :limit", values)
        return [_agent(row) for row in rows]

    def holdings(self, agents: Iterable[Agent]) -> dict[int, Holding]:
        """Return what each of these agents has been given, by its number."""
        found: dict[int, Holding] = {}
        keys = iter([agent.key for agent in agents])
        while chunk := list(islice(keys, _AT_ONCE)):
            values: dict[str, Any] = {"now": self._now}
            among = selecting.placeholders("key", chunk, values)
            live = dict(
                self._db.execute(
                    f"""SELECT c.recurring, count(DISTINCT c.identity) FROM credential c
                         WHERE c.recurring IN ({among}) AND {selecting.LIVE} GROUP BY c.recurring""",
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

    def _whole(self, rows: Sequence[Any]) -> list[Delegator]:
        """Return delegators with their groups and aliases, which are read for many at once."""
        groups: dict[int, list[str]] = {}
        aliases: dict[int, list[str]] = {}
        keys = iter([row[0] for row in rows])
        while chunk := list(islice(keys, _AT_ONCE)):
            values: dict[str, Any] = {}
            among = selecting.placeholders("key", chunk, values)
            for table, into in (("delegator_group", groups), ("delegator_name", aliases)):
                for key, name in self._db.execute(
                    f"SELECT delegator, name FROM {table} WHERE delegator IN ({among}) ORDER BY name", values
                ):
                    into.setdefault(key, []).append(name)
        return [
            _delegator(
                row,
                tuple(groups.get(row[0], ())),
                tuple([alias for alias in aliases.get(row[0], ()) if alias != row[1]]),
            )
            for row in rows
        ]


def _delegator(row: Any, groups: tuple[str, ...], aliases: tuple[str, ...]) -> Delegator:
    key, name, sensitivity, scopes, manager, imported, added_at, disabled_at = row
    entitlements = None if scopes is None else tuple(scopes.split())
    return Delegator(
        key, name, sensitivity, entitlements, groups, manager, aliases, bool(imported), added_at, disabled_at
    )


def put_delegators(db: Any, delegators: Iterable[Delegator], event: int) -> None:
    """Record delegators as they are given, in the place of what was there under their key."""
    given = iter(delegators)
    (last,) = db.execute("SELECT coalesce(max(id), 0) FROM delegator").fetchone()
    while chunk := list(islice(given, _AT_ONCE)):
        known = [(one.key,) for one in chunk if one.key]
        for table, column in (("delegator_group", "delegator"), ("delegator_name", "delegator")):
            db.executemany(f"DELETE FROM {table} WHERE {column} = ?", known)
        db.executemany("DELETE FROM delegator WHERE id = ?", known)
        numbered = []
        for one in chunk:
            if not one.key:
                last += 1
            numbered.append((one.key or last, one))
        db.executemany(
            """INSERT INTO delegator (id, name, sensitivity, scopes, manager, imported, added_at, disabled_at, event)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)""",
            [
                (
                    key,
                    one.name,
                    one.sensitivity,
                    None if one.entitlements is None else " ".join(one.entitlements),
                    one.manager,
                    int(one.imported),
                    one.added_at,
                    one.disabled_at,
                    event,
                )
                for key, one in numbered
            ],
        )
        db.executemany(
            "INSERT INTO delegator_name (name, delegator) VALUES (?, ?)",
            [(name, key) for key, one in numbered for name in (one.name, *one.aliases)],
        )
        db.executemany(
            "INSERT INTO delegator_group (delegator, name) VALUES (?, ?)",
            [(key, name) for key, one in numbered for name in one.groups],
        )


def put_agents(db: Any, agents: Iterable[Agent], event: int) -> None:
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
        key, name, owner, purpose, scopes, audiences, kinds, *rest = one
        words = (" ".join(scopes), " ".join(audiences), " ".join(kinds))
        db.execute(
            """INSERT INTO agent (id, name, owner, purpose, scopes, audiences, kinds, max_ttl, concurrency, review_at,
                                  registered_at, reviewed_at, suspended_at, suspended_as, unregistered_at, event)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
            (key or last, name, owner, purpose, *words, *rest, event),
        )
