"""Drivers between the machine and jitid: a local ledger in SQLite or PostgreSQL, and an authority over HTTP."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from tests import postgres
from tests.machine.model import LEDGER
from tests.real import libfaketime

START = int(datetime(2030, 1, 2, 12, 0, tzinfo=UTC).timestamp())
"""The start time of each run of the machine; only a step changes the clock."""

BACKENDS = ("sqlite", "postgres", "http")
_ROOT = Path(__file__).parents[2]
_PATIENCE = 60.0

APPROVAL_POLICY = """\
@id("pay-needs-security") @approval("security")
forbid (principal, action == Action::"grant", resource)
when { context.scope like "pay:*" };
"""

PEOPLE: dict[str, tuple[str, ...]] = {
    "user:alice": (),
    "user:root": (),
    "user:olga": ("admin",),
    "user:rita": ("responder",),
    "user:sam": (),
    "user:mallory": (),
    "system:svc": (),
    "system:verifier": ("verifier", "auditor"),
    "system:gateway": (),
    "system:store": (),
    "system:edge": ("verifier",),
    "system:operator": ("issuer", "responder"),
}
"""Callers with access to the authority, and their roles. `sam` approves, `mallory` and `svc` are strangers."""
AUDIENCES_OF = {
    "system:gateway": ("https://api.example.com",),
    "system:store": ("https://db.example.com",),
    "system:edge": ("https://db.example.com",),
}
"""The audiences that are registered for a caller."""
KNOWN_PEOPLE: dict[str, str | None] = {"user:alice": None, "user:root": None, "user:sam": "security"}
"""The delegators in the directory, and their groups."""


class Done(NamedTuple):
    """The outcome of a command line or a request."""

    status: int
    """The exit status; for a request over HTTP, the exit status that the error names."""
    out: str
    err: str = ""

    @property
    def json(self) -> Any:
        """Standard output, or the body, as JSON."""
        return json.loads(self.out)


class Clock:
    """The clock of all processes under test: a file that libfaketime reads. It does not advance between steps."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.set(START)

    def set(self, now: int) -> None:
        """Set the time."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M:%S\n"))
        fresh.chmod(0o644)
        fresh.rename(self._file)

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which a process uses this clock."""
        return {
            "LD_PRELOAD": libfaketime(),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # libfaketime's fix for condition variables makes Python's threads spin for the lock of the interpreter.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
            # The shared memory belongs to the user who starts a process, and the process may switch to another user
            # later.
            "FAKETIME_DISABLE_SHM": "1",
            "TZ": "UTC",
        }


class Worker:
    """A process with jitid loaded that forks for each command line; see `supervisor.py`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._process = self._start()

    def _start(self) -> subprocess.Popen[str]:
        steering = {name for name in os.environ if name.startswith("JITID_")}
        environment = {name: value for name, value in os.environ.items() if name not in steering}
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.machine.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment | self._clock.environment,
            cwd=_ROOT,
            text=True,
        )
        assert process.stdout
        if not process.stdout.readline():
            raise RuntimeError("the worker did not start")
        return process

    def order(self, **order: object) -> dict[str, Any]:
        """Run a command line, and return its outcome."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def stop(self) -> None:
        """Kill it."""
        self._process.kill()
        with self._process:
            pass


