"""Compact JWS tokens (RFC 7515, RFC 7519): strict parsing, and checks of claims and signatures."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import Any

from jitid.errors import ExpiredError, IntegrityError, InvalidCredentialError
from jitid.redaction.token_format import MAX_TOKEN as MAX_TOKEN
from jitid.values import strict_json
from jitid.values.record import Record
from jitid.values.strict_json import b64url, b64url_decode
from jitid.values.times import ANOTHER, format_time

MAX_KID = 128

SIGNATURE_SIZES = {"EdDSA": 64, "ES256": 64, "RS256": 256}
"""The number of bytes of a signature, by algorithm: each algorithm has keys of one size only.

Ed25519 (RFC 8032), P-256 (RFC 7518, section 3.4), and RSA with 2048 bits and PKCS#1 v1.5 (RFC 7518, section 3.3).
"""

ALGORITHMS = frozenset(SIGNATURE_SIZES)
"""The algorithms of jitid's signatures."""

RSA_BITS = 2_048
"""The size of each RSA key.

It is the minimum of RFC 7518, and every verifier of RS256 accepts it. A key signs for months and a token is valid for
minutes; a verifier that requires more security accepts ES256. With one size, a parser knows the length of a signature.
"""
RSA_EXPONENT = 65_537
"""The public exponent of each RSA key; so the modulus identifies a public key."""

ACCESS_TOKENS = frozenset({"at+jwt"})
"""The `typ` of an access token (RFC 9068, section 2.1)."""

IDENTITY = "jitid-identity+jwt"
"""The `typ` of an identity token: it is for the authority alone, and no verifier of access tokens accepts it."""

SVID = "JWT"
"""The `typ` of a JWT-SVID (JWT-SVID, section 2.3): no verifier of access tokens accepts one (RFC 9068, section 4)."""

SVID_ALGORITHMS = ("ES256", "RS256")
"""The algorithms of JWT-SVIDs, the default first: they are not signed with Ed25519 (JWT-SVID, section 2.1)."""

TOKENS = ACCESS_TOKENS | {IDENTITY, SVID}
"""The `typ` of each token that is a credential. No verifier accepts one for another (RFC 8725, section 3.11)."""

_CUT = "copy the whole token; to identify a part of one: jitid trace"


class Parsed(Record):
    """A token of the right form; its contents are untrusted until the signature is verified."""

    alg: str
    typ: str
    kid: str
    payload: bytes
    claims: dict[str, Any]
    signing_input: bytes
    signature: bytes
    canonical: str
    """The token's only spelling: the parsed text, since any other spelling is refused."""


def split(text: str | bytes, most: int = MAX_TOKEN) -> tuple[str, str, str]:
    """Return the header, payload and signature of a compact token; they are not empty and not decoded.

    `most` is its maximum length in bytes. Raises InvalidCredentialError.
    """
    if len(text) > most:
        raise InvalidCredentialError(f"the token is longer than {most} bytes")
    if not text.isascii():
        raise InvalidCredentialError("not a JWT: it contains characters other than ASCII")
    token = text if isinstance(text, str) else text.decode("ascii")
    parts = token.split(".")
    if len(parts) != 3:
        hint = "remove the dot at the end" if len(parts) == 4 and not parts[3] else _CUT
        raise InvalidCredentialError("not a JWT: expected three dot-separated parts", hint)
    header, payload, signature = parts
    if not (header and payload and signature):
        raise InvalidCredentialError("not a JWT: one of its parts is empty", _CUT)
    return header, payload, signature


def decode_part(part: str, name: str) -> bytes:
    """Return the decoded bytes of one part of a token; `name` is for the error. Raises InvalidCredentialError."""
    try:
        return b64url_decode(part)
    except ValueError:
        raise InvalidCredentialError(f"the token's {name} is not canonical base64url", _CUT) from None


def decode_object(part: str, name: str) -> tuple[bytes, dict[str, Any]]:
    """Return the bytes and the members of a part of a token that is a JSON object.

    Raises InvalidCredentialError.
    """
    data = decode_part(part, name)
    try:
        members = strict_json.loads(data, f"the token's {name}")
    except strict_json.StrictJSONError as error:
        raise InvalidCredentialError(str(error), _CUT) from None
    if type(members) is not dict:
        raise InvalidCredentialError(f"the token's {name} is not a JSON object")
    return data, members


def parse(
    text: str | bytes,
    algorithms: frozenset[str] = ALGORITHMS,
    types: frozenset[str] = ACCESS_TOKENS,
    most: int = MAX_TOKEN,
) -> Parsed:
    """Return the parts of a compact token if it has exactly the form of jitid's tokens.

    The header has the members `alg`, `typ` and `kid` and no other, so that no token can name its own key (`jwk`,
    `jku`, `x5u`, `x5c`) or require an extension (`crit`; RFC 8725, section 3). `alg` must be among `algorithms`, `typ`
    among `types`; case matters. `most` is the maximum length in bytes.

    Raises InvalidCredentialError, which never repeats any of the token.
    """
    header, payload_part, signature_part = split(text, most)
    if len(header) > MAX_TOKEN:
        raise InvalidCredentialError(f"the token's header is longer than {MAX_TOKEN} bytes")
    alg, typ, kid = _header(header)
    if alg not in algorithms:
        raise InvalidCredentialError("the token's algorithm is not accepted")
    if typ not in types:
        raise InvalidCredentialError("the token's type is not accepted")
    payload, claims = decode_object(payload_part, "payload")
    signature = decode_part(signature_part, "signature")
    signing_input = f"{header}.{payload_part}"
    canonical = f"{signing_input}.{signature_part}"
    return Parsed(alg, typ, kid, payload, claims, signing_input.encode("ascii"), signature, canonical)


