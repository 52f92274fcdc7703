"""What the machine leaves out: features that are not built yet, and known differences from the promises."""

from __future__ import annotations

ABSENT: dict[str, str] = {}
"""Features that this jitid does not have: the machine makes no step that needs one. Delete an entry when it lands."""

KNOWN: dict[str, int] = {}
"""Differences from the promises that are known, each with the item that mends it. Delete an entry when it is mended."""


def has(feature: str) -> bool:
    """Return whether this jitid has a feature."""
    return feature not in ABSENT


def known(difference: str) -> bool:
    """Return whether a difference from the promises is known and not mended yet."""
    return difference in KNOWN
