"""Verification of tokens from configured issuers: ID tokens (OpenID Connect Core 1.0), access tokens (RFC 9068)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from shlex import quote as word
from typing import TYPE_CHECKING, Any

from jitid.capabilities.access import id_jag, key_sets
from jitid.crypto import jws
from jitid.errors import ConfigurationError, InvalidCredentialError, UsageError
from jitid.model.access import _FORMS, KINDS, OidcIssuer, Proof, ProofType
from jitid.values import strict_json
from jitid.values.names import check_delegator, check_pattern, common, matches
from jitid.values.record import Record
from jitid.values.text import quote, safe

if TYPE_CHECKING:
    from jwt.algorithms import Algorithm


CLOCK_LEEWAY = 60
"""The number of seconds by which the issuer's clock may be ahead of jitid's."""

NEW = 600
"""The maximum age of the ID token of a login, in seconds: a login uses its ID token at once."""

MAX_RSA_BITS = 8192
"""The largest RSA modulus: a longer one adds no security, and lets the sender of a token waste jitid's time."""

MAX_KEY = 8192
"""The maximum length of a registered key's text, in characters."""

_PRIVATE = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth", "k"))

_LONGEST = 100
_SHOWN = 5
"""The maximum number of names in a message; `_LONGEST` is the maximum number of characters of each."""


def verify_token(
    token: str | bytes,
    issuers: Sequence[OidcIssuer],
    now: int,
    *,
    timeout: float,
    stated_type: ProofType = "id_token",
    authority: str | None = None,
) -> Proof:
    """Return the proof that a token of a configured issuer gives at `now`.

    The token is an ID token (OpenID Connect Core, section 3.1.3.7), an access token (RFC 9068, section 4) or an ID-JAG
    (`id_jag.py`). Their types tell them apart, so that none is accepted as another (RFC 8725, section 3.11). The
    audience must be the configured audience and no other: a second audience could have passed the token on. The
    audience of an ID-JAG must be `authority`, the issuer of this ledger. Keys are read only from the
    configured place, within about `timeout` seconds. Keys that the header names (`jwk`, `jku`, `x5u`, `x5c`) are never
    used.

    Raises InvalidCredentialError for the token, ConfigurationError for the settings or the keys, and StorageError if
    the keys cannot be fetched.
    """
    try:
        audience = authority if stated_type == "id_jag" else None
        return _verify(token, issuers, now, timeout, stated_type, audience)
    except InvalidCredentialError as error:
        if stated_type == "id_token":
            raise
        # The checks of both types share their messages, which name an ID token.
        label = {"access_token": "the access token", "id_jag": "the ID-JAG"}.get(stated_type, "the token")
        raise InvalidCredentialError(error.message.replace("the ID token", label), error.hint) from None


def login_nonce(authority: str, seed: str) -> str:
    """Return the `nonce` of an ID token for a login: no authority at another address can use the ID token.

    `authority` is its address, or the issuer of a ledger for a login beside it. Several authorities may have the same
    loopback address or socket.
    """
    return strict_json.b64url(sha256(f"{authority}\0{seed}".encode()).digest())


def verify_login(
    token: str | bytes, issuers: Sequence[OidcIssuer], now: int, *, nonce: str | None, timeout: float
) -> Proof:
    """Return the proof that an ID token gives for a login: it is new, and was issued for this login alone.

    The device flow has no `nonce`; it counts if the configuration permits it for the issuer.

    Raises the errors of `verify_token`.
    """
    proof = _verify(token, issuers, now, timeout, "id_token", login=True)
    _, claims = jws.decode_object(jws.split(token)[1], "payload")
    if claims.get("nonce") != nonce:
        raise InvalidCredentialError(
            "the ID token's `nonce` is not that of a login here", "log in here: jitid login"
        )
    if nonce is None and not any(issuer.device for issuer in issuers if issuer.issuer == proof.issuer):
        key = word(f"oidc.{safe(proof.issuer)}.device")
        raise InvalidCredentialError(
            f"the device flow is not permitted for {quote(proof.issuer, _LONGEST)}",
            f"omit --device; to permit it: jitid config set {key} true",
        )
    if proof.clients:
        raise InvalidCredentialError(
            f"the ID token was issued to the client {quote(proof.clients[0], _LONGEST)}, not to that of the login"
        )
    if proof.may_act is not None or proof.cnf is not None:
        raise InvalidCredentialError("the ID token is for an actor or the holder of a key, not for a login")
    if proof.proved_at is None or claims["iat"] < now - NEW:
        raise InvalidCredentialError(
            f"the ID token was not issued within the last {NEW} seconds", "log in again: jitid login"
        )
    return proof


