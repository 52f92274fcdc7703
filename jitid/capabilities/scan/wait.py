"""Waiting for messages of other processes."""

from __future__ import annotations

import select
from collections.abc import Iterable


def readable(descriptors: Iterable[int], patience: float | None) -> list[int]:
    """Return the descriptors that can be read, or are at their end; wait for one up to `patience` seconds.

    None waits without a limit. Descriptors may have any number: `select` fails from 1,024 on.
    """
    waiting = select.poll()
    for descriptor in descriptors:
        waiting.register(descriptor, select.POLLIN)
    ready = waiting.poll(None if patience is None else patience * 1000)
    return [descriptor for descriptor, _ in ready]
