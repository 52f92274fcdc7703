"""The outcome of a policy decision, in the terms of the caller."""

from __future__ import annotations

from typing import NamedTuple

from jitid.policy.decision import Decision


class PolicyOutcome(NamedTuple):
    """The outcome of a request or of a use."""

    decision: str
    """`permit`, `deny` or `approval`."""
    rules: tuple[str, ...]
    granted: tuple[str, ...]
    lifetime: int | None
    """Seconds: the requested lifetime, or the policy's limit if that is less; None if no credential is issued."""
    needs: tuple[str, ...]
    reason: str

    @property
    def effect(self) -> tuple[object, ...]:
        """The parts of the outcome that the caller notices."""
        return self.decision, frozenset(self.granted), self.lifetime, self.needs


def outcome(decision: Decision, ttl: int) -> PolicyOutcome:
    """Return the outcome of a decision for a caller that requested `ttl` seconds."""
    word = "permit" if decision.permit else "approval" if decision.needs else "deny"
    lifetime = None
    if decision.permit:
        lifetime = ttl if decision.max_ttl is None else min(ttl, decision.max_ttl)
    return PolicyOutcome(word, decision.rules, decision.granted, lifetime, decision.needs, decision.reason)