def _verify(
    token: str | bytes,
    issuers: Sequence[OidcIssuer],
    now: int,
    timeout: float,
    stated_type: ProofType,
    audience: str | None = None,
    *,
    login: bool = False,
) -> Proof:
    header_part, payload_part, signature_part = jws.split(token)
    _, header = jws.decode_object(header_part, "header")
    _, claims = jws.decode_object(payload_part, "payload")
    signature = jws.decode_part(signature_part, "signature")
    _check_header(header, stated_type)
    issuer = _configured(claims, issuers, audience, stated_type, login=login)
    _must_not_have_expired(claims, now)
    jws.check_claims(
        claims,
        issuer=issuer.issuer,
        audiences=(audience or issuer.audience,),
        now=now,
        leeway=CLOCK_LEEWAY,
        label="the ID token",
    )
    subject = claims.get("sub")
    if not subject:
        raise InvalidCredentialError("the ID token has no subject")
    is_id_jag = stated_type == "id_jag"
    if is_id_jag:
        id_jag.check(claims)
    delegator = _delegator(claims, issuer)
    for name in ("may_act", "cnf"):
        # An empty member names no client. It must not be treated like an absent member.
        if not isinstance(claims.get(name, {}), dict):
            raise InvalidCredentialError(f"the ID token's `{name}` is not an object")
    # The signature is checked last: a worthless token must not make jitid fetch keys over the network.
    keys = key_sets.key_set(issuer.jwks, timeout, header.get("kid"), issuer.ca)
    key = choose_key(keys, header, issuer.algorithms, issuer.jwks)
    check_signature(key, f"{header_part}.{payload_part}".encode("ascii"), signature)
    return Proof(
        delegator,
        issuer.issuer,
        subject,
        claims["exp"],
        _mark(claims, f"{header_part}.{payload_part}"),
        _proved_at(claims),
        claims.get("may_act"),
        id_jag.clients(claims) if is_id_jag else _clients(claims, issuer, login=login),
        claims.get("cnf"),
        {client: check_delegator(caller) for client, caller in issuer.clients},
        id_jag.bounds(claims) if is_id_jag else None,
    )


def _mark(claims: dict[str, Any], signed: str) -> bytes:
    """Return a hash that identifies a token: of its issuer with its `jti`, or with the signed text.

    The signature is left out: another valid ECDSA signature can be derived from one.
    """
    facts = {"iss": claims["iss"], **({"jti": claims["jti"]} if claims.get("jti") else {"signed": signed})}
    return sha256(strict_json.dumps(facts).encode()).digest()


def _clients(claims: dict[str, Any], issuer: OidcIssuer, *, login: bool) -> tuple[str, ...]:
    """Return the clients that a token was issued to, without the audience, which is jitid itself.

    The client of logins is left out for a login only: a token that it was issued for is for no other use.
    """
    clients = []
    for name in ("azp", "client_id"):
        if name in claims:
            client = claims[name]
            if type(client) is not str or not client:
                raise InvalidCredentialError(f"the ID token's `{name}` must be a string that is not empty")
            clients.append(client)
    shares_client = not login and issuer.audience == issuer.client_id
    if shares_client and claims.get("nonce") is not None:
        # It may be that of a login elsewhere.
        clients.append(issuer.audience)
    own_name = None if shares_client else issuer.audience
    return tuple(client for client in dict.fromkeys(clients) if client != own_name)


def _proved_at(claims: Mapping[str, Any]) -> int | None:
    """Return the time of a token's proof: a new token of an old session proves no more than the old login.

    None without `iat`.
    """
    times: list[int] = []
    for name in ("iat", "auth_time"):
        value = claims.get(name)
        if value is not None and type(value) is not int:
            raise InvalidCredentialError(f"the ID token's `{name}` is not an integer")
        if value is not None:
            times.append(value)
    return None if claims.get("iat") is None else min(times)


