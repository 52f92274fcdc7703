"""Live credentials that the directory would refuse today, by delegator and by agent, each case once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from jitid.capabilities.directory import governance
from jitid.capabilities.directory.governance import Objection
from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.sweep.rule import RuleContext, scopes_of
from jitid.ledger.select import LIVE
from jitid.model.credential import USUAL_KINDS, read_kinds
from jitid.model.directory import DirectoryEntry
from jitid.values.record import Record
from jitid.values.scope import uncovered
from jitid.values.text import quote

OTHERS = ("delegator-disabled", "agent-overdue")
"""Objections that other rules of the sweep report."""

# Only delegators whose record limits credentials.
_OF_DELEGATORS = f"""
      FROM delegator r CROSS JOIN delegator_name n CROSS JOIN term d CROSS JOIN credential c CROSS JOIN identity i
     WHERE (r.sensitivity <> 'critical' OR r.scopes IS NOT NULL) AND n.delegator = r.id AND d.text = n.name
       AND c.delegator = d.id AND {LIVE} AND c.kind <> 'adopted' AND i.id = c.identity"""
_OF_AGENTS = f"""
      FROM agent r CROSS JOIN credential c CROSS JOIN identity i CROSS JOIN term au
     WHERE c.recurring = r.id AND {LIVE} AND i.id = c.identity AND au.id = c.audiences"""
# Of authorization details, only their presence matters.
_HAS_DETAILS = "CASE WHEN c.details IS NULL THEN '' ELSE 'some' END"
_CASES = {
    "delegator": (
        _OF_DELEGATORS,
        {"sensitivity": "i.sensitivity", "scopes": "c.scopes", "details": _HAS_DETAILS},
    ),
    "agent": (
        _OF_AGENTS,
        {
            "kind": "c.kind",
            "may_kind": "coalesce(c.may_kind, '')",
            "scopes": "c.scopes",
            "audiences": "au.text",
            "details": _HAS_DETAILS,
        },
    ),
}
"""For each kind of record: the query for its live credentials, and their properties that it limits."""


class RefusedToday(Record):
    """Live credentials of one delegator or agent that would be refused."""

    sort: str
    """`delegator` or `agent`."""
    name: str
    objections: tuple[Objection, ...]
    """Each reason once."""
    credentials: int
    cases: tuple[Mapping[str, str], ...]
    """The distinct properties of the refused credentials, as far as the record limits them."""


def find(
    context: RuleContext, usual: Sequence[str], kind: str, name: str | None = None
) -> Iterator[RefusedToday]:
    """Yield the credentials that each record of a kind would refuse; only for `name` if it is given.

    `usual` are the audiences of an agent whose record has none.
    """
    source, limited = _CASES[kind]
    condition = "" if name is None else "AND r.name = :name"
    columns = ", ".join(limited.values())
    rows = context.query(
        f"SELECT r.name, {columns}, count(*) {source} {condition} GROUP BY r.name, {columns} ORDER BY r.name",
        name=name,
    )
    for record_name, cases in groupby(rows, itemgetter(0)):
        entry = _entry(context, kind, record_name)
        reasons: dict[Objection, None] = {}
        refused: list[Mapping[str, str]] = []
        credentials = 0
        for _, *values, count in cases:
            case = dict(zip(limited, values, strict=True))
            if objections := _objections(context, entry, case, usual):
                reasons |= dict.fromkeys(objections)
                refused.append(case)
                credentials += count
        if refused:
            yield RefusedToday(kind, record_name, tuple(reasons), credentials, tuple(refused))


def identities(context: RuleContext, refused: RefusedToday) -> Iterator[bytes]:
    """Yield the identities of the credentials that would be refused."""
    source, limited = _CASES[refused.sort]
    conditions = " AND ".join(f"{column} = :{name}" for name, column in limited.items())
    for case in refused.cases:
        rows: Iterator[Any] = context.query(
            f"SELECT DISTINCT i.uid {source} AND r.name = :name AND {conditions}", name=refused.name, **case
        )
        yield from (uid for (uid,) in rows)


def _entry(context: RuleContext, kind: str, name: str) -> DirectoryEntry:
    if kind == "agent":
        return DirectoryEntry(None, DirectoryStore(context.snapshot).find_agent(name), 0)
    return DirectoryEntry(DirectoryStore(context.snapshot).find_delegator(name), None, 0)


def _objections(
    context: RuleContext, entry: DirectoryEntry, case: Mapping[str, str], usual: Sequence[str]
) -> list[Objection]:
    person, agent, _ = entry
    scopes = scopes_of(case["scopes"])
    objections = governance.objections(
        entry, "", case.get("sensitivity", "low"), known_only=False, now=context.now
    )
    if agent is not None:
        audiences, issuers = case["audiences"].split(), context.names.issuers
        # A renewal drops usual kinds that the record lacks, and is refused because of other kinds.
        may_kinds = [kind for kind in read_kinds(case["may_kind"]) or () if kind not in USUAL_KINDS]
        objections += governance.beyond_limits(
            agent, (case["kind"], *may_kinds), audiences, usual, 0, 0, own=issuers
        )
    objections += governance.beyond_scopes(person, agent, [case["details"]] if case["details"] else [])
    for rule, permitted, reason in governance.limits(person, agent):
        wider = uncovered(scopes_of(" ".join(permitted)), scopes)
        objections += [Objection(rule, f"{reason}: scope {quote(scope)}", "") for scope in wider]
    return [objection for objection in objections if objection.rule not in OTHERS]
