"""Signed tokens of every kind, valid and invalid, and their keys."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, utils
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

Private = Ed25519PrivateKey | EllipticCurvePrivateKey | RSAPrivateKey

NOW = 1_795_521_600
ISSUER = "urn:jitid:5e0c2f7e"
ED25519 = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
P256 = generate_private_key(SECP256R1())
RSA = generate_rsa(65_537, 2_048)
RSA_OTHER = generate_rsa(65_537, 2_048)
HEADER = {"alg": "EdDSA", "typ": "at+jwt", "kid": "k1"}
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": ISSUER,
    "iat": NOW,
    "nbf": NOW,
    "exp": NOW + 900,
    "jti": "jti_1",
    "sub": "user:alice",
}


def encode(data: bytes) -> str:
    """Encode base64url without padding, independently of the code under test."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def raw_public(private: Private) -> bytes:
    """Return the public key in the ledger's form: raw, an uncompressed point, or the modulus."""
    if isinstance(private, Ed25519PrivateKey):
        return private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    if isinstance(private, RSAPrivateKey):
        return private.public_key().public_numbers().n.to_bytes(private.key_size // 8)
    return private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def jwk(private: Private, **more: Any) -> dict[str, Any]:
    """Return the public key as a JWK, with further members."""
    if isinstance(private, Ed25519PrivateKey):
        return {"kty": "OKP", "crv": "Ed25519", "x": encode(raw_public(private)), **more}
    if isinstance(private, EllipticCurvePrivateKey):
        point = raw_public(private)
        return {"kty": "EC", "crv": "P-256", "x": encode(point[1:33]), "y": encode(point[33:]), **more}
    numbers = private.public_key().public_numbers()
    modulus = numbers.n.to_bytes(private.key_size // 8)
    return {"kty": "RSA", "n": encode(modulus), "e": encode(numbers.e.to_bytes(3)), **more}


def signature(message: bytes, private: Private, alg: str) -> bytes:
    """Sign as RFC 7518 or RFC 8037 specifies for the algorithm."""
    if isinstance(private, Ed25519PrivateKey):
        return private.sign(message)
    if isinstance(private, EllipticCurvePrivateKey):
        r, s = utils.decode_dss_signature(private.sign(message, ECDSA(hashes.SHA256())))
        return r.to_bytes(32) + s.to_bytes(32)
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size)
    return private.sign(message, pss if alg == "PS256" else padding.PKCS1v15(), hashes.SHA256())


def token(
    header: Mapping[str, Any] | str = HEADER,
    claims: Mapping[str, Any] | str | bytes = CLAIMS,
    private: Private = ED25519,
) -> str:
    """Return a token with a valid signature over any header and claims, which are values or text."""
    head = header if isinstance(header, str) else json.dumps(header)
    body = claims if isinstance(claims, str | bytes) else json.dumps(claims)
    payload = body.encode() if isinstance(body, str) else body
    message = f"{encode(head.encode())}.{encode(payload)}"
    alg = "" if isinstance(header, str) else str(header.get("alg"))
    return f"{message}.{encode(signature(message.encode(), private, alg))}"
