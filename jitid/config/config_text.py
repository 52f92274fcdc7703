"""Changes of one key in the text of a configuration file: every other line stays identical, byte for byte."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jitid.errors import ConfigurationError

if TYPE_CHECKING:
    from tomlkit import TOMLDocument


def with_value(text: str, path: Sequence[str], value: object) -> str:
    """Return a TOML text with a value set at a path of tables and a key; missing tables are added.

    Raises:
        ConfigurationError: a part of the path is not a table, or the change would alter other lines.

    """
    expected: dict[str, Any] = tomllib.loads(text)
    table: Any = expected
    for name in path[:-1]:
        table = table.setdefault(name, {})
    is_new = path[-1] not in table
    table[path[-1]] = copy.deepcopy(value)
    if not text.strip():
        import tomli_w

        # A new file; this library writes lists with one value per line.
        return tomli_w.dumps(expected)
    terminated = text if text.endswith("\n") else f"{text}\n"
    ways: list[Callable[[], str]] = [
        lambda: _edited(terminated, lambda document: _set(document, path, value))
    ]
    if is_new:
        # If the library cannot insert a new key, TOML allows it at other places.
        ways = [*ways[: len(path) - 1], lambda: _with_line(terminated, path, value)]
    for way in ways:
        try:
            changed = way()
            if terminated != text and not is_new:
                changed = changed.removesuffix("\n")
            return _checked(text, changed, expected)
        except ConfigurationError:
            continue
    raise _refusal()


def without(text: str, path: Sequence[str], kept_count: int = 0) -> str:
    """Return a TOML text without the key at a path, and without tables that become empty.

    The first `kept_count` tables of the path stay: a profile without settings is still a profile.

    Raises ConfigurationError if the change would alter other lines.
    """
    expected: dict[str, Any] = tomllib.loads(text)
    remove(expected, path, kept_count)
    changed = _edited(text, lambda document: remove(document, path, kept_count))
    try:
        return _checked(text, changed, expected)
    except ConfigurationError:
        if not kept_count:
            raise
        import tomlkit

        # The removed key was the only line of an implicit table, so a header line for the table is added.
        ended = changed if changed.endswith("\n") or not changed else f"{changed}\n"
        return _checked(text, f"{ended}[{tomlkit.key(path[:kept_count]).as_string()}]\n", expected)


def remove(document: Any, path: Sequence[str], kept_count: int = 0) -> None:  # noqa: ANN401 - of either library
    """Remove the key at a path, and tables that become empty, except the first `kept_count`."""
    tables: list[Any] = [document]
    for name in path[:-1]:
        tables.append(tables[-1][name])
    del tables[-1][path[-1]]
    for depth in reversed(range(kept_count, len(path) - 1)):
        if not tables[depth][path[depth]]:
            del tables[depth][path[depth]]


def _edited(text: str, change: Callable[[TOMLDocument], None]) -> str:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        document = tomlkit.parse(text)
        change(document)
        return tomlkit.dumps(document)
    # The library raises various errors if tables are in an unusual order.
    except (TOMLKitError, LookupError, TypeError, ValueError, AttributeError, AssertionError):
        raise _refusal() from None


def _set(document: TOMLDocument, path: Sequence[str], value: object) -> None:
    import tomlkit
    from tomlkit.items import InlineTable

    table: Any = document
    for depth, name in enumerate(path[:-1]):
        if name not in table:
            # A table that only contains tables has no header line.
            is_last = depth == len(path) - 2
            inline = isinstance(table, InlineTable)
            table[name] = tomlkit.inline_table() if inline else tomlkit.table(is_super_table=not is_last)
        table = table[name]
    table[path[-1]] = value


def _with_line(text: str, path: Sequence[str], value: object) -> str:
    """Return a text with a new key before all tables, dotted if it is in tables.

    It follows the last key there, or else it is the first line. The library would put it between the first table and
    the comment above that.
    """
    import tomlkit
    from tomlkit.container import Container
    from tomlkit.items import AoT, Table

    body = tomlkit.parse(text).body
    # A dotted key makes a table without a header line.
    tables = (
        index
        for index, (name, item) in enumerate(body)
        if isinstance(item, AoT | Table) and not (name is not None and name.is_dotted())
    )
    first_table = next(tables, len(body))
    key_indexes = [index for index in range(first_table) if body[index][0] is not None]
    line = f"{tomlkit.key(path).as_string()} = {tomlkit.item(value).as_string()}\n"
    if key_indexes:
        head = Container(parsed=True)
        for name, item in body[: key_indexes[-1] + 1]:
            head.append(name, item, validate=False)
        offset = len(head.as_string())
        return (
            f"{text[:offset]}{line}{text[offset:]}" if text.startswith(head.as_string()) else f"{line}{text}"
        )
    return f"{text}{line}" if first_table == len(body) else f"{line}\n{text}"


def _checked(old: str, new: str, expected: Mapping[str, Any]) -> str:
    """Return the new text with the line endings of the old one, if it parses to the expected content."""
    if "\r\n" in old and "\n" not in old.replace("\r\n", ""):
        new = new.replace("\r\n", "\n").replace("\n", "\r\n")
    try:
        parsed = tomllib.loads(new)
    except tomllib.TOMLDecodeError:
        raise _refusal() from None
    if parsed != expected:
        raise _refusal()
    return new


def _refusal() -> ConfigurationError:
    return ConfigurationError(
        "the form of the file does not allow the change of one line; nothing was changed",
        "change the line in an editor; to find the file: jitid config path",
    )
