"""Rule `ownerless`: the owner of a registered agent is disabled or missing."""

from __future__ import annotations

from collections.abc import Iterator

from jitid.capabilities.sweep.finding import Finding, Severity
from jitid.capabilities.sweep.rule import Rule, RuleContext, RuleGroup
from jitid.ledger.select import LIVE
from jitid.values.text import operand
from jitid.values.times import format_time

_QUESTION = f"""
    SELECT r.name, r.owner, r.suspended_at, o.disabled_at,
           (SELECT count(*) FROM credential c WHERE c.recurring = r.id AND {LIVE})
      FROM agent r LEFT JOIN delegator_name n ON n.name = r.owner LEFT JOIN delegator o ON o.id = n.delegator
     WHERE r.unregistered_at IS NULL AND (o.id IS NULL OR o.disabled_at IS NOT NULL) ORDER BY r.name"""


def _find(context: RuleContext) -> Iterator[Finding]:
    for agent, owner, suspended_at, disabled_at, credentials in context.query(_QUESTION):
        suspended = suspended_at is not None
        owner_state = (
            f"{owner}, the owner of {agent}, is not in the directory"
            if disabled_at is None
            else f"{owner}, the owner of {agent}, was disabled at {format_time(disabled_at)}"
        )
        state = f"; the agent was suspended at {format_time(suspended_at)}" if suspended else ""
        # A suspended agent gets no new credentials: if it has none left, the finding is less urgent.
        idle = suspended and not credentials
        yield RULE.finding(
            agent,
            f"{owner_state}{state}",
            severity=Severity.LOW if idle else RULE.severity,
            since=disabled_at,
            credentials=credentials,
            evidence={"owner": owner, "owner_disabled_at": disabled_at, "suspended_at": suspended_at},
            # Suspending an agent revokes its credentials, even if it is suspended already.
            remedy=f"jitid agent {'unregister' if idle else 'suspend'} {operand(agent)}",
            revokes=credentials,
        )


RULE = Rule(
    name="ownerless",
    severity=Severity.HIGH,
    group=RuleGroup.GOVERNANCE,
    owasp=("NHI1",),
    title="an agent without an owner",
    reports="a registered agent whose owner was disabled, or is not in the directory",
    spares="an unregistered agent, and an owner that the directory has under another name",
    examines="owners of registered agents",
    find=_find,
)
