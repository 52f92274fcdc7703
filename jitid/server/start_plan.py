"""The parameters of a service start, which all its workers share."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from jitid.config.effective import Config
    from jitid.model.ledger_rows import Names
    from jitid.server.request_record import Log
    from jitid.server.service_limits import ServiceLimits


class StartPlan(NamedTuple):
    """Listening sockets, an existing ledger, and the limits."""

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
    """The certificate of the service; SIGHUP makes the workers read its files again."""

    context: ssl.SSLContext
    certificate: str
    key: str
