"""Values as JSON: one class for each form, not for each record.

Records, operations and the few types that are not records come last. A secret appears in bodies only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from jitid.errors import UsageError
from jitid.values.strict_json import MAX_DIGITS, b64url, b64url_decode

if TYPE_CHECKING:
    from jitid.capabilities.sweep.finding import KnownFindings
    from jitid.search.find import Finds
    from jitid.values.secret import Secret

# Values of every annotated type are encoded, and JSON may be anything.
# ruff: noqa: ANN401

# `WireShape` documents the methods.
# ruff: noqa: D102

Schema = dict[str, Any]
Definitions = dict[str, Schema]
"""The schemas of records by their names, each only once."""


class UnfitError(Exception):
    """A value does not fit its type. The message contains no part of the value, since it may be a secret."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path: list[str] = []
        """Path from the inner to the outer value."""
        self.hint: str | None = None

    def within(self, name: str) -> UnfitError:
        """Add the name of the enclosing member to the path of the error."""
        self.path.append(name)
        return self

    def __str__(self) -> str:
        path = "".join(reversed(self.path)).removeprefix(".")
        return f"{path}: {self.reason}" if path else self.reason


class WireShape(Protocol):
    """The JSON form of the values of one type."""

    def encode(self, value: Any) -> Any:
        """Return a value as JSON."""

    def decode(self, raw: Any) -> Any:
        """Return the value from its JSON form. Raises UnfitError if no value of the type has this form."""

    def schema(self, definitions: Definitions) -> Schema:
        """Return the JSON Schema (2020-12) of the encoded form."""


_CALLED = {str: "a string", int: "an integer", bool: "true or false", type(None): "null"}
_NAMED = {str: "string", int: "integer", bool: "boolean", type(None): "null"}


class Plain:
    """Texts, whole numbers, true and false, null: unchanged in JSON."""

    def __init__(self, kind: type) -> None:
        self._kind = kind

    def encode(self, value: Any) -> Any:
        return value

    def decode(self, raw: Any) -> Any:
        # Not `isinstance`: JSON true is not a number.
        if type(raw) is not self._kind:
            raise UnfitError(f"expected {_CALLED[self._kind]}")
        return raw

    def schema(self, definitions: Definitions) -> Schema:  # noqa: ARG002
        return {"type": _NAMED[self._kind]}


class Formed:
    """A value that is checked besides its type."""

    def __init__(self, inner: WireShape, check: Callable[[Any], Any], more_schema: Mapping[str, Any]) -> None:
        """`check` returns the value to store, or raises UsageError. `more_schema` adds to the schema of `inner`."""
        self._inner = inner
        self._check = check
        self._more_schema = more_schema

    def encode(self, value: Any) -> Any:
        return self._inner.encode(value)

    def decode(self, raw: Any) -> Any:
        try:
            return self._check(self._inner.decode(raw))
        except UsageError as error:
            unfit = UnfitError(error.message)
            unfit.hint = error.hint
            raise unfit from None

    def schema(self, definitions: Definitions) -> Schema:
        return {**self._inner.schema(definitions), **self._more_schema}


class Anything:
    """A value that is JSON already: audit events, JWKS, evidence."""

    def encode(self, value: Any) -> Any:
        return value

    def decode(self, raw: Any) -> Any:
        return raw

    def schema(self, definitions: Definitions) -> Schema:  # noqa: ARG002
        return {}


class Octets:
    """Bytes, as base64url without padding (RFC 4648, section 5)."""

    def encode(self, value: bytes) -> str:
        return b64url(value)

    def decode(self, raw: Any) -> bytes:
        if type(raw) is str:
            try:
                return b64url_decode(raw)
            except ValueError:
                pass
        raise UnfitError("expected canonical base64url")

    def schema(self, definitions: Definitions) -> Schema:  # noqa: ARG002
        return {"type": "string", "contentEncoding": "base64url", "pattern": "^[A-Za-z0-9_-]*$"}


class Choice:
    """A member of an enumeration, as its value; or one of a few literal texts."""

    def __init__(self, members: Iterable[Any]) -> None:
        self._members = {_value_of(member): member for member in members}

    def encode(self, value: Any) -> Any:
        return _value_of(value)

    def decode(self, raw: Any) -> Any:
        member = self._members.get(raw) if isinstance(raw, (str, int)) else None
        if member is None or type(raw) is not type(_value_of(member)):
            raise UnfitError(f"expected one of: {', '.join(map(str, self._members))}")
        return member

    def schema(self, definitions: Definitions) -> Schema:  # noqa: ARG002
        return {"enum": list(self._members)}


