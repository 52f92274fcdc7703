"""Encoding and decoding of values as JSON: one class for each kind of type, not for each record.

The types come from the annotations of operations and records, also types for the type checker only.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from functools import lru_cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Annotated, Any, Protocol, get_args, get_origin, get_type_hints

from jitid import capabilities
from jitid.errors import UsageError
from jitid.operation.base import Answering, Operation
from jitid.values.declaration import AuthorityOnly, Bounds, Declared, FieldType
from jitid.values.record import Record
from jitid.values.strict_json import b64url, b64url_decode

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


_CALLED = {str: "a text", int: "a whole number", bool: "true or false", type(None): "null"}
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
            raise UnfitError(f"{_CALLED[self._kind]} is wanted")
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
        raise UnfitError("canonical base64url is wanted")

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
            raise UnfitError(f"one of these is wanted: {', '.join(map(str, self._members))}")
        return member

    def schema(self, definitions: Definitions) -> Schema:  # noqa: ARG002
        return {"enum": list(self._members)}


def _value_of(member: Any) -> Any:
    return member.value if isinstance(member, Enum) else member


class Absent:
    """A sentinel for "not provided": the default of its field, never serialized."""

    def encode(self, value: Any) -> Any:  # noqa: ARG002
        raise TypeError("what says nothing is left out")

    def decode(self, raw: Any) -> Any:  # noqa: ARG002
        raise UnfitError("it is to be left out")

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
            raise UnfitError("an array is wanted")
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
            raise UnfitError(f"an array of {len(self._items)} is wanted")
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
            raise UnfitError("an object is wanted")
        return {self._named(key): self._item.decode(item) for key, item in raw.items()}

    def _named(self, key: str) -> Any:
        if self._key is str:
            return key
        if not (key.isascii() and key.isdigit() and len(key) <= 18 and str(int(key)) == key):
            raise UnfitError("a member is named by no whole number")
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
        raise max(reasons, key=lambda error: len(error.path), default=UnfitError("null is not wanted"))

    def schema(self, definitions: Definitions) -> Schema:
        arms = [shape.schema(definitions) for shape in self._arms.values() if not isinstance(shape, Absent)]
        return arms[0] if len(arms) == 1 else {"anyOf": arms}


@lru_cache(maxsize=1)
def operations() -> Mapping[str, type[Operation[Any]]]:
    """Return all operations by their names: those of each `operations.py`, and `..._operations.py`, of a capability."""
    modules = [
        import_module(module.name)
        for folder in iter_modules(capabilities.__path__, "jitid.capabilities.")
        for module in iter_modules(import_module(folder.name).__path__, f"{folder.name}.")
        if module.name.endswith("operations")
    ]
    return {
        kind.__name__: kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type)
        and issubclass(kind, Operation)
        and kind.__module__ == module.__name__
        # A base class of operations is not an operation.
        and not kind.__subclasses__()
    }


class WireField(Record):
    """The declaration of a field, as far as it concerns requests and answers."""

    kind: Any
    """Its Python type."""
    type: FieldType[Any] | None = None
    """The type of its texts and numbers; None if it has none, or if nothing restricts them."""
    bounds: Bounds = Bounds()
    authority_only: bool = False


@lru_cache(maxsize=256)
def fields_of(cls: type) -> Mapping[str, WireField]:
    """Return the fields of a record or an operation, by their names in their order."""
    if issubclass(cls, Declared):
        return {
            name: WireField(
                _evaluated(cls, name), field.type, Bounds(field.least, field.most), field.authority_only
            )
            for name, field in cls.fields.items()
            if not field.local
        }
    hints = get_type_hints(cls, globalns={}, localns=_names_in(cls.__module__), include_extras=True)
    return {name: _annotated(hints[name]) for name in cls.__annotations__}


def _evaluated(cls: type, name: str) -> Any:
    owner = next(base for base in cls.__mro__ if name in vars(base).get("__annotations__", ()))
    return eval(vars(owner)["__annotations__"][name], {}, _names_in(owner.__module__))  # noqa: S307 - the text is an annotation in a module of jitid, no input


def _annotated(hint: Any) -> WireField:
    if get_origin(hint) is not Annotated:
        return WireField(hint)
    kind, *details = get_args(hint)
    return WireField(
        kind,
        next((each for each in details if isinstance(each, FieldType)), None),
        next((each for each in details if isinstance(each, Bounds)), Bounds()),
        any(isinstance(each, AuthorityOnly) for each in details),
    )


def result_of(operation: type[Operation[Any]]) -> Any:
    """Return the type of an operation's answer."""
    base: Answering = operation.__orig_bases__[-1]  # type: ignore[attr-defined] # set by `Answering.__mro_entries__`, which mypy cannot follow
    if not isinstance(base.result, str):
        return base.result
    return eval(base.result, {}, _names_in(operation.__module__))  # noqa: S307 - the text is an annotation in a module of jitid, no input


class _Names(dict[str, Any]):
    """The names of a module. Imports for the type checker only are loaded when they are first looked up."""

    def __init__(self, module: str) -> None:
        super().__init__(vars(sys.modules[module]))
        self._elsewhere = dict(_typing_imports(str(sys.modules[module].__file__)))

    def __missing__(self, name: str) -> Any:
        module, original = self._elsewhere[name]
        self[name] = member = getattr(import_module(module), original)
        return member


@lru_cache(maxsize=256)
def _names_in(module: str) -> dict[str, Any]:
    return _Names(module)


_BLOCK = re.compile(r"^if TYPE_CHECKING:\n((?:    .*\n|\n)+)", re.MULTILINE)
_IMPORT = re.compile(r"^    from ([\w.]+) import (?:\(([^)]*)\)|(.*))$", re.MULTILINE)


def _typing_imports(path: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield a file's imports for the type checker only: the name, and the module and name that it stands for."""
    with open(path, encoding="utf-8") as file:
        source = file.read()
    # Not by `ast`: parsing a module would take as long as importing it.
    for block in _BLOCK.findall(source):
        for module, listed, line in _IMPORT.findall(block):
            for name in re.sub(r"#.*", "", listed or line).split(","):
                if name.strip():
                    original, _, alias = name.strip().partition(" as ")
                    yield alias or original, (module, original)
