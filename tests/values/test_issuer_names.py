"""Patterns of names: which names they match, and whether two lists match a common name."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.errors import ConfigurationError
from jitid.values.names import check_pattern, common, matches, overlap

ALPHABET = "ab@"
LONGEST = 3
NAMES = ["".join(each) for length in range(1, 2 * LONGEST + 1) for each in product(ALPHABET, repeat=length)]
"""Every name up to the length of a start and an end together."""

texts = st.text(ALPHABET, min_size=1, max_size=LONGEST)
patterns = st.one_of(
    texts, texts.map(lambda text: f"{text}*"), texts.map(lambda text: f"*{text}"), st.just("*")
)
lists = st.lists(patterns, min_size=1, max_size=3)


@given(ones=lists, others=lists)
def test_two_lists_are_disjoint_exactly_if_no_name_matches_both(ones: list[str], others: list[str]) -> None:
    """Otherwise two issuers could prove one person, or a harmless configuration would be refused."""
    shared = [name for name in NAMES if _any(ones, name) and _any(others, name)]
    found = common(ones, others)
    assert (found is None) == (not shared)
    assert (common(others, ones) is None) == (found is None)
    assert found is None or overlap(*found)


def _any(some: list[str], name: str) -> bool:
    return any(matches(pattern, name) for pattern in some)


@given(pattern=patterns)
def test_a_pattern_is_a_text_with_one_star_at_an_end(pattern: str) -> None:
    """The reference is the matching of shells, not jitid's own code."""
    from fnmatch import fnmatchcase

    assert check_pattern(pattern) == pattern
    assert overlap(pattern, pattern)
    for name in NAMES[:200]:
        assert matches(pattern, name) == fnmatchcase(name, pattern)


@pytest.mark.parametrize(
    "text", ["", "a*b", "**", "*a*", "a b", "a**", "a\n", "\u0430*", "?", "[ab]*", "a" * 129]
)
def test_a_text_of_another_form_is_not_a_pattern(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a pattern of names"):
        check_pattern(text)
