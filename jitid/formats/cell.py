"""A value as the text of one cell, for the formats that people read."""

from __future__ import annotations

from collections.abc import Mapping

from jitid.values.text import safe


def plain(value: object) -> str:
    """Return a value as text, unescaped: a sequence joined by spaces, a mapping as JSON, None as nothing."""
    if type(value) is str:
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if type(value) is int:
        return str(value)
    if isinstance(value, Mapping):
        from jitid.values.strict_json import dumps

        return dumps(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return " ".join(plain(item) for item in value)
    return str(value)


def cell(value: object) -> str:
    """Return a value as text that cannot control a terminal: one line, without tabs and control characters."""
    return safe(plain(value))