def _value_of(member: Any) -> Any:
    return member.value if isinstance(member, Enum) else member


class Absent:
    """A sentinel for "not provided": the default of its field, never serialized."""

    def encode(self, value: Any) -> Any:  # noqa: ARG002
        raise TypeError("the sentinel is never encoded")

    def decode(self, raw: Any) -> Any:  # noqa: ARG002
        raise UnfitError("it must be omitted")

    def schema(self, definitions: Definitions) -> Schema:  # noqa: ARG002
        return {"not": {}}


class Array:
    """Several values of one type."""

    def __init__(
        self,
        item: WireShape,
        make: Callable[[Iterable[Any]], Any],
        max_items: int | None = None,
        min_items: int = 0,
    ) -> None:
        self._item = item
        self._make = make
        self._most = max_items
        self._least = min_items

    def encode(self, value: Iterable[Any]) -> list[Any]:
        encode = self._item.encode
        items = [encode(item) for item in value]
        return sorted(items) if self._make in (set, frozenset) else items

    def decode(self, raw: Any) -> Any:
        if type(raw) is not list:
            raise UnfitError("expected an array")
        if self._most is not None and len(raw) > self._most:
            raise UnfitError(f"it has {len(raw)} items, more than {self._most}")
        if len(raw) < self._least:
            raise UnfitError(f"it has {len(raw)} items, fewer than {self._least}")
        decode = self._item.decode
        items: list[Any] = []
        try:
            for item in raw:
                items.append(decode(item))  # noqa: PERF401 - an error needs the number of the unfit element
        except UnfitError as error:
            raise error.within(f"[{len(items)}]") from None
        return self._make(items)

    def schema(self, definitions: Definitions) -> Schema:
        bounds = {} if self._most is None else {"maxItems": self._most}
        if self._least:
            bounds["minItems"] = self._least
        return {"type": "array", "items": self._item.schema(definitions), **bounds}


class Row:
    """A fixed number of values, each with its own type."""

    def __init__(self, items: Sequence[WireShape]) -> None:
        self._items = items

    def encode(self, value: Sequence[Any]) -> list[Any]:
        return [shape.encode(item) for shape, item in zip(self._items, value, strict=True)]

    def decode(self, raw: Any) -> tuple[Any, ...]:
        if type(raw) is not list or len(raw) != len(self._items):
            raise UnfitError(f"expected an array of {len(self._items)} items")
        return tuple(shape.decode(item) for shape, item in zip(self._items, raw, strict=True))

    def schema(self, definitions: Definitions) -> Schema:
        items = [shape.schema(definitions) for shape in self._items]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}


class MappingShape:
    """Values by names or by numbers. Numbers are written in decimal, since JSON member names are texts."""

    def __init__(self, key: type, item: WireShape) -> None:
        self._key = key
        self._item = item

    def encode(self, value: Mapping[Any, Any]) -> dict[str, Any]:
        return {str(key): self._item.encode(item) for key, item in value.items()}

    def decode(self, raw: Any) -> dict[Any, Any]:
        if type(raw) is not dict:
            raise UnfitError("expected an object")
        return {self._named(key): self._item.decode(item) for key, item in raw.items()}

    def _named(self, key: str) -> Any:
        if self._key is str:
            return key
        if not (key.isascii() and key.isdigit() and len(key) <= 18 and str(int(key)) == key):
            raise UnfitError("each member name must be an integer")
        return int(key)

    def schema(self, definitions: Definitions) -> Schema:
        names = {} if self._key is str else {"propertyNames": {"pattern": "^(0|[1-9][0-9]{0,17})$"}}
        return {"type": "object", "additionalProperties": self._item.schema(definitions), **names}


class OneOf:
    """A value of one of several types that differ in JSON: null, texts, arrays, records."""

    def __init__(self, arms: Mapping[type, WireShape]) -> None:
        """`arms` maps the Python types of the values to their shapes."""
        self._arms = arms

    def encode(self, value: Any) -> Any:
        shape = self._arms.get(type(value))
        if shape is None:
            shape = next(arm for kind, arm in self._arms.items() if isinstance(value, kind))
        return shape.encode(value)

    def decode(self, raw: Any) -> Any:
        reasons: list[UnfitError] = []
        for kind, shape in self._arms.items():
            if (raw is None) is not (kind is type(None)):
                continue
            try:
                return shape.decode(raw)
            except UnfitError as error:
                reasons.append(error)
        # The arm that decoded furthest is most likely the intended one.
        raise max(reasons, key=lambda error: len(error.path), default=UnfitError("null is not allowed"))

    def schema(self, definitions: Definitions) -> Schema:
        arms = [shape.schema(definitions) for shape in self._arms.values() if not isinstance(shape, Absent)]
        return arms[0] if len(arms) == 1 else {"anyOf": arms}


