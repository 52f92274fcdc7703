"""Rule `review-overdue`: the review of a registered agent is due and was not done."""

from __future__ import annotations

from collections.abc import Iterator

from jitid.capabilities.sweep.finding import Finding, Severity
from jitid.capabilities.sweep.rule import Rule, RuleContext, RuleGroup
from jitid.ledger.select import LIVE
from jitid.values.text import operand
from jitid.values.times import format_time

_QUESTION = f"""
    SELECT r.name, r.owner, r.review_at, r.reviewed_at,
           (SELECT count(*) FROM credential c WHERE c.recurring = r.id AND {LIVE})
      FROM agent r
     WHERE r.review_at <= :now AND r.unregistered_at IS NULL AND r.suspended_at IS NULL ORDER BY r.name"""


def _find(context: RuleContext) -> Iterator[Finding]:
    for agent, owner, review_at, reviewed_at, credentials in context.query(_QUESTION):
        yield RULE.finding(
            agent,
            f"the review of {agent} was due at {format_time(review_at)}; no credential is issued to it until {owner} "
            "reviews it",
            since=review_at,
            credentials=credentials,
            evidence={"owner": owner, "review_at": review_at, "reviewed_at": reviewed_at},
            remedy=f"jitid agent review {operand(agent)}",
        )


RULE = Rule(
    name="review-overdue",
    severity=Severity.MEDIUM,
    group=RuleGroup.GOVERNANCE,
    owasp=("NHI1",),
    title="an agent with an overdue review",
    reports="a registered agent whose review date has passed",
    spares="a suspended or unregistered agent, and a review that is not due yet",
    examines="review dates of registered agents",
    find=_find,
)
