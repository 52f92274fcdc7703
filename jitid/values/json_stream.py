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
        position = self._skip(0)
        while position < len(self._text):
            character = self._text[position]
            if character == "[":
                position = yield from self._list(position, "")
            elif character == "{":
                position = yield from self._object(position)
            else:
                location = self._place(position)
                value, position = strict_json.loads_at(self._text, position, self._label)
                yield location, value
            position = self._skip(position)

    def _list(self, start: int, name: str) -> Generator[tuple[str, Any], None, int]:
        position = self._skip(start + 1)
        if self._is_at("]", position):
            return position + 1
        index = 0
        while True:
            value, position = strict_json.loads_at(self._text, position, self._label)
            yield f"{name}[{index}]", value
            index += 1
            position = self._skip(position)
            if self._is_at("]", position):
                return position + 1
            position = self._skip(self._past(",", position))

    def _object(self, start: int) -> Generator[tuple[str, Any], None, int]:
        """Yield the elements of the object's list, or the object itself if it has none; members are read one by one."""
        location = self._place(start)
        members: dict[str, Any] = {}
        list_name: str | None = None
        position = self._skip(start + 1)
        while not (self._is_at("}", position) and not members and list_name is None):
            name, position = strict_json.loads_at(self._text, position, self._label)
            if not isinstance(name, str):
                raise self._broken(position)
            position = self._skip(self._past(":", self._skip(position)))
            if name in members or name == list_name:
                raise StrictJSONError(f"{self._label} has two members of one name")
            if name.lower() == self._member and list_name is None and self._is_at("[", position):
                list_name = name
                position = yield from self._list(position, f".{name}")
            else:
                members[name], position = strict_json.loads_at(self._text, position, self._label)
            position = self._skip(position)
            if self._is_at("}", position):
                break
            position = self._skip(self._past(",", position))
        if list_name is None:
            yield location, members
        else:
            self.around.append({name.lower(): value for name, value in members.items()})
        return position + 1

    def _skip(self, position: int) -> int:
        space = _SPACE.match(self._text, position)
        return space.end() if space else position

    def _is_at(self, mark: str, position: int) -> bool:
        return self._text.startswith(mark, position)

    def _past(self, mark: str, position: int) -> int:
        if not self._is_at(mark, position):
            raise self._broken(position)
        return position + 1

    def _broken(self, position: int) -> StrictJSONError:
        return StrictJSONError(f"{self._label} does not parse at character {position + 1}")

    def _place(self, position: int) -> str:
        # Each part of the text is counted only once, even with many values.
        self._line += self._text.count("\n", self._counted, position)
        self._counted = position
        return f"line {self._line}"
