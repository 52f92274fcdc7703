"""Tab-separated lines for scripts: no header, nothing cut off, one line a row."""

from __future__ import annotations

from collections.abc import Iterator

from jitid.formats.cell import cell
from jitid.formats.view import View


def text(view: View) -> Iterator[str]:
    r"""Yield one line a row, or one line `name<TAB>value` a field where the view is a single answer.

    A tab or a newline inside a value is written `\t` or `\n`, so that `cut` and `while read` see what is
    meant.
    """
    for row in view.rows:
        if view.one:
            for field in view.fields:
                yield f"{field}\t{cell(row.get(field))}\n"
        else:
            yield "\t".join(cell(row.get(field)) for field in view.fields) + "\n"
