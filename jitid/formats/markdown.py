"""Markdown (CommonMark) that shows foreign text unchanged and without effect."""

from __future__ import annotations

import re

from jitid.values.text import safe

_TICKS = re.compile(r"`+")


def code(text: str) -> str:
    """Return a text as a code span (CommonMark 0.31, section 6.1): markup, links, names and HTML have no effect.

    Characters that act or hide, and line breaks, are written as escapes, so that they end neither span nor line.
    """
    escaped = safe(text)
    if not escaped:
        return ""
    fence = "`" * (1 + max((len(ticks) for ticks in _TICKS.findall(escaped)), default=0))
    # A parser removes one space on both sides.
    bare = not escaped.startswith(("`", " ")) and not escaped.endswith(("`", " "))
    return f"{fence}{escaped}{fence}" if bare or not escaped.strip() else f"{fence} {escaped} {fence}"
