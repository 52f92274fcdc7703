"""Rule `standing`: the lifetime of a credential is longer than the sensitivity of its task permits."""

from __future__ import annotations

from collections.abc import Iterator

from jitid.capabilities.sweep.finding import Finding, Severity
from jitid.capabilities.sweep.rule import Rule, RuleContext, RuleGroup
from jitid.model.credential import Kind
from jitid.model.ledger_rows import Selection
from jitid.model.task import ADOPTED, SENSITIVITIES
from jitid.values.ids import credential_id, identity_id
from jitid.values.text import operand, safe
from jitid.values.times import NO_EXPIRY, format_duration, format_time

_LIMIT = " ".join(f"WHEN '{sensitivity}' THEN :standing_{sensitivity}" for sensitivity in SENSITIVITIES)
_QUESTION = """
    SELECT c.jti, i.uid, (SELECT x.place FROM adopted x WHERE x.credential = c.id), a.text, t.name, d.text,
           i.sensitivity, c.kind, c.issued_at, coalesce(c.superseded_at, c.expires_at)
      FROM suspect CROSS JOIN credential c CROSS JOIN identity i CROSS JOIN term a CROSS JOIN term d CROSS JOIN task t
     WHERE suspect.marks & :mark <> 0 AND c.id = suspect.credential AND i.id = suspect.identity
       AND a.id = i.agent AND d.id = i.delegator AND t.id = i.task"""


def _find(context: RuleContext) -> Iterator[Finding]:
    for jti, uid, location, *row in context.suspects(RULE, _QUESTION):
        agent, task, delegator, sensitivity, kind, issued_at, expires_at = row
        credential = credential_id(jti)
        lifetime = expires_at - issued_at
        limit = context.limits.max_lifetime(sensitivity)
        lifetime_text = f"is valid for {format_duration(lifetime)}, until {format_time(expires_at)}"
        subject, remedy = f"the {kind} of {agent} on {task}", f"jitid revoke {credential}"
        if kind == Kind.ADOPTED:
            name = task.removeprefix(ADOPTED)
            subject = f"the adopted secret {name} of {agent} (kept at {safe(location or '?')})"
            remedy = f"jitid adopt suggest {operand(name)}"
            lifetime_text = "never expires" if expires_at == NO_EXPIRY else lifetime_text
        yield RULE.finding(
            credential,
            f"{subject} {lifetime_text}; the limit for sensitivity {sensitivity} is {format_duration(limit)}",
            since=issued_at,
            credentials=1,
            evidence={
                "id": identity_id(uid),
                "agent": agent,
                "task": task,
                "delegator": delegator,
                "sensitivity": sensitivity,
                "lifetime_seconds": lifetime,
                "limit_seconds": limit,
                "issued_at": issued_at,
                "expires_at": expires_at,
                **({} if location is None else {"place": location}),
            },
            remedy=remedy,
            ends=Selection(ids=(credential,)),
        )


RULE = Rule(
    name="standing",
    severity=Severity.HIGH,
    group=RuleGroup.SPRAWL,
    owasp=("NHI7",),
    title="a standing credential",
    reports="a live credential with a lifetime above the limit of its sensitivity (sweep_standing_low, …_critical), "
    "such as most adopted secrets",
    spares="a lifetime equal to the limit, and a credential that a successor will soon replace",
    examines="live credentials",
    find=_find,
    # A superseded credential is valid for the overlap, which may be long.
    suspect=f"coalesce(c.superseded_at, c.expires_at) - c.issued_at > CASE i.sensitivity {_LIMIT} ELSE 0 END",
    values=lambda limits: {
        f"standing_{sensitivity}": limits.max_lifetime(sensitivity) for sensitivity in SENSITIVITIES
    },
)
