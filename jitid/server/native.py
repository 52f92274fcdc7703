"""The native API: every operation as a POST of its values, and the OpenAPI document of them."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from jitid import __version__
from jitid.authority.wire import codec
from jitid.authority.wire.codec import operations, shape_of
from jitid.authority.wire.shapes import Definitions, Schema
from jitid.errors import InvalidCredentialError, JitidError, UsageError
from jitid.model.access import UNAUTHENTICATED, Confinement, WhoAmI
from jitid.server.answers import RequestError, dumps
from jitid.server.metrics import record_of
from jitid.values import strict_json

if TYPE_CHECKING:
    from starlette.requests import Request

    from jitid.model.access import Caller
    from jitid.model.ledger_rows import Names
    from jitid.operation.base import Authority, Operation
    from jitid.server.service import Service


OPERATIONS = "/v1/operations"
WHOAMI = "/v1/whoami"

_STATUSES = {
    "400": "The request is invalid. Nothing was done.",
    "401": "Authentication required.",
    "403": "The policy denies the request, or the caller lacks a role for it.",
    "404": "Not found, or an unknown operation.",
    "408": "The request did not arrive in time.",
    "409": "The request was done only in part.",
    "413": "The request is too large.",
    "415": "The body is not JSON.",
    "422": "A credential in the request is not valid.",
    "429": "This client sends too many requests.",
    "431": "The headers are too large.",
    "500": "A fault of the ledger, its keys or the service.",
    "503": "The ledger is unreachable, or the service is overloaded: try again later.",
}

_ERROR: Schema = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string", "description": "The fault, and the state that is unchanged."},
                "hint": {"type": ["string", "null"], "description": "The next step."},
                "retryable": {"type": "boolean"},
                "exit": {
                    "type": "integer",
                    "description": "The exit status of the command line for this error.",
                },
                "unsure": {
                    "type": "boolean",
                    "description": "Whether the outcome is unknown; absent if nothing was done.",
                },
            },
            "required": ["code", "message", "hint", "retryable", "exit"],
        }
    },
    "required": ["error"],
}

_HEADERS = [
    {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Identifies the repetition of a request after a lost answer: the first result is revoked.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    },
    {
        "name": "traceparent",
        "in": "header",
        # A malformed value counts as missing and is not an error (W3C Trace Context, section 3.2.2): hence no pattern.
        "description": "The trace of the request (W3C Trace Context); the audit event stores it.",
        "schema": {"type": "string"},
    },
]


def document(base_url: str) -> dict[str, Any]:
    """Return the document; `base_url` is the address of the service for clients."""
    definitions: Definitions = {"Error": _ERROR}
    paths = {
        f"{OPERATIONS}/{name}": {"post": _operation_document(name, definitions)} for name in codec.names()
    }
    paths[WHOAMI] = {"get": _whoami_document(definitions)}
    failures = {
        code: {
            "description": description,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        }
        for code, description in _STATUSES.items()
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "jitid",
            "version": __version__,
            "summary": "Just-in-time identity for AI agents: the operations of an authority.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": base_url}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": definitions,
            "responses": {f"Error{code}": response for code, response in failures.items()},
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An access token, or an agent's identity token, which has this authority as its "
                    "audience. Over a Unix socket the kernel identifies the caller.",
                }
            },
        },
    }


def _whoami_document(definitions: Definitions) -> dict[str, Any]:
    answer = shape_of(WhoAmI, request=False).schema(definitions)
    return {
        "operationId": "whoami",
        "summary": "Return the authority's view of its caller.",
        "responses": {
            "200": {"description": "The caller.", "content": {"application/json": {"schema": answer}}},
            **{code: {"$ref": f"#/components/responses/Error{code}"} for code in _STATUSES},
        },
    }


def _operation_document(name: str, definitions: Definitions) -> dict[str, Any]:
    request, answer = codec.schema_of(name, definitions)
    media_type = "application/x-ndjson" if codec.streams(operations()[name]) else "application/json"
    description = (
        "The answer, in lines: one for each piece." if media_type != "application/json" else "The answer."
    )
    return {
        "operationId": name,
        "summary": codec.described(name),
        **({"security": [{}]} if operations()[name].authenticates else {}),
        "parameters": _HEADERS,
        "requestBody": {"required": True, "content": {"application/json": {"schema": request}}},
        "responses": {
            "200": {"description": description, "content": {media_type: {"schema": answer}}},
            **{code: {"$ref": f"#/components/responses/Error{code}"} for code in _STATUSES},
        },
    }


_LINES = "application/x-ndjson"
_NOT_KEPT = {"cache-control": "no-store"}


def routes(service: Service) -> list[BaseRoute]:
    """Return the routes of all operations, of whoami, and of the OpenAPI document."""
    cached: list[bytes] = []
    paths = dict(zip(codec.names(), operation_paths(), strict=True))

    async def perform(request: Request) -> Response:
        name = request.path_params["name"]
        # Decoding comes after authorization: only permitted callers learn about errors in the request.
        operation_type = operations()[name] if name in paths else None
        record_of(request.scope).route = paths.get(name, record_of(request.scope).route)
        read = await _operation(request, name)
        if operation_type is not None and codec.streams(operation_type):
            return await _in_pieces(service, request, operation_type, read)
        long = operation_type is not None and operation_type.slow
        if operation_type is not None and operation_type.authenticates:
            return _document(await _authenticating(service, request, operation_type, read))
        answer = await service.call(
            request, lambda authority, _: _answer(authority, read), long=long, operation_type=operation_type
        )
        return _document(answer)

    async def whoami(request: Request) -> Response:
        caller = await service.call(request, lambda _, caller: caller)
        socket_caller = await service.without_credential(request) if caller.agent is not None else None
        reported = _whoami(caller, await service.names_now(), _confinement(request, caller, socket_caller))
        return _document(dumps(reported))

    async def openapi(_request: Request) -> Response:
        if not cached:
            cached.append(dumps(document(service.base_url)))
        return Response(cached[0], media_type="application/json")

    return [
        Route(f"{OPERATIONS}/{{name}}", perform, methods=["POST"]),
        Route(WHOAMI, whoami, methods=["GET"]),
        Route("/v1/openapi.json", openapi, methods=["GET"]),
    ]


async def _authenticating(
    service: Service,
    request: Request,
    operation_type: type[Operation[Any]],
    read: Callable[[], Operation[object]],
) -> bytes:
    """Return the answer to an operation that authenticates its caller itself. Failures count as those of a client."""
    service.keep_client_pace(request)

    def work(authority: Authority, _: Caller) -> bytes:
        with service.counting_failures(request, InvalidCredentialError):
            return _answer(authority, read)

    return await service.call(request, work, proof=lambda _: UNAUTHENTICATED, operation_type=operation_type)


def operation_paths() -> list[str]:
    """Return the path of each operation, as in the log and the counters."""
    return [f"{OPERATIONS}/{name}" for name in codec.names()]


def _document(text: bytes) -> Response:
    return Response(text, headers=_NOT_KEPT, media_type="application/json")


async def _operation(request: Request, name: str) -> Callable[[], Operation[object]]:
    """Return a function that decodes the operation from the body; the body is received here."""
    content_type = request.headers.get("content-type", "")
    body = await request.body()

    def read() -> Operation[object]:
        # JSON has no media type parameters (RFC 8259, section 11), so parameters from clients are ignored.
        if content_type.partition(";")[0].strip().lower() != "application/json":
            raise RequestError(415, "the content type must be application/json; nothing was done")
        try:
            values = strict_json.loads(body or b"{}", "the body")
        except strict_json.StrictJSONError as error:
            raise UsageError(f"{error}; nothing was done") from None
        try:
            return codec.decode_operation(name, values)
        except UsageError as error:
            error.message += "; nothing was done"
            raise

    return read


def _confinement(request: Request, caller: Caller, socket_caller: Caller | None) -> Confinement:
    """Return the caller's powers beyond its credential; `socket_caller` is that at the socket without a credential."""
    peer = record_of(request.scope).peer
    if peer is not None and peer.uid in (0, os.geteuid()):
        return Confinement.KEY_READABLE
    if caller.agent is None or socket_caller is not None:
        return Confinement.PERSON_IMPERSONABLE
    return Confinement.CONFINED