_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
"""Valid member names, which are shorter than any token."""

_REQUIRED = object()
_MAX_COUNT = 10**MAX_DIGITS - 1
"""The largest number that a JSON document of jitid may have."""
_COUNT = {"type": "integer", "minimum": 0, "maximum": _MAX_COUNT}


class RecordShape:
    """A record as an object with a member for each field.

    A request omits fields equal to their default, and unknown members are an error. An answer contains every field,
    and readers ignore unknown members, which a newer authority may add.
    """

    def __init__(
        self,
        name: str,
        make: Callable[..., Any],
        fields: Mapping[str, Callable[[], WireShape]],
        defaults: Mapping[str, Any],
        *,
        request: bool,
        tag: str | None = None,
    ) -> None:
        """`tag` is the value of the member `type`."""
        self._name = name
        self._make = make
        self._suppliers = fields
        self._shapes: Mapping[str, WireShape] | None = None
        self._defaults = defaults
        self._request = request
        self._tag = tag

    def _fields(self) -> Mapping[str, WireShape]:
        # Lazy: records are nested, and a process uses few of them.
        if self._shapes is None:
            self._shapes = {name: supply() for name, supply in self._suppliers.items()}
        return self._shapes

    def encode(self, value: Any) -> dict[str, Any]:
        document: dict[str, Any] = {} if self._tag is None else {"type": self._tag}
        for name, shape in self._fields().items():
            field_value = getattr(value, name)
            if self._request and _same(field_value, self._defaults.get(name, _REQUIRED)):
                continue
            document[name] = shape.encode(field_value)
        return document

    def decode(self, raw: Any) -> Any:
        if type(raw) is not dict:
            raise UnfitError("expected an object")
        fields = self._fields()
        if self._request and not raw.keys() <= fields.keys():
            unknown = next(name for name in raw if name not in fields)
            fault = f"no member `{unknown}`" if _NAME.fullmatch(unknown) else "no such member"
            raise UnfitError(f"{self._name} has {fault}")
        values = {}
        for name, shape in fields.items():
            if name in raw:
                try:
                    values[name] = shape.decode(raw[name])
                except UnfitError as error:
                    raise error.within(f".{name}") from None
            elif name not in self._defaults:
                raise UnfitError(f"{self._name} needs `{name}`")
        return self._make(**values)

    def schema(self, definitions: Definitions) -> Schema:
        if self._name not in definitions:
            # Registered first: a record type may contain itself.
            definitions[self._name] = {}
            fields = self._fields()
            properties = {name: shape.schema(definitions) for name, shape in fields.items()}
            if self._tag is not None:
                properties = {"type": {"const": self._tag}, **properties}
            needed = [name for name in properties if not (self._request and name in self._defaults)]
            definitions[self._name] = {
                "type": "object",
                "properties": properties,
                **({"required": needed} if needed else {}),
                **({"additionalProperties": False} if self._request else {}),
            }
        return {"$ref": f"#/components/schemas/{self._name}"}


def _same(value: Any, default: Any) -> bool:
    # Secrets are not compared, and True is not 1.
    return value is default or (type(value) is type(default) and value == default)


class Tagged:
    """A record of one of several types; its member `type` names the type."""

    def __init__(self, arms: Mapping[type, tuple[str, RecordShape]]) -> None:
        """`arms` maps each class to its tag and its shape."""
        self._arms = arms
        self._by_tag = dict(arms.values())

    def encode(self, value: Any) -> Any:
        return self._arms[type(value)][1].encode(value)

    def decode(self, raw: Any) -> Any:
        tag = raw.get("type") if type(raw) is dict else None
        # Not every JSON value can be a key.
        record = self._by_tag.get(tag) if type(tag) is str else None
        if record is None:
            raise UnfitError(f"expected an object whose type is one of: {', '.join(self._by_tag)}")
        return record.decode(raw)

    def schema(self, definitions: Definitions) -> Schema:
        return {"oneOf": [record.schema(definitions) for record in self._by_tag.values()]}