def check_settings(issuer: OidcIssuer) -> OidcIssuer:
    """Return the issuer if its settings are valid. Raises ConfigurationError."""
    if not issuer.issuer:
        raise ConfigurationError("an OIDC issuer has no name", "the name is the `iss` of its ID tokens")
    name = f"the OIDC issuer {quote(issuer.issuer)}"
    for field in ("jwks", "audience", "claim"):
        if not getattr(issuer, field) and (field != "audience" or issuer.client_id is None):
            key = f"oidc.{safe(issuer.issuer)}"
            raise ConfigurationError(
                f"{name} has no `{field}`",
                f"jitid config set {word(f'{key}.{field}')} VALUE; or to remove it: jitid config unset {word(key)}",
            )
    if issuer.kind not in KINDS:
        raise ConfigurationError(
            f"{name} has the kind {quote(issuer.kind)}, which must be `user` or `system`"
        )
    if not issuer.algorithms or not _FORMS.keys() >= set(issuer.algorithms):
        raise ConfigurationError(f"{name} has unsupported algorithms; supported: {', '.join(_FORMS)}")
    if not issuer.jwks.startswith("/"):
        key_sets.check_address(issuer.jwks)
    if any(character.isspace() for character in issuer.issuer):
        # The directory names a subject as `ISS SUB`, which must be unambiguous.
        raise ConfigurationError(f"{name} has white space in its name")
    _check_scopes(issuer)
    if issuer.client_id is not None:
        check_client(issuer)
    if issuer.names is not None and not issuer.names:
        raise ConfigurationError(f"{name} has an empty list `names`", "state patterns, such as *@example.com")
    for pattern in issuer.names or ():
        check_pattern(pattern)
    for client, caller in issuer.clients:
        try:
            check_delegator(caller)
        except UsageError as error:
            raise ConfigurationError(
                f"{name} has an invalid client {quote(client)}: {error.message}", error.hint
            ) from None
    return issuer


def check_client(issuer: OidcIssuer) -> OidcIssuer:
    """Return the issuer if people can log in there by its settings. Raises ConfigurationError."""
    name = f"the OIDC issuer {quote(issuer.issuer)}"
    if not issuer.client_id:
        key = word(f"oidc.{safe(issuer.issuer)}.client_id")
        raise ConfigurationError(
            f"{name} has no `client_id`, and is not for logins", f"jitid config set {key} CLIENT"
        )
    if issuer.kind != "user":
        raise ConfigurationError(f"{name} proves the kind `{issuer.kind}`, and only people log in")
    _check_scopes(issuer)
    return issuer


def _check_scopes(issuer: OidcIssuer) -> None:
    name = f"the OIDC issuer {quote(issuer.issuer)}"
    if "openid" not in issuer.scopes:
        raise ConfigurationError(f"{name} has `scopes` without `openid`", "without it, there is no ID token")
    if "offline_access" in issuer.scopes:
        raise ConfigurationError(f"{name} has the scope `offline_access`", "a login keeps no refresh token")


def check_names(issuer: OidcIssuer, issuers: Sequence[OidcIssuer]) -> OidcIssuer:
    """Return an issuer if no other issuer may prove a name that it may prove.

    An issuer with invalid settings proves no delegator, and is ignored. Raises ConfigurationError.
    """
    for other in issuers:
        if other.issuer == issuer.issuer or other.kind != issuer.kind or not is_usable(other):
            continue
        both = (
            f"the OIDC issuers {quote(issuer.issuer)} and {quote(other.issuer)} both prove names "
            f"of the kind `{issuer.kind}`"
        )
        if issuer.names is None:
            key = word(f"oidc.{safe(issuer.issuer)}.names")
            raise ConfigurationError(
                f"{both}, and {quote(issuer.issuer)} has no `names`; its tokens are refused",
                f"state the names that it may prove: jitid config set {key} '*@example.com'",
            )
        shared = common(issuer.names, other.names or ())
        if shared is not None:
            raise ConfigurationError(
                f"{both}, and their `names` overlap: {quote(shared[0])} and {quote(shared[1])}; "
                "tokens of both are refused",
                "state patterns so that no name matches both",
            )
    return issuer


