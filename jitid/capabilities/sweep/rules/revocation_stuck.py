"""Rule `revocation-stuck`: a target refuses to end a revoked credential, or has not answered for long."""

from __future__ import annotations

from collections.abc import Iterator

from jitid.capabilities.sweep.finding import Finding, Severity
from jitid.capabilities.sweep.rule import Rule, RuleContext, RuleGroup
from jitid.capabilities.sweep.rules.revoked_live import AT_TARGET, DIED
from jitid.model.credential import Kind
from jitid.model.target import BY_HAND, Settlement
from jitid.values.ids import credential_id
from jitid.values.text import operand, safe
from jitid.values.times import format_time

_LATE = 3_600
"""Seconds after which further attempts are no longer enough."""
_QUESTION = f"""
    SELECT c.jti, a.text, t.name, c.kind, o.target, o.name, {DIED}, c.expires_at, o.settlement, o.attempts, o.tried_at,
           o.proof
      FROM outside o CROSS JOIN credential c CROSS JOIN identity i CROSS JOIN term a CROSS JOIN task t
     WHERE o.settled_at IS NULL AND c.id = o.credential AND {DIED} <= :now
       AND (o.settlement = :stuck OR {DIED} <= :before)
       AND i.id = c.identity AND a.id = i.agent AND t.id = i.task
     ORDER BY c.id"""
_EVIDENCE = (*AT_TARGET, "died_at", "expires_at", "settlement", "attempts", "tried_at", "proof")


def _find(context: RuleContext) -> Iterator[Finding]:
    requested = None if context.observed is None else context.observed.asked
    for jti, *row in context.query(_QUESTION, stuck=Settlement.STUCK.value, before=context.now - _LATE):
        agent, task, kind, target, name, died_at, _, _, attempts, _, proof = row
        if requested is not None and target not in requested:
            continue
        credential = credential_id(jti)
        if target == BY_HAND:
            yield _by_hand(credential, name, agent, task, died_at, proof)
            continue
        proof_text = f": {safe(proof)}" if proof else ""
        tried = (
            "was never tried"
            if not attempts
            else f"failed {attempts} times"
            if attempts > 1
            else "failed once"
        )
        yield RULE.finding(
            credential,
            f"the {kind} of {agent} on {task} ended at {format_time(died_at)}, but its revocation at target "
            f"{safe(target)} {tried}{proof_text}",
            since=died_at,
            credentials=1,
            evidence=dict(zip(_EVIDENCE, row, strict=True)),
            remedy=f"jitid sweep --rule revocation-stuck --target {target} --fix",
        )


def _by_hand(credential: str, name: str, agent: str, task: str, died_at: int, proof: str | None) -> Finding:
    return RULE.finding(
        credential,
        f"the adopted secret {name} ended in the ledger at {format_time(died_at)}; its deletion where it is kept is "
        f"not confirmed: {safe(proof or '')}",
        since=died_at,
        credentials=1,
        evidence={"agent": agent, "task": task, "kind": Kind.ADOPTED.value, "name": name, "died_at": died_at},
        remedy=f"jitid adopt end {operand(name)} --proof 'it was deleted there'",
    )


RULE = Rule(
    name="revocation-stuck",
    severity=Severity.HIGH,
    group=RuleGroup.VALID,
    owasp=("NHI1",),
    title="ended, but not revoked at its target",
    reports="an ended credential that its target refuses to revoke, or has not revoked for an hour; "
    "an adopted secret that an operator must delete, until `jitid adopt end` confirms it",
    spares="a revocation that will soon be tried again, and a confirmed one",
    examines="revocations that are due at targets",
    find=_find,
    mended=True,
    clears=True,
    abroad=True,
)
