"""How far long work is, on standard error where that is a terminal, and gone when it is done."""

from __future__ import annotations

import os
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from jitid.formats import output

if TYPE_CHECKING:
    from jitid.commands.globals import Globals
    from jitid.scan.source import Tally

_OFTEN = 0.2
"""Seconds between two lines."""
_BACK = "\r\x1b[K"


class Progress:
    """One line that is written again and again; nothing where nobody sees it."""

    def __init__(self, given: Globals) -> None:
        self._shows = os.isatty(output.TALK) and not given.quiet and os.environ.get("TERM") != "dumb"
        self._next = time.monotonic() + _OFTEN
        self._shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            self._write(_BACK)

    def show(self, unit: str, tally: Tally, hits: int) -> None:
        """Say how much was searched, unless that was said a moment ago."""
        if not self._shows or time.monotonic() < self._next:
            return
        from jitid.commands.scanrows import size

        self._next = time.monotonic() + _OFTEN
        self._shown = True
        self._write(f"{_BACK}searched {tally.items:,} {unit}s, {size(tally.bytes)}; {hits:,} found")

    @staticmethod
    def _write(text: str) -> None:
        output.tell_now(text)