def parse_any(text: str) -> Parsed:
    """Return the parts of a compact token with any header: only to find its issuer, never to accept it.

    Raises InvalidCredentialError.
    """
    header, payload_part, signature_part = split(text)
    _, members = decode_object(header, "header")
    alg, typ, kid = (str(members.get(name)) for name in ("alg", "typ", "kid"))
    payload, claims = decode_object(payload_part, "payload")
    signature = decode_part(signature_part, "signature")
    return Parsed(alg, typ, kid, payload, claims, f"{header}.{payload_part}".encode("ascii"), signature, text)


# A ledger's tokens share a few headers. The cache is bounded: 64 headers of MAX_TOKEN are one megabyte at most.
@lru_cache(maxsize=64)
def _header(part: str) -> tuple[str, str, str]:
    _, members = decode_object(part, "header")
    if members.keys() != {"alg", "typ", "kid"}:
        raise InvalidCredentialError("the token's header must have exactly the members alg, typ and kid")
    alg, typ, kid = members["alg"], members["typ"], members["kid"]
    if not (type(alg) is str and type(typ) is str and type(kid) is str):
        raise InvalidCredentialError("the token's header has a member that is not a string")
    if not (0 < len(kid) <= MAX_KID and kid.isascii() and kid.isprintable()):
        raise InvalidCredentialError("the token's key id is invalid")
    return alg, typ, kid


def check_claims(
    claims: Mapping[str, Any],
    *,
    issuer: str,
    audiences: Collection[str],
    now: int,
    leeway: int = 0,
    label: str = "the token",
) -> None:
    """Refuse claims of another issuer, for another audience, or not valid at `now` (RFC 7519, section 4.1).

    `exp` and `iat` are required, `nbf` is checked if present; all are integers, seconds since the epoch. A token
    expires at its `exp`, regardless of `leeway`: the number of seconds by which the issuer's clock may be ahead in
    `iat` and `nbf`. `aud` is a string or a list of strings, at least one of which is among `audiences`. `label` is the
    name of the token in errors.

    Raises InvalidCredentialError with a reason of one clause.
    """
    if claims.get("iss") != issuer:
        raise InvalidCredentialError(f"{label} is from another issuer")
    check_audience(claims, audiences, label)
    for name in ("sub", "jti", "client_id", "scope"):
        if type(claims.get(name, "")) is not str:
            raise InvalidCredentialError(f"{label}'s `{name}` is not a string")
    expires_at, issued_at = claims.get("exp"), claims.get("iat")
    not_before = claims.get("nbf", issued_at)
    # `type` and not `isinstance`: to Python, true is an integer.
    if not (type(expires_at) is int and type(issued_at) is int and type(not_before) is int):
        raise InvalidCredentialError(f"{label}'s times are missing or not integers")
    if now >= expires_at:
        raise ExpiredError(f"{label} has expired", f"{claimed_expiry(expires_at)}; {ANOTHER}")
    if now + leeway < not_before:
        raise InvalidCredentialError(f"{label} is not valid yet")
    if now + leeway < issued_at:
        raise InvalidCredentialError(f"{label} was issued in the future")


def check_audience(claims: Mapping[str, Any], audiences: Collection[str], label: str = "the token") -> None:
    """Refuse claims for another audience, as `check_claims` does. Raises InvalidCredentialError."""
    if isinstance(audiences, str):
        # `in` would find "a" in a string.
        raise TypeError("audiences must be a collection of strings")
    audience = claims.get("aud")
    claimed_audiences = audience if type(audience) is list else [audience]
    for claimed_audience in claimed_audiences:
        if type(claimed_audience) is not str:
            raise InvalidCredentialError(f"{label}'s audience is missing or not a string")
    if set(claimed_audiences).isdisjoint(audiences):
        raise InvalidCredentialError(f"{label} is for another audience")


def claimed_expiry(expires_at: int) -> str:
    """Return the expiry that an expired token claims: not a fact, since its signature may not be verified yet."""
    when = format_time(expires_at) if expires_at >= 0 else "before 1970"
    return f"its `exp` is {when}"


