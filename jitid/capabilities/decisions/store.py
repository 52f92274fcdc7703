"""Decided requests, and the practice of agents, in SQL for SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from jitid.ledger import select
from jitid.ledger.lifetime_statistics import GRANTED
from jitid.ledger.select import Dialect, dialect_of, of_task
from jitid.ledger.view import Store
from jitid.model.credential import FORMER_PROOF, judged_kinds, read_kinds
from jitid.model.survey import Practice
from jitid.policy.classes import DIRECTORY_FACTS, DistinctNames
from jitid.values import strict_json
from jitid.values.record import Record

if TYPE_CHECKING:
    from jitid.ledger.view import View
    from jitid.policy.decision import PolicyLooks


Zones = Mapping[str, Sequence[tuple[int, int]]]
"""By zone: the offsets to UTC in seconds, each with the time since the epoch from which it holds; oldest first."""


class Distinctions(Record):
    """The properties that distinguish requests."""

    looks: PolicyLooks
    zones: Zones
    """The time zones for the hours in a policy."""


class DecidedAlike(Record):
    """Requests that get the same decision."""

    first: int
    """The first request: the number of its audit event, or of its credential."""
    credentials: int
    """The number of requested, or of live, credentials."""


_AT_ONCE = 500

_APPROVED = "SELECT ended_event FROM approval WHERE ended_as = 'used'"
"""The events that used an approval."""


class RequestStore(Store):
    """Queries about decided requests, on a view of a SQL ledger."""

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._dialect = dialect_of(view.db)

    def recorded(self, distinctions: Distinctions, since: int | None) -> list[DecidedAlike]:
        """Return the events of the audit log, grouped by requests that get the same decision."""
        values: dict[str, Any] = {"since": since}
        condition = "1 = 1" if since is None else "at >= :since"
        query = f"""SELECT {_decision_key(self._dialect, distinctions, values)} AS asked, coalesce(n, 1) AS n, seq
                      FROM {_requests(self._dialect, distinctions, values)} WHERE {condition}"""
        return [DecidedAlike(first, int(n)) for first, n in self._dialect.joined(self._db, query, values)]

    def latest_zone(self) -> str | None:
        """Return the zone of the latest event with a zone, among the last thousand events."""
        zone = self._dialect.member("zone")
        row = self._db.execute(
            f"""SELECT {zone} FROM {self._dialect.event_bodies}
                 WHERE seq > (SELECT max(seq) - 1000 FROM audit_event) AND {zone} IS NOT NULL
                 ORDER BY seq DESC LIMIT 1"""
        ).fetchone()
        return None if row is None else str(row[0])

    def live(self, distinctions: Distinctions, zone: str | None) -> list[DecidedAlike]:
        """Return the groups of live credentials, without approved ones if the policy reads approvals."""
        values: dict[str, Any] = {"now": self._now}
        keys = ", ".join(_held(self._dialect, distinctions, zone, values))
        rows = self._db.execute(
            f"SELECT min(c.id), count(*) FROM {_live(distinctions)} GROUP BY {keys} ORDER BY 1", values
        )
        return [DecidedAlike(*row) for row in rows]

    def live_alike(self, distinctions: Distinctions, zone: str | None, firsts: Iterable[int]) -> list[bytes]:
        """Return the identities of the live credentials in the groups that begin with these credentials."""
        select.give(self._db, (), (), credentials=firsts)
        values: dict[str, Any] = {"now": self._now}
        keys = ", ".join(_held(self._dialect, distinctions, zone, values))
        rows = self._db.execute(
            f"""WITH alike AS (SELECT c.identity AS identity, min(c.id) OVER (PARTITION BY {keys}) AS first
                                 FROM {_live(distinctions)}),
                found AS (SELECT a.identity AS identity FROM alike a JOIN given_credential g ON g.credential = a.first
                          UNION SELECT c.identity FROM given_credential g JOIN credential c ON c.id = g.credential)
                SELECT i.uid FROM found JOIN identity i ON i.id = found.identity ORDER BY i.id""",
            values,
        )
        return [uid for (uid,) in rows]

    def documents(self, events: Iterable[int]) -> dict[int, dict[str, Any]]:
        """Return the contents of audit events, by their numbers."""
        documents = {}
        for placeholders, values in _in_chunks(events):
            for seq, body in self._db.execute(
                f"SELECT seq, body FROM audit_event WHERE seq IN ({placeholders})", values
            ):
                documents[seq] = strict_json.loads(body, "audit event")
        return documents

    def approved_live(self) -> dict[int, frozenset[str]]:
        """Return the live credentials that were approved, each with the groups that approved it."""
        groups: dict[int, set[str]] = {}
        for key, name in self._db.execute(
            f"""SELECT c.id, g.name FROM credential c JOIN approval a ON a.ended_event = c.event
                  JOIN approval_group g ON g.approval = a.id
                 WHERE c.event IN ({_APPROVED}) AND a.ended_as = 'used' AND g.granted = 1 AND {select.LIVE}""",
            {"now": self._now},
        ):
            groups.setdefault(key, set()).add(name)
        return {key: frozenset(names) for key, names in groups.items()}

    def policies(self, prefix: str) -> list[str]:
        """Return the digests of stored policies that begin with `prefix`."""
        rows = self._db.execute(
            "SELECT digest FROM policy WHERE substr(digest, 1, CAST(:length AS INTEGER)) = :prefix ORDER BY digest",
            {"length": len(prefix), "prefix": prefix},
        )
        return [digest for (digest,) in rows]


def _requests(dialect: Dialect, distinctions: Distinctions, values: dict[str, Any]) -> str:
    """Return the table of requests in events; each member is read once, even if several expressions use it."""
    facts, classes = distinctions.looks.facts, distinctions.looks.classes
    members = {
        "proof": "delegator_proof" in facts,
        "root_proof": "delegator_proof" in facts,
        "purpose": classes.purpose and (distinctions.looks.task or "purpose" in facts),
        "kind": "kind" in facts,
        "template": "template" in facts,
        "depth": not facts.isdisjoint(_ABOUT_DEPTH),
        "audiences": "audiences" in facts,
        "scopes": distinctions.looks.scope,
        **{f"standing.{name}": name in _directory_facts(distinctions) for name in DIRECTORY_FACTS},
        "approvers": distinctions.looks.approvals,
    }
    names = ["op", "rules", "refused", "judged", "sensitivity", "ttl", "may_kind", "refused_kinds"]
    names += [name for name, needed in members.items() if needed]
    columns = {
        "rest": dialect.member(*names),
        # Policies may shorten the lifetime, so the requested lifetime (`ttl` in `rest`) always counts.
        "lifetime": f"CASE WHEN {dialect.member('ttl')} IS NULL THEN {dialect.member('lifetime')} ELSE '' END",
        "n": dialect.number("count"),
        "at": dialect.number("at"),
        **{name: _member(dialect, name) for name in _named(distinctions)},
    }
    if not distinctions.looks.scope:
        columns["scopes"] = dialect.member("scopes")
    if "has_purpose" in facts:
        columns["purpose"] = dialect.member("purpose")
    if not facts.isdisjoint(_TIMES):
        columns["zone"] = dialect.member("zone")
    select_list = ", ".join(f"{expression} AS {name}" for name, expression in columns.items())
    table = dialect.fenced(f"SELECT seq, {select_list} FROM {dialect.event_bodies}")
    if facts.isdisjoint(_TIMES):
        return table
    cases = "WHEN zone IS NULL THEN 0"
    for index, (zone, offsets) in enumerate(distinctions.zones.items()):
        values[f"zone{index}"] = zone
        cases += f" WHEN zone = :zone{index} THEN {_ahead('at', offsets)}"
    return dialect.fenced(f"SELECT *, at + CASE {cases} END AS local FROM {table}")


def _decision_key(dialect: Dialect, distinctions: Distinctions, values: dict[str, Any]) -> str:
    """Return an expression over `_requests` that is equal for requests that get the same decision."""
    parts = ["rest", "lifetime"]
    for name, distinct in _named(distinctions).items():
        parts += _names(dialect, name, distinct, values)
    if not distinctions.looks.scope:
        parts.append(_some_scopes("scopes"))
    parts += _times(distinctions, "at", "local")
    if not distinctions.looks.facts.isdisjoint(_TIMES):
        # In a zone without known offsets, requests are distinguished only by the zone.
        parts.append("CASE WHEN local IS NULL THEN zone ELSE '' END")
    if "has_purpose" in distinctions.looks.facts:
        parts.append(_some_purpose("purpose"))
    return " || '|' || ".join(f"coalesce(CAST({part} AS TEXT), '')" for part in parts)


def _named(distinctions: Distinctions) -> dict[str, DistinctNames | None]:
    """Return the names that count, each with the values that the policies distinguish."""
    looks, classes = distinctions.looks, distinctions.looks.classes
    candidates = {
        "agent": (looks.agent or "agent" in looks.facts, classes.agent),
        "delegator": (not looks.facts.isdisjoint(_ABOUT_DELEGATOR), classes.delegator),
        "task": (looks.task or "task" in looks.facts, classes.task),
        # If the policies distinguish no owner, the owner does not count.
        "task_owner": (classes.task_owner != DistinctNames(), classes.task_owner),
    }
    return {name: distinct for name, (needed, distinct) in candidates.items() if needed}


def _member(dialect: Dialect, name: str) -> str:
    """Return the expression for a name in an event; without `opener`, the delegator owns the task."""
    if name == "task_owner":
        return f"coalesce({dialect.member('opener')}, {dialect.member('delegator')})"
    return dialect.member(name)


_ABOUT_DELEGATOR = ("delegator", "delegator_name", "delegator_kind")
_ABOUT_DEPTH = ("depth", "delegated")
# An old row does not have its root's proof, so each such identity counts as distinct.
_PROOF = f"CASE WHEN i.proof = '{FORMER_PROOF}' THEN CAST(i.id AS TEXT) ELSE i.proof END"


def _directory_facts(distinctions: Distinctions) -> set[str]:
    """Return the members of the recorded directory facts that count."""
    members = set(distinctions.looks.classes.standing) if distinctions.looks.reads_directory_facts else set()
    return members | {
        name
        for name, fact in (("known", "delegator_known"), ("registered", "agent_registered"))
        if fact in distinctions.looks.facts
    }


def _names(
    dialect: Dialect, name: str, distinct: DistinctNames | None, values: dict[str, Any]
) -> Iterator[str]:
    """Yield expressions that are equal for names that the policies do not distinguish."""
    if distinct is None:
        yield name
        return
    if distinct.values:
        values[f"{name}_names"] = strict_json.dumps(sorted(distinct.values))
        # The list is parsed once, and searched like an index.
        yield f"CASE WHEN {name} IN ({dialect.listed(f'{name}_names')}) THEN {name} ELSE '' END"
    for index, beginning in enumerate(sorted(distinct.beginnings)):
        values[f"{name}_begins{index}"] = beginning
        yield f"CASE WHEN substr({name}, 1, {len(beginning)}) = :{name}_begins{index} THEN 1 ELSE 0 END"


def _held(
    dialect: Dialect, distinctions: Distinctions, zone: str | None, values: dict[str, Any]
) -> list[str]:
    """Return the expressions that are equal for live credentials whose requests would get the same decision."""
    facts, purpose = distinctions.looks.facts, distinctions.looks.classes.purpose
    name_keys = [
        _kept(dialect, name, distinct, distinctions, values)
        for name, distinct in _named(distinctions).items()
    ]
    members = {
        **{key: True for key in name_keys if key is not None},
        _PROOF: "delegator_proof" in facts,
        "i.task": purpose and (distinctions.looks.task or "purpose" in facts),
        "i.sensitivity": True,
        "c.kind": "kind" in facts,
        "c.template": "template" in facts,
        "CASE WHEN c.source IS NULL THEN c.may_kind END": True,
        "i.depth": "depth" in facts,
        "CASE WHEN i.depth > 0 THEN 1 ELSE 0 END": "delegated" in facts and "depth" not in facts,
        "c.audiences": "audiences" in facts,
        "c.expires_at - c.issued_at": "lifetime" in facts,
        "c.scopes": distinctions.looks.scope,
        _some_scopes("c.scopes"): not distinctions.looks.scope,
        "CASE WHEN dn.name IS NULL THEN 0 ELSE 1 END": "delegator_known" in facts,
        "CASE WHEN r.id IS NULL THEN 0 ELSE 1 END": "agent_registered" in facts,
        _some_purpose("t.purpose"): "has_purpose" in facts,
    }
    keys = [key for key, needed in members.items() if needed]
    offsets = () if zone is None else distinctions.zones[zone]
    return [*keys, *_times(distinctions, "c.issued_at", f"(c.issued_at + {_ahead('c.issued_at', offsets)})")]


def _kept(
    dialect: Dialect,
    name: str,
    distinct: DistinctNames | None,
    distinctions: Distinctions,
    values: dict[str, Any],
) -> str | None:
    """Return the expression for the number of an identity's name, equal for names that are not distinguished; or None.

    None if no two names are distinguished: a constant is not allowed in GROUP BY.
    """
    column = "t.opener" if name == "task_owner" else f"i.{name}"
    # If the policy reads the directory's facts about a name, each name counts as distinct.
    described = {"delegator": {"known", "groups", "manager"}, "agent": {"registered", "owner"}}.get(
        name, set()
    )
    if (
        distinct is None
        or distinct.beginnings
        or (distinctions.looks.reads_directory_facts and described & distinctions.looks.classes.standing)
    ):
        return column
    if not distinct.values:
        return None
    values[f"{name}_names"] = strict_json.dumps(sorted(distinct.values))
    table, text_column = ("task", "name") if name == "task" else ("term", "text")
    numbers = f"SELECT id FROM {table} WHERE {text_column} IN ({dialect.listed(f'{name}_names')})"
    return f"CASE WHEN {column} IN ({numbers}) THEN {column} ELSE 0 END"


def _live(distinctions: Distinctions) -> str:
    """Return the tables and the condition for live credentials.

    Adopted secrets are left out, because no policy decided about them. Approved credentials are left out if the
    policies read approvals.
    """
    approved = f"AND c.event NOT IN ({_APPROVED})" if distinctions.looks.approvals else ""
    return f"""credential c CROSS JOIN identity i CROSS JOIN task t {_directory(distinctions)}
                WHERE i.id = c.identity AND t.id = i.task AND {select.LIVE} {approved} AND c.kind <> 'adopted'"""


def _directory(distinctions: Distinctions) -> str:
    """Return the joins for the directory's facts about a live credential's delegator and agent."""
    joins = ""
    if "delegator_known" in distinctions.looks.facts:
        joins += " JOIN term d ON d.id = i.delegator LEFT JOIN delegator_name dn ON dn.name = d.text"
    if "agent_registered" in distinctions.looks.facts:
        joins += """ JOIN term ag ON ag.id = i.agent
                     LEFT JOIN agent r ON r.name = ag.text AND r.unregistered_at IS NULL"""
    return joins


_TIMES = {
    "hour": "({} / 3600 % 24)",
    "minute": "({} / 60 % 60)",
    "weekday": "(({} / 86400 + 3) % 7 + 1)",
}
"""The SQL expressions of time facts, from a number of seconds in local time."""


def _times(distinctions: Distinctions, time_column: str, local: str) -> Iterator[str]:
    """Yield the expressions that are equal for times, and local times, that the policies do not distinguish."""
    for name, bounds in distinctions.looks.classes.numbers.items():
        if name in distinctions.looks.facts:
            value = time_column if name == "now" else _TIMES[name].format(local)
            yield value if bounds is None else _classed(value, bounds)


def _classed(value: str, bounds: Iterable[int]) -> str:
    """Return the expression of the greatest bound that a value reaches."""
    cases = " ".join(f"WHEN {value} >= {bound:d} THEN {bound:d}" for bound in sorted(bounds, reverse=True))
    return f"(CASE {cases} ELSE -1 END)" if cases else "0"


def _ahead(time_column: str, offsets: Sequence[tuple[int, int]]) -> str:
    """Return the expression of a zone's offset to UTC at a time; the latest change is compared first."""
    cases = " ".join(
        f"WHEN {time_column} >= {since:d} THEN {offset:d}" for since, offset in reversed(offsets)
    )
    return f"(CASE {cases} ELSE 0 END)" if cases else "0"


def _some_scopes(scopes: str) -> str:
    """Return the expression for scopes, which distinguishes only scopes with a wildcard."""
    return f"CASE WHEN coalesce({scopes}, '') = '' THEN '' WHEN {scopes} LIKE '%*%' THEN {scopes} ELSE 'some' END"


def _some_purpose(purpose: str) -> str:
    """Return the expression for a purpose, which distinguishes only whether there is one: a text with a letter."""
    return f"CASE WHEN upper({purpose}) <> lower({purpose}) THEN 'some' ELSE coalesce({purpose}, '') END"


def _in_chunks(keys: Iterable[int]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield placeholders and values for many numbers, in chunks."""
    remaining = iter(keys)
    while chunk := list(islice(remaining, _AT_ONCE)):
        values: dict[str, Any] = {}
        yield select.placeholders("key", chunk, values), values


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
