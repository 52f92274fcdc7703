"""Token Status Lists: the published vectors, and lists and tokens that a verifier must refuse."""

import json
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.crypto import status_list
from jitid.errors import InvalidCredentialError
from tests.crypto.signed import ED25519, NOW, P256, encode, raw_public, token
from tests.crypto.vectors import load

URI = "https://tokens.example/status/1"
KEYS = {"k1": ("EdDSA", raw_public(ED25519)), "k2": ("ES256", raw_public(P256))}
HEADER = {"alg": "EdDSA", "kid": "k1", "typ": "statuslist+jwt"}
VECTORS = load("status-list/status_list.json")


def packed(data: bytes) -> str:
    """Encode bytes as the value of `lst`, independently of the code under test."""
    return encode(zlib.compress(data, 9))


def listing(data: bytes = b"\x02\x00", bits: Any = 1, **said: Any) -> str:
    """Return a signed list of 16 states, the second revoked, with changed claims. The value None removes a claim."""
    claims = {
        "sub": URI,
        "iat": NOW,
        "exp": NOW + 900,
        "ttl": 300,
        "status_list": {"bits": bits, "lst": packed(data)},
        **said,
    }
    return token(HEADER, {name: value for name, value in claims.items() if value is not None})


def place(index: Any = 0, uri: Any = URI) -> dict[str, Any]:
    """Return the claims of a token that refer to its place in a list."""
    return {"status": {"status_list": {"idx": index, "uri": uri}}}


def refused(text: str, now: int = NOW) -> str:
    """Return why a list is refused."""
    with pytest.raises(InvalidCredentialError) as refusal:
        status_list.read(text, KEYS, now)
    return refusal.value.message


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: vector["name"])
def test_published_vectors_are_read(vector: dict[str, Any]) -> None:
    """Each state is at the draft's index, and all other states are 0."""
    found = status_list.decode(vector["bits"], vector["lst"])
    if "values" in vector:
        assert found.data == bytes(vector["bytes"])
        assert [found.at(index) for index in range(len(found))] == vector["values"]
        return
    assert len(found) >= vector["entries"]
    told = {int(index): state for index, state in vector["nonzero"].items()}
    assert {index: found.at(index) for index in told} == told
    others = sum(byte.bit_count() for byte in found.data)
    assert others == sum(state.bit_count() for state in told.values())


@pytest.mark.parametrize("vector", VECTORS["negative_made_here"], ids=lambda vector: vector["name"])
def test_what_is_no_list_is_refused(vector: dict[str, Any]) -> None:
    """Neither malformed text nor an index beyond the end counts as valid, and a decompression bomb is not unpacked."""
    with pytest.raises(InvalidCredentialError):
        status_list.decode(vector["bits"], vector["lst"]).at(vector.get("idx", 0))


def test_the_drafts_own_token_has_the_form_that_is_read() -> None:
    """The draft does not publish the key, so only the signature is refused; the rest of the token is readable."""
    text = VECTORS["example_status_list_token_jwt"]
    assert "signature" in _reason(text, {"12": KEYS["k2"]})
    assert "does not belong to the issuer" in _reason(text, {})


def _reason(text: str, keys: dict[str, tuple[str, bytes]]) -> str:
    with pytest.raises(InvalidCredentialError) as refusal:
        status_list.read(text, keys, 1_700_000_000)
    return refusal.value.message


