"""What `use.cedarschema` declares of a use: which texts in a context stand for an address, a decimal or a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from jitid.policy.position import Token

FUNCTIONS = {"ipaddr": "ip", "decimal": "decimal", "datetime": "datetime", "duration": "duration"}
"""By the type: what Cedar calls to make it of a text."""
_MOST_NESTED = 20


class RecordType(NamedTuple):
    """A record, by those of its members in which a text may stand for something else."""

    members: Mapping[str, Type]


class Set(NamedTuple):
    """A set of what may be a text that stands for something else."""

    element: Type


Type = RecordType | Set | str
"""Or the function that makes something of a text."""


def read_use(text: str) -> Type | None:
    """Return what a `use.cedarschema` declares; None where no text of it stands for anything else.

    Of a text that is wrong nothing is known, so that a rule that needs more than text refuses.
    """
    if not any(name in text for name in FUNCTIONS):
        return None
    from jitid.policy.default import schema
    from jitid.policy.engine import cedarpy
    from jitid.policy.nesting import too_deep
    from jitid.policy.position import tokens_of

    if too_deep(text) is not None:
        return None
    try:
        # In Cedar's own words it has no comments, and each name of a type leads to where that is declared.
        whole = str(cedarpy.Schema.from_str(schema(text)))
    except ValueError:
        return None
    return _SchemaReader(tokens_of(whole)).read()


def convert(value: Any, type_: Type | None) -> Any:  # noqa: ANN401 - JSON
    """Return what Cedar is to be told: each text that is declared to be more, as that."""
    match type_:
        case str() if isinstance(value, str):
            return {"__extn": {"fn": type_, "arg": value}}
        case Set() if isinstance(value, list):
            return [convert(each, type_.element) for each in value]
        case RecordType() if isinstance(value, dict):
            return {name: convert(each, type_.members.get(name)) for name, each in value.items()}
    return value


class _SchemaReader:
    """Reads the declarations of a schema, of which Cedar has written the text."""

    def __init__(self, tokens: list[Token]) -> None:
        self._words = [token.text for token in tokens]
        self._declared = {
            self._words[at + 1]: at + 3
            for at, word in enumerate(self._words[:-3])
            if word == "type" and self._words[at + 2] == "="
        }

    def read(self) -> Type | None:
        return self._named("Use", 0)[0]

    def _named(self, name: str, depth: int) -> tuple[Type | None, int]:
        at = self._declared.get(name)
        return (None, 0) if at is None or depth > _MOST_NESTED else self._type(at, depth + 1)

    def _type(self, at: int, depth: int) -> tuple[Type | None, int]:
        """Return the type that begins at a place, and where it ends."""
        words = self._words
        if words[at] == "{":
            return self._record(at + 1, depth)
        if words[at] == "Set" and words[at + 1] == "<":
            element, at = self._type(at + 2, depth)
            return (None if element is None else Set(element)), at + 1
        while words[at + 1] == "::":
            at += 2
        name = words[at]
        return FUNCTIONS.get(name) or self._named(name, depth)[0], at + 1

    def _record(self, at: int, depth: int) -> tuple[Type | None, int]:
        members: dict[str, Type] = {}
        while self._words[at] != "}":
            if self._words[at] == "@":
                at += 5 if self._words[at + 2] == "(" else 2
                continue
            name = self._words[at].strip('"')
            at += 1 + (self._words[at + 1] == "?")
            type_, at = self._type(at + 1, depth)
            if type_ is not None:
                members[name] = type_
            at += self._words[at] == ","
        return (RecordType(members) if members else None), at + 1