def is_usable(issuer: OidcIssuer) -> bool:
    """Return whether the settings of an issuer are complete and valid."""
    try:
        check_settings(issuer)
    except ConfigurationError:
        return False
    return True


# RFC 9068, section 2.1; RFC 7515, section 4.1.9 allows a type without `application/`.
_ACCESS_TOKEN = frozenset({"AT+JWT", "APPLICATION/AT+JWT"})
_TYPES: dict[ProofType, tuple[frozenset[str], str]] = {
    "id_token": (frozenset({"JWT"}), "JWT"),
    "access_token": (_ACCESS_TOKEN, "at+jwt"),
    "jwt": (_ACCESS_TOKEN | {"JWT"}, "JWT or at+jwt"),
    "id_jag": (frozenset({id_jag.TYPE}), id_jag.TYPE),
}


def _check_header(header: dict[str, Any], stated_type: ProofType) -> None:
    # RFC 7515, section 4.1.11: a verifier must reject critical extensions that it does not support; jitid supports
    # none.
    if "crit" in header or "b64" in header:
        raise InvalidCredentialError(
            "the ID token's header has an extension (`crit` or `b64`), which is not supported"
        )
    typ = header.get("typ", "JWT")
    # Another type is another kind of token, such as an access token (RFC 8725, section 3.11).
    types, type_label = _TYPES[stated_type]
    if type(typ) is not str or (typ if stated_type == "id_jag" else typ.upper()) not in types:
        raise InvalidCredentialError(f"the ID token's type must be {type_label}")
    if type(header.get("alg")) is not str or type(header.get("kid", "")) is not str:
        raise InvalidCredentialError("the ID token's `alg` and `kid` must be strings")


def _configured(
    claims: dict[str, Any],
    issuers: Sequence[OidcIssuer],
    audience: str | None,
    stated_type: ProofType,
    *,
    login: bool,
) -> OidcIssuer:
    issuer_name = claims.get("iss")
    if type(issuer_name) is not str:
        raise InvalidCredentialError("the ID token has no valid `iss`")
    # Only the named issuer is checked: an issuer with invalid settings must not block the others.
    configured = [check_settings(issuer) for issuer in issuers if issuer.issuer == issuer_name]
    if not configured:
        hint = (
            f"configured: {_some([issuer.issuer for issuer in issuers])}"
            if issuers
            else "no issuer is configured"
        )
        raise InvalidCredentialError(
            f"the ID token is from the issuer {quote(issuer_name, _LONGEST)}, which is not configured",
            f"{hint}; to configure one, see jitid-config-set(1)",
        )
    if login:
        configured = [
            issuer._replace(audience=issuer.client_id)
            for issuer in configured
            if issuer.client_id is not None and issuer.kind == "user"
        ]
        if not configured:
            raise InvalidCredentialError(
                f"{quote(issuer_name, _LONGEST)} is not configured for logins of people",
                f"set its client: jitid config set {word(f'oidc.{safe(issuer_name)}.client_id')} CLIENT",
            )
    else:
        field = "id_jag" if stated_type == "id_jag" else "audience"
        configured = [issuer for issuer in configured if getattr(issuer, field)]
        if not configured:
            kind, value = (
                ("assertions (ID-JAG)", "true") if field == "id_jag" else ("such tokens", "AUDIENCE")
            )
            raise InvalidCredentialError(
                f"{quote(issuer_name, _LONGEST)} is configured for logins of people, not for {kind}",
                f"to accept them: jitid config set {word(f'oidc.{safe(issuer_name)}.{field}')} {value}",
            )
    audiences = [audience or issuer.audience for issuer in configured]
    matching = [
        issuer for issuer, own in zip(configured, audiences, strict=True) if claims.get("aud") in (own, [own])
    ]
    if not matching:
        expected = " or ".join(quote(own, _LONGEST) for own in dict.fromkeys(audiences))
        raise InvalidCredentialError(
            f"the ID token is for {_audience(claims.get('aud'))}, not for {expected} alone",
            f"request a token from {quote(issuer_name, _LONGEST)} with the only audience {expected}",
        )
    if len(matching) > 1:
        raise ConfigurationError(
            f"the OIDC issuer {quote(matching[0].issuer)} is configured twice for one audience"
        )
    return check_names(matching[0], issuers)


