"""Whether the service lives, whether it can answer, and what it counted; nobody needs a credential for these."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from jitid.errors import JitidError
from jitid.server.answers import dumps

if TYPE_CHECKING:
    from starlette.requests import Request

    from jitid.server.service import Service

_PATIENCE = 3.0
"""Seconds that the ledger has for an answer before it counts as away."""
_FRESH = 1.0
"""Seconds for which one look at the ledger does for all who ask."""


def routes(service: Service) -> list[BaseRoute]:
    """Return the routes of health and metrics."""
    looking = _Looking(service)

    async def healthz(_request: Request) -> Response:
        return PlainTextResponse("ok\n", headers={"cache-control": "no-store"})

    async def readyz(_request: Request) -> Response:
        error = await looking.error()
        document = {"ready": error is None, "error": None if error is None else error.code}
        return Response(
            dumps(document),
            200 if error is None else 503,
            {"cache-control": "no-store"} | ({} if error is None else {"retry-after": "1"}),
            "application/json",
        )

    async def metrics(_request: Request) -> Response:
        up = await looking.error() is None
        return Response(
            service.metrics.text(ledger_up=up),
            headers={"cache-control": "no-store"},
            media_type="text/plain; version=0.0.4",
        )

    return [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]


class _Looking:
    """Looks at the ledger, no oftener than is worth it."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._error: JitidError | None = None
        self._until = 0.0
        self._turn = asyncio.Lock()

    async def error(self) -> JitidError | None:
        """Return why the ledger cannot be used now; None if it can."""
        async with self._turn:
            if monotonic() >= self._until:
                try:
                    await self._service.ready(_PATIENCE)
                except JitidError as error:
                    self._error = error
                else:
                    self._error = None
                self._until = monotonic() + _FRESH
        return self._error
