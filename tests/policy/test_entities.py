"""The facts about delegators, groups, agents and tasks that a policy can read. Names in them are plain data."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.policy.evaluate import Policy
from jitid.policy.policy_request import NO_DIRECTORY_FACTS, DirectoryFacts, PolicyRequest
from tests.policy.asking import PERMIT_ALL, policy, request

ALICE = DirectoryFacts(known=True, groups=("oncall", "sre"), manager="user:bob")
BOT = DirectoryFacts(known=True, groups=("sre",), manager="user:bob", registered=True, owner="user:carol")


def permits(condition: str, asked: PolicyRequest) -> bool:
    """Return whether a rule with that condition permits, and check that `issue` and `grant` questions agree."""
    text = f'@id("r") permit (principal, action, resource) when {{ {condition} }};'
    alone = Policy([("p.cedar", text)]).decide(asked, explain=False).permit
    with_scope = policy(text).decide(asked._replace(scopes=("repo:read",)), explain=False).permit
    assert alone is with_scope
    return alone


@pytest.mark.parametrize(
    ("condition", "standing", "expected"),
    [
        ('context.delegator in Group::"sre"', ALICE, True),
        ('context.delegator in Group::"oncall"', ALICE, True),
        ('context.delegator in Group::"finance"', ALICE, False),
        ('context.delegator in Group::"sre"', NO_DIRECTORY_FACTS, False),
        ('context.delegator in [Group::"finance", Group::"sre"]', ALICE, True),
        ('context.delegator in Group::"SRE"', ALICE, False),
        ("context.delegator.known", ALICE, True),
        ("context.delegator.known", NO_DIRECTORY_FACTS, False),
        ("context.delegator_known", ALICE, True),
        ("context.delegator_known", NO_DIRECTORY_FACTS, False),
        ('context.delegator.kind == "user"', ALICE, True),
        ("context.delegator has manager", ALICE, True),
        ("context.delegator has manager", NO_DIRECTORY_FACTS, False),
        (
            'context.delegator has manager && context.delegator.manager == Delegator::"user:bob"',
            ALICE,
            True,
        ),
        (
            'context.delegator has manager && context.delegator.manager == Delegator::"user:bob"',
            ALICE._replace(manager="user:eve"),
            False,
        ),
        ("principal.registered", BOT, True),
        ("principal.registered", ALICE, False),
        ("context.agent_registered", BOT, True),
        ("context.agent_registered", ALICE, False),
        ("principal has owner", BOT, True),
        ("principal has owner", ALICE, False),
        ('principal has owner && principal.owner == Delegator::"user:carol"', BOT, True),
        ("principal has owner && principal.owner == context.delegator", BOT, False),
        (
            "principal has owner && principal.owner == context.delegator",
            BOT._replace(owner="user:alice@example.com"),
            True,
        ),
    ],
)
def test_a_policy_asks_the_directory(condition: str, standing: DirectoryFacts, expected: bool) -> None:
    assert permits(condition, request(standing=standing)) is expected


def test_a_task_is_asked_for_its_purpose_and_sensitivity() -> None:
    text = """@id("r") permit (principal, action == Action::"issue", resource)
        when { resource.purpose like "restore*" && resource.sensitivity == "moderate" };"""
    assert policy(text).decide(request()).permit
    assert not policy(text).decide(request(purpose=None)).permit
    assert not policy(text).decide(request(sensitivity="low")).permit


@pytest.mark.parametrize(
    "condition",
    [
        "principal.owner == context.delegator",
        'context.delegator.manager == Delegator::"user:bob"',
    ],
)
@pytest.mark.parametrize("effect", ["permit", "forbid"])
def test_asking_for_what_is_not_there_is_a_refusal(condition: str, effect: str) -> None:
    """Without `has`, the rule cannot be evaluated if the attribute is missing; the validator requires it."""
    asked = policy(PERMIT_ALL, f'@id("r") {effect} (principal, action, resource) when {{ {condition} }};')
    decision = asked.decide(request(), explain=False)
    assert not decision.permit
    assert decision.rules == ("r",)


def test_who_stands_differently_is_another_question() -> None:
    """Answers are cached. The same name with other groups is evaluated again."""
    asked = policy(
        '@id("r") permit (principal, action, resource) when { context.delegator in Group::"sre" };'
    )
    for standing, expected in ((ALICE, True), (NO_DIRECTORY_FACTS, False), (ALICE, True)):
        assert asked.decide(request(standing=standing), explain=False).permit is expected


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ('@id("r") permit (principal in Agent::{0}, action, resource);', "agent"),
        ('@id("r") permit (principal == Agent::{0}, action, resource);', "agent"),
        ('@id("r") permit (principal, action == Action::"issue", resource == Task::{0});', "task"),
        ('@id("r") permit (principal, action, resource) when {{ context.agent == {0} }};', "agent"),
        (
            '@id("r") permit (principal, action, resource) when {{ context.delegator == Delegator::{0} }};',
            "delegator",
        ),
    ],
)
@pytest.mark.parametrize("name", ['a"b', "a\\b", 'a\\"b', '\\"', "\\\\", "a'b", "é", 'x"};//', "\t\n"])
def test_names_with_quotes_and_backslashes_are_names(rule: str, field: str, name: str) -> None:
    asked = policy(rule.format(json.dumps(name, ensure_ascii=False)))
    fields = {field: name}
    assert asked.decide(request(**fields), explain=False).permit
    assert not asked.decide(request(**{field: name + "\\"}), explain=False).permit
    assert not asked.decide(request(**{field: name.replace('"', "")[:-1]}), explain=False).permit


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(name=names, other=names)
def test_any_group_is_just_itself(name: str, other: str) -> None:
    """A name may have any characters, in the directory and in the rule."""
    literal = "".join(f"\\u{{{ord(character):x}}}" for character in name)
    asked = policy(
        f'@id("r") permit (principal, action, resource) when {{ context.delegator in Group::"{literal}" }};'
    )
    for group in (name, other):
        decision = asked.decide(request(standing=DirectoryFacts(known=True, groups=(group,))), explain=False)
        assert decision.permit is (group == name)


@given(owner=names, manager=names)
def test_any_owner_and_manager_come_to_cedar_unchanged(owner: str, manager: str) -> None:
    asked = policy(
        """@id("r") permit (principal, action, resource)
           when { principal has owner && context.delegator has manager
                  && principal.owner == context.delegator.manager };"""
    )
    standing = DirectoryFacts(known=True, manager=manager, registered=True, owner=owner)
    assert asked.decide(request(standing=standing), explain=False).permit is (owner == manager)
