"""Verify a token offline: by published keys and status lists in files, without a ledger."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from jitid.crypto import jws, status_list
from jitid.crypto.status_list import SignedStatusList
from jitid.errors import ConfigurationError, IntegrityError, InvalidCredentialError
from jitid.values import strict_json
from jitid.values.record import Record

MAX_KEYS = 1 << 20
"""The maximum length of a key set, in bytes."""

Keys = Mapping[str, tuple[str, bytes]]
"""By `kid`: the algorithm, and the public key in the form for `jws.verify_signature`."""


class Offline(Record):
    """A token that is valid by the published data."""

    claims: Mapping[str, Any]
    listing: SignedStatusList
    """The status list; it does not show a revocation after it was written."""


def read_keys(data: bytes) -> Keys:
    """Return the keys of a JWKS (RFC 7517) that can sign tokens of jitid.

    Raises:
        ConfigurationError: it is not a key set, or two of its keys have the same id.

    """
    if len(data) > MAX_KEYS:
        raise ConfigurationError(f"the key set is longer than {MAX_KEYS} bytes")
    try:
        document = strict_json.loads(data, "the key set")
    except strict_json.StrictJSONError as error:
        raise ConfigurationError(str(error)) from None
    jwks = document.get("keys") if type(document) is dict else None
    if type(jwks) is not list or not all(type(jwk) is dict for jwk in jwks):
        raise ConfigurationError("not a JWKS: expected a list `keys`", "to print one: jitid keys export jwks")
    keys: dict[str, tuple[str, bytes]] = {}
    for jwk in jwks:
        kid, key = jwk.get("kid"), _key(jwk)
        if type(kid) is not str or key is None:
            # A key set may also contain keys that jitid does not use.
            continue
        if kid in keys:
            raise ConfigurationError("the key set has two keys with the same `kid`")
        keys[kid] = key
    return keys


def _key(jwk: Mapping[str, Any]) -> tuple[str, bytes] | None:
    """Return the algorithm and the public key of a JWK; None if tokens of jitid cannot be signed with it."""
    if jwk.get("kty") == "RSA":
        return _rsa_key(jwk)
    form = {"OKP": ("Ed25519", "EdDSA", ("x",)), "EC": ("P-256", "ES256", ("x", "y"))}.get(
        str(jwk.get("kty"))
    )
    if form is None or jwk.get("use", "sig") != "sig":
        return None
    curve, algorithm, names = form
    if jwk.get("crv") != curve or jwk.get("alg", algorithm) != algorithm:
        return None
    try:
        parts = [strict_json.b64url_decode(jwk[name]) for name in names]
    except (KeyError, AttributeError, ValueError):
        return None
    if any(len(part) != 32 for part in parts):
        return None
    return algorithm, parts[0] if len(parts) == 1 else b"\x04" + b"".join(parts)


def _rsa_key(jwk: Mapping[str, Any]) -> tuple[str, bytes] | None:
    """Return the modulus of an RSA key; None for one of another size, exponent or algorithm than jitid's keys have."""
    if jwk.get("use", "sig") != "sig" or jwk.get("alg", "RS256") != "RS256":
        return None
    try:
        modulus, exponent = (strict_json.b64url_decode(jwk[name]) for name in ("n", "e"))
        jws.public_jwk("RS256", modulus, "")
    except (KeyError, AttributeError, ValueError, IntegrityError):
        return None
    return ("RS256", modulus) if int.from_bytes(exponent) == jws.RSA_EXPONENT else None


def verify(
    token: str,
    keys: Keys,
    issuer: str,
    audiences: Collection[str],
    lists: Sequence[str],
    now: int,
    former: Mapping[str, int] = MappingProxyType({}),
) -> Offline:
    """Return the claims of a token that is valid at `now` for one of `audiences`, and its status list.

    Form, signature and claims are checked like by the ledger. The status list that the token names replaces the state
    in the ledger: it must be in `lists`, signed by one of the same keys, and not stale. `former` are former names of
    the issuer, each with the time from which it no longer counts.

    Raises:
        InvalidCredentialError: it is not valid, or this is unknown; the message says why and never contains the token.

    """
    if token.startswith("jitid_"):
        raise InvalidCredentialError(
            "cannot verify an opaque token offline: only the ledger knows it",
            "verify it with the ledger or an authority",
        )
    parsed = jws.parse(token, types=jws.TOKENS)
    key = keys.get(parsed.kid)
    if key is None:
        raise InvalidCredentialError("unknown `kid`: no published key signed this token")
    try:
        jws.verify_signature(parsed, *key)
    except IntegrityError as error:
        raise InvalidCredentialError(error.message) from None
    claimed_issuer = parsed.claims.get("iss")
    if isinstance(claimed_issuer, str) and now < former.get(claimed_issuer, 0):
        issuer = claimed_issuer
    jws.check_claims(parsed.claims, issuer=issuer, audiences=audiences, now=now)
    listings = [status_list.read(list_text, keys, now) for list_text in lists]
    return Offline(parsed.claims, status_list.check(parsed.claims, listings))


def named_list(token: str) -> str:
    """Return the address of the status list that a token names; the token is not verified.

    Raises:
        InvalidCredentialError: it names none.

    """
    return status_list.reference(jws.parse(token, types=jws.TOKENS).claims).uri
