"""Thresholds of the rules, from which a value is a finding."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from jitid.model.task import SENSITIVITIES
from jitid.model.types import SENSITIVITY
from jitid.values.field_types import COUNT


class Thresholds(NamedTuple):
    """Values that are still in order; a rule reports values beyond them. Durations are seconds."""

    standing_low: Annotated[int, COUNT] = 28_800
    """Maximum lifetime of a credential for a task of low sensitivity; the next three are for the others."""
    standing_moderate: Annotated[int, COUNT] = 3_600
    standing_high: Annotated[int, COUNT] = 900
    standing_critical: Annotated[int, COUNT] = 300
    duplicates: Annotated[int, COUNT] = 25
    """Maximum number of live credentials of one agent on one task with the same scopes."""
    identities: Annotated[int, COUNT] = 100
    """Maximum number of live credentials that descend from one delegator."""
    agents_per_person: Annotated[int, COUNT] = 80
    """Maximum number of live credentials for each person who delegates, on average."""
    pending: Annotated[int, COUNT] = 60
    """Maximum time between the record of a credential and its confirmation."""
    key_age: Annotated[int, COUNT] = 90 * 86_400
    """Maximum time for which a key may sign."""
    asserted: Annotated[str, SENSITIVITY] = "moderate"
    """Highest sensitivity for which a delegator may be only asserted."""
    unused: Annotated[int, COUNT] = 300
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
