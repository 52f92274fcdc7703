"""The hour, the minute and the weekday of a time zone, also on the days when its clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.policy.policy_request import FACTS
from jitid.values.times import parse_time
from tests.policy.asking import policy, request

BERLIN = ZoneInfo("Europe/Berlin")
NEW_YORK = ZoneInfo("America/New_York")
KOLKATA = ZoneInfo("Asia/Kolkata")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")
WORKING_HOURS = policy(
    """@id("hours") permit (principal, action, resource)
       when { context.weekday <= 5 && context.hour >= 9 && context.hour < 17 };"""
)


@pytest.mark.parametrize(
    ("zone", "at", "local"),
    [
        # 2026-03-29: at 01:00 UTC the clocks go from 02:00 to 03:00.
        (BERLIN, "2026-03-29T00:59:59Z", (1, 59, 7)),
        (BERLIN, "2026-03-29T01:00:00Z", (3, 0, 7)),
        # 2026-10-25: at 01:00 UTC they go from 03:00 back to 02:00, and the hour occurs twice.
        (BERLIN, "2026-10-25T00:30:00Z", (2, 30, 7)),
        (BERLIN, "2026-10-25T01:30:00Z", (2, 30, 7)),
        (BERLIN, "2026-10-25T02:00:00Z", (3, 0, 7)),
        # 2026-03-08 and 2026-11-01: the clocks change at 07:00 and at 06:00 UTC.
        (NEW_YORK, "2026-03-08T06:59:59Z", (1, 59, 7)),
        (NEW_YORK, "2026-03-08T07:00:00Z", (3, 0, 7)),
        (NEW_YORK, "2026-11-01T05:59:59Z", (1, 59, 7)),
        (NEW_YORK, "2026-11-01T06:00:00Z", (1, 0, 7)),
        # The weekday is that of the time zone.
        (BERLIN, "2026-11-22T23:30:00Z", (0, 30, 1)),
        (NEW_YORK, "2026-11-23T04:30:00Z", (23, 30, 7)),
        (KOLKATA, "2026-11-24T03:29:59Z", (8, 59, 2)),
        (KOLKATA, "2026-11-24T03:30:00Z", (9, 0, 2)),
        # Summer time is half an hour here.
        (LORD_HOWE, "2026-04-04T15:00:00Z", (1, 30, 7)),
        (None, "2026-11-24T12:34:56Z", (12, 34, 2)),
    ],
)
def test_a_zone_tells_its_own_time(zone: ZoneInfo | None, at: str, local: tuple[int, int, int]) -> None:
    asked = request(now=parse_time(at), zone=zone)
    assert tuple(FACTS[name](asked) for name in ("hour", "minute", "weekday")) == local


@given(now=st.integers(0, 4_000_000_000), zone=st.sampled_from([BERLIN, NEW_YORK, KOLKATA, LORD_HOWE, None]))
def test_every_second_is_told_as_the_calendar_has_it(now: int, zone: ZoneInfo | None) -> None:
    asked = request(now=now, zone=zone)
    local = datetime.fromtimestamp(now, zone or UTC)
    assert [FACTS[name](asked) for name in ("hour", "minute", "weekday")] == [
        local.hour,
        local.minute,
        local.isoweekday(),
    ]


@pytest.mark.parametrize("zone", [BERLIN, NEW_YORK])
def test_working_hours_are_those_of_the_wall_clock_in_summer_and_in_winter(zone: ZoneInfo) -> None:
    for month, day in ((1, 13), (3, 6), (3, 30), (7, 14), (10, 26), (11, 2), (12, 15)):
        nine = datetime(2026, month, day, 9, tzinfo=zone)
        for moment, expected in (
            (nine - timedelta(seconds=1), False),
            (nine, True),
            (nine + timedelta(hours=8, seconds=-1), True),
            (nine + timedelta(hours=8), False),
        ):
            now = int(moment.timestamp())
            decision = WORKING_HOURS.decide(request(now=now, zone=zone), explain=False)
            assert decision.permit is (expected and moment.isoweekday() <= 5), moment


def test_the_same_second_in_another_zone_is_another_question() -> None:
    """Answers are cached by the local time, not by the second."""
    now = parse_time("2026-11-24T08:30:00Z")
    for zone, expected in ((None, False), (BERLIN, True), (NEW_YORK, False), (BERLIN, True)):
        assert WORKING_HOURS.decide(request(now=now, zone=zone), explain=False).permit is expected


@pytest.mark.parametrize(
    ("zone", "at", "advice"),
    [
        (None, "2026-11-24T20:30:00Z", "the same at 2026-11-25T09:00:00Z"),
        (
            BERLIN,
            "2026-11-24T20:30:00Z",
            "the same at 2026-11-25T08:00:00Z (Wednesday 09:00 in Europe/Berlin)",
        ),
        # The night of the clock change, on a weekend.
        (
            BERLIN,
            "2026-03-27T20:00:00Z",
            "the same at 2026-03-30T07:00:00Z (Monday 09:00 in Europe/Berlin)",
        ),
        (
            NEW_YORK,
            "2026-10-31T03:00:00Z",
            "the same at 2026-11-02T14:00:00Z (Monday 09:00 in America/New_York)",
        ),
        # An hour of this time zone begins at half past an hour of UTC.
        (
            KOLKATA,
            "2026-11-24T20:10:00Z",
            "the same at 2026-11-25T03:30:00Z (Wednesday 09:00 in Asia/Kolkata)",
        ),
    ],
)
def test_a_refusal_at_night_says_when_it_would_pass(zone: ZoneInfo | None, at: str, advice: str) -> None:
    asked = request(now=parse_time(at), zone=zone)
    decision = WORKING_HOURS.decide(asked)
    assert decision.nearest == advice
    passes = request(now=parse_time(advice.split()[3]), zone=zone)
    assert WORKING_HOURS.decide(passes).permit


@pytest.mark.parametrize("zone", [BERLIN, NEW_YORK, None])
def test_a_time_beyond_the_calendar_is_no_error(zone: ZoneInfo | None) -> None:
    """A time that the time zone cannot represent is used in UTC: a decision is required at any time."""
    for now in (0, 253_402_300_799, 10**15):
        WORKING_HOURS.decide(request(now=now, zone=zone))
