"""Names that are keywords of Cedar, of jitid's policies, or of their annotations: each is read as a name.

The law: except for the name itself, jitid reads a rule the same with any name in a string.
"""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import cedarpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.policy.classes import classes_of
from jitid.policy.dead_rules import remarks
from jitid.policy.policy_request import FACTS
from jitid.policy.policy_text import ACTIONS, line_of, read_rules, statements
from jitid.policy.position import annotated, conditions, effect_start, head_end, nearest

PLAIN = "zzz"
WORDS = sorted(
    {
        *(
            "permit",
            "forbid",
            "when",
            "unless",
            "if",
            "then",
            "else",
            "in",
            "is",
            "has",
            "like",
            "true",
            "false",
        ),
        *(
            "principal",
            "action",
            "resource",
            "context",
            "Action",
            "Agent",
            "Task",
            "Scope",
            "Resource",
            "Group",
        ),
        *(
            "Delegator",
            "__entity",
            "Group::x",
            "id",
            "max_ttl",
            "renew_ttl",
            "approval",
            "approved",
            "contains",
        ),
        *("kind", "owner", "known", "groups", "manager", "registered", "purpose", "user:", "agent:authorize"),
        *("ip", "name", "type", "Use", "Facts", "//", ";", ")", "(", "{", "}", "@", "context.use", "not;//x"),
        *ACTIONS,
        *FACTS,
    }
)
HEADS = (
    'permit (principal == Agent::"NAME", action == Action::"issue", resource)',
    'permit (principal == Agent::"NAME", action in [Action::"issue", Action::"grant"], resource)',
    'permit (principal == Agent::"NAME", action == Action::"grant", resource == Scope::"NAME")',
    'permit (principal == Agent::"NAME", action == Action::"authorize", resource == Resource::"NAME")',
    'forbid (principal in Agent::"NAME", action == Action::"issue", resource == Task::"NAME")',
    'permit (principal, action, resource == Task::"NAME")',
    'permit (principal == Agent::"NAME", action, resource)',
    "permit (principal, action, resource)",
)
BODIES = (
    "",
    'when { context.task == "NAME" }',
    'when { "NAME" == context.agent }',
    'unless { principal == Agent::"NAME" || resource == Task::"NAME" }',
    'when { ["NAME", "b"].contains(context.task) && context.hour < 9 }',
    'when { principal in [Agent::"NAME", Agent::"b"] }',
    'when { context.delegator in Group::"NAME" }',
    'when { context.audiences.contains("NAME") && context.agent like "NAME" }',
    'when { if context.task == "NAME" then context.hour > 8 else ["NAME"].contains(context.scope) }',
    'when { context["task"] == "NAME" && context has "task" }',
    'unless { context.template == "NAME" } when { context.action == "NAME" }',
)
RULES = [
    f'@id("r"){note}\n{head}\n{body};'
    for (head, body), note in zip(
        itertools.product(HEADS, BODIES),
        itertools.cycle(("", ' @note("NAME")', ' @NOTE("NAME")')),
        strict=False,
    )
]


