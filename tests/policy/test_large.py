"""Very large and very deep policies, such as generated ones: they decide, or are refused with the place."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.errors import ConfigurationError
from jitid.policy.default import default_files
from jitid.policy.evaluate import Policy
from jitid.policy.policy_request import DirectoryFacts
from jitid.policy.policy_text import TOKEN
from jitid.policy.safe_cedarpy import MOST_CHOICES, MOST_LEVELS, too_deep
from tests.policy.asking import PERMIT_ALL, policy, request

RULES = 10_000
RULE = '@id("r") permit (principal, action, resource) when {{ {} }};'


def team(number: int) -> str:
    """Return a rule that reads entities, as if each team had one."""
    return (
        f'@id("team-{number}")\nforbid (principal == Agent::"fixer-{number}", action == Action::"issue", resource)\n'
        f'when {{ !(context.delegator in Group::"team-{number}") }};\n'
    )


@pytest.mark.parametrize(("rules", "most"), [(1, 10), (100, 10), (101, 9), (1_000, 1), (1_001, 0)])
def test_a_policy_is_quick_for_fewer_questions_the_more_rules_it_has(rules: int, most: int) -> None:
    """Cedar compares each question with each rule."""
    large = Policy([("teams.cedar", "".join(map(team, range(rules))))])
    assert [large.is_quick(questions) for questions in range(1, 12)] == [at <= most for at in range(1, 12)]


def test_a_megabyte_of_rules_decides() -> None:
    text = "".join(map(team, range(RULES)))
    assert len(text) > 1_000_000
    large = Policy([*default_files(), ("teams.cedar", text)])
    asked = request(agent="fixer-9999", scopes=("repo:read",), standing=DirectoryFacts(groups=("team-9999",)))
    assert large.decide(asked).permit
    refused = large.decide(asked._replace(agent="fixer-9998"))
    assert refused.rules == ("team-9998",)


def test_a_megabyte_in_one_condition_decides() -> None:
    names = [f"user:engineer-{number}@example.com" for number in range(40_000)]
    listed = ", ".join(f'"{name}"' for name in names)
    large = policy(RULE.format(f"[{listed}].contains(context.delegator_name)"))
    assert large.decide(request(delegator=names[-1]), explain=False).permit
    assert not large.decide(request(delegator="user:mallory"), explain=False).permit


def test_a_chain_that_cedar_gives_up_on_is_a_refusal() -> None:
    """A set of names has no such limit."""
    chained = " || ".join(f'context.task == "T{number}"' for number in range(20_000))
    decision = policy(PERMIT_ALL, RULE.format(chained)).decide(request(task="none"), explain=False)
    assert not decision.permit
    assert decision.rules == ("r",)
    assert "recursion limit reached" in decision.reason


def test_many_rules_that_cannot_be_evaluated_are_all_named() -> None:
    text = "".join(
        f'@id("r{number}") permit (principal, action, resource) when {{ principal.owner == context.delegator }};'
        for number in range(3_000)
    )
    assert len(policy(PERMIT_ALL, text).decide(request(), explain=False).rules) == 3_000


@pytest.mark.parametrize(
    "condition",
    [
        "(" * 200_000 + "true" + ")" * 200_000,
        "[" * 5_000 + "]" * 5_000 + " == 1",
        "{a: " * 5_000 + "1" + "}" * 5_000 + " == 1",
        "if true then true else " * 20_000 + "false",
        "(" * 100_000,
        "(true)" * 100 + "(() " * 5_000,
        "!(" * (MOST_LEVELS + 1) + "true" + ")" * (MOST_LEVELS + 1),
    ],
)
def test_what_would_exhaust_the_stack_is_refused_with_its_place(condition: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"`2.cedar`, line 3: a rule is nested too deeply: more than 100 brackets"
    ):
        policy(PERMIT_ALL, "// one\n" + PERMIT_ALL.replace("all", "x") + RULE.format(condition))


def test_what_is_not_refused_is_survived() -> None:
    """Each text is at the limit, and is tried in a separate process."""
    inner = "if true then (" * (MOST_LEVELS - 1) + "true" + ") else false" * (MOST_LEVELS - 1)
    for condition in (
        "(" * (MOST_LEVELS - 1) + "true" + ")" * (MOST_LEVELS - 1),
        "[" * (MOST_LEVELS - 1) + "]" * (MOST_LEVELS - 1) + " == 1",
        "if true then true else " * MOST_CHOICES + "false",
        inner,
    ):
        text = RULE.format(condition)
        program = (
            "import sys, cedarpy\n"
            "from jitid.policy.evaluate import Policy\n"
            "from jitid.policy.default import schema\n"
            "from tests.policy.asking import request\n"
            "text = sys.stdin.read()\n"
            "Policy([('p.cedar', text)]).decide(request())\n"
            "cedarpy.validate_policies(text, schema())\n"
        )
        done = subprocess.run([sys.executable, "-c", program], input=text, text=True, capture_output=True)
        assert done.returncode == 0, (condition[:30], done.stderr[-500:])


def test_brackets_in_strings_and_comments_are_none() -> None:
    text = "// " + "(" * 500 + "\n" + RULE.format(f'context.task != "{"{" * 500}"')
    assert policy(text).decide(request()).permit


pieces = st.lists(st.sampled_from(["(", ")", "[", "]", "{", "}", "()", "x", '"("', "// (\n", ";", "if"]))


@pytest.mark.parametrize(
    "text", ["[{" * 51 + "}]" * 51 + "(", "(" * 60 + "[" * 60 + "]" * 60, "([{" * 34 + "}])" * 34]
)
def test_the_quick_look_counts_each_level(text: str) -> None:
    assert too_deep(text) == 0


@given(
    pieces=pieces, repeated=st.sampled_from(["(", "[{", "()(", "if ", '"("', "x"]), times=st.integers(0, 600)
)
def test_depth_is_that_of_the_tokens(pieces: list[str], repeated: str, times: int) -> None:
    """The fast check never accepts a text that the exact check refuses."""
    closing = repeated.translate(str.maketrans("([{", ")]}"))[::-1] * (times if "(" in pieces else 0)
    text = (
        " ".join(pieces[: len(pieces) // 2])
        + repeated * times
        + closing
        + " ".join(pieces[len(pieces) // 2 :])
    )
    level = choices = number = 0
    expected = None
    for token in TOKEN.findall(text):
        if token == ";":
            level = choices = 0
            number += 1
        level += (token in "([{") - (token in ")]}")
        choices += token == "if"
        if expected is None and (level > MOST_LEVELS or choices > MOST_CHOICES):
            expected = number
    assert too_deep(text) == expected
