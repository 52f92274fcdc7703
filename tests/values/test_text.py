from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jitid.errors import UsageError
from jitid.redaction.token_format import SIGNED_MARK
from jitid.values.names import check_audience, check_name, encode_segment
from jitid.values.scope import parse_scope
from jitid.values.secret import new_opaque
from jitid.values.text import MARK, check_text, decoded, mark_of, quote, safe
from tests.values.hostile import INTRUDERS, NAUGHTY
from tests.values.segments import decode_segment

any_text = st.one_of(
    st.text(st.characters()),
    st.sampled_from(NAUGHTY),
    st.lists(st.sampled_from(INTRUDERS)).map("".join),
)


@given(any_text)
def test_nothing_that_acts_on_a_terminal_survives(text: str) -> None:
    """Of control, format, surrogate and separator characters, in any plane, only the space remains."""
    for character in safe(text):
        assert character == " " or unicodedata.category(character)[0] not in "CZ"
        assert not 0xE0000 <= ord(character) <= 0xEFFFF


@given(any_text)
def test_making_safe_twice_changes_nothing_more(text: str) -> None:
    """The escapes are plain text, so several places may call it."""
    assert safe(safe(text)) == safe(text)


@given(any_text)
def test_safe_text_can_always_be_encoded(text: str) -> None:
    """Lone surrogates, which come from undecodable arguments, do not break the output."""
    safe(text).encode("utf-8")


@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"])))
def test_visible_ascii_stays_as_it_is(text: str) -> None:
    """This includes backslashes, which would double, and markup, which is not a matter of characters."""
    assert safe(text) == text


@pytest.mark.parametrize("text", ["Zürich", "Ελλάδα", "данные", "日本語", "मानक", "e\u0301", "🙂", "a b", ""])
def test_words_of_all_scripts_stay_readable(text: str) -> None:
    """In free text, only hidden characters and control characters are replaced."""
    assert safe(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\tb\r\n", r"a\tb\r\n"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x00\x7f\x85\x9b\xa0\xad", r"\x00\x7f\x85\x9b\xa0\xad"),
        ("\u061c\u200e\u202e\u2066", r"\u061c\u200e\u202e\u2066"),
        ("\u200b\u200d\u2060\ufeff\ufe0f", r"\u200b\u200d\u2060\ufeff\ufe0f"),
        ("\u034f\u115f\u2800\u3164\uffa0\u180b", r"\u034f\u115f\u2800\u3164\uffa0\u180b"),
        # Invisible glyphs among musical symbols, hieroglyphs and the Khitan script.
        ("\U0001d159\U00013441\U00013442\U00016fe4", r"\U0001d159\U00013441\U00013442\U00016fe4"),
        ("\u2028\u2029\u3000", r"\u2028\u2029\u3000"),
        ("\ud800\ue000\uffff\u0378", r"\ud800\ue000\uffff\u0378"),
        ("\U000e0041\U000e0100\U0010ffff", r"\U000e0041\U000e0100\U0010ffff"),
    ],
)
def test_what_hides_is_shown_by_its_number(text: str, shown: str) -> None:
    """The reader of a log can see which character it was."""
    assert safe(text) == shown


@given(any_text, st.integers(1, 80))
@example("`" * 100, 60)
def test_a_quotation_is_bounded_and_cannot_be_left(text: str, limit: int) -> None:
    """A message stays one line of limited length, and contains only its own backquotes."""
    quoted = quote(text, limit)
    assert quoted[0] == quoted[-1] == "`"
    assert "`" not in quoted[1:-1]
    assert len(quoted) <= limit + 3
    assert safe(quoted) == quoted


def test_a_quotation_shows_where_it_was_cut() -> None:
    """There is an ellipsis only if characters are missing."""
    assert quote("x" * 60) == f"`{'x' * 60}`"
    assert quote("x" * 61) == f"`{'x' * 60}…`"
    assert quote("") == "``"


