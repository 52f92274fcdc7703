"""A real PgBouncer in front of a real PostgreSQL, for the length of a block."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.postgres import NOBODY, SUPERUSER, Postgres, as_server, place
from tests.real import free_port, module, need, until

if TYPE_CHECKING:
    import psycopg

IGNORING = "ignore_startup_parameters = options\n"
"""The line that many guides advise: PgBouncer silently drops the settings that a client sends when it connects."""

# The configuration that the package ships, except for the places of files and the permitted users.
_CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={server}
[pgbouncer]
logfile = {folder}/pgbouncer.log
pidfile = {folder}/pgbouncer.pid
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
{settings}
"""


class PgBouncer:
    """One pooler in front of one server."""

    def __init__(self, port: int, server: Postgres) -> None:
        self.port = port
        self.server = server

    def url(self, user: str, database: str, **parameters: str) -> str:
        """Return the connection URL of a database through this pooler."""
        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}" + (f"?{query}" if query else "")

    def connect(self, user: str, database: str) -> psycopg.Connection[tuple[Any, ...]]:
        """Return a new connection that commits each statement and prepares none."""
        driver = module("psycopg", "postgres")
        connection: psycopg.Connection[tuple[Any, ...]] = driver.connect(
            self.url(user, database), autocommit=True, prepare_threshold=None
        )
        return connection


@contextmanager
def running(
    server: Postgres, *, users: tuple[str, ...] = (SUPERUSER,), settings: str = ""
) -> Iterator[PgBouncer]:
    """Run PgBouncer in front of a server, with these settings beside the shipped ones; it permits these users."""
    program = need("pgbouncer")
    with place() as folder:
        (folder / "users").write_text("".join(f'"{user}" ""\n' for user in users))
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        for _ in range(5):
            port = free_port()
            configuration = folder / "pgbouncer.ini"
            configuration.write_text(
                _CONFIGURATION.format(folder=folder, port=port, server=server.port, settings=settings)
            )
            configuration.chmod(0o644)
            process = subprocess.Popen(
                [*as_server(), program, str(configuration)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
            )
            pooler = PgBouncer(port, server)
            try:
                until(lambda: process.poll() is not None or _answers(pooler, users[0]), _log(folder))  # noqa: B023
                if process.poll() is not None and "Address already in use" in _log(folder):
                    continue
                assert process.poll() is None, _log(folder)
                yield pooler
                return
            finally:
                # At SIGTERM PgBouncer waits for its clients.
                process.kill()
                process.wait()
    raise AssertionError("PgBouncer finds no free port")


def _answers(pooler: PgBouncer, user: str) -> bool:
    with pooler.connect(user, "postgres") as connection:
        connection.execute("SELECT 1")
    return True


def _log(folder: Path) -> str:
    with suppress(OSError):
        return (folder / "pgbouncer.log").read_text(errors="replace")[-2000:]
    return "PgBouncer does not answer"
