"""Waiting for what another process does."""

from __future__ import annotations

import select
from collections.abc import Callable
from time import monotonic


def eventually(true: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Ask until it is so, or for too long."""
    until = monotonic() + seconds
    while not true():
        if monotonic() > until:
            return False
        select.select([], [], [], 0.02)
    return True
