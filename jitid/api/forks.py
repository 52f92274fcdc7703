"""The identities of this process at a fork: the forked process holds none of their secrets.

Two processes with one identity token would both renew it, and the second renewal is refused and reported. The forked
process delegates for itself instead.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable

from jitid.values.record import Record


class Reactions(Record):
    """What an identity does at a fork of its process, and at the end of the program."""

    before: Callable[[], None]
    """Called before the fork; no thread may change the identity until the fork."""
    after: Callable[[], None]
    """Called after it in the process that has forked."""
    forget: Callable[[], None]
    """Called after it in the forked process."""
    end: Callable[[], None]
    """Called at the end of the program, if it never left the block of the identity."""


_live: dict[str, Reactions] = {}
"""By the id of the identity."""
_lock = threading.RLock()
_forking: list[Reactions] = []


def enter(id_: str, reactions: Reactions) -> None:
    """Add an identity that this process holds from now on."""
    with _lock:
        _live[id_] = reactions


def leave(id_: str) -> None:
    """Remove an identity that has ended."""
    with _lock:
        _live.pop(id_, None)


def _before() -> None:
    # No thread may be in the middle of a change that the forked process would see half.
    _lock.acquire()
    _forking[:] = _live.values()
    for reactions in _forking:
        reactions.before()


def _after_in_parent() -> None:
    for reactions in _forking:
        reactions.after()
    _forking.clear()
    _lock.release()


def _after_in_child() -> None:
    global _lock
    _lock = threading.RLock()
    inherited = list(_live.values())
    _live.clear()
    _forking.clear()
    for reactions in inherited:
        reactions.forget()


def _end_all() -> None:
    """End the identities whose block the program never leaves."""
    with _lock:
        remaining = list(_live.values())
    # A child is newer than its parent.
    for reactions in reversed(remaining):
        reactions.end()


os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
atexit.register(_end_all)
