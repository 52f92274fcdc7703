"""jitid-policy(7): its facts, rules and examples are correct."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import cedarpy
import pytest

from jitid.config.settings import zone
from jitid.policy.cases import EXPECT, REQUEST, read_cases
from jitid.policy.check import check
from jitid.policy.default import default_files, example_files, schema
from jitid.policy.evaluate import Policy
from jitid.policy.policy_request import NO_DIRECTORY_FACTS, DirectoryFacts
from jitid.policy.policy_text import read_rules
from jitid.values.times import format_duration, format_time
from tests.man.source import displays, items, plain, read, section
from tests.policy.asking import DEFAULT, KNOWN, NOON, request
from tests.real import Shell, command, faked, surroundings

PAGE = read("jitid-policy.7")
DEFAULT_TEXT = default_files()[0][1]
EXAMPLES = {
    match[1]: text
    for text in displays(section(PAGE, "EXAMPLES"))
    if (match := re.match(r'@id\("([^"]+)"\)', text))
}
HOUR = 3600
PAYMENTS = ("https://payments.example",)
REGISTERED = KNOWN._replace(registered=True, owner="user:alice")

# For each example: requests, and whether it permits them together with the default policy.
BESIDE: dict[str, list[tuple[dict[str, Any], bool]]] = {
    "prod-is-for-deploy-bot": [
        ({"scopes": ("prod:web",)}, False),
        ({"scopes": ("*:web",)}, False),
        ({"scopes": ("prod:web",), "agent": "deploy-bot", "standing": REGISTERED}, True),
        ({"scopes": ("prod:*",), "agent": "deploy-bot", "standing": REGISTERED}, True),
        ({"scopes": ("prod:web",), "agent": "deploy-bot"}, False),
        ({"scopes": ("prod:web",), "standing": REGISTERED}, False),
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
        ({"delegator": "user:mallory", "depth": 1, "delegator_proof": "oidc"}, False),
        ({}, True),
    ],
}
# The same for requests that the default policy does not permit.
ROOT = {"kind": "ssh-cert", "template": "hosts/root", "task": "REL-7", "task_owner": "user:alice"}
ADDING: dict[str, list[tuple[dict[str, Any], bool]]] = {
    "root-for-rel-7": [
        ({**ROOT, "delegator": "user:bob"}, True),
        ({**ROOT, "task_owner": "user:mallory"}, False),
        ({**ROOT, "task": "REL-8"}, False),
        ({**ROOT, "template": "hosts/other"}, False),
    ],
}
CI = {"agent": "builder", "delegator": "system:ci-main", "standing": REGISTERED}
ALONE: dict[str, list[tuple[dict[str, Any], bool]]] = {
    "ci-builds": [
        (CI, True),
        ({**CI, "scopes": ("repo:read", "cache:write")}, True),
        ({**CI, "scopes": ("repo:write",)}, False),
        ({**CI, "agent": "planner"}, False),
        ({**CI, "standing": KNOWN}, False),
        ({**CI, "delegator": "user:alice"}, False),
        ({**CI, "kind": "opaque"}, False),
        ({**CI, "depth": 2}, False),
    ],
}


def test_every_example_is_tried() -> None:
    assert EXAMPLES.keys() == BESIDE.keys() | ADDING.keys() | ALONE.keys()


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
        # If the request is denied, the example denied it.
        assert expected or decision.rules == (name,)
        assert DEFAULT.decide(request(**fields), explain=False).permit, fields


@pytest.mark.parametrize("name", ADDING)
def test_an_example_permits_more_than_the_default_policy(name: str) -> None:
    policy = Policy([*default_files(), (f"{name}.cedar", EXAMPLES[name])])
    for fields, expected in ADDING[name]:
        assert policy.decide(request(**fields), explain=False).permit is expected, fields
        assert not DEFAULT.decide(request(**fields), explain=False).permit, fields


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
    shown = displays(section(PAGE, "Structure of a policy", "Ss"))[0]
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
    """The page's caveat is true: a rule about the beginning of a scope does not match a wildcard that covers it."""
    naive = '@id("naive") forbid (principal, action, resource) when { context.scope like "prod:*" };'
    policy = Policy([*default_files(), ("naive.cedar", naive)])
    for scope in ("*:web", "p*:web"):
        assert policy.decide(request(scopes=(scope,)), explain=False).permit


