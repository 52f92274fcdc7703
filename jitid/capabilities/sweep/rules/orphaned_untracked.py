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
        origin = "has a jitid name" if jti is not None else "has no jitid name"
        details = f" ({safe(detail)})" if detail else ""
        used = "" if used_at is None else f", last used at {format_time(used_at)}"
        yield RULE.finding(
            f"{target}/{name}",
            f"target {safe(target)} accepts {quote(name)}{details}, which {origin} and is not in the ledger{used}",
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
            # A credential without a jitid name is not revoked here: its owner must revoke it.
            by_sweep=jti is not None,
        )


# Not `mended`: if several ledgers use one prefix at a target, an unknown credential may be another ledger's.
RULE = Rule(
    name="orphaned-untracked",
    severity=Severity.HIGH,
    group=RuleGroup.ORPHAN,
    owasp=("NHI1", "NHI7"),
    title="valid at a target, but not in the ledger",
    reports="a credential that a target accepts and the ledger lacks: from a lost or restored ledger, or made by hand",
    spares="credentials in the ledger, and credentials that the target no longer accepts",
    examines="credentials at targets",
    find=_find,
    clears=True,
    abroad=True,
)
