"""Known differences from the promises, which the machine avoids."""

from __future__ import annotations

KNOWN: dict[str, int] = {}
"""Known differences from the promises, each with the item that fixes it: the machine makes no step that leads to it.

Delete an entry when it is fixed.
"""


def known(difference: str) -> bool:
    """Return whether a difference from the promises is known and not fixed yet."""
    return difference in KNOWN
