"""Revokes at targets, in the background, what no caller will settle: an agent that revoked itself cannot ask again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from jitid.capabilities.identity.revocation import Ended
from jitid.capabilities.issue.token_operations import RevokeToken
from jitid.capabilities.targets.operations import Settle
from jitid.server.thread_pool import Pool

if TYPE_CHECKING:
    from jitid.model.caller import Caller
    from jitid.operation.authority import Authority
    from jitid.operation.base import Operation, Result
    from jitid.server.thread_authority import Seat

_LIMIT = 20
"""Seconds that each target has, as with a command."""


class Settler:
    """Settles the whole queue of due revocations, one pass at a time in one thread, so that no request waits for it.

    A target that was out of reach is retried only when the queue says so. A settler belongs to one event loop.
    """

    def __init__(self, make: Callable[[], Seat]) -> None:
        """`make` returns the seat of the thread."""
        self._pool = Pool(1, "jitid-targets", make)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asking = False
        self._again = False

    def begin(self) -> None:
        """Remember the running event loop."""
        self._loop = self._loop or asyncio.get_running_loop()

    def watch(self, within: Authority, caller: Caller) -> Authority:
        """Return an authority that starts a pass when the caller leaves revocations at targets unsettled."""
        return _Watching(within, caller, self._soon)

    def close(self, patience: float) -> None:
        """Let the thread end; wait for so many seconds."""
        self._pool.close(patience)

    def _soon(self) -> None:
        assert self._loop is not None, "the loop runs before anybody is served"
        self._loop.call_soon_threadsafe(self._ask)

    def _ask(self) -> None:
        if self._asking:
            self._again = True
            return
        self._asking, self._again = True, False
        self._pool.run(_settle).add_done_callback(self._done)

    def _done(self, future: asyncio.Future[None]) -> None:
        self._asking = False
        # The queue keeps what failed, and a sweep reports it.
        if not future.cancelled():
            future.exception()
        if self._again:
            self._ask()


def _settle(seat: Seat) -> None:
    with seat.authority() as authority:
        authority.perform(Settle(limit=_LIMIT))


class _Watching:
    """Performs operations, and starts a pass after those that leave revocations which no caller will settle."""

    def __init__(self, within: Authority, caller: Caller, soon: Callable[[], None]) -> None:
        self._within = within
        self._caller = caller
        self._soon = soon

    def perform(self, operation: Operation[Result]) -> Result:
        """Perform an operation and return its answer. Raises as that does."""
        answer = self._within.perform(operation)
        ended = getattr(answer, "ended", answer)
        unasked = self._caller.agent is not None or isinstance(operation, RevokeToken)
        if unasked and isinstance(ended, Ended) and ended.unsettled:
            self._soon()
        return answer

    def close(self) -> None:
        """Release what the other one holds."""
        self._within.close()
