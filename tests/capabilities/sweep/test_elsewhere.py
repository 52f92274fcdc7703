"""Wrappers on other machines: they cannot be observed, so that a sweep judges them by their last renewal."""

from __future__ import annotations

import pytest

from jitid.capabilities.issue.operations import Renew
from jitid.capabilities.sweep.finding import Coverage
from jitid.model.process import Process, silent_from
from jitid.model.request import RenewRequest
from jitid.values.secret import Secret
from tests.builders import NOW, World
from tests.capabilities.sweep.asking import fixed, found, swept

RULE = "orphaned-process"
TTL = 900
SILENT = silent_from(NOW, NOW + TTL, 0)
FOR_EVER = 1 << 40

# A database has its own clock, so that the rule `clock` does not apply.
pytestmark = [pytest.mark.usefixtures("kept_in"), pytest.mark.of_files("database-clock")]


def missed(world: World) -> tuple[str, ...]:
    """Return the reasons why the rule is incomplete."""
    (coverage,) = [each for each in swept(world, RULE) if isinstance(each, Coverage)]
    return coverage.missed


def elsewhere(renews_until: int) -> Process:
    """Return a process of another machine."""
    return Process("elsewhere", "b", 1, 1, 1, kept=False, renews_until=renews_until)


def test_a_wrapper_elsewhere_that_falls_silent_is_gone(world: World) -> None:
    made = world.issue(ttl=TTL, kind="opaque", process=elsewhere(FOR_EVER))
    world.clock.now = SILENT - 1
    assert found(world, RULE) == []
    assert missed(world) == ()
    world.clock.now = SILENT
    (finding,) = found(world, RULE)
    assert (finding.subject, finding.evidence["renewed_at"]) == (made.id, NOW)
    assert "has not renewed since 2026-11-24T12:00:00Z" in finding.summary
    (one,) = fixed(world, RULE)
    assert one.credentials == 1
    assert found(world, RULE) == []


def test_a_renewal_tells_that_it_is_there(world: World) -> None:
    made = world.issue(ttl=TTL, kind="opaque", process=elsewhere(FOR_EVER))
    world.clock.now = NOW + TTL * 2 // 3
    world.authority.perform(Renew(request=RenewRequest(Secret.single(made.token), ttl=TTL)))
    world.clock.now = SILENT + 60
    assert found(world, RULE) == []
    world.clock.now = silent_from(NOW + TTL * 2 // 3, NOW + TTL * 5 // 3, 0)
    (finding,) = found(world, RULE)
    assert finding.evidence["renewed_at"] == NOW + TTL * 2 // 3


@pytest.mark.parametrize("until", [NOW + TTL, NOW + TTL - 1])
def test_in_its_last_stretch_it_has_nothing_to_renew(world: World, until: int) -> None:
    world.issue(ttl=TTL, kind="opaque", process=elsewhere(until))
    world.clock.now = NOW + TTL - 1
    assert found(world, RULE) == []
    assert missed(world) == ()


def test_the_hard_maximum_is_the_last_that_it_renews_for(world: World) -> None:
    """No caller has to state it: here it is the deadline of the task."""
    world.issue(ttl=TTL, kind="opaque", deadline=NOW + TTL, process=elsewhere(FOR_EVER))
    world.clock.now = NOW + TTL - 1
    assert found(world, RULE) == []


def test_of_one_that_renews_nothing_nobody_knows(world: World) -> None:
    world.issue(ttl=TTL, kind="opaque", process=elsewhere(0))
    world.clock.now = NOW + TTL - 1
    assert found(world, RULE) == []
    (why,) = missed(world)
    assert "1 wrapper on elsewhere" in why
