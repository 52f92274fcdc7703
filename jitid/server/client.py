"""Who the client is: by a bearer of ours (RFC 6750), by what it signs (RFC 7523), or by its socket."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from jitid import assertion, strictjson
from jitid.assertion import ALGORITHMS as ALGORITHMS
from jitid.authority.access_operations import FindClientKeys, UseAssertion
from jitid.errors import InvalidCredentialError, UnauthenticatedError, UsageError
from jitid.server.oautherror import OAuthError

if TYPE_CHECKING:
    from starlette.requests import Request

    from jitid.authority.local import LocalAuthority
    from jitid.authority.protocol import Authority
    from jitid.caller import Caller
    from jitid.server.form import Form
    from jitid.server.service import Service

T = TypeVar("T")


async def call(
    service: Service,
    request: Request,
    form: Form,
    work: Callable[[Authority, Caller], T],
    *,
    reads: bool = False,
) -> T:
    """Let a thread do some work for the client of a request. Raises OAuthError, and as the work does."""
    return await service.call(request, work, reads=reads, proof=_signed(service, request, form))


def must_be_named(form: Form, caller: Caller) -> None:
    """Refuse a `client_id` that is not the client's. Raises OAuthError."""
    named = form.one("client_id")
    if named is not None and named not in (caller.name, caller.agent, caller.credential):
        raise OAuthError("invalid_client", "the client_id is not that of the client that proved itself", 401)


def _signed(service: Service, request: Request, form: Form) -> Callable[[LocalAuthority], Caller] | None:
    """Return what finds out who has signed the assertion of a form; None if there is none."""
    text, said = form.one("client_assertion"), form.one("client_assertion_type")
    if form.one("client_secret") is not None:
        raise OAuthError("invalid_client", "no client has a secret here: it signs, or has a bearer", 401)
    if text is None and said is None:
        return None
    if "authorization" in request.headers:
        # RFC 6749, section 2.3.
        raise OAuthError("invalid_request", "the client proves itself in two ways at once")
    if text is None or said != assertion.TYPE:
        raise OAuthError("invalid_client", f"a client assertion is of the type {assertion.TYPE}", 401)
    # RFC 7523, section 3: the issuer, or the address of the token endpoint; of the endpoint asked, where it is another.
    here = f"{service.base_url}{request.scope['path']}"
    places = (f"{service.base_url}/token", here)

    def prove(authority: LocalAuthority) -> Caller:
        now = int(time.time())
        try:
            signed = assertion.parse(text)
            audiences = (*authority.names_now().accepted(now), *places)
            keys = authority.perform(FindClientKeys(client=signed.client))
            id_ = assertion.check(signed, {key.id: strictjson.loads(key.jwk) for key in keys}, audiences, now)
        except (InvalidCredentialError, UsageError) as error:
            raise UnauthenticatedError(f"{error.message}; nothing was done") from None
        return authority.perform(
            UseAssertion(
                id=id_, jti=signed.jti, expires_at=signed.ends_at, issued_at=signed.claims.get("iat")
            )
        )

    return prove