def _audience(aud: object) -> str:
    """Return the audiences in a token's `aud` in words; `aud` may have any type."""
    audiences = aud if type(aud) is list else [aud]
    texts = [audience for audience in audiences if type(audience) is str]
    return _some(texts) if texts and texts == audiences else "no audience"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(quote(name, _LONGEST) for name in names[:_SHOWN]) + more


def _must_not_have_expired(claims: dict[str, Any], now: int) -> None:
    """Raise InvalidCredentialError for an expired ID token.

    The message has the subject and the expiry, because the caller may have several tokens.
    """
    expires_at, subject = claims.get("exp"), claims.get("sub")
    if type(expires_at) is int and expires_at <= now:
        of_subject = f" of {quote(subject)}" if type(subject) is str else ""
        raise InvalidCredentialError(
            f"the ID token{of_subject} has expired: {jws.claimed_expiry(expires_at)}",
            f"request a new token from {quote(claims['iss'], _LONGEST)}",
        )


def _delegator(claims: dict[str, Any], issuer: OidcIssuer) -> str:
    value = claims.get(issuer.claim)
    if not isinstance(value, str) or not value:
        raise InvalidCredentialError(f"the ID token's {quote(issuer.claim)} is missing or not a string")
    if issuer.claim == "email" and claims.get("email_verified") is not True:
        raise InvalidCredentialError("the ID token's email address is not verified")
    if issuer.names is not None and not any(matches(pattern, value) for pattern in issuer.names):
        raise InvalidCredentialError(
            f"the ID token proves {quote(value, _LONGEST)}, which is not among the `names` of "
            f"{quote(issuer.issuer, _LONGEST)}",
            f"its names: {_some(issuer.names)}",
        )
    try:
        return check_delegator(f"{issuer.kind}:{value}")
    except UsageError:
        raise InvalidCredentialError(f"the ID token's {quote(issuer.claim)} is not a valid name") from None


class PublishedKey(Record):
    """A published key with the only algorithm that it may be used with."""

    alg: str
    members: dict[str, Any]


def choose_key(
    keys: Sequence[dict[str, Any]], header: dict[str, Any], algorithms: Sequence[str], source: str
) -> PublishedKey:
    """Return the key that the header names by `kid`; without a `kid`, the only signing key.

    `source` is where the keys are from, for the message. Raises InvalidCredentialError.
    """
    kid = header.get("kid")
    signing = [(jwk.get("kid"), key) for jwk in keys if (key := _signing_key(jwk, algorithms))]
    matching = [key for id_, key in signing if kid is None or id_ == kid]
    if len(matching) != 1:
        published = _some([str(id_) for id_, _ in signing if id_ is not None]) or (
            f"{len(signing)} without an id" if signing else "none"
        )
        raise InvalidCredentialError(
            "the ID token's `kid` is not a signing key that its issuer publishes",
            f"its `kid`: {'none' if kid is None else quote(kid)}; keys in {quote(source, _LONGEST)}: {published}",
        )
    if header.get("alg") != matching[0].alg:
        raise InvalidCredentialError(
            "the ID token's algorithm is not that of its key",
            f"the token has {quote(header['alg'])}, the key {matching[0].alg}",
        )
    return matching[0]


def _signing_key(jwk: dict[str, Any], algorithms: Sequence[str]) -> PublishedKey | None:
    """Return a published key with its algorithm: the stated one, or the first supported one for its key type.

    Only the public members are copied: a private half that was published by mistake is not loaded. A symmetric key is
    not supported.
    """
    operations = jwk.get("key_ops", ["verify"])
    if jwk.get("use", "sig") != "sig" or type(operations) is not list or "verify" not in operations:
        return None
    for alg in algorithms:
        kty, crv, names = _FORMS[alg]
        if jwk.get("kty") == kty and jwk.get("crv") == crv and jwk.get("alg", alg) == alg:
            return PublishedKey(alg, {name: jwk.get(name) for name in ("kty", "crv", *names)})
    return None