class FindsShape:
    """The strings found in a text, with their counts: one list for each kind of string."""

    _PRINTS = ("opaque", "prints", "secrets", "keys", "locked")
    _TEXTS = ("signed", "foreign", "cut", "ids", "guessed")

    def encode(self, value: Finds) -> dict[str, Any]:
        lists: dict[str, Any] = {}
        for name in self._PRINTS:
            lists[name] = [[key.hex(), count] for key, count in getattr(value, name).items()]
        for name in self._TEXTS:
            lists[name] = [[key, count] for key, count in getattr(value, name).items()]
        return {name: pairs for name, pairs in lists.items() if pairs} | (
            {"mistyped": value.mistyped} if value.mistyped else {}
        )

    def decode(self, raw: Any) -> Finds:
        from jitid.search.find import Finds

        if type(raw) is not dict or not raw.keys() <= {*self._PRINTS, *self._TEXTS, "mistyped"}:
            raise UnfitError("expected an object with a list for each kind of string")
        finds = Finds()
        mistyped = raw.get("mistyped", 0)
        if not _is_count(mistyped):
            raise UnfitError("expected a number of at least zero").within(".mistyped")
        finds.mistyped = mistyped
        for name in (*self._PRINTS, *self._TEXTS):
            counts: dict[Any, int] = getattr(finds, name)
            for key, count in _pairs(raw.get(name, []), name):
                counts[_print(key, name) if name in self._PRINTS else _text(key, name)] = count
        if not all(map(_is_whole, finds.signed)):
            raise UnfitError("expected a complete jitid token").within(".signed")
        return finds

    def schema(self, definitions: Definitions) -> Schema:
        if "Finds" not in definitions:

            def pairs(key: Schema) -> Schema:
                item = {"type": "array", "prefixItems": [key, _COUNT], "minItems": 2, "maxItems": 2}
                return {"type": "array", "items": item}

            prints = pairs({"type": "string", "pattern": "^[0-9a-f]{64}$"})
            texts = {
                "cut": pairs(_ID),
                "ids": pairs(_TOKEN),
                "guessed": pairs(_ID),
                "signed": pairs(_TOKEN),
                "foreign": pairs(_TOKEN),
            }
            definitions["Finds"] = {
                "type": "object",
                "properties": {**dict.fromkeys(self._PRINTS, prints), **texts, "mistyped": _COUNT},
                "additionalProperties": False,
            }
        return {"$ref": "#/components/schemas/Finds"}


_ID: Schema = {"type": "string", "pattern": "^(jti|jid)_[0-9a-v]{26}$"}
_TOKEN: Schema = {"type": "string", "maxLength": 16384}


class KnownShape:
    """Findings of a baseline: the fingerprint of each, and its number of credentials."""

    def encode(self, value: KnownFindings) -> list[Any]:
        return [[f"{fingerprint:016x}", credentials] for fingerprint, credentials in value]

    def decode(self, raw: Any) -> KnownFindings:
        from jitid.capabilities.sweep.finding import KnownFindings

        findings = []
        for key, count in _pairs(raw, ""):
            if type(key) is not str or not re.fullmatch("[0-9a-f]{16}", key):
                raise UnfitError("expected a fingerprint of 16 hexadecimal digits")
            findings.append((int(key, 16), count))
        return KnownFindings(findings)

    def schema(self, definitions: Definitions) -> Schema:  # noqa: ARG002
        key = {"type": "string", "pattern": "^[0-9a-f]{16}$"}
        item = {"type": "array", "prefixItems": [key, _COUNT], "minItems": 2, "maxItems": 2}
        return {"type": "array", "items": item}


class ZoneShape:
    """A time zone, by its IANA name."""

    def encode(self, value: Any) -> str:
        name: str = value.key
        return name

    def decode(self, raw: Any) -> Any:
        from jitid.errors import ConfigurationError
        from jitid.system.time_zones import load

        if type(raw) is not str:
            raise UnfitError("expected the name of a time zone")
        try:
            return load(raw)
        except ConfigurationError as error:
            raise UnfitError(error.message) from None

    def schema(self, definitions: Definitions) -> Schema:  # noqa: ARG002
        return {"type": "string"}


