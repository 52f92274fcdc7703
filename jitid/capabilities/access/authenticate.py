"""Authentication of callers: by an access credential, an agent's token or a signed assertion."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jitid.capabilities.access import oidc
from jitid.capabilities.access.grant_record import must_be_recorded
from jitid.capabilities.access.live_login import HINT as LOGIN_HINT
from jitid.capabilities.access.live_login import live_login
from jitid.capabilities.access.store import AccessStore
from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.identity import recognise_token, validity
from jitid.capabilities.identity.store import CredentialStore
from jitid.crypto import jws
from jitid.errors import (
    ConfigurationError,
    ExpiredError,
    InvalidCredentialError,
    RefusedError,
    ShownError,
    UnauthenticatedError,
)
from jitid.ledger import contract
from jitid.model.access import ALL_AUDIENCES, BOOTSTRAP, AccessState, Caller, PresentedAccess
from jitid.operation import reach
from jitid.redaction.token_format import is_opaque
from jitid.values.ids import parse_access_id, parse_id
from jitid.values.record import Record
from jitid.values.secret import Secret, fingerprint
from jitid.values.times import expiry_hint

if TYPE_CHECKING:
    from jitid.ledger.view import View
    from jitid.model.access import OidcIssuer
    from jitid.model.ledger_rows import Names


_NOT_VALID = "the access token is not valid here: unknown, expired or revoked; nothing was done"
_HINT = "an administrator can grant a new one: jitid access grant"


def must_hold(snapshot: View, caller: Caller) -> None:
    """Refuse a caller whose credential has ended since authentication, or a disabled delegator.

    Raises:
        RefusedError: the request must not be performed.

    """
    if caller.credential is None:
        person = (
            None if caller.delegator is None else DirectoryStore(snapshot).find_delegator(caller.delegator)
        )
        holds = person is None or person.disabled_at is None
    elif caller.credential.startswith("acc_"):
        uid = parse_access_id(caller.credential)
        if caller.login is not None:
            presented = AccessStore(snapshot).presented_id(uid)
            # The configuration was checked when the caller was authenticated.
            holds = presented is not None and live_login(snapshot, presented, None) == caller.login
        else:
            access = AccessStore(snapshot).find(uid)
            holds = access is not None and access.state_at(snapshot.now) is AccessState.ACTIVE
    else:
        credential = CredentialStore(snapshot).find_credential("jti", parse_id(caller.credential)[1])
        try:
            holds = credential is not None and bool(validity.judge(snapshot, credential, None))
        except InvalidCredentialError:
            holds = False
    if not holds:
        raise RefusedError(f"the access of {caller.name} is no longer valid; nothing was changed", _HINT)


def authenticate(
    snapshot: View,
    names: Names,
    token: Secret,
    client: str | None = None,
    issuers: Callable[[], Sequence[OidcIssuer]] = tuple,
) -> Caller:
    """Return the caller that a token authenticates: a caller with an access token, or an agent with an identity token.

    `client` is the `client_id` that the request states with the token as its secret (RFC 6749, section 2.3.1). Such a
    secret must be an access token of that caller; the token of an agent is refused. `issuers` supplies the configured
    issuers, which decide whether a login counts.

    Raises:
        IntegrityError: the ledger is sealed, and another ledger has the current access credentials.
        UnauthenticatedError: the token is not valid, or belongs to another caller than `client`.

    """
    contract.refuse_if_sealed(snapshot)
    text = token.reveal()
    if is_opaque(text):
        # The lookup is by fingerprint: its duration reveals nothing about the text.
        presented = AccessStore(snapshot).presented(fingerprint(text))
        if presented is not None:
            caller = caller_of(snapshot, presented, issuers)
            if client not in (None, caller.name, caller.credential):
                raise UnauthenticatedError(
                    "the access token was granted to a caller other than `client_id`; nothing was done"
                )
            return caller
    if client is not None:
        raise UnauthenticatedError(_NOT_VALID, _HINT)
    try:
        return authenticate_holder(snapshot, names, token)
    except ExpiredError as error:
        raise UnauthenticatedError(_NOT_VALID, error.hint) from None
    except (InvalidCredentialError, ShownError):
        raise UnauthenticatedError(_NOT_VALID, _HINT) from None


def authenticate_holder(snapshot: View, names: Names, token: Secret) -> Caller:
    """Return the agent that holds an identity token. An error says how the token is invalid.

    Raises:
        IntegrityError: the ledger is sealed, and another ledger has the current credentials.
        InvalidCredentialError: the token is not valid; the message gives the reason.
        ShownError: the token is valid, but for services.

    """
    credential = recognise_token.verify(snapshot, names, token.reveal(), None).credential
    # An agent's credential authenticates it only to its audiences, and this authority must be among them.
    if not credential.names_authority(names.accepted(snapshot.now)):
        raise reach.merely_shown(credential)
    return Caller(
        f"agent:{credential.agent}",
        frozenset(),
        None,
        "credential",
        credential=credential.jti,
        agent=credential.agent,
        identity=credential.id,
    )


def caller_of(
    snapshot: View, presented: PresentedAccess, issuers: Callable[[], Sequence[OidcIssuer]] = tuple
) -> Caller:
    """Return the holder of an access credential. Raises UnauthenticatedError if it is not valid now."""
    access = presented.access
    state = access.state_at(snapshot.now)
    if state is AccessState.EXPIRED and not presented.departed:
        # The hint may contain the expiry: the grant has shown it to the holder.
        hint = _HINT if access.login is None else LOGIN_HINT
        raise UnauthenticatedError(_NOT_VALID, expiry_hint(access.expires_at, hint))
    if presented.departed or state is not AccessState.ACTIVE:
        raise UnauthenticatedError(_NOT_VALID, _HINT if access.login is None else LOGIN_HINT)
    must_be_recorded(access, presented.event)
    if access.bootstrap:
        return Caller(access.name, frozenset({BOOTSTRAP}), None, "credential", credential=access.id)
    login = None
    if access.login is not None:
        login = live_login(snapshot, presented, issuers())
        # The directory may have given the subject to another person since: that person logs in for a new row.
        if login is None or login.delegator != DirectoryStore(snapshot).own_name(access.name):
            raise UnauthenticatedError(_NOT_VALID, LOGIN_HINT)
    audiences = None if access.audiences == ALL_AUDIENCES else access.audiences
    return Caller(
        access.name,
        frozenset(access.roles),
        access.name,
        "credential" if login is None else "oidc",
        credential=access.id,
        audiences=audiences,
        login=login,
    )


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


class Assertion(Record):
    """A well-formed assertion; its content must not be trusted before its signature is verified."""

    client: str
    jti: str
    ends_at: int
    """The time from which it is not valid."""
    claims: Mapping[str, Any]
    alg: str
    signing_input: bytes
    signature: bytes


def parse_assertion(text: str) -> Assertion:
    """Return the parts of an assertion. Raises InvalidCredentialError; the message never contains the assertion."""
    header_part, payload_part, signature_part = jws.split(text)
    _, header = jws.decode_object(header_part, "header")
    _, claims = jws.decode_object(payload_part, "payload")
    signature = jws.decode_part(signature_part, "signature")
    if "crit" in header or "b64" in header:
        raise InvalidCredentialError(
            "the assertion's header has an extension (`crit` or `b64`), which is not supported"
        )
    typ, alg = header.get("typ", "JWT"), header.get("alg")
    if type(typ) is not str or typ.upper().removeprefix("APPLICATION/") not in _TYPES:
        raise InvalidCredentialError("the assertion's type is not JWT")
    alg = _NAMES.get(alg, alg) if type(alg) is str else None
    if alg not in ALGORITHMS:
        raise InvalidCredentialError(f"the assertion's algorithm must be one of {', '.join(ALGORITHMS)}")
    client, jti, expires_at = claims.get("sub"), claims.get("jti"), claims.get("exp")
    if type(client) is not str or not client or claims.get("iss") != client:
        # RFC 7523, section 3, and OpenID Connect Core, section 9.
        raise InvalidCredentialError("the assertion's `iss` and `sub` must both be the client's name")
    if type(jti) is not str or not 0 < len(jti) <= _LONGEST_ID or not jti.isascii():
        raise InvalidCredentialError("the assertion has no valid `jti`")
    issued_at = claims.get("iat")
    if type(expires_at) is not int or not (issued_at is None or type(issued_at) is int):
        raise InvalidCredentialError("the assertion's `exp` is required; `exp` and `iat` must be integers")
    # Common clients sign for an hour and use the assertion at once. With the shorter limit, the ledger need not
    # remember used assertions for an hour.
    ends_at = expires_at if issued_at is None else min(expires_at, issued_at + LONGEST)
    signing_input = f"{header_part}.{payload_part}".encode("ascii")
    return Assertion(client, jti, ends_at, claims, alg, signing_input, signature)


def check_assertion(
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
        raise InvalidCredentialError("the assertion's `aud` must be this authority alone")
    if now >= assertion.ends_at:
        raise InvalidCredentialError(
            f"the assertion has expired, or was signed {LONGEST} seconds ago or earlier",
            expiry_hint(assertion.ends_at, "sign a new assertion for each request"),
        )
    if assertion.ends_at > now + LONGEST + CLOCK_LEEWAY:
        raise InvalidCredentialError(f"the assertion without `iat` is valid for more than {LONGEST} seconds")
    for name in ("iat", "nbf"):
        value = assertion.claims.get(name, now)
        if type(value) is not int or value > now + CLOCK_LEEWAY:
            raise InvalidCredentialError(f"the assertion's `{name}` must be an integer and not in the future")
    for id_, jwk in keys.items():
        if _signed_by(assertion, jwk):
            return id_
    raise InvalidCredentialError("the assertion's signature does not match any key of the client")


def _signed_by(assertion: Assertion, jwk: Mapping[str, Any]) -> bool:
    try:
        # A key is used only for its own algorithm, regardless of the header (RFC 8725, section 3.1).
        key = oidc.choose_key([dict(jwk)], {"alg": assertion.alg}, ALGORITHMS, "the client's keys")
        oidc.check_signature(key, assertion.signing_input, assertion.signature)
    except (InvalidCredentialError, ConfigurationError):
        return False
    return True