def registered_key(text: str) -> dict[str, Any]:
    """Return the members of a public key (RFC 7517) for registration, with its algorithm.

    The text is a JWK, a JWKS with one key, a key in PEM (SubjectPublicKeyInfo), or a public key line of OpenSSH.

    Raises:
        UsageError: the text is not a usable public key, or contains a private key.

    """
    hint = "expected one public key: a JWK, PEM (PUBLIC KEY) or a line of OpenSSH"
    try:
        if len(text) > MAX_KEY:
            raise UsageError("the key is too long", hint)
        if "PRIVATE KEY-----" in text:
            raise _private_key()
        jwk = _as_jwk(text, hint) or strict_json.loads(text, "key")
    except strict_json.StrictJSONError as error:
        raise UsageError(f"the key is not a JWK: {error}", hint) from None
    keys = jwk.get("keys") if type(jwk) is dict else None
    if type(keys) is list and len(keys) == 1:
        (jwk,) = keys
    if type(jwk) is not dict:
        raise UsageError("the key is not a JWK: not an object", hint)
    if not _PRIVATE.isdisjoint(jwk):
        raise _private_key()
    key = _signing_key(jwk, tuple(_FORMS))
    try:
        if key is None:
            raise UsageError(f"the key is not for any of {', '.join(_FORMS)}", hint)
        _prepared(key.alg, strict_json.dumps(key.members))
    except ConfigurationError:
        raise UsageError("the key is damaged, too short or too long", hint) from None
    return {**{name: value for name, value in key.members.items() if value is not None}, "alg": key.alg}


def _private_key() -> UsageError:
    return UsageError(
        "expected a public key, found a private or secret key; no part of the key was stored",
        "export the public key: openssl pkey -pubout; or remove d, p, q, dp, dq, qi and k from the JWK",
    )


def _as_jwk(text: str, hint: str) -> dict[str, Any] | None:
    """Return a PEM or OpenSSH key as a JWK; None for a text that may be JSON. Raises UsageError."""
    if text.lstrip().startswith(("{", "[")):
        return None
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

    from jitid.crypto import private_key

    try:
        key = private_key.load(text)
    except ValueError:
        raise UsageError("the key is not a JWK, PEM or line of OpenSSH", hint) from None
    match key:
        case ed25519.Ed25519PublicKey():
            return OKPAlgorithm.to_jwk(key, as_dict=True)
        case ec.EllipticCurvePublicKey() if isinstance(key.curve, ec.SECP256R1):
            return ECAlgorithm.to_jwk(key, as_dict=True)
        case rsa.RSAPublicKey():
            return RSAAlgorithm.to_jwk(key, as_dict=True)
        case _:
            raise UsageError(f"the key is not for any of {', '.join(_FORMS)}", hint)


def thumbprint(jwk: Mapping[str, Any]) -> str | None:
    """Return the SHA-256 thumbprint of a public key in base64url (RFC 7638); None for an unsupported key type."""
    for kty, crv, names in _FORMS.values():
        members = {name: jwk.get(name) for name in ("kty", "crv", *names) if name != "crv" or crv is not None}
        if (
            jwk.get("kty") == kty
            and jwk.get("crv") == crv
            and all(type(member) is str for member in members.values())
        ):
            return strict_json.b64url(sha256(strict_json.dumps(members).encode()).digest())
    return None


def check_signature(key: PublishedKey, signing_input: bytes, signature: bytes) -> None:
    """Verify the signature with `key`.

    Raises InvalidCredentialError, or ConfigurationError if the key is damaged or has a wrong size.
    """
    algorithm, public = _prepared(key.alg, strict_json.dumps(key.members))
    if not algorithm.verify(signing_input, public, signature):
        raise InvalidCredentialError("the ID token's signature does not verify")


# Preparing a key costs more than verifying most signatures. A key set has few keys, and a replaced key is not used
# again.
@lru_cache(maxsize=64)
def _prepared(alg: str, members: str) -> tuple[Algorithm, Any]:
    from jwt import PyJWTError
    from jwt.algorithms import RSAAlgorithm, get_default_algorithms

    algorithm = get_default_algorithms()[alg]
    try:
        public = algorithm.from_jwk(members)
    except (PyJWTError, ValueError, TypeError):
        raise ConfigurationError("the issuer's key set has a damaged key") from None
    if isinstance(algorithm, RSAAlgorithm) and (
        algorithm.check_key_length(public) is not None or public.key_size > MAX_RSA_BITS
    ):
        raise ConfigurationError("the issuer's key set has an RSA key that is too short or too long")
    return algorithm, public
