"""Markdown (CommonMark) in which text of others stands as it is, and does nothing."""

from __future__ import annotations

import re

from jitid.values.text import safe

_TICKS = re.compile(r"`+")


def code(text: str) -> str:
    """Return a text as a code span (CommonMark 0.31, section 6.1): no markup, link, name or HTML is seen in it.

    What acts or hides is spelled as an escape, line breaks too, so that it ends neither the span nor the line.
    """
    shown = safe(text)
    if not shown:
        return ""
    fence = "`" * (1 + max((len(each) for each in _TICKS.findall(shown)), default=0))
    # One space on both sides is taken away again.
    bare = not shown.startswith(("`", " ")) and not shown.endswith(("`", " "))
    return f"{fence}{shown}{fence}" if bare or not shown.strip() else f"{fence} {shown} {fence}"
