"""A thread pool for work that waits for the ledger, so that the event loop never blocks.

Each thread has an authority over the shared ledger; read-only requests are done in batches.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from jitid.authority.open_local import open_local, policy_mark, watch
from jitid.errors import DamagedError, DiskError, IntegrityError, JitidError, StorageError
from jitid.server.oauth_form import OAuthError

if TYPE_CHECKING:
    from jitid.authority.local import LocalAuthority
    from jitid.authority.served import ReadTally
    from jitid.config.effective import Config


Answer = TypeVar("Answer")


class ThreadPlace(Protocol):
    """A resource of one thread, such as a connection."""

    def close(self) -> None:
        """Release the resource; called by its thread."""


Own = TypeVar("Own", bound=ThreadPlace)

_Job = tuple[Callable[[Any], Any], "asyncio.Future[Any]"]


class Pool(Generic[Own]):
    """A pool of at most `max_threads` threads, each with its own resource, started on demand.

    It belongs to one event loop: only the thread of that loop may call it.
    """

    def __init__(self, max_threads: int, name: str, make: Callable[[], Own]) -> None:
        self._most = max_threads
        self._name = name
        self._make = make
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self.busy = 0
        """Number of unfinished jobs."""

    def run(self, job: Callable[[Own], Answer]) -> asyncio.Future[Answer]:
        """Run a job in a thread. A job is skipped if its future is cancelled before it begins."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.busy += 1
        if self.busy > len(self._threads) and len(self._threads) < self._most:
            # A daemon: a thread that hangs on storage must not keep the process from exiting.
            thread = threading.Thread(
                target=self._work, args=(future.get_loop(),), name=self._name, daemon=True
            )
            self._threads.append(thread)
            thread.start()
        self._jobs.put((job, future))
        return future

    def close(self, patience: float) -> None:
        """Stop the threads after their current jobs; wait at most `patience` seconds in total."""
        from time import monotonic

        for _ in self._threads:
            self._jobs.put(None)
        deadline = monotonic() + patience
        for thread in self._threads:
            thread.join(max(0.0, deadline - monotonic()))

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        resource = self._make()
        try:
            while (job := self._jobs.get()) is not None:
                work, future = job
                answer, error = None, None
                if not future.cancelled():
                    try:
                        answer = work(resource)
                    except BaseException as raised:  # noqa: BLE001 - the waiting caller gets the error
                        error = raised
                try:
                    loop.call_soon_threadsafe(self._finish, future, answer, error)
                except RuntimeError:
                    return  # the loop is closed: no caller waits any more
                del job, work, future, answer, error
        finally:
            resource.close()

    def _finish(self, future: asyncio.Future[Any], answer: object, error: BaseException | None) -> None:
        self.busy -= 1
        if future.cancelled():
            return
        if error is None:
            future.set_result(answer)
        elif isinstance(error, StopIteration):
            future.set_exception(RuntimeError("a job ended with StopIteration"))
        else:
            future.set_exception(error)


_LOOK = 0.2
"""Maximum seconds until a replaced ledger or a changed policy is noticed."""


class Seat:
    """An authority that opens at its first use, and again after the ledger or the policy has changed."""

    def __init__(
        self,
        config: Config,
        addresses: tuple[str, ...],
        patience: float,
        tally: ReadTally,
        report: Callable[[str], None],
    ) -> None:
        """Store the parts that all seats share.

        `addresses` are those of the service for clients. `patience` is the maximum seconds to wait for other
        writers. `tally` has the counts of all seats. `report` receives the reason if the ledger is unavailable.
        """
        self._tally = tally
        self._report = report
        self._config = config
        self._addresses = addresses
        self._patience = patience
        self._authority: LocalAuthority | None = None
        self._check: Callable[[], None] | None = None
        self._mark: object = None
        self._look_at = 0.0

    @contextmanager
    def authority(self) -> Iterator[LocalAuthority]:
        """Yield an authority over the current ledger under the current policy.

        Raises:
            StorageError: the ledger is unavailable.
            IntegrityError: the ledger is damaged, or open to others.

        """
        try:
            yield self._current()
        except JitidError as error:
            if isinstance(error, (DamagedError, DiskError)):
                self.close()
            if error.inward:
                self._report(error.message)
                raise StorageError(
                    "the authority cannot reach its ledger; nothing was changed",
                    "try again; the log of the authority has the reason for its operator",
                ) from error
            raise
        except OAuthError:
            # An invalid request of a client does not concern the ledger.
            raise
        except BaseException:
            # After a bug the state is unknown, so the next request opens a new authority.
            self.close()
            raise

    def close(self) -> None:
        """Release the ledger."""
        authority, self._authority = self._authority, None
        if authority is not None:
            # An error from closing a broken connection does not concern any request.
            with suppress(Exception):
                authority.close()

    def _current(self) -> LocalAuthority:
        now = monotonic()
        if self._authority is not None:
            if now < self._look_at:
                return self._authority
            try:
                if self._check is not None:
                    self._check()
            except JitidError:
                # The ledger may have been replaced by an intact one; opening it reports any error.
                self.close()
        mark = policy_mark(self._config)
        if self._authority is None or mark != self._mark:
            self.close()
            self._authority = open_local(self._config, patience=self._patience)
            self._authority.tally = self._tally
            self._authority.places = self._addresses
            self._check = watch(self._config)
            self._mark = mark
        self._look_at = now + _LOOK
        return self._authority


T = TypeVar("T")

_BatchedJob = tuple[Callable[["LocalAuthority"], Any], "asyncio.Future[Any]"]

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
        self._waiting: deque[_BatchedJob] = deque()
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
        self,
        jobs: list[_BatchedJob],
        answers: list[tuple[Any, BaseException | None]],
        error: BaseException | None,
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


def _do(seat: Seat, jobs: list[_BatchedJob], answers: list[tuple[Any, BaseException | None]]) -> None:
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
