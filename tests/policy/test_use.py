"""The action `authorize`: whether a credential may be used, decided for each use."""

from __future__ import annotations

import json

import pytest

from jitid.policy.decision import PolicyUse
from jitid.policy.evaluate import Policy
from jitid.policy.policy_request import DirectoryFacts, PolicyRequest
from tests.policy.asking import DEFAULT, KNOWN, PERMIT_ALL, PERMIT_ISSUE, policy, request

READS = """@id("reads") permit (principal, action == Action::"authorize", resource)
    when { context.action like "s3:Get*" && resource == Resource::"arn:aws:s3:::logs/1" };"""
NIGHT = """@id("night") forbid (principal, action == Action::"authorize", resource)
    when { context.hour < 6 };"""
ADDRESS = """@id("address") permit (principal, action == Action::"authorize", resource)
    when { context.use has ip && ip(context.use.ip).isInRange(ip("10.0.0.0/8")) };"""
USE = request(action="s3:GetObject")
LOGS = "arn:aws:s3:::logs/1"


def refused(asked: Policy, use: PolicyRequest, resource: str) -> tuple[str, ...]:
    """Check that a use is refused; return the names of the rules that refuse it."""
    refusal = asked.permits_use(use, resource)
    assert refusal is not None
    return refusal.rules


def test_where_no_rule_speaks_of_use_what_was_issued_may_be_used() -> None:
    for asked in (policy(PERMIT_ISSUE), DEFAULT):
        assert asked.permits_use(USE, LOGS) is None


def test_a_prohibition_alone_leaves_the_rest_free() -> None:
    asked = policy(PERMIT_ISSUE, NIGHT)
    assert asked.permits_use(USE, LOGS) is None
    assert refused(asked, USE._replace(now=0), LOGS) == ("night",)


def test_where_a_rule_permits_use_nothing_else_may() -> None:
    asked = policy(PERMIT_ISSUE, READS)
    assert asked.permits_use(USE, LOGS) is None
    assert refused(asked, USE, LOGS + "0") == ("default-deny",)
    assert refused(asked, USE._replace(action="s3:PutObject"), LOGS) == ("default-deny",)


def test_a_prohibition_wins() -> None:
    asked = policy(PERMIT_ISSUE, READS, NIGHT)
    assert refused(asked, USE._replace(now=0), LOGS) == ("night",)


def test_a_rule_for_every_action_permits_use_and_leaves_the_rest_as_it_was() -> None:
    """The rule does not name `authorize`: other uses are permitted, unless another rule permits `authorize` by name."""
    own = '@id("own") permit (principal == Agent::"planner", action, resource);'
    for text in (PERMIT_ALL, own, PERMIT_ISSUE + own):
        assert policy(text).permits_use(USE, LOGS) is None
        assert policy(text).permits_use(USE._replace(agent="other"), LOGS) is None
    both = policy(PERMIT_ISSUE, own, READS)
    assert both.permits_use(USE, "other") is None
    assert both.permits_use(USE._replace(agent="other"), LOGS) is None
    assert refused(both, USE._replace(agent="other"), "other") == ("default-deny",)
    assert refused(policy(own, NIGHT), USE._replace(now=0), LOGS) == ("night",)
    assert refused(policy(own, NIGHT), USE._replace(now=0, agent="other"), LOGS) == ("night",)


@pytest.mark.parametrize(
    ("head", "condition"),
    [
        ('action == Action::"authorize", resource', "true"),
        ('action in [Action::"issue", Action::"authorize"], resource', "true"),
        ('action == Action::"au\\u{74}horize", resource', "true"),
        ("action, resource is Resource", "true"),
        ('action, resource == Resource::"x"', "true"),
        ("action, resource", 'action == Action::"authorize"'),
        ("action, resource", 'context.action == "s3:GetObject"'),
        ("action, resource", 'context["action"] == "s3:GetObject"'),
        ("action, resource", 'context["\\u{61}ction"] == "s3:GetObject"'),
        ("action, resource", "context.use has ip"),
        ("action, resource", "resource is Resource"),
        ("action, resource", "context == context"),
    ],
)
def test_a_rule_that_says_in_any_way_that_it_is_about_uses_refuses_the_others(
    head: str, condition: str
) -> None:
    """In doubt, the use is refused."""
    text = f'@id("own") permit (principal == Agent::"planner", {head}) when {{ {condition} }};'
    assert refused(policy(PERMIT_ISSUE, text), USE._replace(agent="other"), LOGS) == ("default-deny",)


