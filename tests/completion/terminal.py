"""A shell at a terminal of its own, to which keys are sent as somebody types them."""

from __future__ import annotations

import os
import pty
import select
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

_PATIENCE = 30.0


class Terminal:
    """Runs a program at a pseudo-terminal, and reads what it writes."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        self._process, self._descriptor = pty.fork()
        if self._process == 0:
            os.chdir(folder)
            os.execve(command[0], list(command), dict(environment))
        self.seen = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)
        os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)

    def send(self, keys: str) -> None:
        """Type."""
        os.write(self._descriptor, keys.encode())

    def wait_for(self, mark: str) -> str:
        """Read until the mark appears; return what came before it."""
        end = time.monotonic() + _PATIENCE
        while mark.encode() not in self.seen:
            left = end - time.monotonic()
            assert left > 0, f"no {mark!r} after {self.seen.decode(errors='replace')[-2000:]}"
            if select.select([self._descriptor], [], [], left)[0]:
                self.seen += os.read(self._descriptor, 65536)
        before, _, self.seen = self.seen.partition(mark.encode())
        return before.decode(errors="replace")
