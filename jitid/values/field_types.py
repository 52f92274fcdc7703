"""The types of declared fields: how a text becomes a value, which values a client may send, and their completion."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from jitid.errors import UsageError
from jitid.values.audience import check_reach
from jitid.values.declaration import FieldType, Source
from jitid.values.ids import parse_access_id, parse_approval_id, parse_id
from jitid.values.names import MAX_NAME, check_audience, check_delegator, check_name, check_share_name
from jitid.values.scope import MAX_LENGTH, Scope, parse_scope
from jitid.values.text import check_text, quote
from jitid.values.times import MAX_DURATION, parse_duration, parse_time

T = TypeVar("T")

MAX_ROWS = 10_000
"""Maximum number of rows in one answer over the network; longer lists are requested in pages."""
LONG = 4_096
"""Maximum characters of a long text, such as a reason."""
MAX_PUBLIC_KEY = 16_384
"""Maximum characters of a public key as text; the longest RSA keys have a tenth of it."""

MAX_CHAIN = 65_535
"""Maximum characters of an authority's certificate and the certificates above it, as text."""

LAST = 253_402_300_799  # 9999-12-31T23:59:59Z
_MAX_INTEGER = 1 << 53
"""Above it some JSON parsers cannot tell integers apart (RFC 8259, section 6)."""
_MAX_COUNT = 999_999_999
"""The largest number on a command line, as a limit or as a count of new items."""
_LAST_EVENT = _MAX_INTEGER - 1
"""The largest number of an event on a command line: the audit log grows forever."""


def texts(
    check: Callable[[str], T],
    metavar: str,
    schema: Mapping[str, Any],
    *sources: Source,
    words: Sequence[str] | Callable[[], Sequence[str]] = (),
    hint: str | None = None,
) -> FieldType[T]:
    """Return the type of texts that pass a check, which is the same on a command line and in a request.

    `hint` is for a command line, if the error of the check has none.
    """

    def parse(text: str, _label: str) -> T:
        try:
            return check(text)
        except UsageError as error:
            error.hint = error.hint or hint
            raise

    return FieldType(parse, metavar, check, schema, words=words, sources=sources)


def text(max_length: int, label: str = "it", metavar: str = "TEXT", *sources: Source) -> FieldType[str]:
    """Return the type of a text that is only compared, or stored unchanged."""

    def check(value: str) -> str:
        if len(value) > max_length:
            raise UsageError(f"{label} has {len(value)} characters, more than {max_length}")
        if "\0" in value:
            raise UsageError(f"{label} has a NUL character")
        return value

    return texts(check, metavar, {"maxLength": max_length}, *sources)


def kept_text(max_length: int, label: str, metavar: str = "TEXT") -> FieldType[str]:
    """Return the type of a text that is stored and shown: it must not contain a token."""
    plain = text(max_length, label)
    return texts(lambda value: check_text(plain.check(value), label), metavar, plain.schema)


def number(
    minimum: int, maximum: int = _MAX_INTEGER, *, typed: int = _MAX_COUNT, metavar: str = "N"
) -> FieldType[int]:
    """Return the type of a whole number; `typed` is the largest one on a command line."""

    def parse(value: str, label: str) -> int:
        digits = value.removeprefix("-")
        if not (digits.isascii() and digits.isdigit()):
            raise UsageError(f"the value of {label} is not a whole number: {quote(value)}")
        # Python refuses to convert more than 4,300 digits.
        magnitude = int(digits.lstrip("0")[:20] or "0")
        parsed = magnitude if digits == value else -magnitude
        if parsed > typed:
            raise UsageError(f"the value of {label} is more than the maximum {typed}")
        if parsed < minimum:
            raise UsageError(f"{label.strip('`')} must be at least {minimum:,}, not {quote(value, 20)}")
        return parsed

    return FieldType(parse, metavar, _within(minimum, maximum), {"minimum": minimum, "maximum": maximum})


