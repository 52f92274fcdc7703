"""Tab-separated lines for scripts: no header, nothing cut off, one line a row."""

from __future__ import annotations

from collections.abc import Iterator

from jitid.formats.cell import cell, plain
from jitid.formats.display import Display
from jitid.values.text import safe


def text(view: Display) -> Iterator[str]:
    r"""Yield one line per row, or one line `name<TAB>value` per field if the view is a single answer.

    A tab or a newline inside a value is written `\t` or `\n`, so that `cut` and `while read` split lines
    correctly.
    """
    for row in view.rows:
        if view.one:
            for field in view.fields:
                yield f"{field}\t{cell(row.get(field))}\n"
        else:
            texts = [value if type(value) is str else plain(value) for value in map(row.get, view.fields)]
            row_text = "".join(texts)
            # One test for the whole row: nearly every row passes it, and there may be a million rows.
            if not (row_text.isascii() and row_text.isprintable()):
                texts = [safe(value) for value in texts]
            yield "\t".join(texts) + "\n"
