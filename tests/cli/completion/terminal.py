"""A shell at a new pseudo-terminal, to which a test sends keys."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

_PATIENCE = 30.0

# The leader of a new session gets the first terminal that it opens.
_AT_TERMINAL = 'exec 0<>"$0" 1>&0 2>&0; exec "$@"'


class Terminal:
    """Runs a program at a pseudo-terminal, and reads its output."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        self._descriptor, other = pty.openpty()
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _AT_TERMINAL, os.ttyname(other), *command],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._other = other
        self._seen = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._descriptor)
        os.close(self._other)

    def send(self, keys: str) -> None:
        """Type keys."""
        os.write(self._descriptor, keys.encode())

    def wait_for(self, mark: str) -> str:
        """Read until the mark appears; return the text before it."""
        end = time.monotonic() + _PATIENCE
        # `select` accepts no descriptor above 1,023, and a long test run has higher ones.
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        while mark.encode() not in self._seen:
            left = end - time.monotonic()
            assert left > 0, f"no {mark!r} after {self._seen.decode(errors='replace')[-2000:]}"
            if poll.poll(left * 1000):
                self._seen += os.read(self._descriptor, 65536)
        before, _, self._seen = self._seen.partition(mark.encode())
        return before.decode(errors="replace")
