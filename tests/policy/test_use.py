"""Whether a credential may be used: the action `authorize`, which is asked about each use."""

from __future__ import annotations

import json

import pytest

from jitid.policy.cedar import Policy
from jitid.policy.decision import PolicyRequest, Standing, Use
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
    """Insist that a use is refused; return the rules that say so."""
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


def test_a_rule_for_every_action_is_one_for_use_too() -> None:
    assert policy(PERMIT_ALL).permits_use(USE, LOGS) is None
    named = policy('@id("own") permit (principal == Agent::"planner", action, resource);')
    assert named.permits_use(USE, LOGS) is None
    assert refused(named, USE._replace(agent="other"), LOGS) == ("default-deny",)


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
    """What cannot be judged is refused, by the rule that could not judge it."""
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
        assert "the context has what Cedar has not: null, a fraction" in refusal.reason
        assert "schema" not in refusal.reason


def test_many_uses_are_judged_together_as_each_is_alone() -> None:
    text = """@id("sre") permit (principal, action == Action::"authorize", resource)
        when { context.delegator in Group::"sre" && resource != Resource::"sealed" && context.use has ok };"""
    crew = Standing(known=True, groups=("sre",))
    uses = [
        Use(USE._replace(standing=standing, used=used), resource)
        for standing in (crew, KNOWN)
        for used in ('{"ok":1}', "{}", '{"ok":null}', '{"ok":1.5}')
        # Half of a surrogate pair does not even reach Cedar.
        for resource in ("open", "sealed", "\ud800", "open")
    ]
    expected = [policy(PERMIT_ISSUE, text).permits_use(*use) for use in uses]
    assert policy(PERMIT_ISSUE, text).permits_uses(uses) == expected
    assert [one is None for one in expected].count(True) == 2
    assert policy(PERMIT_ISSUE).permits_uses(uses) == [None] * len(uses)
    assert policy(PERMIT_ISSUE, text).permits_uses([]) == []


def test_an_address_is_written_as_cedar_writes_it() -> None:
    """The validator takes no other: `ip(context.use.ip)` is not literal."""
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
    standing = Standing(known=True, groups=("sre",), registered=True, owner="user:bob")
    assert asked.permits_use(USE._replace(standing=standing), LOGS) is None
    assert refused(asked, USE, LOGS) == ("default-deny",)


def test_a_resource_may_have_any_name() -> None:
    for name in ('a"b', "a\\b", "é", "x\n", 'Resource::"y"'):
        literal = "".join(f"\\u{{{ord(character):x}}}" for character in name)
        text = f'@id("r") permit (principal, action, resource == Resource::"{literal}");'
        asked = policy(PERMIT_ISSUE, text)
        assert asked.permits_use(USE, name) is None
        assert asked.permits_use(USE, name + "x") is not None
