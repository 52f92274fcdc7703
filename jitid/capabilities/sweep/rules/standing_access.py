"""Rule `standing-access`: access to the authority lasts for longer than it should."""

from __future__ import annotations

from collections.abc import Iterator

from jitid.capabilities.sweep.finding import Finding, Severity
from jitid.capabilities.sweep.rule import Rule, RuleContext, RuleGroup
from jitid.values.ids import access_id
from jitid.values.times import format_duration, format_time

_LONG = 7 * 86_400
"""Maximum lifetime in seconds of an access token that may change something; for longer use there are keys or new
tokens.
"""

_QUESTION = """
    SELECT a.uid, a.name, a.roles, CASE WHEN a.public IS NULL THEN 0 ELSE 1 END, a.issued_at, a.expires_at,
           d.disabled_at
      FROM access a LEFT JOIN delegator_name n ON n.name = a.name LEFT JOIN delegator d ON d.id = n.delegator
     WHERE a.ended_at IS NULL AND a.expires_at > :now AND (a.superseded_at IS NULL OR a.superseded_at > :now)
       AND (d.disabled_at IS NOT NULL
            OR (a.public IS NULL AND a.expires_at - a.issued_at > :long
                AND a.roles NOT IN ('auditor', 'auditor verifier', 'verifier'))
            OR (a.public IS NOT NULL AND a.issued_at < :now - :key_age))
     ORDER BY a.event"""


def _find(context: RuleContext) -> Iterator[Finding]:
    rows = context.query(_QUESTION, long=_LONG, key_age=context.limits.key_age)
    for uid, name, roles, key, issued_at, expires_at, disabled_at in rows:
        access = access_id(uid)
        may = f"{name} has access to the authority until {format_time(expires_at)}"
        if disabled_at is not None:
            summary, since = f"{may}, but was disabled at {format_time(disabled_at)}", disabled_at
        elif key:
            summary, since = (
                f"{may} with a key from {format_time(issued_at)}",
                issued_at + context.limits.key_age,
            )
        else:
            summary, since = (
                f"{may} with an access token that is valid for {format_duration(expires_at - issued_at)}",
                issued_at,
            )
        yield RULE.finding(
            access,
            summary,
            severity=RULE.severity if disabled_at is None else Severity.HIGH,
            since=since,
            evidence={
                "name": name,
                "roles": roles.split(),
                "issued_at": issued_at,
                "expires_at": expires_at,
                "disabled_at": disabled_at,
            },
            remedy=f"jitid access revoke {access}",
        )


RULE = Rule(
    name="standing-access",
    severity=Severity.MEDIUM,
    group=RuleGroup.GOVERNANCE,
    owasp=("NHI1", "NHI7"),
    title="standing access to the authority",
    reports="an access token valid for more than 7d, a key older than sweep_key_age, access of a disabled delegator",
    spares="ended access, and a long access token with only the roles verifier and auditor",
    examines="access to the authority, and its expiry",
    find=_find,
    worst=Severity.HIGH,
)
