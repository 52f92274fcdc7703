"""The answers of the tools, each with the JSON Schema of its fields.

And their arguments: declared with their types, from which their JSON Schemas and their check follow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from jitid.errors import ApprovalNeededError, JitidError, UsageError
from jitid.mcp.handed_out import LimitError
from jitid.model.credential import LEEWAY_TEXT
from jitid.model.types import MAY_KIND, PURPOSE, TASK
from jitid.values.declaration import Declared, Field, FieldType, arg, opt, opts
from jitid.values.field_types import AGENT, AUDIENCE, ID, SCOPE, texts
from jitid.values.scope import Scope
from jitid.values.text import quote, safe
from jitid.values.times import format_duration, format_time, parse_duration

if TYPE_CHECKING:
    from jitid.capabilities.identity.revocation import HandedBack
    from jitid.capabilities.inventory.operations import Inspection
    from jitid.capabilities.issue.issue_result import Issued
    from jitid.errors import PolicyDeniedError
    from jitid.mcp.handed_out import Handed


_ARGUMENTS = ("scope", "audience", "ttl", "purpose", "task")
"""The options of `issue` that are arguments of a tool, too."""

Schema = Mapping[str, Any]

_TEXT: Schema = {"type": "string"}
_TEXTS: Schema = {"type": "array", "items": _TEXT}
_NUMBER: Schema = {"type": "integer"}
_YES_OR_NO: Schema = {"type": "boolean"}

_ERROR: Schema = {
    "type": "object",
    "description": "The reason for the refusal.",
    "properties": {
        "code": _TEXT,
        "message": _TEXT,
        "hint": _TEXT,
        "retryable": _YES_OR_NO,
        "retry_after_seconds": {"type": "number"},
        "approvals": {**_TEXTS, "description": "The requests for approval that must be granted first."},
    },
    "required": ["code", "message", "retryable"],
}


def refusal(error: JitidError) -> dict[str, Any]:
    """Return the answer for an error."""
    approvals = list(error.requests) if isinstance(error, ApprovalNeededError) else None
    seconds = error.seconds if isinstance(error, LimitError) else None
    return {
        "code": error.code,
        "message": safe(error.message),
        **_present(hint=_hint(error)),
        "retryable": error.retryable,
        **_present(approvals=approvals, retry_after_seconds=seconds),
    }


def _hint(error: JitidError) -> str | None:
    """Return the hint of an error, with the arguments of a tool instead of command options."""
    if isinstance(error, ApprovalNeededError):
        if not error.requests:
            return "request_identity requests this approval"
        from jitid.capabilities.issue.approval_request import a_member

        command = f"jitid approve grant {error.requests[0]}"
        return f"{a_member(error.missing)} must approve: {command}; then repeat this call unchanged"
    return None if error.hint is None else safe(in_terms_of_tools(error.hint))


def _output_schema(required: Mapping[str, Schema], **optional: Schema) -> Schema:
    """Return the schema of a result. It allows errors too, since some clients check them against the same schema."""
    return {
        "type": "object",
        "properties": {**required, **optional, "error": _ERROR},
        "anyOf": [{"required": list(required)}, {"required": ["error"]}],
    }


_HANDED: Schema = {
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
}


def handed(identity: Handed) -> dict[str, Any]:
    """Return a handed-out identity."""
    return {
        "id": identity.id,
        "agent": identity.agent,
        "task": identity.task,
        "scopes": identity.scopes,
        "expires_at": format_time(identity.expires_at),
        **_present(token_file=identity.token_file),
    }


SELF = _output_schema(
    {
        "id": _TEXT,
        "jti": _TEXT,
        "agent": _TEXT,
        "delegator": _TEXT,
        "delegator_proof": _TEXT,
        "chain": {
            **_TEXTS,
            "description": "The delegators and agents, from the root delegator down to you.",
        },
        "task": _TEXT,
        "sensitivity": _TEXT,
        "scopes": _TEXTS,
        "audiences": _TEXTS,
        "may_audience": {**_TEXTS, "description": "The services for which you may request a token."},
        "depth": _NUMBER,
        "issued_at": _TEXT,
        "expires_at": _TEXT,
        "task_deadline": _TEXT,
        "most": {**_NUMBER, "description": "The maximum number of live identities."},
        "handed_out": {
            "type": "array",
            "description": "The identities that you obtained here and did not hand back.",
            "items": _HANDED,
        },
    },
    purpose=_TEXT,
    parent=_TEXT,
    authorization_details={"type": "array", "items": {"type": "object"}},
    confinement={
        "enum": ["key-readable", "person-impersonable", "confined"],
        "description": "The powers of programs of your user beyond your credential: read the signing key, act as a "
        "person, or none.",
    },
)


def own(inspection: Inspection) -> dict[str, Any]:
    """Return the agent's own credential."""
    from jitid.values import strict_json

    credential = inspection.credential
    return {
        "id": credential.id,
        "jti": credential.jti,
        "agent": credential.agent,
        "delegator": credential.delegator,
        "delegator_proof": credential.delegator_proof,
        "chain": [
            credential.delegator,
            *(ancestor.agent for ancestor in reversed(inspection.lineage)),
            credential.agent,
        ],
        "task": credential.task,
        "task_deadline": format_time(inspection.task.deadline),
        "sensitivity": credential.sensitivity,
        "scopes": credential.scopes,
        "audiences": credential.audiences,
        "may_audience": credential.may_audience,
        "depth": credential.depth,
        "issued_at": format_time(credential.issued_at),
        "expires_at": format_time(credential.expires_at),
        **_present(
            purpose=credential.purpose,
            parent=credential.parent,
            authorization_details=None
            if credential.details is None
            else strict_json.loads(credential.details),
        ),
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


def granted(issued: Issued) -> dict[str, Any]:
    """Return the granted, or foreseen, values of a request."""
    return {
        "agent": issued.agent,
        "task": issued.task,
        "sensitivity": issued.sensitivity,
        "scopes": issued.scopes,
        "audiences": issued.audiences,
        "depth": issued.depth,
        "expires_at": format_time(issued.expires_at),
        "notes": [in_terms_of_tools(note) for note in issued.notes],
    }


ISSUED = _output_schema(
    {"id": _TEXT, "jti": _TEXT, "token_file": _TEXT, "parent": _TEXT, "issued_at": _TEXT, **_GRANTED},
)


DECISION = _output_schema(
    {"permitted": _YES_OR_NO, "reason": _TEXT, "rules": _TEXTS},
    hint={**_TEXT, "description": "The change with which the request would pass."},
    lifetime=_TEXT,
    **_GRANTED,
)


def foreseen(issued: Issued) -> dict[str, Any]:
    """Return the answer about a request that would be permitted."""
    decision = issued.decision
    return {
        "permitted": True,
        "reason": decision.reason,
        "rules": decision.rules,
        "lifetime": format_duration(issued.expires_at - issued.issued_at),
        **granted(issued),
    }


def denial(error: PolicyDeniedError) -> dict[str, Any]:
    """Return the answer about a request that would be denied."""
    return {
        "permitted": False,
        "reason": error.message.removeprefix("denied: "),
        "rules": error.facts.get("rules", []),
        **_present(hint=_hint(error)),
    }


HANDED_BACK = _output_schema(
    {
        "id": _TEXT,
        "ended": {**_NUMBER, "description": "The number of revoked credentials."},
        "identities": _NUMBER,
    },
    offline_until={
        **_TEXT,
        "description": f"The latest expiry of signed tokens; offline verifiers accept them for {LEEWAY_TEXT} more.",
    },
)


def handed_back(result: HandedBack) -> dict[str, Any]:
    """Return the answer about a revocation by `hand_back`."""
    offline_until = result.ended.radius.offline_until
    return {
        "id": result.id,
        "ended": result.ended.credentials,
        "identities": result.ended.radius.identities,
        **_present(offline_until=None if offline_until is None else format_time(offline_until)),
    }


def in_terms_of_tools(hint: str) -> str:
    """Return the hint of a command with the arguments of a tool instead of its options."""
    for name in _ARGUMENTS:
        hint = hint.replace(f"--{name} ", f"{name} ").replace(f"--{name},", f"{name},")
    return hint


def _present(**values: object) -> dict[str, Any]:
    """Return the values that are not None: the schemas do not allow null."""
    return {name: value for name, value in values.items() if value is not None}


A = TypeVar("A", bound=Declared)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,30}")
"""Valid argument names, which are shorter than any token."""

