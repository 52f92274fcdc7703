"""Rule `policy-drift`: live credentials would be refused today, by a changed policy or directory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from jitid.capabilities.decisions import replay
from jitid.capabilities.decisions.replay import Drifted
from jitid.capabilities.decisions.store import RequestStore
from jitid.capabilities.directory import governance
from jitid.capabilities.directory.governance import Objection
from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.sweep.finding import Finding, Severity
from jitid.capabilities.sweep.rule import Rule, RuleContext, RuleGroup, scopes_of
from jitid.errors import JitidError
from jitid.ledger.select import LIVE
from jitid.model.credential import USUAL_KINDS, read_kinds
from jitid.model.directory import DirectoryEntry
from jitid.model.ledger_rows import Selection
from jitid.operation.context import Terms
from jitid.policy.evaluate import Policy
from jitid.values.ids import identity_id
from jitid.values.record import Record
from jitid.values.scope import uncovered
from jitid.values.text import number_of, quote

_OTHERS = ("delegator-disabled", "agent-overdue")
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


class _RefusedToday(Record):
    """Live credentials of one delegator or agent that would be refused."""

    sort: str
    """`delegator` or `agent`."""
    name: str
    objections: tuple[Objection, ...]
    """Each reason once."""
    credentials: int
    cases: tuple[Mapping[str, str], ...]
    """The distinct properties of the refused credentials, as far as the record limits them."""


def _refused_by_directory(
    context: RuleContext, usual: Sequence[str], kind: str, name: str | None = None
) -> Iterator[_RefusedToday]:
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
            yield _RefusedToday(kind, record_name, tuple(reasons), credentials, tuple(refused))


def _identities(context: RuleContext, refused: _RefusedToday) -> Iterator[bytes]:
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
    return [objection for objection in objections if objection.rule not in _OTHERS]


_KINDS = ("delegator", "agent")
_CHANGED = """
    SELECT max(changed.event) FROM (SELECT max(event) AS event FROM delegator
                                    UNION ALL SELECT max(event) FROM agent) changed"""
_OLDER = f"SELECT 1 FROM credential c WHERE {LIVE} AND c.event <= :event LIMIT 1"


_Why = tuple[tuple[str, ...], tuple[str, ...]]
"""The rules that refuse, and the groups whose approval would be enough."""


class _Alike:
    """The requests that the same rules of the policy would refuse."""

    def __init__(self, first: Drifted) -> None:
        self.first = first
        self.credentials = 0
        self.cases: list[str] = []
        """The keys of one credential for each distinct request."""

    def add(self, drifted: Drifted) -> None:
        """Count one more distinct request."""
        self.credentials += drifted.credentials
        self.cases.append(str(drifted.credential.key))


def _find(context: RuleContext) -> Iterator[Finding]:
    try:
        terms = context.terms
    except JitidError as error:
        context.missed(f"today's policy cannot be evaluated: {error.message}")
        return
    for (rules, needs), alike in _refused_by_policy(context, terms).items():
        credential = alike.first.credential
        yield RULE.finding(
            ", ".join(rules) + (f" (approval by {', '.join(needs)})" if needs else ""),
            f"today's policy would refuse {_counted(alike.credentials)}, such as {credential.jti}: "
            f"{alike.first.new.reason}",
            severity=Severity.INFO if needs else RULE.severity,
            credentials=alike.credentials,
            evidence={
                "rules": list(rules),
                "needs": list(needs),
                "requests": len(alike.cases),
                "jti": credential.jti,
                "agent": credential.agent,
                "task": credential.task,
                "delegator": credential.delegator,
                "policy": terms.policy.digest,
            },
            by_sweep=True,
            picked_by=("policy", *alike.cases),
        )
    for kind in _KINDS:
        for refused in _refused_by_directory(context, _usual(context, terms), kind):
            reasons = "; ".join(objection.reason for objection in refused.objections[:_MOST_REASONS])
            yield RULE.finding(
                f"{kind} {refused.name}",
                f"the directory would refuse {_counted(refused.credentials)} today: {reasons}",
                credentials=refused.credentials,
                evidence={
                    "rules": sorted({objection.rule for objection in refused.objections}),
                    kind: refused.name,
                    "reasons": [objection.reason for objection in refused.objections[:_MOST_REASONS]],
                },
                by_sweep=True,
                picked_by=(kind, refused.name),
            )


_MOST_REASONS = 5
"""Maximum number of reasons that are reported for one delegator or agent."""


def _counted(credentials: int) -> str:
    return number_of(credentials, "live credential")


def _usual(context: RuleContext, terms: Terms) -> tuple[str, ...]:
    return terms.audiences or context.names.accepted(context.now)


def _refused_by_policy(context: RuleContext, terms: Terms) -> dict[_Why, _Alike]:
    groups: dict[_Why, _Alike] = {}
    if not _unchanged(context, terms.policy):
        for drifted in replay.drift(context.snapshot, terms.policy, terms.zone):
            reason = (drifted.new.rules, drifted.new.needs)
            groups.setdefault(reason, _Alike(drifted)).add(drifted)
    return groups


def _unchanged(context: RuleContext, policy: Policy) -> bool:
    """Return whether the current policy decided all live credentials, on facts that have not changed since."""
    if RequestStore(context.snapshot).policies("") != [policy.digest]:
        return False
    looks = policy.looks
    # Times count as changed: the time zone of each decision is not looked up here.
    if not looks.facts.isdisjoint(replay.TIMES):
        return False
    if not replay.reads_directory(looks):
        return True
    ((changed,),) = context.query(_CHANGED)
    return changed is None or not any(context.query(_OLDER, event=changed))


def _pick(context: RuleContext, finding: Finding) -> Selection:
    kind, *names = finding.picked_by
    terms = context.terms
    if kind == "policy":
        uids = replay.drifted(context.snapshot, terms.policy, terms.zone, map(int, names))
    else:
        uids = [
            uid
            for refused in _refused_by_directory(context, _usual(context, terms), kind, names[0])
            for uid in _identities(context, refused)
        ]
    return Selection(ids=tuple(map(identity_id, uids)))


RULE = Rule(
    name="policy-drift",
    severity=Severity.MEDIUM,
    group=RuleGroup.GOVERNANCE,
    owasp=("NHI5",),
    title="credentials that would be refused today",
    reports="live credentials that today's policy or directory would refuse at their time of issue; "
    "if only an approval is missing, the severity is `info`",
    spares="credentials that are still permitted or approved; limits on the number of live credentials; "
    "disabled delegators and overdue reviews, which other rules report",
    examines="live credentials against today's policy and directory",
    find=_find,
    pick=_pick,
    picks_among_all=True,
)