class Driver:
    """One ledger and its authority, for one run of the machine; each command is recorded in a script."""

    backend = "sqlite"
    wire = False
    """Whether every caller uses the authority."""
    has_mark = True

    def __init__(self, worker: Worker, clock: Clock, folder: Path, ledger: str) -> None:
        self.worker = worker
        self.clock = clock
        self.folder = folder
        self.ledger = ledger
        self.script: list[str] = []
        self._server: int | None = None
        self._address: tuple[str, int] = ("", 0)
        self._served = 0
        self._connection: http.client.HTTPConnection | None = None

    # Calls of the machine

    def jitid(self, caller: str, *arguments: str, stdin: str | None = None) -> Done:
        """Run a command line for a caller; `stdin` is a file of the folder."""
        words = list(arguments)
        if caller != LEDGER:
            words = ["--remote", self.url, "--credential-file", self.credential(caller), *words]
        self.script.append(shlex.join(["jitid", *words]) + (f" < {stdin}" if stdin else ""))
        done = self._run(words, stdin)
        self.script.append(f"# {done.status} {done.err.strip()[:200]}")
        return done

    def ask(self, caller: str, operation: str, body: Mapping[str, object], key: str | None = None) -> Done:
        """Request an operation over HTTP; a text `@FILE` in the body is replaced by the token in FILE."""
        headers = {"Content-Type": "application/json"}
        if key:
            headers["Idempotency-Key"] = key
        text = json.dumps(body)
        shown = re.sub(r'"@([^"]+)"', r'"\'"$(cat \1)"\'"', text)
        self.script.append(
            f'curl -s -H "Authorization: Bearer $(cat {self.credential(caller)})" -H "Content-Type: application/json" '
            + (f'-H "Idempotency-Key: {key}" ' if key else "")
            + f"-d '{shown}' {self.url}/v1/operations/{operation}"
        )
        filled = re.sub(r'"@([^"]+)"', lambda m: json.dumps(self.read(m[1])), text)
        status, answer = self.request(caller, "POST", f"/v1/operations/{operation}", filled.encode(), headers)
        exit_status = 0
        if status >= 400:
            exit_status = json.loads(answer)["error"]["exit"]
        self.script.append(f"# {status} {answer[:200] if status >= 400 else ''}")
        return Done(exit_status, answer)

    def form(self, caller: str, path: str, fields: Mapping[str, str]) -> tuple[int, str]:
        """Post a form like a client of OAuth."""
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.request(caller, "POST", path, urlencode(fields).encode(), headers)

    def request(
        self, caller: str, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = {}
    ) -> tuple[int, str]:
        """Make one request; reconnect once if the server has closed the connection."""
        everything = {"Authorization": f"Bearer {self.read(self.credential(caller))}", **headers}
        for attempt in range(2):
            if self._connection is None:
                self._connection = http.client.HTTPConnection(*self._address, timeout=_PATIENCE)
            try:
                self._connection.request(method, path, body, everything)
                answer = self._connection.getresponse()
                return answer.status, answer.read().decode()
            except (http.client.RemoteDisconnected, ConnectionError):
                self._connection.close()
                self._connection = None
                if attempt:
                    raise
        raise AssertionError

    def read(self, file: str) -> str:
        """Return the token in a file in the folder."""
        return (self.folder / file).read_text().strip()

    def write(self, file: str, token: str) -> None:
        """Write a token to a file in the folder."""
        path = self.folder / file
        path.write_text(token + "\n")
        path.chmod(0o600)

    @staticmethod
    def credential(caller: str) -> str:
        """Return the file with the caller's credential: an access token, or an agent's own identity token."""
        return f"{caller}.token" if caller.startswith("c") else f"{caller.replace(':', '-')}.bearer"

    @property
    def url(self) -> str:
        """The address of the authority."""
        return f"http://{self._address[0]}:{self._address[1]}"

    def set_clock(self, now: int) -> None:
        """Set the clock of all processes."""
        self.script.append(f"# clock: {datetime.fromtimestamp(now, UTC):%Y-%m-%dT%H:%M:%SZ}")
        self.clock.set(now)

    def kill(self) -> None:
        """Kill the authority at once, and start it again; no command line runs between steps."""
        self.script.append("# kill -9 of `jitid serve`; start it again")
        self.stop()
        self.start()

    def backup(self, name: str) -> Done:
        """Back the ledger up."""
        return self.jitid(LEDGER, "ledger", "backup", name, "--keys")

    def restore(self, name: str, admitted: Iterable[str]) -> Done:
        """Stop the authority, replace the ledger with a backup, and restart it; a restore revokes all access."""
        self.stop()
        done = self.jitid(LEDGER, "ledger", "restore", name, "--replace")
        # The clock does not advance: a second restore in the same second would find the folder of the first.
        for aside in self.folder.glob("ledger.replaced-*"):
            shutil.rmtree(aside)
        for person in admitted:
            self.admit(person)
        self.start()
        return done

    # Setup

    def prepare(self) -> None:
        """Make the ledger: its directory, its policy, and access for all callers."""
        for name, group in KNOWN_PEOPLE.items():
            more = ("--group", group) if group else ()
            self._must(["delegator", "add", name, *more])
        self.policy_folder.joinpath("approval.cedar").write_text(APPROVAL_POLICY)
        self.policy_folder.joinpath("approval.cedar").chmod(0o600)
        for name in PEOPLE:
            self.admit(name)

    def admit(self, name: str) -> None:
        """Grant access to one caller, on the ledger's machine."""
        file = self.credential(name)
        self.folder.joinpath(file).unlink(missing_ok=True)
        roles = [word for role in PEOPLE[name] for word in ("--role", role)]
        roles += [word for audience in AUDIENCES_OF.get(name, ()) for word in ("--audience", audience)]
        if "verifier" in PEOPLE[name] and name not in AUDIENCES_OF:
            roles.append("--all-audiences")
        self._must(["access", "grant", name, *roles, "--ttl", "30d", "--out", file])

    @property
    def policy_folder(self) -> Path:
        """The folder of the policy."""
        return self.folder / "ledger" / "policy"

    def start(self) -> None:
        """Start the authority, and wait until it listens."""
        self._served += 1
        log = self.folder / f"serve-{self._served}.log"
        order = self._order(["serve", "--bind", "127.0.0.1:0", "--log-format", "none"])
        self._server = self.worker.order(**order, log=str(log))["pid"]
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            found = re.search(r"listening on http://([^:]+):(\d+)", log.read_text() if log.exists() else "")
            if found:
                self._address = (found[1], int(found[2]))
                return
            time.sleep(0.01)
        raise RuntimeError(f"it does not listen: {log.read_text()}")

    def stop(self) -> None:
        """Kill the authority."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._server is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._server, signal.SIGKILL)
            self._server = None

    def close(self) -> None:
        """Stop the authority, and remove the folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _order(self, words: Sequence[str]) -> dict[str, object]:
        environment = {
            "HOME": str(self.folder),
            "JITID_LEDGER": self.ledger,
            "NO_COLOR": "1",
            **self.environment,
        }
        return {"arguments": list(words), "folder": str(self.folder), "environment": environment}

    @property
    def environment(self) -> dict[str, str]:
        """Further variables of each command."""
        return {}

    def _run(self, words: Sequence[str], stdin: str | None) -> Done:
        path = str(self.folder / stdin) if stdin else None
        answer = self.worker.order(**self._order(words), stdin=path)
        return Done(answer["status"], answer["out"], answer["err"])

    def _must(self, words: Sequence[str]) -> Done:
        self.script.append(shlex.join(["jitid", *words]))
        done = self._run(words, None)
        if done.status:
            raise RuntimeError(f"{shlex.join(words)}: {done}")
        return done