def number_within(minimum: int, maximum: int, metavar: str = "N") -> FieldType[int]:
    """Return the type of a whole number on a command line that the verb bounds on both sides."""

    def parse(value: str, label: str) -> int:
        parsed = number(-_MAX_INTEGER).parse(value, label)
        if not minimum <= parsed <= maximum:
            raise UsageError(f"{label.strip('`')} must be a number from {minimum} to {maximum}")
        return parsed

    return typed_as(number(minimum, maximum), metavar, parse=parse)


def _within(minimum: int, maximum: int) -> Callable[[int], int]:
    def check(value: int) -> int:
        if not minimum <= value <= maximum:
            raise UsageError(f"expected a number from {minimum} to {maximum}")
        return value

    return check


def choice(*words: str, metavar: str = "WHAT", label: str = "") -> FieldType[str]:
    """Return the type of one of a few words; `label` is their noun in messages.

    Without a label the verb itself refuses other words on a command line.
    """

    def parse(value: str, _label: str) -> str:
        if label and value not in words:
            raise UsageError(f"invalid {label}: {quote(value)}", f"choose one of: {', '.join(words)}")
        return value

    def check(value: str) -> str:
        if value not in words:
            raise UsageError(f"expected one of: {', '.join(words)}")
        return value

    return FieldType(parse, metavar, check, {"enum": [*words]}, words=words)


def pattern(shape: str, label: str, metavar: str = "TEXT", hint: str | None = None) -> FieldType[str]:
    """Return the type of a text that matches a regular expression; `hint` is for a command line."""
    compiled: re.Pattern[str] | None = None

    def check(value: str) -> str:
        nonlocal compiled
        compiled = compiled or re.compile(shape)
        if not compiled.fullmatch(value):
            raise UsageError(f"expected {label}")
        return value

    return texts(check, metavar, {"pattern": f"^{shape}$"}, hint=hint)


def name(label: str, metavar: str = "NAME", *sources: Source) -> FieldType[str]:
    """Return the type of a name; `label` describes its owner in messages."""
    schema = {"minLength": 1, "maxLength": MAX_NAME, "pattern": "^[A-Za-z0-9._@:/+-]+$"}
    return texts(lambda value: check_name(value, label), metavar, schema, *sources)


def typed_as(
    type_: FieldType[T],
    metavar: str | None = None,
    *sources: Source,
    parse: Callable[[str, str], T] | None = None,
    words: Sequence[str] | Callable[[], Sequence[str]] = (),
) -> FieldType[T]:
    """Return a type with another spelling or completion on the command line, and the same values in a request."""
    return FieldType(
        parse or type_.parse,
        metavar or type_.metavar,
        type_.check,
        type_.schema,
        words=words or type_.words,
        sources=sources or type_.sources,
    )


def _typed_reason(value: str, _label: str) -> str:
    if len(value) > 1_000:
        raise UsageError("the reason is longer than 1,000 characters")
    return check_text(value, "the reason")


def _fingerprint(value: bytes) -> bytes:
    if len(value) != 32:
        raise UsageError("a fingerprint must have 32 bytes")
    return value


def _parsed(parse: Callable[[str], object]) -> Callable[[str], str]:
    """Return a check of texts that can be parsed: it returns the text unchanged."""

    def check(value: str) -> str:
        parse(value)
        return value

    return check


def only_typed(metavar: str, *sources: Source, words: Sequence[str] = ()) -> FieldType[str]:
    """Return the type of a text on a command line that the verb itself interprets: a path, for example."""
    return texts(str, metavar, {}, *sources, words=words)


# Texts that verbs interpret: paths, commands, free text.
TEXT = only_typed("TEXT")
NAME = only_typed("NAME")
FILE = only_typed("FILE", "files")
FOLDER = only_typed("DIR", "folders")
URL = only_typed("URL")
WHEN = only_typed("WHEN")
"""A duration or a time."""
ID_OR_FILE = only_typed("[ID|FILE]", "ids", "files")
COMMAND = only_typed("CMD", "command")
"""A nested command line: the rest of the line is completed like a separate command."""
KEY_ID = only_typed("KID", "keys")
KNOWN_DELEGATOR = only_typed("NAME", "known")
"""A delegator in the directory, by any name."""

