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
                f"{delegator} has {credentials} live credentials; the limit is {limit}",
                credentials=credentials,
                evidence={"limit": limit},
                remedy=f"jitid revoke --delegator {word(delegator)}",
                ends=Selection(delegators=(delegator,)),
                revokes=revokes,
            )
    if theirs > context.limits.agents_per_person * persons:
        yield RULE.finding(
            "all persons",
            f"{persons if persons > 1 else 'one'} {'persons have' if persons > 1 else 'person has'} {theirs} live "
            f"credentials, {theirs / persons:.1f} per person; the limit is {context.limits.agents_per_person}",
            credentials=theirs,
            evidence={"persons": persons, "limit": context.limits.agents_per_person},
            remedy="jitid report",
        )


RULE = Rule(
    name="sprawl",
    severity=Severity.MEDIUM,
    group=RuleGroup.SPRAWL,
    owasp=("NHI1", "NHI5"),
    title="too many credentials of one delegator",
    reports="a delegator with more than sweep_identities live credentials, or more than sweep_agents_per_person per "
    "person on average",
    spares="a number equal to the limit, ended credentials, and adopted secrets",
    examines="delegators with live credentials",
    find=_find,
)