def verify_signature(parsed: Parsed, alg: str, public: bytes) -> None:
    """Refuse the token unless `public`, a key that is recorded for `alg`, verifies the signature.

    `public` is 32 raw bytes for EdDSA (RFC 8032), an uncompressed point of 65 bytes for ES256 (RFC 7518, section 3.4),
    and the modulus of 256 bytes for RS256 (RFC 7518, section 3.3). The token's own algorithm is compared, never
    followed (RFC 8725, section 3.1).

    Raises InvalidCredentialError; IntegrityError when the public key itself is damaged.
    """
    if parsed.alg != alg:
        raise InvalidCredentialError("the token's algorithm does not match its key")
    # A verified signature stays valid forever. The cache holds only digests, which are useless to an attacker.
    digest = hashlib.sha256(
        b".".join((alg.encode(), public, parsed.signing_input, parsed.signature))
    ).digest()
    if digest in _VERIFIED:
        return
    # A signature of another size is the token's fault, even if the key is damaged.
    if len(parsed.signature) != SIGNATURE_SIZES.get(alg, len(parsed.signature)) or not verifier(alg, public)(
        parsed.signing_input, parsed.signature
    ):
        raise InvalidCredentialError("the token's signature is invalid")
    if len(_VERIFIED) >= _MOST_VERIFIED:
        _VERIFIED.clear()
    _VERIFIED.add(digest)


_MOST_VERIFIED = 10_000
_VERIFIED: set[bytes] = set()
"""Digests of verified signatures, each over the signed bytes and the key as well."""


@lru_cache(maxsize=64)
def verifier(alg: str, public: bytes) -> Callable[[bytes, bytes], bool]:
    """Return a function that verifies the signature of a message with a key of `verify_signature`.

    It is cached because preparing the key is costly. Raises IntegrityError when the public key is damaged.
    """
    # Imported late: issuing must not pay for it. PyJWT is not used, since its import takes longer than all of this.
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
    from cryptography.hazmat.primitives.hashes import SHA256

    check: Callable[[bytes, bytes], None]
    try:
        if alg == "EdDSA":
            check = ed25519.Ed25519PublicKey.from_public_bytes(public).verify
        elif alg == "ES256":
            point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), _coordinates(public)[0])

            def check_point(signature: bytes, message: bytes) -> None:
                halves = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
                point.verify(encode_dss_signature(*halves), message, ec.ECDSA(SHA256()))

            check = check_point
        elif alg == "RS256":
            check = _rsa_check(public)
        else:
            raise IntegrityError("a public key is for an unsupported algorithm")
    except ValueError:
        raise IntegrityError("a public key is damaged") from None

    def verify(message: bytes, signature: bytes) -> bool:
        # Each algorithm has one signature size; a signature of another size never reaches the arithmetic.
        if len(signature) != SIGNATURE_SIZES[alg]:
            return False
        try:
            check(signature, message)
        except InvalidSignature:
            return False
        return True

    return verify


def _rsa_check(public: bytes) -> Callable[[bytes, bytes], None]:
    """Return a function that raises InvalidSignature unless the modulus verifies a signature over a message."""
    from cryptography.hazmat.primitives.asymmetric import padding, rsa
    from cryptography.hazmat.primitives.hashes import SHA256

    key = rsa.RSAPublicNumbers(RSA_EXPONENT, int.from_bytes(_modulus(public))).public_key()
    scheme, digest = padding.PKCS1v15(), SHA256()

    def check(signature: bytes, message: bytes) -> None:
        key.verify(signature, message, scheme, digest)

    return check


def public_jwk(alg: str, public: bytes, kid: str) -> dict[str, str]:
    """Return the public key as a JWK (RFC 7517; RFC 8037, section 2). Raises IntegrityError."""
    return {**_required(alg, public), "alg": alg, "use": "sig", "kid": kid}


def thumbprint(alg: str, public: bytes) -> str:
    """Return the key's SHA-256 thumbprint in base64url (RFC 7638). Raises IntegrityError."""
    return b64url(hashlib.sha256(strict_json.dumps(_required(alg, public)).encode("ascii")).digest())


def _required(alg: str, public: bytes) -> dict[str, str]:
    """Return the required members of the key, which a thumbprint covers."""
    if alg == "EdDSA" and len(public) == 32:
        return {"crv": "Ed25519", "kty": "OKP", "x": b64url(public)}
    if alg == "ES256":
        _, x, y = _coordinates(public)
        return {"crv": "P-256", "kty": "EC", "x": b64url(x), "y": b64url(y)}
    if alg == "RS256":
        return {"e": b64url(RSA_EXPONENT.to_bytes(3)), "kty": "RSA", "n": b64url(_modulus(public))}
    raise IntegrityError("a public key is damaged or for an unsupported algorithm")


def _coordinates(public: bytes) -> tuple[bytes, bytes, bytes]:
    """Return the point itself and its halves; compressed and hybrid forms, which jitid never uses, are refused."""
    if len(public) != 65 or public[0] != 4:
        raise IntegrityError("a public key is damaged")
    return public, public[1:33], public[33:]


def _modulus(public: bytes) -> bytes:
    """Return the modulus itself; one of another size, or an even one, is refused."""
    if len(public) != RSA_BITS // 8 or public[0] < 0x80 or not public[-1] & 1:
        raise IntegrityError("a public key is damaged")
    return public
