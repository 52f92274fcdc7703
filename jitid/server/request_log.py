"""The service log on standard error: one line per request, without possible secrets."""

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
    """A log of one line per event, each in a single write, since several processes share the output."""

    def __init__(self, form: str = "json", descriptor: int = 2) -> None:
        """`form` is `json`, `text`, or `none`, which keeps errors and drops requests."""
        self.requests = form != "none"
        """Whether requests are logged."""
        self._line: Line = _text if form == "text" else _json
        self._descriptor = descriptor

    def write(self, event: str, level: str = "info", **facts: object) -> None:
        """Write an event. A failure to write does not affect the service."""
        now = time.time()
        at = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now % 1 * 1000):03d}Z"
        line = self._line({"time": at, "level": level, "event": event, **facts, "pid": os.getpid()})
        with suppress(OSError):
            os.write(self._descriptor, f"{line}\n".encode())


def _json(facts: dict[str, Any]) -> str:
    # ASCII only: control characters of terminals are escaped.
    return json.dumps(facts, separators=(",", ":"))


def _text(facts: dict[str, Any]) -> str:
    first, rest = facts["time"], {name: value for name, value in facts.items() if name != "time"}
    pairs = " ".join(f"{name}={safe(str(value))}" for name, value in rest.items() if value is not None)
    return f"{first} {pairs}"
