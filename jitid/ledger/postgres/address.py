"""Addresses of ledgers in PostgreSQL: their parameters, jitid's additions, and display without passwords."""

from __future__ import annotations

import os
import re
from typing import Any

from jitid.errors import ConfigurationError
from jitid.ledger.postgres.options import Options
from jitid.ledger.postgres.schema import SCHEMA
from jitid.values.text import safe

SCHEMES = ("postgresql://", "postgres://")

_PASSWORD = re.compile(r"(?<=://)([^/?#@]*?):[^/?#]*@")
_SECRET = re.compile(r"(?<=[?&])(password|sslpassword|passfile|oauth_client_secret)=[^&#]*", re.IGNORECASE)


def is_address(text: str) -> bool:
    """Return whether a text is the address of a ledger in PostgreSQL."""
    return text.startswith(SCHEMES)


def shown(address: str) -> str:
    """Return an address without its passwords, for display."""
    return safe(_SECRET.sub(r"\1=****", _PASSWORD.sub(r"\1:****@", address)))


def parameters(address: str, timeout: float) -> dict[str, Any]:
    """Return libpq's parameters for an address (PostgreSQL manual, section 34.1.2).

    `timeout`, in seconds, limits each attempt to connect, and the wait for a server that does not answer any more.

    Raises:
        ConfigurationError: the address is invalid.

    """
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        connection_info = conninfo_to_dict(address)
    except ProgrammingError as error:
        # libpq's message may repeat a part of the address, and that part may be a password.
        raise ConfigurationError(
            f"the address {shown(address)} cannot be used for a ledger",
            "such as postgresql://USER@HOST/DATABASE, or postgresql:///?service=NAME",
        ) from error
    seconds = max(2, round(timeout))
    added = {
        "application_name": "jitid",
        "connect_timeout": seconds,
        "client_encoding": "UTF8",
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": seconds * 1_000,
        "options": _options(str(connection_info.pop("options", os.environ.get("PGOPTIONS", ""))), timeout),
    }
    hosts = str(connection_info.get("host", "") or os.environ.get("PGHOST", ""))
    if "," in hosts:
        added["target_session_attrs"] = "read-write"
    for name, variable in (
        ("application_name", "PGAPPNAME"),
        ("connect_timeout", "PGCONNECT_TIMEOUT"),
        ("target_session_attrs", "PGTARGETSESSIONATTRS"),
    ):
        if os.environ.get(variable):
            added.pop(name, None)
    return {**added, **connection_info}


def _options(options: str, timeout: float) -> str:
    """Return the settings of a session: the given settings, and jitid's settings for other names."""
    defaults = {
        "search_path": SCHEMA,
        "lock_timeout": f"{max(1, round(timeout * 1_000))}ms",
        # A process that hangs while it holds a chain would prevent all others from revoking.
        "idle_in_transaction_session_timeout": f"{max(10_000, round(timeout * 1_000))}ms",
        # jitid reads a streamed query to its end.
        "cursor_tuple_fraction": "1.0",
        "client_min_messages": "warning",
        "jit": "off",
        # Only queries over a whole fleet use that much.
        "work_mem": "64MB",
    }
    settings = Options.parse(options).settings
    added = [f"-c {name}={value}" for name, value in defaults.items() if name not in settings]
    return " ".join([*added, options]).strip()
