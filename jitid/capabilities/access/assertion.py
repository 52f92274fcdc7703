"""Client authentication by a signed assertion (`private_key_jwt`, RFC 7523), verified with the registered keys."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from jitid.capabilities.access import oidc
from jitid.crypto import jws
from jitid.errors import ConfigurationError, InvalidCredentialError
from jitid.values.times import expiry_hint

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

ALGORITHMS = ("EdDSA", "ES256", "RS256", "PS256")
"""The signature algorithms for clients; each key is registered for one of them."""

LONGEST = 300
"""The maximum number of seconds that an assertion is valid after its signature, even if its `exp` is later."""

CLOCK_LEEWAY = 60
"""The number of seconds by which the client's clock may be ahead of jitid's."""

_LONGEST_ID = 256
# RFC 7523, and draft-ietf-oauth-rfc7523bis, which defines a separate type.
_TYPES = ("JWT", "CLIENT-AUTHENTICATION+JWT")
# RFC 9864, section 2.2, gives the same algorithm another name.
_NAMES = {"Ed25519": "EdDSA"}


class Assertion(NamedTuple):
    """A well-formed assertion; its content must not be trusted before its signature is verified."""

    client: str
    jti: str
    ends_at: int
    """The time from which it is not valid."""
    claims: Mapping[str, Any]
    alg: str
    signing_input: bytes
    signature: bytes


def parse(text: str) -> Assertion:
    """Return the parts of an assertion. Raises InvalidCredentialError; the message never contains the assertion."""
    header_part, payload_part, signature_part = jws.split(text)
    _, header = jws.decode_object(header_part, "header")
    _, claims = jws.decode_object(payload_part, "payload")
    signature = jws.decode_part(signature_part, "signature")
    if "crit" in header or "b64" in header:
        raise InvalidCredentialError("the assertion asks for an extension")
    typ, alg = header.get("typ", "JWT"), header.get("alg")
    if type(typ) is not str or typ.upper().removeprefix("APPLICATION/") not in _TYPES:
        raise InvalidCredentialError("the assertion's type is not JWT")
    alg = _NAMES.get(alg, alg) if type(alg) is str else None
    if alg not in ALGORITHMS:
        raise InvalidCredentialError(f"the assertion's algorithm is none of {', '.join(ALGORITHMS)}")
    client, jti, expires_at = claims.get("sub"), claims.get("jti"), claims.get("exp")
    if type(client) is not str or not client or claims.get("iss") != client:
        # RFC 7523, section 3, and OpenID Connect Core, section 9.
        raise InvalidCredentialError("the assertion's `iss` and `sub` are not both the client's name")
    if type(jti) is not str or not 0 < len(jti) <= _LONGEST_ID or not jti.isascii():
        raise InvalidCredentialError("the assertion has no `jti` by which it is known again")
    issued_at = claims.get("iat")
    if type(expires_at) is not int or not (issued_at is None or type(issued_at) is int):
        raise InvalidCredentialError("the assertion's `exp` is missing, or a time of it is no integer")
    # Common clients sign for an hour and use the assertion at once. With the shorter limit, the ledger need not
    # remember used assertions for an hour.
    ends_at = expires_at if issued_at is None else min(expires_at, issued_at + LONGEST)
    signing_input = f"{header_part}.{payload_part}".encode("ascii")
    return Assertion(client, jti, ends_at, claims, alg, signing_input, signature)


def check(
    assertion: Assertion, keys: Mapping[str, Mapping[str, Any]], audiences: Collection[str], now: int
) -> str:
    """Return the id of the client's registered key (JWK) that signed an assertion for one of `audiences`.

    `aud` must be one of them and nothing more: another audience could have passed the assertion on. This function does
    not check whether the assertion was used before.

    Raises:
        InvalidCredentialError: the assertion is not valid at `now`.

    """
    aud = assertion.claims.get("aud")
    audience = aud[0] if type(aud) is list and len(aud) == 1 else aud
    if type(audience) is not str or audience not in audiences:
        raise InvalidCredentialError("the assertion's `aud` is not this authority alone")
    if now >= assertion.ends_at:
        raise InvalidCredentialError(
            f"the assertion has expired, or was signed {LONGEST} seconds ago or more",
            expiry_hint(assertion.ends_at, "sign a new one for each request"),
        )
    if assertion.ends_at > now + LONGEST + CLOCK_LEEWAY:
        raise InvalidCredentialError(
            f"the assertion is good for more than {LONGEST} seconds, and does not say when it was signed"
        )
    for name in ("iat", "nbf"):
        value = assertion.claims.get(name, now)
        if type(value) is not int or value > now + CLOCK_LEEWAY:
            raise InvalidCredentialError(f"the assertion's `{name}` is to come, or no integer")
    for id_, jwk in keys.items():
        if _signed_by(assertion, jwk):
            return id_
    raise InvalidCredentialError("the assertion is signed by none of the client's keys")


def _signed_by(assertion: Assertion, jwk: Mapping[str, Any]) -> bool:
    try:
        # A key is used only for its own algorithm, regardless of the header (RFC 8725, section 3.1).
        key = oidc.choose_key([dict(jwk)], {"alg": assertion.alg}, ALGORITHMS, "the client's keys")
        oidc.check_signature(key, assertion.signing_input, assertion.signature)
    except (InvalidCredentialError, ConfigurationError):
        return False
    return True
