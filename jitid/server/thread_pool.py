"""A thread pool for work that waits for the ledger, so that the event loop never blocks."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

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
