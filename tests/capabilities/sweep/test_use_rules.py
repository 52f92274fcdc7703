"""Rules about use: unreported use is unknown, and unknown use is neither a finding nor in order."""

from __future__ import annotations

import pytest

from jitid.capabilities.report.operations import MakeReport
from jitid.capabilities.report.sprawl_report import Excess
from jitid.capabilities.sweep.finding import Coverage, Thresholds
from jitid.errors import InvalidCredentialError
from tests.builders import World, edit
from tests.capabilities.sweep.asking import fixed, fixing, found, swept
from tests.capabilities.sweep.cases import use

# Columns of a database have types, so that these edits are possible only in a file.
pytestmark = [pytest.mark.usefixtures("kept_in"), pytest.mark.of_files("'never'", "x'00'")]

RULES = ("never-used", "over-scoped")
API, DB = ("urn:api",), ("urn:db",)


def unknown(world: World, rule: str = "never-used") -> str | None:
    """Return the part that is unknown to a rule, and check that the rule is otherwise complete."""
    (told,) = [each for each in swept(world, rule) if isinstance(each, Coverage)]
    assert told.complete
    return told.unknown


@pytest.mark.parametrize("rule", RULES)
def test_where_nothing_reports_use_nothing_is_known_and_nothing_missed(world: World, rule: str) -> None:
    world.issue(scopes=("a", "b"))
    world.clock.now += 600
    assert found(world, rule) == []
    assert unknown(world, rule) == "whether credentials are used: no audience reports use"


def test_of_an_audience_that_reports_nothing_it_is_said_that_nobody_knows(world: World) -> None:
    busy, idle = world.issue(audiences=API), world.issue(task="T2", audiences=API)
    for task in ("T3", "T4", "T5"):
        world.issue(task=task, audiences=DB)
    world.clock.now += 600
    use(world, busy.jti, "")
    assert [each.subject for each in found(world, "never-used")] == [idle.id]
    assert unknown(world) == (
        "whether 3 of 5 live credentials are used: no use was reported for their audiences since their issue"
    )


def test_who_reports_a_refusal_reports_use(world: World) -> None:
    refused, idle = world.issue(audiences=API), world.issue(task="T2", audiences=API)
    world.clock.now += 600
    use(world, refused.jti, "", allowed=False)
    # A refused action is not a use.
    assert {each.subject for each in found(world, "never-used")} == {refused.id, idle.id}


def test_what_was_issued_after_the_last_report_is_not_known(world: World) -> None:
    """The service that reports use may have stopped."""
    busy = world.issue(audiences=API)
    use(world, busy.jti, "")
    world.clock.now += 1
    late = world.issue(task="T2", audiences=API)
    world.clock.now += 600
    assert found(world, "never-used") == []
    assert str(unknown(world)).startswith("whether 1 of 2 live credentials are used")
    use(world, busy.jti, "")
    assert [each.subject for each in found(world, "never-used")] == [late.id]
    assert unknown(world) is None


def test_of_several_audiences_each_must_report(world: World) -> None:
    idle = world.issue(audiences=(*API, *DB))
    both = world.issue(task="T2", audiences=(*API, *DB))
    one, other = world.issue(task="T3", audiences=API), world.issue(task="T4", audiences=DB)
    world.clock.now += 600
    # It is unknown which of the two audiences has reported the use.
    use(world, both.jti, "")
    assert found(world, "never-used") == []
    use(world, one.jti, "")
    assert {each.subject for each in found(world, "never-used")} == set()
    use(world, other.jti, "")
    assert {each.subject for each in found(world, "never-used")} == {idle.id}


def test_what_is_dead_has_reported_too(world: World) -> None:
    busy, idle = world.issue(audiences=API), world.issue(task="T2", audiences=API)
    world.clock.now += 600
    use(world, busy.jti, "")
    world.revoke(busy.jti)
    assert [each.subject for each in found(world, "never-used")] == [idle.id]


def test_the_limit_is_how_long_it_lives_without_use(world: World) -> None:
    busy, idle = world.issue(audiences=API), world.issue(task="T2", audiences=API)
    world.clock.now += 60
    use(world, busy.jti, "")
    assert found(world, "never-used") == []
    (finding,) = found(world, "never-used", limits=Thresholds(unused=59))
    assert (finding.subject, finding.remedy) == (idle.id, f"jitid revoke {idle.id}")
    (done,) = fixed(world, "never-used", limits=Thresholds(unused=59))
    assert done.credentials == 1
    with pytest.raises(InvalidCredentialError):
        world.verify(idle.token, *API)
    assert world.verify(busy.token, *API).id == busy.id