def _replaced(value: Any, name: str) -> Any:
    """Return a value with another name replaced by the plain name, where it is a whole text."""
    if isinstance(value, str):
        return PLAIN if value == name else value
    if isinstance(value, dict):
        return {key: _replaced(each, name) for key, each in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return tuple(_replaced(each, name) for each in value)
    if isinstance(value, tuple | list):
        return [_replaced(each, name) for each in value]
    if isinstance(value, set | frozenset):
        return {_replaced(each, name) for each in value}
    return value


def _with(rule: str, name: str) -> str:
    return (
        rule.replace("NAME", name).replace("@NOTE", "@note")
        if "@NOTE" not in rule
        else rule.replace(
            "@NOTE", f"@{name}" if re.fullmatch("[a-z_]+", name) and name not in RESERVED else "@note"
        ).replace("NAME", name)
    )


RESERVED = {
    "id",
    "max_ttl",
    "renew_ttl",
    "approval",
    "true",
    "false",
    "if",
    "then",
    "else",
    "in",
    "is",
    "like",
    "has",
}


@pytest.mark.deep
@pytest.mark.parametrize("name", WORDS)
def test_a_name_is_read_as_a_name(name: str) -> None:
    for template in RULES:
        rule, plain = _with(template, name), _with(template, PLAIN)
        assert statements(rule) == [rule, ""]
        assert _replaced(read_rules("f", rule), name) == _replaced(read_rules("f", plain), name), rule
        assert _replaced(classes_of([("f", rule)]), name) == _replaced(classes_of([("f", plain)]), name), rule


@pytest.mark.deep
@pytest.mark.parametrize("name", WORDS)
def test_places_are_the_same_whatever_a_name_is(name: str) -> None:
    for template in RULES:
        rule, plain = _with(template, name), _with(template, PLAIN)
        for place in (head_end, effect_start):
            assert rule[place(rule) :].replace(name, PLAIN) == plain[place(plain) :].replace(name, PLAIN)
        assert len(conditions(rule)) == len(conditions(plain))
        assert len(list(annotated(rule))) == len(list(annotated(plain)))
        assert line_of(f"{rule}\n{rule}", 1) == line_of(f"{plain}\n{plain}", 1)


def test_a_place_that_is_named_is_no_string_of_that_word() -> None:
    rule = 'permit (principal, action, resource) when { context.task == "hour" && context.hour == 25 };'
    assert rule[nearest(rule, ("hour", "25")) :].startswith("25")
    assert rule[nearest(rule, ("hour",)) :].startswith("hour == 25")


def test_a_permit_for_an_agent_that_is_called_like_an_action_is_for_the_actions_that_it_names() -> None:
    """Otherwise the rule would permit uses, which it does not name."""
    for name in ACTIONS:
        (rule,) = read_rules(
            "f", f'@id("r") permit (principal == Agent::"{name}", action == Action::"issue", resource);'
        )
        assert set(rule.facts) == {"issue"}
        assert not rule.of_use
        (rule,) = read_rules("f", f'@id("r") permit (principal == Agent::"{name}", action, resource);')
        assert set(rule.facts) == set(ACTIONS)
        assert not rule.of_use


@pytest.mark.parametrize(
    "body",
    [
        'action == Action::"authorize"',
        'action in [Action::"issue", Action::"authorize"]',
        "context.use has ip",
        'context["use"] has ip',
        'context has "use"',
        "context has use",
        "resource is Resource",
        'resource == Resource::"x"',
        'action == Action::"\\u{61}uthorize"',
    ],
)
def test_a_rule_that_says_it_is_about_uses_is(body: str) -> None:
    (rule,) = read_rules("f", f'@id("r") permit (principal, action, resource) when {{ {body} }};')
    assert rule.of_use


@given(st.sampled_from(RULES), st.text(st.sampled_from("abAZ09._@:/+-"), min_size=1, max_size=12))
def test_any_name_is_read_as_a_name(template: str, name: str) -> None:
    rule, plain = template.replace("@NOTE", "@note"), template.replace("@NOTE", "@note")
    rule, plain = rule.replace("NAME", name), plain.replace("NAME", PLAIN)
    assert _replaced(read_rules("f", rule), name) == _replaced(read_rules("f", plain), name)
    assert _replaced(classes_of([("f", rule)]), name) == _replaced(classes_of([("f", plain)]), name)


def test_members_are_known_in_both_spellings() -> None:
    """The name may follow a dot, or be a string in brackets."""
    for member in ("owner", "known", "groups", "manager", "registered"):
        plain = f'@id("r") permit (principal, action, resource) when {{ context.delegator.{member} == 1 }};'
        quoted = plain.replace(f".{member}", f'["{member}"]')
        assert classes_of([("f", plain)]).standing == classes_of([("f", quoted)]).standing


def test_agents_that_are_called_like_a_group_are_no_group() -> None:
    def tree(name: str) -> dict[str, Any]:
        agents = [{"Value": {"__entity": {"type": "Agent", "id": each}}} for each in (name, "b")]
        is_one = {"in": {"left": {"Var": "principal"}, "right": {"Set": agents}}}
        is_c = {
            "==": {
                "left": {"Var": "principal"},
                "right": {"Value": {"__entity": {"type": "Agent", "id": "c"}}},
            }
        }
        both = {"&&": {"left": is_one, "right": is_c}}
        return {"effect": "permit", "conditions": [{"kind": "when", "body": both}]}

    assert len(list(remarks(tree("Group"), ("issue",)))) == len(list(remarks(tree("a"), ("issue",)))) == 1


@pytest.mark.parametrize("name", [PLAIN, *ACTIONS, "Action", "action", "resource"])
def test_the_actions_of_a_rule_are_those_that_cedar_reads(name: str) -> None:
    """Cedar's own syntax tree is the reference."""
    for head in HEADS:
        rule = f'@id("r") {head};'.replace("NAME", name)
        tree = json.loads(cedarpy.policies_to_json_str(rule))["staticPolicies"]["policy0"]["action"]
        entities = tree.get("entities") or [tree["entity"]] if tree["op"] != "All" else []
        (read,) = read_rules("f", rule)
        assert set(read.facts) == ({each["id"] for each in entities} or set(ACTIONS))
