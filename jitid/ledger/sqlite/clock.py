"""The time of a SQLite ledger: the clock, compared with the time mark of the last event."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable

from jitid.errors import ClockError, IntegrityError
from jitid.ledger.contract import SETTING as SEALED
from jitid.model.ledger_rows import RESTORED
from jitid.values.record import Record
from jitid.values.times import format_duration

_DAY = 86_400

_boot: str | None = None
_uptime_descriptor = -1


def machine() -> tuple[str, int]:
    """Return the id of this boot and the seconds since it, suspended time included.

    Returns ("", 0) if the system provides neither.
    """
    global _boot, _uptime_descriptor
    if _boot is None:
        try:
            with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
                _boot = file.read().strip()
            # Not CLOCK_BOOTTIME: a tool that fakes the clock of a process fakes that clock too.
            _uptime_descriptor = os.open("/proc/uptime", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            _boot = ""
    if not _boot:
        return "", 0
    return _boot, int(os.pread(_uptime_descriptor, 64, 0).split(b".", 1)[0])


def jumped(jump: int) -> str:
    """Return the message about a clock that has jumped by this number of seconds."""
    direction = "behind" if jump < 0 else "ahead of"
    return f"the clock is {format_duration(abs(jump))} {direction} the ledger's time mark"


class OpeningState(Record):
    """The values that each view begins with, read by one query."""

    mark: int
    """The time mark. All times are seconds since the epoch."""
    now: int
    """The time to judge by."""
    jump: int
    """The seconds that the clock has jumped; 0 without a significant jump."""
    named_at: str | None
    """`Names.named_at` as stored; it shows whether the issuer was changed."""
    restored_at: str | None
    """`Names.restored_at` as stored."""
    sealed: str | None
    """The stored seal of the ledger, if there is one."""
    changed_at: int
    """`View.changed_at`."""


_READ = f"""SELECT marked_at, boot, uptime, changed_at, (SELECT value FROM setting WHERE name = 'named_at'),
                   (SELECT value FROM setting WHERE name = '{RESTORED}'),
                   (SELECT value FROM setting WHERE name = '{SEALED}') FROM clock_mark"""


def read_clock(
    db: sqlite3.Connection,
    clock: Callable[[], float],
    *,
    writes: bool,
    accept: bool = False,
    by_mark: bool = False,
) -> OpeningState:
    """Return the time to judge by, with the other values that each view needs.

    Args:
        db: the ledger, in a transaction.
        clock: returns the time in seconds since the epoch.
        writes: whether the transaction writes. A clock that jumped ahead makes credentials expire early, which only a
            writer would record; a clock that is behind makes expired credentials valid again for every reader.
        accept: whether the caller accepts a clock that has jumped.
        by_mark: judge by the time mark if the clock is more than a day behind it, instead of raising an error.

    Raises:
        ClockError: the clock is more than a day behind the time mark, or ahead of it if `writes` is true.
        IntegrityError: the time mark is damaged.

    """
    row = db.execute(_READ).fetchone()
    if row is None or not (type(row[0]) is type(row[2]) is type(row[3]) is int):
        raise IntegrityError("the ledger's time mark is damaged", "jitid ledger restore --replace BACKUP")
    mark, boot, uptime, changed_at, named_at, restored_at, sealed = row
    now = int(clock())
    jump = 0
    if now < mark - _DAY:
        jump = now - mark
    elif writes and now > mark + _DAY:
        this_boot, this_uptime = machine()
        # An idle ledger is not a jump: within one boot, the uptime shows how much time has really passed.
        if this_boot and this_boot == boot and now - mark - (this_uptime - uptime) > _DAY:
            jump = now - mark - (this_uptime - uptime)
    if by_mark:
        jump = 0
    if jump and not accept:
        if writes:
            raise ClockError(
                f"{jumped(jump)}; nothing was changed",
                "correct the clock; if it is right, repeat the command with --accept-clock",
            )
        raise ClockError(
            f"{jumped(jump)}; expired credentials would be accepted again",
            "correct the clock; if it is right, run: jitid sweep --accept-clock",
        )
    return OpeningState(
        mark, now if jump else max(now, mark), jump, named_at, restored_at, sealed, changed_at
    )