# A policy from beginning to end.

STORY = displays(section(PAGE, "TUTORIAL"))
MORNING, EVENING, NEXT = "2026-11-24 09:00:00", "2026-11-24 20:00:00", "2026-11-25 09:00:00"
"""Times in UTC. In Berlin: 10:00 on a Tuesday, 21:00 on that day, 10:00 on the next day."""


def _file(name: str) -> str:
    return next(text for file, text in example_files() if file == name)


def test_the_story_shows_the_files_of_the_example() -> None:
    assert _file("release.cedar") in STORY
    assert _file("release.test.toml") in STORY
    assert displays(section(PAGE, "Uses", "Ss"))[0] in _file("use.cedarschema")


@pytest.mark.deep
def test_the_story_comes_true(tmp_path: Path) -> None:
    """The commands run in their order, at the times of day of the story."""
    begin, examine, enact, morning, evening, why, difference, recurs, leaving = [
        text for text in STORY if text.startswith("jitid ")
    ]
    again = morning.replace("REL-1", "REL-$n").replace("bot.jwt", "$n.jwt").rstrip()
    told = [
        _told(tmp_path / str(number), at, what)
        for number, (at, what) in enumerate(
            [
                (MORNING, begin + examine + enact),
                (MORNING, morning),
                (MORNING, f"for n in 3 4 5 6 7; do {again}; done"),
                (EVENING, evening),
                (EVENING, why),
                (EVENING, difference),
                (NEXT, again.replace("$n", "8")),
                (NEXT, recurs),
                (NEXT, leaving),
                (NEXT, "jitid verify 8.jwt"),
                (NEXT, again.replace("$n", "9")),
            ]
        )
    ]
    begun, first, more, denied, explained, changed, alive, classified, left, dead, late = told
    assert "5 rules in 1 file: in order" in begun
    assert begun.count("\tpassed\t") == _file("release.test.toml").count("[[case]]")
    assert (first, more, alive) == ("", "", "")
    refusal = next(text for text in STORY if text.startswith("jitid: error: "))
    assert denied.split() == [*refusal.split(), "4"]
    for line in ("decision\tpermit\n", "rules\trelease\n", "decision\tdeny\n", "rules\trelease-hours\n"):
        assert line in explained
    assert '"decision":"deny"' in explained.partition("\nnow\t")[2].partition("\n")[0]
    assert "6 credentials would be refused (1 distinct request)" in changed
    assert "revoked 1 live credential" in left
    assert "the credential was revoked at 2026-11-25T09:00:0" in dead
    assert "rule `delegator-disabled`" in late
    assert "release-bot\tstay registered\t" in classified


def test_the_story_with_the_default_policy_beside_it(tmp_path: Path) -> None:
    """The page is right that the prohibitions of the default policy apply to release-bot too."""
    begin, examine, enact, morning, *_ = [text for text in STORY if text.startswith("jitid ")]
    begun = _told(tmp_path / "1", MORNING, begin.replace("init", "init --with-default") + examine + enact)
    assert "16 rules in 2 files: in order" in begun
    assert "\tfailed\t" not in begun
    assert "no case reaches" not in begun
    refused = _told(tmp_path / "2", MORNING, morning)
    assert refused.endswith("\n4")
    assert "rule `asserted-up-to-moderate` forbids it" in refused
    assert "nearest permitted request: the same with --delegator-token-file FILE" in refused
    assert (
        _told(tmp_path / "3", MORNING, morning.replace("--sensitivity high", "").replace("REL-1", "REL-2"))
        == ""
    )


