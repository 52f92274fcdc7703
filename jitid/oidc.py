"""ID tokens (OpenID Connect Core 1.0) as proof of who asks, verified by the keys of configured issuers."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Sequence
from shlex import quote as word
from typing import IO, Any, NamedTuple

from jitid import jws, strictjson
from jitid.errors import ConfigurationError, InvalidCredentialError, StorageError, UsageError
from jitid.lifetime import format_time
from jitid.name import check_delegator
from jitid.text import quote, safe

MAX_KEY_SET = 1024 * 1024
"""The largest key set that is read, in bytes."""

CLOCK_LEEWAY = 60
"""So many seconds may the issuer's clock be ahead of ours."""

MAX_RSA_BITS = 8192
"""A longer modulus buys no safety, only time for whoever sends tokens."""

_LONGEST = 100
_TOLD = 5
"""So many names are told in a sentence, and so many characters of each."""

# What a key for an algorithm looks like: its type, its curve, the public members that make it.
_FORMS: dict[str, tuple[str, str | None, tuple[str, ...]]] = {
    "RS256": ("RSA", None, ("n", "e")),
    "PS256": ("RSA", None, ("n", "e")),
    "ES256": ("EC", "P-256", ("x", "y")),
    "EdDSA": ("OKP", "Ed25519", ("x",)),
}


class OidcIssuer(NamedTuple):
    """One issuer whose ID tokens prove a delegator, as the configuration has it."""

    issuer: str
    jwks: str
    """Where its keys are: an absolute path, or an https address (http on the loopback interface only)."""
    audience: str
    """What the issuer writes into `aud` for us."""
    claim: str = "sub"
    """The claim whose value names the delegator; `email` counts only with `email_verified`."""
    kind: str = "user"
    """What the value names: a `user` or a `system`."""
    algorithms: tuple[str, ...] = ("RS256", "ES256", "EdDSA", "PS256")


class Proof(NamedTuple):
    """Who asks, as an issuer has proved it."""

    delegator: str
    issuer: str
    subject: str
    expires_at: int


def verify_id_token(token: str | bytes, issuers: Sequence[OidcIssuer], now: int, *, timeout: float) -> Proof:
    """Return whom an ID token of a configured issuer proves at `now` (OpenID Connect Core, section 3.1.3.7).

    The audience must be the configured one and no other: a token made for a second party too could have been
    passed on by it. Keys come from the configured place alone, fetched within about `timeout` seconds; those
    that the header names (`jwk`, `jku`, `x5u`, `x5c`) are never looked at.

    Raises InvalidCredentialError for the token, ConfigurationError for the settings or the keys, StorageError
    when the keys are out of reach.
    """
    header_part, payload_part, signature_part = jws.split(token)
    _, header = jws.decode_object(header_part, "header")
    _, claims = jws.decode_object(payload_part, "payload")
    signature = jws.decode_part(signature_part, "signature")
    _check_header(header)
    issuer = _configured(claims, issuers)
    _must_not_have_expired(claims, now)
    jws.check_claims(
        claims,
        issuer=issuer.issuer,
        audiences=(issuer.audience,),
        now=now,
        leeway=CLOCK_LEEWAY,
        what="the ID token",
    )
    subject = claims.get("sub")
    if not subject:
        raise InvalidCredentialError("the ID token has no subject")
    delegator = _delegator(claims, issuer)
    # The signature comes last, so that a token which is worth nothing does not make us ask the network.
    key = choose_key(read_key_set(issuer.jwks, timeout), header, issuer.algorithms, issuer.jwks)
    check_signature(key, f"{header_part}.{payload_part}".encode("ascii"), signature)
    return Proof(delegator, issuer.issuer, subject, claims["exp"])


def check_settings(issuer: OidcIssuer) -> OidcIssuer:
    """Return the issuer if its settings can be meant. Raises ConfigurationError."""
    if not issuer.issuer:
        raise ConfigurationError("an OIDC issuer has no name", "it is what ID tokens have as `iss`")
    name = f"the OIDC issuer {quote(issuer.issuer)}"
    for field in ("jwks", "audience", "claim"):
        if not getattr(issuer, field):
            key = f"oidc.{safe(issuer.issuer)}"
            raise ConfigurationError(
                f"{name} has no `{field}`",
                f"jitid config set {word(f'{key}.{field}')} VALUE; or, if it is none: jitid config unset {word(key)}",
            )
    if issuer.kind not in ("user", "system"):
        raise ConfigurationError(f"{name} proves {quote(issuer.kind)}, which is neither `user` nor `system`")
    if not issuer.algorithms or not _FORMS.keys() >= set(issuer.algorithms):
        raise ConfigurationError(f"{name} has algorithms that are not among {', '.join(_FORMS)}")
    if not issuer.jwks.startswith("/"):
        _check_address(issuer.jwks)
    return issuer


