"""The processes of a service: the supervisor starts, restarts and stops the workers, and each has an event loop."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from email.utils import formatdate
from importlib import import_module
from time import monotonic
from types import FrameType
from typing import TYPE_CHECKING

import uvloop

from jitid.errors import JitidError
from jitid.server import app
from jitid.server.http_protocol import BoundedProtocol, ServerState
from jitid.server.listen import Listener, load_certificate
from jitid.server.metrics import Metrics
from jitid.server.native import operation_paths
from jitid.server.service import Service

if TYPE_CHECKING:
    from jitid.server.metrics import Peer
    from jitid.server.service_limits import StartPlan


def notify(state: str) -> None:
    """Send a state, such as `READY=1`, to the service manager, if it has set NOTIFY_SOCKET."""
    socket_name = os.environ.get("NOTIFY_SOCKET", "")
    if socket_name[:1] not in ("/", "@"):
        return
    address = f"\0{socket_name[1:]}" if socket_name.startswith("@") else socket_name
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.connect(address)
        sender.sendall(state.encode())


_ENDING = (signal.SIGTERM, signal.SIGINT)
_HEARD = (*_ENDING, signal.SIGHUP)
_YOUNG = 5.0
"""Seconds: if a worker ends earlier, it has a problem, and its replacement starts later."""
_LONGEST_PAUSE = 5.0
_MOST_TRIES = 3
_MADE_BETWEEN_LOOKS = 50_000
"""Garbage collector threshold: allocations minus deallocations before a collection."""
_GRACE = 5.0
"""Seconds for a worker to exit after its last request."""
_START = 120.0
"""Seconds for a worker to be ready."""
_LOOK = 1.0
"""Seconds between two checks for silent workers."""
_READY, _BEAT = b"1", b"."
"""Messages of a worker: once when it is ready, and regularly while its event loop runs."""


class _SupervisedWorker:
    """A worker process as the supervisor sees it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.pid = 0
        self.pipe = -1
        """The worker reports here that it is ready and not hung; end of file means that it has exited."""
        self.heard_at = 0.0
        """Time of its last message, in seconds of the monotonic clock."""
        self.since = 0.0
        self.start_at = 0.0
        """Time of its next start, in seconds of the monotonic clock."""
        self.ready = False
        self.failures = 0

    def reap(self) -> tuple[int, int]:
        """Wait for its exit, and return its process id and status."""
        ended = os.waitpid(self.pid, 0)
        os.close(self.pipe)
        self.pid, self.pipe = 0, -1
        return ended


