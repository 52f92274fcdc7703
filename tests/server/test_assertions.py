"""`private_key_jwt`: a client that signs is known by its registered key, and each assertion counts once."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from jitid.capabilities.access.authenticate import TYPE as ASSERTION
from tests.crypto.signed import ED25519, P256, jwk, token
from tests.server.asking import API, ISSUER, Asked, asking, grant
from tests.serving import Answer


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """Serve a client that has registered its key."""
    with asking(tmp_path_factory.mktemp("signing"), "issuer", "verifier") as made:
        assert grant(made.shell, "system:ci", "verifier", key=jwk(P256)) == ""
        yield made


def assertion(**changed: Any) -> str:
    """Return a signed assertion; None omits a claim."""
    now = int(time.time())
    claims = {
        "iss": "system:ci",
        "sub": "system:ci",
        "aud": ISSUER,
        "jti": os.urandom(8).hex(),
        "iat": now,
        "exp": now + 60,
    }
    said = {name: value for name, value in {**claims, **changed}.items() if value is not None}
    return token({"alg": "ES256", "typ": "JWT"}, said, P256)


def sign_in(
    asked: Asked, signed: str, path: str = "/token", *, bearer: str | None = None, **more: str
) -> Answer:
    """Send a request with a client's signed assertion."""
    fields = {
        "grant_type": "client_credentials",
        "audience": API,
        "client_assertion": signed,
        "client_assertion_type": ASSERTION,
        **more,
    }
    return asked.form(path, bearer=bearer, **fields)


def test_a_client_that_signs_is_served_at_every_endpoint(asked: Asked) -> None:
    done = sign_in(asked, assertion(), client_id="system:ci")
    assert done.status == 200, done.body
    live = done.json["access_token"]
    found = sign_in(asked, assertion(), "/introspect", token=live)
    assert (found.json["active"], found.json["sub"]) == (True, "system:ci")
    assert sign_in(asked, assertion(aud="http://localhost/token"), "/introspect", token=live).status == 200
    assert sign_in(asked, assertion(aud="http://localhost/revoke"), "/revoke", token=live).status == 200
    assert sign_in(asked, assertion(), "/introspect", token=live).json == {"active": False}


def test_the_metadata_tells_of_it(asked: Asked) -> None:
    found = asked.served.ask("GET", "/.well-known/oauth-authorization-server").json
    for name in ("token", "introspection", "revocation"):
        assert "private_key_jwt" in found[f"{name}_endpoint_auth_methods_supported"]
        assert "ES256" in found[f"{name}_endpoint_auth_signing_alg_values_supported"]
        assert "none" not in found[f"{name}_endpoint_auth_signing_alg_values_supported"]


def test_an_assertion_counts_once(asked: Asked) -> None:
    """RFC 7523, section 3: this holds at another endpoint too."""
    signed = assertion()
    assert sign_in(asked, signed).status == 200
    for path in ("/token", "/introspect", "/revoke"):
        again = sign_in(asked, signed, path, token="x")
        assert (again.status, again.json["error"]) == (401, "invalid_client")
    other = assertion(jti="the-same")
    assert sign_in(asked, other).status == 200
    assert sign_in(asked, assertion(jti="the-same")).status == 401


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "https://other.example"},
        {"aud": [ISSUER, "https://other.example"]},
        {"exp": 1_000},
        {"exp": 1 << 40, "iat": None},
        {"jti": None},
        {"iss": "system:other"},
        {"sub": "system:other", "iss": "system:other"},
        {"sub": "acc_nonsense", "iss": "acc_nonsense"},
    ],
    ids=str,
)
def test_what_proves_nothing_is_an_invalid_client(asked: Asked, changed: dict[str, Any]) -> None:
    done = sign_in(asked, assertion(**changed))
    assert (done.status, done.json["error"]) == (401, "invalid_client")


def test_a_key_that_is_not_registered_proves_nothing(asked: Asked) -> None:
    now = int(time.time())
    claims = {"iss": "system:ci", "sub": "system:ci", "aud": ISSUER, "jti": "x", "exp": now + 60}
    for header in (
        {"alg": "EdDSA"},
        {"alg": "EdDSA", "jwk": jwk(ED25519)},
        {"alg": "none"},
        {"alg": "HS256"},
    ):
        assert sign_in(asked, token(header, claims, ED25519)).status == 401


def test_a_client_proves_itself_in_one_way(asked: Asked) -> None:
    """RFC 6749, section 2.3."""
    bearer = grant(asked.shell, "system:other")
    both = sign_in(asked, assertion(), bearer=bearer)
    assert (both.status, both.json["error"]) == (400, "invalid_request")
    both = sign_in(asked, assertion(), client_id="system:ci", client_secret="x")
    assert (both.status, both.json["error"]) == (400, "invalid_request")
    for more in ({"client_assertion_type": "urn:other"}, {"client_assertion": ""}):
        assert sign_in(asked, assertion(), **more).json["error"] == "invalid_client"
    assert sign_in(asked, assertion(), client_id="system:other").json["error"] == "invalid_client"
