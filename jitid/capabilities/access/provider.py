"""A client of identity providers: the flows that end with an ID token of a person.

The code flow and the device flow: OpenID Connect Core 1.0, RFC 7636 (PKCE), RFC 8252 (loopback), RFC 8628 (device
flow), RFC 9207 (`iss` of the answer). The client checks that an answer belongs to its own request; the authority
verifies the ID token's signature.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256, sha512
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote_plus, urlencode

from jitid.capabilities.access.key_sets import check_address, parts_of
from jitid.capabilities.access.oidc import login_nonce
from jitid.crypto import jws
from jitid.errors import ConfigurationError, InvalidCredentialError, RefusedError, StorageError
from jitid.system import time_limit
from jitid.system.http import Channel, Words, proxy_for
from jitid.values import strict_json
from jitid.values.record import Record
from jitid.values.secret import Secret
from jitid.values.text import foreign, quote

if TYPE_CHECKING:
    from jitid.model.access import OidcIssuer

MAX_ANSWER = 256 * 1024
"""The maximum size of an answer of a provider in bytes."""
MAX_QUERY = 8 * 1024
"""The maximum length of the answer that a browser brings."""
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"

_LONGEST = 200
_LEEWAY = 60
"""Seconds by which the provider's clock may be behind."""
_WORDS = Words(
    "the identity provider",
    "correct the issuer's name in [oidc.ISSUER] of the configuration",
    "the field `ca` in [oidc.ISSUER] of the configuration",
    "wait longer with --timeout, or try again",
    "is the provider running there? the issuer is configured in [oidc.ISSUER]",
    "correct the issuer's name in [oidc.ISSUER] of the configuration",
)


class Provider(Record):
    """The metadata of a provider (OpenID Connect Discovery 1.0, section 3)."""

    issuer: OidcIssuer
    authorization_endpoint: str | None
    token_endpoint: str
    device_endpoint: str | None
    states_issuer: bool
    """Whether its answers in a browser have `iss` (RFC 9207, section 3)."""


class Attempt(Record):
    """One attempt to log in by the code flow, with its one-time values."""

    provider: Provider
    redirect: str
    state: str
    seed: str
    """The text that the nonce was made from, as in `LogIn`."""
    nonce: str
    verifier: str
    since: int
    """When it began, in seconds since the epoch."""
    fresh: bool
    """Whether the person must authenticate again."""


class DeviceCode(Record):
    """The codes of one attempt to log in by the device flow (RFC 8628, section 3.2)."""

    device_code: Secret
    user_code: str
    address: str
    complete_address: str | None
    expires_in: int
    interval: int


def discover(issuer: OidcIssuer, timeout: float) -> Provider:
    """Return the metadata that the issuer publishes.

    Raises:
        ConfigurationError: they are those of another issuer, or lack an address.
        StorageError: the provider cannot be reached, or its answer is not valid.
        IntegrityError: the server does not prove that it is the host of the issuer.

    """
    address = f"{issuer.issuer.rstrip('/')}/.well-known/openid-configuration"
    try:
        check_address(address)
    except ConfigurationError:
        raise ConfigurationError(
            f"the OIDC issuer {quote(issuer.issuer, _LONGEST)} is not an https address",
            "such as https://id.example.com",
        ) from None
    status, document = _exchange(issuer, "GET", address, None, timeout)
    if status != 200:
        raise StorageError(f"{quote(address, _LONGEST)} answered with status {status}", _WORDS.unreachable)
    if document.get("issuer") != issuer.issuer:
        raise ConfigurationError(
            f"{quote(address, _LONGEST)} has the metadata of {quote(str(document.get('issuer')), _LONGEST)}, "
            f"not of {quote(issuer.issuer, _LONGEST)}",
            "the issuer's name must be the same, to the last character",
        )
    token_endpoint = _endpoint(issuer, document, "token_endpoint")
    if token_endpoint is None:
        raise ConfigurationError(f"{quote(issuer.issuer, _LONGEST)} has no `token_endpoint`")
    return Provider(
        issuer,
        _endpoint(issuer, document, "authorization_endpoint"),
        token_endpoint,
        _endpoint(issuer, document, "device_authorization_endpoint"),
        document.get("authorization_response_iss_parameter_supported") is True,
    )


def attempt(provider: Provider, redirect: str, authority: str, now: int, *, fresh: bool) -> Attempt:
    """Return a new attempt to log in at `authority`; the browser brings the answer to `redirect`."""
    state, seed, verifier = (strict_json.b64url(os.urandom(32)) for _ in range(3))
    return Attempt(provider, redirect, state, seed, login_nonce(authority, seed), verifier, now, fresh)


