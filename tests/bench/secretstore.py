"""OpenBao under load: in memory, without durability, and on raft, with each token durable."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from tests.bench import load, peers
from tests.bench.load import Load
from tests.real import free_port, until

_RAFT = """
api_addr = "http://127.0.0.1:{port}"
cluster_addr = "https://127.0.0.1:{cluster}"
storage "raft" {{
  path = "{folder}/raft"
  node_id = "n1"
  performance_multiplier = 1
}}
listener "tcp" {{
  address = "127.0.0.1:{port}"
  cluster_address = "127.0.0.1:{cluster}"
  tls_disable = true
}}
"""


class Store:
    """A running server and its root token."""

    def __init__(self, port: int, root: str, pid: int = 0) -> None:
        self.port = port
        self.pid = pid
        self._root = root

    def ask(self, method: str, path: str, body: object = None, token: str | None = None) -> Any:
        """Send one request, and return the answer."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"X-Vault-Token": self._root if token is None else token}
        try:
            connection.request(method, f"/v1/{path}", None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status not in (200, 204):
            raise RuntimeError(f"OpenBao answered {answer.status} at {path}: {text!r}")
        return json.loads(text) if text else None

    def create(self, clients: int, count: int) -> Load:
        """Create tokens."""
        return load.drive(
            self.port, [self._message("POST", "auth/token/create", {"ttl": "5m"})], clients, count
        )

    def tokens_to_look_up(self, count: int) -> list[bytes]:
        """Create tokens, and return the requests that look them up."""
        tokens = [
            self.ask("POST", "auth/token/create", {"ttl": "24h"})["auth"]["client_token"]
            for _ in range(count)
        ]
        return [self._message("POST", "auth/token/lookup", {"token": token}) for token in tokens]

    def prepare_id_tokens(self, algorithm: str) -> bytes:
        """Create a key and a role for ID tokens, and a user that may get them; return the request for an ID token."""
        self.ask("POST", "sys/auth/userpass", {"type": "userpass"})
        self.ask(
            "PUT",
            "sys/policies/acl/id",
            {"policy": 'path "identity/oidc/token/*" { capabilities = ["read"] }'},
        )
        self.ask("POST", "auth/userpass/users/alice", {"password": "a", "token_policies": "id"})
        token = self.ask("POST", "auth/userpass/login/alice", {"password": "a"})["auth"]["client_token"]
        self.ask("POST", "identity/oidc/key/own", {"allowed_client_ids": "*", "algorithm": algorithm})
        self.ask("POST", "identity/oidc/role/own", {"key": "own", "ttl": "15m"})
        self.ask("GET", "identity/oidc/token/own", token=token)
        return self._message("GET", "identity/oidc/token/own", token=token)

    def _message(self, method: str, path: str, body: object = None, token: str | None = None) -> bytes:
        headers = {"X-Vault-Token": token or self._root, "Content-Type": "application/json"}
        return load.message(method, f"/v1/{path}", "" if body is None else json.dumps(body), headers)


@contextlib.contextmanager
def in_memory(folder: Path) -> Iterator[Store]:
    """Run OpenBao's development server."""
    with peers.openbao(folder) as bao:
        yield Store(bao.port, "root")


@contextlib.contextmanager
def on_raft(folder: Path) -> Iterator[Store]:
    """Run OpenBao on its own durable storage, with one node, and without TLS like all measured servers."""
    port = free_port()
    (folder / "raft").mkdir()
    configuration = folder / "raft.hcl"
    configuration.write_text(_RAFT.format(port=port, cluster=free_port(), folder=folder))
    with (folder / "raft.log").open("wb") as log:
        running = subprocess.Popen(
            [peers.openbao_binary(), "server", f"-config={configuration}"],
            cwd=folder,
            env={"HOME": str(folder), "PATH": "/usr/bin:/bin"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        sealed = Store(port, "")
        until(lambda: sealed.ask("GET", "sys/init") is not None, "OpenBao does not listen")
        keys = sealed.ask("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        sealed.ask("PUT", "sys/unseal", {"key": keys["keys"][0]})
        store = Store(port, keys["root_token"], running.pid)
        until(lambda: store.ask("POST", "auth/token/create", {"ttl": "5m"}) is not None, "no leader")
        yield store
    finally:
        peers.end(running)