def _told(script: Path, at: str, what: str) -> str:
    """Return the output of commands at a given time, with the status if it is not 0."""
    script.write_text(what)
    home = script.parent / "home"
    home.mkdir(exist_ok=True)
    program = home / "jitid"
    # The user's own file sets guard rails only if HOME is the login's home. Here `--config` names the file.
    config = home / "config.toml"
    config.touch(mode=0o600)
    program.write_text(f'#!/bin/sh\nexec {shlex.join(command())} --config {config} "$@"\n')
    program.chmod(0o755)
    done = subprocess.run(
        [*faked(at), "sh", str(script)],
        env=surroundings(home, TZ="UTC", PATH=f"{home}:{os.environ['PATH']}"),
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "internal error" not in done.stderr
    return done.stdout + done.stderr + (f"{done.returncode}" if done.returncode else "")


def test_a_rule_that_wants_a_proof_asks_for_more() -> None:
    text = next(text for text in STORY if text.startswith('@id("release-proved")'))
    policy = Policy([("release.cedar", _file("release.cedar")), ("more.cedar", text)])
    asked = request(agent="release-bot", delegator="user:alice", scopes=("deploy:web",), standing=REGISTERED)
    assert policy.decide(asked).permit
    assert policy.decide(asked._replace(delegator_proof="asserted"), explain=False).rules == (
        "release-proved",
    )


def test_the_members_of_a_case_are_those_that_are_read() -> None:
    text = section(PAGE, "TEST CASES")
    asked, expected = text.split(".Pp\nThe members of\n.Va expect :\n")
    told = [{name for term in items(part) for name in term.split(" , ")} for part in (asked, expected)]
    assert told == [set(REQUEST), set(EXPECT)]


def test_what_is_not_stated_in_a_case_is_as_told() -> None:
    cases, wrong = read_cases("x", '[[case]]\nname = "x"\nexpect = { decision = "deny" }', zone)
    assert not wrong
    asked = cases[0].request
    told = section(PAGE, "TEST CASES")
    values = (asked.agent, asked.delegator, asked.delegator_proof, asked.task, asked.sensitivity, asked.kind)
    for value in (*values, *asked.audiences, format_time(asked.now), format_duration(asked.lifetime)):
        assert rf"{value}\(dq" in told, value
    assert (asked.depth, asked.scopes, asked.purpose, asked.zone, asked.standing) == (
        0,
        (),
        None,
        None,
        NO_DIRECTORY_FACTS,
    )


def test_a_rule_about_uses_reads_what_is_declared() -> None:
    """The rule denies a use if the enforcement point sends no address, or another one."""
    declared, text = displays(section(PAGE, "Uses", "Ss"))
    assert check([("p.cedar", text)], declared, whole=False).problems == []
    policy = Policy([*default_files(), ("p.cedar", text)])
    undeclared = Policy([*default_files(), ("p.cedar", text)])
    policy.declare_use(declared)
    (address,) = re.findall(r"^\.Li (\{.*\}) \.$", section(PAGE, "Uses", "Ss"), re.MULTILINE)
    inside = plain(address)
    for used, expected in (
        (inside, True),
        (inside.replace("10.1", "11.1"), False),
        ("{}", False),
        ('{"ip":"no address"}', False),
    ):
        asked = request(action="deploy:web", used=used)
        assert undeclared.permits_use(asked, "prod") is not None
        assert (policy.permits_use(asked, "prod") is None) is expected, used


@pytest.mark.parametrize("condition", displays(section(PAGE, "Structure of a policy", "Ss"))[1].splitlines())
def test_what_entities_are_asked_for_is_in_order(condition: str) -> None:
    text = f'@id("r") permit (principal, action == Action::"issue", resource) when {{ {condition} }};'
    assert check([("p.cedar", text)], whole=False).problems == []
    owned = DirectoryFacts(known=True, groups=("sre",), registered=True, owner="user:alice@example.com")
    assert Policy([("p.cedar", text)]).decide(request(standing=owned)).permit
    assert not Policy([("p.cedar", text)]).decide(request(), explain=False).permit
