"""Lines of a crontab (crontab(5)), for any of the crons."""

from __future__ import annotations

import re
from collections.abc import Sequence

MAX_COMMAND = 990
"""Maximum characters of a command: Debian's cron accepts 999."""

_BARE = re.compile(r"[\w./:=,@+-]+", re.ASCII)
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400

TIMES: dict[int, str] = {
    _MINUTE: "* * * * *",
    **{_MINUTE * n: f"*/{n} * * * *" for n in range(2, 60) if 60 % n == 0},
    _HOUR: "0 * * * *",
    **{_HOUR * n: f"0 */{n} * * *" for n in range(2, 24) if 24 % n == 0},
    _DAY: "0 0 * * *",
    7 * _DAY: "0 0 * * 0",
}
"""By interval in seconds: its schedule. cron has no others: `*/7` restarts with each hour."""


def nearest(every: int) -> int:
    """Return the nearest interval that cron supports; of two equally near ones, the shorter."""
    return min(TIMES, key=lambda interval: (abs(interval - every), interval))


def line(every: int, words: Sequence[str]) -> str:
    """Return the line that runs a command at an interval of `TIMES`; no word may hold a control character."""
    return f"{TIMES[every]} {command(words)}\n"


def command(words: Sequence[str]) -> str:
    """Return words quoted for cron and then its shell."""
    return " ".join(_word(word) for word in words)


def _word(text: str) -> str:
    if _BARE.fullmatch(text):
        return text
    # A percent sign ends the command unless a backslash precedes it. Some crons also remove a backslash before another
    # backslash, and some do not. So the quotation is closed and opened again between the two.
    apart = re.sub(r"\\(?=[\\%])", r"\\''", text.replace("'", r"'\''"))
    return "'" + apart.replace("%", r"\%") + "'"
