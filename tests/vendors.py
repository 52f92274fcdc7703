"""Vendors on loopback: one proxy that answers for their real host names, by TLS, as their token services do.

The unmodified programs of the vendors reach it by `HTTPS_PROXY`, and trust its certificate by their own variables. It
verifies a token by the published keys, its audience, its algorithm and a rule for `sub`. Exchanged tokens are opaque.
"""

from __future__ import annotations

import json
import secrets
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Lock, Thread
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import jwt

from tests.real import need

HOSTS = (
    "api.anthropic.com",
    "auth.openai.com",
    "api.openai.com",
    "chatgpt.com",
    "sts.googleapis.com",
    "storage.googleapis.com",
    "login.microsoftonline.com",
    "management.azure.com",
    "sts.amazonaws.com",
    "sts.eu-central-1.amazonaws.com",
)
PROVIDER = "projects/1/locations/global/workloadIdentityPools/agents/providers/jitid"
_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"


class Rule(NamedTuple):
    """The rule of one vendor."""

    audience: str
    algorithms: tuple[str, ...]
    subject: Callable[[str], bool] = lambda _: True
    once: bool = False
    lifetime: int = 3_600


class Exchange(NamedTuple):
    """One request for a token."""

    vendor: str
    claims: Mapping[str, Any]
    """The claims of the presented token; empty if it was refused."""
    refusal: str | None
    text: str
    """The presented text, as it came."""


