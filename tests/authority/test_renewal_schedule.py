"""The times of renewals: in time, again after a failure, and never after the expiry."""

from __future__ import annotations

from pathlib import Path

import pytest

from jitid.authority.renewal_schedule import NEVER, RenewalSchedule
from jitid.capabilities.issue.issue_result import Issued
from jitid.errors import BusyError, InvalidCredentialError, PolicyDeniedError
from tests.builders import NOW, World


@pytest.fixture
def issued(tmp_path: Path) -> Issued:
    """Return an identity of 900 seconds."""
    with World(tmp_path / "ledger") as world:
        return world.issue(ttl=900).issued


@pytest.fixture
def chance(monkeypatch: pytest.MonkeyPatch) -> bytearray:
    """Return the one random byte that schedules use, which a test may set."""
    drawn = bytearray(1)
    monkeypatch.setattr("jitid.authority.renewal_schedule.os.urandom", lambda size: bytes(drawn[:size]))
    return drawn


def test_a_third_of_the_lifetime_is_left_at_a_renewal(issued: Issued, chance: bytearray) -> None:
    times = set()
    for chance[0] in range(256):
        schedule = RenewalSchedule(issued, NOW + 3_600)
        times.add(schedule.due)
        schedule.renewed(issued._replace(issued_at=NOW + 600, expires_at=NOW + 1_500), NOW + 600)
        times.add(schedule.due - 600)
    assert (min(times), max(times)) == pytest.approx((NOW + 582, NOW + 600))
    assert len(times) >= 256


def test_no_renewal_is_due_that_would_not_help(issued: Issued) -> None:
    assert RenewalSchedule(issued, issued.expires_at).due == NEVER
    assert RenewalSchedule(issued, NOW + 3_600, renewed=False).due == NEVER


def test_a_temporary_failure_is_followed_by_tries_at_growing_distances(
    issued: Issued, chance: bytearray
) -> None:
    for chance[0] in range(256):
        schedule = RenewalSchedule(issued, NOW + 3_600)
        waits = []
        while schedule.due < schedule.expires_at:
            now = schedule.due
            schedule.failed(BusyError("busy"), now)
            waits.append(schedule.due - now)
        assert waits[:-1] == pytest.approx([1, 2, 4, 8, 16, *[30] * (len(waits) - 6)])
        # The last one ends at the expiry, so that no try comes in the last half second.
        assert 0.5 <= waits[-1] <= 30.5
        assert schedule.due == schedule.expires_at


@pytest.mark.parametrize(
    ("error", "due"),
    [
        (InvalidCredentialError("revoked"), 900),
        (PolicyDeniedError("denied"), 700),
        (ZeroDivisionError(), 701),
    ],
)
def test_another_failure_is_tried_again_only_if_that_may_help(
    issued: Issued, error: Exception, due: int
) -> None:
    schedule = RenewalSchedule(issued, NOW + 3_600)
    schedule.failed(error, NOW + 600)
    assert schedule.due == NOW + due


def test_the_last_half_second_is_too_late(issued: Issued) -> None:
    schedule = RenewalSchedule(issued, NOW + 3_600)
    assert not schedule.is_too_late(NOW + 899.5)
    assert schedule.is_too_late(NOW + 899.6)
    assert schedule.due == schedule.expires_at
