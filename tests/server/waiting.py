"""Waiting for another process."""

from __future__ import annotations

import select
from collections.abc import Callable
from time import monotonic


def eventually(true: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Check a condition until it is true or the time is up; return whether it became true."""
    until = monotonic() + seconds
    while not true():
        if monotonic() > until:
            return False
        select.select([], [], [], 0.02)
    return True
