"""Policies that require an approval: their decisions with it, and their answers without it."""

from __future__ import annotations

from itertools import chain, combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.errors import ConfigurationError
from tests.policy.asking import PERMIT_ALL, PERMIT_ISSUE, policy, request, requests

GRANT = '@id("grant") permit (principal, action == Action::"grant", resource);\n'
PROD = '@id("prod") {} {} (principal, action == Action::"grant", resource) when {{ context.scope like "prod:*" }};\n'
SECURED = '@id("secured") @approval("security") permit (principal, action == Action::"issue", resource);\n'


def test_a_permission_that_asks_permits_only_once_it_is_approved() -> None:
    asked = policy(SECURED)
    decision = asked.decide(request())
    assert not decision.permit
    assert decision.needs == ("security",)
    assert decision.nearest is None
    assert decision.reason.startswith("an approval by `security` is required: agent `planner`")
    assert asked.decide(request(), approved=frozenset({"security"})).permit
    assert not asked.decide(request(), approved=frozenset({"finance"})).permit


def test_a_prohibition_that_asks_steps_aside_once_it_is_approved() -> None:
    asked = policy(PERMIT_ALL, PROD.format('@approval("sre")', "forbid"))
    assert asked.decide(request(scopes=("repo:read",))).permit
    decision = asked.decide(request(scopes=("prod:db",)))
    assert decision.needs == ("sre",)
    assert decision.rules == ("prod",)
    assert "an approval by `sre` is required (rule `prod`)" in decision.reason
    approved = asked.decide(request(scopes=("prod:db",)), approved=frozenset({"sre"}))
    assert approved.permit
    assert approved.granted == ("prod:db",)


def test_whoever_may_anyway_needs_nobody() -> None:
    asked = policy(SECURED, '@id("own") permit (principal == Agent::"planner", action, resource);')
    assert asked.decide(request()).permit
    assert asked.decide(request(agent="other")).needs == ("security",)


def test_a_prohibition_without_an_approval_wins_over_every_approval() -> None:
    forbid = '@id("never") forbid (principal, action, resource) when { context.task == "INC-4821" };'
    asked = policy(SECURED, forbid)
    decision = asked.decide(request())
    assert (decision.permit, decision.needs, decision.rules) == (False, (), ("never",))
    assert not asked.decide(request(), approved=frozenset({"security"})).permit


def test_of_two_that_permit_one_is_enough_and_of_two_that_forbid_both_are_needed() -> None:
    first = '@id("a") @approval("one") permit (principal, action, resource);'
    second = '@id("b") @approval("two") permit (principal, action, resource);'
    either = policy(first, second)
    assert either.decide(request()).needs == ("one",)
    assert either.decide(request(), approved=frozenset({"two"})).permit
    both = policy(PERMIT_ALL, first.replace("permit", "forbid"), second.replace("permit", "forbid"))
    assert both.decide(request()).needs == ("one", "two")
    assert both.decide(request(), approved=frozenset({"two"})).needs == ("one",)
    assert both.decide(request(), approved=frozenset({"one", "two"})).permit


def test_a_group_that_is_asked_anyway_is_enough_for_a_permission_too() -> None:
    """If one group must approve to lift the prohibition, no other group is required for the permission."""
    asked = policy(
        '@id("a") @approval("a-team") permit (principal, action, resource);',
        '@id("b") @approval("b-team") permit (principal, action, resource);',
        '@id("c") @approval("b-team") forbid (principal, action, resource);',
    )
    assert asked.decide(request()).needs == ("b-team",)


def test_the_issue_and_a_scope_may_need_different_groups() -> None:
    asked = policy(SECURED, GRANT, PROD.format('@approval("sre")', "forbid"))
    assert asked.decide(request(scopes=("prod:db",))).needs == ("security", "sre")
    assert asked.decide(request(scopes=("repo:read",))).needs == ("security",)


def test_what_an_approval_does_not_mend_asks_for_none() -> None:
    """A scope that no rule permits stays refused, with any approval."""
    asked = policy(SECURED)
    decision = asked.decide(request(scopes=("prod:db",)))
    assert (decision.permit, decision.needs) == (False, ())


