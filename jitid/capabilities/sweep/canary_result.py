"""What came of a canary: a credential without rights that was made, seen to work, ended, and seen to be dead."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Fate(StrEnum):
    """What a canary has shown."""

    PROVED = "proved"
    """It worked, and once it was ended it did not: the probe can tell, and revocation works."""
    BLIND = "blind"
    """It was not seen to work, so that its death proves nothing."""
    SURVIVED = "survived"
    """It was ended, and works all the same."""
    UNPROVED = "unproved"
    """It was ended, and whether it works could not be told."""
    GROUNDED = "grounded"
    """None could be made: nothing is proved, and nothing was left."""


class Canary(NamedTuple):
    """One canary. Durations are milliseconds."""

    place: str
    """The target, or the kind where it is made here."""
    kind: str
    fate: Fate
    why: str
    """What was seen, in a few words."""
    jti: str | None = None
    made_in: int | None = None
    """From the wish to the secret."""
    dead_in: int | None = None
    """From the wish to end it until it was seen to be dead."""
