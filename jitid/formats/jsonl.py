"""JSON lines: one object a row, for `jq` and for logs."""

from __future__ import annotations

from collections.abc import Iterator

from jitid.formats.display import Display
from jitid.formats.json import dumps


def text(view: Display) -> Iterator[str]:
    """Yield one line of JSON a row, without the document around it."""
    for row in view.rows:
        yield dumps(dict(row)) + "\n"
