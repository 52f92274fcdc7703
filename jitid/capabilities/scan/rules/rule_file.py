"""The rule file for any of the supported scanners."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import assert_never

from jitid.capabilities.scan.rules import for_betterleaks, for_gitleaks, for_kingfisher
from jitid.capabilities.scan.rules.token_patterns import PATTERNS, Pattern


class RuleFormat(StrEnum):
    """The scanner that the rules are for."""

    GITLEAKS = "gitleaks"
    KINGFISHER = "kingfisher"
    BETTERLEAKS = "betterleaks"

    @property
    def queries_authority(self) -> bool:
        """Whether the scanner can query an authority about its findings."""
        return self is not RuleFormat.GITLEAKS


def rules(format_: RuleFormat, address: str | None, patterns: Sequence[Pattern] = PATTERNS) -> str:
    """Return the rule file for a scanner, with one rule for each pattern.

    `address` is that of the authority for queries, from `check_place`; None leaves them out.
    """
    match format_:
        case RuleFormat.GITLEAKS:
            return for_gitleaks.rules(patterns)
        case RuleFormat.KINGFISHER:
            return for_kingfisher.rules(patterns, address)
        case RuleFormat.BETTERLEAKS:
            return for_betterleaks.rules(patterns, address)
        case _:
            assert_never(format_)
