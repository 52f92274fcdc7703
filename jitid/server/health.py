"""Liveness, readiness and metrics of the service; these need no credential."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from jitid.errors import JitidError
from jitid.server.answers import dumps
from jitid.values.record import Record

if TYPE_CHECKING:
    from starlette.requests import Request

    from jitid.server.service import Service

_PATIENCE = 3.0
"""Seconds to wait for the ledger before it counts as unavailable."""
_FRESH = 1.0
"""Seconds for which one check of the ledger serves all requests."""


def routes(service: Service) -> list[BaseRoute]:
    """Return the routes of health and metrics."""
    looker = _Looker(service)

    async def healthz(_request: Request) -> Response:
        return PlainTextResponse("ok\n", headers={"cache-control": "no-store"})

    async def readyz(_request: Request) -> Response:
        condition = await looker.found()
        error = condition.away or condition.hindered
        document = {
            "ready": condition.away is None,
            # A service that cannot issue can still verify, revoke and report, so it stays ready.
            "issues": error is None,
            "error": None if error is None else error.code,
        }
        return Response(
            dumps(document),
            200 if condition.away is None else 503,
            {"cache-control": "no-store"} | ({} if condition.away is None else {"retry-after": "1"}),
            "application/json",
        )

    async def metrics(_request: Request) -> Response:
        condition = await looker.found()
        return Response(
            service.metrics.text(
                ledger_up=condition.away is None, issues=condition.away is None and condition.hindered is None
            ),
            headers={"cache-control": "no-store"},
            media_type="text/plain; version=0.0.4",
        )

    return [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]


class _Condition(Record):
    """The condition at the last check."""

    away: JitidError | None
    """The error if the ledger cannot be used; None if it can."""
    hindered: JitidError | None
    """The error if the ledger is available, but the service cannot issue; None if it can."""


class _Looker:
    """A check of the ledger, at most once per `_FRESH` seconds."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._found = _Condition(None, None)
        self._until = 0.0
        self._turn = asyncio.Lock()

    async def found(self) -> _Condition:
        """Return the current condition, at most `_FRESH` seconds old."""
        async with self._turn:
            if monotonic() >= self._until:
                try:
                    self._found = _Condition(None, await self._service.ready(_PATIENCE))
                except JitidError as error:
                    self._found = _Condition(error, None)
                self._until = monotonic() + _FRESH
        return self._found
