"""Parsing of forms: each form has one reading, or is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.server.oauth_form import MAX_FORM, MAX_PARAMETERS, OAuthError, parse_form, plain


def refusal(body: bytes, *repeatable: str) -> str:
    """Return the reason for refusing a form."""
    with pytest.raises(OAuthError) as caught:
        parse_form(body, repeatable)
    assert caught.value.code == "invalid_request"
    return caught.value.description


def test_values_are_decoded_once() -> None:
    form = parse_form(b"a=b+c%2Bd&empty=&p%C3%A4=%E2%82%AC&x=%2525&&")
    assert (form.one("a"), form.one("pä"), form.one("x")) == ("b c+d", "€", "%25")
    assert form.one("empty") is None
    assert set(form.names()) == {"a", "pä", "x"}
    with pytest.raises(OAuthError, match="the parameter empty is missing"):
        form.need("empty")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"a=1&a=1", "occurs twice"),
        (b"a=&a=1", "occurs twice"),
        (b"a=1&%61=2", "occurs twice"),
        (b"scope=a&scope=b", "occurs twice"),
        (b"a", "without a name or without ="),
        (b"=1", "without a name or without ="),
        (b"a=%", "broken percent-encoding"),
        (b"a=%4", "broken percent-encoding"),
        (b"a=%zz", "broken percent-encoding"),
        (b"a=%FF", "not UTF-8"),
        (b"a=%ED%A0%80", "not UTF-8"),
        (b"a=%C0%AF", "not UTF-8"),
        (b"a=%00", "control character"),
        (b"a=1%0d%0aX", "control character"),
        (b"a=1\n", "control character"),
        ("a=€".encode(), "not percent-encoded"),
        (b"&".join([b"a%d=1" % n for n in range(MAX_PARAMETERS + 1)]), "more than 64 parameters"),
        (b"a=" + b"1" * MAX_FORM, "longer than"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(body: bytes, why: str) -> None:
    """The error does not repeat any of the form."""
    assert why in refusal(body, "resource")


def test_only_what_may_stands_twice() -> None:
    form = parse_form(b"resource=a&audience=x&resource=b&resource=", ("resource", "audience"))
    assert (form.many("resource"), form.many("audience"), form.many("scope")) == (("a", "b"), ("x",), ())


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        parse_form(body, ("resource",))
    except OAuthError as error:
        assert error.status in (400, 413)


@given(st.text())
def test_what_is_described_has_the_characters_of_a_description(text: str) -> None:
    """RFC 6749, section 5.2."""
    assert all(
        character == " " or ("\x21" <= character <= "\x7e" and character not in '"\\')
        for character in plain(text)
    )