_ID = texts(ID.check, "ID", {**ID.schema, "maxLength": 64})
_LIFETIME = texts(parse_duration, "DURATION", {"maxLength": 32})
_AGENT_HELP = "The acting agent: the name of the sub-agent, such as test-runner."


class Nothing(Declared):
    """No arguments."""


class IdentityQuestion(Declared):
    """A request for an identity; the agent's own identity sets its limits."""

    # The maximum numbers are needed: the audit log stores every request, even a refused one.

    agent: str | None = opt(AGENT, help=_AGENT_HELP, default=None)
    scopes: tuple[Scope, ...] = opts(
        SCOPE,
        help="The required rights, each as segments between colons, such as repo:acme/web:read. A segment may be or "
        "end in *. One of your own scopes must cover each. Without scopes: only an identity.",
        default=(),
        most=64,
    )
    audiences: tuple[str, ...] = opts(
        AUDIENCE,
        help="The services that receive the token, among the may_audience of whoami. In may_audience, a * stands for "
        "one label of a host. Required for a token.",
        default=(),
        most=16,
    )
    ttl: int | None = opt(
        _LIFETIME,
        help="The lifetime, as 90s, 15m or 1h; at most that of your own credential.",
        default=None,
    )
    purpose: str | None = opt(
        PURPOSE, help="The purpose in a sentence, only for a new task. Default: your purpose.", default=None
    )
    task: str | None = opt(
        TASK, help="The name of a sub-task, such as INC-4821/tests. Default: your own task.", default=None
    )
    may_kind: tuple[str, ...] = opts(
        MAY_KIND,
        help="The kinds of credential that the identity may obtain, as KIND or KIND:TEMPLATE, among the "
        "kinds that you may obtain. Default: jwt and opaque.",
        default=(),
        most=32,
    )


