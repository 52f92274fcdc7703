"""Client assertions: a client signs one to prove its identity, to this authority only and for minutes."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from jitid.capabilities.access import authenticate
from jitid.errors import InvalidCredentialError
from tests.crypto.signed import ED25519, NOW, P256, Private, encode, jwk, token

RSA = generate_private_key(65537, 2048)
HERE = "https://auth.example/token"
CLAIMS: dict[str, Any] = {
    "iss": "system:ci",
    "sub": "system:ci",
    "aud": HERE,
    "jti": "one",
    "iat": NOW,
    "exp": NOW + 60,
}


def check(text: str, *keys: dict[str, Any], now: int = NOW) -> str:
    """Check an assertion against the keys, and return its client."""
    found = authenticate.parse_assertion(text)
    named = {f"acc_{number}": key for number, key in enumerate(keys)}
    assert (
        authenticate.check_assertion(found, named, ("https://auth.example", HERE), now)
        == f"acc_{len(keys) - 1}"
    )
    return found.client


def signed(private: Private = P256, alg: str = "ES256", typ: str = "JWT", **claims: Any) -> str:
    """Return an assertion with some of its claims changed; None omits a claim."""
    said = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not None}
    return token({"alg": alg, "typ": typ}, said, private)


@pytest.mark.parametrize(
    ("private", "alg"), [(P256, "ES256"), (ED25519, "EdDSA"), (ED25519, "Ed25519"), (RSA, "RS256")]
)
def test_a_client_is_proved_by_its_key(private: Private, alg: str) -> None:
    assert check(signed(private, alg), jwk(private)) == "system:ci"
    assert check(signed(private, alg), jwk(generate_private_key(65537, 2048)), jwk(private)) == "system:ci"
    assert check(
        signed(private, alg, "client-authentication+jwt", aud=["https://auth.example"]), jwk(private)
    )
    for other in (P256, ED25519, RSA):
        if other is not private:
            with pytest.raises(InvalidCredentialError, match="does not match any key of the client"):
                check(signed(private, alg), jwk(other))


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"aud": "https://other.example"}, "alone"),
        ({"aud": [HERE, "https://other.example"]}, "alone"),
        ({"aud": []}, "alone"),
        ({"aud": None}, "alone"),
        ({"iss": "system:other"}, "must both be the client's name"),
        ({"sub": None}, "must both be the client's name"),
        ({"sub": "", "iss": ""}, "must both be the client's name"),
        ({"sub": ["system:ci"], "iss": ["system:ci"]}, "must both be the client's name"),
        ({"jti": None}, "no valid `jti`"),
        ({"jti": ""}, "no valid `jti`"),
        ({"jti": "x" * 257}, "no valid `jti`"),
        ({"exp": None}, "must be integers"),
        ({"exp": NOW + 60.5}, "must be integers"),
        ({"exp": True}, "must be integers"),
        ({"exp": NOW}, "has expired"),
        ({"exp": NOW + 3600, "iat": NOW - 300}, "signed 300 seconds ago"),
        ({"exp": NOW + 361, "iat": None}, "more than 300 seconds"),
        ({"exp": NOW + 3600, "iat": NOW + 61}, "more than 300 seconds"),
        ({"iat": NOW + 61}, "`iat` must be an integer and not in the future"),
        ({"iat": "now"}, "must be integers"),
        ({"nbf": NOW + 61}, "`nbf` must be an integer and not in the future"),
        ({"nbf": "now"}, "`nbf` must be an integer and not in the future"),
    ],
)
def test_claims_that_prove_nothing(claims: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidCredentialError, match=why):
        check(signed(**claims), jwk(P256))


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ({"alg": "none"}, "algorithm must be one of"),
        ({"alg": "HS256"}, "algorithm must be one of"),
        ({"alg": "ES384"}, "algorithm must be one of"),
        ({"alg": ["ES256"]}, "algorithm must be one of"),
        ({}, "algorithm must be one of"),
        ({"alg": "ES256", "typ": "at+jwt"}, "type is not JWT"),
        ({"alg": "ES256", "crit": ["b64"]}, "extension"),
        ({"alg": "EdDSA"}, "does not match any key of the client"),
        ({"alg": "RS256"}, "does not match any key of the client"),
    ],
)
def test_a_header_chooses_neither_key_nor_algorithm(header: dict[str, Any], why: str) -> None:
    """A header chooses neither the key nor the algorithm (RFC 8725, section 3.1)."""
    with pytest.raises(InvalidCredentialError, match=why):
        check(token({"jwk": jwk(P256), **header}, CLAIMS, P256), jwk(P256, kid="mine"))


def test_a_public_key_is_no_shared_secret() -> None:
    """A registered symmetric key is never used either."""
    with pytest.raises(InvalidCredentialError, match="does not match any key of the client"):
        check(signed(), {"kty": "oct", "k": encode(b"a shared secret of 32 characters")})
    with pytest.raises(InvalidCredentialError, match="does not match any key of the client"):
        check(signed(), jwk(P256, alg="ES384"))
    with pytest.raises(InvalidCredentialError, match="does not match any key of the client"):
        check(signed())


def test_what_is_signed_for_an_hour_counts_for_minutes() -> None:
    """Common clients sign for an hour. jitid accepts an assertion for 5 minutes, and remembers its use no longer."""
    long = signed(exp=NOW + 3600)
    assert check(long, jwk(P256), now=NOW + 299) == "system:ci"
    assert authenticate.parse_assertion(long).ends_at == NOW + 300
    assert check(signed(iat=None, exp=NOW + 300), jwk(P256)) == "system:ci"


def test_a_changed_assertion_is_refused() -> None:
    head, body, end = signed().split(".")
    other = signed(sub="system:root", iss="system:root").split(".")[1]
    for text in (f"{head}.{other}.{end}", f"{head}.{body}.{encode(bytes(64))}", f"{head}.{body}.{end[:-4]}"):
        with pytest.raises(InvalidCredentialError):
            check(text, jwk(P256))
