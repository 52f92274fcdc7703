"""Time zones by their IANA names, as this machine knows them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from jitid.errors import ConfigurationError
from jitid.values.text import quote

_DAY = 86_400


def load(name: str) -> tzinfo:
    """Return the zone of that name. Raises ConfigurationError."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        # A name with `..` or NUL is refused as a path would be.
        raise ConfigurationError(
            f"there is no time zone {quote(name)} on this machine",
            "write an IANA name, such as Europe/Berlin; Debian has them in the package tzdata",
        ) from None


def offsets(zone: tzinfo, now: int) -> list[tuple[int, int]]:
    """Return the offsets of a zone from UTC as pairs (first second, offset in seconds), from the epoch on.

    They cover the time until a day after `now`. No zone changes twice on one day.
    """

    def ahead(time: int) -> int:
        offset = datetime.fromtimestamp(time, UTC).astimezone(zone).utcoffset() or timedelta(0)
        return int(offset.total_seconds())

    changes = [(0, ahead(0))]
    for day in range(0, now + _DAY, _DAY):
        before, after = day, day + _DAY
        if ahead(after) == changes[-1][1]:
            continue
        while after - before > 1:
            middle = (before + after) // 2
            if ahead(middle) == changes[-1][1]:
                before = middle
            else:
                after = middle
        changes.append((after, ahead(after)))
    return changes
