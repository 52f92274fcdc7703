"""The OpenAPI 3.1 document of jitid's operations, derived from the annotations of their types."""

from __future__ import annotations

from typing import Any

from jitid import __version__
from jitid.authority.wire import codec
from jitid.authority.wire.annotations import operations
from jitid.authority.wire.shape_of import shape_of
from jitid.authority.wire.shapes import Definitions, Schema
from jitid.capabilities.access.authenticate import WhoAmI

OPERATIONS = "/v1/operations"
WHOAMI = "/v1/whoami"

_STATUSES = {
    "400": "The request cannot be meant. Nothing was done.",
    "401": "Nobody knows who asks.",
    "403": "The policy denies it, or this caller may not ask for it.",
    "404": "There is no such thing, or no such operation.",
    "408": "The request did not arrive in time.",
    "409": "A part of it was done.",
    "413": "The request is too large.",
    "415": "The body is no JSON.",
    "422": "A credential in the request is not valid.",
    "429": "This client asks too often.",
    "431": "The headers are too large.",
    "500": "The ledger, its keys or the service are not in order.",
    "503": "The ledger is out of reach, or too much is in work: try again later.",
}

_ERROR: Schema = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string", "description": "What was wrong, and what is unchanged."},
                "hint": {"type": ["string", "null"], "description": "What to do next."},
                "retryable": {"type": "boolean"},
                "exit": {"type": "integer", "description": "The exit status of the command line for it."},
                "unsure": {
                    "type": "boolean",
                    "description": "Whether it was done is not known; absent where nothing was done.",
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
        "description": "Makes a request known again whose answer was lost: what it made first is ended.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    },
    {
        "name": "traceparent",
        "in": "header",
        # A malformed value counts as missing and is not an error (W3C Trace Context, section 3.2.2): hence no pattern.
        "description": "What the request belongs to (W3C Trace Context); it is kept with the audit event.",
        "schema": {"type": "string"},
    },
]


def document(base_url: str) -> dict[str, Any]:
    """Return the document; `base_url` is the address of the service for clients."""
    definitions: Definitions = {"Error": _ERROR}
    paths = {f"{OPERATIONS}/{name}": {"post": _operation(name, definitions)} for name in codec.names()}
    paths[WHOAMI] = {"get": _whoami(definitions)}
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
                    "description": "An access credential, or an agent's own credential that names this authority as "
                    "its audience. Over a Unix socket the kernel tells who asks.",
                }
            },
        },
    }


def _whoami(definitions: Definitions) -> dict[str, Any]:
    answer = shape_of(WhoAmI, request=False).schema(definitions)
    return {
        "operationId": "whoami",
        "summary": "Tell whom this authority takes its caller for.",
        "responses": {
            "200": {"description": "The caller.", "content": {"application/json": {"schema": answer}}},
            **{code: {"$ref": f"#/components/responses/Error{code}"} for code in _STATUSES},
        },
    }


def _operation(name: str, definitions: Definitions) -> dict[str, Any]:
    request, answer = codec.schema_of(name, definitions)
    media_type = "application/x-ndjson" if codec.streams(operations()[name]) else "application/json"
    description = (
        "The answer, a line for each piece of it." if media_type != "application/json" else "The answer."
    )
    return {
        "operationId": name,
        "summary": codec.described(name),
        "parameters": _HEADERS,
        "requestBody": {"required": True, "content": {"application/json": {"schema": request}}},
        "responses": {
            "200": {"description": description, "content": {media_type: {"schema": answer}}},
            **{code: {"$ref": f"#/components/responses/Error{code}"} for code in _STATUSES},
        },
    }
