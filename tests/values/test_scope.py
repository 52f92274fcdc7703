from __future__ import annotations

from itertools import product
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.errors import UsageError
from jitid.values.scope import (
    Scope,
    common,
    covers,
    gathered,
    has_wildcard,
    may_overlap,
    normalise,
    overlap,
    parse_scope,
    uncovered,
)
from tests.values.hostile import INTRUDERS, NAUGHTY

# With two letters and short segments, most pairs of scopes are related to each other.
literal_segments = st.text("ab", min_size=1, max_size=3)
segments = st.one_of(literal_segments, st.text("ab", max_size=2).map(lambda prefix: prefix + "*"))
literals = st.lists(literal_segments, min_size=1, max_size=3).map(lambda parts: parse_scope(":".join(parts)))
scopes = st.lists(segments, min_size=1, max_size=3).map(lambda parts: parse_scope(":".join(parts)))
scope_lists = st.lists(scopes, max_size=6)


@given(scopes)
def test_a_scope_covers_itself(scope: Scope) -> None:
    """The relation is reflexive."""
    assert covers(scope, scope)


@given(scopes, scopes, scopes)
def test_what_the_covered_covers_is_covered(first: Scope, second: Scope, third: Scope) -> None:
    """The relation is transitive: a chain of delegations gains no right."""
    if covers(first, second) and covers(second, third):
        assert covers(first, third)


@given(scopes, scopes)
def test_two_scopes_that_cover_each_other_are_one(first: Scope, second: Scope) -> None:
    """The relation is antisymmetric: there is one spelling of each right."""
    if covers(first, second) and covers(second, first):
        assert first == second


@given(scopes, scopes)
def test_scopes_may_overlap_if_they_do_once_both_are_as_long(first: Scope, second: Scope) -> None:
    shorter, longer = sorted((first, second), key=lambda scope: scope.count(":"))
    cut = Scope(":".join(longer.split(":")[: shorter.count(":") + 1]))
    assert may_overlap(first, second) == may_overlap(second, first) == overlap(shorter, cut)


@given(scopes, scopes, scopes)
def test_what_is_covered_may_overlap_nothing_more(wide: Scope, narrow: Scope, other: Scope) -> None:
    """A narrower scope never comes under an additional floor."""
    if covers(wide, narrow) and may_overlap(narrow, other):
        assert may_overlap(wide, other)


def _meaning(scope: Scope) -> set[str]:
    """Return all literals with up to three letters in a segment that the scope covers, by enumeration."""
    alphabet = ["".join(letters) for size in (1, 2, 3) for letters in product("ab", repeat=size)]
    choices = [
        [word for word in alphabet if word.startswith(segment[:-1])] if segment[-1] == "*" else [segment]
        for segment in scope.split(":")
    ]
    return {":".join(words) for words in product(*choices)}


@given(
    st.lists(segments, min_size=1, max_size=2).map(lambda parts: parse_scope(":".join(parts))),
    st.lists(segments, min_size=1, max_size=2).map(lambda parts: parse_scope(":".join(parts))),
)
def test_covering_is_inclusion_of_what_is_meant(parent: Scope, child: Scope) -> None:
    """The rule on text agrees with an enumeration of the literals."""
    assert covers(parent, child) == (_meaning(parent) >= _meaning(child))


@given(scopes, scopes, scopes)
def test_what_two_scopes_have_in_common_covers_just_what_both_cover(
    first: Scope, second: Scope, third: Scope
) -> None:
    """The result is the greatest lower bound, if there is one."""
    both = common(first, second)
    assert both == common(second, first)
    assert overlap(first, second) == (both is not None)
    if both is not None:
        assert covers(first, both)
        assert covers(second, both)
    within = both is not None and covers(both, third)
    assert within == (covers(first, third) and covers(second, third))


@pytest.mark.parametrize(
    ("parent", "child", "expected"),
    [
        ("repo:read", "repo:read", True),
        ("repo:read", "repo:write", False),
        ("repo:read", "repo:readme", False),
        ("repo:*", "repo:read", True),
        ("repo:*", "repo:*", True),
        ("repo:*", "repo:a*", True),
        ("repo:a*", "repo:*", False),
        ("repo:a*", "repo:a", True),
        ("repo:a", "repo:a*", False),
        ("repo:a*", "repo:b", False),
        ("repo:ab*", "repo:a*", False),
        ("repo:*", "repo:a:b", False),
        ("*", "repo", True),
        ("*", "repo:read", False),
        ("*:*", "repo", False),
        ("*:read", "repo:read", True),
        ("*:read", "repo:readme", False),
        ("*:read", "repo:read*", False),
        ("repo:*:read", "repo:acme:write", False),
        ("repo:acme/*:read", "repo:acme/web:read", True),
        ("repo:acme/*:read", "repo:acme:read", False),
        ("Repo", "repo", False),
    ],
)
def test_covering_by_example(parent: str, child: str, expected: bool) -> None:
    """A star ends at its segment, and a literal covers only itself."""
    assert covers(parse_scope(parent), parse_scope(child)) is expected


