"""Adopted secrets are found at every possible place of a text, and no other words are."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.capabilities.scan.hits import Item, Searcher
from jitid.search.find import AFTER, BEFORE, LONGEST, PRINT, SecretSearch, SecretShape

TOKEN = b"ghp_5rN8wq2KxVb7TmY4cJ9LdZ6sHf3"
WORD = b"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b"
LOOKS = SecretSearch(
    [SecretShape("ghp_", len(TOKEN)), SecretShape(None, len(WORD))],
    b"".join(sha256(one).digest()[:PRINT] for one in (TOKEN, WORD)),
)


def places(text: bytes) -> list[int]:
    """Return the places of secrets in a text."""
    return [at for at, _ in LOOKS.search(text, 0, len(text))]


@pytest.mark.parametrize("secret", [TOKEN, WORD])
@pytest.mark.parametrize(
    "around",
    [
        "%s",
        "TOKEN=%s\n",
        'export TOKEN="%s"',
        '{"token": "%s"}',
        "password: %s,",
        "postgres://app:%s@db.example:5432/prod",
        "https://x.example/?token=%s&page=2",
        "(%s)",
        "It is %s.",
        "\0%s\0",
        "x\\n%s\\n",
    ],
)
def test_a_secret_is_found_in_what_stands_around_it(secret: bytes, around: str) -> None:
    before, after = around.encode().split(b"%s")
    assert places(before + secret + after) == [len(before)]


SIGNS = b"Zk/4+w=Q7&x\\y~T8mB2vNc0LsJ6hG"
PREFIXED = 'sk/live"é\U0001f511-Zk4wQ7xyT8mB2vNc0LsJ6hG'.encode()
ESCAPED = SecretSearch(
    [SecretShape(None, len(SIGNS)), SecretShape("sk/", len(PREFIXED))],
    b"".join(sha256(one).digest()[:PRINT] for one in (SIGNS, PREFIXED)),
)


def _html(text: str) -> str:
    """Return JSON as Go writes it."""
    return "".join(f"\\u00{ord(sign):02x}" if sign in "<>&" else sign for sign in json.dumps(text))


@pytest.mark.parametrize("secret", [SIGNS, PREFIXED])
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("encode", [json.dumps, _html, lambda text: json.dumps(text).replace("/", "\\/")])
def test_a_secret_is_found_in_json_within_json(
    secret: bytes, depth: int, encode: Callable[[str], str]
) -> None:
    text = secret.decode()
    for _ in range(depth):
        text = encode(text)
    raw = f"KEY={text}".encode()
    found = list(ESCAPED.search(raw, 0, len(raw)))
    assert sha256(secret).digest() in [print_ for _, print_ in found]
    assert {place for place, _ in found} == {raw.index(b"sk" if secret == PREFIXED else b"Zk")}


@pytest.mark.parametrize(
    "text",
    [
        TOKEN[:-1],
        TOKEN[:-1] + b"4",
        TOKEN.lower(),
        b"x" + WORD,
        WORD + b"0",
        WORD[:-1],
        WORD.upper(),
    ],
)
def test_what_is_not_quite_it_is_not_found(text: bytes) -> None:
    assert places(text) == []
    assert places(b"a " + text + b" b") == []


@given(
    text=st.binary(max_size=200) | st.text("ab=:/ \n", max_size=200).map(str.encode),
    cuts=st.sets(st.integers(0, 400), max_size=6),
    place=st.integers(0, 200),
    secret=st.sampled_from([TOKEN, WORD]),
)
def test_every_cut_into_windows_finds_the_same(
    text: bytes, cuts: set[int], place: int, secret: bytes
) -> None:
    text = text[:place] + b" " + secret + b"\n" + text[place:]
    bounds = [0, *sorted(cut for cut in cuts if cut < len(text)), len(text)]
    found = [one for a, b in pairwise(bounds) for one in LOOKS.search(text, a, b)]
    assert sorted(found) == sorted(LOOKS.search(text, 0, len(text)))
    assert (text.index(b" " + secret + b"\n") + 1) in [at for at, _ in found]


def test_what_no_window_shows_is_not_looked_for() -> None:
    looks = SecretSearch([SecretShape("ghp_", LONGEST + 1), SecretShape(None, 0)], bytes(PRINT))
    assert list(looks.search(b"ghp_" + b"a" * (LONGEST + 10), 0, 100)) == []


def test_long_lines_of_words_cost_no_more_than_their_length() -> None:
    """In a line of boundaries only, each boundary begins a candidate. None is longer than the longest secret."""
    assert places(b"=" * 100_000) == []
    assert places(b"a" * 300_000 + b"=" + WORD) == [300_001]


def test_a_secret_that_two_pieces_share_is_found_once() -> None:
    searcher = Searcher(secret_search=LOOKS)
    searcher.begin(Item("a"))
    text = b"x\n" * ((BEFORE + AFTER) * 20) + b"T=" + TOKEN + b"\n" + b"y\n" * AFTER
    for at in range(0, len(text), 7_777):
        searcher.feed(text[at : at + 7_777])
    searcher.end()
    batch = searcher.take()
    (hit,) = batch.hits
    assert (hit.sort, hit.offset, hit.line) == ("secrets", text.index(TOKEN), (BEFORE + AFTER) * 20 + 1)
    assert batch.finds.secrets == {sha256(TOKEN).digest(): 1}


def test_without_the_sort_nothing_is_looked_for() -> None:
    searcher = Searcher(frozenset({"opaque"}), LOOKS)
    searcher.begin(Item("a"))
    searcher.feed(TOKEN)
    searcher.end()
    assert re.fullmatch(r"Finds\(0 strings\)", repr(searcher.take().finds))
