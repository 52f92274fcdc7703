"""Text beside a token: it is named, and not repeated."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.redaction.surroundings import surroundings
from jitid.redaction.token_format import OPAQUE_PREFIX, bare, checksum

RANDOM = "0aZ" * 10 + "xy"
TOKENS = {
    "jwt": f"eyJhbGciOiJFZERTQSJ9.eyJqdGkiOiJqdGlf{RANDOM}.{RANDOM}-_{RANDOM}",
    "opaque": f"{OPAQUE_PREFIX}{RANDOM}{checksum(RANDOM.encode())}",
}
WAYS: dict[str, tuple[Callable[[str], str], str]] = {
    "quotes": (lambda token: f'"{token}"\n', "quotes around"),
    "single quotes": (lambda token: f"'{token}'\n", "quotes around"),
    "Bearer": (lambda token: f"Bearer {token}\n", "a `Bearer ` prefix before"),
    "bearer": (lambda token: f"bearer {token}\n", "a `Bearer ` prefix before"),
    "header": (
        lambda token: f"Authorization: Bearer {token}\r\n",
        "an `Authorization: Bearer ` prefix before",
    ),
    "setting": (lambda token: f"TOKEN={token}\n", "other text before"),
    "comment": (lambda token: f"{token} # planner\n", "other text after"),
    "JSON": (lambda token: f'{{"access_token": "{token}"}}\n', "other text before and after"),
    "folded": (lambda token: "\n".join(re.findall(".{1,20}", token)), "line breaks within"),
    "spaced": (lambda token: " ".join(re.findall(".{1,20}", token)), "blanks within"),
    "invisible": (lambda token: f"\u200b{token}\n", "an invisible character (U+200B) before"),
    "several": (lambda token: f"{token}\n{token}\n", "more than one token"),
}


@pytest.mark.parametrize("kind", TOKENS)
@pytest.mark.parametrize("way", WAYS)
def test_text_beside_a_token_is_named(way: str, kind: str) -> None:
    spoil, expected = WAYS[way]
    more = "" if "token" in expected else " the token"
    assert surroundings(bare(spoil(TOKENS[kind]))) == f"{expected}{more}"


@pytest.mark.parametrize("kind", TOKENS)
def test_a_token_alone_has_nothing_beside_it(kind: str) -> None:
    assert surroundings(TOKENS[kind]) is None
    assert surroundings("Bearer of bad news") is None
    assert surroundings("") is None
    assert surroundings(f"{TOKENS[kind]}==") is None


@given(text=st.text(), token=st.sampled_from(list(TOKENS.values())), more=st.text())
def test_any_text_can_be_judged(text: str, token: str, more: str) -> None:
    beside = surroundings(f"{text}{token}{more}")
    assert beside is None or RANDOM not in beside
