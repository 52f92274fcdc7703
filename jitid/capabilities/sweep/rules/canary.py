"""Rule `canary`: a canary shows that revocation does not work, or cannot be observed."""

from __future__ import annotations

from collections.abc import Iterator

from jitid.capabilities.sweep.finding import Canary, Fate, Finding, Severity
from jitid.capabilities.sweep.rule import Rule, RuleContext, RuleGroup

_MESSAGES = {
    Fate.SURVIVED: "what is revoked there still works",
    Fate.BLIND: "whether something works there cannot be seen",
    Fate.UNPROVED: "that what is revoked there is dead cannot be seen",
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
        context.not_known("none was flown, so that nothing shows whether revocation works")


def _timed(canary: Canary) -> str:
    if canary.dead_in is None:
        return f"{canary.place} ({canary.why})"
    return f"{canary.place} dead in {canary.dead_in} ms"


RULE = Rule(
    name="canary",
    severity=Severity.CRITICAL,
    group=RuleGroup.HEALTH,
    owasp=("NHI1",),
    title="revocation that does not work",
    reports="a kind or a target whose canary (--canary) was revoked and works all the same, or was not seen to work "
    "before or to be dead afterwards",
    spares="a canary that worked, and was seen to be dead once it was revoked",
    examines="a credential without rights of each kind, made, seen, revoked and seen again",
    find=_find,
)
