"""Durations and points in time in human notation, and their conversion to integer seconds."""

from __future__ import annotations

import time
from functools import lru_cache

from jitid.errors import IntegrityError, UsageError
from jitid.values.text import quote, refuse_mark

MAX_DURATION = 100 * 31_557_600
"""The longest duration: a hundred years of 365.25 days, in seconds. A longer duration is cut to it."""

EARLIEST = -62_167_219_200
LATEST = 253_402_300_799
"""The first and the last second of the years 0000 to 9999."""
NO_EXPIRY = LATEST
"""The expiry of a credential that does not expire."""

_DAY = 86_400
_UNITS = {"d": _DAY, "h": 3600, "m": 60, "s": 1}
_DURATION_SHAPE = "write seconds, or 90s, 15m, 1h30m, 2d"
_TIME_SHAPE = "write 2026-11-24T12:00:00Z, or a duration such as 1h"
_DAYS_IN_MONTH = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def parse_duration(text: str) -> int:
    """Return a duration in seconds, more than zero and at most `MAX_DURATION`.

    `45` is seconds; otherwise days, hours, minutes, seconds in this order, each at most once: `1h30m`. A
    longer duration is cut to the maximum. Raise UsageError for anything else.
    """
    seconds = _seconds(text)
    if seconds is None:
        refuse_mark(text, "the duration")
        raise UsageError(f"{quote(text)} is not a duration", _DURATION_SHAPE)
    if seconds == 0:
        raise UsageError(f"the duration {quote(text)} must be more than zero", _DURATION_SHAPE)
    return min(seconds, MAX_DURATION)


def _seconds(text: str) -> int | None:
    # Foreign digits satisfy `isdigit`, and `int` reads signs, spaces and underscores besides.
    if not text.isascii():
        return None
    if text.isdigit():
        return _clamped(text)
    units = iter(_UNITS)
    total = 0
    number = ""
    for character in text:
        if character.isdigit():
            number += character
        elif (
            number and character in units
        ):  # `in` consumes the iterator, so each unit and all larger ones cannot occur again
            total += _clamped(number) * _UNITS[character]
            number = ""
        else:
            return None
    return None if number or not text else total


def _clamped(digits: str) -> int:
    # `int` refuses thousands of digits; twelve of them are beyond the maximum in any unit.
    significant = digits.lstrip("0")
    return MAX_DURATION if len(significant) > 12 else int(significant or "0")


ANOTHER = "an expired credential cannot be renewed: issue another one with jitid issue"


def expiry_hint(ended_at: int, then: str = ANOTHER) -> str:
    """Return the hint for an expired credential: until when it was valid, and the next step."""
    return f"it was valid until {format_time(ended_at)}; {then}"


def format_duration(seconds: int) -> str:
    """Return a duration in the notation of `parse_duration`, such as `1h30m`.

    Zero is `0s`, and a negative duration begins with `-`.
    """
    if seconds < 0:
        return "-" + format_duration(-seconds)
    parts = []
    rest = seconds
    for unit, size in _UNITS.items():
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def optional_duration(seconds: int | None) -> str | None:
    """Return a duration in the form of `format_duration`, or None."""
    return None if seconds is None else format_duration(seconds)


def brief_duration(seconds: int) -> str:
    """Return a shortened duration for display: the largest unit and the next smaller one, as `29d4h`.

    A day or more is shown in days and hours, an hour or more in hours and minutes, rounded toward zero.
    """
    for size, below in ((_DAY, _UNITS["h"]), (_UNITS["h"], _UNITS["m"])):
        if abs(seconds) >= size:
            return format_duration(int(seconds / below) * below)
    return format_duration(seconds)


def parse_time(text: str) -> int:
    """Return the seconds since the epoch of a time of RFC 3339 (section 5.6), with `Z` or an offset.

    A fraction of a second is dropped, so that a limit is never later than stated. A leap second is the second after
    it, as in POSIX, and is valid only at the end of a month of UTC. Raise UsageError for any other text.
    """
    seconds = _epoch(text)
    if seconds is None or not EARLIEST <= seconds <= LATEST:
        refuse_mark(text, "the time")
        raise UsageError(f"{quote(text)} is not a time with a date and an offset", _shape(text))
    return seconds