def authorization_url(login: Attempt) -> str:
    """Return the address at which the person authenticates. Raises ConfigurationError if the provider has none."""
    provider, issuer = login.provider, login.provider.issuer
    endpoint = provider.authorization_endpoint
    if endpoint is None:
        raise ConfigurationError(f"{quote(issuer.issuer, _LONGEST)} has no `authorization_endpoint`")
    values = {
        "response_type": "code",
        "client_id": issuer.client_id,
        "redirect_uri": login.redirect,
        "scope": " ".join(issuer.scopes),
        "state": login.state,
        "nonce": login.nonce,
        "code_challenge": strict_json.b64url(sha256(login.verifier.encode()).digest()),
        "code_challenge_method": "S256",
    }
    if login.fresh:
        values |= {"prompt": "login", "max_age": "0"}
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(values)}"


def belongs(login: Attempt, query: str) -> bool:
    """Return whether the query of a request is an answer to this attempt: it has its `state` (RFC 6749, 10.12)."""
    stated = _parameters(query).get("state", "")
    return hmac.compare_digest(stated.encode(), login.state.encode())


def code_in(login: Attempt, query: str) -> str:
    """Return the code in the answer that the browser brought.

    Raises:
        InvalidCredentialError: the answer is from another issuer (RFC 9207), or has no code.
        RefusedError: the provider refuses the login.
        StorageError: the provider cannot do it now.

    """
    values, issuer = _parameters(query), login.provider.issuer
    stated = values.get("iss")
    if stated is None and login.provider.states_issuer:
        raise InvalidCredentialError(
            "the answer in the browser names no issuer (`iss`), and this provider always does",
            "another server may have answered; nothing was sent to it",
        )
    if stated not in (None, issuer.issuer):
        raise InvalidCredentialError(
            f"the answer in the browser is from {quote(stated or '', _LONGEST)}, "
            f"not from {quote(issuer.issuer, _LONGEST)}",
            "another server may have answered; nothing was sent to it",
        )
    if "error" in values:
        raise _refusal(values)
    if not values.get("code"):
        raise InvalidCredentialError("the answer in the browser has neither a code nor an error")
    return values["code"]


def id_token_for(login: Attempt, code: str, timeout: float) -> Secret:
    """Return the ID token for a code.

    An access token and a refresh token in the answer are dropped.

    Raises the errors of `discover` and of `code_in`.
    """
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": login.redirect,
        "code_verifier": login.verifier,
    }
    status, document = _token_answer(login.provider, form, timeout)
    if status != 200:
        raise _refusal(document)
    text = _id_token(document)
    check_id_token(text, login.provider.issuer, document.get("access_token"), nonce=login.nonce, code=code)
    if login.fresh:
        _must_be_fresh(text, login.since)
    return Secret.single(text)


def request_device_code(provider: Provider, timeout: float) -> DeviceCode:
    """Return the codes for an attempt in another browser (RFC 8628, section 3.1).

    Raises the errors of `discover` and of `code_in`.
    """
    issuer = provider.issuer
    if provider.device_endpoint is None:
        raise ConfigurationError(
            f"{quote(issuer.issuer, _LONGEST)} has no `device_authorization_endpoint`", "omit --device"
        )
    form = {"client_id": str(issuer.client_id), "scope": " ".join(issuer.scopes)}
    status, document = _exchange(
        issuer, "POST", provider.device_endpoint, form, timeout, _authorization(issuer)
    )
    if status != 200:
        raise _refusal(document)
    texts = {name: document.get(name) for name in ("device_code", "user_code", "verification_uri")}
    complete = document.get("verification_uri_complete")
    numbers = document.get("expires_in"), document.get("interval", 5)
    if (
        not all(type(text) is str and 0 < len(text) <= MAX_QUERY for text in texts.values())
        or not (complete is None or (type(complete) is str and len(complete) <= MAX_QUERY))
        or not all(type(number) is int and number >= 0 for number in numbers)
    ):
        raise StorageError("the identity provider's answer about the device is not valid")
    for address in (texts["verification_uri"], complete):
        if address is not None:
            _check_endpoint(issuer, address, "verification_uri")
    return DeviceCode(
        Secret.single(str(texts["device_code"])),
        str(texts["user_code"]),
        str(texts["verification_uri"]),
        complete,
        min(int(numbers[0] or 0), _LONGEST_DEVICE),
        min(max(int(numbers[1]), 1), _LONGEST_INTERVAL),
    )


