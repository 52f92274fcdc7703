"""Thresholds of the rules, from which a value is a finding."""

from __future__ import annotations

from typing import NamedTuple

from jitid.model.task import SENSITIVITIES


class Thresholds(NamedTuple):
    """Values that are still in order; a rule reports values beyond them. Durations are seconds."""

    standing_low: int = 28_800
    """Maximum lifetime of a credential for a task of low sensitivity; the next three are for the others."""
    standing_moderate: int = 3_600
    standing_high: int = 900
    standing_critical: int = 300
    duplicates: int = 25
    """Maximum number of live credentials of one agent on one task with the same scopes."""
    identities: int = 100
    """Maximum number of live credentials that descend from one delegator."""
    agents_per_person: int = 80
    """Maximum number of live credentials for each person who delegates, on average."""
    pending: int = 60
    """Maximum time between the record of a credential and its confirmation."""
    key_age: int = 90 * 86_400
    """Maximum time for which a key may sign."""
    asserted: str = "moderate"
    """Highest sensitivity for which a delegator may be only asserted."""
    unused: int = 300
    """Maximum time without use, for a live credential and for its scopes."""
    known_only: bool = False
    """Whether only delegators in the directory may delegate (the setting `delegators`)."""

    def max_lifetime(self, sensitivity: str) -> int:
        """Return the maximum lifetime for a sensitivity."""
        lifetime: int = getattr(self, f"standing_{sensitivity}")
        return lifetime

    @property
    def needs_proof(self) -> tuple[str, ...]:
        """The sensitivities at which an assertion is not enough."""
        return SENSITIVITIES[SENSITIVITIES.index(self.asserted) + 1 :]
