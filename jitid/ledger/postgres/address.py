"""Addresses of ledgers in PostgreSQL, and the settings that the ledger relies on in each session or transaction.

A pooler may drop the settings that a client sends when it connects, and may give each transaction another session,
with the settings that another client left there. So jitid checks once whether a session is the client's own and has
the settings. If not, each transaction begins by setting them, and leaves no settings behind.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Self

from jitid.errors import ConfigurationError
from jitid.ledger.postgres.schema import SCHEMA
from jitid.values.record import Record
from jitid.values.text import safe

MARK = "jitid.session"
"""A setting without effect: a session with its value has the other settings too."""
IDENTITY = f"pg_backend_pid(), current_setting('{MARK}', TRUE), current_schema()"
"""The columns of the query that identifies a session."""

_OTHERS = {
    # Another encoding, left by another client, would change the ledger's texts.
    "client_encoding": "UTF8",
    # Literals have no escapes in the ledger's SQL.
    "standard_conforming_strings": "on",
}
"""Defaults of a session that another client may have changed."""
_LEFT = ("role", "synchronous_commit", "statement_timeout", "row_security")
"""Settings of the server that another client may have changed, such as the role and the durability of commits."""
_MODES = ("isolation", "read_only", "deferrable")
"""Modes of a transaction: the session's defaults have no effect on a transaction that has begun."""
_FIRST = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^,\s]*))')


class Options(Record):
    """Settings in the form of libpq's parameter `options`."""

    text: str
    settings: Mapping[str, str]
    others: tuple[str, ...]
    """The arguments that are not settings: a pooler that drops the parameter drops these too."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the settings that the server would read (PostgreSQL manual, section 34.1.2)."""
        settings: dict[str, str] = {}
        others: list[str] = []
        words = iter(_words(text))
        for word in words:
            if word == "-c":
                setting = next(words, "")
            elif word.startswith(("-c", "--")):
                setting = word[2:]
            else:
                others.append(word)
                continue
            name, equals, value = setting.partition("=")
            if equals:
                settings[name.replace("-", "_").lower()] = value
            else:
                others.append(word)
        return cls(text, settings, tuple(others))

    @property
    def schema(self) -> str | None:
        """The schema of the ledger; None if only the server can determine it."""
        match = _FIRST.match(self.settings.get("search_path", ""))
        assert match is not None
        quoted, plain = match.groups()
        name = plain.lower() if quoted is None else quoted.replace('""', '"')
        return None if name in ("", "$user") else str(name)

    def marked(self, mark: str) -> str:
        """Return the options of a new session, with a mark that identifies the session."""
        return f"{self.text} -c {MARK}={mark}"

    def must_be_settable(self) -> None:
        """Raise ConfigurationError for options that a transaction cannot set."""
        if self.others:
            raise ConfigurationError(
                f"the database is behind a connection pooler, which drops the option {self.others[0]}",
                "remove it from the address of the ledger, or name the database server itself",
            )

    def beginning(self, modes: str) -> str:
        """Return statements that begin a transaction with these settings, regardless of the session's settings.

        `modes` are the modes of BEGIN. The last statement returns the first schema of the search path.
        """
        settings = {**_OTHERS, **self.settings}
        statements = [f"BEGIN {modes}"]
        for mode in _MODES:
            value = settings.pop(f"default_transaction_{mode}", None)
            if value is not None and not (mode == "isolation" and modes):
                statements.append(f"SET LOCAL transaction_{mode} TO {_literal(value)}")
        statements += [f"SET LOCAL {name} TO DEFAULT" for name in _LEFT if name not in settings]
        # A temporary table of another client must not hide a table of the ledger with the same name.
        path = settings.pop("search_path", "")
        settings["search_path"] = path if "pg_temp" in path else f"{path}, pg_temp"
        assignments = ", ".join(
            f"set_config({_literal(name)}, {_literal(value)}, TRUE)" for name, value in settings.items()
        )
        return "; ".join([*statements, f"SELECT {assignments}", "SELECT current_schema()"])


def _literal(value: str) -> str:
    # Imported here: an address is also shown if the driver is not installed.
    from psycopg.sql import Literal

    # A text with a backslash gets a form that means the same in each session.
    return Literal(value).as_string()


def _words(text: str) -> list[str]:
    """Return the words of a text in which a backslash escapes the next character."""
    return [re.sub(r"\\(.)", r"\1", word) for word in re.findall(r"(?:\\.|[^\s\\])+", text, re.DOTALL)]


SCHEMES = ("postgresql://", "postgres://")

_PASSWORD = re.compile(r"(?<=://)([^:/@]*):(?!\d{1,5}/[^@?]*\?).*@", re.DOTALL)
"""A password may have any character that is not encoded, so it reaches to the last `@`; a port has a path after it."""
_PARAMETER = re.compile(r"(?<=[?&])([^=&]*)=[^&]*")
_SECRETS = ("password", "sslpassword", "passfile", "oauth_client_secret")


def is_address(text: str) -> bool:
    """Return whether a text is the address of a ledger in PostgreSQL."""
    return text.startswith(SCHEMES)


def shown(address: str) -> str:
    """Return an address without its passwords, for display."""
    return safe(_PARAMETER.sub(_shown_parameter, _PASSWORD.sub(r"\1:****@", address)))


def _shown_parameter(match: re.Match[str]) -> str:
    # Imported here: every verb checks whether its ledger is an address; few show one.
    from urllib.parse import unquote

    # libpq decodes the names of parameters, too.
    return f"{match[1]}=****" if unquote(match[1]).strip().lower() in _SECRETS else match[0]


def parameters(address: str, timeout: float) -> dict[str, Any]:
    """Return libpq's parameters for an address (PostgreSQL manual, section 34.1.2).

    `timeout`, in seconds, limits each attempt to connect, and the wait for a server that does not answer any more.

    Raises ConfigurationError if the address is invalid.
    """
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        connection_info = conninfo_to_dict(address)
    except ProgrammingError as error:
        # libpq's message may repeat a part of the address, and that part may be a password.
        raise ConfigurationError(
            f"the address {shown(address)} cannot be used for a ledger",
            "write postgresql://USER@HOST/DATABASE, or postgresql:///?service=NAME",
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