def poll(
    provider: Provider,
    device: DeviceCode,
    timeout: float,
    seconds_left: Callable[[], float],
    wait: Callable[[float], None],
) -> Secret:
    """Return the ID token once the person has confirmed the code elsewhere (RFC 8628, section 3.4).

    Raises the errors of `discover` and of `code_in`, and TimeoutError if no seconds are left.
    """
    interval, form = device.interval, {"grant_type": DEVICE_GRANT, "device_code": device.device_code.reveal()}
    while True:
        if seconds_left() <= interval:
            raise TimeoutError
        wait(interval)
        try:
            status, document = _token_answer(provider, form, timeout)
        except StorageError as error:
            if not error.retryable or isinstance(error.__cause__, ValueError):
                raise
            # RFC 8628, section 3.5: after a timeout, poll less often.
            interval = min(interval * 2, _LONGEST_INTERVAL)
            continue
        if status == 200:
            text = _id_token(document)
            check_id_token(text, provider.issuer, document.get("access_token"))
            return Secret.single(text)
        match document.get("error"):
            case "authorization_pending":
                continue
            case "slow_down":
                interval = min(interval + 5, _LONGEST_INTERVAL)
            case _:
                raise _refusal(document)


_LONGEST_DEVICE = 1_800
"""The maximum number of seconds for which a device code is polled."""
_LONGEST_INTERVAL = 60


def check_id_token(
    text: str,
    issuer: OidcIssuer,
    access_token: object = None,
    *,
    nonce: str | None = None,
    code: str | None = None,
) -> None:
    """Check that an ID token answers the client's own request (OpenID Connect Core, sections 3.1.3.7 and 3.1.3.8).

    Its signature, times and names are verified by the authority. Raises InvalidCredentialError.
    """
    header_part, payload_part, _ = jws.split(text)
    _, header = jws.decode_object(header_part, "header")
    _, claims = jws.decode_object(payload_part, "payload")
    client = issuer.client_id
    if header.get("alg") not in issuer.algorithms:
        raise InvalidCredentialError(
            f"the ID token's algorithm {quote(str(header.get('alg')))} is not among those of the issuer",
            f"its `algorithms`: {', '.join(issuer.algorithms)}",
        )
    if claims.get("iss") != issuer.issuer:
        raise InvalidCredentialError(
            f"the ID token is from {quote(str(claims.get('iss')), _LONGEST)}, "
            f"not from {quote(issuer.issuer, _LONGEST)}"
        )
    if claims.get("aud") not in (client, [client]):
        raise InvalidCredentialError(
            f"the ID token is not for the client {quote(str(client), _LONGEST)} alone"
        )
    if claims.get("azp", client) != client:
        raise InvalidCredentialError(
            f"the ID token was issued to another client than {quote(str(client), _LONGEST)}"
        )
    if nonce is not None and not hmac.compare_digest(str(claims.get("nonce")).encode(), nonce.encode()):
        raise InvalidCredentialError("the ID token's `nonce` is not that of this login")
    for name, value in (("at_hash", access_token), ("c_hash", code)):
        if name in claims and (type(value) is not str or claims[name] != _half_hash(header["alg"], value)):
            raise InvalidCredentialError(
                f"the ID token's `{name}` does not match the other tokens of the answer"
            )


def _must_be_fresh(text: str, since: int) -> None:
    """Raise InvalidCredentialError unless the person authenticated for this login (OpenID Connect Core, 3.1.2.1)."""
    _, claims = jws.decode_object(jws.split(text)[1], "payload")
    authenticated_at = claims.get("auth_time")
    if type(authenticated_at) is not int or authenticated_at < since - _LEEWAY:
        raise InvalidCredentialError(
            "the ID token does not prove a new authentication (`auth_time`), which --fresh requires"
        )


