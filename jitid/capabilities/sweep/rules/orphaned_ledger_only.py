"""Rule `orphaned-ledger-only`: a credential is live in the ledger and gone at its target."""

from __future__ import annotations

from collections.abc import Iterator

from jitid.capabilities.sweep.finding import Finding, Severity
from jitid.capabilities.sweep.rule import Rule, RuleContext, RuleGroup
from jitid.capabilities.sweep.rules.revoked_live import AT_TARGET
from jitid.capabilities.targets.settle import MINTING
from jitid.ledger.select import LIVE
from jitid.values.ids import credential_id
from jitid.values.text import safe
from jitid.values.times import format_time

# Only credentials that were surely made before the target was queried, at targets that list all they have.
_QUESTION = f"""
    SELECT c.jti, a.text, t.name, c.kind, o.target, o.name, c.issued_at, c.expires_at
      FROM outside o CROSS JOIN asked_target q CROSS JOIN credential c CROSS JOIN identity i CROSS JOIN term a
     CROSS JOIN task t
     WHERE o.settled_at IS NULL AND q.target = o.target AND q.lists = 1 AND c.id = o.credential AND {LIVE}
       AND c.fingerprint IS NOT NULL AND c.issued_at <= q.asked_at - :making
       AND c.id NOT IN (SELECT m.credential FROM matched m JOIN existing e ON e.id = m.existing WHERE e.live = 1)
       AND i.id = c.identity AND a.id = i.agent AND t.id = i.task
     ORDER BY c.id"""
_EVIDENCE = (*AT_TARGET, "issued_at", "expires_at")


def _find(context: RuleContext) -> Iterator[Finding]:
    context.load_targets()
    for jti, *row in context.query(_QUESTION, making=MINTING):
        credential = credential_id(jti)
        agent, task, kind, target, *_, expires_at = row
        yield RULE.finding(
            credential,
            f"the {kind} of {agent} on {task} is valid in the ledger until {format_time(expires_at)}, but target "
            f"{safe(target)} no longer accepts it",
            since=None,
            credentials=1,
            evidence=dict(zip(_EVIDENCE, row, strict=True)),
            remedy=f"jitid revoke {credential}",
        )


RULE = Rule(
    name="orphaned-ledger-only",
    severity=Severity.MEDIUM,
    group=RuleGroup.HEALTH,
    owasp=(),
    title="live in the ledger, but gone at its target",
    reports="a live credential that its target no longer has: deleted there by hand, or lost when the target was "
    "restored",
    spares="a credential that was issued just now, and targets that cannot list their credentials",
    examines="live credentials at targets",
    find=_find,
    abroad=True,
)
