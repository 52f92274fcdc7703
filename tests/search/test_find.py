"""jitid strings are found in any text, with any division into windows, and no other strings are."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from hashlib import sha256
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.search.find import AFTER, BEFORE, Finds
from jitid.search.strings import search
from jitid.values.ids import credential_id, identity_id
from jitid.values.secret import fingerprint, new_opaque
from tests.crypto.signed import encode

OPAQUE = new_opaque(random.Random(1).randbytes)
JTI = credential_id(bytes(range(16)))
JID = identity_id(bytes(range(16)))
PRINT = sha256(b"x").hexdigest()


def signed(jti: str = JTI, *, purpose: str = "", kid: str = "k" * 43, alg: str = "EdDSA") -> str:
    """Return a token in jitid's form with an invalid signature."""
    header = json.dumps({"alg": alg, "kid": kid, "typ": "at+jwt"}, separators=(",", ":"))
    payload = f'{{"jti":"{jti}","act":{{"sub":"spiffe://x/agent/a/t/{JID}"}},"purpose":"{purpose}"}}'
    signature = random.Random(2).randbytes(256) if alg == "RS256" else bytes(64)
    return f"{encode(header.encode())}.{encode(payload.encode())}.{encode(signature)}"


TOKEN = signed()
RSA_TOKEN = signed(alg="RS256")
RSA_HEADER, _, RSA_SIGNATURE = RSA_TOKEN.split(".")
RSA_FOREIGN = ".".join((RSA_HEADER, encode(b'{"iss":"x"}'), RSA_SIGNATURE))
RSA_OTHER_ORDER = ".".join((encode(b'{"typ":"JWT","alg":"RS256"}'), *RSA_FOREIGN.split(".")[1:]))
HEADER, PAYLOAD, SIGNATURE = TOKEN.split(".")
FOREIGN = ".".join((HEADER, encode(b'{"iss":"x"}'), SIGNATURE))


def found(text: str | bytes) -> dict[str, Any]:
    """Return the non-empty finds in a text as one window."""
    raw = text.encode() if isinstance(text, str) else text
    finds = Finds()
    search(raw, 0, len(raw), finds)
    return content(finds)


def content(finds: Finds) -> dict[str, Any]:
    """Return the non-empty finds by name."""
    return {name: getattr(finds, name) for name in Finds.__slots__ if getattr(finds, name)}


def found_in_windows(text: bytes, cuts: list[int]) -> dict[str, Any]:
    """Return the finds of a search with windows that end at these places."""
    finds = Finds()
    places = [0, *sorted({cut % (len(text) + 1) for cut in cuts}), len(text)]
    for first, last in pairwise(places):
        start = max(0, first - BEFORE)
        search(bytearray(text[start : last + AFTER]), first - start, last - start, finds)
    return content(finds)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (OPAQUE, {"opaque": {fingerprint(OPAQUE): 1}}),
        (TOKEN, {"signed": {TOKEN: 1}}),
        (JTI, {"ids": {JTI: 1}}),
        (JID, {"ids": {JID: 1}}),
        (PRINT, {"prints": {bytes.fromhex(PRINT): 1}}),
        (PRINT.upper(), {"prints": {bytes.fromhex(PRINT): 1}}),
        (f"sha256:{PRINT}", {"prints": {bytes.fromhex(PRINT): 1}}),
        (f"Bearer {TOKEN}\\n", {"signed": {TOKEN: 1}}),
        (f'{{"t":"{OPAQUE}","u":"{JTI}"}}', {"opaque": {fingerprint(OPAQUE): 1}, "ids": {JTI: 1}}),
        (f"\\n{JTI}\\n{OPAQUE}", {"opaque": {fingerprint(OPAQUE): 1}, "ids": {JTI: 1}}),
        (f"{JTI} {JTI},{JTI}", {"ids": {JTI: 3}}),
        (f"x{OPAQUE}x", {"opaque": {fingerprint(OPAQUE): 1}}),
        (PAYLOAD, {"cut": {JTI: 1}}),
        (PAYLOAD[:51], {"cut": {JTI: 1}}),
        (f"{PAYLOAD}.{SIGNATURE}", {"cut": {JTI: 1}}),
        (f"{HEADER}.{PAYLOAD}", {"cut": {JTI: 1}}),
        (TOKEN[:-1], {"cut": {JTI: 1}}),
        (f"{HEADER[:-1]}.{PAYLOAD}.{SIGNATURE}", {"signed": {f"{HEADER[:-1]}.{PAYLOAD}.{SIGNATURE}": 1}}),
        (f"{HEADER[1:]}.{PAYLOAD}.{SIGNATURE}", {"cut": {JTI: 1}}),
        (OPAQUE[:-1] + ("A" if OPAQUE[-1] != "A" else "B"), {"mistyped": 1}),
        (OPAQUE[:30], {"mistyped": 1}),
        (FOREIGN, {"foreign": {FOREIGN: 1}}),
        (RSA_TOKEN, {"signed": {RSA_TOKEN: 1}}),
        (f"{RSA_TOKEN}x", {"signed": {RSA_TOKEN: 1}}),
        (RSA_TOKEN[:-1], {"cut": {JTI: 1}}),
        (RSA_TOKEN[:-256], {"cut": {JTI: 1}}),
        (RSA_FOREIGN, {"foreign": {RSA_FOREIGN: 1}}),
        (f"{RSA_FOREIGN}x", {"foreign": {RSA_FOREIGN: 1}}),
        (RSA_OTHER_ORDER, {"foreign": {RSA_OTHER_ORDER: 1}}),
        (f"{HEADER}{FOREIGN}.x", {"foreign": {FOREIGN: 1}}),
        (PAYLOAD + PAYLOAD, {"cut": {JTI: 2}}),
        (
            f"{HEADER}.{PAYLOAD}{PAYLOAD}.{SIGNATURE}",
            {"signed": {f"{HEADER}.{PAYLOAD}{PAYLOAD}.{SIGNATURE}": 1}, "cut": {JTI: 1}},
        ),
        (signed(kid="k" * 128), {"signed": {signed(kid="k" * 128): 1}}),
    ],
)
def test_each_sort_of_string_is_found(text: str, expected: dict[str, object]) -> None:
    assert found(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "jitid_",
        "jitid_ledger_path = jti_list",
        "jti_" + "0" * 27,
        "jid_" + "z" * 26,
        JTI.upper(),
        PRINT + "0",
        PRINT[1:],
        "0" * 4096,
        PAYLOAD[:50],
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
        encode(b'{"jti":"jti_' + b"Z" * 26 + b'","x":1}'),
        RSA_FOREIGN[:-1],
        f"{RSA_OTHER_ORDER}x",
        ".".join((encode(b'{"alg":"RS384"}'), *RSA_FOREIGN.split(".")[1:])) + "x",
    ],
)
def test_what_is_not_ours_is_not_found(text: str) -> None:
    assert found(text) == {}


