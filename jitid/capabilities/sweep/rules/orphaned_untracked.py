"""Rule `orphaned-untracked`: a credential exists at a target and is unknown to the ledger."""

from __future__ import annotations

from collections.abc import Iterator

from jitid.capabilities.sweep.finding import Finding, Severity
from jitid.capabilities.sweep.rule import Rule, RuleContext, RuleGroup
from jitid.values.ids import credential_id
from jitid.values.text import quote, safe
from jitid.values.times import format_time

_QUESTION = """
    SELECT e.target, e.name, e.jti, e.created_at, e.used_at, e.detail
      FROM existing e WHERE e.live = 1 AND e.id NOT IN (SELECT m.existing FROM matched m)
     ORDER BY e.target, e.name"""


def _find(context: RuleContext) -> Iterator[Finding]:
    context.load_targets()
    for target, name, jti, created_at, used_at, detail in context.query(_QUESTION):
        origin = "bears a name of ours" if jti is not None else "is none of ours"
        details = f" ({safe(detail)})" if detail else ""
        used = "" if used_at is None else f", last used at {format_time(used_at)}"
        yield RULE.finding(
            f"{target}/{name}",
            f"target {safe(target)} takes {quote(name)}{details}, which {origin}, and the ledger knows nothing of "
            f"it{used}",
            since=None if created_at is None else min(created_at, context.now),
            credentials=int(jti is not None),
            # Only the owner of a foreign credential knows whether it is needed.
            severity=Severity.HIGH if jti is not None else Severity.MEDIUM,
            evidence={
                "target": target,
                "name": name,
                "jti": None if jti is None else credential_id(jti),
                "created_at": created_at,
                "used_at": used_at,
                "detail": detail,
            },
            # A credential without a jitid name is not ended here: its owner must end it.
            remedy=None if jti is None else f"jitid sweep --rule orphaned-untracked --target {target} --fix",
        )


# Not `mended`: if several ledgers use one prefix at a target, an unknown credential may be another ledger's.
RULE = Rule(
    name="orphaned-untracked",
    severity=Severity.HIGH,
    group=RuleGroup.ORPHAN,
    owasp=("NHI1", "NHI7"),
    title="alive at a target, and not in the ledger",
    reports="what a target takes and the ledger has no row of: made by a ledger that was lost or put back, or by hand",
    spares="what the ledger knows, dead or alive, and what the target takes no longer",
    examines="what exists at targets",
    find=_find,
    clears=True,
    abroad=True,
)
