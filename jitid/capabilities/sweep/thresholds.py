"""From where on something is a finding: the thresholds of the rules."""

from __future__ import annotations

from typing import NamedTuple

from jitid.model.task import SENSITIVITIES


class Thresholds(NamedTuple):
    """What is still in order; beyond it a rule reports. Durations are seconds."""

    standing_low: int = 28_800
    """The longest lifetime of a credential for a task of low sensitivity, and of the others below."""
    standing_moderate: int = 3_600
    standing_high: int = 900
    standing_critical: int = 300
    duplicates: int = 25
    """How many live credentials one agent may have on one task with the same scopes."""
    identities: int = 100
    """How many live credentials may descend from one delegator."""
    agents_per_person: int = 80
    """How many live credentials there may be to each person who delegates, on average."""
    pending: int = 60
    """How long a credential may be recorded and not confirmed."""
    key_age: int = 90 * 86_400
    """How long a key may sign."""
    asserted: str = "moderate"
    """Up to which sensitivity a delegator may be merely asserted."""
    unused: int = 300
    """How long a credential may live before it is used, or before its scopes are."""
    known_only: bool = False
    """Whether nobody may delegate whom the directory does not have (the setting `delegators`)."""

    def standing(self, sensitivity: str) -> int:
        """Return the longest lifetime in order for a sensitivity."""
        lifetime: int = getattr(self, f"standing_{sensitivity}")
        return lifetime

    @property
    def needs_proof(self) -> tuple[str, ...]:
        """The sensitivities at which an assertion is not enough."""
        return SENSITIVITIES[SENSITIVITIES.index(self.asserted) + 1 :]
