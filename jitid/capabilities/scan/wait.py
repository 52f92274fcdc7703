"""Waiting for what other processes tell."""

from __future__ import annotations

import select
from collections.abc import Iterable


def readable(descriptors: Iterable[int], patience: float | None) -> list[int]:
    """Return those descriptors that can be read, or have come to their end; wait for one for so many seconds.

    None is for as long as it takes. Descriptors may be of any number: `select` takes no more than 1,024.
    """
    waiting = select.poll()
    for descriptor in descriptors:
        waiting.register(descriptor, select.POLLIN)
    found = waiting.poll(None if patience is None else patience * 1000)
    return [descriptor for descriptor, _ in found]
