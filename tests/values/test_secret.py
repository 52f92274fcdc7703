from __future__ import annotations

import base64
import copy
import json
import os
import pickle
from collections import Counter
from collections.abc import Callable, Iterator
from hashlib import sha256, shake_128
from zlib import crc32

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jitid.redaction.token_format import SIGNED_MARK, holds_token, is_opaque, name_holds_token
from jitid.values.secret import Secret, fingerprint, new_opaque
from tests.values.hostile import NAUGHTY

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
bodies = st.text(DIGITS, min_size=32, max_size=32)
surroundings = st.text(st.characters(exclude_characters=DIGITS))
seeds = st.binary(min_size=16, max_size=16)


def _mixed(seed: bytes) -> str:
    """Return a typical random part: with lower case, upper case and digits."""
    return next(
        body
        for body in (new_opaque(_stretched(seed + bytes([number])))[6:38] for number in range(256))
        if any(map(str.islower, body)) and any(map(str.isupper, body)) and any(map(str.isdigit, body))
    )


def _stretched(seed: bytes) -> Callable[[int], bytes]:
    """Return a source of pseudorandom bytes."""
    return lambda count: shake_128(seed).digest(count)


def _token(body: str) -> str:
    """Return the token with the given random part, and compute its checksum independently."""
    checksum, rest = "", crc32(body.encode())
    while rest:
        checksum, rest = DIGITS[rest % 62] + checksum, rest // 62
    return "jitid_" + body + checksum.rjust(6, "0")


def _source(data: bytes) -> Callable[[int], bytes]:
    """Return a source of bytes that repeats the data."""

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
    """No way of formatting writes it to a log."""
    shown = show(Secret({"token": "hunter2", "other": "hunter2"}))
    assert "Secret('****')" in shown
    assert "hunter2" not in shown


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_secret_is_not_pickled(protocol: int) -> None:
    """A cache or a queue would write it to disk."""
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(Secret.single("hunter2"), protocol)


@pytest.mark.parametrize("leak", [copy.copy, copy.deepcopy, json.dumps, vars, hash, iter, len, dict, bytes])
def test_a_secret_does_not_leave_by_a_back_door(leak: Callable[[Secret], object]) -> None:
    """Serialisers and containers look for these methods and attributes."""
    with pytest.raises(TypeError) as caught:
        leak(Secret.single("hunter2"))
    assert "hunter2" not in str(caught.value)


def test_secrets_are_not_compared() -> None:
    """Secrets are compared neither with each other nor with a text, and are not keys of a dict."""
    secret = Secret.single("hunter2")
    for other in (Secret.single("hunter2"), "hunter2", None):
        with pytest.raises(TypeError, match="fingerprints"):
            assert secret == other
        with pytest.raises(TypeError, match="fingerprints"):
            assert secret != other


def test_each_part_is_revealed_by_its_name() -> None:
    """This is the only way to read a part. Later changes of the source dict have no effect."""
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
    """The fingerprint of an empty secret would match no credential, or all."""
    with pytest.raises(ValueError, match="at least one part"):
        Secret(parts)


@given(st.dictionaries(st.text(), st.text(min_size=1), min_size=1))
def test_each_part_has_its_fingerprint(parts: dict[str, str]) -> None:
    """SHA-256 of the UTF-8 text, by the name of the part."""
    expected = {name: sha256(text.encode()).digest() for name, text in parts.items()}
    assert Secret(parts).fingerprints() == expected


@given(st.text(st.characters()), st.text(st.characters()))
def test_every_text_has_a_fingerprint_of_its_own(first: str, second: str) -> None:
    """This includes lone surrogates: a presented token may be any text."""
    assume(first != second)
    assert fingerprint(first) != fingerprint(second)
    assert len(fingerprint(first)) == 32


