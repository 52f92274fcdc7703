"""The time that a SQLite ledger judges by: the clock, held to the mark that the last event left."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable

from jitid.errors import ClockError, IntegrityError
from jitid.lifetime import format_duration

_DAY = 86_400

_boot: str | None = None
_uptime_descriptor = -1


def machine() -> tuple[str, int]:
    """Return the id of this boot and the seconds since it, suspended time included.

    ("", 0) where the system tells neither.
    """
    global _boot, _uptime_descriptor
    if _boot is None:
        try:
            with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
                _boot = file.read().strip()
            # Not CLOCK_BOOTTIME: whoever fakes the clock of a process fakes that too.
            _uptime_descriptor = os.open("/proc/uptime", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            _boot = ""
    if not _boot:
        return "", 0
    return _boot, int(os.pread(_uptime_descriptor, 64, 0).split(b".", 1)[0])


def jumped(jump: int) -> str:
    """Return what is said of a clock that has jumped by so many seconds."""
    way = "behind" if jump < 0 else "ahead of"
    return f"the clock is {format_duration(abs(jump))} {way} the ledger's time mark"


def time_of(
    db: sqlite3.Connection, clock: Callable[[], float], *, check: bool, accept: bool
) -> tuple[int, int, int, str | None]:
    """Return the time mark, the time to judge by, and the seconds that the clock has jumped (0: none that matter).

    The last is when the ledger's issuer was changed, if it was: `Names.named_at` as it is stored. Every view begins
    with this question, which so tells the names too.
    """
    row = db.execute(
        "SELECT at, boot, uptime, (SELECT value FROM setting WHERE name = 'named_at') FROM clock_mark"
    ).fetchone()
    if row is None or not (type(row[0]) is int and type(row[2]) is int):
        raise IntegrityError("the ledger's time mark is damaged", "jitid ledger restore --replace BACKUP")
    at, boot, uptime, named_at = row
    now = int(clock())
    jump = 0
    if check:
        if now < at - _DAY:
            jump = now - at
        elif now > at + _DAY:
            this_boot, up = machine()
            # An idle ledger is no jump: within one boot, the uptime tells how much time has really passed.
            if this_boot and this_boot == boot and now - at - (up - uptime) > _DAY:
                jump = now - at - (up - uptime)
        if jump and not accept:
            raise ClockError(
                f"{jumped(jump)}; nothing was changed",
                "set the clock right; if it is right, repeat the command with --accept-clock",
            )
    return at, (now if jump else max(now, at)), jump, named_at
