"""The classes of requests that a policy distinguishes: no more than its comparisons require, or all values in doubt."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.policy.classes import EVERYTHING, KINDS, NOTHING, Classes, DistinctNames, classes_of
from jitid.policy.default import default_files
from jitid.policy.evaluate import Policy
from jitid.policy.policy_request import PolicyRequest
from tests.policy.asking import NOON, PERMIT_ALL, request
from tests.policy.conditions import NAMES, conditions


def classes(condition: str, head: str = 'principal, action == Action::"issue", resource') -> Classes:
    """Return the classes that one rule distinguishes."""
    text = f'@id("r") @note("context.agent") forbid ({head}) when {{ {condition} }};'
    Policy([("p.cedar", text)])
    return classes_of([("p.cedar", text)])


def named(*values: str, beginnings: tuple[str, ...] = ()) -> DistinctNames:
    """Return names that are distinguished from all others."""
    return DistinctNames(frozenset(values), frozenset(beginnings))


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ("true", named()),
        ('principal == Agent::"a" || Agent::"b" != principal', named("a", "b")),
        ('principal in [Agent::"a", Agent::"b"] && !(principal in Agent::"c")', named("a", "b", "c")),
        ('[Agent::"a", Agent::"b"].contains(principal)', named("a", "b")),
        ("principal is Agent && principal.registered", named()),
        ('principal is Agent in Agent::"a"', named("a")),
        ('principal has owner && principal["owner"] == Delegator::"user:x"', named()),
        ('context.agent == "a" || "b" == context["agent"]', named("a", "b")),
        ('["a", "b"].contains(context.agent)', named("a", "b")),
        ('context.agent like "a-*" && context.agent like "b"', named("b", beginnings=("a-",))),
        ('(if context.agent == "a" then "x" else "y") == "x"', named("a")),
        # Any other use of the name distinguishes all names.
        ('context.agent like "*-a"', None),
        ('context.agent like "a*b"', None),
        ('context.agent like "a\\*"', named("a*")),
        ("context.agent == context.task", None),
        ("context.task == context.agent", None),
        ('context.agent == "\\u{61}"', named("a")),
        ('context.agent == "a\\0"', None),
        ('(context.agent) == "a" && ("b") == context.agent', named("a", "b")),
        ('{"left": context.agent}.left == "a"', None),
        ('{".": "x", "Var": context.agent} has y', None),
        ('context.agent == (if context.depth == 1 then "a" else "b")', None),
        ("[context.task].contains(context.agent)", None),
        ('["a", context.task].contains(context.agent)', None),
        ("context.audiences.contains(context.agent)", None),
        ("[context.agent] == [context.task]", None),
        ('{"x": context.agent} == {"x": context.task}', None),
        ("ip(context.agent).isLoopback()", None),
        ('principal in [Agent::"a"] && [principal].contains(Agent::"b")', None),
        ("resource == principal", None),
    ],
)
def test_agents(condition: str, names: DistinctNames | None) -> None:
    assert classes(condition).agent == names


@pytest.mark.parametrize(
    ("head", "agent", "task"),
    [
        ("principal, action, resource", named(), named()),
        ('principal == Agent::"a", action, resource == Task::"T"', named("a"), named("T")),
        (
            'principal is Agent in Agent::"a", action in [Action::"issue"], resource is Task',
            named("a"),
            named(),
        ),
    ],
)
def test_heads(head: str, agent: DistinctNames, task: DistinctNames) -> None:
    found = classes("true", head)
    assert (found.agent, found.task) == (agent, task)


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ('context.delegator == Delegator::"user:a"', named("user:a")),
        ('context.delegator in Group::"g"', named("g")),
        ("context.delegator.known && context.delegator has manager", named()),
        ('context.delegator_name like "system:ci*"', named(beginnings=("system:ci",))),
        ('context.delegator_kind == "user"', named(beginnings=tuple(KINDS))),
        ('context.delegator["kind"] == "user"', named(beginnings=tuple(KINDS))),
        ("principal has owner && principal.owner == context.delegator", None),
        ("principal has owner && context.delegator in principal.owner", None),
        ("principal has owner && [principal.owner].contains(context.delegator)", None),
    ],
)
def test_delegators(condition: str, names: DistinctNames | None) -> None:
    assert classes(condition).delegator == names


@pytest.mark.parametrize(
    ("condition", "bounds"),
    [
        ("context.hour >= 9 && context.hour < 17", {9, 17}),
        ("context.hour <= 8 || context.hour > 16", {9, 17}),
        ("9 <= context.hour && 17 > context.hour", {9, 17}),
        ("8 < context.hour && 16 >= context.hour", {9, 17}),
        ('context["hour"] == 12', {12, 13}),
        ("!(12 != context.hour)", {12, 13}),
        ("[1, 2, 23].contains(context.hour)", {1, 2, 3, 23, 24}),
        ("context has hour", set()),
        ("context.hour * 60 + context.minute < 990", None),
        ("1 + context.hour < 9", None),
        ("context.hour < 9 + 1", None),
        ("9 + 1 > context.hour", None),
        ("-1 < context.hour", {0}),
        ("context.hour < -1", {-1}),
        ('context["\\u{68}our"] == 3', {3, 4}),
        ("-context.hour < 3", None),
        ("context.hour < context.minute", None),
        ("[1, context.minute].contains(context.hour)", None),
        ("[context.hour] == [3]", None),
    ],
)
def test_hours(condition: str, bounds: set[int] | None) -> None:
    assert classes(condition).numbers["hour"] == bounds


@pytest.mark.parametrize(
    ("condition", "standing"),
    [
        ('context.delegator == Delegator::"user:a"', set()),
        ('context.delegator in Group::"g" && context.delegator.known', {"groups", "known"}),
        ('principal has "owner" && principal["registered"]', {"owner", "registered"}),
        ('principal["\\u{6f}wner"] == context.delegator', {"owner"}),
        ('context.delegator has manager.known && context.task == "registered"', {"manager", "known"}),
    ],
)
def test_what_the_directory_says(condition: str, standing: set[str]) -> None:
    assert classes(condition).standing == standing


def test_a_purpose_counts_where_it_is_read() -> None:
    assert classes('resource.purpose == "x"').purpose
    assert classes('context.purpose like "x*"').purpose
    assert not classes("context.has_purpose").purpose


@pytest.mark.parametrize("condition", ["context == {}", "{a: context}.a.hour == 3", "[context].isEmpty()"])
def test_the_whole_context_is_everything(condition: str) -> None:
    assert classes(condition) == EVERYTHING


def test_rules_about_uses_tell_no_issues_apart() -> None:
    about_use = 'principal == Agent::"a", action == Action::"authorize", resource'
    assert classes("context.hour == 3", about_use) == NOTHING


def _class(name: str, told: DistinctNames | None) -> object:
    if told is None:
        return name
    begun = {begin for begin in told.beginnings if name.startswith(begin)}
    return name if name in told.values else None, frozenset(begun)


def _apart(asked: PolicyRequest, found: Classes) -> object:
    """Return the parts of a request that a policy with these classes can distinguish."""
    seconds = asked.now
    numbers = {
        "hour": seconds // 3600 % 24,
        "minute": seconds // 60 % 60,
        "weekday": (seconds // 86400 + 3) % 7 + 1,
        "now": seconds,
    }
    bounds = {name: found.numbers[name] for name in numbers}
    # The directory has the same facts about all requests.
    return (
        _class(asked.agent, found.agent),
        _class(asked.delegator, found.delegator),
        _class(asked.task, found.task),
        _class(asked.task_owner, found.task_owner),
        asked.purpose if found.purpose else bool(asked.purpose),
        *(
            numbers[name] if told is None else bisect_right(sorted(told), numbers[name])
            for name, told in bounds.items()
        ),
    )


names = st.sampled_from(NAMES)
requests = st.builds(
    request,
    agent=names,
    delegator=st.sampled_from(["user:a", "user:ab", "user:b", "system:ci", "system:a", "agent:a"]),
    task=names,
    task_owner=names,
    purpose=st.sampled_from(["", "a", "why"]),
    now=st.builds(
        lambda hours, minutes: NOON + hours * 3600 + minutes * 60, st.integers(0, 200), st.integers(0, 59)
    ),
)


@given(
    bodies=st.lists(conditions, min_size=1, max_size=2),
    word=st.sampled_from(["when", "unless"]),
    some=st.lists(requests, min_size=2, max_size=25),
)
def test_what_is_not_told_apart_is_decided_alike(
    bodies: list[str], word: str, some: list[PolicyRequest]
) -> None:
    """All counting of equivalent requests depends on this law. Cedar's decisions are the reference."""
    whole = " ".join(f"{word} {{ {body}\n}}" for body in bodies)
    text = f'{PERMIT_ALL}@id("r") forbid (principal, action == Action::"issue", resource) {whole};'
    found = classes_of([("p.cedar", text)])
    policy = Policy([("p.cedar", text)])
    decided: dict[object, object] = {}
    for asked in some:
        decision = policy.decide(asked, explain=False)
        answer = (decision.permit, decision.rules)
        assert decided.setdefault(_apart(asked, found), answer) == answer


def test_two_policies_tell_apart_what_either_does() -> None:
    one, other = (
        classes('context.hour < 9 && principal == Agent::"a"'),
        classes("context.hour < context.minute"),
    )
    both: Any = one.with_(other)
    assert (both.agent, both.numbers["hour"], both.numbers["minute"]) == (named("a"), None, None)
    assert both == other.with_(one)


def test_the_default_policy_knows_nobody() -> None:
    assert classes_of(default_files()) == classes_of([("p.cedar", PERMIT_ALL)]) == NOTHING
