"""Progress of long work, on standard error if that is a terminal. It is erased at the end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from jitid.system import output

if TYPE_CHECKING:
    import threading

    from jitid.capabilities.scan.hits import ScanTally
    from jitid.cli.invocation import Invocation
    from jitid.operation.base import Authority, Operation, Result

Piece = TypeVar("Piece")

_UPDATE_INTERVAL = 0.2
"""Minimum number of seconds between two updates."""
_BACK = "\r\x1b[K"


_SILENT = 1.0
"""Seconds of waiting after which a terminal shows the reason, and the interval of its updates."""


class Waiting:
    """A line with the reason and the duration of a wait; erased at its end."""

    def __init__(self, cli: Invocation, reason: Callable[[], str]) -> None:
        """Take a function that returns the reason of the wait, in words."""
        self._reason = reason
        self._shows = _is_seen(cli)
        self._began = time.monotonic()
        self._done: threading.Event | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._shows:
            import threading

            self._done = threading.Event()
            self._thread = threading.Thread(target=self._show, args=(self._done,), daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._done is not None and self._thread is not None:
            self._done.set()
            self._thread.join()

    def _show(self, ended: threading.Event) -> None:
        visible = False
        while not ended.wait(_SILENT):
            visible = True
            output.write_now(f"{_BACK}{self._reason()}: {time.monotonic() - self._began:.0f} s")
        if visible:
            output.write_now(_BACK)


class Working(Waiting):
    """Waiting for work in several steps: the line names the current one."""

    def __init__(self, cli: Invocation, step: str) -> None:
        self.step = step
        super().__init__(cli, lambda: self.step)


def performed(cli: Invocation, authority: Authority, operation: Operation[Result], step: str) -> Result:
    """Return the answer to an operation; show the step at a terminal while it takes long."""
    with Waiting(cli, lambda: step):
        return authority.perform(operation)


def waiting(cli: Invocation, pieces: Iterable[Piece], reason: Callable[[], str]) -> Iterator[Piece]:
    """Yield each piece. Show the reason at a terminal while the next piece is awaited."""
    source = iter(pieces)
    while True:
        with Waiting(cli, reason):
            try:
                piece = next(source)
            except StopIteration:
                return
        yield piece


def _is_seen(cli: Invocation) -> bool:
    return os.isatty(output.TALK) and not cli.quiet and os.environ.get("TERM") != "dumb"


class ProgressLine:
    """A line that is updated in place. Nothing is written unless standard error is a terminal."""

    def __init__(self, cli: Invocation) -> None:
        self._shows = _is_seen(cli)
        self._next = time.monotonic() + _UPDATE_INTERVAL
        self._shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            self._write(_BACK)

    def show(self, unit: str, tally: ScanTally, hits: int) -> None:
        """Show how much was searched, unless the last update is very recent."""
        if not self._shows or time.monotonic() < self._next:
            return
        from jitid.formats.cell import size

        self._next = time.monotonic() + _UPDATE_INTERVAL
        self._shown = True
        self._write(f"{_BACK}searched {tally.items:,} {unit}s, {size(tally.bytes)}; {hits:,} found")

    @staticmethod
    def _write(text: str) -> None:
        output.write_now(text)