@given(scope_lists)
def test_a_normal_form_covers_and_is_covered_by_what_it_came_from(given_scopes: list[Scope]) -> None:
    """Normalising neither adds nor removes a right."""
    normal = normalise(given_scopes)
    assert not uncovered(normal, given_scopes)
    assert not uncovered(given_scopes, normal)


@given(scope_lists, st.randoms(use_true_random=False))
def test_a_normal_form_knows_no_order_and_is_final(given_scopes: list[Scope], shuffler: Random) -> None:
    """The same set gives the same sorted tuple, and normalising twice changes nothing more."""
    normal = normalise(given_scopes)
    shuffled = list(given_scopes)
    shuffler.shuffle(shuffled)
    assert normalise(shuffled) == normal == normalise(normal) == tuple(sorted(set(normal)))


@given(scope_lists, scope_lists)
def test_sets_that_cover_each_other_have_one_normal_form(first: list[Scope], second: list[Scope]) -> None:
    """The relation on sets is antisymmetric, too."""
    if not uncovered(first, second) and not uncovered(second, first):
        assert normalise(first) == normalise(second)


@given(scope_lists)
def test_no_scope_of_a_normal_form_covers_another(given_scopes: list[Scope]) -> None:
    """Redundant scopes are removed."""
    normal = normalise(given_scopes)
    assert not any(a != b and covers(a, b) for a in normal for b in normal)


@given(scope_lists, scope_lists)
def test_the_uncovered_are_those_that_nothing_covers(parent: list[Scope], child: list[Scope]) -> None:
    """The optimized code agrees with the definition, and keeps the order."""
    expected = tuple(scope for scope in child if not any(covers(wide, scope) for wide in parent))
    assert uncovered(parent, child) == expected


@given(scopes)
def test_a_literal_covers_itself_alone_and_a_pattern_more(scope: Scope) -> None:
    """A scope without a wildcard represents one right."""
    assert has_wildcard(scope) == (len(_meaning(scope)) > 1)


@given(st.lists(st.text("abcXYZ019._@/+-", min_size=1, max_size=12), min_size=1, max_size=16))
def test_a_well_formed_scope_is_returned_unchanged(parts: list[str]) -> None:
    """Parsing does not change the text."""
    assert parse_scope(":".join(parts)) == ":".join(parts)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "::",
        ":a",
        "a:",
        "a::b",
        "**",
        "*x",
        "a**",
        "a*b",
        "*:*x",
        "a b",
        " a",
        "a ",
        "a\n",
        "a:b\n",
        "a,b",
        "a;b",
        'a"b',
        "a\\b",
        "a" * 257,
        ":".join(["a"] * 17),
        "*" * 257,
    ],
)
def test_what_is_no_scope_is_refused(text: str) -> None:
    """Empty segments, stars in the middle, foreign characters and texts over the limits."""
    with pytest.raises(UsageError):
        parse_scope(text)


@given(st.text(), st.sampled_from(INTRUDERS), st.text("ab:*", max_size=4))
def test_no_intruder_gets_in_anywhere(before: str, intruder: str, after: str) -> None:
    """This includes the start and the end, where a pattern with `$` would accept a newline."""
    with pytest.raises(UsageError):
        parse_scope(before + intruder + after)


@pytest.mark.parametrize("text", NAUGHTY)
def test_a_hostile_string_is_a_plain_scope_or_refused_safely(text: str) -> None:
    """An accepted text is ASCII without a space. The message of a refusal is one printable line."""
    try:
        scope = parse_scope(text)
    except UsageError as error:
        assert error.message.isprintable()
    else:
        assert scope.isascii()
        assert scope.isprintable()
        assert " " not in scope


def test_the_limits_themselves_are_allowed() -> None:
    """256 characters and 16 segments."""
    assert parse_scope("a" * 256)
    assert parse_scope(":".join(["*"] * 16))


@given(st.lists(scopes, max_size=12), st.integers(1, 4))
def test_what_was_gathered_covers_what_it_was_gathered_from(given_: list[Scope], alike: int) -> None:
    """The result is in normal form, and gathering it again changes nothing more."""
    found = gathered(given_, alike)
    assert uncovered(found, given_) == ()
    assert normalise(found) == found
    assert gathered(found, alike) == found


@given(st.lists(scopes, max_size=12, unique=True))
def test_few_scopes_are_not_put_together(given_: list[Scope]) -> None:
    assert gathered(given_, len(given_)) == normalise(given_)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([f"tickets:INC-{n}:write" for n in range(11)], ["tickets:INC-*:write"]),
        ([f"tickets:INC-{n}:write" for n in range(10)], [f"tickets:INC-{n}:write" for n in range(10)]),
        ([f"{n}:x" for n in range(11)] + ["x"], ["*:x", "x"]),
        ([f"db:{n}:{m}" for n in "abcdefghijkl" for m in range(20)], ["db:*:*"]),
        (["run", *(f"run{n}" for n in range(11))], ["run*"]),
        ([f"run:a{'b' * n}*" for n in range(11)], ["run:a*"]),
        ([f"{n}:{n}" for n in range(11)], sorted(f"{n}:{n}" for n in range(11))),
    ],
)
def test_scopes_that_differ_in_one_segment_become_one(texts: list[str], expected: list[str]) -> None:
    assert list(gathered(map(parse_scope, texts))) == expected