def test_a_token_longer_than_any_verifier_takes_counts_as_a_part_of_one() -> None:
    assert found(signed(purpose="x" * 20_000)) == {"cut": {JTI: 1}}


def test_the_bytes_of_no_encoding_hide_nothing() -> None:
    raw = b"\xff\xfe\0" + OPAQUE.encode() + b"\x80\x81" + TOKEN.encode() + b"\0" + PRINT.encode() + b"\xc3"
    assert set(found(raw)) == {"opaque", "signed", "prints"}


def test_what_was_found_does_not_show_itself() -> None:
    finds = Finds()
    text = f"{TOKEN} {OPAQUE}".encode()
    search(text, 0, len(text), finds)
    assert repr(finds) == "Finds(2 strings)"
    assert content(Finds.unpack(finds.pack())) == content(finds)


PIECES = st.one_of(
    st.sampled_from(
        [
            OPAQUE,
            TOKEN,
            FOREIGN,
            JTI,
            JID,
            PRINT,
            PRINT.upper(),
            PAYLOAD,
            HEADER,
            f"{HEADER}.",
            f".{SIGNATURE}",
        ]
    ),
    st.sampled_from(
        [
            signed(purpose="p" * 900),
            PAYLOAD[:51],
            "eyJhbGciOiJF" * 3,
            OPAQUE[:20],
            "jitid_",
            "jti_",
            "j",
            "J" * 40,
            "eyJqdGkiOiJqdGlf",
        ]
    ),
    st.integers(0, 200).map(lambda count: "0f" * count),
    st.sampled_from(["json job object " * 30, "plain words, and no more of them " * 20]),
    st.text(max_size=20),
)
TEXTS = st.lists(st.tuples(PIECES, st.sampled_from(["", " ", "\n", ".", "_", '"'])), max_size=12).map(
    lambda pieces: "".join(piece + between for piece, between in pieces).encode()
)


@given(TEXTS, st.lists(st.integers(0, 1 << 16), max_size=8))
def test_any_cut_into_windows_finds_the_same(text: bytes, cuts: list[int]) -> None:
    assert found_in_windows(text, cuts) == found(text)


@given(TEXTS)
def test_words_are_found_as_a_plain_expression_finds_them(text: bytes) -> None:
    """The fast search for words of 64 digits and for ids finds the same as a plain regular expression."""
    finds = Finds()
    search(text, 0, len(text), finds)
    prints = re.findall(rb"(?<![0-9A-Fa-f])[0-9A-Fa-f]{64}(?![0-9A-Fa-f])", text)
    assert finds.prints == Counter(bytes.fromhex(each.decode()) for each in prints)
    ids = re.findall(rb"(?=(j(?:id|ti)_[0-9a-v]{26}(?![0-9A-Za-z])))", text)
    assert finds.ids == Counter(each.decode() for each in ids)


@pytest.mark.parametrize("filler", ["j", "J", "jJ ", "plain text without that letter "])
def test_rare_and_common_letters_are_searched_alike(filler: str) -> None:
    text = filler * 5_000 + f" {OPAQUE} {TOKEN} {JTI} " + filler * 5_000
    assert set(found(text)) == {"opaque", "signed", "ids"}


@pytest.mark.parametrize("spare", [1, 0, -1])
def test_the_longest_run_that_a_token_has_is_bounded_in_every_window(spare: int) -> None:
    """A run that is too long for a payload counts as a part of one, at any end of a window."""
    run = PAYLOAD + "x" * (AFTER - len(PAYLOAD) - len(HEADER) - len(SIGNATURE) - 2 - spare)
    text = f"{HEADER}.{run}.{SIGNATURE}"
    assert len(text) == AFTER - spare
    expected = {"signed": {text: 1}} if spare >= 0 else {"cut": {JTI: 1}}
    assert found(text) == found_in_windows(text.encode(), [len(HEADER) + 2]) == expected


@given(st.integers(0, 130), st.integers(0, 20))
def test_a_fingerprint_is_found_wherever_it_stands(before: int, after: int) -> None:
    assert found(" " * before + PRINT + " " * after) == {"prints": {bytes.fromhex(PRINT): 1}}
