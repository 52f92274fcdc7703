"""The text of a configuration file with one key changed: every other line stays byte for byte as it was."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jitid.errors import ConfigurationError

if TYPE_CHECKING:
    from tomlkit import TOMLDocument


def with_value(text: str, path: Sequence[str], value: object) -> str:
    """Return a text of TOML with a value set at a path of tables and a key; missing tables are made.

    Raises:
        ConfigurationError: a part of the path is not a table, or the text cannot be changed without touching more.

    """
    expected: dict[str, Any] = tomllib.loads(text)
    table: Any = expected
    for name in path[:-1]:
        table = table.setdefault(name, {})
    is_new = path[-1] not in table
    table[path[-1]] = copy.deepcopy(value)
    if not text.strip():
        import tomli_w

        # A new file; this library writes lists a value a line.
        return tomli_w.dumps(expected)
    ended = text if text.endswith("\n") else f"{text}\n"
    ways: list[Callable[[], str]] = [lambda: _edited(ended, lambda document: _set(document, path, value))]
    if is_new:
        # Where the library cannot put a new key, TOML has other places for it.
        ways = [*ways[: len(path) - 1], lambda: _with_line(ended, path, value)]
    for way in ways:
        try:
            changed = way()
            if ended != text and not is_new:
                changed = changed.removesuffix("\n")
            return _checked(text, changed, expected)
        except ConfigurationError:
            continue
    raise _refusal()


def without(text: str, path: Sequence[str], kept: int = 0) -> str:
    """Return a text of TOML without the key at a path, and without the tables that are empty then.

    The first `kept` tables of the path stay: a profile without a setting is still one.

    Raises ConfigurationError if the text cannot be changed without touching more.
    """
    expected: dict[str, Any] = tomllib.loads(text)
    remove(expected, path, kept)
    changed = _edited(text, lambda document: remove(document, path, kept))
    try:
        return _checked(text, changed, expected)
    except ConfigurationError:
        if not kept:
            raise
        import tomlkit

        # The last line below a table that had none of its own.
        ended = changed if changed.endswith("\n") or not changed else f"{changed}\n"
        return _checked(text, f"{ended}[{tomlkit.key(path[:kept]).as_string()}]\n", expected)


def remove(document: Any, path: Sequence[str], kept: int = 0) -> None:  # noqa: ANN401 - of either library
    """Take out the key at a path, and the tables that are empty then, but for the first `kept`."""
    around: list[Any] = [document]
    for name in path[:-1]:
        around.append(around[-1][name])
    del around[-1][path[-1]]
    for at in reversed(range(kept, len(path) - 1)):
        if not around[at][path[at]]:
            del around[at][path[at]]


def _edited(text: str, change: Callable[[TOMLDocument], None]) -> str:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        document = tomlkit.parse(text)
        change(document)
        return tomlkit.dumps(document)
    # The library fails in many ways where tables stand in an odd order.
    except (TOMLKitError, LookupError, TypeError, ValueError, AttributeError, AssertionError):
        raise _refusal() from None


def _set(document: TOMLDocument, path: Sequence[str], value: object) -> None:
    import tomlkit
    from tomlkit.items import InlineTable

    table: Any = document
    for at, name in enumerate(path[:-1]):
        if name not in table:
            # A table that only holds tables has no line of its own.
            last = at == len(path) - 2
            inline = isinstance(table, InlineTable)
            table[name] = tomlkit.inline_table() if inline else tomlkit.table(is_super_table=not last)
        table = table[name]
    table[path[-1]] = value


def _with_line(text: str, path: Sequence[str], value: object) -> str:
    """Return a text with a new key, dotted if it stands in tables, before all tables.

    It stands behind the last key there, or else in the first line. The library would put it between the first table and
    the comment above that.
    """
    import tomlkit
    from tomlkit.container import Container
    from tomlkit.items import AoT, Table

    body = tomlkit.parse(text).body
    # A dotted key makes a table that has no line of its own.
    tables = (
        at
        for at, (name, item) in enumerate(body)
        if isinstance(item, AoT | Table) and not (name is not None and name.is_dotted())
    )
    first = next(tables, len(body))
    keys = [at for at in range(first) if body[at][0] is not None]
    line = f"{tomlkit.key(path).as_string()} = {tomlkit.item(value).as_string()}\n"
    if keys:
        before = Container(parsed=True)
        for name, item in body[: keys[-1] + 1]:
            before.append(name, item, validate=False)
        at = len(before.as_string())
        return f"{text[:at]}{line}{text[at:]}" if text.startswith(before.as_string()) else f"{line}{text}"
    return f"{text}{line}" if first == len(body) else f"{line}\n{text}"


def _checked(old: str, new: str, expected: Mapping[str, Any]) -> str:
    """Return the new text if it says what is expected, and all of its lines end as those of the old one do."""
    if "\r\n" in old and "\n" not in old.replace("\r\n", ""):
        new = new.replace("\r\n", "\n").replace("\n", "\r\n")
    try:
        found = tomllib.loads(new)
    except tomllib.TOMLDecodeError:
        raise _refusal() from None
    if found != expected:
        raise _refusal()
    return new


def _refusal() -> ConfigurationError:
    return ConfigurationError(
        "the file is written in a way that cannot be changed line by line; nothing was changed",
        "change that line in an editor: see `jitid config path`",
    )