class Supervisor:
    """The supervisor keeps the configured number of workers running until a signal stops it."""

    def __init__(self, plan: StartPlan, metrics: Metrics, on_ready: Callable[[], None]) -> None:
        """`on_ready` is called once, when all workers are ready."""
        self._plan = plan
        self._metrics = metrics
        self._on_ready = on_ready
        self._workers = [_SupervisedWorker(number) for number in range(plan.workers)]
        self._life = os.pipe()
        self._ended_by: int | None = None
        self._started = False
        self._looked_at = monotonic()

    def run(self) -> int:
        """Serve until a signal; return 0 after all requests have finished, 128 plus the signal if some were cut.

        Raises:
            JitidError: a worker repeatedly exits before it is ready.

        """
        signals, wakeup = os.pipe()
        for descriptor in (signals, wakeup):
            os.set_blocking(descriptor, False)
        old_handlers = {signal_number: signal.signal(signal_number, _heard) for signal_number in _HEARD}
        old_wakeup = signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        try:
            return self._watch(signals)
        finally:
            self._kill()
            signal.set_wakeup_fd(old_wakeup)
            for signal_number, handler in old_handlers.items():
                signal.signal(signal_number, handler)
            for descriptor in (signals, wakeup, *self._life):
                os.close(descriptor)

    def _watch(self, signals: int) -> int:
        while True:
            now = monotonic()
            for worker in self._workers:
                if not worker.pid and worker.start_at <= now:
                    self._start(worker, signals)
            pipes = {worker.pipe: worker for worker in self._workers if worker.pid}
            pauses = [worker.start_at - now for worker in self._workers if not worker.pid]
            ready, _, _ = select.select([signals, *pipes], [], [], max(0.0, min([*pauses, _LOOK])))
            for descriptor in ready:
                if descriptor == signals:
                    if self._obey(os.read(signals, 64)):
                        return self._end(signals)
                else:
                    self._hear(pipes[descriptor])
            self._look(monotonic())
            if not self._started and all(worker.ready for worker in self._workers):
                self._started = True
                self._on_ready()
                notify("READY=1")

    def _look(self, now: float) -> None:
        """Kill each worker whose event loop has been silent for too long; it is replaced once it has exited.

        A long request does not silence the event loop: it runs in a thread.
        """
        late, self._looked_at = now - self._looked_at, now
        if late > 2 * _LOOK:
            # The supervisor itself did not run, for example because the machine was suspended: extend all deadlines.
            for worker in self._workers:
                worker.heard_at += late
            return
        for worker in self._workers:
            silent = now - worker.heard_at
            if worker.pid and silent > (self._plan.limits.hung if worker.ready else _START):
                self._plan.log.write("worker hung", "error", worker=worker.pid, seconds=round(silent))
                _send(worker, signal.SIGKILL)
                # Its exit may take a moment.
                worker.heard_at = now

    def _obey(self, signal_numbers: bytes) -> bool:
        """Handle signals; return whether one of them stops the service."""
        for signal_number in signal_numbers:
            if signal_number in _ENDING:
                self._ended_by = signal_number
                return True
            for worker in self._workers:
                _send(worker, signal_number)
        return False

    def _start(self, worker: _SupervisedWorker, signals: int) -> None:
        read_end, write_end = os.pipe()
        # Until the child resets its handlers, it would report its signals to the supervisor's pipe.
        signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
        try:
            pid = os.fork()
            if pid == 0:
                os.close(read_end)
                os.close(signals)
                os.close(self._life[1])
                self._run_as_worker(worker.number, write_end)
            os.close(write_end)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)
        worker.pid, worker.pipe, worker.ready = pid, read_end, False
        worker.since = worker.heard_at = monotonic()
        self._metrics.count("restarts")

    def _run_as_worker(self, worker_number: int, write_end: int) -> None:
        """Run as a worker; never returns."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            # A terminal sends SIGINT to the whole process group; the supervisor stops its workers itself.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)
            gc.freeze()
            # Reference counts free the objects of a request, so frequent collections of cycles are not needed.
            gc.set_threshold(_MADE_BETWEEN_LOOKS, 10, 10)
            gc.enable()

            self._metrics.take_part(worker_number)
            # A stopped supervisor must not block its workers.
            os.set_blocking(write_end, False)
            run(
                self._plan,
                self._metrics,
                lambda: _report(write_end, _READY),
                lambda: _report(write_end, _BEAT),
                self._life[0],
            )
            status = 0
        except BaseException as error:  # noqa: BLE001 - the process ends here, and no other code reports the error
            self._plan.log.write("worker failed", "error", error=type(error).__name__)
        finally:
            os._exit(status)

    def _hear(self, worker: _SupervisedWorker) -> None:
        data = os.read(worker.pipe, 4096)
        if data:
            worker.ready = worker.ready or _READY in data
            worker.heard_at = monotonic()
            return
        pid, status = worker.reap()
        uptime = monotonic() - worker.since
        worker.failures = worker.failures + 1 if uptime < _YOUNG else 1
        self._plan.log.write("worker ended", "error", worker=pid, status=os.waitstatus_to_exitcode(status))
        if not self._started and worker.failures >= _MOST_TRIES:
            raise JitidError("the workers of the service stop before they are ready; this is a bug")
        pause = 0.0 if worker.failures == 1 else min(_LONGEST_PAUSE, 0.25 * 2**worker.failures)
        worker.start_at = monotonic() + pause

    def _end(self, signals: int) -> int:
        notify("STOPPING=1")
        # New clients are refused, instead of waiting for an answer that no worker sends.
        for listening in (*self._plan.tcp, *filter(None, (self._plan.unix,))):
            listening.close()
        for worker in self._workers:
            _send(worker, signal.SIGTERM)
        # Twice: for requests in progress, and for threads that still use the ledger.
        deadline = monotonic() + 2 * self._plan.limits.stop + _GRACE
        while any(worker.pid for worker in self._workers):
            pipes = {worker.pipe: worker for worker in self._workers if worker.pid}
            ready, _, _ = select.select([signals, *pipes], [], [], max(0.0, deadline - monotonic()))
            for descriptor in ready:
                if descriptor != signals:
                    if not os.read(descriptor, 4096):
                        pipes[descriptor].reap()
                elif any(signal_number in _ENDING for signal_number in os.read(signals, 64)):
                    self._kill()
                    assert self._ended_by is not None
                    return 128 + self._ended_by
            if not ready:
                self._plan.log.write("requests were cut", "error")
                self._kill()
        return 0

    def _kill(self) -> None:
        for worker in self._workers:
            if worker.pid:
                _send(worker, signal.SIGKILL)
                worker.reap()


def _heard(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: Python writes the number of the signal to the wakeup pipe."""


def _report(pipe: int, message: bytes) -> None:
    # The supervisor may be gone, which the worker notices through `life`.
    with suppress(BlockingIOError, BrokenPipeError):
        os.write(pipe, message)