# Numbers.
COUNT, POSITIVE = number(0), number(1)
EVENT = number(1, typed=_LAST_EVENT)
AFTER_EVENT = number(0, typed=_LAST_EVENT)
"""The number of the last event that is left out; 0 leaves none out."""
ROWS = number(1, MAX_ROWS)
LIMIT = ROWS
"""The maximum number of rows; on a command line any, since longer lists are requested in pages."""

# Times, in seconds: since the epoch, or long.
TIME: FieldType[int] = FieldType(
    lambda value, _label: parse_time(value),
    "TIME",
    _within(0, LAST),
    {"minimum": 0, "maximum": LAST},
    direction=-1,
)
"""A time; on a command line also a duration ago."""
TIME_AHEAD: FieldType[int] = FieldType(TIME.parse, "TIME", TIME.check, TIME.schema, direction=1)
"""A time; on a command line also a duration from now."""
DURATION: FieldType[int] = FieldType(
    lambda value, _label: parse_duration(value),
    "DURATION",
    _within(1, MAX_DURATION),
    {"minimum": 1, "maximum": MAX_DURATION},
)

# Names.
_NAMED = {"minLength": 1, "maxLength": 2 * MAX_NAME}
AGENT = name("agent", "NAME", "agents")
REGISTERED_AGENT = typed_as(AGENT, "NAME", "records")
"""An agent that is or was registered."""
DELEGATOR = texts(check_delegator, "NAME", _NAMED, "delegators")
SHARE_NAME = typed_as(AGENT, "WHO", "delegators", parse=lambda text, _label: check_share_name(text))
"""A delegator, or a group as `group:NAME`."""
TEMPLATE = name("template", "TEMPLATE")
ID = texts(_parsed(parse_id), "ID", {"pattern": "^(jid|jti)_[0-9a-v]{26}$"}, "ids")
STATED_ID = typed_as(ID, parse=lambda text, _label: text)
"""An id that the verb checks, with a hint for a token or a file in its place."""
ACCESS_ID = texts(_parsed(parse_access_id), "ACCESS", {"pattern": "^acc_[0-9a-v]{26}$"}, "access")
APPROVAL_ID = texts(_parsed(parse_approval_id), "REQUEST", {}, "approvals")

# Rights.
SCOPE: FieldType[Scope] = texts(
    parse_scope, "SCOPE", {"minLength": 1, "maxLength": MAX_LENGTH, "pattern": "^[A-Za-z0-9._@/+*:-]+$"}
)
AUDIENCE = texts(
    check_audience, "AUD", {"minLength": 1, "maxLength": 255, "pattern": r"^[!#-&(-;=?-\[\]-_a-~]+$"}
)
REACH = texts(check_reach, "AUD", AUDIENCE.schema)
ALGORITHM = choice("ES256", "EdDSA", "RS256", metavar="ALG", label="algorithm")
KEY_USE = choice("jws", "x509", "ssh", metavar="USE", label="use of a key")
PUBLIC_KEY = text(MAX_PUBLIC_KEY, "the public key")
REASON = kept_text(LONG, "the reason")
SHORT_REASON = typed_as(REASON, parse=_typed_reason)
"""The same, shorter on a command line."""
FINGERPRINT: FieldType[bytes] = FieldType(
    lambda _value, _label: b"", "HEX", _fingerprint, {"minLength": 43, "maxLength": 43}
)

# Filters need not be well formed in a request: an invalid value matches nothing.
FILTER = text(256, "the filter value")
"""A value to compare with."""


TASK_FILTER = text(512, "the task")


def filtered(type_: FieldType[Any], lax: FieldType[str] = FILTER) -> FieldType[str]:
    """Return the type of a filter by values of a type, which a request may spell in any way."""
    return FieldType(
        type_.parse, type_.metavar, lax.check, lax.schema, words=type_.words, sources=type_.sources
    )
