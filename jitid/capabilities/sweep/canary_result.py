"""Result of a canary: a credential without rights that is issued, probed, revoked and probed again."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, NamedTuple

from jitid.values.field_types import COUNT, ID, LONG, text


class Fate(StrEnum):
    """The outcome of a canary."""

    PROVED = "proved"
    """It worked before its revocation and not afterwards: the probe is reliable, and revocation works."""
    BLIND = "blind"
    """It did not work before its revocation, so that its refusal afterwards proves nothing."""
    SURVIVED = "survived"
    """It was revoked and still works."""
    UNPROVED = "unproved"
    """It was revoked, and the second probe could not find out whether it works."""
    GROUNDED = "grounded"
    """It could not be made: no proof, and no credential is left."""


class Canary(NamedTuple):
    """One canary. Durations are milliseconds."""

    place: Annotated[str, text(64, "the target")]
    """The target, or the kind if jitid itself makes it."""
    kind: Annotated[str, text(80, "the kind")]
    fate: Fate
    why: Annotated[str, text(LONG, "what was seen")]
    """The observation, in a few words."""
    jti: Annotated[str | None, ID] = None
    made_in: Annotated[int | None, COUNT] = None
    """Time from the request to the secret."""
    dead_in: Annotated[int | None, COUNT] = None
    """Time from the revocation until a probe was refused."""
