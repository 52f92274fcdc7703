"""Rule `unproved-delegator`: sensitive tasks have a delegator whose name was only asserted."""

from __future__ import annotations

from collections.abc import Iterator

from jitid.capabilities.sweep.finding import Finding, Severity, Thresholds
from jitid.capabilities.sweep.rule import Rule, RuleContext, RuleGroup
from jitid.ledger.select import LIVE
from jitid.model.ledger_rows import Selection
from jitid.model.task import SENSITIVITIES
from jitid.values.ids import identity_id

_LEVELS = ", ".join(f":needs_{number}" for number in range(len(SENSITIVITIES)))
_QUESTION = """
    SELECT d.text, unproved.sensitivity, unproved.credentials, unproved.first
      FROM (SELECT c.delegator AS delegator, i.sensitivity AS sensitivity, count(*) AS credentials,
                   min(c.issued_at) AS first
              FROM suspect CROSS JOIN credential c CROSS JOIN identity i
             WHERE suspect.marks & :mark <> 0 AND c.id = suspect.credential AND i.id = suspect.identity
             GROUP BY c.delegator, i.sensitivity) unproved
     CROSS JOIN term d WHERE d.id = unproved.delegator"""
_IDENTITIES = f"""
    SELECT DISTINCT i.uid FROM credential c CROSS JOIN identity i
     WHERE c.delegator = (SELECT id FROM term WHERE text = :delegator) AND {LIVE} AND i.id = c.identity
       AND i.proof = 'asserted' AND i.sensitivity = :sensitivity"""


def _values(limits: Thresholds) -> dict[str, str | None]:
    levels = limits.needs_proof
    return {f"needs_{n}": levels[n] if n < len(levels) else None for n in range(len(SENSITIVITIES))}


def _find(context: RuleContext) -> Iterator[Finding]:
    for delegator, sensitivity, credentials, first_issued_at in context.suspects(RULE, _QUESTION):
        yield RULE.finding(
            f"{delegator} ({sensitivity})",
            f"delegator {delegator} is unverified (only asserted) for live credentials of sensitivity {sensitivity}",
            since=first_issued_at,
            credentials=credentials,
            evidence={"delegator": delegator, "sensitivity": sensitivity, "first_issued_at": first_issued_at},
            by_sweep=True,
            picked_by=(delegator, sensitivity),
        )


def _pick(context: RuleContext, finding: Finding) -> Selection:
    delegator, sensitivity = finding.picked_by
    rows = context.query(_IDENTITIES, delegator=delegator, sensitivity=sensitivity)
    return Selection(ids=tuple(identity_id(uid) for (uid,) in rows))


RULE = Rule(
    name="unproved-delegator",
    severity=Severity.MEDIUM,
    group=RuleGroup.SPRAWL,
    owasp=("NHI4",),
    title="a delegator without proof",
    reports="a delegator who was only asserted, for live credentials with a sensitivity above sweep_asserted",
    spares="a delegator who was proved by a login, an access token or an ID token",
    examines="the proof of the delegators of live credentials",
    find=_find,
    suspect=f"i.proof = 'asserted' AND i.sensitivity IN ({_LEVELS})",
    values=_values,
    pick=_pick,
)
