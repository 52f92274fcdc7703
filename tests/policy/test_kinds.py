"""A kind or a template is permitted only by rules that name it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.policy.asking import DEFAULT, PERMIT_ALL, policy, request

ISSUE = 'permit(principal, action == Action::"issue", resource)'
BY_NAME = ("kind-by-name",)


@pytest.mark.parametrize(
    "condition",
    [
        'context.kind == "ssh-cert"',
        'context["kind"] == "ssh-cert"',
        'context.template == "hosts/root"',
        'context.kind like "*"',
        '["ssh-cert"].contains(context.kind)',
    ],
)
def test_a_permitting_rule_that_reads_it_names_it(condition: str) -> None:
    asked = policy(PERMIT_ALL, f'@id("named") {ISSUE} when {{ {condition} }};')
    root = request(kind="ssh-cert", template="hosts/root")
    assert asked.decide(root).permit
    assert asked.decide(request(may_kind=(("ssh-cert", "hosts/root"),))).permit


@pytest.mark.parametrize(
    "rule",
    [
        # The rule does not apply.
        f'@id("other") {ISSUE} when {{ context.kind == "x509-svid" }};',
        f'@id("other") {ISSUE} when {{ context.kind == "ssh-cert" && context.template == "" }};',
        # The rule forbids other kinds.
        '@id("other") forbid(principal, action, resource) when { context.kind == "x509-svid" };',
        # The rule is about scopes, or about uses.
        '@id("other") permit(principal, action == Action::"grant", resource) when { context.kind like "*" };',
        '@id("other") permit(principal, action == Action::"authorize", resource) when { context.kind like "*" };',
        # The rule may read any fact.
        f'@id("other") {ISSUE} unless {{ context == {{}} }};',
        f'@id("other") {ISSUE} when {{ context["\\u{{6b}}ind"] == "ssh-cert" }};',
        # The rule reads another attribute with that name.
        f'@id("other") {ISSUE} when {{ context.delegator.kind == "user" }};',
    ],
)
def test_no_other_rule_does(rule: str) -> None:
    asked = policy(PERMIT_ALL, rule)
    wanted: list[dict[str, Any]] = [
        {"kind": "ssh-cert", "template": "hosts/root"},
        {"template": "web/front"},
        {"may_kind": (("ssh-cert", "hosts/root"),)},
    ]
    for fields in wanted:
        decision = asked.decide(request(**fields))
        assert (decision.permit, decision.rules) == (False, BY_NAME)
        assert "context.template ==" in str(decision.nearest)
    assert '"hosts/root"' in str(decision.nearest)
    narrowed = asked.decide(request(may_kind=(("ssh-cert", "hosts/root"),)), narrow=True)
    assert narrowed.permit
    assert [refusal.scope for refusal in narrowed.refused_kinds] == ["ssh-cert:hosts/root"]


def test_a_prohibition_is_told_before_a_missing_name() -> None:
    asked = policy(PERMIT_ALL, '@id("no") forbid(principal, action, resource) when { context.depth == 0 };')
    assert asked.decide(request(kind="ssh-cert")).rules == ("no",)


def test_each_kind_is_judged_as_if_it_were_issued() -> None:
    asked = policy(
        PERMIT_ALL,
        f'@id("kinds") @max_ttl("1m") {ISSUE} when {{ context.kind like "*-*" }};',
        '@id("no-root") forbid(principal, action, resource) when { context.template == "hosts/root" };',
    )
    decision = asked.decide(request(may_kind=(("ssh-cert", ""), ("x509-svid", ""))))
    # The limit applies to the obtained credentials, not to their holder.
    assert (decision.permit, decision.max_ttl) == (True, None)
    decision = asked.decide(request(may_kind=(("ssh-cert", "hosts/root"), ("x509-svid", ""))))
    assert (decision.permit, decision.rules) == (False, ("no-root",))
    assert decision.nearest == "the same without --may-kind"
    narrowed = asked.decide(request(may_kind=(("ssh-cert", "hosts/root"), ("x509-svid", ""))), narrow=True)
    assert [refusal.scope for refusal in narrowed.refused_kinds] == ["ssh-cert:hosts/root"]


def test_an_approval_names_it_too() -> None:
    asked = policy(
        PERMIT_ALL,
        f'@id("root") @approval("ops") {ISSUE} when {{ context.template == "hosts/root" }};',
        f'@id("else") @approval("everybody") {ISSUE} when {{ context.template == "hosts/wheel" }};',
    )
    root = request(kind="ssh-cert", template="hosts/root")
    assert asked.decide(root).needs == ("ops",)
    assert asked.decide(root, approved=frozenset({"ops"})).permit
    assert not asked.decide(root, approved=frozenset({"everybody"})).permit
    assert asked.decide(request(may_kind=(("ssh-cert", "hosts/root"),))).needs == ("ops",)
    assert asked.decide(request(kind="ssh-cert", template="hosts/other")).needs == ()


def test_the_default_policy_names_the_certificates_without_a_template() -> None:
    for kind in ("x509-svid", "jwt-svid", "ssh-cert"):
        assert DEFAULT.decide(request(kind=kind)).permit
        assert DEFAULT.decide(request(kind=kind, template="a/b")).rules == BY_NAME
    for kind in ("postgres-role", "aws-sts", "openbao-lease", "exec:shop"):
        assert DEFAULT.decide(request(kind=kind)).rules == BY_NAME
    for kind in ("jwt", "opaque"):
        assert DEFAULT.decide(request(kind=kind)).permit
        assert DEFAULT.decide(request(kind=kind, template="a/b")).rules == BY_NAME
