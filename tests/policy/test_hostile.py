"""Hostile text in a request is plain data: it never changes the meaning of the policy."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.policy.policy_request import PolicyRequest
from tests.policy.asking import DEFAULT, policy, request
from tests.values.hostile import INTRUDERS, NAUGHTY

INJECTIONS = [
    'x" || true',
    '"); permit(principal, action, resource); //',
    'x"};@id("y") permit(principal, action, resource) when {true || "',
    '","sensitivity":"low","x":"',
    '"}, {"sensitivity":"low"',
    '{"__entity":{"type":"Agent","id":"root"}}',
    '{"__extn":{"fn":"ip","arg":"::1"}}',
    'Agent::"root"',
    "\\",
    '\\"',
    "\\u0022",
    "*",
    "?principal",
    "${jndi:x}",
]
TEXTS = [*INJECTIONS, *INTRUDERS, *NAUGHTY]
TEXT_FIELDS = ["agent", "delegator", "task", "kind"]

PERMITTED = request(sensitivity="high", scopes=("repo:read",))
DENIED = request(sensitivity="high", scopes=("repo:read",), depth=4)


def changed(asked: PolicyRequest, field: str, text: str) -> PolicyRequest:
    """Return the request with a text in one of its fields."""
    fields: dict[str, Any] = {field: text}
    return asked._replace(**fields)


# These rules read all fields, so that each field reaches Cedar; only the agent's name decides.
READS_ALL = policy(
    """@id("known") permit(principal == Agent::"planner", action, resource)
       when { context.agent != "" || context == {} };
       @id("kinds") permit(principal == Agent::"planner", action, resource) when { context.kind like "*" };"""
)


@pytest.mark.parametrize("field", ["agent", "delegator", "task"])
def test_hostile_text_changes_no_decision(field: str) -> None:
    """The default policy does not read these fields."""
    for text in TEXTS:
        permitted = DEFAULT.decide(changed(PERMITTED, field, text), explain=False)
        # Text that is not valid Unicode cannot be passed to Cedar.
        assert permitted.permit or permitted.rules == ("evaluation-error",)
        assert permitted.permit or "\ud800" in text
        assert not DEFAULT.decide(changed(DENIED, field, text), explain=False).permit


def test_a_hostile_kind_is_permitted_by_no_rule() -> None:
    """No rule of the default policy names it."""
    for text in TEXTS:
        refused = DEFAULT.decide(changed(PERMITTED, "kind", text), explain=False)
        assert refused.rules in (("kind-by-name",), ("evaluation-error",))
        refused = DEFAULT.decide(PERMITTED._replace(template=text), explain=False)
        assert refused.permit is (text == "")


@pytest.mark.parametrize("field", ["delegator_proof", "purpose", "sensitivity"])
def test_hostile_text_gains_nothing_in_a_field_that_decides(field: str) -> None:
    """It is an unknown value."""
    for text in TEXTS:
        assert not DEFAULT.decide(changed(DENIED, field, text), explain=False).permit
    if field == "sensitivity":
        assert not any(
            DEFAULT.decide(PERMITTED._replace(sensitivity=text), explain=False).permit for text in TEXTS
        )


def test_hostile_scopes_and_audiences_change_no_decision() -> None:
    """A scope with a wildcard is refused among them, and the others are granted."""
    for text in TEXTS:
        decision = DEFAULT.decide(PERMITTED._replace(scopes=("a", text), audiences=(text,)), explain=False)
        assert decision.permit is ("*" not in text and "\ud800" not in text), text
        assert not DEFAULT.decide(DENIED._replace(scopes=(text,)), explain=False).permit


def test_a_name_is_no_other_name() -> None:
    """Quotes, splices or escapes in a name never turn it into the permitted name."""
    for text in [*TEXTS, "planner\x00", 'planner"', "Planner", "planner ", "\\u{70}lanner"]:
        for field in TEXT_FIELDS[1:]:
            assert not READS_ALL.decide(request(agent=text, **{field: "planner"}), explain=False).permit
            other = READS_ALL.decide(request(**{field: text}), explain=False)
            assert other.permit is ("\ud800" not in text)


@given(text=st.text())
def test_any_text_comes_to_cedar_unchanged(text: str) -> None:
    """A purpose equals only itself."""
    literal = "".join(f"\\u{{{ord(character):x}}}" for character in text)
    asked = policy(f'@id("a") permit(principal, action, resource) when {{ context.purpose == "{literal}" }};')
    assert asked.decide(request(purpose=text), explain=False).permit
    assert not asked.decide(request(purpose=text + " "), explain=False).permit


@pytest.mark.deep
@given(text=st.one_of(st.text(), st.sampled_from(TEXTS)))
def test_a_reason_and_an_advice_are_harmless_to_read(text: str) -> None:
    """For any request, both are one line of printable text."""
    asked = request(
        agent=text, delegator=text, task=text, purpose=text, kind=text, sensitivity=text, delegator_proof=text
    )
    decision = DEFAULT.decide(asked._replace(scopes=(text, "x"), depth=9))
    assert not decision.permit
    for shown in (decision.reason, decision.nearest or ""):
        assert shown.isprintable()
