"""Rule `over-scoped`: credentials have scopes for which no use was reported."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter

from jitid.capabilities.sweep.finding import Finding, Severity
from jitid.capabilities.sweep.rule import Rule, RuleContext, RuleGroup, scopes_of
from jitid.ledger.select import LIVE
from jitid.values.record import Record
from jitid.values.scope import Scope, overlap
from jitid.values.text import operand

_RIPE = f"""WHERE {LIVE} AND c.issued_at < :before AND c.superseded_at IS NULL AND c.scopes <> ''
       AND r.audiences = c.audiences AND r.until >= c.issued_at AND i.id = c.identity"""
# Grouped by agent and scopes: an identity may need a scope that a similar identity has used.
_USES = f"""
    SELECT a.text, held.scopes, held.used
      FROM (SELECT i.agent AS agent, c.scopes AS scopes, u.scope AS used
              FROM credential c CROSS JOIN reporting r CROSS JOIN used u CROSS JOIN identity i
             {_RIPE} AND u.identity = c.identity
             GROUP BY i.agent, c.scopes, u.scope) held
     CROSS JOIN term a WHERE a.id = held.agent ORDER BY a.text, held.scopes, held.used"""
_SIZES = f"""
    SELECT a.text, held.scopes, held.credentials, held.first
      FROM (SELECT i.agent AS agent, c.scopes AS scopes, count(*) AS credentials, min(c.issued_at) AS first
              FROM credential c CROSS JOIN reporting r CROSS JOIN identity i
             {_RIPE} AND EXISTS (SELECT 1 FROM used u WHERE u.identity = c.identity)
             GROUP BY i.agent, c.scopes) held
     CROSS JOIN term a WHERE a.id = held.agent"""


class _Unused(Record):
    held: tuple[Scope, ...]
    used: list[Scope]
    unused: list[Scope]


def _find(context: RuleContext) -> Iterator[Finding]:
    if not context.examine_use():
        return
    issued_before = context.now - context.limits.unused
    # SQL cannot find out which scope covers another, and agents have few sets of scopes.
    cases: dict[tuple[str, str], _Unused] = {}
    for (agent, scopes_text), rows in groupby(context.query(_USES, before=issued_before), itemgetter(0, 1)):
        scopes = scopes_of(scopes_text)
        used = [scope for *_, used_scopes in rows for scope in scopes_of(used_scopes)]
        unused = [scope for scope in scopes if not any(overlap(scope, used_scope) for used_scope in used)]
        if unused:
            cases[agent, scopes_text] = _Unused(scopes, used, unused)
    if not cases:
        return
    sizes = {
        (agent, scopes_text): size
        for agent, scopes_text, *size in context.query(_SIZES, before=issued_before)
    }
    for (agent, scopes_text), (scopes, used, unused) in cases.items():
        credentials, first_issued_at = sizes[agent, scopes_text]
        yield RULE.finding(
            f"{agent}: {scopes_text}",
            f"{agent} uses {', '.join(used)}; it also holds {', '.join(unused)}, without any use",
            since=first_issued_at,
            credentials=credentials,
            evidence={
                "agent": agent,
                "scopes": list(scopes),
                "used": used,
                "unused": unused,
                "first_issued_at": first_issued_at,
            },
            remedy=f"jitid agent advise --policy {operand(agent)}",
        )


RULE = Rule(
    name="over-scoped",
    severity=Severity.LOW,
    group=RuleGroup.SPRAWL,
    owasp=("NHI5",),
    title="unused scopes",
    reports="scopes of an agent's live credentials that were not used for longer than sweep_unused, while other scopes "
    "were",
    spares="credentials without any use; credentials for audiences that report no use, so that use is unknown",
    examines="scopes of live credentials for audiences that report use",
    find=_find,
)
