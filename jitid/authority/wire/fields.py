"""The forms of texts and numbers in a request from a remote client."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from jitid.errors import UsageError
from jitid.issuers.issuer import MAX_PUBLIC_KEY
from jitid.model.credential import MADE, Kind, check_issuable, named_kind, parse_kind
from jitid.model.task import SENSITIVITIES, check_task
from jitid.values import strict_json
from jitid.values.audience import check_reach
from jitid.values.ids import parse_access_id, parse_id
from jitid.values.names import MAX_NAME, check_audience, check_delegator, check_name
from jitid.values.scope import MAX_LENGTH, parse_scope
from jitid.values.text import check_text, refuse_token
from jitid.values.times import MAX_DURATION

MOST_ROWS = 10_000
"""Maximum number of rows in one answer; longer lists are requested in pages."""

MOST_ITEMS = 1_000
"""Maximum number of values in a list of a request, unless the field has its own limit."""

LAST = 253_402_300_799  # 9999-12-31T23:59:59Z
_MOST = 1 << 53
"""Above it some JSON parsers cannot tell integers apart (RFC 8259, section 6)."""

LONG = 4_096
FILE = 1 << 20


class FieldForm(NamedTuple):
    """The form of a text or a number: a check and a schema."""

    check: Callable[[Any], Any]
    """Returns the value to store. Raises UsageError."""
    schema: Mapping[str, Any]
    """The part of the check that JSON Schema can express."""


def text(max_length: int, label: str = "it") -> FieldForm:
    """Return the form of a text that is only compared, or stored unchanged."""

    def check(value: str) -> str:
        if len(value) > max_length:
            raise UsageError(f"{label} has {len(value)} characters, more than {max_length}")
        if "\0" in value:
            raise UsageError(f"{label} has a NUL, which no text has")
        return value

    return FieldForm(check, {"maxLength": max_length})


def kept_text(max_length: int, label: str) -> FieldForm:
    """Return the form of a text that is stored and shown: it must not contain a token."""
    plain = text(max_length, label)
    return plain._replace(check=lambda value: check_text(plain.check(value), label))


def number(minimum: int, maximum: int = _MOST) -> FieldForm:
    """Return the form of a number."""

    def check(value: int) -> int:
        if not minimum <= value <= maximum:
            raise UsageError(f"a number from {minimum} to {maximum} is wanted")
        return value

    return FieldForm(check, {"minimum": minimum, "maximum": maximum})


def among(*allowed: str) -> FieldForm:
    """Return the form of a value from a fixed set of words."""

    def check(value: str) -> str:
        if value not in allowed:
            raise UsageError(f"one of these is wanted: {', '.join(allowed)}")
        return value

    return FieldForm(check, {"enum": list(allowed)})


def name(label: str) -> FieldForm:
    """Return the form of a name; `label` describes its owner in messages."""
    schema = {"minLength": 1, "maxLength": MAX_NAME, "pattern": "^[A-Za-z0-9._@:/+-]+$"}
    return FieldForm(lambda value: check_name(value, label), schema)


def pattern(shape: str, label: str) -> FieldForm:
    """Return the form of a text that matches a regular expression."""
    compiled = re.compile(shape)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise UsageError(f"{label} is wanted")
        return value

    return FieldForm(check, {"pattern": f"^{shape}$"})


def seen_text(max_bytes: int) -> FieldForm:
    """Return the form of a text of a leak sighting, of at most `max_bytes` bytes."""

    def check(value: str) -> str:
        from jitid.capabilities.leak.places import is_kept

        if not is_kept(value, max_bytes):
            raise UsageError(
                f"at most {max_bytes} bytes of UTF-8 are wanted, and neither a NUL nor a token among them"
            )
        return value

    return FieldForm(check, {"minLength": 1, "maxLength": max_bytes})


def _rule(value: str) -> str:
    from jitid.capabilities.sweep.rules import NAMES

    if value not in NAMES:
        raise UsageError(f"there is no such rule; there are: {', '.join(NAMES)}")
    return value


def _detail(value: str) -> str:
    try:
        detail = strict_json.loads(value, "a detail")
        if isinstance(detail, dict) and isinstance(detail.get("type"), str) and detail["type"]:
            refuse_token(value, "a detail")
            return strict_json.dumps(detail)
    except strict_json.StrictJSONError as error:
        raise UsageError(str(error)) from None
    raise UsageError("a detail is a JSON object with a member `type` that is text", "see RFC 9396, section 2")


def _action(value: str) -> str:
    from jitid.capabilities.use.authorization import check_action

    return check_action(value)


def _resource(value: str) -> str:
    from jitid.capabilities.use.authorization import check_resource

    return check_resource(value)


def _context(value: str) -> str:
    from jitid.capabilities.use.authorization import check_context

    try:
        return check_context(strict_json.loads(value, "the context"))
    except strict_json.StrictJSONError as error:
        raise UsageError(str(error)) from None


def _fingerprint(value: bytes) -> bytes:
    if len(value) != 32:
        raise UsageError("a fingerprint has 32 bytes")
    return value


def _id(value: str) -> str:
    parse_id(value)
    return value


def _kind(value: str) -> str:
    return check_issuable(value)


def _access(value: str) -> str:
    parse_access_id(value)
    return value


def _adopted(value: str) -> str:
    from jitid.model.adopted import check_own_name

    return check_own_name(value)


def _person(value: str) -> str:
    from jitid.capabilities.directory.roster.roster_entry import check_person

    return check_person(value)


def _alias(value: str) -> str:
    from jitid.capabilities.directory.roster.roster_entry import check_alias

    return check_alias(value)


def _group(value: str) -> str:
    from jitid.capabilities.directory.roster.roster_entry import check_group

    return check_group(value)


def _external(value: str) -> str:
    from jitid.capabilities.directory.roster.roster_entry import check_external

    return check_external(value)


_NAMED = {"minLength": 1, "maxLength": 2 * MAX_NAME}
TASK = FieldForm(check_task, {"minLength": 1, "maxLength": 512, "pattern": "^[A-Za-z0-9._@:/+%-]+$"})
AGENT = name("agent")
KIND = FieldForm(
    _kind,
    {
        "maxLength": 69,
        "pattern": f"^({'|'.join(kind for kind in MADE if kind != Kind.EXEC)}|exec:[A-Za-z0-9_][A-Za-z0-9._-]*)$",
    },
)
MAY_KIND = FieldForm(
    lambda value: named_kind(*parse_kind(value)),
    {"minLength": 1, "maxLength": 200, "pattern": "^[A-Za-z0-9._:/-]+$"},
)
DELEGATOR = FieldForm(check_delegator, _NAMED)
PERSON, ALIAS, GROUP = (
    FieldForm(_person, _NAMED),
    FieldForm(_alias, {"minLength": 1}),
    FieldForm(_group, _NAMED),
)
EXTERNAL = FieldForm(_external, {"minLength": 1, "maxLength": 255})
AUDIENCE = FieldForm(
    check_audience, {"minLength": 1, "maxLength": 255, "pattern": r"^[!#-&(-;=?-\[\]-_a-~]+$"}
)
REACH = AUDIENCE._replace(check=check_reach)
SCOPE = FieldForm(parse_scope, {"minLength": 1, "maxLength": MAX_LENGTH, "pattern": "^[A-Za-z0-9._@/+*:-]+$"})
ADOPTED = FieldForm(_adopted, {"minLength": 1, "maxLength": MAX_NAME, "pattern": "^[A-Za-z0-9._@:/+-]+$"})
ID = FieldForm(_id, {"pattern": "^(jid|jti)_[0-9a-v]{26}$"})
ACCESS = FieldForm(_access, {"pattern": "^acc_[0-9a-v]{26}$"})
TEMPLATE = name("template")
PUBLIC_KEY = text(MAX_PUBLIC_KEY, "the public key")
SENSITIVITY = among(*SENSITIVITIES)
REASON = kept_text(LONG, "the reason")
FILTER = text(256, "what is asked for")
OWNED_TASK = text(512, "the task")
TIME, DURATION = number(0, LAST), number(1, MAX_DURATION)
COUNT, POSITIVE = number(0), number(1)
ROWS = number(1, MOST_ROWS)
RULE = FieldForm(_rule, {"maxLength": 64})
DETAIL = FieldForm(_detail, {"minLength": 1})
ACTION = FieldForm(_action, {"minLength": 1, "maxLength": MAX_LENGTH})
RESOURCE = FieldForm(_resource, {"minLength": 1, "maxLength": LONG})
CONTEXT = FieldForm(_context, {"minLength": 2, "maxLength": LONG})
FINGERPRINT = FieldForm(_fingerprint, {"minLength": 43, "maxLength": 43})
