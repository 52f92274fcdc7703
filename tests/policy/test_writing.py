"""Cedar reads generated policy text with the same meaning."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.policy import cedar_text
from jitid.values.text import safe
from tests.policy.asking import NOON, policy, request
from tests.policy.test_hostile import TEXTS

# Text that is not valid Unicode reaches neither a policy nor a request.
texts = (st.sampled_from(TEXTS) | st.text()).filter(
    lambda text: not any("\ud800" <= each <= "\udfff" for each in text)
)
HOURS = st.frozensets(st.integers(0, 23), min_size=1)


@given(text=texts, other=texts)
def test_a_string_is_the_text_and_no_other(text: str, other: str) -> None:
    rule = policy(
        f'@id("it") permit(principal, action, resource) when {{ context.purpose == {cedar_text.string(text)} }};'
    )
    assert rule.decide(request(purpose=text), explain=False).permit
    assert rule.decide(request(purpose=other), explain=False).permit == (other == text)


@given(text=texts | st.sampled_from(["a\u3164b", "\u2800", "x\ufe0f", "\u202e", "\U0001d159"]))
def test_what_is_written_hides_nothing(text: str) -> None:
    """An operator reads the text before it becomes a rule."""
    assert safe(cedar_text.string(text)) == cedar_text.string(text)


@given(text=texts)
def test_an_entity_is_the_one_of_that_name(text: str) -> None:
    rule = policy(f'@id("it") permit(principal == {cedar_text.entity("Agent", text)}, action, resource);')
    assert rule.decide(request(agent=text), explain=False).permit
    assert not rule.decide(request(agent=f"{text}x"), explain=False).permit


def _allowed(condition: str | None) -> list[int]:
    """Return the hours that a condition permits."""
    if condition is None:
        return list(range(24))
    rule = policy(f'@id("it") permit(principal, action, resource) when {{ {condition} }};')
    midnight = NOON - NOON % 86_400
    return [
        hour for hour in range(24) if rule.decide(request(now=midnight + hour * 3_600), explain=False).permit
    ]


@given(HOURS)
def test_a_range_has_all_that_was_seen_and_leaves_out_the_widest_gap(seen: frozenset[int]) -> None:
    allowed = _allowed(cedar_text.within("context.hour", seen, 0, 23))
    assert seen <= set(allowed)
    missing = 24 - len(allowed)
    widest = max(next(size for size in range(24) if (hour + size + 1) % 24 in seen) for hour in seen)
    assert missing == widest


@pytest.mark.parametrize(
    ("seen", "condition"),
    [
        ({9, 12, 16}, "context.hour >= 9 && context.hour <= 16"),
        ({22, 23, 1, 4}, "(context.hour >= 22 || context.hour <= 4)"),
        ({7}, "context.hour == 7"),
        ({0, 5}, "context.hour <= 5"),
        ({20, 23}, "context.hour >= 20"),
        (set(range(24)), None),
        ({0, 12}, "context.hour <= 12"),
    ],
)
def test_a_range_is_written_as_one_would(seen: set[int], condition: str | None) -> None:
    assert cedar_text.within("context.hour", seen, 0, 23) == condition


def test_the_days_of_a_week_go_round() -> None:
    assert cedar_text.within("context.weekday", [1, 2, 3, 4, 5], 1, 7) == "context.weekday <= 5"
    assert (
        cedar_text.within("context.weekday", [6, 7, 1], 1, 7)
        == "(context.weekday >= 6 || context.weekday <= 1)"
    )
    assert cedar_text.within("context.weekday", range(1, 8), 1, 7) is None
