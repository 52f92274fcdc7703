"""Background revocation at targets if no caller will settle it: an agent that revoked itself cannot send a request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from jitid.capabilities.identity.revocation_result import Ended
from jitid.capabilities.issue.token_operations import RevokeToken
from jitid.capabilities.targets.operations import Settle
from jitid.server.thread_pool import Pool

if TYPE_CHECKING:
    from jitid.model.access import Caller
    from jitid.operation.base import Authority, Operation, Result
    from jitid.server.thread_pool import Seat

_LIMIT = 20
"""Seconds for each target, the same as in a command."""


class Settler:
    """A settler of all due revocations: one pass at a time, in one thread, so that no request waits for it.

    A target that could not be reached is retried only when the queue says so. A settler belongs to one event loop.
    """

    def __init__(self, make: Callable[[], Seat]) -> None:
        """`make` returns the seat of the thread."""
        self._pool = Pool(1, "jitid-targets", make)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running = False
        self._again = False

    def begin(self) -> None:
        """Remember the running event loop."""
        self._loop = self._loop or asyncio.get_running_loop()

    def watch(self, authority: Authority, caller: Caller) -> Authority:
        """Return an authority that starts a pass when the caller leaves revocations at targets unsettled."""
        return _Watching(authority, caller, self._soon)

    def close(self, patience: float) -> None:
        """Stop the thread; wait at most `patience` seconds."""
        self._pool.close(patience)

    def _soon(self) -> None:
        assert self._loop is not None, "the loop runs before anybody is served"
        self._loop.call_soon_threadsafe(self._start)

    def _start(self) -> None:
        if self._running:
            self._again = True
            return
        self._running, self._again = True, False
        self._pool.run(_settle).add_done_callback(self._done)

    def _done(self, future: asyncio.Future[None]) -> None:
        self._running = False
        # Failed settlements stay in the queue, and a sweep reports them.
        if not future.cancelled():
            future.exception()
        if self._again:
            self._start()


def _settle(seat: Seat) -> None:
    with seat.authority() as authority:
        authority.perform(Settle(limit=_LIMIT))


class _Watching:
    """An authority that starts a pass after an operation with revocations that no caller will settle."""

    def __init__(self, authority: Authority, caller: Caller, soon: Callable[[], None]) -> None:
        self._within = authority
        self._caller = caller
        self._soon = soon

    def perform(self, operation: Operation[Result]) -> Result:
        """Perform an operation and return its answer. Raises the errors of the operation."""
        answer = self._within.perform(operation)
        ended = getattr(answer, "ended", answer)
        unattended = self._caller.agent is not None or isinstance(operation, RevokeToken)
        if unattended and isinstance(ended, Ended) and ended.unsettled:
            self._soon()
        return answer

    def close(self) -> None:
        """Close the inner authority."""
        self._within.close()
