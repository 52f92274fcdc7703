"""The log of the service on standard error: one line a request, without anything that could be a secret."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from jitid.values.text import safe

Line = Callable[[dict[str, Any]], str]


class Log:
    """Writes facts as lines, each in one write: several processes share the place they go to."""

    def __init__(self, form: str = "json", descriptor: int = 2) -> None:
        """`form`: `json`, `text`, or `none`, which keeps what goes wrong and drops requests that were served."""
        self.requests = form != "none"
        """Whether requests are logged."""
        self._line: Line = _text if form == "text" else _json
        self._descriptor = descriptor

    def tell(self, event: str, level: str = "info", **facts: object) -> None:
        """Write what happened. A log that cannot be written does not keep anybody from being served."""
        now = time.time()
        at = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now % 1 * 1000):03d}Z"
        line = self._line({"time": at, "level": level, "event": event, **facts, "pid": os.getpid()})
        with suppress(OSError):
            os.write(self._descriptor, f"{line}\n".encode())


def _json(facts: dict[str, Any]) -> str:
    # ASCII alone: what acts on a terminal is an escape.
    return json.dumps(facts, separators=(",", ":"))


def _text(facts: dict[str, Any]) -> str:
    first, rest = facts["time"], {name: value for name, value in facts.items() if name != "time"}
    said = " ".join(f"{name}={safe(str(value))}" for name, value in rest.items() if value is not None)
    return f"{first} {said}"
