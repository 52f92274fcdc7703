"""What a text means: escapes of several sorts are read, and everything else stays."""

from __future__ import annotations

import html
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.escaped import has_escapes, meant
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


def read(text: str) -> str:
    """Return the characters that a text means."""
    return "".join(character for character, _, _ in meant(text))


@given(texts)
def test_characters_stand_one_behind_the_other(text: str) -> None:
    """Within the text, each in a place of its own; and what is not escaped stands for itself."""
    last = 0
    for character, start, end in meant(text):
        assert last <= start < end <= len(text)
        assert len(character) == 1
        assert end - start > 1 or character == text[start]
        last = end


@given(st.text())
def test_a_text_without_escapes_means_itself(text: str) -> None:
    if not has_escapes(text):
        assert read(text) == text


@given(st.text(st.characters(codec="ascii")))
def test_what_others_escape_is_read(text: str) -> None:
    """As they would read it themselves."""
    plain = "".join(each for each in text if each.isalnum() or each in " _-.<>'\"")
    assert read(quote(plain, safe="")) == plain
    assert read(html.escape(plain)) == plain
    assert read(html.escape(html.escape("".join(f"&#{ord(each)};" for each in plain)))) == plain
    assert read("".join(f"\\u{ord(each):04x}" for each in plain)) == plain


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
    assert read(text) == (text if means is None else means)