def _half_hash(alg: str, text: str) -> str:
    """Return the left half of a hash, by the algorithm of the signature (OpenID Connect Core, section 3.1.3.6)."""
    digest = (sha512 if alg == "EdDSA" else sha256)(text.encode()).digest()
    return strict_json.b64url(digest[: len(digest) // 2])


def _parameters(query: str) -> Mapping[str, str]:
    """Return the parameters of a query; none if it is too long, or repeats one (RFC 6749, section 3.1)."""
    if len(query) > MAX_QUERY:
        return {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=32, errors="strict")
    except ValueError:
        return {}
    values = dict(pairs)
    return values if len(values) == len(pairs) else {}


_TEMPORARY = ("server_error", "temporarily_unavailable")


def _refusal(values: Mapping[str, Any]) -> RefusedError | StorageError:
    """Return the error for an answer with `error` (RFC 6749, sections 4.1.2.1 and 5.2)."""
    code, detail = values.get("error"), values.get("error_description")
    if type(code) is not str:
        return _invalid_answer()
    more = f": {foreign(detail, _LONGEST)}" if type(detail) is str and detail else ""
    if code == "expired_token":
        return StorageError("no person confirmed the code in time; nothing was changed", "repeat the command")
    if code in _TEMPORARY:
        return StorageError(f"the identity provider cannot log in now ({foreign(code, 40)}{more})")
    return RefusedError(
        f"the identity provider refused the login ({foreign(code, 40)}{more}); nothing was changed",
        "the person cancelled, or may not use this client"
        if code == "access_denied"
        else "compare the client at the provider with [oidc.ISSUER] of the configuration",
    )


def _invalid_answer() -> StorageError:
    error = StorageError("the identity provider's answer is not valid; nothing was changed")
    error.retryable = False
    return error


def _id_token(document: Mapping[str, Any]) -> str:
    text = document.get("id_token")
    if type(text) is not str:
        raise InvalidCredentialError(
            "the identity provider's answer has no ID token", "the client's `scopes` must have `openid`"
        )
    return text


def _token_answer(
    provider: Provider, form: Mapping[str, str], timeout: float
) -> tuple[int, Mapping[str, Any]]:
    """Return the status and the answer of the token endpoint (RFC 6749, section 3.2)."""
    issuer = provider.issuer
    return _exchange(
        issuer,
        "POST",
        provider.token_endpoint,
        {**form, "client_id": str(issuer.client_id)},
        timeout,
        _authorization(issuer),
    )


def _authorization(issuer: OidcIssuer) -> str | None:
    """Return the header of a client with a secret (RFC 6749, section 2.3.1); None for a public client."""
    if issuer.client_secret_file is None:
        return None
    from base64 import b64encode

    from jitid.redaction.token_format import bare
    from jitid.system.files import check_private, read_regular

    try:
        check_private(issuer.client_secret_file, "the file of the client's secret")
        text = bare(read_regular(issuer.client_secret_file, MAX_QUERY).decode("utf-8", "replace"))
    except OSError as error:
        raise ConfigurationError(
            f"{quote(issuer.client_secret_file, _LONGEST)} cannot be read: {(error.strerror or 'error').lower()}"
        ) from None
    pair = f"{quote_plus(str(issuer.client_id))}:{quote_plus(text)}"
    return f"Basic {b64encode(pair.encode()).decode()}"


def _endpoint(issuer: OidcIssuer, document: Mapping[str, Any], name: str) -> str | None:
    address = document.get(name)
    if address is None:
        return None
    if type(address) is not str:
        raise _invalid_answer()
    _check_endpoint(issuer, address, name)
    return address


def _check_endpoint(issuer: OidcIssuer, address: str, name: str) -> None:
    """Refuse an address that a browser or a client must not be sent to. Raises ConfigurationError."""
    plain = len(address) <= MAX_QUERY and address.isascii() and address.isprintable()
    plain = plain and not set(address) & set(' "<>\\^`{|}')
    try:
        usable = plain and "#" not in address and (not check_address(address) or check_address(issuer.issuer))
    except ConfigurationError:
        usable = False
    if not usable:
        raise ConfigurationError(
            f"the `{name}` of {quote(issuer.issuer, _LONGEST)} is not an https address: {quote(address, _LONGEST)}"
        )


def _exchange(
    issuer: OidcIssuer,
    method: str,
    address: str,
    form: Mapping[str, str] | None,
    timeout: float,
    authorization: str | None = None,
) -> tuple[int, Mapping[str, Any]]:
    """Return the status and the JSON object of an answer. Redirections are not followed."""
    loopback = check_address(address)
    endpoint, host, target = parts_of(address)
    headers = {"Host": host, "Accept": "application/json", "User-Agent": "jitid", "Connection": "close"}
    if form is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    if authorization is not None:
        headers["Authorization"] = authorization
    with _channel(issuer, endpoint, None if loopback else proxy_for(endpoint.scheme, host)) as channel:
        body = None if form is None else urlencode(form).encode()
        answer = channel.request(method, target, body, headers, seconds=time_limit.left(timeout))
        data = answer.read_past(MAX_ANSWER)
    if len(data) > MAX_ANSWER:
        raise _invalid_answer()
    try:
        document = strict_json.loads(data, "the answer")
    except strict_json.StrictJSONError:
        document = None
    if type(document) is not dict:
        if answer.status >= 500:
            raise StorageError(f"the identity provider answered with status {answer.status}")
        raise _invalid_answer()
    return answer.status, document


@contextmanager
def _channel(issuer: OidcIssuer, endpoint: Any, proxy: Any) -> Iterator[Channel]:  # noqa: ANN401 - as Channel has them
    channel = Channel(endpoint, issuer.ca, _WORDS, proxy)
    try:
        yield channel
    finally:
        channel.close()
