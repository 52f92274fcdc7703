"""The owner of a task: a policy can read it, and the check warns of a permission by the task's name alone."""

from __future__ import annotations

import pytest

from jitid.policy.cases import attempt, read_cases
from jitid.policy.check import check
from jitid.policy.classes import DistinctNames, classes_of
from jitid.policy.dead_rules import BY_NAME
from jitid.policy.policy_text import ACTIONS
from tests.man.source import displays, read, section
from tests.policy.asking import PERMIT_ALL, policy, request

ISSUE = '@id("r") {0} (principal, action == Action::"issue", resource{1})'

BY_NAME_ALONE = [
    'permit (principal, action == Action::"issue", resource == Task::^"X")',
    'permit (principal, action == Action::"issue", resource in Task::^"X")',
    'permit (principal, action == Action::"issue", resource is Task in Task::^"X")',
    'permit (principal, action, resource) when { context.^task == "X" }',
    'permit (principal, action, resource) when { "X" == context[^"task"] && context.depth == 0 }',
    'permit (principal, action == Action::"grant", resource) when { context.^task like "REL-*" }',
    'permit (principal, action == Action::"authorize", resource) when { ["X"].contains(context.^task) }',
    'permit (principal, action == Action::"issue", resource) when { [Task::^"X"].contains(resource) }',
    'permit (principal, action == Action::"issue", resource) when { resource is Task in Task::^"X" }',
    'permit (principal, action == Action::"issue", resource) unless { resource != Task::^"X" }',
    'permit (principal, action, resource) unless { !(context.depth > 1 || context.^task == "X") }',
    'permit (principal, action, resource) when { if context.^task == "X" then true else false }',
    'permit (principal, action, resource) when { (if context.^task == "X" then 1 else 2) != 2 }',
    "permit (principal, action, resource) when { context.^task == context.purpose }",
    # An exemption from a prohibition results in a permission if another rule permits.
    'forbid (principal, action == Action::"issue", resource) unless { resource == Task::^"X" }',
    'forbid (principal, action, resource) when { context.^task != "X" }',
    'forbid (principal, action, resource) when { !(context.^task like "X*") }',
    # The owner of an agent is a different fact.
    'permit (principal, action, resource == Task::^"X") when { [principal has owner] == [context.delegated] }',
]


@pytest.mark.parametrize("marked", BY_NAME_ALONE)
def test_a_rule_that_permits_by_the_name_of_a_task_alone_is_warned_of(marked: str) -> None:
    before, _, after = marked.partition("^")
    found = check([("p.cedar", f'@id("r") {before}{after};')], whole=False).problems
    assert [(one.message, one.warning) for one in found if one.message == BY_NAME] == [(BY_NAME, True)]
    (place,) = [one.place for one in found if one.message == BY_NAME]
    assert place.column == len(f'@id("r") {before}') + 1


@pytest.mark.parametrize(
    "rule",
    [
        'permit (principal, action, resource == Task::"X") when { resource.owner == context.delegator }',
        'permit (principal, action, resource) when { context.task == "X" && context.task_owner == "user:alice" }',
        'permit (principal, action, resource) when { context.task like "X*" && context.task_owner == "user:bob" }',
        'forbid (principal, action, resource) unless { context.task == "X" && context["task_owner"] == "user:a" }',
        # These rules forbid by the name, or permit all names but one.
        'forbid (principal, action == Action::"issue", resource == Task::"X")',
        'forbid (principal, action, resource) when { context.task == "X" }',
        'forbid (principal, action, resource) unless { context.task != "X" }',
        'permit (principal, action, resource) when { context.task != "X" }',
        'permit (principal, action, resource) unless { context.task like "X*" }',
        'permit (principal, action, resource) when { context.purpose == "task" }',
        'permit (principal, action == Action::"issue", resource is Task) when { resource.sensitivity == "low" }',
    ],
)
def test_of_no_other_rule(rule: str) -> None:
    assert not check([("p.cedar", f'@id("r") {rule};')], whole=False).problems


