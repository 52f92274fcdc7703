"""Lines of standard input in batches, and answers at the terminal; a batch has the lines that are available at once.

The wait for a slow writer, at a pipe or a terminal, does not count against the command's time limit.
"""

from __future__ import annotations

import os
import select
from collections import deque
from time import monotonic

from jitid.errors import UsageError
from jitid.system import output, time_limit
from jitid.system.read_input import opened, piece_of, unreadable
from jitid.values.record import Record


def answer() -> str:
    """Return one line from the terminal, without white space around it; an empty text at its end.

    Output that a pager holds back comes first, with the messages after it: among them is the question.
    """
    output.finish()
    try:
        return piece_of(0, 256).decode("utf-8", "replace").strip()
    except OSError:
        return ""


LONGEST = 1 << 16
"""Maximum number of bytes in a line."""

MOST = 1_000
"""Maximum number of lines in a batch."""

PATIENCE = 1.0
"""Seconds after which a batch is returned, even if more lines are available."""

GC_THRESHOLD = 100_000
"""First threshold of the garbage collector (`gc.set_threshold`): about the number of objects of some thousand lines."""

_MOST_BYTES = 1 << 21
_PIECE = 1 << 16


class InputLine(Record):
    """A line without its end."""

    number: int
    """Counted from 1."""
    text: bytes | None
    """None for a line that is too long."""


class Lines:
    """Reader of standard input, line by line and in bounded memory."""

    def __init__(self, label: str) -> None:
        """Open standard input; errors name it `label`. Raises UsageError for a terminal."""
        self._label = label
        if os.isatty(0):
            raise UsageError(
                f"{label} is expected on standard input, and that is a terminal", "pipe it in: … < FILE"
            )
        self._descriptor = opened("-", label)
        self._pending: deque[bytes | None] = deque()
        self._begun = b""
        self._overlong = False
        self._ended = False
        self._number = 0
        self._input = select.poll()
        self._input.register(self._descriptor, select.POLLIN)
        self._both = select.poll()
        self._both.register(self._descriptor, select.POLLIN)
        # Even an empty event mask reports that the reader of the pipe has closed it.
        self._both.register(output.DATA, 0)

    def some(self) -> list[InputLine]:
        """Wait for a line, and return it with the lines that are available at once; return none at the end.

        Raises:
            OutputError: the reader of standard output has closed the pipe.
            UsageError: standard input cannot be read.

        """
        batch: list[InputLine] = []
        size, deadline = 0, 0.0
        while True:
            while self._pending and len(batch) < MOST and size < _MOST_BYTES:
                self._number += 1
                text = self._pending.popleft()
                batch.append(InputLine(self._number, text))
                size += len(text or b"")
            if batch and not deadline:
                deadline = monotonic() + PATIENCE
            if self._ended or len(batch) == MOST or size >= _MOST_BYTES:
                return batch
            if batch and (monotonic() >= deadline or not self._input.poll(0)):
                return batch
            if not batch:
                self._wait()
            self._read()

    def _wait(self) -> None:
        with time_limit.Pause():
            events = self._both.poll()
        for descriptor, _ in events:
            if descriptor == output.DATA and not self._input.poll(0):
                # This raises the proper error.
                output.wait(0)

    def _read(self) -> None:
        try:
            piece = piece_of(self._descriptor, _PIECE)
        except BlockingIOError:
            return
        except OSError as error:
            raise unreadable("-", self._label, error) from error
        if not piece:
            self._ended = True
            if self._overlong or self._begun:
                self._pending.append(None if self._overlong else self._begun)
            self._begun = b""
            return
        *tails, beginning = piece.split(b"\n")
        for tail in tails:
            text = self._begun + tail
            self._pending.append(None if self._overlong or len(text) > LONGEST else text)
            self._begun, self._overlong = b"", False
        if not self._overlong:
            self._begun += beginning
            if len(self._begun) > LONGEST:
                self._begun, self._overlong = b"", True


def confirm(effect: str, number: int, expected: str) -> None:
    """Print the effect and the required answer. Raise UsageError for any answer but the number."""
    output.print_message(f"jitid: this would {effect}")
    output.print_message(f"jitid: type {expected}")
    if answer() != str(number):
        raise UsageError("not confirmed; nothing was changed", "to skip the question: --yes")