def test_what_is_not_confirmed_is_for_another_rule(world: World) -> None:
    busy = world.issue()
    world.issue(task="T2")
    edit(world.path, "UPDATE credential SET fingerprint = NULL WHERE id = (SELECT max(id) FROM credential)")
    world.clock.now += 600
    use(world, busy.jti, "")
    assert found(world, "never-used") == []


@pytest.mark.parametrize(
    ("scopes", "used", "unused"),
    [
        (("repo:*:read", "deploy:web"), ("repo:*:read",), ["deploy:web"]),
        # The credential was narrowed later, so that it is unknown whether it used this scope.
        (("repo:acme:read", "deploy:web"), ("repo:*:read", "deploy:*"), []),
        (("a", "b", "c"), ("b",), ["a", "c"]),
        (("a",), ("a",), []),
        (("a", "b"), ("a", "b"), []),
    ],
)
def test_scopes_count_as_used_if_some_use_may_have_needed_them(
    world: World, scopes: tuple[str, ...], used: tuple[str, ...], unused: list[str]
) -> None:
    one = world.issue(agent="nightly", scopes=scopes)
    world.clock.now += 600
    for scope in used:
        use(world, one.jti, scope)
    told = found(world, "over-scoped")
    assert [each.evidence["unused"] for each in told] == ([unused] if unused else [])
    for finding in told:
        assert (finding.credentials, finding.remedy) == (1, "jitid agent advise --policy nightly")
        # A new credential would have the same scopes.
        assert fixing(world, "over-scoped") == []


def test_scopes_of_what_was_not_used_at_all_are_for_another_rule(world: World) -> None:
    world.issue(agent="nightly", scopes=("a", "b"))
    busy = world.issue(agent="daily", scopes=("a",), task="T2")
    world.clock.now += 600
    use(world, busy.jti, "a")
    assert found(world, "over-scoped") == []
    assert len(found(world, "never-used")) == 1


@pytest.mark.parametrize(
    "edited",
    [
        "UPDATE credential SET scopes = 'a::b* *'",
        "UPDATE credential SET scopes = x'ff'",
        "UPDATE used SET scope = 'a:b*c'",
        "UPDATE used SET last_at = 'never'",
        "UPDATE used SET first_at = x'00'",
        "UPDATE action SET at = 'never'",
        "UPDATE term SET text = CAST(x'ff' AS TEXT) || id WHERE text LIKE 'urn:%'",
    ],
)
@pytest.mark.parametrize("rule", RULES)
def test_what_was_edited_about_use_is_no_bug(world: World, rule: str, edited: str) -> None:
    world.issue(scopes=("a", "b"), audiences=(*API, *DB))
    busy = world.issue(task="T2", scopes=("a", "b"), audiences=API)
    world.clock.now += 600
    use(world, busy.jti, "a")
    edit(world.path, edited)
    assert any(isinstance(each, Coverage) for each in swept(world, rule))
    fixing(world, rule)


def test_a_report_counts_what_the_rules_find_and_says_what_is_not_known(world: World) -> None:
    made = [world.issue(agent="nightly", scopes=("a", "b"), task=f"T{n}", audiences=API) for n in range(2)]
    world.issue(task="T9", audiences=DB)
    world.know("user:bob", entitlements=("a",))
    world.register("wide", owner="user:bob", scopes=("a", "b"))
    world.clock.now += 600
    for one in made:
        use(world, one.jti, "a")
    report = world.authority.perform(MakeReport(days=1, limits=Thresholds()))
    assert report.excess is not None
    assert report.excess._replace(unknown=None) == Excess(over_scoped=2, over_privileged=1)
    assert report.excess.unknown == unknown(world, "over-scoped")
    assert (report.excess.unknown or "").startswith("whether 1 of 3 live credentials are used")
    assert report.over_scoped == 2 / 3
    assert (
        world.authority.perform(MakeReport(at=world.clock.now - 1, days=1, limits=Thresholds())).over_scoped
        is None
    )
