"""An OpenBao server as a target; its database engine makes roles at a real PostgreSQL server."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from jitid.issuers.openbao.lease import OpenbaoLeaseIssuer
from jitid.model.target import Target, TargetRecord
from tests.issuers.places import ISSUER, Place, troubled_port
from tests.openbao import TOKEN_ROLE, OpenBaoServer
from tests.postgres import Postgres

TEMPLATES: Mapping[str, Mapping[str, Any]] = {
    "reader": {"path": "database/creds/reader", "policies": ["reader"]},
    "leased": {
        "path": "pki/issue/leased",
        "method": "PUT",
        "policies": ["certificates"],
        "parameters": {"common_name": "{agent}.example", "ttl": "{ttl}s"},
    },
    "unleased": {
        "path": "pki/issue/unleased",
        "method": "PUT",
        "policies": ["certificates"],
        "unleased": True,
        "parameters": {"common_name": "{agent}.example", "ttl": "{ttl}s"},
    },
    "token": {"policies": ["reader"]},
}


BARE_SECRET = {"path": "sys/tools/random", "method": "POST", "parameters": {}, "policies": ["certificates"]}
"""A template's options for a secret without a lease and without a certificate."""


class Cutting:
    """A proxy between a client and the server. It drops the connection instead of answering a request for one path.

    It speaks TLS to both, with the server's own certificate.
    """

    def __init__(
        self, server: OpenBaoServer, path: str, *, forwarded: bool = True, answer: bytes | None = None
    ) -> None:
        """Listen for clients; `forwarded` says whether the server gets the request before the connection drops.

        With `answer`, the proxy sends that instead of dropping the connection.
        """
        self._server = server
        self._answer = answer
        self._path = f" /v1/{path} ".encode()
        self._forwarded = forwarded
        self.cuts = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"https://127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Accept no more connections."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(10)

    def _accept(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._server.ca_file, self._server.folder / "key.pem")
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                with suppress(OSError), context.wrap_socket(client, server_side=True) as secured:
                    self._serve(secured)

    def _serve(self, client: ssl.SSLSocket) -> None:
        trusting = ssl.create_default_context(cafile=str(self._server.ca_file))
        bare = socket.create_connection(("127.0.0.1", self._server.port), 60)
        with trusting.wrap_socket(bare, server_hostname="127.0.0.1") as there:
            while request := _message(client):
                cut = self._path in request.split(b"\r\n", 1)[0]
                if cut:
                    self.cuts += 1
                    if self._answer is not None:
                        client.sendall(self._answer)
                        continue
                    if not self._forwarded:
                        return
                there.sendall(request)
                answer = _message(there)
                if cut:
                    return
                client.sendall(answer)


def _message(source: ssl.SSLSocket) -> bytes:
    """Read one HTTP request or answer whose head gives its length."""
    text = b""
    while b"\r\n\r\n" not in text:
        piece = source.recv(1 << 16)
        if not piece:
            return b""
        text += piece
    head, _, body = text.partition(b"\r\n\r\n")
    found = re.search(rb"(?i)content-length: (\d+)", head)
    while found and len(body) < int(found[1]):
        body += source.recv(1 << 16)
    return head + b"\r\n\r\n" + body


class OpenBaoPlace(Place):
    """The server as a target."""

    kind = "openbao-lease"
    template = "reader"

    def __init__(self, server: OpenBaoServer, database: Postgres) -> None:
        self.server = server
        self.database = database

    def record(self, **more: Any) -> TargetRecord:
        """Return the record of a new credential of a registered agent; certificates contain the agent's name."""
        return super().record(**{"under_agent": True, **more})

    def open(
        self,
        timeout: float = 20.0,
        issuer: str = ISSUER,
        templates: Mapping[str, Any] = TEMPLATES,
        *,
        without: tuple[str, ...] = (),
        **options: Any,
    ) -> OpenbaoLeaseIssuer:
        """Return an issuer of a target with these options."""
        table = {
            "address": self.server.address,
            "ca_file": str(self.server.ca_file),
            "role_id": self.server.role_id,
            "secret_id_file": str(self.server.secret_id_file),
            "token_role": TOKEN_ROLE,
            **options,
        }
        kept = {name: value for name, value in table.items() if name not in without}
        return OpenbaoLeaseIssuer(
            Target(self.target, self.kind, kept, templates), timeout=timeout, issuer=issuer
        )

    def issuer(self, timeout: float = 20.0, issuer: str = ISSUER) -> OpenbaoLeaseIssuer:
        """Return an issuer for a ledger with this `iss`."""
        return self.open(timeout, issuer)

    def exists(self, record: TargetRecord) -> bool:
        """Return whether the database has a role of the credential, or the server a token of it."""
        rolled = self.database.ask(
            f"SELECT 1 FROM pg_roles WHERE rolname LIKE '%{record.jti.removeprefix('jti_')}%'"
        )
        return bool(rolled) or record.jti in {jti for jti, _ in self.tokens()}

    def tokens(self) -> list[tuple[str, str]]:
        """Return jitid's tokens: the jti and the accessor of each."""
        found = []
        for accessor in self.server.ask("LIST", "auth/token/accessors")["data"]["keys"]:
            status, text = self.server._answer(
                "POST", "auth/token/lookup-accessor", {"accessor": accessor}, None
            )
            if status == 200 and (jti := re.search(rb'"jitid_jti":"([^"]+)"', text)):
                found.append((jti[1].decode(), accessor))
        return found

    @contextmanager
    def losing(
        self, path: str = "database/creds/reader", *, forwarded: bool = True
    ) -> Iterator[OpenbaoLeaseIssuer]:
        """Yield an issuer that loses the answer to the request for the secret."""
        proxy = Cutting(self.server, path, forwarded=forwarded)
        issuer = self.open(address=proxy.address)
        try:
            yield issuer
            assert proxy.cuts
        finally:
            issuer.close()
            proxy.close()

    @contextmanager
    def refusing(self, path: str) -> Iterator[OpenbaoLeaseIssuer]:
        """Yield an issuer whose requests for a path are answered by 400."""
        body = b'{"errors":["not now"]}'
        head = f"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        proxy = Cutting(self.server, path, answer=head.encode() + body)
        issuer = self.open(
            address=proxy.address, templates={"unleased": {**TEMPLATES["unleased"], **BARE_SECRET}}
        )
        try:
            yield issuer
            assert proxy.cuts
        finally:
            issuer.close()
            proxy.close()

    @contextmanager
    def disturbed(self, trouble: str) -> Iterator[OpenbaoLeaseIssuer]:
        """Point the address at a port in trouble."""
        with troubled_port(trouble) as port:
            issuer = self.open(2.0, address=f"http://127.0.0.1:{port}")
            yield issuer
            issuer.close()
