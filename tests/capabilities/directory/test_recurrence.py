"""Recurring agents: their statistics equal a count by credential, and the suggested record is the smallest one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jitid.capabilities.adopt.operations import Adopt
from jitid.capabilities.directory import governance, recurrence, recurrence_store
from jitid.capabilities.directory import operations as directory_operations
from jitid.capabilities.directory.recurrence import (
    Advice,
    Classified,
    Need,
    RecurrenceRule,
    RecurrenceVerdict,
)
from jitid.errors import NotFoundError, UsageError
from jitid.values.scope import Scope, uncovered
from tests.builders import DAY, NAMES, NOW, World, put, recurring_agent
from tests.capabilities.adopt.test_adoption import stated as secret
from tests.capabilities.directory import pasts
from tests.capabilities.directory.test_registry import register, suspend, unregister

RULE = RecurrenceRule(5, 3, 90)
ALL = 9_999


def classify(world: World, *names: str, rule: RecurrenceRule = RULE, limit: int = ALL) -> Classified:
    """Classify names."""
    return world.authority.perform(directory_operations.ClassifyAgents(names=names, rule=rule, limit=limit))


def verdicts(world: World, *names: str, **fields: Any) -> dict[str, RecurrenceVerdict]:
    """Return the verdict about each name."""
    return {one.agent: one for one in classify(world, *names, **fields).verdicts}


def issue_on(world: World, *days: int, agent: str = "bot", tasks: Sequence[str] = (), **fields: Any) -> None:
    """Issue an identity on each of these days before now, each on a new task unless `tasks` names them."""
    for number, ago in enumerate(days):
        world.clock.now = NOW - ago * DAY
        with world.ledger.write(accept_clock=True) as transaction:
            put(
                transaction, agent=agent, task=tasks[number] if tasks else f"{agent}-{ago}-{number}", **fields
            )
    world.clock.now = NOW
    with world.ledger.write(accept_clock=True) as transaction:
        transaction.append("note", {})


@pytest.mark.deep
@settings(max_examples=60, deadline=None)
@given(pasts.histories, pasts.uses, st.integers(1, 5), st.booleans())
def test_the_past_of_a_name_is_what_counting_its_credentials_gives(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[dict[str, Any]],
    used: list[tuple[int, str]],
    days: int,
    few: bool,
) -> None:
    with World(tmp_path_factory.mktemp("pasts") / "ledger") as world, pytest.MonkeyPatch.context() as patch:
        # Few identities are looked up one by one; for many, the query reads all rows once.
        patch.setattr("jitid.capabilities.directory.recurrence_store.MANY", 50_000 if few else 0)
        pasts.live_through(world, steps, used)
        since = recurrence.midnight(world.clock.now, days)
        expected = pasts.recount(world, since)
        with world.ledger.read() as snapshot:
            found = recurrence_store.pasts(snapshot, since, tasks=3, days=2, most=ALL)
            for agent, past in expected.items():
                assert recurrence_store.pasts(
                    snapshot, since, names=[agent, "nobody"], tasks=3, days=2, most=1
                ).told == [past]
        assert {past.agent: past for past in found.told} == expected
        recurring = {agent for agent, past in expected.items() if past.tasks >= 3 or past.days >= 2}
        assert (found.names, found.recurring) == (len(expected), len(recurring))
        order = [(past.agent not in recurring, -past.identities, past.agent) for past in found.told]
        assert order == sorted(order)


def _permits(world: World, need: Need, since: int, agent: str) -> None:
    """Check that a record with this need permits all credentials of a past; their scopes only without reported use."""
    record = recurring_agent(
        agent, scopes=need.scopes, audiences=need.audiences, kinds=need.kinds, concurrency=need.concurrency
    )
    held = [one for one in pasts.held(world, since) if one.agent == agent]
    ended: dict[int, int] = {}
    for one in held:
        ended[one.identity] = max(one.death, ended.get(one.identity, 0))
    seen: set[int] = set()
    for one in held:
        live = {other for other in seen if ended[other] > one.issued_at}
        assert one.death - one.issued_at <= need.max_ttl
        assert not governance.beyond_limits(
            record, (one.kind,), one.audiences, (NAMES.issuer,), len(live - {one.identity}), 1
        ), one
        if not need.reported:
            assert uncovered(need.scopes, [Scope(scope) for scope in one.scopes]) == ()
        seen.add(one.identity)


@pytest.mark.deep
@settings(max_examples=60, deadline=None)
@given(pasts.histories, pasts.uses)
def test_the_record_that_is_suggested_would_have_permitted_all_of_the_past(
    tmp_path_factory: pytest.TempPathFactory, steps: list[dict[str, Any]], used: list[tuple[int, str]]
) -> None:
    """The scopes are the reported uses, or the grants without a report. Nothing is suggested beyond them."""
    with World(tmp_path_factory.mktemp("needs") / "ledger") as world:
        pasts.live_through(world, steps, used)
        since = recurrence.midnight(world.clock.now, 90)
        for verdict in classify(world).verdicts:
            need, past = verdict.need, verdict.past
            assert need is not None
            assert past is not None
            _permits(world, need, since, verdict.agent)
            assert need.reported == (past.used is not None)
            seen = past.granted if past.used is None else past.used
            assert uncovered(need.scopes, map(Scope, seen)) == ()
            assert all(any(scope.startswith(each.rstrip("*")) for scope in seen) for each in need.scopes)
            assert set(need.kinds) == past.kinds
            assert set(need.audiences) in ({*past.audiences}, set())


def test_the_command_registers_the_agent_with_what_its_past_needs(world: World) -> None:
    world.know()
    issue_on(
        world,
        9,
        5,
        1,
        1,
        0,
        scopes="repo:a repo:w*",
        audiences="urn:a",
        kind="jwt",
        ttl=61,
        purpose="roll ' out",
    )
    verdict = verdicts(world)["bot"]
    assert verdict.advice is Advice.REGISTER
    assert verdict.command == (
        """jitid agent register bot --owner user:alice --purpose 'roll '"'"' out' --scope repo:a --scope 'repo:w*'"""
        " --audience urn:a --kind jwt --max-ttl 2m --concurrency 3"
    )


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"disabled_at": NOW}, "user:alice is disabled: choose another owner"),
        ({"entitlements": ("db:*",)}, "user:alice may not hand out repo:a: choose another owner"),
    ],
)
def test_the_command_leaves_open_who_owns_it_where_the_likeliest_owner_may_not(
    world: World, fields: dict[str, Any], why: str
) -> None:
    issue_on(world, 9, 5, 1, 1, 0, scopes="repo:a")
    world.know(**fields)
    verdict = verdicts(world)["bot"]
    assert verdict.why.endswith(f"; {why}")
    assert "jitid agent register bot --owner DELEGATOR --purpose " in str(verdict.command)


@pytest.mark.parametrize(
    ("days", "tasks", "advice"),
    [
        ((0, 1, 2), ["A", "B", "C"], Advice.REGISTER),
        ((0, 1, 1), ["A", "B", "C"], Advice.STAY_EPHEMERAL),
        ((0, 0, 0, 0, 0), [], Advice.REGISTER),
        ((0, 0, 0, 0), [], Advice.STAY_EPHEMERAL),
        ((0,) * 9, ["A", "B", "C"] * 3, Advice.STAY_EPHEMERAL),
        ((0, 1, 90), ["A", "B", "C"], Advice.STAY_EPHEMERAL),
        ((0, 1, 89), ["A", "B", "C"], Advice.REGISTER),
    ],
)
def test_a_name_recurs_by_its_tasks_or_its_days(
    world: World, days: tuple[int, ...], tasks: list[str], advice: Advice
) -> None:
    issue_on(world, *reversed(days), tasks=tasks)
    assert verdicts(world)["bot"].advice is advice


def test_whoever_is_given_no_name_is_no_one_agent(world: World) -> None:
    issue_on(world, *[0] * 9, agent="agent")
    verdict = verdicts(world)["agent"]
    assert (verdict.advice, verdict.command) == (Advice.STAY_EPHEMERAL, None)
    assert "--agent" in verdict.why


@pytest.mark.parametrize(
    ("days", "registered", "advice"),
    [
        ((60, 59, 58, 14), 60, Advice.STAY_REGISTERED),
        ((60, 59, 58), 60, Advice.UNREGISTER),
        ((60, 40, 20), 60, Advice.STAY_REGISTERED),
        ((60, 40), 60, Advice.STAY_REGISTERED),
        ((80, 75, 70), 60, Advice.UNREGISTER),
        ((80, 75, 70), 16, Advice.UNREGISTER),
        ((80, 75, 70), 14, Advice.STAY_REGISTERED),
        ((60,), 60, Advice.STAY_REGISTERED),
        ((91,), 91, Advice.UNREGISTER),
        ((91,), 89, Advice.STAY_REGISTERED),
        ((), 90, Advice.UNREGISTER),
        ((), 89, Advice.STAY_REGISTERED),
    ],
)
def test_a_record_goes_that_is_silent_for_longer_than_it_used_to_be(
    world: World, days: tuple[int, ...], registered: int, advice: Advice
) -> None:
    issue_on(world, *days)
    world.register("bot", registered_at=NOW - registered * DAY)
    verdict = verdicts(world)["bot"]
    assert verdict.advice is advice
    assert verdict.command == ("jitid agent unregister bot" if advice is Advice.UNREGISTER else None)


def test_a_name_that_was_unregistered_is_told_of_only_if_it_is_named(world: World) -> None:
    world.know()
    register(world, "bot")
    unregister(world, "bot")
    assert verdicts(world) == {}
    assert verdicts(world, "bot")["bot"].advice is Advice.STAY_UNREGISTERED


def test_a_suspended_record_says_so(world: World) -> None:
    world.know()
    register(world, "bot")
    suspend(world, "bot")
    assert verdicts(world)["bot"].state == "suspended"


def test_what_keeps_an_owner_from_it_is_told(world: World) -> None:
    issue_on(world, 2, 1, 0, scopes="repo:a")
    assert "jitid delegator add user:alice" in verdicts(world)["bot"].why
    world.know(entitlements=("log:*",))
    assert "may not hand out repo:a" in verdicts(world)["bot"].why
    world.know(entitlements=("repo:*",))
    assert verdicts(world)["bot"].why == "it recurs: 3 tasks on 3 days in 90 days"
    world.know(disabled_at=NOW)
    assert "user:alice is disabled" in verdicts(world)["bot"].why


def test_an_agent_whose_name_only_an_adopted_secret_has_is_judged(world: World) -> None:
    world.register("deployer")
    world.authority.perform(Adopt(secrets=(secret(name="deploy-key", agent="deployer"),)))
    for names in ((), ("deployer",)):
        (verdict,) = classify(world, *names).verdicts
        assert (verdict.agent, verdict.advice) == ("deployer", Advice.STAY_REGISTERED)


def test_a_registered_agent_beyond_the_limit_is_left_out(world: World) -> None:
    for name, times in (("planner", 2), ("fixer", 1)):
        world.register(name)
        issue_on(world, *[0] * times, agent=name)
    world.register("idle")
    few = classify(world, limit=1)
    assert {one.agent: one.past is not None for one in few.verdicts} == {"planner": True, "idle": False}
    assert few.untold == 1


def test_what_is_to_be_done_comes_first_and_the_rest_is_counted(world: World) -> None:
    world.know()
    issue_on(world, 0, agent="once")
    issue_on(world, *[0] * 5, agent="often")
    issue_on(world, *[0] * 6, agent="oftener")
    issue_on(world, 0, agent="kept")
    world.register("kept")
    world.register("silent", registered_at=NOW - 99 * DAY)
    found = classify(world)
    assert [(one.agent, one.advice.value) for one in found.verdicts] == [
        ("oftener", "register"),
        ("often", "register"),
        ("silent", "unregister"),
        ("kept", "stay registered"),
        ("once", "stay ephemeral"),
    ]
    few = classify(world, limit=2)
    assert {one.agent for one in few.verdicts} == {"kept", "oftener", "silent"}
    assert (few.untold, few.untold_recurring) == (2, 1)


def test_names_are_looked_at_that_are_named(world: World) -> None:
    issue_on(world, 0, agent="a")
    issue_on(world, 0, agent="b")
    assert verdicts(world, "b", "b").keys() == {"b"}
    with pytest.raises(NotFoundError, match="`nobody`"):
        classify(world, "a", "nobody")
    issue_on(world, 99, agent="old")
    assert verdicts(world, "old")["old"].why == "no credential was issued in 90 days"


@pytest.mark.parametrize("days", [0, -1, 3_661])
def test_days_are_bounded(world: World, days: int) -> None:
    with pytest.raises(UsageError, match="--days must be from 1 to 3660"):
        classify(world, rule=RecurrenceRule(5, 3, days))


def test_an_empty_ledger_has_no_names(tmp_path: Path) -> None:
    with World(tmp_path / "ledger") as world:
        assert classify(world) == Classified([], 0, 0)