class Vendors:
    """The state of all vendors."""

    def __init__(self, keys: Callable[[], list[Mapping[str, Any]]], issuer: str, folder: Path) -> None:
        self.keys = keys
        self.issuer = issuer
        self.folder = folder
        self.exchanges: list[Exchange] = []
        self.calls: list[str] = []
        """The hosts that answered a request with a token that they know."""
        self.fault: dict[str, str] = {}
        """Vendor -> `down`, `gone`, `rubbish` or `slow`."""
        self.held: SimpleQueue[str] = SimpleQueue()
        """The texts that were presented to vendors that are `slow`; each of these exchanges waits for `answer`."""
        self.answer = Event()
        self.model = ""
        """The address of a model gateway that answers prompts for the vendors of models."""
        self.rules = {
            "anthropic": Rule("https://api.anthropic.com", ("ES256",), once=True),
            "openai": Rule("https://api.openai.com/v1", ("ES256",)),
            "google": Rule(f"https://iam.googleapis.com/{PROVIDER}", ("ES256",)),
            "azure": Rule("api://AzureADTokenExchange", ("RS256",)),
            "aws": Rule("sts.amazonaws.com", ("ES256",)),
        }
        self.given: dict[str, tuple[str, float]] = {}
        """Exchanged token -> its vendor and its expiry."""
        self._seen: set[str] = set()
        self._lock = Lock()
        self.port = 0

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that lead the programs here."""
        authority = str(self.folder / "vendors.pem")
        return {
            "HTTPS_PROXY": f"http://127.0.0.1:{self.port}",
            **dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE"), authority),
        }

    def of(self, vendor: str) -> list[Exchange]:
        """Return the exchanges of one vendor."""
        return [exchange for exchange in self.exchanges if exchange.vendor == vendor]

    def exchange(self, vendor: str, text: str) -> str | None:
        """Verify a token; return the exchanged token, or None."""
        if self.fault.get(vendor) == "slow":
            self.held.put(text)
            self.answer.wait(60)
        rule = self.rules[vendor]
        claims: Mapping[str, Any] = {}
        refusal = None
        try:
            # A real token service takes a text with a line break for another text.
            if text != text.strip():
                raise jwt.InvalidTokenError("not a JWT: blanks")
            header = jwt.get_unverified_header(text)
            key = next(key for key in self.keys() if key["kid"] == header["kid"])
            found = jwt.decode(
                text,
                jwt.PyJWK(dict(key)),
                list(rule.algorithms),
                audience=rule.audience,
                issuer=self.issuer,
                options={"require": ["exp", "iat", "sub", "jti"]},
            )
            if not rule.subject(found["sub"]):
                raise jwt.InvalidTokenError("sub")
            with self._lock:
                if rule.once and found["jti"] in self._seen:
                    raise jwt.InvalidTokenError("jti was used")
                self._seen.add(found["jti"])
            claims = found
        except (jwt.PyJWTError, StopIteration) as error:
            refusal = str(error) or type(error).__name__
        self.exchanges.append(Exchange(vendor, claims, refusal, text))
        if refusal is not None:
            return None
        token = f"{vendor}-{secrets.token_hex(12)}"
        self.given[token] = vendor, time.time() + rule.lifetime
        return token

    def knows(self, vendor: str, token: str) -> bool:
        """Return whether a vendor gave a token, and it has not expired."""
        given, end = self.given.get(token, ("", 0.0))
        return given == vendor and time.time() < end


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    vendors: Vendors
    context: ssl.SSLContext

    def finish(self) -> None:
        """Close the connection, which may be one by TLS."""
        with suppress(OSError, ValueError):
            super().finish()
        self.connection.close()

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def do_CONNECT(self) -> None:
        """Answer as the host that the client requests."""
        host = self.path.partition(":")[0]
        if host not in HOSTS:
            self.send_error(502)
            return
        self.send_response(200)
        self.end_headers()
        try:
            self.connection = self.context.wrap_socket(self.connection, server_side=True)
        except (ssl.SSLError, OSError):
            self.close_connection = True
            return
        self.rfile.close()
        self.wfile.close()
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", buffering=0)
        self.host = host
        self.close_connection = False

    def do_GET(self) -> None:
        """Answer a request of the API."""
        self._api()

    def do_POST(self) -> None:
        """Answer an exchange, or a request of the API."""
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        host, path = self.host, self.path.partition("?")[0]
        if host == "api.anthropic.com" and path == "/v1/oauth/token":
            asked = json.loads(body)
            self._bearer("anthropic", asked["grant_type"] == _JWT_BEARER, asked["assertion"])
        elif host == "auth.openai.com" and not body.startswith(b"{"):
            form = _form(body)
            self._bearer("openai", form["grant_type"] == _JWT_BEARER, form["assertion"], _codex)
        elif host == "auth.openai.com":
            asked = json.loads(body)
            self._bearer("openai", asked["grant_type"] == _EXCHANGE, asked["subject_token"])
        elif host == "sts.googleapis.com":
            form = _form(body)
            right = form["grant_type"] == _EXCHANGE and form["audience"] == f"//iam.googleapis.com/{PROVIDER}"
            self._bearer("google", right, form["subject_token"])
        elif host == "login.microsoftonline.com":
            form = _form(body)
            self._bearer("azure", form["grant_type"] == "client_credentials", form["client_assertion"])
        elif host.startswith("sts.") and b"AssumeRoleWithWebIdentity" in body:
            self._session(_form(body))
        else:
            self._api(body)

    def _api(self, body: bytes = b"") -> None:
        vendor = {
            "api.anthropic.com": "anthropic",
            "api.openai.com": "openai",
            "chatgpt.com": "openai",
            "storage.googleapis.com": "google",
            "management.azure.com": "azure",
        }.get(self.host, "aws")
        shown = self.headers.get("authorization", "")
        token = shown.removeprefix("Bearer ")
        if vendor == "aws":
            token = shown.partition("Credential=")[2].partition("/")[0]
        if not self.vendors.knows(vendor, token):
            self._json(
                401, {"type": "error", "error": {"type": "authentication_error", "message": "unknown"}}
            )
            return
        if self.headers.get("upgrade"):
            # Codex then uses requests at once.
            self._json(426, {"error": {"type": "upgrade_required", "message": "no web sockets"}})
            return
        self.vendors.calls.append(self.host)
        if self.vendors.model and self.path.partition("?")[0].endswith(
            ("/messages", "/responses", "/models")
        ):
            self._ask_model(body, token)
            return
        if vendor == "aws":
            self._answer(200, _CALLER, "text/xml")
            return
        if self.path.endswith("/accounts/check"):
            self._json(200, {"accounts": [_ACCOUNT]})
            return
        self._json(200, {"object": "list", "data": [], "has_more": False, "first_id": None, "last_id": None})

    def _ask_model(self, body: bytes, token: str) -> None:
        """Answer as the model gateway does."""
        address = urlsplit(self.vendors.model)
        assert address.hostname is not None
        connection = HTTPConnection(address.hostname, address.port, timeout=120)
        try:
            connection.request(self.command, self.path, body, {"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            self._answer(answer.status, answer.read().decode(), answer.headers["Content-Type"])
        finally:
            connection.close()

    def _bearer(
        self,
        vendor: str,
        right: bool,
        text: str,
        more: Callable[[str], Mapping[str, Any]] = lambda _: {},
    ) -> None:
        if self._is_broken(vendor):
            return
        token = self.vendors.exchange(vendor, text) if right else None
        if token is None:
            self._json(
                400 if vendor == "google" else 401, {"error": "invalid_grant", "error_description": "no"}
            )
            return
        document = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": self.vendors.rules[vendor].lifetime,
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            **more(token),
        }
        self.vendors.given[document["access_token"]] = self.vendors.given[token]
        self._json(200, document)

    def _session(self, form: Mapping[str, str]) -> None:
        if self._is_broken("aws"):
            return
        key = self.vendors.exchange("aws", form["WebIdentityToken"])
        if key is None:
            self._answer(400, _REFUSED, "text/xml")
            return
        end = datetime.now(UTC) + timedelta(seconds=self.vendors.rules["aws"].lifetime)
        self._answer(200, _SESSION.format(key=key, end=f"{end:%Y-%m-%dT%H:%M:%SZ}", **form), "text/xml")

    def _is_broken(self, vendor: str) -> bool:
        """Answer by the vendor's fault, if it has one."""
        fault = self.vendors.fault.get(vendor)
        if fault == "down":
            self._json(503, {"error": "temporarily_unavailable"})
        elif fault == "rubbish":
            self._answer(200, "<html>\x00\x1b[31m", "text/html")
        elif fault == "gone":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        return fault not in (None, "slow")

    def _json(self, status: int, document: object) -> None:
        self._answer(status, json.dumps(document), "application/json")

    def _answer(self, status: int, text: str, kind: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


_ACCOUNT = {
    "id": "account-1",
    "plan_type": "enterprise",
    "workspace_backend_origin": "https://chatgpt.com",
    "account_routing_override": "NO_CONSTRAINT",
}


def _codex(name: str) -> dict[str, Any]:
    """Return the members of a token response that Codex requires: the access token must be a JWT with an account."""
    account = {
        "chatgpt_account_id": _ACCOUNT["id"],
        "chatgpt_account_user_id": "account-user-1",
        "chatgpt_plan_type": _ACCOUNT["plan_type"],
        "user_id": "user-1",
    }
    claims = {"jti": name, "https://api.openai.com/auth": {**account, "chatgpt_user_id": "user-1"}}
    signed = jwt.encode(claims, secrets.token_bytes(32), "HS256")
    return {"access_token": signed, "expires_in": 600, "scope": "model.request", **account}


def _form(body: bytes) -> dict[str, str]:
    # `parse_qs` keeps a line break at the end of a value.
    return {name: values[0] for name, values in parse_qs(body.decode(), keep_blank_values=True).items()}


_SESSION = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>
<SessionToken>t</SessionToken><Expiration>{end}</Expiration></Credentials><AssumedRoleUser><Arn>{RoleArn}</Arn>
<AssumedRoleId>A:{RoleSessionName}</AssumedRoleId></AssumedRoleUser></AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>"""
_REFUSED = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
<Code>InvalidIdentityToken</Code><Message>no</Message></Error></ErrorResponse>"""
_CALLER = """<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Arn>arn:aws:sts::123456789012:assumed-role/agent/x</Arn><UserId>A</UserId><Account>123456789012</Account>
</GetCallerIdentityResult></GetCallerIdentityResponse>"""


@contextmanager
def vendors(folder: Path, issuer: str, keys: Callable[[], list[Mapping[str, Any]]]) -> Iterator[Vendors]:
    """Run the vendors for the length of the block; `keys` returns the keys of the issuer (JWK)."""
    names = ",".join(f"DNS:{host}" for host in HOSTS)
    subprocess.run(
        [
            need("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", str(folder / "vendors.key"), "-out", str(folder / "vendors.pem"), "-days", "2",
            "-subj", "/CN=vendors", "-addext", f"subjectAltName={names}",
            # The TLS library of Codex refuses the certificate of an authority as that of a server.
            "-addext", "basicConstraints=critical,CA:FALSE",
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    state = Vendors(keys, issuer, folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "vendors.pem", folder / "vendors.key")
    handler = type("Handler", (_Handler,), {"vendors": state, "context": context})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    state.port = server.server_port
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
