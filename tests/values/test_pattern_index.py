"""Comparing many scopes takes a number of steps that grows with their text: a request must not block all writers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.model.delegation import Grant, widenings
from jitid.model.request import MOST_AUDIENCES, MOST_DETAILS
from jitid.values import audience, scope
from jitid.values.scope import MOST_SCOPES, Scope, common, covers, intersection, normalise, uncovered

# With few letters and short segments, most pairs of scopes are related to each other.
_literals = st.text("ab", min_size=1, max_size=3)
_segments = _literals | st.text("ab", max_size=2).map(lambda prefix: f"{prefix}*")
scopes = st.lists(_segments, min_size=1, max_size=3).map(lambda parts: Scope(":".join(parts)))
sets = st.lists(scopes, max_size=12)
_labels = st.sampled_from(["a", "b", "*"])
origins = st.builds(
    lambda scheme, labels, port: f"{scheme}://{'.'.join(labels)}{port}",
    st.sampled_from(["https", "http"]),
    st.lists(_labels, min_size=1, max_size=3),
    st.sampled_from(["", ":443"]),
)
audiences = st.lists(origins | st.sampled_from(["urn:a", "https://a/*", "https://a.*.b/path"]), max_size=12)


@given(sets)
def test_a_normal_form_is_that_of_comparing_each_with_each(found: list[Scope]) -> None:
    distinct = sorted(set(found))
    assert normalise(found) == tuple(
        one for one in distinct if not any(other != one and covers(other, one) for other in distinct)
    )


@given(sets, sets)
def test_what_is_not_covered_is_that_of_comparing_each_with_each(
    parent: list[Scope], child: list[Scope]
) -> None:
    """The result has the order and the duplicates of the child's scopes."""
    assert uncovered(parent, child) == tuple(
        one for one in child if not any(covers(other, one) for other in parent)
    )


@given(sets, sets)
def test_what_two_sets_have_in_common_is_that_of_comparing_each_with_each(
    first: list[Scope], second: list[Scope]
) -> None:
    shared = [both for one in first for other in second if (both := common(one, other)) is not None]
    found = intersection(first, second)
    assert normalise(found) == normalise(shared)


@given(audiences, audiences)
def test_audiences_are_those_of_comparing_each_with_each(entries: list[str], others: list[str]) -> None:
    def beyond(entries: list[str], others: list[str]) -> list[str]:
        return [one for one in others if not any(audience.covers(entry, one) for entry in entries)]

    assert audience.uncovered(entries, others) == tuple(beyond(entries, others))
    within = [one for one in entries if one not in beyond(others, entries)]
    within += [one for one in others if one not in beyond(entries, others)]
    assert audience.intersection(entries, others) == tuple(dict.fromkeys(within))


def _lines(work: Callable[[], Any]) -> int:
    """Return how many lines of the modules for scopes and audiences some work runs."""
    files = {module.__file__ for module in (scope, audience)}
    count = 0

    def follow(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        if frame.f_code.co_filename not in files:
            return None
        count += event == "line"
        return follow

    before = sys.gettrace()
    sys.settrace(follow)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


# Each family makes a number of scopes that could cover one another by their first characters.
FAMILIES: dict[str, Callable[[int], list[Scope]]] = {
    "unlike": lambda count: [Scope(f"a{at}*:read") for at in range(count)],
    "alike at the beginning": lambda count: [Scope(f"repo:acme/web{at}*:read*") for at in range(count)],
    "alike at the end": lambda count: [Scope(f"*:*:*:*:*:*:*:{at}*") for at in range(count)],
    "literals": lambda count: [Scope(f"a:b:{at}") for at in range(count)],
    "each within the next": lambda count: [Scope(f"{'a' * (at % 200)}*:{at // 200}") for at in range(count)],
    "a staircase": lambda count: [
        Scope(f"{'a' * (at % 100)}*:{'b' * (99 - at % 100)}*:{at // 100}*") for at in range(count)
    ],
    "all but the last of many segments": lambda count: [
        Scope(f"{'a' * (at % 100)}*:{':'.join('*' * 14)}:x{at}") for at in range(count)
    ],
}


@pytest.mark.deep
@pytest.mark.parametrize("family", FAMILIES)
def test_the_steps_grow_as_the_text_does(family: str) -> None:
    """Two or four times as many scopes take at most two or four times as many steps for each character."""
    make = FAMILIES[family]

    def steps(count: int) -> float:
        some, others = make(count), [Scope(f"{one.removesuffix('*')}z") for one in make(count)]
        work = (
            lambda: normalise([*some, *others]),
            lambda: uncovered(some, others),
            lambda: intersection(some, make(count // 2)),
        )
        return sum(map(_lines, work)) / sum(map(len, (*some, *others)))

    first = steps(200)
    assert steps(400) < 1.2 * first
    assert steps(800) < 1.2 * first


@pytest.mark.parametrize("family", FAMILIES)
def test_the_largest_grants_are_compared_in_few_steps(family: str) -> None:
    """It takes few steps for each character. Comparing each pair took more than a hundred for some families."""
    some = FAMILIES[family](MOST_SCOPES)
    others = [Scope(f"{one.removesuffix('*')}z") for one in some]
    reach = [f"https://{'.'.join('*' * (1 + at % 8))}.a{at}.example" for at in range(MOST_AUDIENCES)]
    details = [f'{{"type":"{at}"}}' for at in range(MOST_DETAILS)]
    parent = Grant(some, reach, details, 9, 0)
    child = Grant(others, [one.replace("*", "z") for one in reach], details, 9, 1)
    text = sum(len(one) for grant in (parent, child) for one in (*grant.scopes, *grant.audiences))
    assert _lines(lambda: widenings(parent, child)) < 5 * text
