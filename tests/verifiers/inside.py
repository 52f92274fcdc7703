"""Verifiers in Python, each in the tests' own process: jitid itself first."""

from __future__ import annotations

import asyncio
import json
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from jitid.capabilities.trust import offline
from jitid.crypto import jws
from jitid.errors import IntegrityError, InvalidCredentialError
from tests.real import module
from tests.verifiers.cases import AUDIENCE, ISSUER

Verdicts = list[str | None]
"""For each token: None if it was accepted, else why not."""


def _each(tokens: Sequence[str], verify: Callable[[str], object]) -> Verdicts:
    verdicts: Verdicts = []
    for token in tokens:
        try:
            verify(token)
            verdicts.append(None)
        except Exception as error:  # noqa: BLE001 - libraries fail in their own ways
            verdicts.append(f"{type(error).__name__}: {error}"[:200])
    return verdicts


def jitid(algorithm: str, jwks: dict[str, Any], tokens: Sequence[str]) -> Verdicts:
    """Check as jitid does with published keys, without the status list."""
    keys = offline.read_keys(json.dumps(jwks).encode())
    now = int(time.time())

    def verify(token: str) -> None:
        parsed = jws.parse(token)
        if parsed.kid not in keys:
            raise InvalidCredentialError("unknown `kid`")
        try:
            jws.verify_signature(parsed, *keys[parsed.kid])
        except IntegrityError as error:
            raise InvalidCredentialError(error.message) from None
        jws.check_claims(parsed.claims, issuer=ISSUER, audiences=[AUDIENCE], now=now)

    return _each(tokens, verify)


def pyjwt(algorithm: str, jwks: dict[str, Any], tokens: Sequence[str]) -> Verdicts:
    """PyJWT: a key by `kid`, one algorithm, and the required claims."""
    jwt = module("jwt")
    keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(jwks).keys}

    def verify(token: str) -> None:
        header = jwt.get_unverified_header(token)
        if header.get("typ") != "at+jwt":
            raise ValueError("typ")
        jwt.decode(
            token,
            keys[header["kid"]],
            algorithms=[algorithm],
            audience=AUDIENCE,
            issuer=ISSUER,
            options={"require": ["exp", "iat", "iss", "aud", "sub"]},
        )

    return _each(tokens, verify)


def joserfc(algorithm: str, jwks: dict[str, Any], tokens: Sequence[str]) -> Verdicts:
    """Joserfc, the successor of authlib's JOSE."""
    library, jwk = module("joserfc.jwt"), module("joserfc.jwk")
    keys = jwk.KeySet.import_key_set(jwks)
    registry = library.JWTClaimsRegistry(
        iss={"essential": True, "value": ISSUER},
        aud={"essential": True, "value": AUDIENCE},
        exp={"essential": True},
        iat={"essential": True},
    )

    def verify(token: str) -> None:
        found = library.decode(token, keys, algorithms=[algorithm])
        if found.header.get("typ") != "at+jwt":
            raise ValueError("typ")
        registry.validate(found.claims)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _each(tokens, verify)


def jwcrypto(algorithm: str, jwks: dict[str, Any], tokens: Sequence[str]) -> Verdicts:
    """Jwcrypto: the claims are checked by value and by time."""
    library, jwk = module("jwcrypto.jwt"), module("jwcrypto.jwk")
    keys = jwk.JWKSet.from_json(json.dumps(jwks))

    def verify(token: str) -> None:
        found = library.JWT(
            algs=[algorithm],
            expected_type="JWS",
            check_claims={"iss": ISSUER, "aud": AUDIENCE, "exp": None, "iat": None},
        )
        found.leeway = 0
        found.deserialize(token, keys)
        if json.loads(found.header).get("typ") != "at+jwt":
            raise ValueError("typ")

    return _each(tokens, verify)


def fastmcp(algorithm: str, jwks: dict[str, Any], tokens: Sequence[str]) -> Verdicts:
    """FastMCP's verifier with a static key: it has no key set in a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        provider = module("fastmcp.server.auth.providers.jwt")
    key = module("jwt").PyJWK(jwks["keys"][0]).key
    serialization = module("cryptography.hazmat.primitives.serialization")
    pem = key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()
    verifier = provider.JWTVerifier(public_key=pem, issuer=ISSUER, audience=AUDIENCE, algorithm=algorithm)

    verifier.logger.disabled = True

    def verify(token: str) -> None:
        if loop.run_until_complete(verifier.verify_token(token)) is None:
            raise ValueError("refused")

    loop = asyncio.new_event_loop()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _each(tokens, verify)
    finally:
        loop.close()


INSIDE: dict[str, Callable[[str, dict[str, Any], Sequence[str]], Verdicts]] = {
    "jitid": jitid,
    "PyJWT": pyjwt,
    "joserfc": joserfc,
    "jwcrypto": jwcrypto,
    "fastmcp": fastmcp,
}