def test_narrow_takes_what_is_permitted_and_asks_nobody() -> None:
    asked = policy(PERMIT_ISSUE, GRANT, PROD.format('@approval("sre")', "forbid"))
    wanted = request(scopes=("prod:db", "repo:read"))
    decision = asked.decide(wanted, narrow=True)
    assert decision.permit
    assert decision.granted == ("repo:read",)
    assert [one.scope for one in decision.refused] == ["prod:db"]
    assert asked.decide(wanted).needs == ("sre",)
    assert asked.decide(wanted, approved=frozenset({"sre"})).granted == wanted.scopes


def test_narrow_with_nothing_left_asks() -> None:
    asked = policy(PERMIT_ISSUE, GRANT, PROD.format('@approval("sre")', "forbid"))
    assert asked.decide(request(scopes=("prod:db",)), narrow=True).needs == ("sre",)


def test_an_approved_permission_bounds_the_lifetime() -> None:
    asked = policy(SECURED.replace("@approval", '@max_ttl("5m") @approval'))
    assert asked.decide(request(), approved=frozenset({"security"})).max_ttl == 300


@pytest.mark.parametrize("group", ["sre", "Site Reliability", "a'b", "été", "x};", "//", "a@b.c", "()"])
def test_a_group_may_have_any_name_without_escapes(group: str) -> None:
    asked = policy(f'@id("r") @approval("{group}") permit (principal, action, resource);')
    assert asked.decide(request()).needs == (group,)
    assert asked.decide(request(), approved=frozenset({group})).permit


@pytest.mark.parametrize(
    "annotation", ["@approval", '@approval("")', '@approval("  ")', r'@approval("a\"b")']
)
def test_an_approval_by_nobody_is_refused(annotation: str) -> None:
    with pytest.raises(ConfigurationError, match="`@approval` must be the name of a group"):
        policy(f'@id("r") {annotation} permit (principal, action, resource);')


@pytest.mark.parametrize(
    "text",
    [
        '@approval("sre") @id("r") permit (principal, action, resource);',
        '@id("r")// ;\n@approval ( "sre" )\npermit (principal, action, resource) when { true } // ;\n;',
        '@id("r") @approval("sre") permit (principal, action, resource) unless { context.task == "when {" };// x',
        '// @approval("other")\n@id("r") @note("@approval(1)") @approval("sre") permit (principal, action, resource);',
    ],
)
def test_an_approval_is_found_wherever_it_stands(text: str) -> None:
    asked = policy(text)
    assert asked.decide(request()).needs == ("sre",)
    assert asked.decide(request(), approved=frozenset({"sre"})).permit


def test_an_annotation_in_a_comment_or_a_string_asks_nobody() -> None:
    asked = policy(
        '@id("r") @note("@approval") permit (principal, action, resource) // @approval("sre")\n'
        'when { context.task != "@approval" };'
    )
    assert asked.decide(request()).permit


GROUPS = ("a", "b", "c")
rules = st.lists(
    st.tuples(
        st.sampled_from(["permit", "forbid"]),
        st.sampled_from([None, *GROUPS]),
        st.sampled_from(["issue", "grant"]),
        st.sampled_from(["true", "context.depth == 0", 'context.kind == "jwt"', "context.wildcard"]),
    ),
    max_size=6,
)


@given(rules=rules, asked=requests)
def test_what_is_needed_is_enough_and_nothing_else_would_be_asked(
    rules: list[tuple[str, str | None, str, str]], asked: object
) -> None:
    """A request passes with the approvals that it needs. It needs some only if it does not pass without any."""
    text = "".join(
        f'@id("r{number}") '
        + (f'@approval("{group}") ' if group else "")
        + f'{effect} (principal, action == Action::"{action}", resource) when {{ {condition} }};\n'
        for number, (effect, group, action, condition) in enumerate(rules)
    )
    made = policy(text)
    decision = made.decide(asked, explain=False)  # type: ignore[arg-type] # Hypothesis builds it
    passing = [
        set(some)
        for some in chain.from_iterable(combinations(GROUPS, size) for size in range(len(GROUPS) + 1))
        if made.decide(asked, explain=False, approved=frozenset(some)).permit  # type: ignore[arg-type] # as above
    ]
    if decision.permit:
        assert set() in passing
    elif passing:
        assert set(decision.needs) in passing
    else:
        assert decision.needs == ()
