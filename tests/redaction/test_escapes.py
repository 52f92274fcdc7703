"""Decoding of escapes in a text: several kinds are decoded, and the rest is unchanged."""

from __future__ import annotations

import html
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jitid.redaction.token_format import escapes, has_escapes, meant
from tests.values.hostile import INTRUDERS, NAUGHTY

PIECES = [
    "\\",
    "%",
    "&",
    "^",
    "\x1b",
    "\x9b",
    "[",
    "(",
    ";",
    "#",
    "x",
    "u",
    "U",
    "25",
    "amp;",
    "41",
    "0",
    "m",
    "é",
    "_",
]
texts = st.one_of(
    st.text(), st.sampled_from(NAUGHTY), st.lists(st.sampled_from([*PIECES, *INTRUDERS])).map("".join)
)


@given(texts)
@example("\\x")
@example("\\u00")
def test_escapes_stand_one_behind_the_other(text: str) -> None:
    """Escapes do not overlap, and each represents at most one character."""
    last = 0
    for start, end, character in escapes(text):
        assert last <= start < end <= len(text)
        assert len(character) <= 1
        last = end
    assert bool([*escapes(text)]) == has_escapes(text)


@given(st.text())
def test_a_text_without_escapes_means_itself(text: str) -> None:
    if not has_escapes(text):
        assert meant(text) == text


@given(st.text(st.characters(codec="ascii")))
def test_what_others_escape_is_meant(text: str) -> None:
    """The encoders' own decoders give the same result."""
    plain = "".join(each for each in text if each.isalnum() or each in " _-.<>'\"")
    assert meant(quote(plain, safe="")) == plain
    assert meant(html.escape(plain)) == plain
    assert meant(html.escape(html.escape("".join(f"&#{ord(each)};" for each in plain)))) == plain
    assert meant("".join(f"\\u{ord(each):04x}" for each in plain)) == plain


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("100 % of 50%, a%zz", "100 % of 50%, a%zz"),
        ("a & b &; &#; &#x; &#xzz; &a b; &thatisnoreferenceatall;", None),
        ("a&nbsp;b&#1114112;c", "abc"),
        ("x^2 ^[[1m!", "x^2 !"),
        ("\x1b[38;2;1;2;3mred\x1b[0m \x1b(B.", "red ."),
        ("\x1b[1\u00e9", "\u00e9"),
        ("\x1b", ""),
        ("\\x1b[1mred\\e[0m\\033[K", "red"),
        ("\\q\\\\\\e\\033", "qe033"),
        ("\\x4", ""),
        ("%2541%25", "A%"),
    ],
)
def test_what_is_no_escape_stays(text: str, means: str | None) -> None:
    assert meant(text) == (text if means is None else means)
