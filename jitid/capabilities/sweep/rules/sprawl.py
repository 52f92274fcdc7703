"""Rule `sprawl`: a delegator has more live credentials than it can be responsible for."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote as word

from jitid.capabilities.sweep.finding import Finding, Severity
from jitid.capabilities.sweep.rule import Rule, RuleContext, RuleGroup
from jitid.ledger.select import LIVE
from jitid.model.ledger_rows import Selection

# A superseded credential has a successor, which counts; a revocation ends both.
_QUESTION = f"""
    SELECT d.text, live.current, live.credentials
      FROM (SELECT c.delegator AS delegator, count(*) AS credentials,
                   sum(CASE WHEN c.superseded_at IS NULL THEN 1 ELSE 0 END) AS current
              FROM credential c WHERE {LIVE} GROUP BY c.delegator) live
     CROSS JOIN term d WHERE d.id = live.delegator"""

# An adopted secret existed before jitid, and does not count as sprawl.
_ADOPTED = f"""
    SELECT d.text, count(*) FROM adopted x CROSS JOIN credential c CROSS JOIN term d
     WHERE c.id = x.credential AND {LIVE} AND d.id = c.delegator GROUP BY d.text"""


def _find(context: RuleContext) -> Iterator[Finding]:
    limit = context.limits.identities
    persons = theirs = 0
    adopted = dict(context.query(_ADOPTED))
    for delegator, credentials, revokes in context.query(_QUESTION):
        credentials -= adopted.get(delegator, 0)
        if delegator.startswith("user:") and credentials:
            persons += 1
            theirs += credentials
        if credentials > limit:
            yield RULE.finding(
                delegator,
                f"{credentials} live credentials descend from {delegator}; {limit} is the limit",
                credentials=credentials,
                evidence={"limit": limit},
                remedy=f"jitid revoke --delegator {word(delegator)}",
                ends=Selection(delegators=(delegator,)),
                revokes=revokes,
            )
    if theirs > context.limits.agents_per_person * persons:
        yield RULE.finding(
            "all persons",
            f"{theirs} live credentials descend from {persons if persons > 1 else 'one'} "
            f"{'persons' if persons > 1 else 'person'}, {theirs / persons:.1f} each on average; "
            f"{context.limits.agents_per_person} is the limit",
            credentials=theirs,
            evidence={"persons": persons, "limit": context.limits.agents_per_person},
            remedy="jitid report",
        )


RULE = Rule(
    name="sprawl",
    severity=Severity.MEDIUM,
    group=RuleGroup.SPRAWL,
    owasp=("NHI1", "NHI5"),
    title="too many for one delegator",
    reports="a delegator from whom more descends than sweep_identities, and a fleet with more to a person than "
    "sweep_agents_per_person",
    spares="a delegator with just as many, what has ended, and standing secrets that were adopted",
    examines="delegators with live credentials",
    find=_find,
)
