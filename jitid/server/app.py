"""The ASGI application: combines the routes, limits concurrent requests, and turns errors into answers."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from inspect import iscoroutinefunction
from time import perf_counter
from typing import TYPE_CHECKING, Any

from starlette.datastructures import State
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route

from jitid.errors import JitidError
from jitid.server import authzen, discovery, forward_auth, native, oauth, protected_resource
from jitid.server.answers import LimitedError, RequestError, answer_error
from jitid.server.metrics import KEY, RequestRecord, trace_id, traceparent
from jitid.server.service_limits import RequestPace

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

    from jitid.server.metrics import Log
    from jitid.server.service import Service

Endpoint = Callable[[Request], Awaitable[Response]]

_CLIENT_LEFT = 499
"""The status that nginx logs for a client that disconnected; never sent as an answer."""
_OPEN = frozenset(
    (
        "/readyz",
        "/metrics",
        "/v1/openapi.json",
        discovery.KEYS,
        *discovery.METADATA,
        "/.well-known/authzen-configuration",
        protected_resource.ROUTE,
        "/status/{name}",
        discovery.PLACE,
    )
)
"""Routes that need no credential and are costly."""
_OPEN_RATE = 200.0
"""Requests per second to these routes from one address."""
_BUGS_RATE, _BUGS_AT_ONCE = 0.1, 5.0
"""Limits of log lines about one bug, per second and at once: a client that provokes it must not fill the log."""


def routes(service: Service) -> list[BaseRoute]:
    """Return all routes of the service."""
    return [
        *discovery.health_routes(service),
        *native.routes(service),
        *discovery.routes(service),
        *discovery.status_list_routes(service),
        *oauth.routes(service),
        *authzen.routes(service),
        *forward_auth.routes(service),
        *protected_resource.routes(service),
        *discovery.token_status_routes(service),
    ]


class App:
    """The ASGI application. It has no middleware: work for every request is done here, once."""

    def __init__(self, service: Service, table: Sequence[BaseRoute], log: Log) -> None:
        self.state = State({"service": service})
        """Like in Starlette's own applications: `request.app.state.service`."""
        # Functions are called directly: this class does the work of Starlette's wrappers.
        self._direct: dict[int, Endpoint] = {}
        self._exact: dict[str, list[Route]] = {}
        self._others: list[Route] = []
        for route in table:
            assert isinstance(route, Route)
            if iscoroutinefunction(route.endpoint):
                self._direct[id(route)] = route.endpoint
            if "{" in route.path:
                self._others.append(route)
            else:
                self._exact.setdefault(route.path, []).append(route)
        self._metrics = service.metrics
        self._most = service.limits.requests
        self._log = log
        self._working = 0
        self._pace = RequestPace(_OPEN_RATE, 2 * _OPEN_RATE)
        self._bugs = RequestPace(_BUGS_RATE, _BUGS_AT_ONCE)
        self._unlogged: Counter[str] = Counter()
        """Number of occurrences of each bug since its last log line, by place."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = scope["headers"]
        trace_header = next((value for name, value in headers if name == b"traceparent"), None)
        record = scope[KEY] = RequestRecord(traceparent(trace_header), scope.get("peer"))
        scope["app"] = self
        # The raw path: each path has one spelling here, and a proxy in front has checked exactly this spelling.
        scope["path"] = scope["raw_path"].decode("ascii")

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
            await send(message)

        self._working += 1
        self._metrics.set("in_work", self._working)
        try:
            await self._serve(scope, receive, noting, record)
        finally:
            self._working -= 1
            self._metrics.set("in_work", self._working)
            self._record_request(scope, record)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, record: RequestRecord) -> None:
        try:
            route = self._route(scope)
            record.route = route.path
            if self._working > self._most and route.path != "/healthz":
                raise LimitedError(
                    "too many requests are in progress here; nothing was done", "try again soon"
                )
            if route.path in _OPEN:
                self._keep_pace(scope)
            endpoint = self._direct.get(id(route))
            if endpoint is None:
                await route.app(scope, receive, send)
            else:
                response = await endpoint(Request(scope, receive, send))
                await response(scope, receive, send)
        except ClientDisconnect:
            record.status = _CLIENT_LEFT
        except (JitidError, HTTPException) as error:
            await self._refuse(send, record, _as_jitid_error(error))
        except Exception as error:  # noqa: BLE001 - the boundary: the client gets an answer, the log the place
            self._log_bug(error, record)
            bug = JitidError(f"internal error: {type(error).__name__}; this is a bug")
            bug.code = "internal"
            await self._refuse(send, record, bug)

    def _log_bug(self, error: Exception, record: RequestRecord) -> None:
        """Log the place of an internal error: at first each occurrence, then some, with the number in between."""
        last_frames = traceback.extract_tb(error.__traceback__)[-1:]
        position = (
            f"{last_frames[0].filename.rpartition('/')[2]}:{last_frames[0].lineno}" if last_frames else ""
        )
        if self._bugs.take(position):
            self._unlogged[position] += 1
            return
        # The message of a foreign exception may quote its input, so only its type is logged.
        self._log.write(
            "bug",
            "error",
            error=type(error).__name__,
            at=position or None,
            route=record.route,
            trace=trace_id(record.trace),
            untold=self._unlogged.pop(position, 0),
        )

    def _keep_pace(self, scope: Scope) -> None:
        """Limit requests without a credential, by client address. Raises LimitedError."""
        self._pace.keep(
            scope["client"][0] if scope["client"] else "",
            "too many requests without a credential from this address; nothing was done",
        )

    async def _refuse(self, send: Send, record: RequestRecord, error: JitidError) -> None:
        record.error = error.code
        if isinstance(error, LimitedError):
            self._metrics.count("limited")
        if record.status:
            # The answer has begun: with a normal end it would look complete.
            raise AbortedError
        await answer_error(send, error)

    def _route(self, scope: Scope) -> Route:
        """Return the route of a request. Raises RequestError if there is none (RFC 9110, sections 15.5.5 and 6)."""
        allowed: set[str] = set()
        for route, match in self._matches(scope):
            if match is Match.FULL:
                return route
            allowed |= route.methods or set()
        if allowed:
            raise RequestError(
                405,
                "this path does not have this method",
                f"allowed: {', '.join(sorted(allowed))}",
                [(b"allow", ", ".join(sorted(allowed)).encode())],
            )
        raise RequestError(404, "unknown path", "see /v1/openapi.json")

    def _matches(self, scope: Scope) -> Iterator[tuple[Route, Match]]:
        exact_routes = self._exact.get(scope["path"])
        if exact_routes is not None:
            for route in exact_routes:
                full = not route.methods or scope["method"] in route.methods
                yield route, Match.FULL if full else Match.PARTIAL
            return
        for route in self._others:
            match, child_scope = route.matches(scope)
            if match is Match.FULL:
                scope.update(child_scope)
            if match is not Match.NONE:
                yield route, match

    def _record_request(self, scope: Scope, record: RequestRecord) -> None:
        seconds = perf_counter() - record.began
        self._metrics.observe(record.route, record.status, seconds)
        if not self._log.requests:
            return
        facts: dict[str, Any] = {
            "method": scope["method"],
            "route": record.route,
            "status": record.status,
            "ms": round(seconds * 1000, 1),
            "caller": record.caller,
            "client": scope["client"][0] if scope["client"] else None,
            "trace": trace_id(record.trace),
        }
        if record.peer is not None:
            facts["uid"] = record.peer.uid
        if record.error is not None:
            facts["error"] = record.error
        self._log.write("request", **facts)


class AbortedError(Exception):
    """A started answer could not be completed; the connection is closed."""


def _as_jitid_error(error: JitidError | HTTPException) -> JitidError:
    if isinstance(error, JitidError):
        return error
    headers = [(name.lower().encode(), value.encode()) for name, value in (error.headers or {}).items()]
    return RequestError(error.status_code, error.detail.lower(), headers=headers)
