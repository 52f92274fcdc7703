"""The tokens of the matrix: good ones and hostile ones for each algorithm, made by this code alone.

The keys are fixed, so the tokens of two runs differ only in their times and in the signatures of ES256.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from jitid.crypto import jws
from tests.crypto.signed import Private, encode, jwk, raw_public, signature

ALGORITHMS = ("EdDSA", "ES256", "RS256")
ISSUER = "https://id.example"
AUDIENCE = "https://api.example"
KID = "k1"
_OFFSETS = {"good p": 944, "good q": 670, "other p": 184, "other q": 1_034}
"""How far the next prime is from the number that a hash makes of the name."""


class Case(NamedTuple):
    """A token, and whether a verifier of access tokens must accept it."""

    name: str
    token: str
    accepted: bool = False


class Keys(NamedTuple):
    """The keys of one algorithm: that of the issuer, and a key that no verifier trusts."""

    algorithm: str
    good: Private
    other: Private

    def jwks(self) -> dict[str, Any]:
        """Return the published set: the issuer's key of this algorithm alone."""
        return {"keys": [jws.public_jwk(self.algorithm, raw_public(self.good), KID)]}


def _prime(name: str) -> int:
    raw = b"".join(hashlib.sha256(f"{name}/{part}".encode()).digest() for part in range(4))
    return (int.from_bytes(raw) | 3 << 1022 | 1) + _OFFSETS[name]


def _rsa(name: str) -> rsa.RSAPrivateKey:
    p, q = _prime(f"{name} p"), _prime(f"{name} q")
    d = pow(65_537, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPublicNumbers(65_537, p * q)
    exponents = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)
    return rsa.RSAPrivateNumbers(p, q, d, *exponents, numbers).private_key()


@cache
def keys(algorithm: str) -> Keys:
    """Return the keys of an algorithm."""
    if algorithm == "EdDSA":
        pair = [Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in (1, 2)]
        return Keys(algorithm, *pair)
    if algorithm == "ES256":
        return Keys(algorithm, *(ec.derive_private_key(number, ec.SECP256R1()) for number in (7**80, 7**81)))
    return Keys(algorithm, _rsa("good"), _rsa("other"))


class Maker:
    """Makes the tokens of one algorithm at one time."""

    def __init__(self, algorithm: str, now: int) -> None:
        self.keys = keys(algorithm)
        self.now = now
        self.header: dict[str, Any] = {"alg": algorithm, "kid": KID, "typ": "at+jwt"}
        self.claims: dict[str, Any] = {
            "jti": "jti_06h1aiitt1uth497rfm6cf91kk",
            "act": {"sub": "spiffe://jitid.local/ephemeral/planner/T1/jid_06h1aiitt1vd13gtq7uqt1g1rg"},
            "iss": ISSUER,
            "sub": "user:alice",
            "aud": AUDIENCE,
            "exp": now + 3_600,
            "iat": now - 10,
            "nbf": now - 10,
            "client_id": "planner",
            "scope": "db:read",
            "txn": "T1",
        }

    def sign(self, text: bytes, key: Private | None = None) -> bytes:
        """Sign with the issuer's key, or with another one."""
        return signature(text, key or self.keys.good, self.keys.algorithm)

    def raw(self, header: bytes, payload: bytes, sign: Callable[[bytes], bytes] | None = None) -> str:
        """Return a token of any bytes as header and payload."""
        text = f"{encode(header)}.{encode(payload)}"
        return f"{text}.{encode((sign or self.sign)(text.encode()))}"

    def token(
        self,
        header: dict[str, Any] | None = None,
        claims: dict[str, Any] | None = None,
        sign: Callable[[bytes], bytes] | None = None,
    ) -> str:
        """Return a token with changed members; `...` removes a member."""
        parts = [self.header | (header or {}), self.claims | (claims or {})]
        texts = [
            json.dumps({name: value for name, value in part.items() if value is not ...}).encode()
            for part in parts
        ]
        return self.raw(texts[0], texts[1], sign)

    def public_forms(self) -> dict[str, bytes]:
        """Return the forms in which the public key could serve as a MAC secret."""
        public, raw = self.keys.good.public_key(), raw_public(self.keys.good)
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return {
            "pem": pem,
            "pem-without-newline": pem.rstrip(b"\n"),
            "der": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            "raw": raw,
            "base64url": encode(raw).encode(),
            "jwk": json.dumps(jwk(self.keys.good)).encode(),
            "published-jwk": json.dumps(self.keys.jwks()["keys"][0]).encode(),
        }