@pytest.mark.parametrize(
    "token",
    [
        "jitid_" + "a" * 38,
        "Bearer jitid_" + "a" * 38,
        "eyJhbGciOiJFZERTQSJ9.eyJpc3MiOiJ4In0.c2ln",
        " eyJhbGciOiJFZERTQSJ9.eyJpc3MiOiJ4In0.c2ln\n",
    ],
)
def test_what_may_be_a_token_is_not_quoted(token: str) -> None:
    """A token that is pasted instead of a name or an id must not be echoed."""
    assert quote(token) == "`****`"


@pytest.mark.parametrize("check", [check_audience, parse_scope, lambda text: check_text(text, "the reason")])
def test_a_token_is_taken_for_no_other_text(check: Callable[[str], object]) -> None:
    """Text that is stored and shown must not be a secret, not even a mistyped one."""
    token = new_opaque(lambda count: bytes(number * 37 % 248 for number in range(count)))
    wrong = token[:-1] + ("0" if token[-1] != "0" else "1")
    for text in (
        token,
        f"x{token}",
        f"{token}@y",
        wrong,
        token[:-6],
        token[:18],
        token[6:],
        f"x:{token[6:]}",
    ):
        with pytest.raises(UsageError) as caught:
            check(text)
        assert token[6:18] not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize("check", [check_audience, parse_scope, lambda text: check_name(text, "task")])
@pytest.mark.parametrize(
    "text",
    [
        "jitid_documentation",
        "jitid_sweep_findings",
        "jitid_DocumentationBot",
        "iYXvIJoqVGZJ5iFhGzRNQbB3PqpzPx4N",
        "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ",
        "CiQwOGE4Njg0Yi1kYjg4LTRiNzMtOTBhOS0zY2QxNjYxZjU0NjYSBWxvY2Fs",
    ],
)
def test_what_others_chose_as_a_name_is_no_token(check: Callable[[str], object], text: str) -> None:
    """Ids of clients and subjects of ID tokens are as random as jitid's tokens."""
    check(text)


def test_a_name_that_a_ledger_has_can_always_be_told() -> None:
    """A name that is refused today may be in an older ledger, and a token of that identity still verifies."""
    token = new_opaque(os.urandom)
    assert decode_segment(encode_segment(token)) == token


def test_the_payload_of_a_signed_token_is_recognised() -> None:
    with pytest.raises(UsageError, match="a token was passed"):
        check_text(f"see eyJhbGciOiJFZERTQSJ9.{SIGNED_MARK}MDAwMA", "the reason")


@given(st.text())
def test_a_byte_order_mark_before_a_text_is_skipped(text: str) -> None:
    """Only one is skipped: a second one would be a character of the text."""
    data = text.encode(errors="replace")
    assert decoded(MARK.encode() + data, "it") == data.decode()
    assert decoded(data, "it") == data.decode().removeprefix(MARK)
    assert (mark_of(data) is None) == (not data.startswith((MARK.encode(), b"\xff\xfe", b"\xfe\xff")))


@given(st.text(min_size=1))
def test_a_text_in_utf_16_is_refused_by_the_name_of_its_mark(text: str) -> None:
    for encoding, mark in (("utf-16-le", b"\xff\xfe"), ("utf-16-be", b"\xfe\xff")):
        with pytest.raises(UsageError, match="it is not UTF-8: it begins with the byte order mark of UTF-16"):
            decoded(mark + text.encode(encoding, errors="replace"), "it")


@pytest.mark.parametrize("check", [parse_scope, check_audience, lambda text: check_name(text, "task")])
def test_a_name_that_holds_a_byte_order_mark_is_refused_by_that_name(check: Callable[[str], str]) -> None:
    for text in (f"{MARK}a", f"a{MARK}", f"a{MARK}b"):
        with pytest.raises(UsageError, match=r"byte order mark \(U\+FEFF\)"):
            check(text)
