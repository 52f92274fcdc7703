"""Test cases of a policy: how they are parsed, tried like an issue, and which rules they reach."""

from __future__ import annotations

from time import monotonic
from typing import Any

import pytest

from jitid.config.settings import zone
from jitid.policy.cases import Case, Result, attempt, read_cases, unreached
from jitid.policy.default import example_files
from jitid.policy.evaluate import Policy
from jitid.policy.policy_request import DirectoryFacts
from tests.policy.asking import PERMIT_ALL, policy

NEEDS = """
@id("all") @max_ttl("10m") permit (principal, action in [Action::"issue", Action::"grant"], resource);
@id("ask") @approval("sec") forbid (principal, action == Action::"grant", resource)
when { context.scope like "pay:*" };
@id("never") forbid (principal, action == Action::"grant", resource) when { context.scope == "db:drop" };
@id("weekend") forbid (principal, action == Action::"authorize", resource)
unless { context.use has day && context.use.day != "Sunday" };
"""


def read(text: str) -> list[Case]:
    """Return the cases of a valid text."""
    cases, mistakes = read_cases("x.test.toml", text, zone)
    assert mistakes == []
    return cases


def mistakes(text: str) -> list[tuple[int, str | None, str]]:
    """Return line, case and message of all mistakes."""
    return [(one.line, one.case, one.message) for one in read_cases("x.test.toml", text, zone)[1]]


def tried(asked: Policy, request: str, expect: str) -> Result:
    """Try one case."""
    (case,) = read(f'[[case]]\nname = "x"\nrequest = {{ {request} }}\nexpect = {{ {expect} }}\n')
    return attempt(asked, case)


def test_a_case_is_asked_as_it_says() -> None:
    (case,) = read("""
[request]
agent = "one"
scopes = ["a:b"]
ttl = "5m"

[[case]]
name = "all of it"
[case.request]
agent = "two"
delegator = "system:ci"
groups = ["z", "a"]
manager = "user:boss"
owner = "user:own"
task = "T"
purpose = "why"
sensitivity = "high"
kind = "opaque"
template = "db/reader"
depth = 2
audiences = ["urn:a", "urn:b"]
at = "2026-11-24T10:00:00+01:00"
zone = "Europe/Berlin"
approved = ["sec"]
allow_narrower = true
action = "a:b"
resource = "r"
use = { ip = "x", nested = { n = 1 } }
[case.expect]
decision = "permit"
rules = ["r"]
""")
    asked = case.request
    assert (asked.agent, asked.delegator, asked.delegator_proof, asked.task) == (
        "two",
        "system:ci",
        "asserted",
        "T",
    )
    assert asked.standing == DirectoryFacts(True, ("a", "z"), "user:boss", True, "user:own")
    assert (asked.purpose, asked.sensitivity, asked.kind, asked.depth) == ("why", "high", "opaque", 2)
    assert asked.template == "db/reader"
    assert (asked.scopes, asked.audiences, asked.lifetime) == (("a:b",), ("urn:a", "urn:b"), 300)
    assert (asked.now, str(asked.zone)) == (1_795_510_800, "Europe/Berlin")
    assert (asked.action, asked.used) == ("a:b", '{"ip":"x","nested":{"n":1}}')
    assert (case.approved, case.narrow, case.resource, case.line) == (frozenset({"sec"}), True, "r", 7)


def test_each_case_has_the_line_on_which_it_begins() -> None:
    deny = 'expect.decision = "deny"'
    text = f'# [[case]]\n\n[[case]]\nname = "a"\n{deny}\n  [[ case ]]\nname = "b"\n{deny}\n'
    assert [(case.name, case.line) for case in read(text)] == [("a", 3), ("b", 6)]


