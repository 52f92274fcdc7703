"""What the machine leaves out: known differences from the promises."""

from __future__ import annotations

KNOWN: dict[str, int] = {}
"""Differences from the promises that are known, each with the item that mends it: the machine makes no step that leads
to one. Delete an entry when it is mended."""


def known(difference: str) -> bool:
    """Return whether a difference from the promises is known and not mended yet."""
    return difference in KNOWN
