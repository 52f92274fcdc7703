"""Who the client is: by a bearer of ours (RFC 6750), or by its socket."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from jitid.server.oautherror import OAuthError

if TYPE_CHECKING:
    from starlette.requests import Request

    from jitid.authority.protocol import Authority
    from jitid.caller import Caller
    from jitid.server.form import Form
    from jitid.server.service import Service

T = TypeVar("T")


async def call(service: Service, request: Request, form: Form, work: Callable[[Authority, Caller], T]) -> T:
    """Let a thread do some work for the client of a request. Raises OAuthError, and as the work does."""
    if form.one("client_secret") is not None or form.one("client_assertion") is not None:
        raise OAuthError("invalid_client", "a client proves itself by its bearer", 401)
    return await service.call(request, work)


def must_be_named(form: Form, caller: Caller) -> None:
    """Refuse a `client_id` that is not the client's. Raises OAuthError."""
    named = form.one("client_id")
    if named is not None and named not in (caller.name, caller.agent):
        raise OAuthError("invalid_client", "the client_id is not that of the client that proved itself", 401)