def test_a_text_counts_as_what_the_use_is_declared_to_have() -> None:
    text = """@id("inside") permit (principal, action == Action::"authorize", resource)
        when { context.use.from.ip.isInRange(ip("10.0.0.0/8")) && context.use.cost.lessThan(decimal("1.5"))
          && context.use.at < datetime("2027-01-01") && context.use.for <= duration("1h")
          && context.use.hops.contains(ip("10.0.0.1")) && context.use.name == "10.1.2.3" };"""
    declared = """@doc("what ipaddr says") type Use = { from: Origin, cost: decimal, at?: datetime, for: duration,
        // hops: String
        @doc("x") hops: Set<Address>, name: String, other: { "a b"?: Long } };
        type Origin = { ip: Address, port: Long }; type Address = __cedar::ipaddr;"""
    said = {
        "from": {"ip": "10.1.2.3", "port": 1},
        "cost": "1.25",
        "at": "2026-11-25",
        "for": "59m",
        "hops": ["10.0.0.1", "::1"],
        "name": "10.1.2.3",
        "undeclared": "1.2.3.4",
    }
    asked = policy(PERMIT_ISSUE, text)
    asked.declare_use(declared)
    assert asked.reads_use
    assert asked.permits_use(USE._replace(used=json.dumps(said)), LOGS) is None
    for wrong in (
        {"cost": "1.5"},
        {"at": "2027-01-01"},
        {"for": "2h"},
        {"hops": ["::1"]},
        {"from": {"ip": "11.0.0.1"}},
    ):
        assert refused(asked, USE._replace(used=json.dumps(said | wrong)), LOGS) == ("default-deny",)
    unfit: tuple[dict[str, object], ...] = (
        {"cost": "much"},
        {"hops": "10.0.0.1"},
        {"from": "10.1.2.3"},
        {"cost": 1},
        {"at": None},
    )
    for each in unfit:
        assert refused(asked, USE._replace(used=json.dumps(said | each)), LOGS)[0] in (
            "inside",
            "evaluation-error",
        )


@pytest.mark.parametrize(
    "declared",
    [
        None,
        "",
        "type Use = { ip: ipaddr",
        "type Use = { ip: String }; // ipaddr",
        "type Other = { ip: ipaddr };",
    ],
)
def test_what_is_not_declared_to_be_more_stays_text(declared: str | None) -> None:
    asked = policy(PERMIT_ISSUE, ADDRESS)
    asked.declare_use(declared)
    assert asked.permits_use(USE._replace(used='{"ip":"10.1.2.3"}'), LOGS) is None


def test_a_text_where_an_address_is_wanted_is_told_as_that() -> None:
    text = ADDRESS.replace("ip(context.use.ip)", "context.use.ip")
    refusal = policy(PERMIT_ISSUE, text).permits_use(USE._replace(used='{"ip":"10.1.2.3"}'), LOGS)
    assert refusal is not None
    assert "expected ipaddr, got string; declare the type ipaddr in use.cedarschema" in refusal.reason
    assert "policy1" not in refusal.reason


@pytest.mark.parametrize(
    ("use", "rules"),
    [
        ({"ip": "10.1.2.3"}, None),
        ({"ip": "192.168.0.1"}, ("default-deny",)),
        ({}, ("default-deny",)),
        ({"ip": "no address"}, ("address",)),
        ({"ip": 4}, ("address",)),
        ({"ip": {"__extn": {"fn": "ip", "arg": "10.0.0.1"}}}, ("address",)),
        ({"other": [1, {"a": 'x"\\'}]}, ("default-deny",)),
    ],
)
def test_a_policy_reads_what_is_said_of_the_use(use: object, rules: tuple[str, ...] | None) -> None:
    """If a rule cannot be evaluated, the use is refused by that rule."""
    refusal = policy(PERMIT_ISSUE, ADDRESS).permits_use(USE._replace(used=json.dumps(use)), LOGS)
    assert (refusal and refusal.rules) == rules


