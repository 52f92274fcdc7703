"""Sensitive work for somebody whose name was merely stated."""

from __future__ import annotations

from collections.abc import Iterator

from jitid.ledger.protocol import Selection
from jitid.sweep.finding import Finding, Severity
from jitid.sweep.limits import Limits
from jitid.sweep.rule import Group, Rule, Sight
from jitid.task import SENSITIVITIES

_LEVELS = ", ".join(f":needs_{number}" for number in range(len(SENSITIVITIES)))
_QUESTION = """
    SELECT d.text, unproved.credentials, unproved.first
      FROM (SELECT c.delegator AS delegator, count(*) AS credentials, min(c.issued_at) AS first
              FROM suspect CROSS JOIN credential c
             WHERE suspect.marks & :mark <> 0 AND c.id = suspect.credential
             GROUP BY c.delegator) unproved
     CROSS JOIN term d WHERE d.id = unproved.delegator"""


def _values(limits: Limits) -> dict[str, str | None]:
    levels = limits.needs_proof
    return {f"needs_{n}": levels[n] if n < len(levels) else None for n in range(len(SENSITIVITIES))}


def _find(sight: Sight) -> Iterator[Finding]:
    levels = sight.limits.needs_proof
    for delegator, credentials, first in sight.suspects(RULE, _QUESTION):
        yield RULE.finding(
            delegator,
            f"that {delegator} delegates is merely stated, for live credentials of sensitivity {' or '.join(levels)}",
            since=first,
            credentials=credentials,
            evidence={"sensitivities": list(levels), "first_issued_at": first},
            remedy=f"jitid revoke --delegator {delegator}",
            ends=Selection(delegators=(delegator,)),
        )


RULE = Rule(
    name="unproved-delegator",
    severity=Severity.MEDIUM,
    group=Group.SPRAWL,
    owasp=("NHI4",),
    title="a delegator without proof",
    reports="a delegator who was merely asserted for live work of a sensitivity above sweep_asserted",
    spares="the same work for a delegator proved by login, by ID token or by a parent's token",
    examines="how the delegators of live credentials were proved",
    find=_find,
    suspect=f"i.proof = 'asserted' AND i.sensitivity IN ({_LEVELS})",
    values=_values,
)