def _send(worker: _SupervisedWorker, signal_number: int) -> None:
    if worker.pid:
        with suppress(ProcessLookupError):
            os.kill(worker.pid, signal_number)


_TICK = 0.5
"""Seconds between two checks for overdue connections."""
_SWITCH = 0.001
"""Seconds before a computing thread must yield: the event loop must not wait long."""
_NEEDED = (
    "jitid.capabilities.access.perform",
    "jitid.capabilities.issue.token_perform",
    "jitid.capabilities.use.perform",
    "jitid.capabilities.identity.validity",
    "jitid.capabilities.identity.perform",
    "jitid.capabilities.issue.issuance",
    "jitid.capabilities.issue.perform",
    "jitid.policy.evaluate",
    "jitid.capabilities.issue.renewal",
    "jitid.capabilities.identity.revocation",
    "jitid.issuers.jwt",
    "jwt.algorithms",
)
"""Modules for most requests. Loaded before the workers are forked, they are shared, and no request waits for them."""


def preload() -> None:
    """Load the modules that the workers need."""
    for name in _NEEDED:
        import_module(name)


def route_paths(plan: StartPlan) -> list[str]:
    """Return the templates of all paths, which are labels of the counters."""
    probe = Service(plan.config, plan.names, plan.base_url, plan.limits, Metrics(()))
    return [*(str(getattr(route, "path", "")) for route in app.routes(probe)), *operation_paths()]


def run(
    plan: StartPlan, metrics: Metrics, ready: Callable[[], None], beat: Callable[[], None], life: int
) -> None:
    """Serve until SIGTERM, or until the descriptor `life` shows that the supervisor has exited.

    `ready` is called once the worker listens; `beat` is called with every check for overdue connections.
    """
    # The warnings of asyncio quote input of clients.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    sys.setswitchinterval(_SWITCH)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_WorkerProcess(plan, metrics, beat).serve(ready, life))


class _WorkerProcess:
    def __init__(self, plan: StartPlan, metrics: Metrics, beat: Callable[[], None]) -> None:
        self._plan = plan
        self._beat = beat
        self._metrics = metrics
        self._state: ServerState
        self._stopping = asyncio.Event()

    async def serve(self, ready: Callable[[], None], life: int) -> None:
        """Serve, from the first connection to the last."""
        plan = self._plan
        socket = None if plan.unix is None else str(plan.unix.getsockname())
        service = Service(
            plan.config, plan.names, plan.base_url, plan.limits, self._metrics, plan.log, socket
        )
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        loop.add_reader(life, self._stopping.set)
        self._state = state = ServerState(app.App(service, app.routes(service), plan.log))

        def make(peer: Peer | None, lost: Callable[[], None]) -> BoundedProtocol:
            return BoundedProtocol(state, plan.limits, self._metrics, peer, lost)

        context = plan.tls.context if plan.tls else None
        listeners = [Listener(listening, context, plan.limits, self._metrics, make) for listening in plan.tcp]
        if plan.unix is not None:
            listeners.append(Listener(plan.unix, None, plan.limits, self._metrics, make))
        self._date()
        ticking = asyncio.create_task(self._tick(service))
        ready()
        await self._stopping.wait()
        for listener in listeners:
            listener.close()
        await self._finish()
        ticking.cancel()
        await asyncio.to_thread(service.close, plan.limits.stop)

    async def _tick(self, service: Service) -> None:
        recording: asyncio.Task[None] | None = None
        while True:
            await asyncio.sleep(_TICK)
            self._beat()
            self._date()
            now = monotonic()
            for connection in list(self._state.connections):
                connection.end_if_late(now)
            if recording is None or recording.done():
                recording = asyncio.create_task(service.record_counts())

    def _date(self) -> None:
        now = formatdate(time.time(), usegmt=True).encode()
        self._state.default_headers = b"date: %b\r\nx-content-type-options: nosniff\r\n" % now

    async def _finish(self) -> None:
        """Let requests in progress finish within the time limit; then cut them."""
        deadline = monotonic() + self._plan.limits.stop
        while self._state.connections and monotonic() < deadline:
            for connection in list(self._state.connections):
                connection.shutdown()
            await asyncio.sleep(0.02)
        for connection in list(self._state.connections):
            connection.abort()
        for task in list(self._state.tasks):
            task.cancel()
        if self._state.tasks:
            await asyncio.wait(self._state.tasks, timeout=1.0)

    def _reload(self) -> None:
        tls = self._plan.tls
        if tls is None:
            return
        try:
            load_certificate(tls.context, tls.certificate, tls.key)
        except JitidError as error:
            self._plan.log.write("certificate", "error", error=error.message)
        else:
            self._plan.log.write("certificate", message="reloaded")
