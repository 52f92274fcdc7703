"""What a policy makes of a request, in the terms of whoever asks."""

from __future__ import annotations

from typing import NamedTuple

from jitid.policy.decision import Decision


class PolicyOutcome(NamedTuple):
    """What becomes of a request, or of a use."""

    decision: str
    """`permit`, `deny` or `approval`."""
    rules: tuple[str, ...]
    granted: tuple[str, ...]
    lifetime: int | None
    """Seconds: what was asked for, or the bound of the policy if that is less; None where nothing is issued."""
    needs: tuple[str, ...]
    reason: str

    @property
    def effect(self) -> tuple[object, ...]:
        """What whoever asks notices of it."""
        return self.decision, frozenset(self.granted), self.lifetime, self.needs


def outcome(decision: Decision, ttl: int) -> PolicyOutcome:
    """Return what a decision comes to for whoever asked for `ttl` seconds."""
    word = "permit" if decision.permit else "approval" if decision.needs else "deny"
    lifetime = None
    if decision.permit:
        lifetime = ttl if decision.max_ttl is None else min(ttl, decision.max_ttl)
    return PolicyOutcome(word, decision.rules, decision.granted, lifetime, decision.needs, decision.reason)