def _check_header(header: dict[str, Any]) -> None:
    # RFC 7515, section 4.1.11: an extension that must be understood is one that we do not understand.
    if "crit" in header or "b64" in header:
        raise InvalidCredentialError("the ID token asks for an extension")
    typ = header.get("typ", "JWT")
    # Another type is another sort of token, such as an access token (RFC 8725, section 3.11).
    if type(typ) is not str or typ.upper() != "JWT":
        raise InvalidCredentialError("the ID token's type is not JWT")
    if type(header.get("alg")) is not str or type(header.get("kid", "")) is not str:
        raise InvalidCredentialError("the ID token's header has a member that is not a string")


def _configured(claims: dict[str, Any], issuers: Sequence[OidcIssuer]) -> OidcIssuer:
    named = claims.get("iss")
    if type(named) is not str:
        raise InvalidCredentialError("the ID token names no issuer")
    # An issuer that nothing can be done with must not stand in the way of the others.
    known = [check_settings(one) for one in issuers if one.issuer == named]
    if not known:
        some = f"configured: {_some([one.issuer for one in issuers])}" if issuers else "none is configured"
        raise InvalidCredentialError(
            f"the ID token is from the issuer {quote(named, _LONGEST)}, which is not configured",
            f"{some}; jitid-config-set(1) tells how to configure one",
        )
    meant = [one for one in known if claims.get("aud") in (one.audience, [one.audience])]
    if not meant:
        wanted = " or ".join(quote(one.audience, _LONGEST) for one in known)
        raise InvalidCredentialError(
            f"the ID token is for {_audience(claims.get('aud'))}, not for {wanted} alone",
            f"ask {quote(named, _LONGEST)} for one whose only audience is {wanted}",
        )
    if len(meant) > 1:
        raise ConfigurationError(f"the OIDC issuer {quote(meant[0].issuer)} stands twice for one audience")
    return meant[0]


def _audience(stated: object) -> str:
    """Return in words whom a token is for by its `aud`, which can be anything."""
    named = stated if type(stated) is list else [stated]
    texts = [one for one in named if type(one) is str]
    return _some(texts) if texts and texts == named else "no audience"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    return ", ".join(quote(name, _LONGEST) for name in names[:_TOLD]) + more


def _must_not_have_expired(claims: dict[str, Any], now: int) -> None:
    """Refuse an ID token that has expired, and say whose it was and when; it may be one of several at hand."""
    expires_at, subject = claims.get("exp"), claims.get("sub")
    if type(expires_at) is int and expires_at <= now:
        whose = f" of {quote(subject)}" if type(subject) is str else ""
        raise InvalidCredentialError(
            f"the ID token{whose} expired at {format_time(expires_at)}",
            f"get a new one from {quote(claims['iss'], _LONGEST)}",
        )


def _delegator(claims: dict[str, Any], issuer: OidcIssuer) -> str:
    value = claims.get(issuer.claim)
    if not isinstance(value, str) or not value:
        raise InvalidCredentialError(f"the ID token's {quote(issuer.claim)} is missing or not a string")
    if issuer.claim == "email" and claims.get("email_verified") is not True:
        raise InvalidCredentialError("the ID token's email address is not verified")
    try:
        return check_delegator(f"{issuer.kind}:{value}")
    except UsageError:
        raise InvalidCredentialError(
            f"the ID token's {quote(issuer.claim)} is not a name that jitid can hold"
        ) from None


class Key(NamedTuple):
    """A published key with the one algorithm that it is for."""

    alg: str
    members: dict[str, Any]


def choose_key(
    keys: Sequence[dict[str, Any]], header: dict[str, Any], algorithms: Sequence[str], place: str
) -> Key:
    """Return the key that the header names by `kid`, or the only one that signs when it names none.

    `place` is where the keys are from. Raises InvalidCredentialError.
    """
    kid = header.get("kid")
    signing = [(jwk.get("kid"), key) for jwk in keys if (key := _signing_key(jwk, algorithms))]
    named = [key for id_, key in signing if kid is None or id_ == kid]
    if len(named) != 1:
        published = _some([str(id_) for id_, _ in signing if id_ is not None]) or (
            f"{len(signing)} without an id" if signing else "none"
        )
        raise InvalidCredentialError(
            "the ID token names no key that its issuer publishes for signing",
            f"it names {'none' if kid is None else quote(kid)}; in {quote(place, _LONGEST)} there are: {published}",
        )
    if header.get("alg") != named[0].alg:
        raise InvalidCredentialError(
            "the ID token's algorithm is not its key's",
            f"it is {quote(header['alg'])}, and the key is for {named[0].alg}",
        )
    return named[0]


def _signing_key(jwk: dict[str, Any], algorithms: Sequence[str]) -> Key | None:
    """Return a published key with its algorithm: the stated one, or the first of ours for a key of its form.

    Of the members only those of the form go on: a private half published by mistake is not loaded, and a
    symmetric key has no form.
    """
    operations = jwk.get("key_ops", ["verify"])
    if jwk.get("use", "sig") != "sig" or type(operations) is not list or "verify" not in operations:
        return None
    for alg in algorithms:
        kty, crv, names = _FORMS[alg]
        if jwk.get("kty") == kty and jwk.get("crv") == crv and jwk.get("alg", alg) == alg:
            return Key(alg, {name: jwk.get(name) for name in ("kty", "crv", *names)})
    return None


