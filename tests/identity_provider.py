"""An identity provider on loopback whose every answer a test may change."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.crypto.signed import P256, encode, jwk, token

CLIENT = "jitid-cli"
SECRET_WORDS = ("REFRESH-TOKEN-OF-THE-PROVIDER", "ACCESS-TOKEN-OF-THE-PROVIDER")
"""The other tokens of its answers."""


class IdentityProvider:
    """Its state. A test may change each attribute between two requests."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.subject = "alice"
        self.claims: dict[str, Any] = {}
        """Claims of its ID tokens that replace the right ones; None removes one."""
        self.header: dict[str, Any] = {}
        self.key: Any = P256
        self.metadata: dict[str, Any] = {}
        self.answer: Callable[[dict[str, str]], dict[str, str]] = lambda right: right
        """Changes the parameters of the answer in the browser."""
        self.token_answers: list[tuple[int, Any]] = []
        """Statuses and documents of the token endpoint before the right answer; bytes are sent unchanged."""
        self.device: dict[str, Any] = {}
        self.requests: list[tuple[str, dict[str, str], dict[str, str]]] = []
        """The path, the parameters and the headers of each request."""
        self.codes: dict[str, dict[str, str]] = {}
        self.redirect_all = False

    def document(self) -> dict[str, Any]:
        """Return its metadata."""
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "device_authorization_endpoint": f"{self.url}/device",
            "jwks_uri": f"{self.url}/jwks",
            "authorization_response_iss_parameter_supported": True,
            **self.metadata,
        }

    def id_token(self, nonce: str | None = None, **more: Any) -> str:
        """Return an ID token."""
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.url,
            "aud": CLIENT,
            "sub": self.subject,
            "iat": now,
            "auth_time": now,
            "exp": now + 300,
            "jti": os.urandom(8).hex(),
            "nonce": nonce,
            "at_hash": half_hash(SECRET_WORDS[1]),
            **more,
            **self.claims,
        }
        kept = {name: value for name, value in claims.items() if value is not None}
        return token({"alg": "ES256", "typ": "JWT", "kid": "idp", **self.header}, kept, self.key)

    def authorized(self, stated: dict[str, str]) -> str:
        """Return the address that the browser is sent back to."""
        code = os.urandom(8).hex()
        self.codes[code] = stated
        right = {"code": code, "state": stated["state"], "iss": self.url}
        return f"{stated['redirect_uri']}?{urlencode(self.answer(right))}"

    def tokens(self, stated: dict[str, str]) -> tuple[int, Any]:
        """Return the answer of the token endpoint."""
        if self.token_answers:
            return self.token_answers.pop(0)
        nonce = None
        if stated.get("grant_type") == "authorization_code":
            begun = self.codes.pop(stated.get("code", ""), None)
            if begun is None or begun["redirect_uri"] != stated.get("redirect_uri"):
                return 400, {"error": "invalid_grant"}
            digest = hashlib.sha256(stated.get("code_verifier", "").encode()).digest()
            if begun["code_challenge_method"] != "S256" or begun["code_challenge"] != encode(digest):
                return 400, {"error": "invalid_grant", "error_description": "the code_verifier is wrong"}
            nonce = begun["nonce"]
        return 200, {
            "id_token": self.id_token(nonce),
            "access_token": SECRET_WORDS[1],
            "refresh_token": SECRET_WORDS[0],
            "token_type": "Bearer",
        }


SEED = "the-seed-of-a-login"


def nonce_at(authority: str) -> str:
    """Return the `nonce` of an ID token for a login at an authority or beside a ledger, with that seed."""
    return (
        base64.urlsafe_b64encode(hashlib.sha256(f"{authority}\0{SEED}".encode()).digest())
        .decode()
        .rstrip("=")
    )


def half_hash(text: str) -> str:
    """Return `at_hash` of a text for ES256."""
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()[:16]).decode().rstrip("=")


class _Handler(BaseHTTPRequestHandler):
    provider: IdentityProvider

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self._serve(parts.path, parts.query)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0"))).decode()
        self._serve(self.path, body)

    def _serve(self, path: str, text: str) -> None:
        provider = self.provider
        stated = {name: values[0] for name, values in parse_qs(text, keep_blank_values=True).items()}
        provider.requests.append(
            (path, stated, {name.lower(): value for name, value in self.headers.items()})
        )
        if provider.redirect_all and path != "/elsewhere":
            self._answer(302, b"", location=f"{provider.url}/elsewhere")
        elif path == "/.well-known/openid-configuration":
            self._answer(200, provider.document())
        elif path == "/jwks":
            self._answer(200, {"keys": [jwk(P256, kid="idp", alg="ES256", use="sig")]})
        elif path == "/authorize":
            self._answer(302, b"", location=provider.authorized(stated))
        elif path == "/token":
            self._answer(*provider.tokens(stated))
        elif path == "/device":
            document = {
                "device_code": "DEVICE-CODE-OF-THE-TEST",
                "user_code": "WDJB-MJHT",
                "verification_uri": f"{provider.url}/activate",
                "verification_uri_complete": f"{provider.url}/activate?user_code=WDJB-MJHT",
                "expires_in": 60,
                "interval": 1,
                **provider.device,
            }
            self._answer(200, document)
        else:
            self._answer(404, {"error": "not_found"})

    def _answer(self, status: int, document: Any, location: str | None = None) -> None:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(status)
        if location is not None:
            self.send_header("Location", location)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def identity_provider() -> Iterator[IdentityProvider]:
    """Serve an identity provider for the length of the block."""
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    provider = IdentityProvider(f"http://127.0.0.1:{server.server_port}")
    handler.provider = provider  # type: ignore[attr-defined] # of the class above
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