def _pairs(raw: Any, name: str) -> list[list[Any]]:
    if type(raw) is not list or not all(type(pair) is list and len(pair) == 2 for pair in raw):
        raise _unfit("expected an array of pairs", name)
    if not all(_is_count(count) for _, count in raw):
        raise _unfit("the second item of each pair must be a number of at least zero", name)
    return raw


def _is_count(raw: Any) -> bool:
    return type(raw) is int and 0 <= raw <= _MAX_COUNT


def _print(raw: Any, name: str) -> bytes:
    if type(raw) is not str or not re.fullmatch("[0-9a-f]{64}", raw):
        raise _unfit("expected a fingerprint of 64 hexadecimal digits", name)
    return bytes.fromhex(raw)


def _text(raw: Any, name: str) -> str:
    if name in ("cut", "guessed"):
        if type(raw) is not str or not re.fullmatch("(jti|jid)_[0-9a-v]{26}", raw):
            raise _unfit("expected an id", name)
    elif type(raw) is not str or len(raw) > 16_384:
        raise _unfit("expected a string of at most 16384 characters", name)
    return raw


def _is_whole(token: str) -> bool:
    """Return whether a string has the form of a jitid token, which lookups rely on."""
    from jitid.search.find import jti_of

    parts = token.split(".")
    try:
        return len(parts) == 3 and jti_of(parts[1].encode("ascii")) is not None
    except ValueError:
        return False


def _unfit(reason: str, name: str) -> UnfitError:
    error = UnfitError(reason)
    return error.within(f".{name}") if name else error


_TOKEN_LENGTH = 32_768
"""Maximum characters of a token. It is above the limit of valid tokens, so that the parser reports the error."""

_PART = 262_144
"""Maximum characters of one of several parts; a certificate chain is far shorter."""

_PARTS = 64

_NAME_LENGTH = 128


class PresentedSecret:
    """A token in a request. The operation reports a text that is not a token."""

    def encode(self, value: Secret) -> str:
        return value.reveal()

    def decode(self, raw: Any) -> Secret:
        from jitid.values.secret import Secret

        if type(raw) is not str or not raw.strip() or len(raw) > _TOKEN_LENGTH:
            raise UnfitError(f"expected a token of at most {_TOKEN_LENGTH} characters")
        return Secret.single(raw)

    def schema(self, definitions: Definitions) -> Schema:  # noqa: ARG002
        # The format makes tools hide it (OpenAPI 3.1, section 4.4).
        return {"type": "string", "format": "password", "minLength": 1, "maxLength": _TOKEN_LENGTH}


class Given:
    """A secret in an answer. The client may print it to a terminal, so it must not contain control characters."""

    def encode(self, value: Secret) -> str | dict[str, str]:
        if value.names == ("token",) and _is_visible(value.reveal()):
            return value.reveal()
        return {name: value.reveal(name) for name in value.names}

    def decode(self, raw: Any) -> Secret:
        from jitid.values.secret import Secret

        if type(raw) is dict:
            if not 0 < len(raw) <= _PARTS:
                raise UnfitError(f"a secret must have 1 to {_PARTS} parts")
            if not all(_is_name(name) for name in raw):
                raise UnfitError("the name of each part of a secret must be visible ASCII")
            if not all(_is_part(part) for part in raw.values()):
                raise UnfitError(
                    f"each part must be text of at most {_PART} characters, without control characters"
                )
            return Secret(raw)
        if type(raw) is not str or not raw or len(raw) > _TOKEN_LENGTH:
            raise UnfitError(f"expected a token of at most {_TOKEN_LENGTH} characters")
        if not _is_visible(raw):
            raise UnfitError("expected a token of visible ASCII")
        return Secret.single(raw)

    def schema(self, definitions: Definitions) -> Schema:  # noqa: ARG002
        text_schema: Schema = {"type": "string", "format": "password", "minLength": 1}
        return {
            "oneOf": [
                {**text_schema, "maxLength": _TOKEN_LENGTH},
                {
                    "type": "object",
                    "minProperties": 1,
                    "maxProperties": _PARTS,
                    "additionalProperties": {**text_schema, "maxLength": _PART},
                },
            ]
        }


def _is_visible(text: str) -> bool:
    return all("!" <= character <= "~" for character in text)


def _is_name(name: str) -> bool:
    return 0 < len(name) <= _NAME_LENGTH and _is_visible(name)


def _is_part(part: Any) -> bool:
    return (
        type(part) is str
        and 0 < len(part) <= _PART
        # PEM consists of several lines.
        and all(character.isprintable() or character in "\r\n\t" for character in part)
    )
