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


def test_a_third_of_the_lifetime_is_left_at_a_renewal(issued: Issued) -> None:
    schedule = RenewalSchedule(issued, NOW + 3_600)
    assert NOW + 580 < schedule.due <= NOW + 600
    schedule.renewed(issued._replace(issued_at=NOW + 600, expires_at=NOW + 1_500), NOW + 600)
    assert NOW + 1_180 < schedule.due <= NOW + 1_200


def test_no_renewal_is_due_that_would_not_help(issued: Issued) -> None:
    assert RenewalSchedule(issued, issued.expires_at).due == NEVER
    assert RenewalSchedule(issued, NOW + 3_600, renewed=False).due == NEVER


def test_a_temporary_failure_is_followed_by_tries_at_growing_distances(issued: Issued) -> None:
    schedule = RenewalSchedule(issued, NOW + 3_600)
    now = schedule.due
    waits = []
    while schedule.due < schedule.expires_at:
        now = schedule.due
        schedule.failed(BusyError("busy"), now)
        waits.append(schedule.due - now)
    assert waits[:5] == pytest.approx([1, 2, 4, 8, 16])
    assert max(waits) == pytest.approx(30)
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