class DatabaseDriver(Driver):
    """A ledger in PostgreSQL."""

    backend = "postgres"
    has_mark = False

    def __init__(
        self, worker: Worker, clock: Clock, folder: Path, server: postgres.Postgres, database: str
    ) -> None:
        super().__init__(worker, clock, folder, server.url(database))
        self._database = (server, database)

    def close(self) -> None:
        super().close()
        server, database = self._database
        server.drop(database)

    @property
    def environment(self) -> dict[str, str]:
        return {"JITID_HOME": str(self.folder / "home")}

    @property
    def policy_folder(self) -> Path:
        return self.folder / "home" / "policy"


class WireDriver(Driver):
    """An authority over HTTP, with a separate caller for each action."""

    backend = "http"
    wire = True


class Backend:
    """The shared parts of all runs on one backend: a worker, and a prepared ledger to copy for each run."""

    def __init__(self, name: str, folder: Path, server: postgres.Postgres | None = None) -> None:
        self.name = name
        self._folder = folder
        self._server = server
        self._count = 0
        self._clock = Clock(folder)
        self._worker = Worker(self._clock)
        self._database: str | None = None
        self._base: Path | None = None
        self._script: list[str] = []

    def new(self) -> Driver:
        """Return a new ledger with its authority, at the time `START`."""
        self._clock.set(START)
        if self._base is None:
            driver = self._driver(self._folder / "base", self._new_database("template1"))
            driver.folder.mkdir(mode=0o700)
            driver.prepare()
            self._base = driver.folder
            self._script = driver.script
        self._count += 1
        folder = self._folder / f"run-{self._count}"
        shutil.copytree(self._base, folder)
        driver = self._driver(folder, self._new_database(self._database))
        driver.script = [
            f"# {self.name}; each token is kept as FILE.token, and the clock stands still under libfaketime",
            f"export HOME=$PWD JITID_LEDGER={driver.ledger}",
            *self._script,
        ]
        driver.start()
        return driver

    def _new_database(self, template: str | None) -> str | None:
        if self._server is None or template is None:
            return None
        made = self._server.new_database(template, lasting=self._database is None)
        self._database = self._database or made
        return made

    def _driver(self, folder: Path, database: str | None) -> Driver:
        if database is not None:
            assert self._server is not None
            return DatabaseDriver(self._worker, self._clock, folder, self._server, database)
        kind = WireDriver if self.name == "http" else Driver
        return kind(self._worker, self._clock, folder, str(folder / "ledger"))

    def close(self) -> None:
        """Stop the worker."""
        self._worker.stop()


@contextlib.contextmanager
def running(name: str) -> Iterator[Backend]:
    """Run a backend for the length of the block."""
    libfaketime()
    with tempfile.TemporaryDirectory(prefix="jitid-model-", ignore_cleanup_errors=True) as made:
        folder = Path(made)
        folder.chmod(0o755)
        if name != "postgres":
            backend = Backend(name, folder)
            try:
                yield backend
            finally:
                backend.close()
            return
        with postgres.place() as server_folder:
            server = postgres.Postgres(server_folder)
            server.initialise()
            try:
                with _environment(Clock(folder).environment):
                    server.start()
                backend = Backend(name, folder, server)
                try:
                    yield backend
                finally:
                    backend.close()
            finally:
                server.stop()


@contextlib.contextmanager
def _environment(more: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(more)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
