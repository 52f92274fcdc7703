"""Rule `over-privileged`: the record of an agent allows more than its owner may delegate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from shlex import quote as word

from jitid.capabilities.sweep.finding import Finding, Severity
from jitid.capabilities.sweep.rule import Rule, RuleContext, RuleGroup, scopes_of
from jitid.ledger.select import LIVE
from jitid.values.scope import Scope, common, normalise, uncovered
from jitid.values.text import operand

_QUESTION = f"""
    SELECT r.name, r.owner, r.scopes, o.scopes,
           (SELECT count(*) FROM credential c WHERE c.recurring = r.id AND {LIVE})
      FROM agent r CROSS JOIN delegator_name n CROSS JOIN delegator o
     WHERE r.unregistered_at IS NULL AND r.suspended_at IS NULL AND r.scopes <> ''
       AND n.name = r.owner AND o.id = n.delegator AND o.scopes IS NOT NULL ORDER BY r.name"""


def _find(context: RuleContext) -> Iterator[Finding]:
    # SQL cannot find out which scope covers another, and there are few records.
    for agent, owner, allowed, entitled, credentials in context.query(_QUESTION):
        scopes, entitlements = scopes_of(allowed), scopes_of(entitled)
        wider = uncovered(entitlements, scopes)
        if wider:
            yield RULE.finding(
                agent,
                f"the record of {agent} allows {', '.join(wider)}, which its owner {owner} may not delegate",
                credentials=credentials,
                evidence={
                    "owner": owner,
                    "scopes": list(scopes),
                    "entitlements": list(entitlements),
                    "uncovered": list(wider),
                },
                remedy=_remedy(agent, _within(scopes, entitlements)),
            )


def _within(scopes: Sequence[Scope], entitlements: Sequence[Scope]) -> tuple[Scope, ...]:
    """Return the scopes that the record may keep: the allowed scopes, limited to the owner's entitlements."""
    overlaps = [common(scope, entitlement) for scope in scopes for entitlement in entitlements]
    return normalise(scope for scope in overlaps if scope is not None)


def _remedy(agent: str, scopes: Sequence[Scope]) -> str:
    if not scopes:
        return f"jitid agent suspend {operand(agent)}"
    words = [agent, *(f"--scope {word(scope)}" for scope in scopes)]
    if agent.startswith("-"):
        words = [*words[1:], operand(agent)]
    return " ".join(["jitid agent change", *words])


RULE = Rule(
    name="over-privileged",
    severity=Severity.MEDIUM,
    group=RuleGroup.GOVERNANCE,
    owasp=("NHI5",),
    title="an agent with more rights than its owner",
    reports="a registered agent whose record allows scopes that its owner's entitlements do not cover",
    spares="a suspended agent, and an owner without stated entitlements: the policy alone decides",
    examines="scopes of registered agents against the entitlements of their owners",
    find=_find,
)
