"""The JSON Schemas of the tools' arguments and results, and the check of arguments against them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from jitid.errors import UsageError
from jitid.model.acceptance import LEEWAY_TEXT
from jitid.values.text import quote

Schema = Mapping[str, Any]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,30}")
"""Valid argument names, which are shorter than any token."""

_TEXT: Schema = {"type": "string"}
_TEXTS: Schema = {"type": "array", "items": _TEXT}
_NUMBER: Schema = {"type": "integer"}
_YES_OR_NO: Schema = {"type": "boolean"}


def _text(description: str, max_length: int) -> Schema:
    return {"type": "string", "description": description, "minLength": 1, "maxLength": max_length}


def _texts(description: str, max_length: int, max_items: int) -> Schema:
    items = {"type": "string", "minLength": 1, "maxLength": max_length}
    # Limits are needed: the audit log stores every request, even a refused one.
    return {"type": "array", "description": description, "items": items, "maxItems": max_items}


def _input_schema(properties: Mapping[str, Schema], *required: str) -> Schema:
    schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": list(required)} if required else schema


_REQUEST_PROPERTIES: Mapping[str, Schema] = {
    "agent": _text("Who is to act: the name of the sub-agent, such as test-runner.", 128),
    "scopes": _texts(
        "The rights it needs, each as segments between colons, such as repo:acme/web:read. A segment may be or end in "
        "*. Each must be covered by one of your own. None: an identity alone.",
        256,
        64,
    ),
    "audiences": _texts(
        "The services that the token is shown to, among what whoami calls may_audience: there a * is any one label of "
        "a host. Needed for a token.",
        255,
        16,
    ),
    "ttl": _text("How long it lives, as 90s, 15m or 1h; never longer than your own credential.", 32),
    "purpose": _text("Why, in a sentence; only with a new task, and left out: as yours.", 1_000),
    "task": _text("The name of a sub-task, such as INC-4821/tests; left out: your own task.", 128),
    "may_kind": _texts(
        "The kinds of credential that it may obtain by its own, as KIND or KIND:TEMPLATE, among those that you may "
        "obtain; left out: jwt and opaque.",
        200,
        32,
    ),
}

REQUEST = _input_schema(_REQUEST_PROPERTIES, "agent")
QUESTION = _input_schema(_REQUEST_PROPERTIES)
ID = _input_schema(
    {"id": _text("The id of the identity (jid_...) or of a credential of it (jti_...).", 64)}, "id"
)
NOTHING = _input_schema({})

_ERROR: Schema = {
    "type": "object",
    "description": "Why it was not done.",
    "properties": {
        "code": _TEXT,
        "message": _TEXT,
        "hint": _TEXT,
        "retryable": _YES_OR_NO,
        "retry_after_seconds": {"type": "number"},
        "approvals": {**_TEXTS, "description": "The requests for approval that others have to grant first."},
    },
    "required": ["code", "message", "retryable"],
}


def _output_schema(required: Mapping[str, Schema], **optional: Schema) -> Schema:
    """Return the schema of a result. It allows errors too, since some clients check them against the same schema."""
    return {
        "type": "object",
        "properties": {**required, **optional, "error": _ERROR},
        "anyOf": [{"required": list(required)}, {"required": ["error"]}],
    }


_GRANTED: Mapping[str, Schema] = {
    "agent": _TEXT,
    "task": _TEXT,
    "sensitivity": _TEXT,
    "scopes": _TEXTS,
    "audiences": _TEXTS,
    "depth": _NUMBER,
    "expires_at": _TEXT,
    "notes": _TEXTS,
}

ISSUED = _output_schema(
    {"id": _TEXT, "jti": _TEXT, "token_file": _TEXT, "parent": _TEXT, "issued_at": _TEXT, **_GRANTED},
)
SELF = _output_schema(
    {
        "id": _TEXT,
        "jti": _TEXT,
        "agent": _TEXT,
        "delegator": _TEXT,
        "delegator_proof": _TEXT,
        "chain": {
            **_TEXTS,
            "description": "Who delegated to whom, from the root delegator down to yourself.",
        },
        "task": _TEXT,
        "sensitivity": _TEXT,
        "scopes": _TEXTS,
        "audiences": _TEXTS,
        "may_audience": {**_TEXTS, "description": "The services for which you may ask for a token."},
        "depth": _NUMBER,
        "issued_at": _TEXT,
        "expires_at": _TEXT,
        "task_deadline": _TEXT,
        "most": {**_NUMBER, "description": "How many identities may be out at once."},
        "handed_out": {
            "type": "array",
            "description": "What you have been given here and not handed back.",
            "items": {
                "type": "object",
                "properties": {
                    "id": _TEXT,
                    "agent": _TEXT,
                    "task": _TEXT,
                    "scopes": _TEXTS,
                    "expires_at": _TEXT,
                    "token_file": _TEXT,
                },
                "required": ["id", "agent", "task", "scopes", "expires_at"],
            },
        },
    },
    purpose=_TEXT,
    parent=_TEXT,
    authorization_details={"type": "array", "items": {"type": "object"}},
    confinement={
        "enum": ["key-readable", "person-impersonable", "confined"],
        "description": "What programs that run as your user can do beyond your credential: read the signing key, act "
        "as a person, or nothing.",
    },
)
DECISION = _output_schema(
    {"permitted": _YES_OR_NO, "reason": _TEXT, "rules": _TEXTS},
    hint={**_TEXT, "description": "What to change for it to pass."},
    lifetime=_TEXT,
    **_GRANTED,
)
HANDED_BACK = _output_schema(
    {"id": _TEXT, "ended": {**_NUMBER, "description": "How many credentials ended."}, "identities": _NUMBER},
    offline_until={
        **_TEXT,
        "description": f"The latest expiry of signed ones; offline verifiers accept one for {LEEWAY_TEXT} more.",
    },
)


def check(arguments: Mapping[str, Any], schema: Schema) -> None:
    """Check the arguments of a call against the schema of its tool.

    Raises UsageError if they do not fit. It quotes at most a short name, since an argument may be a token.
    """
    properties: Mapping[str, Schema] = schema["properties"]
    for name in arguments:
        if name not in properties:
            allowed = ", ".join(properties)
            subject = f"the argument {quote(name)}" if _NAME.fullmatch(name) else "an argument that is given"
            raise UsageError(
                f"{subject} is none that this tool takes",
                f"it takes: {allowed}" if allowed else "it takes none",
            )
    for name in schema.get("required", ()):
        if name not in arguments:
            raise UsageError(f"the argument {quote(name)} is missing")
    for name, value in arguments.items():
        _check_value(value, properties[name], f"the argument {quote(name)}")


def _check_value(value: object, schema: Schema, label: str) -> None:
    if schema["type"] == "array":
        if not isinstance(value, list):
            raise UsageError(f"{label} is no array of texts")
        if len(value) > schema["maxItems"]:
            raise UsageError(f"{label} has {len(value)} texts, more than {schema['maxItems']}")
        for item in value:
            _check_value(item, schema["items"], f"what stands in {label}")
        return
    if not isinstance(value, str):
        raise UsageError(f"{label} is no text")
    if len(value) > schema["maxLength"]:
        raise UsageError(f"{label} has {len(value)} characters, more than {schema['maxLength']}")
    if not value.strip():
        raise UsageError(f"{label} is blank", "an empty value is never taken for none: leave it out")
