"""The rate limit of a client's requests."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jitid.server.service_limits import RequestPace


def test_a_burst_is_served_and_then_the_rate() -> None:
    pace = RequestPace(rate=10, burst=5)
    assert [pace.take("a", 100.0) for _ in range(6)] == [0, 0, 0, 0, 0, 1]
    assert pace.take("b", 100.0) == 0
    assert pace.take("a", 100.1) == 0
    assert pace.take("a", 100.1) == 1


@given(
    st.lists(st.floats(0, 2), max_size=80),
    st.integers(1, 20),
    st.integers(1, 10),
)
def test_no_client_gets_more_than_its_burst_and_its_rate(waits: list[float], rate: int, burst: int) -> None:
    pace, now, served = RequestPace(rate, burst), 0.0, 0
    for wait in waits:
        now += wait
        served += pace.take("a", now) == 0
    assert served <= burst + rate * now + 1e-6


@given(st.lists(st.floats(0, 2), min_size=1, max_size=40))
def test_whoever_waits_as_told_is_served(waits: list[float]) -> None:
    pace, now = RequestPace(3, 2), 0.0
    for wait in waits:
        now += wait
        seconds = pace.take("a", now)
        if seconds:
            now += seconds
            assert pace.take("a", now) == 0


def test_memory_is_bounded() -> None:
    pace = RequestPace(1, 1, most=10)
    for number in range(1000):
        pace.take(str(number), float(number))
    assert len(pace._empty_at) == 10
