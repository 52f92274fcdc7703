"""Answers of the service: documents, and errors with the HTTP status of their class."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from jitid.authority.wire.codec import encode_error
from jitid.capabilities.audit.audit_log import UnreadableHeadError
from jitid.errors import (
    ConfigurationError,
    ExitStatus,
    InvalidCredentialError,
    JitidError,
    NewerSchemaError,
    NotFoundError,
    PartialError,
    PolicyDeniedError,
    PresenterError,
    RefusedError,
    StorageError,
    UnauthenticatedError,
    UsageError,
)

if TYPE_CHECKING:
    from starlette.types import Send

Headers = Iterable[tuple[bytes, bytes]]

JSON = (b"content-type", b"application/json")
TEXT = (b"content-type", b"text/plain; charset=utf-8")
NOT_KEPT = (b"cache-control", b"no-store")
RETRY_AFTER = (b"retry-after", b"1")
CHALLENGE = (b"www-authenticate", b'Bearer realm="jitid"')
INVALID_TOKEN = (b"www-authenticate", b'Bearer realm="jitid", error="invalid_token"')

# The first class that matches an error counts.
_STATUSES: tuple[tuple[type[JitidError], int], ...] = (
    (UsageError, 400),
    (UnauthenticatedError, 401),
    (PolicyDeniedError, 403),
    (PresenterError, 403),
    (RefusedError, 403),
    (NotFoundError, 404),
    (PartialError, 409),
    (InvalidCredentialError, 422),
    # The client sent the head.
    (UnreadableHeadError, 422),
    (StorageError, 503),
    # An invalid configuration of the service is not the client's fault.
    (ConfigurationError, 500),
    (NewerSchemaError, 500),
)


class LimitedError(JitidError):
    """A request beyond a limit: that of one client, or that of the whole service."""

    code = "limited"
    exit_status = ExitStatus.STORAGE
    retryable = True

    def __init__(self, message: str, hint: str | None = None, *, status: int = 503, seconds: int = 1) -> None:
        """`status`: 429 for one client (RFC 6585, section 4), 503 for all of them; `seconds` until a retry."""
        super().__init__(message, hint)
        self.status = status
        self.seconds = seconds


class RequestError(JitidError):
    """A request that this service does not support, or not in this form."""

    code = "request"
    exit_status = ExitStatus.USAGE

    def __init__(self, status: int, message: str, hint: str | None = None, headers: Headers = ()) -> None:
        super().__init__(message, hint)
        self.status = status
        self.headers = tuple(headers)


def status_of(error: JitidError) -> int:
    """Return the HTTP status of an error (RFC 9110, section 15)."""
    if isinstance(error, (LimitedError, RequestError)):
        return error.status
    for error_type, status in _STATUSES:
        if isinstance(error, error_type):
            return status
    return 500


def headers_of(error: JitidError) -> list[tuple[bytes, bytes]]:
    """Return the headers that belong to the status of an error."""
    if isinstance(error, RequestError):
        return list(error.headers)
    if isinstance(error, LimitedError):
        return [(b"retry-after", str(error.seconds).encode())]
    if isinstance(error, StorageError):
        return [RETRY_AFTER]
    if isinstance(error, UnauthenticatedError):
        # RFC 6750, section 3.1: a request without a token gets no error code.
        return [INVALID_TOKEN if error.presented else CHALLENGE]
    return []


def dumps(document: object) -> bytes:
    """Return a document as JSON; ASCII only, so that no text in it can affect a program that shows it."""
    return json.dumps(document, separators=(",", ":")).encode()


async def answer(send: Send, status: int, body: bytes, headers: Headers) -> None:
    """Send a complete answer."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [*headers, (b"content-length", str(len(body)).encode())],
        }
    )
    await send({"type": "http.response.body", "body": body})


async def answer_error(send: Send, error: JitidError) -> None:
    """Send an error, which no cache may store."""
    headers = (JSON, NOT_KEPT, *headers_of(error))
    await answer(send, status_of(error), dumps(encode_error(error)), headers)
