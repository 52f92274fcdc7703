"""Text that a user pastes at a terminal: it is not shown, and replaces standard input."""

from __future__ import annotations

import os
import select

from jitid.errors import UsageError
from jitid.system import output

_END = b"\x04"
"""Ctrl-D, which a terminal sends as a character if it does not collect lines."""
_MOST = 1 << 20
"""The number of bytes that a user may paste; a longer text is a file."""


def accept(label: str) -> None:
    """Let the user paste a text if standard input is a terminal; from then on, standard input is that text.

    Raises:
        UsageError: the text is too long.

    """
    if not (os.isatty(0) and os.isatty(output.TALK)):
        return
    import termios

    output.print_message(f"jitid: paste {label}, then press Ctrl-D; the text is not shown")
    before = termios.tcgetattr(0)
    silent = termios.tcgetattr(0)
    # Without ICANON, lines of any length arrive whole: a terminal cuts a line at 4,096 characters.
    silent[3] &= ~(termios.ECHO | termios.ICANON)
    silent[6][termios.VMIN], silent[6][termios.VTIME] = 1, 0
    text = b""
    try:
        termios.tcsetattr(0, termios.TCSADRAIN, silent)
        while _END not in text:
            piece = os.read(0, 1 << 16)
            if not piece:
                break
            text += piece
            if len(text) > _MOST:
                raise UsageError(
                    f"the pasted text is longer than {_MOST} bytes", "save it to a file, and name that"
                )
    finally:
        # Text after the end must not become the next command line.
        termios.tcsetattr(0, termios.TCSAFLUSH, before)
    _replace_input(text.partition(_END)[0])


def _replace_input(text: bytes) -> None:
    """Make a text standard input. It may be a secret, so it is in memory only."""
    if hasattr(os, "memfd_create"):
        reader = writer = os.memfd_create("jitid-paste", os.MFD_CLOEXEC)
    else:
        # The minimum capacity of a pipe without a reader.
        reader, writer = os.pipe()
        if len(text) > select.PIPE_BUF:
            raise UsageError("the pasted text is too long", "save it to a file, and name that")
    remaining = memoryview(text)
    while remaining:
        remaining = remaining[os.write(writer, remaining) :]
    if reader == writer:
        os.lseek(reader, 0, os.SEEK_SET)
    else:
        os.close(writer)
    os.dup2(reader, 0)
    os.close(reader)