def test_all_that_is_wrong_is_told() -> None:
    text = """
foo = 1
[[case]]
name = "a"
[case.request]
depth = "x"
wat = 1
[case.expect]
decision = "permit"
[[case]]
[[case]]
name = "a"
expect = { decision = "deny", lifetime = "5m" }
[[case]]
name = "b"
expect = { rules = ["x"] }
[[case]]
name = "c"
request = { action = "a:b" }
expect = { decision = "deny" }
[[case]]
name = "d"
request = { groups = ["g"], known = false }
expect = { decision = "deny" }
[[case]]
name = "e"
expect = { decision = "deny", needs = ["g"] }
[[case]]
name = "f"
expect = { decision = "deny" }
[[case]]
name = "f"
expect = { decision = "deny" }
"""
    told = mistakes(text)
    for line, case, part in (
        (1, None, "unknown member `foo`"),
        (6, "a", "`request.depth` must be a whole number"),
        (7, "a", "unknown member `wat` of `request`"),
        (10, None, "case 2 has no name"),
        (10, None, "`expect` has no `decision`"),
        (13, "a", "`lifetime` requires the decision `permit`"),
        (16, "b", "`expect` has no `decision`"),
        (19, "c", "a use requires both `action` and `resource`"),
        (23, "d", "a delegator that is not `known` has no groups and no manager"),
        (27, "e", "`needs` requires the decision `approval`"),
        (31, "f", "another case has the same name"),
    ):
        assert [message for at, name, message in told if (at, name) == (line, case) and part in message], part
    assert len(told) == 11


@pytest.mark.parametrize("member", ["request", "expect"])
def test_a_text_in_the_place_of_a_table_is_a_mistake(member: str) -> None:
    """Otherwise, the case would be tried with the defaults instead of the written request."""
    case = {
        "name": "'x'",
        "request": '{ agent = "one" }',
        "expect": '{ decision = "permit" }',
        member: '"oops"',
    }
    text = "[[case]]\n" + "".join(f"{name} = {value}\n" for name, value in case.items())
    assert f"`{member}` must be a table" in [message for _, _, message in mistakes(text)]


def test_each_mistake_of_a_case_is_told_at_its_line() -> None:
    text = """[request]
ttl = "soon"
"zone" = "Mars/Crater"

[[case]]
nam = "x"
[case.request]
# at = "the time"
at = 2026-11-24T10:00:00Z
sensitivity = "hihg"
proof = "said"
scopes = ["a:b", "no scope!"]
[case.expect]
decision = "maybe"
lifetime = "long"
rule = ["r"]
"""
    assert [(line, message.partition(":")[0]) for line, _, message in mistakes(text)] == [
        (2, "`soon` is not a duration"),
        (3, "there is no time zone `Mars/Crater` on this machine"),
        (5, "case 1 has no name"),
        (6, "unknown member `nam`"),
        (9, "`request.at` must be text; a time must be in quotes"),
        (10, "unknown sensitivity `hihg`"),
        (11, "unknown proof `said`"),
        (12, "scope `no scope!` has an invalid character"),
        (14, "unknown decision `maybe`"),
        (15, "`long` is not a duration"),
        (16, "unknown member `rule` of `expect`"),
    ]


def test_a_hundred_thousand_mistakes_are_placed_in_time() -> None:
    """This holds for every way to write the cases."""
    one = '[[case]]\nname = "n%d"\nrequest = { depth = -1 }\nexpect = { decision = "deny" }\n'
    apart = "[request]\nttl = 'x'\n" + "# x\n" * 1_000 + "".join(one % number for number in range(20_000))
    joined = ",".join(f'{{name = "n{number}", request = {{ depth = -1 }}}}' for number in range(5_000))
    begun = monotonic()
    found = mistakes(apart)
    assert [line for line, _, message in found if "duration" in message] == [2]
    told = [line for line, _, message in found if "depth" in message]
    assert told[:2] == [1_005, 1_009]
    assert {line for line, *_ in mistakes(f"case = [{joined}]")} == {1}
    assert monotonic() - begun < 20


@pytest.mark.parametrize(
    ("request_", "expect"),
    [
        ("", 'decision = "permit", rules = ["all"], lifetime = "10m", granted = []'),
        ('ttl = "5m", scopes = ["a:b"]', 'decision = "permit", lifetime = "5m", granted = ["a:b"]'),
        ('scopes = ["pay:x"]', 'decision = "approval", needs = ["sec"], rules = ["ask"]'),
        ('scopes = ["pay:x"], approved = ["sec"]', 'decision = "permit", granted = ["pay:x"]'),
        ('scopes = ["pay:x"], approved = ["other"]', 'decision = "approval"'),
        ('scopes = ["db:drop", "pay:x"]', 'decision = "deny", rules = ["ask", "never"]'),
        ('scopes = ["db:drop", "a:b"], allow_narrower = true', 'decision = "permit", granted = ["a:b"]'),
        ('action = "a:b", resource = "r", use = { day = "Monday" }', 'decision = "permit", rules = []'),
        ('action = "a:b", resource = "r"', 'decision = "deny", rules = ["weekend"]'),
        ('action = "a:b", resource = "r", use = { day = "Sunday" }', 'decision = "deny"'),
        # A denied issue leaves no credential to use.
        ('scopes = ["db:drop"], action = "db:drop", resource = "r"', 'decision = "deny", rules = ["never"]'),
    ],
)
def test_what_is_expected_comes_true(request_: str, expect: str) -> None:
    outcome = tried(policy(NEEDS), request_, expect)
    assert outcome.differences == ()
    assert outcome.passed


