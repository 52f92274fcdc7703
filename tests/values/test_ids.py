from __future__ import annotations

import base64
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.errors import UsageError
from jitid.values.ids import credential_id, identity_id, new_uuid7, new_uuid7s, parse_id
from tests.values.hostile import INTRUDERS, NAUGHTY

times = st.integers(0, 2**48 - 1)
entropy = st.binary(min_size=10, max_size=10)
raw_ids = st.binary(min_size=16, max_size=16)


@given(times, entropy)
def test_a_new_id_is_a_uuid_of_version_7(now_ms: int, random: bytes) -> None:
    """RFC 9562 section 5.7: 48 bits of milliseconds, version, variant, and 74 random bits."""
    made = uuid.UUID(bytes=new_uuid7(now_ms, random))
    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    assert made.int >> 80 == now_ms
    mask = (0xFFF << 64) | ((1 << 62) - 1)
    assert made.int & mask == int.from_bytes(random, "big") & mask


def test_the_example_of_the_rfc_is_reproduced() -> None:
    """RFC 9562 appendix A.6."""
    random = bytes.fromhex("0cc318c4dc0c0c07398f")
    assert uuid.UUID(bytes=new_uuid7(0x017F22E279B0, random)) == uuid.UUID(
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
    )


@given(times, times, entropy, entropy)
def test_the_order_of_texts_is_the_order_of_times(first: int, second: int, one: bytes, other: bytes) -> None:
    """An index on the text is also an index on the time."""
    if first < second:
        assert identity_id(new_uuid7(first, one)) < identity_id(new_uuid7(second, other))


@given(raw_ids, raw_ids)
def test_the_order_of_texts_is_the_order_of_bytes(first: bytes, second: bytes) -> None:
    """This holds within one millisecond as well."""
    assert (credential_id(first) < credential_id(second)) == (first < second)


@given(raw_ids)
def test_an_id_survives_the_way_to_text_and_back(raw: bytes) -> None:
    """Both kinds of id keep their kind."""
    assert parse_id(identity_id(raw)) == ("jid", raw)
    assert parse_id(credential_id(raw)) == ("jti", raw)


@given(raw_ids)
def test_the_text_is_base32hex_of_the_standard_library(raw: bytes) -> None:
    """RFC 4648 section 7, in lower case without padding."""
    assert identity_id(raw) == "jid_" + base64.b32hexencode(raw).decode().rstrip("=").lower()


@given(st.text("0123456789abcdefghijklmnopqrstuv", min_size=26, max_size=26))
def test_what_parses_is_the_only_spelling(digits: str) -> None:
    """Three of four last characters have unused bits that are not zero, and are refused."""
    try:
        kind, raw = parse_id("jid_" + digits)
    except UsageError:
        assert digits[-1] not in "048cgkos"
    else:
        assert kind == "jid"
        assert identity_id(raw) == "jid_" + digits


@pytest.mark.parametrize(
    "text",
    [
        "",
        "jid_",
        "jid",
        "jid_" + "0" * 25,
        "jid_" + "0" * 27,
        "JID_" + "0" * 26,
        "jid-" + "0" * 26,
        "jtx_" + "0" * 26,
        "jid_" + "A" + "0" * 25,
        "jid_" + "w" + "0" * 25,
        "jid_" + "0" * 25 + "1",
        "jid_" + "0" * 25 + "2",
        "jid_" + "0" * 25 + "\n",
        "jid_" + "0" * 26 + "\n",
        " jid_" + "0" * 26,
        "jid_" + "-" + "0" * 25,
        "jid_" + "+" + "0" * 25,
        "jid_" + "0_" * 13,
        "jid_" + " " + "0" * 25,
        "jid_" + "0b" + "_" + "0" * 23,
        "jid_" + "0" * 26 + "======",
        "jid_" + "0" * 1_000_000,
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
    ],
)
def test_what_is_no_id_is_refused(text: str) -> None:
    """The most important texts are accepted by `int`: signs, spaces, underscores."""
    with pytest.raises(UsageError):
        parse_id(text)


@given(st.integers(0, 25), st.sampled_from(INTRUDERS))
def test_no_intruder_passes_for_a_digit(place: int, intruder: str) -> None:
    """`int` accepts the digits of every script."""
    with pytest.raises(UsageError):
        parse_id("jti_" + "0" * place + intruder + "0" * (25 - place))


@pytest.mark.parametrize("text", NAUGHTY)
def test_a_hostile_string_is_refused_with_a_safe_message(text: str) -> None:
    """The message is one printable line."""
    for prefix in ("", "jid_"):
        with pytest.raises(UsageError) as caught:
            parse_id(prefix + text)
        assert caught.value.message.isprintable()


def test_a_token_in_the_place_of_an_id_is_not_echoed() -> None:
    """In a hurry, an operator may paste a token."""
    for token in ("jitid_" + "S" * 38, "jid_eyJ" + "S" * 60, "eyJhbGciOiJFZERTQSJ9." + "S" * 40):
        with pytest.raises(UsageError) as caught:
            parse_id(token)
        assert "SSS" not in caught.value.message + str(caught.value.hint)


@pytest.mark.parametrize(("now_ms", "size"), [(-1, 10), (2**48, 10), (0, 9), (0, 11), (0, 0)])
def test_an_id_is_not_made_of_less_or_more(now_ms: int, size: int) -> None:
    """A caller with too few random bytes has a bug, which must not become a guessable id."""
    with pytest.raises(ValueError, match="UUID"):
        new_uuid7(now_ms, bytes(size))


@pytest.mark.parametrize("size", [0, 15, 17])
def test_only_sixteen_bytes_are_written(size: int) -> None:
    """Any other number of bytes would decode to a different value."""
    with pytest.raises(ValueError, match="16 bytes"):
        identity_id(bytes(size))


@given(
    now_ms=st.integers(0, (1 << 48) - 1), random=st.binary(min_size=10, max_size=10), count=st.integers(0, 50)
)
def test_uuids_made_together_are_version_7_and_in_order(now_ms: int, random: bytes, count: int) -> None:
    made = new_uuid7s(now_ms, random, count)
    assert len(set(made)) == count
    assert made == sorted(made)
    assert all(one[:6] == now_ms.to_bytes(6) and one[6] >> 4 == 7 and one[8] >> 6 == 0b10 for one in made)
    assert [parse_id(identity_id(one)) for one in made] == [("jid", one) for one in made]
