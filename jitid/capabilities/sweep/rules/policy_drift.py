"""Rule `policy-drift`: live credentials would be refused today, by a changed policy or directory."""

from __future__ import annotations

from collections.abc import Iterator

from jitid.capabilities.decisions import replay
from jitid.capabilities.decisions.replay import Drifted
from jitid.capabilities.decisions.store import RequestStore
from jitid.capabilities.sweep import refusal_store
from jitid.capabilities.sweep.finding import Finding, Severity
from jitid.capabilities.sweep.rule import Rule, RuleContext, RuleGroup
from jitid.errors import JitidError
from jitid.ledger.select import LIVE
from jitid.model.ledger_rows import Selection
from jitid.operation.terms import Terms
from jitid.policy.evaluate import Policy
from jitid.values.ids import identity_id
from jitid.values.text import number_of

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
        context.missed(f"today's policy cannot be asked: {error.message}")
        return
    for (rules, needs), alike in _refused_by_policy(context, terms).items():
        credential = alike.first.credential
        yield RULE.finding(
            ", ".join(rules) + (f" (approval by {', '.join(needs)})" if needs else ""),
            f"today's policy would not issue {_counted(alike.credentials)}, such as {credential.jti}: "
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
            remedy=_REMEDY,
            picked_by=("policy", *alike.cases),
        )
    for kind in _KINDS:
        for refused in refusal_store.find(context, _usual(context, terms), kind):
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
                remedy=_REMEDY,
                picked_by=(kind, refused.name),
            )


_REMEDY = "jitid sweep --fix --rule policy-drift"
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
            for refused in refusal_store.find(context, _usual(context, terms), kind, names[0])
            for uid in refusal_store.identities(context, refused)
        ]
    return Selection(ids=tuple(map(identity_id, uids)))


RULE = Rule(
    name="policy-drift",
    severity=Severity.MEDIUM,
    group=RuleGroup.GOVERNANCE,
    owasp=("NHI5",),
    title="what would not be issued today",
    reports="live credentials that today's policy, or the limits of a delegator or an agent in the directory, would "
    "refuse, asked for just what each holds at the time of its issue; what approval alone is lacking for is `info`",
    spares="what was permitted or approved of, and would be again; a limit of how many may live at the same time, and "
    "what other rules report: delegators who were disabled, reviews that are overdue",
    examines="what live credentials hold, by today's policy and directory",
    find=_find,
    pick=_pick,
    picks_among_all=True,
)
