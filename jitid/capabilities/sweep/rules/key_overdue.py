"""Rule `key-overdue`: a key has been signing for too long."""

from __future__ import annotations

from collections.abc import Iterator

from jitid.capabilities.sweep.finding import Finding, Severity
from jitid.capabilities.sweep.rule import Rule, RuleContext, RuleGroup
from jitid.capabilities.trust.rotation import replacing
from jitid.ledger.signing_keys import KeyStore
from jitid.values.times import format_duration, format_time


def _find(context: RuleContext) -> Iterator[Finding]:
    limit = context.limits.key_age
    for key in KeyStore(context.snapshot).signing_keys():
        if key.signs and context.now - key.created_at > limit:
            key_kind = key.algorithm if key.use == "jws" else f"{key.use} {key.algorithm}"
            yield RULE.finding(
                key.kid,
                f"the {key_kind} key {key.kid} has signed since {format_time(key.created_at)}; "
                f"the limit is {format_duration(limit)}",
                since=key.created_at + limit,
                evidence={"algorithm": key.algorithm, "created_at": key.created_at, "limit_seconds": limit},
                remedy=replacing(key),
            )


RULE = Rule(
    name="key-overdue",
    severity=Severity.MEDIUM,
    group=RuleGroup.HEALTH,
    owasp=("NHI7",),
    title="a signing key that must be replaced",
    reports="a signing key that is older than sweep_key_age",
    spares="an old key that no longer signs",
    examines="signing keys",
    find=_find,
)