@pytest.mark.parametrize("use", ['{"a":null}', '{"a":1.5}', '{"a":1e400}', '{"a":99999999999999999999}'])
def test_what_cedar_cannot_take_is_refused(use: str) -> None:
    asked = policy(PERMIT_ISSUE, ADDRESS)
    assert refused(asked, USE._replace(used=use), LOGS) == ("evaluation-error",)


def test_what_cedar_cannot_take_is_told_in_terms_of_the_context() -> None:
    for use in ('{"a":null}', '{"a":1.5}', '{"a":{"__extn":{"fn":"ip","arg":"x"}}}'):
        refusal = policy(PERMIT_ISSUE, ADDRESS).permits_use(USE._replace(used=use), LOGS)
        assert refusal is not None
        assert "the context has an unsupported value: null, a fraction" in refusal.reason
        assert "schema" not in refusal.reason


def test_many_uses_are_judged_together_as_each_is_alone() -> None:
    text = """@id("sre") permit (principal, action == Action::"authorize", resource)
        when { context.delegator in Group::"sre" && resource != Resource::"sealed" && context.use has ok };"""
    crew = DirectoryFacts(known=True, groups=("sre",))
    uses = [
        PolicyUse(USE._replace(standing=standing, used=used), resource)
        for standing in (crew, KNOWN)
        for used in ('{"ok":1}', "{}", '{"ok":null}', '{"ok":1.5}')
        # An unpaired surrogate does not even reach Cedar.
        for resource in ("open", "sealed", "\ud800", "open")
    ]
    expected = [policy(PERMIT_ISSUE, text).permits_use(*use) for use in uses]
    assert policy(PERMIT_ISSUE, text).permits_uses(uses) == expected
    assert [one is None for one in expected].count(True) == 2
    assert policy(PERMIT_ISSUE).permits_uses(uses) == [None] * len(uses)
    assert policy(PERMIT_ISSUE, text).permits_uses([]) == []


def test_an_address_is_written_as_cedar_writes_it() -> None:
    """The validator accepts only a literal: `ip(context.use.ip)` is not one."""
    text = """@id("address") permit (principal, action == Action::"authorize", resource)
        when { context.use has ip && context.use.ip.isInRange(ip("10.0.0.0/8")) };"""
    asked = policy(PERMIT_ISSUE, text)
    for address, rules in (("10.1.2.3", None), ("192.168.0.1", ("default-deny",))):
        used = json.dumps({"ip": {"__extn": {"fn": "ip", "arg": address}}})
        refusal = asked.permits_use(USE._replace(used=used), LOGS)
        assert (refusal and refusal.rules) == rules


def test_an_approval_counts_for_use_as_well() -> None:
    asked = policy(PERMIT_ISSUE, READS.replace("permit", '@approval("sre") permit', 1))
    assert refused(asked, USE, LOGS) == ("default-deny",)
    assert asked.permits_use(USE, LOGS, frozenset({"sre"})) is None


def test_the_directory_is_asked_about_use_too() -> None:
    text = """@id("sre") permit (principal, action == Action::"authorize", resource)
        when { context.delegator in Group::"sre" && principal.registered };"""
    asked = policy(PERMIT_ISSUE, text)
    standing = DirectoryFacts(known=True, groups=("sre",), registered=True, owner="user:bob")
    assert asked.permits_use(USE._replace(standing=standing), LOGS) is None
    assert refused(asked, USE, LOGS) == ("default-deny",)


def test_a_resource_may_have_any_name() -> None:
    for name in ('a"b', "a\\b", "é", "x\n", 'Resource::"y"'):
        literal = "".join(f"\\u{{{ord(character):x}}}" for character in name)
        text = f'@id("r") permit (principal, action, resource == Resource::"{literal}");'
        asked = policy(PERMIT_ISSUE, text)
        assert asked.permits_use(USE, name) is None
        assert asked.permits_use(USE, name + "x") is not None
