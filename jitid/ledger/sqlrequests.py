"""What was decided, grouped by what policies can tell apart, in SQL that SQLite and PostgreSQL both take.

Two places are SQLite's own, and marked: how a member of an event is read, and how equal ones are joined.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from jitid import strictjson
from jitid.ledger import selecting
from jitid.ledger.requests import Alike, Apart

_AT_ONCE = 500

# PostgreSQL: body::jsonb. A blob would be read as JSON of another form.
_EVENTS = "(SELECT seq, CAST(body AS TEXT) AS told FROM audit_event)"
# PostgreSQL: a condition on jsonb. In bytes it is found at a fraction of what reading the members costs.
_HAS_ZONE = """instr(body, CAST('"zone":"' AS BLOB)) > 0"""
_APPROVED = "SELECT ended_event FROM approval WHERE ended_as = 'used'"
"""The events that used an approval."""


def _member(*names: str) -> str:
    """Return the expression of a member of an event; of several the JSON array."""
    # PostgreSQL: told -> 'name', and jsonb_build_array of several.
    paths = ", ".join(f"'$.{name}'" for name in names)
    return f"json_extract(told, {paths})"


class SqlRequests:
    """What a view of a ledger that speaks SQL answers about decided requests."""

    def __init__(self, db: Any, now: int) -> None:
        self._db = db
        self._now = now

    def recorded(self, apart: Apart, since: int | None) -> list[Alike]:
        """Return the events of the audit log; those whose requests are decided alike are joined."""
        values: dict[str, Any] = {"since": since}
        wanted = "1 = 1" if since is None else f"{_member('at')} >= :since"
        # PostgreSQL: GROUP BY, which hashes; SQLite would sort, in a gigabyte of memory for 1.5 million events.
        self._db.execute("DROP TABLE IF EXISTS temp.alike")
        self._db.execute(
            "CREATE TEMPORARY TABLE alike (asked TEXT PRIMARY KEY, n INTEGER, first INTEGER) WITHOUT ROWID"
        )
        self._db.execute(
            f"""INSERT INTO alike SELECT {_asked(apart, values)}, coalesce({_member("count")}, 1), seq
                  FROM {_EVENTS} WHERE {wanted}
                ON CONFLICT (asked) DO UPDATE SET n = n + excluded.n""",
            values,
        )
        return [Alike(first, n) for first, n in self._db.execute("SELECT first, n FROM alike ORDER BY first")]

    def recorded_zones(self) -> list[str]:
        """Return the zones, other than UTC, that policies were asked in."""
        events = _EVENTS.removesuffix(")") + f" WHERE {_HAS_ZONE})"
        rows = self._db.execute(f"SELECT DISTINCT {_member('zone')} FROM {events}")
        return sorted(zone for (zone,) in rows if zone)

    def living(self, apart: Apart, zone: str | None) -> list[Alike]:
        """Return what is alive, by its credential; what was approved of is left out."""
        keys = _held(apart, zone)
        rows = self._db.execute(
            f"""SELECT min(c.id), count(*) FROM {_living(apart)} GROUP BY {", ".join(keys)} ORDER BY 1""",
            {"now": self._now},
        )
        return [Alike(*row) for row in rows]

    def living_as(self, apart: Apart, zone: str | None, firsts: Iterable[int]) -> list[bytes]:
        """Return the identities of what is alive and was told by these credentials, the first of those like them."""
        selecting.give(self._db, (), (), credentials=firsts)
        keys = ", ".join(_held(apart, zone))
        rows = self._db.execute(
            f"""WITH alike AS (SELECT c.identity AS identity, min(c.id) OVER (PARTITION BY {keys}) AS first
                                 FROM {_living(apart)}),
                found AS (SELECT a.identity AS identity FROM alike a JOIN given_credential g ON g.credential = a.first
                          UNION SELECT c.identity FROM given_credential g JOIN credential c ON c.id = g.credential)
                SELECT i.uid FROM found JOIN identity i ON i.id = found.identity ORDER BY i.id""",
            {"now": self._now},
        )
        return [uid for (uid,) in rows]

    def documents(self, events: Iterable[int]) -> dict[int, dict[str, Any]]:
        """Return what audit events say, by their numbers."""
        found = {}
        for among, values in _in_chunks(events):
            for seq, body in self._db.execute(
                f"SELECT seq, body FROM audit_event WHERE seq IN ({among})", values
            ):
                found[seq] = strictjson.loads(body, "audit event")
        return found

    def approved_living(self) -> dict[int, frozenset[str]]:
        """Return the live credentials that were approved of, each with the groups that did."""
        groups: dict[int, set[str]] = {}
        for key, name in self._db.execute(
            f"""SELECT c.id, g.name FROM credential c JOIN approval a ON a.ended_event = c.event
                  JOIN approval_group g ON g.approval = a.id
                 WHERE c.event IN ({_APPROVED}) AND a.ended_as = 'used' AND g.granted = 1 AND {selecting.LIVE}""",
            {"now": self._now},
        ):
            groups.setdefault(key, set()).add(name)
        return {key: frozenset(names) for key, names in groups.items()}

    def policies(self, prefix: str) -> list[str]:
        """Return the digests of stored policies that begin so."""
        rows = self._db.execute(
            "SELECT digest FROM policy WHERE substr(digest, 1, :length) = :prefix ORDER BY digest",
            {"length": len(prefix), "prefix": prefix},
        )
        return [digest for (digest,) in rows]


def _asked(apart: Apart, values: dict[str, Any]) -> str:
    """Return the expression that is equal for events whose requests are decided alike."""
    facts = apart.looks.facts
    names = ["op", "rules", "refused", "judged", "sensitivity", "ttl"]
    members = {
        "agent": apart.looks.agent or "agent" in facts,
        "delegator": not facts.isdisjoint(("delegator", "delegator_name", "delegator_kind")),
        "proof": "delegator_proof" in facts,
        "task": apart.looks.task or "task" in facts,
        "purpose": apart.looks.task or "purpose" in facts,
        "kind": "kind" in facts,
        "depth": "depth" in facts,
        "audiences": "audiences" in facts,
        "scopes": apart.looks.scope,
        "standing": apart.looks.standing,
        "standing.known": "delegator_known" in facts,
        "standing.registered": "agent_registered" in facts,
        "approvers": apart.looks.approvals,
        "at": "now" in facts,
    }
    names += [name for name, needed in members.items() if needed]
    # What shortens a lifetime is compared too, so that the one asked for counts always.
    lifetime = f"CASE WHEN {_member('ttl')} IS NULL THEN {_member('lifetime')} ELSE '' END"
    parts = [_member(*names), lifetime]
    if not apart.looks.scope:
        parts.append(_some_scopes(_member("scopes")))
    if not facts.isdisjoint(_TIMES):
        for number, zone in enumerate(apart.zones):
            values[f"zone{number}"] = zone
        cases = " ".join(
            f"WHEN :zone{number} THEN {_ahead(_member('at'), offsets)}"
            for number, offsets in enumerate(apart.zones.values())
        )
        ahead = f"CASE {_member('zone')} {cases} ELSE 0 END" if cases else "0"
        parts += _times(facts, f"({_member('at')} + {ahead})")
    if "has_purpose" in facts:
        parts.append(_some_purpose(_member("purpose")))
    return " || '|' || ".join(f"coalesce({part}, '')" for part in parts)


def _held(apart: Apart, zone: str | None) -> list[str]:
    """Return the expressions that are equal for live credentials whose requests would be decided alike."""
    facts = apart.looks.facts
    members = {
        "i.agent": apart.looks.agent or "agent" in facts,
        "i.delegator": not facts.isdisjoint(("delegator", "delegator_name", "delegator_kind")),
        "i.proof": "delegator_proof" in facts,
        "i.task": apart.looks.task or not facts.isdisjoint(("task", "purpose")),
        "i.sensitivity": True,
        "c.kind": "kind" in facts,
        "i.depth": "depth" in facts,
        "c.audiences": "audiences" in facts,
        "c.expires_at - c.issued_at": "lifetime" in facts,
        "c.scopes": apart.looks.scope,
        _some_scopes("c.scopes"): not apart.looks.scope,
        "CASE WHEN dn.name IS NULL THEN 0 ELSE 1 END": "delegator_known" in facts,
        "CASE WHEN r.id IS NULL THEN 0 ELSE 1 END": "agent_registered" in facts,
        _some_purpose("t.purpose"): "has_purpose" in facts,
        "c.issued_at": "now" in facts,
    }
    keys = [key for key, needed in members.items() if needed]
    offsets = () if zone is None else apart.zones[zone]
    return keys + _times(facts, f"(c.issued_at + {_ahead('c.issued_at', offsets)})")


def _living(apart: Apart) -> str:
    """Return the tables and the condition for what is alive, without what was approved of."""
    approved = f"AND c.event NOT IN ({_APPROVED})" if apart.looks.approvals else ""
    return f"""credential c CROSS JOIN identity i CROSS JOIN task t {_directory(apart)}
                WHERE i.id = c.identity AND t.id = i.task AND {selecting.LIVE} {approved}"""


def _directory(apart: Apart) -> str:
    """Return the joins for what the directory has of a live credential's delegator and agent."""
    joins = ""
    if "delegator_known" in apart.looks.facts:
        joins += " JOIN term d ON d.id = i.delegator LEFT JOIN delegator_name dn ON dn.name = d.text"
    if "agent_registered" in apart.looks.facts:
        joins += """ JOIN term ag ON ag.id = i.agent
                     LEFT JOIN agent r ON r.name = ag.text AND r.unregistered_at IS NULL"""
    return joins


