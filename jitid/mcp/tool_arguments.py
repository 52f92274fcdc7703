"""The arguments of the tools: declared with their types, from which their JSON Schemas and their check follow."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from jitid.errors import UsageError
from jitid.model.types import MAY_KIND, PURPOSE, TASK
from jitid.values.declaration import Declared, Field, FieldType, arg, opt, opts
from jitid.values.field_types import AGENT, AUDIENCE, ID, SCOPE, texts
from jitid.values.scope import Scope
from jitid.values.text import quote
from jitid.values.times import parse_duration

A = TypeVar("A", bound=Declared)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,30}")
"""Valid argument names, which are shorter than any token."""

_ID = texts(ID.check, "ID", {**ID.schema, "maxLength": 64})
_LIFETIME = texts(parse_duration, "DURATION", {"maxLength": 32})
_AGENT_HELP = "Who is to act: the name of the sub-agent, such as test-runner."


class Nothing(Declared):
    """No arguments."""


class IdentityQuestion(Declared):
    """A request for an identity; the agent's own identity sets its limits."""

    # The maximum numbers are needed: the audit log stores every request, even a refused one.

    agent: str | None = opt(AGENT, help=_AGENT_HELP, default=None)
    scopes: tuple[Scope, ...] = opts(
        SCOPE,
        help="The rights it needs, each as segments between colons, such as repo:acme/web:read. A segment may be or "
        "end in *. Each must be covered by one of your own. None: an identity alone.",
        default=(),
        most=64,
    )
    audiences: tuple[str, ...] = opts(
        AUDIENCE,
        help="The services that the token is shown to, among what whoami calls may_audience: there a * is any one "
        "label of a host. Needed for a token.",
        default=(),
        most=16,
    )
    ttl: int | None = opt(
        _LIFETIME,
        help="How long it lives, as 90s, 15m or 1h; never longer than your own credential.",
        default=None,
    )
    purpose: str | None = opt(
        PURPOSE, help="Why, in a sentence; only with a new task, and left out: as yours.", default=None
    )
    task: str | None = opt(
        TASK, help="The name of a sub-task, such as INC-4821/tests; left out: your own task.", default=None
    )
    may_kind: tuple[str, ...] = opts(
        MAY_KIND,
        help="The kinds of credential that it may obtain by its own, as KIND or KIND:TEMPLATE, among those that you "
        "may obtain; left out: jwt and opaque.",
        default=(),
        most=32,
    )


class IdentityRequest(IdentityQuestion):
    """A request for an identity that is issued."""

    agent: str = arg(AGENT, "agent", help=_AGENT_HELP)


class OneIdentity(Declared):
    """The name of an identity."""

    id: str = arg(_ID, "id", help="The id of the identity (jid_...) or of a credential of it (jti_...).")


def schema_of(arguments: type[Declared]) -> dict[str, Any]:
    """Return the JSON Schema of arguments."""
    properties = {name: _schema(field) for name, field in arguments.fields.items()}
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    required = [name for name, field in arguments.fields.items() if field.required]
    return {**schema, "required": required} if required else schema


def _schema(field: Field) -> dict[str, Any]:
    text = {"type": "string", "minLength": 1, **_type(field).schema}
    if field.many:
        return {"type": "array", "description": field.help, "items": text, "maxItems": field.most}
    return {**text, "description": field.help}


def read(stated: Mapping[str, Any], arguments: type[A]) -> A:
    """Return the stated arguments of a call, converted to their types.

    Raises UsageError if they do not fit. An unknown name is quoted only if it is short: it may be a token.
    """
    for name in stated:
        if name not in arguments.fields:
            allowed = ", ".join(arguments.fields)
            subject = f"the argument {quote(name)}" if _NAME.fullmatch(name) else "an argument that is given"
            raise UsageError(
                f"{subject} is none that this tool takes",
                f"it takes: {allowed}" if allowed else "it takes none",
            )
    for name, field in arguments.fields.items():
        if field.required and name not in stated:
            raise UsageError(f"the argument {quote(name)} is missing")
    return arguments(**{name: _value(arguments.fields[name], value) for name, value in stated.items()})


def _value(field: Field, value: object) -> Any:  # noqa: ANN401 - a value of the field's type
    label = f"the argument {quote(field.name)}"
    if not field.many:
        return _text(_type(field), value, label)
    if not isinstance(value, list):
        raise UsageError(f"{label} is no array of texts")
    if field.most is not None and len(value) > field.most:
        raise UsageError(f"{label} has {len(value)} texts, more than {field.most}")
    return tuple([_text(_type(field), item, f"what stands in {label}") for item in value])


def _text(type_: FieldType[Any], value: object, label: str) -> Any:  # noqa: ANN401 - as above
    if not isinstance(value, str):
        raise UsageError(f"{label} is no text")
    most = type_.schema.get("maxLength")
    if most is not None and len(value) > most:
        raise UsageError(f"{label} has {len(value)} characters, more than {most}")
    if not value.strip():
        raise UsageError(f"{label} is blank", "an empty value is never taken for none: leave it out")
    return type_.parse(value, label)


def _type(field: Field) -> FieldType[Any]:
    assert field.type is not None, "each argument is a text, or several"
    return field.type
