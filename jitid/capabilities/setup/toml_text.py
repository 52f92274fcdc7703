"""Changes of keys and tables in a TOML file: every other character stays identical.

A table is appended as separate lines; TOML allows it after any other table. Each change is checked by parsing the
result with the standard library.
"""

from __future__ import annotations

import copy
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from jitid.capabilities.setup.splice import (
    ClientFileError,
    Path,
    Splice,
    applied,
    difference,
    newline_of,
    terminated,
)
from jitid.errors import ConfigurationError
from jitid.values.text import MARK, quote

_LEADING = re.compile(r"\ufeff?(?:#[^\n]*\n|[ \t]*\r?\n)*")


def parse(text: str) -> dict[str, Any]:
    """Return the content of a text. Raises ClientFileError."""
    try:
        return tomllib.loads(text.removeprefix(MARK))
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line ([0-9]+)", str(error))
        raise ClientFileError(f"line {line[1]}: invalid TOML" if line else "invalid TOML") from None
    except RecursionError:
        raise ClientFileError("it is nested too deeply") from None


def value_at(content: object, path: Path) -> Any:  # noqa: ANN401 - TOML may be anything
    """Return the value at a path of names; None if there is none."""
    for name in path:
        content = content.get(name) if isinstance(content, Mapping) else None
    return content


def setting(text: str, path: Path, value: object) -> list[Splice]:
    """Return the changes that set a key before all tables, or append a table. Raises ClientFileError."""
    content = parse(text)
    _check_way(content, path)
    expected = _with(content, path, value)
    for splice in _ways(text, content, path, value):
        if _reads(applied(text, [splice]), expected):
            return [splice]
    raise ClientFileError(f"its form does not allow jitid to set {quote('.'.join(path))}")


def _check_way(content: Mapping[str, Any], path: Path) -> None:
    for depth in range(1, len(path)):
        value = value_at(content, path[:depth])
        if value is not None and not isinstance(value, Mapping):
            raise ClientFileError(f"{quote('.'.join(path[:depth]))} is not a table")


def _ways(text: str, content: Mapping[str, Any], path: Path, value: object) -> Iterator[Splice]:
    newline = newline_of(text)
    if isinstance(value, Mapping):
        if value_at(content, path) is None:
            yield _appended(text, path, value, newline)
        return
    (key,) = path
    line = _lines({key: value}, newline)
    if key in content:
        for found in _assignments(text, key):
            yield Splice(found.start(), found[0], line)
        return
    leading = _LEADING.match(text)
    assert leading is not None, "it matches an empty text"
    # After a comment about the file, which a blank line ends; a comment above the first key belongs to the key.
    blank = re.compile(r"(?:.*\n)?[ \t]*\r?\n", re.DOTALL).match(leading[0])
    start = blank.end() if blank is not None else len(MARK) * text.startswith(MARK)
    missing = newline if text[start:].startswith("[") else ""
    yield Splice(start, "", line + missing)
    yield Splice(len(MARK) * text.startswith(MARK), "", line)


def _appended(text: str, path: Path, value: Mapping[str, Any], newline: str) -> Splice:
    table: Mapping[str, Any] = value
    for name in reversed(path):
        table = {name: table}
    gap = newline if text.removeprefix(MARK).strip() else ""
    return Splice(len(text), "", f"{terminated(text)}{gap}{_lines(table, newline)}")


def _lines(table: Mapping[str, Any], newline: str) -> str:
    import tomli_w

    return tomli_w.dumps(table).replace("\n", newline)


def _assignments(text: str, key: str) -> Iterator[re.Match[str]]:
    return re.finditer(rf"(?:(?<=\ufeff)|^)[ \t]*{re.escape(key)}[ \t]*=[^\n]*(?:\n|\Z)", text, re.MULTILINE)


def _with(content: Mapping[str, Any], path: Path, value: object) -> dict[str, Any]:
    expected: dict[str, Any] = copy.deepcopy(dict(content))
    table = expected
    for name in path[:-1]:
        table = table.setdefault(name, {})
    table[path[-1]] = copy.deepcopy(value)
    return expected


def removing(text: str, path: Path, value: object, previous: str | None) -> list[Splice] | None:
    """Return the changes that remove a key or a table with a value; None if it has another value now.

    `previous` is the text that the value replaced. Of an extended table, only the keys of jitid are removed.
    Raises ClientFileError.
    """
    content = parse(text)
    present = value_at(content, path)
    if isinstance(value, Mapping):
        if not isinstance(present, Mapping):
            return None
        return _without_table(text, content, path, value)
    if present != value:
        return None
    (key,) = path
    expected = copy.deepcopy(dict(content))
    del expected[key]
    if previous is not None:
        expected |= parse(previous)
    for found in _assignments(text, key):
        splice = Splice(found.start(), found[0], previous or "")
        if _reads(applied(text, [splice]), expected):
            return [splice]
    raise ClientFileError(f"its form does not allow jitid to remove {quote(key)}")


def _without_table(
    text: str, content: Mapping[str, Any], path: Path, value: Mapping[str, Any]
) -> list[Splice] | None:
    newline = newline_of(text)
    block = _appended("", path, value, newline).inserted
    if value_at(content, path) == value and (start := text.find(block)) >= 0:
        gap = newline if start and text[:start].endswith(newline * 2) else ""
        splice = Splice(start - len(gap), gap + block, "")
        if _reads(applied(text, [splice]), _pruned(content, path)):
            return [splice]
    from jitid.config.config_text import without

    own = [(*path, *inner) for inner, leaf in _leaves(value) if value_at(content, (*path, *inner)) == leaf]
    if not own:
        return None
    mark = MARK if text.startswith(MARK) else ""
    changed = text.removeprefix(MARK)
    try:
        for leaf_path in own:
            changed = without(changed, leaf_path)
    except ConfigurationError:
        raise ClientFileError(f"its form does not allow jitid to remove {quote('.'.join(path))}") from None
    return difference(text, mark + changed)


def _leaves(value: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _leaves(inner, (*path, name))
        else:
            yield (*path, name), inner


def _pruned(content: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return content without the value at a path, and without tables above it that become empty."""
    from jitid.config.config_text import remove

    expected = copy.deepcopy(dict(content))
    remove(expected, path)
    return expected


def _reads(text: str, expected: Mapping[str, Any]) -> bool:
    try:
        return parse(text) == expected
    except ClientFileError:
        return False
