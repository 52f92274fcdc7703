"""A reader of JSON texts that yields one element at a time: a long list needs little more memory than its text."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from typing import Any

from jitid.values import strict_json
from jitid.values.strict_json import StrictJSONError

_SPACE = re.compile(r"[ \t\n\r]*")


class Elements:
    """The elements of a list, or of the list under a name of an object; or several values in sequence.

    Iteration yields the place of each element and its value, read as by `strict_json.loads`. The place is in the
    notation of programs such as `jq` (`[3]`, `.Resources[3]`), or `line 3` for a value outside a list.
    """

    def __init__(self, text: str, label: str, member: str) -> None:
        """`member` is the lower-case name of the list in an object; case does not matter in the text."""
        self._text = text
        self._label = label
        self._member = member
        self._line = 1
        self._counted = 0
        """The position up to which lines are counted."""
        self.around: list[dict[str, Any]] = []
        """The other members, by lower-case name, of each object that had the list."""

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Yield the place and the value of each element. Raises StrictJSONError."""
        if self._text[:1] == "\ufeff":
            raise StrictJSONError(f"{self._label} starts with a byte order mark")
        at = self._skip(0)
        while at < len(self._text):
            start = self._text[at]
            if start == "[":
                at = yield from self._list(at, "")
            elif start == "{":
                at = yield from self._object(at)
            else:
                place = self._place(at)
                value, at = strict_json.loads_at(self._text, at, self._label)
                yield place, value
            at = self._skip(at)

    def _list(self, start: int, name: str) -> Generator[tuple[str, Any], None, int]:
        at = self._skip(start + 1)
        if self._is_at("]", at):
            return at + 1
        number = 0
        while True:
            value, at = strict_json.loads_at(self._text, at, self._label)
            yield f"{name}[{number}]", value
            number += 1
            at = self._skip(at)
            if self._is_at("]", at):
                return at + 1
            at = self._skip(self._past(",", at))

    def _object(self, start: int) -> Generator[tuple[str, Any], None, int]:
        """Yield the elements of the object's list, or the object itself if it has none; members are read one by one."""
        place = self._place(start)
        members: dict[str, Any] = {}
        listed: str | None = None
        at = self._skip(start + 1)
        while not (self._is_at("}", at) and not members and listed is None):
            name, at = strict_json.loads_at(self._text, at, self._label)
            if not isinstance(name, str):
                raise self._broken(at)
            at = self._skip(self._past(":", self._skip(at)))
            if name in members or name == listed:
                raise StrictJSONError(f"{self._label} has two members of one name")
            if name.lower() == self._member and listed is None and self._is_at("[", at):
                listed = name
                at = yield from self._list(at, f".{name}")
            else:
                members[name], at = strict_json.loads_at(self._text, at, self._label)
            at = self._skip(at)
            if self._is_at("}", at):
                break
            at = self._skip(self._past(",", at))
        if listed is None:
            yield place, members
        else:
            self.around.append({name.lower(): value for name, value in members.items()})
        return at + 1

    def _skip(self, at: int) -> int:
        found = _SPACE.match(self._text, at)
        return found.end() if found else at

    def _is_at(self, mark: str, at: int) -> bool:
        return self._text.startswith(mark, at)

    def _past(self, mark: str, at: int) -> int:
        if not self._is_at(mark, at):
            raise self._broken(at)
        return at + 1

    def _broken(self, at: int) -> StrictJSONError:
        return StrictJSONError(f"{self._label} does not parse at character {at + 1}")

    def _place(self, at: int) -> str:
        # Each part of the text is counted only once, even with many values.
        self._line += self._text.count("\n", self._counted, at)
        self._counted = at
        return f"line {self._line}"