_TIMES = {"hour": "{} / 3600 % 24", "minute": "{} / 60 % 60", "weekday": "({} / 86400 + 3) % 7"}
"""How a fact follows from the seconds that a zone tells."""


def _times(facts: frozenset[str], local: str) -> list[str]:
    return [expression.format(local) for name, expression in _TIMES.items() if name in facts]


def _ahead(at: str, offsets: Sequence[tuple[int, int]]) -> str:
    """Return the expression of how far a zone is ahead of UTC at a time; the latest change is asked for first."""
    cases = " ".join(f"WHEN {at} >= {since:d} THEN {offset:d}" for since, offset in reversed(offsets))
    return f"(CASE {cases} ELSE 0 END)" if cases else "0"


def _some_scopes(scopes: str) -> str:
    """Return the expression for scopes of which only those with a wildcard are told apart."""
    return f"CASE WHEN coalesce({scopes}, '') = '' THEN '' WHEN {scopes} LIKE '%*%' THEN {scopes} ELSE 'some' END"


def _some_purpose(purpose: str) -> str:
    """Return the expression for a purpose that is told apart only from none: what has a letter is one."""
    return f"CASE WHEN upper({purpose}) <> lower({purpose}) THEN 'some' ELSE coalesce({purpose}, '') END"


def _in_chunks(keys: Iterable[int]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield placeholders and values for many numbers, some at a time."""
    left = iter(keys)
    while chunk := list(islice(left, _AT_ONCE)):
        values: dict[str, Any] = {}
        yield selecting.placeholders("key", chunk, values), values
