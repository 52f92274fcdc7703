"""The rules for a scanner, whichever it is."""

from __future__ import annotations

from enum import StrEnum
from typing import assert_never

from jitid.scanrules import betterleaks, gitleaks, kingfisher


class RuleFormat(StrEnum):
    """For which scanner rules are."""

    GITLEAKS = "gitleaks"
    KINGFISHER = "kingfisher"
    BETTERLEAKS = "betterleaks"

    @property
    def asks(self) -> bool:
        """Whether the scanner can ask an authority about what it found."""
        return self is not RuleFormat.GITLEAKS


def rules(format_: RuleFormat, place: str | None) -> str:
    """Return the file of rules for a scanner. `place` is where an authority is asked, as `check_place` returns it."""
    match format_:
        case RuleFormat.GITLEAKS:
            return gitleaks.rules()
        case RuleFormat.KINGFISHER:
            return kingfisher.rules(place)
        case RuleFormat.BETTERLEAKS:
            return betterleaks.rules(place)
        case _:
            assert_never(format_)
