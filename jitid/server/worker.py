"""One worker process: its event loop, from the first connection to the last."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from collections.abc import Callable
from email.utils import formatdate
from importlib import import_module
from time import monotonic
from typing import TYPE_CHECKING

import uvloop

from jitid.errors import JitidError
from jitid.server import app
from jitid.server.accept import Listener
from jitid.server.http_protocol import BoundedProtocol, ServerState, cut_late
from jitid.server.listen import load_certificate
from jitid.server.metrics import Metrics
from jitid.server.native import operation_paths
from jitid.server.service import Service

if TYPE_CHECKING:
    from jitid.server.request_record import Peer
    from jitid.server.service_limits import StartPlan

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
        service = Service(plan.config, plan.names, plan.base_url, plan.limits, self._metrics, plan.log)
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
            cut_late(self._state.connections, monotonic())
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
            self._plan.log.write("certificate", message="read anew")
