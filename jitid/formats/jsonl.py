"""JSON lines: one object a row, for `jq` and for logs."""

from __future__ import annotations

from collections.abc import Iterator

from jitid.formats.json import dumps
from jitid.formats.view import View


def text(view: View) -> Iterator[str]:
    """Yield one line of JSON a row, without the document around it."""
    for row in view.rows:
        yield dumps(dict(row)) + "\n"
