from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.errors import UsageError
from jitid.values.times import (
    EARLIEST,
    LATEST,
    MAX_DURATION,
    brief_duration,
    format_duration,
    format_time,
    optional_time,
    parse_duration,
    parse_time,
)
from tests.values.hostile import INTRUDERS, NAUGHTY


@given(st.integers(1, MAX_DURATION))
def test_a_duration_survives_the_way_to_text_and_back(seconds: int) -> None:
    """Printed text can be entered again, with units or as bare seconds."""
    assert parse_duration(format_duration(seconds)) == seconds
    assert parse_duration(str(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0s"),
        (59, "59s"),
        (90, "1m30s"),
        (5_430, "1h30m"),
        (1_296_030, "15d"),
        (2_520_059, "29d4h"),
        (-93_661, "-1d2h"),
    ],
)
def test_a_brief_duration_is_spelled_as_any_other(seconds: int, shown: str) -> None:
    assert brief_duration(seconds) == shown


@given(st.integers(1, MAX_DURATION))
def test_a_brief_duration_is_rounded_down_and_never_to_nothing(seconds: int) -> None:
    brief = parse_duration(brief_duration(seconds))
    assert seconds - seconds // 20 - 3_600 * (seconds >= 86_400) <= brief <= seconds
    assert sum(letter.isalpha() for letter in brief_duration(seconds)) <= 2


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1", 1),
        ("45", 45),
        ("90s", 90),
        ("15m", 900),
        ("1h30m", 5400),
        ("2d", 172_800),
        ("1d1h1m1s", 90_061),
        ("1d5s", 86_405),
        ("0h5m", 300),
        ("007", 7),
        ("0" * 5000 + "7m", 420),
        ("90m", 5400),
    ],
)
def test_a_duration_is_read_as_seconds(text: str, seconds: int) -> None:
    """Units go from large to small, and leading zeros are ignored."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "1000000000000",
        "36526d",
        "99999999999999999999d",
        "9" * 5000,
        "9" * 5000 + "s",
        "1d" + "9" * 5000 + "s",
    ],
)
def test_a_thousand_years_are_a_hundred(text: str) -> None:
    """A lifetime is limited, not refused, and thousands of digits are handled quickly."""
    assert parse_duration(text) == MAX_DURATION


@pytest.mark.parametrize("text", ["0", "00", "0s", "0d0h0m0s", "0" * 5000])
def test_no_time_at_all_is_refused(text: str) -> None:
    """A request for a credential without a lifetime is a mistake."""
    with pytest.raises(UsageError, match="must be more than zero"):
        parse_duration(text)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "s", "h", "-1", "-5m", "+5", "1_000", "1.5h", "1e3", "0x10", "5 m", " 5m", "5m ", "5m\n",
        "45\n", "5M", "5x", "1h30", "30m1h", "1h1h", "1m1m", "1hm", "1hh", "m5", "1w", "1y", "inf", "nan",
        "1h-30m", "PT5M",
    ],
)  # fmt: skip
def test_what_is_no_duration_is_refused(text: str) -> None:
    """Signs, fractions, spaces, repeated units, units out of order, and other texts that `int` accepts."""
    with pytest.raises(UsageError, match="is not a duration"):
        parse_duration(text)


@given(st.text("0123456789hms"), st.sampled_from(INTRUDERS), st.text("0123456789hms"))
def test_no_intruder_passes_in_a_duration(before: str, intruder: str, after: str) -> None:
    """Digits of other scripts are accepted by `isdigit` and `int`."""
    with pytest.raises(UsageError):
        parse_duration(before + intruder + after)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (1, "1s"),
        (59, "59s"),
        (60, "1m"),
        (3600, "1h"),
        (5400, "1h30m"),
        (86_400, "1d"),
        (90_061, "1d1h1m1s"),
        (-5400, "-1h30m"),
    ],
)
def test_a_duration_is_shown_by_its_parts(seconds: int, text: str) -> None:
    """Zero parts are omitted, and an overdue duration has one sign."""
    assert format_duration(seconds) == text


@given(st.integers(EARLIEST, LATEST))
def test_a_time_survives_the_way_to_text_and_back(seconds: int) -> None:
    """This holds for all years of four digits."""
    assert parse_time(format_time(seconds)) == seconds


@given(st.integers(EARLIEST, LATEST), st.integers(EARLIEST, LATEST))
def test_the_order_of_times_is_the_order_of_their_texts(first: int, second: int) -> None:
    """A listing sorted by text is sorted by time."""
    assert (format_time(first) < format_time(second)) == (first < second)


offsets = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=offsets)  # noqa: DTZ001


@given(moments)
def test_times_agree_with_the_standard_library(moment: datetime) -> None:
    """This holds with any offset and any fraction, which is rounded towards the past."""
    expected = int((moment.replace(microsecond=0) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
    assert parse_time(moment.isoformat()) == expected
    assert format_time(expected) == moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2026-11-24T12:00:00z", "2026-11-24T12:00:00Z"),
        ("2026-11-24t12:00:00Z", "2026-11-24T12:00:00Z"),
        ("2026-11-24T12:00:00+00:00", "2026-11-24T12:00:00Z"),
        ("2026-11-24T12:00:00-00:00", "2026-11-24T12:00:00Z"),
        ("2026-11-24T13:30:00+01:30", "2026-11-24T12:00:00Z"),
        ("2026-11-24T00:30:00+01:00", "2026-11-23T23:30:00Z"),
        ("2026-11-24T12:00:00.999999999999Z", "2026-11-24T12:00:00Z"),
        ("2026-11-24T12:00:00.5+00:00", "2026-11-24T12:00:00Z"),
        ("1985-04-12T23:20:50.52Z", "1985-04-12T23:20:50Z"),
        ("1996-12-19T16:39:57-08:00", "1996-12-20T00:39:57Z"),
        ("1937-01-01T12:00:27.87+00:20", "1937-01-01T11:40:27Z"),
        ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"),
        ("2000-02-29T00:00:00Z", "2000-02-29T00:00:00Z"),
        ("1990-12-31T23:59:60Z", "1991-01-01T00:00:00Z"),
        ("1990-12-31T15:59:60-08:00", "1991-01-01T00:00:00Z"),
    ],
)
def test_times_of_the_rfc_are_read(text: str, same: str) -> None:
    """RFC 3339 section 5.8 and similar texts. A leap second is read as the next second, as in POSIX."""
    assert format_time(parse_time(text)) == same


@pytest.mark.parametrize(
    "text",
    [
        "", "now", "2026-11-24", "2026-11-24T12:00:00", "2026-11-24 12:00:00Z", "2026-11-24T12:00Z",
        "1764000000", "2026-02-30T00:00:00Z", "2026-02-29T00:00:00Z", "1900-02-29T00:00:00Z",
        "1800-02-29T00:00:00Z", "2026-04-31T00:00:00Z", "2026-00-10T00:00:00Z", "2026-13-10T00:00:00Z",
        "2026-01-00T00:00:00Z", "2026-01-32T00:00:00Z", "2026-11-24T24:00:00Z", "2026-11-24T12:60:00Z",
        "2026-11-24T12:00:61Z", "2026-11-24T12:00:60Z", "2026-11-24T23:59:60Z",
        "1990-12-31T23:59:60-08:00", "2026-11-30T22:59:60Z", "2026-11-24T12:00:00.Z",
        "2026-11-24T12:00:00,5Z", "2026-11-24T12:00:00.5", "2026-11-24T12:00:00.5.5Z",
        "2026-11-24T12:00:00+0100", "2026-11-24T12:00:00+01", "2026-11-24T12:00:00+24:00",
        "2026-11-24T12:00:00+01:60", "2026-11-24T12:00:00 01:00", "2026-11-24T12:00:00+-1:00",
        "2026-11-24T12:00:00ZZ", "2026-11-24T12:00:00Z\n", " 2026-11-24T12:00:00Z",
        "2026-11-24T12:00:00Z ", "2026/11/24T12:00:00Z", "2026-11-24T12-00-00Z", "+026-11-24T12:00:00Z",
        "20_6-11-24T12:00:00Z", "2026-1 -24T12:00:00Z", "02026-11-24T12:00:00Z", "10000-01-01T00:00:00Z",
        "-026-11-24T12:00:00Z", "9999-12-31T23:59:59-00:01", "0000-01-01T00:00:00+00:01",
        "9999-12-31T23:59:60Z", "2026-11-24T12:00:00." + "9" * 10_000, "2026-W48-2T12:00:00Z",
        "2026-328T12:00:00.0Z",
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused(text: str) -> None:
    """Days that do not exist, invalid leap seconds, missing offsets, years out of range, stray signs."""
    with pytest.raises(UsageError, match="is not a time"):
        parse_time(text)


@given(st.integers(0, 20), st.sampled_from(INTRUDERS))
def test_no_intruder_passes_in_a_time(place: int, intruder: str) -> None:
    """It is tried instead of any character, and after the last one."""
    text = "2026-11-24T12:00:00Z"
    with pytest.raises(UsageError):
        parse_time(text[:place] + intruder + text[place + 1 :])


@pytest.mark.parametrize("text", NAUGHTY)
def test_a_hostile_string_is_read_or_refused_safely(text: str) -> None:
    """The message is one printable line."""
    for parse in (parse_duration, parse_time):
        try:
            assert parse(text) is not None
        except UsageError as error:
            assert error.message.isprintable()


@given(st.integers(min_value=-(10**30), max_value=10**30))
def test_any_number_can_be_shown_as_a_time(seconds: int) -> None:
    """A foreign token may claim any expiry, and an operator must be able to see it."""
    assert format_time(seconds) == format_time(min(max(seconds, EARLIEST), LATEST))
    assert len(format_time(seconds)) == 20


def test_a_time_that_was_shown_is_not_computed_again() -> None:
    """Many rows have the same few times."""
    format_time.cache_clear()
    assert [optional_time(seconds) for seconds in (7, None, 7)] == [
        "1970-01-01T00:00:07Z",
        None,
        "1970-01-01T00:00:07Z",
    ]
    assert format_time.cache_info().hits == 1
