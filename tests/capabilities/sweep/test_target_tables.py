"""Targets compared with the ledger: findings, results that are unknown, and the effect of `--fix`."""

from __future__ import annotations

from pathlib import Path

import pytest

from jitid.capabilities.sweep.finding import Coverage, Finding, Remedied, Severity, Unfixed
from jitid.capabilities.sweep.operations import Fix, Sweep
from jitid.capabilities.targets.operations import Settle
from jitid.errors import UsageError
from tests.builders import World
from tests.capabilities.sweep.asking import LIMITS
from tests.capabilities.sweep.cases import shop
from tests.programs import Shop

ABROAD = ("revoked-live", "revocation-stuck", "orphaned-untracked", "orphaned-ledger-only")

BOTH = pytest.mark.usefixtures("kept_in")
"""Mark a test that runs in a file and in a database, which use different SQL."""


def looked(
    world: World, *targets: str, rules: tuple[str, ...] = ABROAD, timeout: int = 60
) -> tuple[list[Finding], dict[str, Coverage]]:
    """Return the findings about targets, and the coverage by rule."""
    asked = Sweep(rules=rules, limits=LIMITS, targets=targets, target_timeout=timeout)
    answer = world.authority.perform(asked)
    told = list(answer)
    coverage = {each.rule: each for each in told if isinstance(each, Coverage)}
    return [each for each in told if isinstance(each, Finding)], coverage


def fixed(world: World) -> tuple[list[Remedied], list[Unfixed]]:
    """Fix the findings about targets; return the remedies and the failures."""
    answer = world.authority.perform(Fix(rules=ABROAD, limits=LIMITS, sweep="the sweep", most=None))
    told = list(answer)
    return [each for each in told if isinstance(each, Remedied)], [
        each for each in told if isinstance(each, Unfixed)
    ]


def two_shops(world: World, path: Path) -> tuple[Shop, Shop]:
    """Configure two targets, `one` and `two`, and return them."""
    shops = Shop(path / "shop-1"), Shop(path / "shop-2")
    world.targets = (shops[0].target("one"), shops[1].target("two"))
    return shops


@BOTH
def test_what_was_confirmed_and_lives_is_critical_and_ended_again(world: World) -> None:
    place = shop(world)
    made = world.issue(kind="exec:shop")
    world.revoke(made.jti)
    (kept,) = place.folder.glob("*.made")
    secret = kept.read_text()
    world.authority.perform(Settle())
    assert looked(world)[0] == []
    world.clock.now += 5
    kept.write_text(secret)
    (finding,) = looked(world)[0]
    assert (finding.rule, finding.subject, finding.severity) == ("revoked-live", made.jti, Severity.CRITICAL)
    (one,), unfixed = fixed(world)
    assert (one.findings, unfixed) == ((finding,), [])
    assert not place.made
    assert looked(world)[0] == []
    (event,) = [each for each in world.events() if each["seq"] == one.event]
    assert (event["op"], event["finding"], event["cleared"]) == ("clear", "revoked-live", 1)
    world.check()


def test_one_that_hangs_is_missed_and_the_rest_goes_on(world: World, tmp_path: Path) -> None:
    hanging, other = two_shops(world, tmp_path)
    made = world.issue(kind="exec:two")
    world.revoke(made.jti)
    hanging.fail("hang", "inventory")
    findings, coverage = looked(world, timeout=1)
    assert [each.subject for each in findings] == [made.jti]
    assert coverage["revoked-live"].missed == ("target one: it did not answer within 1 seconds",)
    assert not coverage["orphaned-untracked"].complete
    findings, coverage = looked(world, "two")
    assert [each.subject for each in findings] == [made.jti]
    assert coverage["revoked-live"].complete
    assert other.made


@pytest.mark.parametrize("mode", ["down", "garbage", "refuse", "lack"])
def test_one_that_fails_is_missed(world: World, mode: str) -> None:
    shop(world).fail(mode, "inventory")
    findings, coverage = looked(world)
    assert findings == []
    assert [each.startswith("target shop: ") for each in coverage["revoked-live"].missed] == [True]


def test_a_target_that_is_configured_no_longer_is_missed(world: World) -> None:
    shop(world)
    world.issue(kind="exec:shop")
    world.targets = ()
    findings, coverage = looked(world)
    assert findings == []
    assert "has no target" in coverage["orphaned-ledger-only"].missed[0]


def test_a_target_that_there_is_not_is_no_target(world: World) -> None:
    shop(world)
    with pytest.raises(UsageError, match="no target `elsewhere`"):
        looked(world, "elsewhere")


def test_a_sweep_of_one_target_says_nothing_of_others(world: World, tmp_path: Path) -> None:
    first, second = two_shops(world, tmp_path)
    made = [world.issue(kind=kind, task=kind[5:]) for kind in ("exec:one", "exec:two")]
    for place, each in zip((first, second), made, strict=True):
        world.revoke(each.jti)
        place.fail("stuck", "revoke")
    world.authority.perform(Settle())
    findings, _ = looked(world, "two", rules=("revocation-stuck",))
    assert [each.subject for each in findings] == [made[1].jti]
    assert len(looked(world, rules=("revocation-stuck",))[0]) == 2


def test_what_bears_no_name_of_ours_is_told_and_left(world: World) -> None:
    place = shop(world)
    (place.folder / "by-hand.made").write_text("{}")
    (finding,) = looked(world)[0]
    assert (finding.subject, finding.severity) == ("shop/by-hand", Severity.MEDIUM)
    remedied, (unfixed,) = fixed(world)
    assert (remedied, unfixed.findings) == ([], 1)
    assert list(place.made) == ["by-hand"]


def test_what_the_target_refuses_to_end_is_told(world: World) -> None:
    place = shop(world)
    world.revoke(world.issue(kind="exec:shop").jti)
    place.fail("stuck", "revoke")
    world.authority.perform(Settle())
    _, unfixed = fixed(world)
    assert {each.rule for each in unfixed} == {"revocation-stuck"}
    assert "the shelf is empty" in unfixed[0].why


def test_what_has_not_been_ended_for_an_hour_is_stuck(world: World) -> None:
    place = shop(world)
    made = world.issue(kind="exec:shop")
    world.revoke(made.jti)
    place.fail("down", "revoke")
    world.authority.perform(Settle())
    world.clock.now += 3_599
    assert looked(world, rules=("revocation-stuck",))[0] == []
    world.clock.now += 1
    (finding,) = looked(world, rules=("revocation-stuck",))[0]
    assert (finding.subject, finding.evidence["attempts"]) == (made.jti, 1)


def test_whatever_a_target_calls_it_does_no_harm(world: World) -> None:
    """A target chooses its names freely."""
    place = shop(world)
    (place.folder / "x'; DROP TABLE outside; --\x1b[31m.made").write_text("{}")
    (finding,) = looked(world)[0]
    assert "\x1b" not in finding.summary


@BOTH
def test_many_are_compared_at_once(world: World) -> None:
    place = shop(world)
    issued = world.issue(kind="exec:shop")
    for number in range(1_000):
        (place.folder / f"other-{number:04}.made").write_text("{}")
    findings, coverage = looked(world)
    assert len(findings) == 1_000
    assert coverage["orphaned-untracked"].examined == "1,001 credentials that exist at 1 target"
    assert issued.jti not in {each.subject for each in findings}
