"""Batches of read-only requests: several share one job of a thread and one view of the ledger."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from jitid.errors import IntegrityError, JitidError, StorageError
from jitid.server.oauth_form import OAuthError

if TYPE_CHECKING:
    from jitid.authority.local import LocalAuthority
    from jitid.server.thread_pool import Pool, Seat

T = TypeVar("T")

_Job = tuple[Callable[["LocalAuthority"], Any], "asyncio.Future[Any]"]

_MOST = 32
_PATIENCE = 0.02
"""Seconds after which waiting requests get another thread: the running one then waits for the ledger."""


class Together:
    """A batch that collects requests while a thread is busy; one thread then performs all of them.

    Its view is opened after the last request arrived, so no answer is older than its request. It belongs to one event
    loop.
    """

    def __init__(self, pool: Pool[Seat]) -> None:
        self._pool = pool
        self._waiting: deque[_Job] = deque()
        self._running = 0
        self._timer: asyncio.TimerHandle | None = None

    def run(self, work: Callable[[LocalAuthority], T]) -> asyncio.Future[T]:
        """Run read-only work in a thread. The future raises the errors of the work."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.append((work, future))
        if not self._running:
            self._start()
        elif self._timer is None:
            self._timer = loop.call_later(_PATIENCE, self._start)
        return future

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        jobs = [self._waiting.popleft() for _ in range(min(_MOST, len(self._waiting)))]
        if not jobs:
            return
        self._running += 1
        answers: list[tuple[Any, BaseException | None]] = []
        self._pool.run(lambda seat: _do(seat, jobs, answers)).add_done_callback(
            lambda future: self._finish(jobs, answers, future.exception())
        )
        if self._waiting:
            self._timer = asyncio.get_running_loop().call_later(_PATIENCE, self._start)

    def _finish(
        self, jobs: list[_Job], answers: list[tuple[Any, BaseException | None]], error: BaseException | None
    ) -> None:
        self._running -= 1
        if isinstance(error, StorageError):
            # If storage is unavailable for one request, it is for all of them.
            answers += [(None, error)] * (len(jobs) - len(answers))
        elif error is not None:
            # The request that caused the error gets it; later requests start again.
            answers.append((None, error))
        for (_, future), (answer, raised) in zip(jobs, answers, strict=False):
            if future.cancelled():
                continue
            if raised is None:
                future.set_result(answer)
            else:
                future.set_exception(raised)
        self._waiting.extendleft(reversed(jobs[len(answers) :]))
        if self._waiting and not self._running:
            self._start()


def _do(seat: Seat, jobs: list[_Job], answers: list[tuple[Any, BaseException | None]]) -> None:
    """Run the work of several requests, and append the outcome of each.

    Raises an error that may mean that the thread's ledger connection is broken; the remaining work is not started.
    """
    with seat.authority() as authority, authority.in_one_view() as view_authority:
        for work, future in jobs:
            answer: Any = None
            error: BaseException | None = None
            if not future.cancelled():
                try:
                    answer = work(view_authority)
                except OAuthError as refusal:
                    error = refusal
                except JitidError as refusal:
                    if refusal.inward or isinstance(refusal, (IntegrityError, StorageError)):
                        raise
                    error = refusal
            answers.append((answer, error))
