"""The rules for a scanner, whichever it is."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import assert_never

from jitid.capabilities.scan.rules import for_betterleaks, for_gitleaks, for_kingfisher
from jitid.capabilities.scan.rules.token_patterns import PATTERNS, Pattern


class RuleFormat(StrEnum):
    """For which scanner rules are."""

    GITLEAKS = "gitleaks"
    KINGFISHER = "kingfisher"
    BETTERLEAKS = "betterleaks"

    @property
    def asks(self) -> bool:
        """Whether the scanner can ask an authority about what it found."""
        return self is not RuleFormat.GITLEAKS


def rules(format_: RuleFormat, place: str | None, patterns: Sequence[Pattern] = PATTERNS) -> str:
    """Return the file of rules for a scanner, one for each pattern.

    `place` is where an authority is asked, as `check_place` returns it; None for nowhere.
    """
    match format_:
        case RuleFormat.GITLEAKS:
            return for_gitleaks.rules(patterns)
        case RuleFormat.KINGFISHER:
            return for_kingfisher.rules(patterns, place)
        case RuleFormat.BETTERLEAKS:
            return for_betterleaks.rules(patterns, place)
        case _:
            assert_never(format_)