@pytest.mark.parametrize(
    "condition",
    [
        'context.task_owner == "user:alice"',
        'resource.owner == Delegator::"user:alice"',
        "resource.owner == context.delegator",
        "context.task_owner == context.delegator_name",
    ],
)
def test_the_owner_counts_and_not_the_name(condition: str) -> None:
    asked = request(delegator="user:alice", task="X", task_owner="user:alice")
    rule = ISSUE.format("permit", ' == Task::"X"') + f" when {{ {condition} }};"
    one = policy(rule)
    assert one.decide(asked).permit
    assert not one.decide(asked._replace(task_owner="user:mallory")).permit
    # An old policy that reads only the name still decides by the name alone.
    old = policy(ISSUE.format("permit", ' == Task::"X"') + ";")
    assert old.decide(asked._replace(task_owner="user:mallory")).permit


@pytest.mark.parametrize("action", ACTIONS)
def test_each_question_has_the_owner(action: str) -> None:
    """The `grant` and the `authorize` question have it too."""
    head = f'@id("r") forbid (principal, action == Action::"{action}", resource)'
    one = policy(PERMIT_ALL, head + ' when { context.task_owner != "user:al" };')

    def passes(owner: str) -> bool:
        asked = request(scopes=("a:b",), task_owner=owner)
        return one.decide(asked).permit and one.permits_use(asked._replace(action="read"), "x") is None

    assert (passes("user:al"), passes("user:mallory")) == (True, False)


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ("true", DistinctNames()),
        ("principal has owner && principal.owner == context.delegator", DistinctNames()),
        ('resource == Task::"X"', DistinctNames()),
        ('context.task_owner == "user:a" || context["task_owner"] == "user:b"', ("user:a", "user:b")),
        ('resource.owner == Delegator::"user:a"', ("user:a",)),
        ('[Delegator::"user:a"].contains(resource.owner)', ("user:a",)),
        ("resource.owner == context.delegator", None),
        ("context.task_owner == context.delegator_name", None),
        ('resource["owner"] == Delegator::"user:a"', ("user:a",)),
        ('resource["own\\u{65}r"] == Delegator::"user:a"', ("user:a",)),
        ('(if true then resource else resource).owner == Delegator::"user:a"', None),
        ('{"a": resource}.a.owner == Delegator::"user:a"', None),
    ],
)
def test_owners_are_told_apart_where_they_are_read(condition: str, names: object) -> None:
    found = classes_of([("p.cedar", ISSUE.format("forbid", "") + f" when {{ {condition} }};")]).task_owner
    assert found == (
        DistinctNames(frozenset(names))
        if isinstance(names, tuple) and not isinstance(names, DistinctNames)
        else names
    )


def test_a_case_says_whose_the_task_is() -> None:
    """By default, the delegator of the case owns the task."""
    text = """
[[case]]
name = "own"
request = { task = "X" }
expect = { decision = "permit" }
[[case]]
name = "another's"
request = { task = "X", task_owner = "user:bob" }
expect = { decision = "deny" }
[[case]]
name = "hers"
request = { task = "X", task_owner = "user:alice", delegator = "user:carol" }
expect = { decision = "permit" }
"""
    cases, mistakes = read_cases("c.toml", text, lambda _: None)
    assert not mistakes
    one = policy(
        ISSUE.format("permit", ' == Task::"X"') + ' when { resource.owner == Delegator::"user:alice" };'
    )
    assert [attempt(one, case).differences for case in cases] == [(), (), ()]
    assert [case.request.task_owner for case in cases] == ["user:alice", "user:bob", "user:alice"]


def test_no_policy_of_the_pages_permits_by_a_bare_name() -> None:
    texts = displays(section(read("jitid-policy.7"), "EXAMPLES"))
    rules = [text for text in texts if text.lstrip().startswith("@id")]
    assert any("Task::" in text and "owner" in text for text in rules)
    for text in rules:
        assert not [one for one in check([("p.cedar", text)], whole=False).problems if one.message == BY_NAME]