def _whoami(caller: Caller, names: Names, confinement: Confinement) -> dict[str, Any]:
    whoami = WhoAmI(
        caller.name,
        tuple(sorted(caller.roles or ())),
        caller.delegator,
        caller.proof,
        caller.agent,
        names.issuer,
        int(time.time()),
        __version__,
        confinement,
        caller.login,
    )
    encoded: dict[str, Any] = shape_of(WhoAmI, request=False).encode(whoami)
    return encoded


def _answer(authority: Authority, read: Callable[[], Operation[object]]) -> bytes:
    operation = read()
    return dumps(codec.encode_result(operation, authority.perform(operation)))


async def _in_pieces(
    service: Service,
    request: Request,
    operation_type: type[Operation[Any]],
    read: Callable[[], Operation[object]],
) -> Response:
    """Return a streamed answer, a line for each piece.

    An error before the first piece has its own HTTP status; a later error is the last line.
    """

    def work(authority: Authority, _: Caller) -> Iterator[bytes]:
        operation = read()
        for piece in codec.encode_result(operation, authority.perform(operation)):
            yield dumps(piece) + b"\n"

    pieces = service.stream(request, work, operation_type=operation_type)
    first_piece = await anext(pieces, b"")

    async def lines() -> AsyncIterator[bytes]:
        yield first_piece
        try:
            async for piece in pieces:
                yield piece
        except JitidError as error:
            yield dumps(codec.encode_error(error)) + b"\n"

    return StreamingResponse(lines(), headers=_NOT_KEPT, media_type=_LINES)
