"""Types in a `use.cedarschema`: which texts of a context represent an address, a decimal or a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from jitid.policy.position import Token

FUNCTIONS = {"ipaddr": "ip", "decimal": "decimal", "datetime": "datetime", "duration": "duration"}
"""By type: the Cedar function that makes a value of the type from a text."""
_MOST_NESTED = 20


class RecordType(NamedTuple):
    """A record type, with the members in which a text may represent another type."""

    members: Mapping[str, Type]


class Set(NamedTuple):
    """A set type with elements in which a text may represent another type."""

    element: Type


Type = RecordType | Set | str
"""A record, a set, or the name of the function that makes a value from a text."""


def read_use(text: str) -> Type | None:
    """Return the types that a `use.cedarschema` declares; None if no text in it represents another type.

    An invalid schema declares none, so a rule that needs more than text refuses.
    """
    if not any(name in text for name in FUNCTIONS):
        return None
    from jitid.policy.default import schema
    from jitid.policy.position import tokens_of
    from jitid.policy.safe_cedarpy import cedarpy, too_deep

    if too_deep(text) is not None:
        return None
    try:
        # Cedar's own form of the schema has no comments, and each type name refers to its declaration.
        schema_text = str(cedarpy.Schema.from_str(schema(text)))
    except ValueError:
        return None
    return _SchemaReader(tokens_of(schema_text)).read()


def convert(value: Any, type_: Type | None) -> Any:  # noqa: ANN401 - JSON
    """Return a value for Cedar: each text with a declared type becomes a value of that type."""
    match type_:
        case str() if isinstance(value, str):
            return {"__extn": {"fn": type_, "arg": value}}
        case Set() if isinstance(value, list):
            return [convert(element, type_.element) for element in value]
        case RecordType() if isinstance(value, dict):
            return {name: convert(member, type_.members.get(name)) for name, member in value.items()}
    return value


class _SchemaReader:
    """A reader of the declarations in a schema that Cedar has written."""

    def __init__(self, tokens: list[Token]) -> None:
        self._words = [token.text for token in tokens]
        self._declared = {
            self._words[index + 1]: index + 3
            for index, word in enumerate(self._words[:-3])
            if word == "type" and self._words[index + 2] == "="
        }

    def read(self) -> Type | None:
        return self._named("Use", 0)[0]

    def _named(self, name: str, depth: int) -> tuple[Type | None, int]:
        index = self._declared.get(name)
        return (None, 0) if index is None or depth > _MOST_NESTED else self._type(index, depth + 1)

    def _type(self, index: int, depth: int) -> tuple[Type | None, int]:
        """Return the type that begins at an index, and the index after it."""
        words = self._words
        if words[index] == "{":
            return self._record(index + 1, depth)
        if words[index] == "Set" and words[index + 1] == "<":
            element, index = self._type(index + 2, depth)
            return (None if element is None else Set(element)), index + 1
        while words[index + 1] == "::":
            index += 2
        name = words[index]
        return FUNCTIONS.get(name) or self._named(name, depth)[0], index + 1

    def _record(self, index: int, depth: int) -> tuple[Type | None, int]:
        members: dict[str, Type] = {}
        while self._words[index] != "}":
            if self._words[index] == "@":
                index += 5 if self._words[index + 2] == "(" else 2
                continue
            name = self._words[index].strip('"')
            index += 1 + (self._words[index + 1] == "?")
            type_, index = self._type(index + 1, depth)
            if type_ is not None:
                members[name] = type_
            index += self._words[index] == ","
        return (RecordType(members) if members else None), index + 1
