"""Messages at a terminal: lines that end between words, and commands that can be copied in one piece."""

from __future__ import annotations

import re

_INDENT = "  "
_COMMAND = re.compile(r"(?<=[:;] )jitid [a-z-][^;]*?(?=; |$)|--[a-z-]+ [^\s;-][^\s;]*")
"""A command in a message: up to a semicolon, or to the end; or an option with a value."""
_GLUE = "\x00"
"""Stands for a blank within a command. Messages have no control characters."""


def fitted(message: str, width: int, prefix: str = "jitid:", indent: str = _INDENT) -> str:
    """Return a message that begins with a prefix in lines of at most `width` characters, the further ones indented.

    A command stays in one piece, and moves to the next line. If it is longer than a line, the terminal breaks it,
    which a copy does not contain.
    """
    if len(message) <= width or width <= len(indent):
        return message
    if not message.startswith(prefix):
        return message
    glued = _COMMAND.sub(lambda found: found[0].replace(" ", _GLUE), message)
    first, *words = glued.split(" ")
    lines, line = [], first
    for word in words:
        if len(line) + 1 + len(word) > width and line != prefix:
            lines.append(line)
            line = f"{indent}{word}"
        else:
            line = f"{line} {word}"
    return "\n".join([*lines, line]).replace(_GLUE, " ")
