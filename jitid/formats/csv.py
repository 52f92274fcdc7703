"""CSV (RFC 4180) that a spreadsheet may open."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from jitid.formats.cell import plain
from jitid.formats.display import Display
from jitid.values.text import safe

# With the full-width forms, which some spreadsheets treat alike.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
# Where the comma is the decimal separator, a spreadsheet ends a cell at a semicolon, even inside quotes. The text
# after the semicolon becomes a separate cell, and quotes at its beginning do not count either.
_SPLIT_OFF = re.compile(r"(?<=;)(?P<skipped>[ \"]*)(?P<mark>[=+\-@\uff1d\uff0b\uff0d\uff20])")


def text(view: Display) -> Iterator[str]:
    """Yield a header line and one record a row, ended by CRLF (RFC 4180, section 2)."""
    yield ",".join(_record(field) for field in view.fields) + "\r\n"
    for row in view.rows:
        yield ",".join(_record(row.get(field)) for field in view.fields) + "\r\n"


def _record(value: object) -> str:
    raw = plain(value)
    # A spreadsheet runs a cell with such a beginning as a formula; an apostrophe makes it text.
    # jitid's numbers are not formulas.
    formula = isinstance(value, (str, list, tuple)) and raw.lstrip(" ").startswith(_FORMULA)
    cell_text = ("'" if formula else "") + _SPLIT_OFF.sub(
        _as_json if isinstance(value, Mapping) else r"'\g<skipped>\g<mark>", safe(raw)
    )
    return (
        '"' + cell_text.replace('"', '""') + '"'
        if any(mark in cell_text for mark in ',;"\r\n')
        else cell_text
    )


def _as_json(match: re.Match[str]) -> str:
    """Return the mark as a JSON escape (RFC 8259, section 7), so that a mapping keeps its value."""
    return f"{match['skipped']}\\u{ord(match['mark']):04x}"
