"""The routes of the service's own application."""

from __future__ import annotations

from typing import cast

from starlette.routing import Route

from jitid.config.effective import load
from jitid.model.ledger_rows import Names
from jitid.server import app
from jitid.server.metrics import Metrics
from jitid.server.service import Service
from jitid.server.service_limits import ServiceLimits

_NAMES = Names("00000000-0000-0000-0000-000000000000", "https://id.example", "jitid.local")


def table() -> list[tuple[str, frozenset[str]]]:
    """Return a path of each route, with its methods."""
    return [_row(cast("Route", route)) for route in app.routes(service())]


def service() -> Service:
    """Return a service that has no ledger."""
    return Service(load(environ={}), _NAMES, "https://id.example", ServiceLimits(), Metrics(()))


def _row(route: Route) -> tuple[str, frozenset[str]]:
    path = route.path.replace("{name}", "Verify").replace("/{path:path}", "/x").replace("{path:path}", "/x")
    assert "{" not in path, path
    return path, frozenset(route.methods or ())