class IdentityRequest(IdentityQuestion):
    """A request for an identity that is issued."""

    agent: str = arg(AGENT, "agent", help=_AGENT_HELP)


class OneIdentity(Declared):
    """The name of an identity."""

    id: str = arg(_ID, "id", help="The id of the identity (jid_...) or of one of its credentials (jti_...).")


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
            subject = f"the argument {quote(name)}" if _NAME.fullmatch(name) else "an argument"
            raise UsageError(
                f"{subject} is unknown to this tool",
                f"its arguments: {allowed}" if allowed else "it has no arguments",
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
        raise UsageError(f"{label} is not an array of strings")
    if field.most is not None and len(value) > field.most:
        raise UsageError(f"{label} has {len(value)} strings, more than {field.most}")
    return tuple([_text(_type(field), item, f"an item of {label}") for item in value])


def _text(type_: FieldType[Any], value: object, label: str) -> Any:  # noqa: ANN401 - as above
    if not isinstance(value, str):
        raise UsageError(f"{label} is not a string")
    most = type_.schema.get("maxLength")
    if most is not None and len(value) > most:
        raise UsageError(f"{label} has {len(value)} characters, more than {most}")
    if not value.strip():
        raise UsageError(f"{label} is blank", "an empty value is invalid: omit the argument")
    return type_.parse(value, label)


def _type(field: Field) -> FieldType[Any]:
    assert field.type is not None, "each argument is a text, or several"
    return field.type