def test_what_is_written_is_read_again() -> None:
    """A signed list from jitid's own claims has the marked states."""
    data = bytearray(status_list.PLACES // 8)
    for index in (0, 7, 8, status_list.PLACES - 1):
        data[index >> 3] |= 1 << (index & 7)
    said = status_list.claims(URI, NOW, 900, status_list.encode(data))
    signed = status_list.signing_input(said, "k1", "EdDSA")
    found = status_list.read(f"{signed}.{encode(ED25519.sign(signed.encode()))}", KEYS, NOW)
    assert (found.uri, found.issued_at, found.expires_at) == (URI, NOW, NOW + 900)
    assert [found.statuses.at(index) for index in (0, 1, 7, 8, 9, status_list.PLACES - 1)] == [
        1,
        0,
        1,
        1,
        0,
        1,
    ]


@given(bits=st.sampled_from([1, 2, 4, 8]), data=st.data())
def test_whatever_is_packed_comes_out_again(bits: int, data: st.DataObject) -> None:
    """The first state is in the lowest bits of the first byte (section 4.1)."""
    states = data.draw(st.lists(st.integers(0, (1 << bits) - 1), max_size=64))
    whole = sum(state << bits * at for at, state in enumerate(states)).to_bytes(
        -(-len(states) * bits // 8), "little"
    )
    found = status_list.decode(bits, packed(whole))
    assert [found.at(at) for at in range(len(states))] == states
    assert len(found) == len(whole) * 8 // bits
    assert status_list.decode(bits, status_list.encode(whole)) == found


def test_a_list_is_good_until_its_end() -> None:
    """A list is stale from `exp` on, or, without `exp`, `ttl` seconds after `iat`. Without both it is never stale."""
    assert status_list.read(listing(), KEYS, NOW + 899).expires_at == NOW + 900
    assert "stale" in refused(listing(), NOW + 900)
    assert status_list.read(listing(exp=None), KEYS, NOW + 299).expires_at == NOW + 300
    assert "stale" in refused(listing(exp=None), NOW + 300)
    assert "no valid expiry" in refused(listing(exp=None, ttl=None))
    assert "future" in refused(listing(), NOW - 1)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"iat": None}, "`iat`"),
        ({"iat": str(NOW)}, "`iat`"),
        ({"exp": True}, "no valid expiry"),
        ({"exp": 1e12}, "no valid expiry"),
        ({"ttl": 0}, "`ttl`"),
        ({"ttl": "300"}, "`ttl`"),
        ({"sub": None}, "`sub`"),
        ({"sub": 1}, "`sub`"),
        ({"status_list": None}, "`status_list`"),
        ({"status_list": []}, "`status_list`"),
        ({"status_list": {}}, "`bits`"),
        ({"status_list": {"bits": True, "lst": packed(b"\0")}}, "`bits`"),
        ({"status_list": {"bits": 1, "lst": packed(b"\0") + "="}}, "`lst`"),
        ({"status_list": {"bits": 1, "lst": encode(zlib.compress(b"\0") + b"\0")}}, "trailing data"),
        ({"status_list": {"bits": 1, "lst": packed(bytes(status_list.MAX_BYTES + 1))}}, "more than"),
    ],
)
def test_a_list_that_says_too_little_is_refused(said: dict[str, Any], why: str) -> None:
    """An unreadable list decides about no token."""
    assert why in refused(listing(**said))


def test_only_a_status_list_is_taken_for_one() -> None:
    """An access token of the same key is refused, as is a list under another key or algorithm."""
    text = listing()
    assert "type" in refused(token({**HEADER, "typ": "at+jwt"}, json.loads(_payload(text))))
    assert "does not belong to the issuer" in refused(
        token({**HEADER, "kid": "k3"}, json.loads(_payload(text)))
    )
    assert "algorithm" in refused(token({**HEADER, "kid": "k2"}, json.loads(_payload(text))))
    head, payload, signature = text.split(".")
    assert "signature" in refused(f"{head}.{payload}.{signature[:-8]}{signature[:8]}")
    assert "longer" in refused(f"{head}.{'A' * status_list.MAX_LIST_TOKEN}.{signature}")
    assert "header" in refused(f"{'A' * 20_000}.{payload}.{signature}")


def _payload(text: str) -> bytes:
    import base64

    part = text.split(".")[1]
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def test_a_token_is_judged_by_the_list_that_it_names() -> None:
    """A valid list with another address is refused, as is an index beyond the end of the list."""
    found = [status_list.read(listing(), KEYS, NOW)]
    assert status_list.check(place(0), found) == found[0]
    for claims, why in (
        (place(1), "was revoked"),
        (place(16), "index is outside"),
        (place(0, URI + "0"), "refers to another status list"),
        ({}, "names no status list"),
    ):
        with pytest.raises(InvalidCredentialError, match=why):
            status_list.check(claims, found)
    # Two lists with one name are ambiguous.
    with pytest.raises(InvalidCredentialError, match="refers to another status list"):
        status_list.check(place(0), found * 2)


@pytest.mark.parametrize(
    "status",
    [
        1,
        {},
        {"status_list": 1},
        {"status_list": {"idx": 0}},
        {"status_list": {"uri": URI}},
        {"status_list": {"idx": -1, "uri": URI}},
        {"status_list": {"idx": True, "uri": URI}},
        {"status_list": {"idx": 0.0, "uri": URI}},
        {"status_list": {"idx": "0", "uri": URI}},
        {"status_list": {"idx": 0, "uri": ""}},
        {"status_list": {"idx": 0, "uri": "u" * 2_049}},
    ],
)
def test_a_place_that_cannot_be_read_is_refused(status: object) -> None:
    """A token with an unclear state is refused."""
    with pytest.raises(InvalidCredentialError, match="`status`"):
        status_list.reference({"status": status})


def test_states_that_we_do_not_write_are_not_valid() -> None:
    """With eight bits, only 0 is valid. 2 is suspended; 3 and 12 have no defined meaning."""
    found = [status_list.read(listing(bytes([0, 1, 2, 3, 12]), 8), KEYS, NOW)]
    assert status_list.check(place(0), found)
    for index, why in ((1, "revoked"), (2, "suspended"), (3, "status 3"), (4, "status 12"), (5, "outside")):
        with pytest.raises(InvalidCredentialError, match=why):
            status_list.check(place(index), found)
