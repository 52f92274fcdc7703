"""What a policy tells apart: no more than what it compares with, and in doubt every value."""

from __future__ import annotations

from typing import Any

import pytest

from jitid.policy.cedar import Policy
from jitid.policy.classes import EVERYTHING, KINDS, NOTHING, Classes, Names, classes_of
from jitid.policy.default import default_files
from tests.policy.asking import PERMIT_ALL


def classes(condition: str, head: str = 'principal, action == Action::"issue", resource') -> Classes:
    """Return what one rule tells apart."""
    text = f'@id("r") @note("context.agent") forbid ({head}) when {{ {condition} }};'
    Policy([("p.cedar", text)])
    return classes_of([("p.cedar", text)])


def named(*values: str, beginnings: tuple[str, ...] = ()) -> Names:
    """Return names that are told from all others."""
    return Names(frozenset(values), frozenset(beginnings))


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
        # Whatever else is done with it.
        ('context.agent like "*-a"', None),
        ('context.agent like "a\\*"', None),
        ("context.agent == context.task", None),
        ("context.task == context.agent", None),
        ('context.agent == "\\u{61}"', None),
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
def test_agents(condition: str, names: Names | None) -> None:
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
def test_heads(head: str, agent: Names, task: Names) -> None:
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
def test_delegators(condition: str, names: Names | None) -> None:
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
        ("-1 < context.hour", None),
        ("context.hour < -1", None),
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
        (
            'principal["\\u{6f}wner"] == context.delegator',
            {"known", "groups", "manager", "registered", "owner"},
        ),
    ],
)
def test_what_the_directory_says(condition: str, standing: set[str]) -> None:
    assert classes(condition).standing == standing


def test_a_purpose_counts_where_it_is_read() -> None:
    assert classes('resource.purpose == "x"').purpose
    assert classes('context.purpose like "x*"').purpose
    assert not classes("context.has_purpose").purpose


@pytest.mark.parametrize("condition", ["context == {}", 'context["\\u{68}our"] == 3', "[context].isEmpty()"])
def test_the_whole_context_is_everything(condition: str) -> None:
    assert classes(condition) == EVERYTHING


def test_rules_about_uses_tell_no_issues_apart() -> None:
    about_use = 'principal == Agent::"a", action == Action::"authorize", resource'
    assert classes("context.hour == 3", about_use) == NOTHING


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
