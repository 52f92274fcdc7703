"""A pager for output that is longer than the terminal: it shows the beginning, and the user scrolls."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import subprocess

_ELEVATED = ("SUDO_UID", "SUDO_COMMAND", "DOAS_USER", "PKEXEC_UID")
"""Variables of programs that run a command as another user."""


def can_page() -> bool:
    """Return whether a user is there to leave the pager: standard input and output are the process's own terminal."""
    try:
        return os.isatty(0) and os.tcgetpgrp(1) == os.getpgrp()
    except OSError:
        # Standard output is not the controlling terminal, as under a program that records a terminal.
        return False


def command(environ: Mapping[str, str] = os.environ) -> list[str] | None:
    """Return the command of the user's pager, by PAGER or `less`; None if there is none, or it is empty or `cat`."""
    if environ.get("TERM", "dumb") == "dumb":
        return None
    if os.getuid() != os.geteuid() or any(name in environ for name in _ELEVATED):
        # A pager can start a shell: a user who may run only jitid as another user would get one.
        return None
    text = environ.get("JITID_PAGER", environ.get("PAGER", "less"))
    try:
        words = shlex.split(text)
    except ValueError:
        return None
    if not words or words == ["cat"] or shutil.which(words[0]) is None:
        return None
    return words


class Pager:
    """Output that is held back until it fills the screen; then a pager shows it, otherwise the terminal does."""

    def __init__(self, words: list[str]) -> None:
        """`words` is the command of the pager, which starts only if it is needed."""
        self._words = words
        self._held: list[str] = []
        size = shutil.get_terminal_size()
        self._width, self._room = max(size.columns, 20), size.lines - 1
        self._process: subprocess.Popen[str] | None = None
        self._interrupt: Any = None

    @property
    def is_used(self) -> bool:
        """Whether there is text already."""
        return bool(self._held) or self._process is not None

    def write(self, text: str) -> None:
        """Take more text."""
        if self._process is not None:
            self._feed(text)
            return
        self._held.append(text)
        self._room -= sum(max(-(-len(line) // self._width), 1) for line in text.splitlines())
        if self._room < 0:
            self._start()

    def stop(self) -> None:
        """End the pager without waiting for the user: a signal has ended the command."""
        if self._process is not None:
            self._process.terminate()

    def close(self) -> str:
        """Wait until the user has left the pager; return the text that never filled the screen."""
        if self._process is None:
            return "".join(self._held)
        with suppress(BrokenPipeError):
            self._stream().close()
        self._process.wait()
        signal.signal(signal.SIGINT, self._interrupt)
        return ""

    def _start(self) -> None:
        import subprocess

        # In `less`, no shell and no other file: an account may be for jitid alone, as with a forced command of SSH.
        environment = {"LESS": "FRX", "LV": "-c", **os.environ, "LESSSECURE": "1"}
        if "R" not in environment["LESS"]:
            # Without it `less` shows the codes of colours as text.
            environment["LESS"] = f"-R {environment['LESS']}"
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the user's own choice
                self._words,
                stdin=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="backslashreplace",
                env=environment,
            )
        except OSError:
            # Without a pager the terminal gets the text.
            self._room = 1 << 60
            return
        # Until its end, an interrupt is for the pager alone. Before its start, it would inherit this.
        self._interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._feed("".join(self._held))
        self._held.clear()

    def _feed(self, text: str) -> None:
        # The user may have left the pager.
        with suppress(BrokenPipeError):
            self._stream().write(text)

    def _stream(self) -> IO[str]:
        assert self._process is not None
        assert self._process.stdin is not None
        return self._process.stdin
