from __future__ import annotations

import copy
import json
import os
import pickle
from collections import Counter
from collections.abc import Callable, Iterator
from hashlib import sha256
from zlib import crc32

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jitid.secret import Secret, fingerprint, new_opaque
from jitid.tokenform import is_opaque
from tests.values.hostile import NAUGHTY

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
bodies = st.text(DIGITS, min_size=32, max_size=32)


def _token(body: str) -> str:
    """Return the token with the given random part, its checksum reckoned another way."""
    checksum, rest = "", crc32(body.encode())
    while rest:
        checksum, rest = DIGITS[rest % 62] + checksum, rest // 62
    return "jitid_" + body + checksum.rjust(6, "0")


def _source(data: bytes) -> Callable[[int], bytes]:
    """Return a source of bytes that gives the data over and over."""

    def endless() -> Iterator[int]:
        while True:
            yield from data

    stream = endless()
    return lambda count: bytes(next(stream) for _ in range(count))


SHOWN: list[Callable[[Secret], str]] = [
    repr,
    str,
    format,
    lambda secret: f"{secret}",
    lambda secret: f"{secret!r:>80}",
    lambda secret: f"{secret:>80}",
    lambda secret: "%s %r" % (secret, secret),  # noqa: UP031
    lambda secret: f"{[secret]} { ({'secret': secret}) }",
]


@pytest.mark.parametrize("show", SHOWN)
def test_a_secret_prints_as_stars(show: Callable[[Secret], str]) -> None:
    """However it gets into a log."""
    shown = show(Secret({"token": "hunter2", "other": "hunter2"}))
    assert "Secret('****')" in shown
    assert "hunter2" not in shown


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_secret_is_not_pickled(protocol: int) -> None:
    """A cache or a queue would write it to disk."""
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Secret.single("hunter2"), protocol)


@pytest.mark.parametrize("leak", [copy.copy, copy.deepcopy, json.dumps, vars, hash, iter, len, dict, bytes])
def test_a_secret_does_not_leave_by_a_back_door(leak: Callable[[Secret], object]) -> None:
    """Serialisers and containers look for the usual entrances."""
    with pytest.raises(TypeError) as caught:
        leak(Secret.single("hunter2"))
    assert "hunter2" not in str(caught.value)


def test_secrets_are_not_compared() -> None:
    """Neither with each other nor with a text, nor as a key."""
    secret = Secret.single("hunter2")
    for other in (Secret.single("hunter2"), "hunter2", None):
        with pytest.raises(TypeError, match="fingerprints"):
            assert secret == other
        with pytest.raises(TypeError, match="fingerprints"):
            assert secret != other


def test_each_part_is_revealed_by_its_name() -> None:
    """The one way out; later changes of what it was made of do not reach it."""
    parts = {"access_key": "AKIA", "secret_key": "s3cr3t"}
    secret = Secret(parts)
    parts["secret_key"] = "other"
    assert secret.names == ("access_key", "secret_key")
    assert secret.reveal("secret_key") == "s3cr3t"
    assert Secret.single("hunter2").reveal() == "hunter2"
    with pytest.raises(KeyError, match="token"):
        secret.reveal()


@pytest.mark.parametrize("parts", [{}, {"token": ""}, {"token": "x", "other": ""}])
def test_an_empty_secret_is_not_made(parts: dict[str, str]) -> None:
    """The fingerprint of nothing would match nothing handed out, or everything."""
    with pytest.raises(ValueError, match="at least one part"):
        Secret(parts)


@given(st.dictionaries(st.text(), st.text(min_size=1), min_size=1))
def test_each_part_has_its_fingerprint(parts: dict[str, str]) -> None:
    """SHA-256 of the UTF-8 text, by name."""
    expected = {name: sha256(text.encode()).digest() for name, text in parts.items()}
    assert Secret(parts).fingerprints() == expected


@given(st.text(st.characters()), st.text(st.characters()))
def test_every_text_has_a_fingerprint_of_its_own(first: str, second: str) -> None:
    """Lone surrogates too: what is presented may be anything."""
    assume(first != second)
    assert fingerprint(first) != fingerprint(second)
    assert len(fingerprint(first)) == 32


def test_a_fingerprint_is_the_known_hash() -> None:
    """FIPS 180-2 appendix B.1."""
    assert fingerprint("abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@given(st.binary(min_size=1).filter(lambda data: min(data) < 248))
def test_a_new_token_has_its_shape_and_checksum(data: bytes) -> None:
    """Whatever the source gives: two independent reckonings agree."""
    token = new_opaque(_source(data))
    assert token.startswith("jitid_")
    assert len(token) == 44
    assert is_opaque(token)
    assert token == _token(token[6:38])


def test_every_digit_is_equally_likely() -> None:
    """Of the 256 bytes each digit takes exactly four, and the other eight are drawn again."""
    counts: Counter[str] = Counter()
    for value in range(248):
        counts.update(new_opaque(_source(bytes([value])))[6:38])
    assert set(counts.values()) == {4 * 32}
    assert set(counts) == set(DIGITS)


def test_a_draw_of_biased_bytes_is_made_up_by_another() -> None:
    """Forty bytes that are all thrown away, then forty that are not."""
    draws = iter([bytes(range(248, 256)) * 5, b"\xf8" * 20 + b"\x01" * 20, b"\x02" * 40])
    assert new_opaque(lambda _: next(draws)) == _token("1" * 20 + "2" * 12)


def test_tokens_of_the_system_differ() -> None:
    """A thousand of them."""
    assert len({new_opaque(os.urandom) for _ in range(1000)}) == 1000


@given(bodies, st.integers(0, 43), st.sampled_from(DIGITS))
def test_a_typo_is_found(body: str, place: int, digit: str) -> None:
    """CRC-32 finds every single wrong character."""
    token = _token(body)
    mistyped = token[:place] + digit + token[place + 1 :]
    assert is_opaque(mistyped) == (mistyped == token)


@given(bodies, st.integers(6, 42))
def test_two_exchanged_characters_are_found(body: str, place: int) -> None:
    """The other common slip."""
    token = _token(body)
    mistyped = token[:place] + token[place + 1] + token[place] + token[place + 2 :]
    assert is_opaque(mistyped) == (mistyped == token)


@given(bodies)
def test_a_token_has_one_spelling(body: str) -> None:
    """Neither space nor case nor padding; no second text reaches the same credential."""
    token = _token(body)
    assert is_opaque(token)
    for text in (
        token + "\n",
        " " + token,
        token + "=",
        token[:-1],
        token + "0",
        token[6:],
        token.replace("j", "J", 1),
    ):
        assert not is_opaque(text)
    assert not is_opaque("JITID_" + token[6:])


@pytest.mark.parametrize(
    "text", [*NAUGHTY, "jitid_", "jitid_" + "0" * 38, "jitid_" + "\uff10" * 38, "jitid_" + "\ud800" * 38]
)
def test_a_hostile_string_is_no_token(text: str) -> None:
    """And looking at it does no harm."""
    assert not is_opaque(text)
    assert not is_opaque("jitid_" + text)
