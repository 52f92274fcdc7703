"""A real `jitid serve` for tests, and bare HTTP to talk to it."""

from __future__ import annotations

import http.client
import json
import os
import re
import select
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.real import command, surroundings

_PATIENCE = 30.0


class Answer(NamedTuple):
    """A response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Served:
    """A service that listens, and its process."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, said: str) -> None:
        self.process = process
        self.log = log
        """Its standard error."""
        self.said = said
        """The line that states its address."""
        found = re.search(r"https?://\S+", said)
        self.url = found[0] if found else ""
        at_path = re.search(r"unix://(\S+)", said)
        self.socket = at_path[1] if at_path else ""

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        assert parts.hostname is not None
        assert parts.port is not None
        return parts.hostname, parts.port

    def connect(self, timeout: float = _PATIENCE, source: str | None = None) -> socket.socket:
        """Return a bare connection, to the Unix socket if there is no other; `source` is the client's address."""
        if self.url:
            return socket.create_connection(self.address, timeout, None if source is None else (source, 0))
        made = socket.socket(socket.AF_UNIX)
        made.settimeout(timeout)
        try:
            made.connect(self.socket)
        except OSError:
            made.close()
            raise
        return made

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        source: str | None = None,
    ) -> Answer:
        """Make one request over a new connection, perhaps from another address of this machine."""
        host = self.address[0] if self.url else "localhost"
        connection = http.client.HTTPConnection(host)
        bare = self.connect(source=source)
        connection.sock = tls.wrap_socket(bare, server_hostname=host) if tls else bare
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return Answer(
                answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
            )
        finally:
            connection.close()

    def lines(self) -> list[dict[str, Any]]:
        """Return the log lines so far that are JSON and whole."""
        lines = self.log.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n")]

    def workers(self) -> list[int]:
        """Return the worker processes."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(word) for word in path.read_text().split()]

    def kill(self) -> None:
        """Kill it and its workers at once, like a power cut of its machine."""
        for pid in (self.process.pid, *self.workers()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(_PATIENCE)

    def stop(self) -> int:
        """Terminate it with SIGTERM, and return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_PATIENCE)


@contextmanager
def serving(
    folder: Path,
    *arguments: str,
    ledger: str | Path | None = None,
    before: Sequence[str] = (),
    more: Mapping[str, str] | None = None,
) -> Iterator[Served]:
    """Start `jitid serve`, wait until it listens, and stop it after the block.

    Without `--bind` or `--socket` it gets a free port. `ledger` is a folder or an address; `before` is a prefix of the
    command, such as that of `setpriv`.
    """
    if not {"--bind", "--socket"} & set(arguments):
        arguments = ("--bind", "127.0.0.1:0", *arguments)
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"serve-{os.urandom(4).hex()}.log"
    environment = surroundings(folder, JITID_LEDGER=str(ledger or folder / "ledger"), **(more or {}))
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [*before, *command("serve", *arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=environment,
            cwd=folder,
        )
    try:
        yield Served(process, log, listening(process, log))
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def listening(process: subprocess.Popen[bytes], log: Path) -> str:
    """Wait until a service listens, and return the line that states its address."""
    until = monotonic() + _PATIENCE
    while monotonic() < until:
        for line in log.read_text(errors="replace").splitlines():
            if line.startswith("jitid: listening on "):
                return line
        if process.poll() is not None:
            break
        select.select([], [], [], 0.02)
    pytest.fail(f"it does not listen: {log.read_text(errors='replace')[-2000:]}")