def _shape(text: str) -> str:
    """Return the hint for a text that is not a time: the time in UTC that it may mean, or an example."""
    date, _, clock = text.replace("T", " ").partition(" ")
    clock = clock or "00:00:00"
    meant = f"{date}T{clock}{':00' if clock.count(':') == 1 else ''}Z"
    return _TIME_SHAPE if _epoch(meant) is None else f"write {meant} for UTC, or a duration such as 1h"


def parse_moment(text: str, label: str, since: str) -> tuple[int | None, int | None]:
    """Return a time, in seconds since the epoch, or a duration; the other value of the pair is unset.

    Raise UsageError for any other text. The error names the value by `label`, and `since`, the start of a duration.
    """
    try:
        if "T" in text.upper()[8:11]:
            return parse_time(text), None
        return None, parse_duration(text)
    except UsageError as error:
        refuse_mark(text, label)
        raise UsageError(
            f"{label} {quote(text)} is neither a duration nor a time",
            f"write 2h or 1d12h, counted from {since}, or 2026-11-24T12:00:00Z",
        ) from error


def _epoch(text: str) -> int | None:
    if not text.isascii() or len(text) < 20:
        return None
    stamp, zone = text[:19], text[19:]
    if zone[0] == ".":
        # The fraction has at least one digit, and ends at the first other character.
        rest = zone[1:].lstrip("0123456789")
        if len(rest) == len(zone) - 1:
            return None
        zone = rest
    offset = _offset(zone)
    digits = stamp[:4] + stamp[5:7] + stamp[8:10] + stamp[11:13] + stamp[14:16] + stamp[17:]
    marks = stamp[4] + stamp[7] + stamp[10] + stamp[13] + stamp[16]
    if offset is None or not digits.isdigit() or marks.upper() != "--T::":
        return None
    year, month, day = int(digits[:4]), int(digits[4:6]), int(digits[6:8])
    hour, minute, second = int(digits[8:10]), int(digits[10:12]), int(digits[12:])
    leap_year = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not 1 <= month <= 12 or not 1 <= day <= _DAYS_IN_MONTH[month - 1] + (month == 2 and leap_year):
        return None
    if hour > 23 or minute > 59 or second > 60:
        return None
    seconds = _days(year, month, day) * _DAY + hour * 3600 + minute * 60 + second - offset
    if second == 60 and (seconds % _DAY or time.gmtime(seconds).tm_mday != 1):
        return None
    return seconds


def _offset(zone: str) -> int | None:
    """Return the seconds by which local time is ahead of UTC (RFC 3339 section 4.2)."""
    if zone in {"Z", "z"}:
        return 0
    digits = zone[1:3] + zone[4:]
    if len(zone) != 6 or zone[0] not in "+-" or zone[3] != ":" or not digits.isdigit():
        return None
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 23 or minutes > 59:
        return None
    ahead = hours * 3600 + minutes * 60
    return -ahead if zone[0] == "-" else ahead


def _days(year: int, month: int, day: int) -> int:
    """Return the days from the epoch to a date of the Gregorian calendar."""
    # Years are counted from March, which puts the leap day at their end; `calendar` would import `datetime`.
    if month <= 2:
        year -= 1
        month += 12
    days_before_month = (153 * (month - 3) + 2) // 5
    return 365 * year + year // 4 - year // 100 + year // 400 + days_before_month + day - 719_469


def check_times(*times: object) -> None:
    """Raise IntegrityError if one of the ledger's times is neither an integer nor None."""
    for seconds in times:
        if seconds is not None and type(seconds) is not int:
            raise IntegrityError(
                "a row of the ledger has an invalid time, and cannot be checked",
                "run: jitid audit verify",
            )


def optional_time(seconds: int | None) -> str | None:
    """Return a time in the form of `format_time`, or None."""
    return None if seconds is None else format_time(seconds)


# Many rows have the same few times.
@lru_cache(maxsize=4096)
def format_time(seconds: int) -> str:
    """Return seconds since the epoch as a time of RFC 3339 in UTC, such as `2026-11-24T12:00:00Z`.

    A time outside the years 0000 to 9999 is shown as the nearest second inside.
    """
    # A foreign token may contain any number; showing it must not fail.
    moment = time.gmtime(min(max(seconds, EARLIEST), LATEST))
    return "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z".format(*moment[:6])
