"""The identities and operations of this process at a fork.

The forked process holds no secret: two processes with one identity token would both renew it, and the second renewal is
refused and reported. The forked process delegates for itself instead.

A fork waits until no thread has the ledger open. SQLite would take the locks of the other process for its own, and the
end of an inherited transaction would damage the database (https://sqlite.org/howtocorrupt.html, "carrying an open
database connection across a fork").
"""

from __future__ import annotations

import atexit
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from jitid.values.record import Record


class Reactions(Record):
    """The functions of an identity for a fork of its process, and for the end of the program."""

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
_closing: list[tuple[Callable[[], None], Callable[[], None]]] = []
"""Functions to call before each fork, and in each forked process."""
_after_fork: list[ExitStack] = []
"""The functions that the process calls after its fork."""
_operations: Counter[int] = Counter()
"""The number of operations by thread."""
_changed = threading.Condition()
"""Guards `_operations` and `_waiting`."""
_prepared_by: int | None = None
"""The thread that is about to fork, and for which no operation runs."""
_waiting = 0
"""The number of threads that are about to fork."""


def enter(id_: str, reactions: Reactions) -> None:
    """Add an identity that this process holds from now on."""
    with _lock:
        _live[id_] = reactions


def leave(id_: str) -> None:
    """Remove an identity that has ended."""
    with _lock:
        _live.pop(id_, None)


def before_each(close: Callable[[], None], *, in_child: Callable[[], None]) -> None:
    """Call `close` before each fork, when no operation runs, and `in_child` in the forked process."""
    _closing.append((close, in_child))


@contextmanager
def operation() -> Iterator[None]:
    """Keep other threads from forking during the block, in which the ledger is open."""
    thread = threading.get_ident()
    with _changed:
        # An operation inside of another one, in a signal handler, must not wait for a fork that waits for both.
        while _waiting and not _operations[thread]:
            _changed.wait()
        _operations[thread] += 1
    try:
        yield
    finally:
        with _changed:
            _operations[thread] -= 1
            if not _operations[thread]:
                del _operations[thread]
            _changed.notify_all()


def is_prepared() -> bool:
    """Return whether this thread has called `prepare` for a fork that has not happened yet."""
    return _prepared_by == threading.get_ident()


def prepare() -> None:
    """Wait until this thread may fork; no other operation begins before it has done so."""
    global _waiting, _prepared_by
    thread = threading.get_ident()
    with ExitStack() as stack:
        stack.enter_context(_changed)
        _waiting += 1
        stack.callback(_end_wait)
        while _operations.keys() - {thread}:
            _changed.wait()
        for close, _ in _closing:
            close()
        # No thread may be in the middle of a change that the forked process would see half.
        stack.enter_context(_lock)
        for reactions in _live.values():
            stack.callback(reactions.after)
            reactions.before()
        _after_fork.append(stack.pop_all())
        _prepared_by = thread


def _end_wait() -> None:
    global _waiting
    _waiting -= 1
    _changed.notify_all()


def _after_in_parent() -> None:
    global _prepared_by
    # Nothing, if an interrupt ended the preparation.
    if _after_fork:
        _prepared_by = None
        _after_fork.pop().close()


def _after_in_child() -> None:
    global _lock, _changed, _waiting, _prepared_by
    _lock, _changed, _waiting, _prepared_by = threading.RLock(), threading.Condition(), 0, None
    _operations.clear()
    for _, reset in _closing:
        reset()
    inherited = list(_live.values())
    _live.clear()
    _after_fork.clear()
    for reactions in inherited:
        reactions.forget()


def _end_all() -> None:
    """End the identities whose block the program never leaves."""
    with _lock:
        remaining = list(_live.values())
    # A child is newer than its parent.
    for reactions in reversed(remaining):
        reactions.end()
    for close, _ in _closing:
        close()


os.register_at_fork(before=prepare, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
atexit.register(_end_all)