def check_signature(key: Key, signing_input: bytes, signature: bytes) -> None:
    """Refuse a signature that is not by `key`.

    Raises InvalidCredentialError; ConfigurationError when the key itself is no good.
    """
    from jwt import PyJWTError
    from jwt.algorithms import RSAAlgorithm, get_default_algorithms

    algorithm = get_default_algorithms()[key.alg]
    try:
        public = algorithm.from_jwk(key.members)
    except (PyJWTError, ValueError, TypeError):
        raise ConfigurationError("the issuer's key set has a damaged key") from None
    if isinstance(algorithm, RSAAlgorithm) and (
        algorithm.check_key_length(public) is not None or public.key_size > MAX_RSA_BITS
    ):
        raise ConfigurationError("the issuer's key set has an RSA key that is too short or too long")
    if not algorithm.verify(signing_input, public, signature):
        raise InvalidCredentialError("the ID token's signature does not verify")


def read_key_set(place: str, timeout: float) -> list[dict[str, Any]]:
    """Return the keys of the JWK set (RFC 7517, section 5) at an absolute path or an https address.

    Raises ConfigurationError when it is no key set or cannot be one, StorageError when it is out of reach.
    """
    data = _read_file(place) if place.startswith("/") else _fetch(place, timeout)
    name = f"the key set {quote(place)}"
    if len(data) > MAX_KEY_SET:
        raise ConfigurationError(f"{name} is larger than {MAX_KEY_SET} bytes")
    try:
        document = strictjson.loads(data, name)
    except strictjson.StrictJSONError as error:
        raise ConfigurationError(str(error)) from None
    keys = document.get("keys") if type(document) is dict else None
    if type(keys) is not list or not all(type(key) is dict for key in keys):
        raise ConfigurationError(f"{name} is not a JSON object with a list of keys")
    kids = [key["kid"] for key in keys if "kid" in key]
    if not all(type(kid) is str for kid in kids) or len(set(kids)) != len(kids):
        raise ConfigurationError(f"{name} has a key id twice, or one that is not a string")
    return keys


def _read_file(path: str) -> bytes:
    name = f"the key set {quote(path)}"
    try:
        # Without O_NONBLOCK, a pipe at this place would keep us waiting for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no such path is possible"
        raise ConfigurationError(f"{name} cannot be opened: {reason}") from None
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise ConfigurationError(f"{name} is not a regular file")
        if mode & stat.S_IWOTH:
            # Whoever can write here can be anybody.
            raise ConfigurationError(f"{name} can be written by every user", f"chmod o-w {safe(path)}")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(MAX_KEY_SET + 1)
    finally:
        os.close(descriptor)


def _check_address(address: str) -> bool:
    """Return whether the address is on the loopback interface; an https one elsewhere is not."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(address)
        loopback = parts.hostname in ("127.0.0.1", "::1", "localhost")
        good = parts.hostname and parts.username is None and (parts.port or 1)
    except ValueError:
        good = False
    if not good or not (parts.scheme == "https" or (parts.scheme == "http" and loopback)):
        raise ConfigurationError(
            f"the key set's place {quote(address)} is neither a path nor an https address",
            "http counts on this machine alone, as http://127.0.0.1:PORT/",
        )
    return loopback


def _fetch(address: str, timeout: float) -> bytes:
    loopback = _check_address(address)
    from http.client import HTTPException, HTTPMessage
    from urllib.error import HTTPError
    from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

    class HttpsOnly(HTTPRedirectHandler):
        """Follows redirections to https addresses only."""

        def redirect_request(
            self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
        ) -> Request | None:
            if not newurl.startswith("https://"):
                return None
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    # What goes to this machine goes through no proxy, where nothing but TLS would protect it.
    opener = build_opener(HttpsOnly, *([ProxyHandler({})] if loopback else []))
    request = Request(address, headers={"Accept": "application/json"})  # noqa: S310 - checked above
    deadline = time.monotonic() + timeout
    data = b""
    try:
        with opener.open(request, timeout=timeout) as response:
            while len(data) <= MAX_KEY_SET and time.monotonic() < deadline:
                piece = response.read1(65536)
                if not piece:
                    return data
                data += piece
    except HTTPError as error:
        error.close()
        raise StorageError(f"the key set {quote(address)} is answered with status {error.code}") from None
    except (OSError, HTTPException, ValueError) as error:
        reason = type(getattr(error, "reason", error)).__name__
        raise StorageError(f"the key set {quote(address)} cannot be fetched: {reason}") from None
    if len(data) > MAX_KEY_SET:
        return data
    raise StorageError(f"the key set {quote(address)} was not fetched within {timeout:g} seconds")
