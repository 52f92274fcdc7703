"""The syntax trees of rules: they are complete, and a tree that is too deep to read is detected before."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import cedarpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.policy.safe_cedarpy import (
    MOST_CHOICES,
    MOST_HEIGHT,
    actions,
    expressions,
    height,
    operands,
    path_of,
    trees,
)
from tests.policy.conditions import conditions

RULE = '@id("r") permit (principal, action, resource) when {{ {} }};'


def levels(term: Any) -> int:
    """Return the number of levels of an expression."""
    return 1 + max(map(levels, operands(term)), default=0)


def body(condition: str) -> Any:
    """Return the expression of a condition."""
    (tree,) = trees([RULE.format(condition)])
    assert tree is not None
    return tree["conditions"][0]["body"]


@given(condition=conditions, times=st.integers(1, 12), joint=st.sampled_from([" || ", " && "]))
def test_no_tree_is_higher_than_its_text_says(condition: str, times: int, joint: str) -> None:
    text = joint.join([condition] * times)
    assert levels(body(text)) <= height(RULE.format(text))


@pytest.mark.parametrize(
    "condition",
    [
        "context has a.b.c.d.e",
        "!!!true",
        "- - - 1 == 1",
        "1 - 2 - 3 * 4 == 5",
        "context.a.b.c.d == 1",
        "[[[1]]] == {a: {b: 1}}.a",
        "if true then 1 == 2 else if false then 3 == 4 else 5 == 6",
        'ip("10.0.0.1").isInRange(ip("10.0.0.0/8"))',
        'principal is Agent in [Agent::"a"]',
        'principal.hasTag("a") && principal.getTag("a").b.c == 1',
    ],
)
def test_each_operator_counts(condition: str) -> None:
    assert levels(body(condition)) <= height(RULE.format(condition))


@pytest.mark.parametrize(
    "condition",
    [
        " || ".join(f'context.task == "T{number}"' for number in range(300)),
        "[{}].contains(context.delegator_name)".format(", ".join(['"user:engineer@example.com"'] * 5_000)),
        " && ".join(["(context.hour > 1 || context.minute < 2)"] * 200),
    ],
    ids=["chain", "set", "pairs"],
)
def test_what_is_long_but_not_high_is_read(condition: str) -> None:
    assert body(condition)


@pytest.mark.parametrize(
    "condition",
    [
        " || ".join(f'context.task == "T{number}"' for number in range(20_000)),
        "context" + ".a" * 20_000 + " == 1",
        "1" + " + 1" * 20_000 + " == 1",
        "if true then true else " * MOST_CHOICES + "false",
    ],
    ids=["chain", "members", "sum", "choices"],
)
def test_what_is_too_high_is_not_read_and_keeps_no_other_from_it(condition: str) -> None:
    """Cedar would crash on most of them, and Python's JSON parser fails on all."""
    program = (
        "import sys\n"
        "from jitid.policy.safe_cedarpy import trees\n"
        "one, other = trees([sys.stdin.read(), 'permit (principal, action, resource); // last'])\n"
        "print(one, other['effect'])\n"
    )
    text = RULE.format(condition)
    done = subprocess.run([sys.executable, "-c", program], input=text, text=True, capture_output=True)
    assert (done.returncode, done.stdout) == (0, "None permit\n"), done.stderr[-500:]


def test_a_caller_who_is_deep_already_reads_what_there_is_room_for() -> None:
    high = RULE.format(" || ".join(["context.wildcard"] * (MOST_HEIGHT - 10)))
    flat = RULE.format("context.wildcard")

    def descend(levels_left: int) -> list[Any]:
        return descend(levels_left - 1) if levels_left else trees([flat, high])

    one, other = descend(sys.getrecursionlimit() - 400)
    assert one == trees([flat])[0]
    # From Python 3.12 on, C code has a separate recursion limit: there both trees fit.
    assert other in (None, trees([high])[0])


def test_names_of_members_are_no_operators() -> None:
    term = body('{"left": context, "Var": 1, ".": principal, "Value": resource}.left == {"__entity": 2}')
    variables = [path_of(one) for one in expressions(term) if "Var" in one and len(one) == 1]
    assert sorted(filter(None, variables)) == ["context", "principal", "resource"]


@given(condition=conditions)
def test_each_expression_is_met_once(condition: str) -> None:
    """The number of variables is that in Cedar's own text of the tree."""
    term = body(condition)
    met = [one["Var"] for one in expressions(term) if isinstance(one.get("Var"), str)]
    assert len(met) == json.dumps(term).count('{"Var": "')


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("action", {"issue", "grant", "authorize"}),
        ('action == Action::"issue"', {"issue"}),
        ('action in [Action::"\\u{69}ssue", Action::"x"]', {"issue"}),
        ('action in Action::"grant"', {"grant"}),
        ("action in []", set()),
        ('action == x::Action::"issue"', set()),
    ],
)
def test_a_rule_applies_to_the_actions_of_its_head(head: str, expected: set[str]) -> None:
    text = f"permit (principal, {head}, resource);"
    assert cedarpy.PolicySet.from_str(text)
    assert actions(trees([text])[0], ("issue", "grant", "authorize")) == expected