def test_a_fingerprint_is_the_known_hash() -> None:
    """FIPS 180-2 appendix B.1."""
    assert fingerprint("abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@given(st.binary(min_size=1).filter(lambda data: min(data) < 248))
def test_a_new_token_has_its_shape_and_checksum(data: bytes) -> None:
    """For any random source, two independent computations agree."""
    token = new_opaque(_source(data))
    assert token.startswith("jitid_")
    assert len(token) == 44
    assert is_opaque(token)
    assert token == _token(token[6:38])


def test_every_digit_is_equally_likely() -> None:
    """Each digit takes exactly four of the 256 byte values; the other eight values are drawn again."""
    counts: Counter[str] = Counter()
    for value in range(248):
        counts.update(new_opaque(_source(bytes([value])))[6:38])
    assert set(counts.values()) == {4 * 32}
    assert set(counts) == set(DIGITS)


def test_a_draw_of_biased_bytes_is_made_up_by_another() -> None:
    """The source gives forty bytes that are all rejected, then forty that are accepted."""
    draws = iter([bytes(range(248, 256)) * 5, b"\xf8" * 20 + b"\x01" * 20, b"\x02" * 40])
    assert new_opaque(lambda _: next(draws)) == _token("1" * 20 + "2" * 12)


def test_tokens_of_the_system_differ() -> None:
    """This holds for a thousand of them."""
    assert len({new_opaque(os.urandom) for _ in range(1000)}) == 1000


@given(bodies, st.integers(0, 43), st.sampled_from(DIGITS))
def test_a_typo_is_found(body: str, place: int, digit: str) -> None:
    """CRC-32 detects every single wrong character."""
    token = _token(body)
    mistyped = token[:place] + digit + token[place + 1 :]
    assert is_opaque(mistyped) == (mistyped == token)


@given(bodies, st.integers(6, 42))
def test_two_exchanged_characters_are_found(body: str, place: int) -> None:
    """This is the other common typo."""
    token = _token(body)
    mistyped = token[:place] + token[place + 1] + token[place] + token[place + 2 :]
    assert is_opaque(mistyped) == (mistyped == token)


@given(bodies)
def test_a_token_has_one_spelling(body: str) -> None:
    """Spaces, case and padding are not ignored, so no second text names the same credential."""
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
    """Checking it raises no exception."""
    assert not is_opaque(text)
    assert not is_opaque("jitid_" + text)


@given(bodies, st.integers(12, 38), st.sampled_from(["_", "%5f", "%5F"]), st.text(), surroundings)
def test_no_text_holds_much_of_a_token_behind_its_prefix(
    body: str, length: int, underscore: str, before: str, after: str
) -> None:
    """This holds with any text around it, and for a part of any length."""
    part = _token(body)[6 : 6 + length]
    assert holds_token(f"{before}jitid{underscore}{part}{after}")


SPOILT: dict[str, Callable[[str], str]] = {
    "without its prefix": lambda token: token[6:],
    "without its checksum": lambda token: token[:-6],
    "without both": lambda token: token[6:-6],
    "one short": lambda token: token[:-1],
    "one short at its head": lambda token: token[1:],
    "one short within": lambda token: token[:20] + token[21:],
    "mistyped": lambda token: token[:20] + "xx" + token[22:],
    "mistyped prefix": lambda token: "jitdi_" + token[6:],
    "capitals": lambda token: "JITID_" + token[6:],
    "percent-encoded": lambda token: token.replace("_", "%5f"),
    "percent-encoded twice": lambda token: token.replace("_", "%255F"),
    "base64": lambda token: base64.b64encode(token.encode()).decode(),
    "base64 of a header": lambda token: base64.b64encode(f"Bearer {token}\n".encode()).decode(),
    "base64 of a password": lambda token: base64.b64encode(f"x:{token}".encode()).decode(),
    "base64url": lambda token: base64.urlsafe_b64encode(token.encode()).decode().rstrip("="),
}


@pytest.mark.parametrize("way", SPOILT)
@given(seed=seeds, before=surroundings, after=surroundings)
def test_no_text_holds_a_token_that_was_spoilt(way: str, seed: bytes, before: str, after: str) -> None:
    """The spoilt token still reveals most of the secret."""
    assert holds_token(before + SPOILT[way](_token(_mixed(seed))) + after)


@given(seeds, st.integers(80, 86), st.text(), surroundings)
def test_no_text_holds_most_of_a_signature(seed: bytes, length: int, before: str, after: str) -> None:
    """Together with its id, which every log contains, and its other claims, it makes a token."""
    signature = base64.urlsafe_b64encode(shake_128(seed).digest(64)).decode().rstrip("=")
    assert holds_token(f"{before}.{signature[86 - length :]}{after}")
    assert holds_token(f"{before}.{signature[:length]}{after}")


@given(
    st.lists(
        st.one_of(
            st.from_regex(r"[0-9a-f]{40}", fullmatch=True),
            st.from_regex(r"[0-9A-F]{64}", fullmatch=True),
            st.from_regex(r"[0-9a-f]{128}", fullmatch=True),
            st.uuids().map(str),
            st.from_regex(r"j(ti|id)_[0-9a-v]{26}", fullmatch=True),
            st.from_regex(r"jitid_[a-z]{0,11}", fullmatch=True),
            # Hypothesis also draws constants of the code under test.
            st.text(DIGITS, max_size=31).filter(lambda text: SIGNED_MARK not in text),
            st.text(st.characters(categories=["L"], exclude_characters=DIGITS)),
            st.sampled_from("-=_*").flatmap(lambda each: st.integers(1, 200).map(lambda count: each * count)),
        )
    ),
    st.sampled_from(" \n/:.,"),
)
def test_what_people_write_is_no_token(words: list[str], between: str) -> None:
    """Hashes, ids, words of any script, paths, and drawn lines."""
    text = between.join(words)
    assert not holds_token(text)
    assert not name_holds_token(text)


@pytest.mark.parametrize(
    "text",
    [
        *NAUGHTY,
        "",
        'jitid_sweep_findings and jitid_credentials{kind="jwt"}',
        "Release-2026-Q4-Deployment-Production-Eu-West-1",
        "https://github.com/Acme/Web-Frontend/pull/1234#discussion_r1234567890",
        "https://ci.example/job/Deploy-To-Production/job/main/4711/console?Filter=Errors%5FOnly",
        "https://acme.atlassian.net/wiki/spaces/SEC/pages/123456789/How+We+Rotate+Credentials+2026",
        "how-we-found-the-token-in-a-public-log-of-the-build-and-what-we-have-learned-from-it-in-2026",
        "0" * 128,
        "spiffe://jitid/agent/planner/T_2D1/jid_06h0snnep1rah9etii88q3sj1s",
        "key zLKl-5uMpFqGN9cQkZ7wXv1rTdYs_0EoBhA3iJnU4Wg leaked",
    ],
)
def test_an_ordinary_text_is_no_token(text: str) -> None:
    """The thumbprint of a key counts as a token only if 32 of its 43 characters are adjacent without `-` and `_`."""
    assert not holds_token(text)


@given(bodies, surroundings, surroundings)
def test_a_name_is_no_whole_token(body: str, before: str, after: str) -> None:
    """This holds with its prefix or without."""
    token = _token(body)
    assert name_holds_token(before + token + after)
    assert name_holds_token(before + token[6:] + after)
    assert not is_opaque("jitid_" + token[6:-1])


@given(seeds)
def test_a_name_is_no_token_without_its_checksum(seed: bytes) -> None:
    """The checksum contains no further secret."""
    body = _mixed(seed)
    assert name_holds_token(f"jitid_{body}")
    assert name_holds_token(f"https://jitid%5F{body}")


@given(st.text(DIGITS, min_size=38))
def test_of_names_only_a_token_is_one(text: str) -> None:
    """Random names from other software are allowed."""
    assert not name_holds_token(text)
