"""What the service is started with: everything that its workers have in common."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from jitid.config.effective import Config
    from jitid.model.ledger_rows import Names
    from jitid.server.request_log import Log
    from jitid.server.service_limits import ServiceLimits


class StartPlan(NamedTuple):
    """Sockets that listen already, a ledger that was there, and how much is taken."""

    config: Config
    names: Names
    base_url: str
    tcp: tuple[socket.socket, ...]
    unix: socket.socket | None
    tls: Tls | None
    workers: int
    limits: ServiceLimits
    log: Log


class Tls(NamedTuple):
    """The certificate of the service; read anew from its files when told so."""

    context: ssl.SSLContext
    certificate: str
    key: str
