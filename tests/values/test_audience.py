"""Audiences with wildcards: the audiences that they cover, and invalid texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.errors import UsageError
from jitid.values.audience import check_one, check_reach, covers, is_named, uncovered

_LABELS = st.sampled_from(["a", "b", "api", "*"])
_ORIGINS = st.builds(
    lambda scheme, labels, port: f"{scheme}://{'.'.join(labels)}{port}",
    st.sampled_from(["https", "http"]),
    st.lists(_LABELS, min_size=1, max_size=3),
    st.sampled_from(["", ":8443"]),
)
ENTRIES = st.one_of(_ORIGINS, st.sampled_from(["urn:a", "urn:*", "https://a/path", "https://*/path"]))


@pytest.mark.parametrize(
    ("entry", "audience", "covered"),
    [
        ("https://*.example.com", "https://api.example.com", True),
        ("https://*.example.com", "https://*.example.com", True),
        ("https://api.*.com", "https://api.example.com", True),
        ("https://*:8443", "https://localhost:8443", True),
        ("https://*.example.com", "https://a.b.example.com", False),
        ("https://*.example.com", "https://example.com", False),
        ("https://*.example.com", "https://api.example.com:8443", False),
        ("https://*.example.com", "http://api.example.com", False),
        ("https://*.example.com", "https://api.example.com/v1", False),
        ("https://*.example.com", "https://api.example.com.evil.net", False),
        ("https://*.example.com", "https://evil.net#.example.com", False),
        ("https://*.example.com", "https://user@x.example.com", False),
        ("https://api.example.com", "https://*.example.com", False),
        ("https://api.example.com", "https://api.example.com/v1", False),
        ("https://API.example.com", "https://api.example.com", False),
        ("api", "api", True),
        ("api", "apis", False),
    ],
)
def test_a_wildcard_is_one_whole_label(entry: str, audience: str, covered: bool) -> None:
    assert covers(entry, audience) is covered


@given(one=ENTRIES)
def test_covering_is_reflexive(one: str) -> None:
    assert covers(one, one)


@given(one=ENTRIES, two=ENTRIES, three=ENTRIES)
def test_covering_is_transitive(one: str, two: str, three: str) -> None:
    if covers(one, two) and covers(two, three):
        assert covers(one, three)


@given(one=ENTRIES, two=ENTRIES)
def test_covering_is_antisymmetric(one: str, two: str) -> None:
    if covers(one, two) and covers(two, one):
        assert one == two


@given(first=st.lists(ENTRIES), second=st.lists(ENTRIES), third=st.lists(ENTRIES))
def test_narrowing_is_transitive(first: list[str], second: list[str], third: list[str]) -> None:
    if not uncovered(first, second) and not uncovered(second, third):
        assert not uncovered(first, third)


@pytest.mark.parametrize(
    "text",
    ["*", "*.example.com", "https://api*.example.com", "https://*.example.com/path", "https://**.x", "urn:*"],
)
def test_a_star_that_is_no_whole_label_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="one whole label"):
        check_reach(text)


def test_a_token_is_for_one_service_each() -> None:
    with pytest.raises(UsageError, match="not the audience of one service"):
        check_one("https://*.example.com")
    assert check_one("https://api.example.com/v1") == "https://api.example.com/v1"


@pytest.mark.parametrize(
    ("audience", "named"),
    [
        ("https://auth.example", True),
        ("https://auth.example/", True),
        ("https://auth.example/token", True),
        ("https://auth.example.com", False),
        ("https://auth.example:8443", False),
        ("urn:jitid:x", True),
        ("urn:jitid:x/y", False),
    ],
)
def test_a_place_below_the_authority_is_the_authority(audience: str, named: bool) -> None:
    assert is_named(audience, ("https://auth.example", "urn:jitid:x")) is named
