"""Changes of single members in JSON with comments and trailing commas: every other character stays identical.

The form is that of the parser of VS Code (`jsonc-parser`), which other clients use too: JSON (RFC 8259) with `//` and
`/* */` comments, and a comma after the last member. Two members of one name are refused: readers disagree about them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NoReturn

from jitid.capabilities.setup.splice import ClientFileError, Path, Splice, line_of, newline_of, terminated
from jitid.values.text import MARK, quote

MAX_DEPTH = 100
"""The maximum nesting of arrays and objects."""

_BLANK = re.compile(r"(?:[ \t\r\n]+|//[^\n\r]*|/\*.*?\*/)*", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
_SCALAR = re.compile(r"(?:-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null)(?![\w.+-])")
_REST_OF_LINE = re.compile(r"(?:[ \t]|/\*[^\n\r]*?\*/|//[^\n\r]*)*")


class Node:
    """A value at its place in a text."""

    __slots__ = ("end", "items", "kind", "start", "value")

    def __init__(self, start: int, end: int, kind: str, items: list[JsonItem], value: object = None) -> None:
        self.start = start
        self.end = end
        self.kind = kind
        """`object`, `array` or `scalar`."""
        self.items = items
        self.value = value
        """The value of a scalar."""

    def member(self, name: str) -> JsonItem | None:
        """Return the member of an object with a name."""
        return (
            next((item for item in self.items if item.name == name), None) if self.kind == "object" else None
        )

    def decoded(self) -> Any:  # noqa: ANN401 - JSON may be anything
        """Return the value, as `json.loads` would."""
        if self.kind == "object":
            return {item.name: item.node.decoded() for item in self.items}
        if self.kind == "array":
            return [item.node.decoded() for item in self.items]
        return self.value


class JsonItem:
    """A member of an object or an element of an array."""

    __slots__ = ("comma", "name", "node", "start")

    def __init__(self, start: int, name: str | None, node: Node, comma: int | None) -> None:
        self.start = start
        self.name = name
        """None for an element of an array."""
        self.node = node
        self.comma = comma
        """The offset of the comma after it, if there is one."""


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._position = len(MARK) if text.startswith(MARK) else 0

    def document(self) -> Node | None:
        """Return the root; None for a text with only white space and comments."""
        self._blank()
        if self._position == len(self._text):
            return None
        node = self._value(0)
        self._blank()
        if self._position != len(self._text):
            self._refuse("text after the end of the document")
        return node

    def _value(self, depth: int) -> Node:
        text, start = self._text, self._position
        if depth > MAX_DEPTH:
            self._refuse(f"more than {MAX_DEPTH} levels of nesting")
        character = text[start : start + 1]
        if character in ("{", "["):
            return self._container(start, "}" if character == "{" else "]", depth)
        if character == '"':
            return Node(start, self._string_end(), "scalar", [], self._decode(start))
        found = _SCALAR.match(text, start)
        if found is None:
            self._refuse("a value is missing or invalid")
        self._position = found.end()
        try:
            return Node(start, found.end(), "scalar", [], json.loads(found[0]))
        except ValueError:
            # Python refuses to convert a number of more than 4,300 digits.
            self._refuse("a number is too long", start)

    def _container(self, start: int, closing: str, depth: int) -> Node:
        text = self._text
        items: list[JsonItem] = []
        names: set[str] = set()
        self._position += 1
        while True:
            self._blank()
            if text.startswith(closing, self._position):
                self._position += 1
                return Node(start, self._position, "object" if closing == "}" else "array", items)
            if items and items[-1].comma is None:
                self._refuse(f"expected `,` or `{closing}`")
            item_start = self._position
            name = self._name(names) if closing == "}" else None
            node = self._value(depth + 1)
            self._blank()
            comma = self._position if text.startswith(",", self._position) else None
            self._position += comma is not None
            items.append(JsonItem(item_start, name, node, comma))

    def _name(self, names: set[str]) -> str:
        start = self._position
        self._string_end()
        name: str = self._decode(start)
        if name in names:
            self._refuse(f"two members have the name {quote(name)}", start)
        names.add(name)
        self._blank()
        if not self._text.startswith(":", self._position):
            self._refuse("expected `:`")
        self._position += 1
        self._blank()
        return name

    def _string_end(self) -> int:
        found = _STRING.match(self._text, self._position)
        if found is None:
            self._refuse("a string is missing or invalid")
        self._position = found.end()
        return found.end()

    def _decode(self, start: int) -> Any:  # noqa: ANN401 - of JSON
        raw = self._text[start : self._position]
        return json.loads(raw) if "\\" in raw else raw[1:-1]

    def _blank(self) -> None:
        found = _BLANK.match(self._text, self._position)
        assert found is not None, "it matches an empty text"
        self._position = found.end()

    def _refuse(self, problem: str, offset: int | None = None) -> NoReturn:
        line = line_of(self._text, self._position if offset is None else offset)
        raise ClientFileError(f"line {line}: {problem}")


@lru_cache(maxsize=2)
def parse(text: str) -> Node | None:
    """Return the root of a document; None for a text without a value. Raises ClientFileError."""
    return _Parser(text).document()


def value_at(root: Node | None, path: Path) -> Any:  # noqa: ANN401 - JSON may be anything
    """Return the value at a path of names; None if there is none."""
    node = node_at(root, path)
    return None if node is None else node.decoded()


def node_at(root: Node | None, path: Path) -> Node | None:
    """Return the node at a path of names; None if there is none."""
    for name in path:
        item = root.member(name) if root is not None else None
        root = None if item is None else item.node
    return root


def setting(text: str, path: Path, value: object) -> list[Splice]:
    """Return the changes that set the member at a path; missing objects are added. Raises ClientFileError."""
    return _put(text, path, value, append=False)


def appending(text: str, path: Path, value: object) -> list[Splice]:
    """Return the changes that append an element to the array at a path, which may be missing.

    Raises ClientFileError.
    """
    return _put(text, path, value, append=True)


def _put(text: str, path: Path, value: object, *, append: bool) -> list[Splice]:
    root = parse(text)
    if root is None:
        # A new file, or one with comments alone.
        newline = newline_of(text)
        dumped = _dumps(_nested(path, [value] if append else value), "  ", "", newline)
        return [Splice(len(text), "", f"{terminated(text)}{dumped}{newline}")]
    node = root
    for depth, name in enumerate(path):
        if node.kind != "object":
            where = ".".join(path[:depth])
            raise ClientFileError(f"{quote(where) if where else 'the document'} is not an object")
        item = node.member(name)
        if item is None:
            rest = _nested(path[depth + 1 :], [value] if append else value)
            return _insert(text, root, node, name, rest)
        node = item.node
    if not append:
        style = _Style(text, root)
        return [
            Splice(node.start, text[node.start : node.end], style.dumped(value, _indent(text, node.start)))
        ]
    if node.kind != "array":
        raise ClientFileError(f"{quote('.'.join(path))} is not an array")
    return _insert(text, root, node, None, value)


def _nested(path: Sequence[str], value: object) -> object:
    for name in reversed(path):
        value = {name: value}
    return value


class _Style:
    """The line ending and the indentation of a document."""

    def __init__(self, text: str, root: Node) -> None:
        self.newline = newline_of(text)
        first = root.items[0] if root.items else None
        own = _own_line_indent(text, first.start) if first is not None else None
        base = _indent(text, root.start)
        unit = own.removeprefix(base) if own is not None and own.startswith(base) else None
        self.unit = unit or "  "
        self.one_line = first is not None and own is None

    def dumped(self, value: object, indent: str) -> str:
        """Return a value as JSON; its lines after the first one begin with an indentation."""
        if self.one_line:
            return json.dumps(value, ensure_ascii=False)
        return _dumps(value, self.unit, indent, self.newline)


def _insert(text: str, root: Node, container: Node, name: str | None, value: object) -> list[Splice]:
    """Return the changes that add a last item to a container."""
    style = _Style(text, root)
    label = "" if name is None else f"{json.dumps(name, ensure_ascii=False)}: "
    last = container.items[-1] if container.items else None
    if last is None:
        return [_into_empty(text, container, label, value, style)]
    own_indent = _own_line_indent(text, last.start)
    if own_indent is None:
        # The last item shares its line with another one, or with the bracket: so does the new one.
        body = f"{label}{json.dumps(value, ensure_ascii=False)}"
        if last.comma is not None:
            return [Splice(last.comma + 1, "", f" {body},")]
        return [Splice(last.node.end, "", f", {body}")]
    dumped = _dumps(value, style.unit, own_indent, style.newline)
    body = f"{style.newline}{own_indent}{label}{dumped}"
    if last.comma is not None:
        return [Splice(_line_end(text, last.comma + 1), "", f"{body},")]
    end = _line_end(text, last.node.end)
    if end == last.node.end:
        return [Splice(end, "", f",{body}")]
    return [Splice(last.node.end, "", ","), Splice(end, "", body)]


def _into_empty(text: str, container: Node, label: str, value: object, style: _Style) -> Splice:
    inner_start, inner_end = container.start + 1, container.end - 1
    if style.one_line:
        return Splice(inner_start, "", f"{label}{json.dumps(value, ensure_ascii=False)}")
    outer = _indent(text, container.start)
    inner = outer + style.unit
    body = f"{style.newline}{inner}{label}{_dumps(value, style.unit, inner, style.newline)}"
    closes = (
        ""
        if text[inner_start:inner_end].lstrip(" \t").startswith(("\n", "\r", "/"))
        else style.newline + outer
    )
    return Splice(inner_start, "", body + closes)


def removing(text: str, container: Node, item: JsonItem) -> list[Splice]:
    """Return the changes that remove an item, with its line if the line is otherwise empty."""
    index = container.items.index(item)
    start, end = item.start, item.node.end
    splices = []
    if item.comma is not None:
        between = text[end : item.comma]
        if between.strip():
            # A comment between the value and its comma stays.
            splices.append(Splice(item.comma, ",", ""))
        else:
            end = item.comma + 1
    elif index:
        previous = container.items[index - 1]
        assert previous.comma is not None, "an item follows it"
        splices.append(Splice(previous.comma, ",", ""))
    start, end = _with_line(text, start, end, last=index == len(container.items) - 1)
    if splices and start <= splices[0].offset < end:
        splices.clear()
    splices.append(Splice(start, text[start:end], ""))
    return sorted(splices, key=lambda splice: splice.offset)


def _with_line(text: str, start: int, end: int, *, last: bool) -> tuple[int, int]:
    """Return a part of a text with the white space and the line break around it that belong to it alone."""
    line_start = start
    while line_start and text[line_start - 1] in " \t":
        line_start -= 1
    alone_before = line_start > 0 and text[line_start - 1] == "\n"
    line_end = end
    while line_end < len(text) and text[line_end] in " \t":
        line_end += 1
    alone_after = text.startswith(("\n", "\r\n"), line_end)
    if alone_before and alone_after:
        # The line break before it goes, as `_insert` adds it.
        before = line_start - 1 - text.startswith("\r\n", line_start - 2)
        return before, line_end
    if last:
        return line_start if not alone_before else start, end
    return start, line_end if not alone_after else end


def _own_line_indent(text: str, offset: int) -> str | None:
    """Return the white space before an offset if no other text precedes it on its line; else None."""
    start = max(text.rfind("\n", 0, offset), text.rfind("\r", 0, offset)) + 1
    before = text[start:offset]
    return before if start and not before.strip(" \t") else None


def _indent(text: str, offset: int) -> str:
    """Return the white space at the start of the line of an offset."""
    start = max(text.rfind("\n", 0, offset), text.rfind("\r", 0, offset)) + 1
    line = text[start:offset].removeprefix(MARK)
    return line[: len(line) - len(line.lstrip(" \t"))]


def _line_end(text: str, offset: int) -> int:
    """Return the end of the comments after an offset, if its line ends there; else the offset."""
    found = _REST_OF_LINE.match(text, offset)
    assert found is not None, "it matches an empty text"
    end = found.end()
    if not text.startswith(("\n", "\r"), end):
        return offset
    return offset if not found[0].strip() else end


def _dumps(value: object, unit: str, indent: str, newline: str) -> str:
    lines = json.dumps(value, ensure_ascii=False, indent=unit).split("\n")
    return f"{newline}{indent}".join(lines)
