"""Rule `canary`: a canary shows that revocation does not work, or cannot be observed."""

from __future__ import annotations

from collections.abc import Iterator

from jitid.capabilities.sweep.finding import Canary, Fate, Finding, Severity
from jitid.capabilities.sweep.rule import Rule, RuleContext, RuleGroup

_MESSAGES = {
    Fate.SURVIVED: "a revoked credential still works",
    Fate.BLIND: "the probe cannot see whether a credential works",
    Fate.UNPROVED: "the probe cannot see whether a revoked credential is refused",
}


def _find(context: RuleContext) -> Iterator[Finding]:
    proved = []
    for canary in context.canaries:
        if canary.fate is Fate.PROVED:
            proved.append(_timed(canary))
        elif canary.fate is Fate.GROUNDED:
            context.missed(f"{canary.place}: {canary.why}")
        else:
            survived = canary.fate is Fate.SURVIVED
            yield RULE.finding(
                canary.place,
                f"{canary.place}: {_MESSAGES[canary.fate]}: {canary.why}",
                severity=Severity.CRITICAL if survived else Severity.HIGH,
                credentials=int(survived),
                evidence=canary._asdict() | {"fate": canary.fate.value},
                remedy="jitid doctor",
            )
    context.examined(f"canaries: {', '.join(proved)}" if proved else "canaries: none was proved")
    if not context.canaries:
        context.not_known("whether revocation works: no canary was issued")


def _timed(canary: Canary) -> str:
    if canary.dead_in is None:
        return f"{canary.place} ({canary.why})"
    return f"{canary.place} refused after {canary.dead_in} ms"


RULE = Rule(
    name="canary",
    severity=Severity.CRITICAL,
    group=RuleGroup.HEALTH,
    owasp=("NHI1",),
    title="revocation does not work",
    reports="a kind or target with a canary (--canary) that still works after its revocation, or that cannot be probed",
    spares="a canary that worked before its revocation and was refused after it",
    examines="a credential without rights for each kind: issued, probed, revoked and probed again",
    find=_find,
)
