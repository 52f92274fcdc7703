"""CSV (RFC 4180) that a spreadsheet may open."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from jitid.formats.cell import plain
from jitid.formats.display import Display
from jitid.values.text import safe

# With the full-width forms, which some spreadsheets read alike.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
# Where the comma is for decimals a spreadsheet takes the semicolon for the end of a cell, inside quotes too: what comes
# after it, as quotes do not count either, is a cell of its own.
_SPLIT_OFF = re.compile(r"(?<=;)(?P<skipped>[ \"]*)(?P<mark>[=+\-@\uff1d\uff0b\uff0d\uff20])")


def text(view: Display) -> Iterator[str]:
    """Yield a header line and one record a row, ended by CRLF (RFC 4180, section 2)."""
    yield ",".join(_record(field) for field in view.fields) + "\r\n"
    for row in view.rows:
        yield ",".join(_record(row.get(field)) for field in view.fields) + "\r\n"


def _record(value: object) -> str:
    raw = plain(value)
    # A cell that starts so is a formula to a spreadsheet, which runs it; an apostrophe makes it text.
    # Numbers of ours are no formulas.
    formula = isinstance(value, (str, list, tuple)) and raw.lstrip(" ").startswith(_FORMULA)
    shown = ("'" if formula else "") + _SPLIT_OFF.sub(
        _as_json if isinstance(value, Mapping) else r"'\g<skipped>\g<mark>", safe(raw)
    )
    return '"' + shown.replace('"', '""') + '"' if any(mark in shown for mark in ',;"\r\n') else shown


def _as_json(found: re.Match[str]) -> str:
    """Return the mark as JSON may spell it (RFC 8259, section 7): a mapping is read as the same afterwards."""
    return f"{found['skipped']}\\u{ord(found['mark']):04x}"
