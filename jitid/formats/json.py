"""One JSON document with a `schema` member; text comes back unchanged."""

from __future__ import annotations

import json
from collections.abc import Iterator

from jitid.formats.display import Display


def text(view: Display) -> Iterator[str]:
    """Yield the document: the single answer's own members, or the rows as `items`.

    Characters outside ASCII are escaped, so that neither a control character nor a change of direction
    reaches a terminal. A parser still reads exactly the stored text.
    """
    if view.document is not None:
        yield dumps({"schema": view.schema, **view.document}) + "\n"
    elif view.one:
        for row in view.rows:
            yield dumps({"schema": view.schema, **row}) + "\n"
    else:
        yield f'{{"schema": {dumps(view.schema)}, "items": ['
        separator = ""
        for row in view.rows:
            yield separator + dumps(dict(row))
            separator = ", "
        yield "]}\n"


def dumps(value: object) -> str:
    """Return `value` as JSON in ASCII; DEL, the only control character that JSON permits, is escaped too."""
    return json.dumps(value, ensure_ascii=True).replace("\x7f", "\\u007f")