@pytest.mark.parametrize(
    ("request_", "expect", "differences"),
    [
        ("", 'decision = "deny"', [("decision", "deny", "permit")]),
        ("", 'decision = "permit", rules = ["x"]', [("rules", "x", "all")]),
        ("", 'decision = "permit", lifetime = "1h"', [("lifetime", "1h", "10m")]),
        ("", 'decision = "permit", granted = ["a:b"]', [("granted", "a:b", "none")]),
        ('scopes = ["pay:x"]', 'decision = "approval", needs = ["fin"]', [("needs", "fin", "sec")]),
        (
            'scopes = ["db:drop"]',
            'decision = "permit", lifetime = "10m"',
            [("decision", "permit", "deny"), ("lifetime", "10m", "none")],
        ),
    ],
)
def test_what_is_not_as_expected_is_told(request_: str, expect: str, differences: list[Any]) -> None:
    outcome = tried(policy(NEEDS), request_, expect)
    assert not outcome.passed
    assert [tuple(each) for each in outcome.differences] == differences


def _unreached(*cases: tuple[str, str]) -> list[str]:
    asked = policy(NEEDS)
    return [rule.name for rule in unreached(asked, [tried(asked, *case) for case in cases])]


def test_a_rule_that_no_case_reaches_is_told() -> None:
    assert _unreached() == ["all", "ask", "never", "weekend"]
    assert _unreached(("", 'decision = "permit"')) == ["ask", "never", "weekend"]
    # A case about an approval also reaches the rules that decide once it is given.
    assert _unreached(('scopes = ["pay:x"]', 'decision = "approval"')) == ["never", "weekend"]
    assert (
        _unreached(
            ('scopes = ["pay:x"]', 'decision = "approval"'),
            ('scopes = ["db:drop"]', 'decision = "deny"'),
            ('action = "a:b", resource = "r"', 'decision = "deny"'),
        )
        == []
    )


@pytest.mark.parametrize("with_default", [False, True])
def test_the_example_reaches_every_rule(with_default: bool) -> None:
    """This holds alone, and together with the default policy. Its prohibitions apply to all agents."""
    files = example_files(with_default=with_default)
    asked = Policy([(name, text) for name, text in files if name.endswith(".cedar")])
    cases = [case for name, text in files if name.endswith(".toml") for case in read(text)]
    results = [attempt(asked, case) for case in cases]
    assert [result.case.name for result in results if not result.passed] == []
    assert unreached(asked, results) == []
    claimed = (
        'agent = "release-bot", registered = true, sensitivity = "high", known = true, purpose = "x", '
        'scopes = ["deploy:web"]'
    )
    answer = tried(asked, claimed, 'decision = "permit"').answer
    assert answer.rules == (("asserted-up-to-moderate",) if with_default else ("release",))


@pytest.mark.parametrize(
    ("at", "decision"),
    [
        # On the last Sunday of March the clocks go forward at 01:00 UTC, and on the last Sunday of October they go
        # back.
        ("2026-03-27T07:59:59Z", "deny"),
        ("2026-03-27T08:00:00Z", "permit"),
        ("2026-03-30T06:59:59Z", "deny"),
        ("2026-03-30T07:00:00Z", "permit"),
        ("2026-10-23T15:00:00Z", "deny"),
        ("2026-10-26T15:00:00Z", "permit"),
        ("2026-10-26T16:00:00Z", "deny"),
    ],
)
def test_hours_are_those_of_the_clock_on_the_wall(at: str, decision: str) -> None:
    release = Policy([("release.cedar", dict(example_files())["release.cedar"])])
    asked = f'agent = "release-bot", registered = true, zone = "Europe/Berlin", at = "{at}"'
    assert tried(release, asked, f'decision = "{decision}"').passed


def test_a_table_that_is_written_in_another_form_is_read_too() -> None:
    (case,) = read('case = [{ name = "x", expect = { decision = "permit" } }]')
    assert (case.line, attempt(policy(PERMIT_ALL), case).passed) == (1, True)
