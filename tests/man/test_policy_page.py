"""jitid-policy(7): facts, rules and examples are those that decide."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cedarpy
import pytest

from jitid.policy.cedar import Policy
from jitid.policy.default import default_files, schema
from jitid.policy.source import read_rules
from tests.man.source import displays, items, read, section
from tests.policy.asking import DEFAULT, NOON, request
from tests.real import Shell

PAGE = read("jitid-policy.7")
DEFAULT_TEXT = default_files()[0][1]
EXAMPLES = {
    match[1]: text
    for text in displays(section(PAGE, "EXAMPLES"))
    if (match := re.match(r'@id\("([^"]+)"\)', text))
}
HOUR = 3600
PAYMENTS = ("https://payments.example",)

# For each example: requests, and whether it permits them beside the default policy.
BESIDE: dict[str, list[tuple[dict[str, Any], bool]]] = {
    "prod-is-for-deploy-bot": [
        ({"scopes": ("prod:web",)}, False),
        ({"scopes": ("*:web",)}, False),
        ({"scopes": ("prod:web",), "agent": "deploy-bot"}, True),
        ({"scopes": ("prod:*",), "agent": "deploy-bot"}, True),
        ({"scopes": ("repo:read",)}, True),
    ],
    "production-needs-security": [
        ({"scopes": ("prod:web",)}, False),
        ({"scopes": ("*:web",)}, False),
        ({"scopes": ("repo:read",)}, True),
    ],
    "critical-in-working-hours": [
        ({"sensitivity": "critical"}, True),
        ({"sensitivity": "critical", "now": NOON - 5 * HOUR}, True),
        ({"sensitivity": "critical", "now": NOON - 5 * HOUR - 1}, False),
        ({"sensitivity": "critical", "now": NOON + 6 * HOUR}, False),
        ({"sensitivity": "critical", "now": NOON + 4 * 24 * HOUR}, False),
        ({"sensitivity": "high", "now": NOON + 6 * HOUR}, True),
    ],
    "payments-for-proved-systems": [
        ({"audiences": PAYMENTS}, False),
        ({"audiences": PAYMENTS, "delegator": "system:ci"}, False),
        ({"audiences": PAYMENTS, "delegator_proof": "oidc"}, False),
        ({"audiences": PAYMENTS, "delegator": "system:ci", "delegator_proof": "oidc"}, True),
        ({}, True),
    ],
    "secrets-for-two-minutes": [({"scopes": ("secret:db",)}, True), ({"scopes": ("repo:read",)}, True)],
    "mallory-has-left": [
        ({"delegator": "user:mallory"}, False),
        ({"delegator": "user:mallory", "depth": 1, "delegator_proof": "parent"}, False),
        ({}, True),
    ],
}
CI = {"agent": "builder", "delegator": "system:ci-main"}
ALONE: dict[str, list[tuple[dict[str, Any], bool]]] = {
    "ci-builds": [
        (CI, True),
        ({**CI, "scopes": ("repo:read", "cache:write")}, True),
        ({**CI, "scopes": ("repo:write",)}, False),
        ({**CI, "agent": "planner"}, False),
        ({**CI, "delegator": "user:alice"}, False),
        ({**CI, "kind": "opaque"}, False),
        ({**CI, "depth": 2}, False),
    ],
}


def test_every_example_is_tried() -> None:
    assert EXAMPLES.keys() == BESIDE.keys() | ALONE.keys()


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_validates_against_the_schema(name: str) -> None:
    result = cedarpy.validate_policies(EXAMPLES[name], schema())
    assert result.validation_passed, result.errors


@pytest.mark.parametrize("name", BESIDE)
def test_an_example_decides_beside_the_default_policy(name: str) -> None:
    policy = Policy([*default_files(), (f"{name}.cedar", EXAMPLES[name])])
    for fields, expected in BESIDE[name]:
        decision = policy.decide(request(**fields), explain=False)
        assert decision.permit is expected, fields
        # Where it says no, it is the example that says so.
        assert expected or decision.rules == (name,)
        assert DEFAULT.decide(request(**fields), explain=False).permit, fields


def test_what_an_example_wants_approved_passes_then() -> None:
    name = "production-needs-security"
    policy = Policy([*default_files(), (f"{name}.cedar", EXAMPLES[name])])
    asked = request(scopes=("prod:web",))
    assert policy.decide(asked).needs == ("security",)
    assert policy.decide(asked, approved=frozenset({"security"})).permit


@pytest.mark.parametrize("name", ALONE)
def test_an_example_decides_in_the_place_of_the_default_policy(name: str) -> None:
    policy = Policy([(f"{name}.cedar", EXAMPLES[name])])
    for fields, expected in ALONE[name]:
        assert policy.decide(request(**fields), explain=False).permit is expected, fields


@pytest.mark.parametrize(("scope", "seconds"), [("secret:db", 120), ("*:db", 120), ("repo:read", HOUR)])
def test_a_scope_shortens_the_life_of_the_whole(scope: str, seconds: int) -> None:
    name = "secrets-for-two-minutes"
    policy = Policy([*default_files(), (f"{name}.cedar", EXAMPLES[name])])
    assert policy.decide(request(scopes=(scope, "log:read")), explain=False).max_ttl == seconds


def test_the_facts_are_those_of_the_schema() -> None:
    declared = schema().partition("type Facts = {")[2].partition("};")[0]
    names = re.findall(r"^  (\w+): ([\w<>]+),", declared, re.MULTILINE)
    assert [tuple(term.split(" : ")) for term in items(section(PAGE, "FACTS"))] == names


def test_the_rules_are_those_of_the_default_policy() -> None:
    told = items(section(PAGE, "THE DEFAULT POLICY"))
    rules = read_rules("default.cedar", DEFAULT_TEXT)
    assert list(told) == [rule.name for rule in rules]
    for rule in rules:
        if rule.max_ttl is not None:
            number, unit = told[rule.name].strip().rstrip(".").split()
            assert rule.max_ttl == int(number) * {"h": HOUR, "m": 60}[unit[0]]


def test_the_depths_are_those_of_the_default_policy() -> None:
    told = items(section(PAGE, "THE DEFAULT POLICY"))["depth-limit"].replace("\n", " ")
    depths = re.findall(r"(\d) (?:delegations )?with \.Li (\w+)", told)
    assert len(depths) == 4
    for number, sensitivity in depths:
        for depth in (int(number), int(number) + 1):
            asked = request(sensitivity=sensitivity, depth=depth)
            assert DEFAULT.decide(asked, explain=False).permit is (depth == int(number)), asked


def test_the_rule_that_is_shown_is_one_of_the_default_policy() -> None:
    (shown,) = displays(section(PAGE, "What a policy looks like", "Ss"))
    assert shown.split() in [
        f"{statement};".split() for statement in re.sub("//.*", "", DEFAULT_TEXT).split(";")
    ]


def test_the_floors_raise_what_they_overlap(tmp_path: Path) -> None:
    (floors,) = displays(section(PAGE, "FLOORS OF SENSITIVITY"))
    file = tmp_path / "config.toml"
    file.write_text(floors, encoding="utf-8")
    file.chmod(0o600)
    shell = Shell(tmp_path)
    words = ("--config", str(file), "issue", "--task", "T1", "--delegator", "alice", "--dry-run")
    for scope in ("prod:db", "*:*"):
        assert "(sensitivity high," in shell.run(*words, "--scope", scope).stderr
    assert "(sensitivity critical," in shell.run(*words, "--audience", *PAYMENTS).stderr
    assert shell.good(*words, "--scope", "repo:read", "--field", "sensitivity") == "moderate\n"


def test_a_policy_sees_a_scope_as_text() -> None:
    """The caveat is one: a rule that looks at the beginning of a scope does not see what a wildcard covers."""
    naive = '@id("naive") forbid (principal, action, resource) when { context.scope like "prod:*" };'
    policy = Policy([*default_files(), ("naive.cedar", naive)])
    for scope in ("*:web", "p*:web"):
        assert policy.decide(request(scopes=(scope,)), explain=False).permit
