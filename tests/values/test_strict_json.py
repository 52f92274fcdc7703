import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.values.strict_json import StrictJSONError, dumps, loads
from tests.crypto.vectors import json_cases

DUPLICATES = ["y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"]
# Cases that the grammar leaves open, and that jitid accepts: numbers that merely lose digits.
TAKEN = ["i_number_double_huge_neg_exp.json", "i_number_real_underflow.json"]

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=1 - 10**18, max_value=10**18 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
)


@pytest.mark.parametrize(("name", "text"), json_cases(), ids=[name for name, _ in json_cases()])
def test_the_parsing_suite_is_followed_and_doubts_are_refused(name: str, text: bytes) -> None:
    """Cases that the suite leaves open (`i_`) are refused, except two numbers that lose digits."""
    expected = (name.startswith("y_") and name not in DUPLICATES) or name in TAKEN
    try:
        value = loads(text)
    except StrictJSONError:
        assert not expected
    else:
        assert expected
        assert value == json.loads(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'{"a":1,"a":2}', "has two members with the same name"),
        (b'[{"b":[{"a":1,"\\u0061":1}]}]', "has two members with the same name"),
        (b"[NaN]", "has NaN, which is not a JSON number"),
        (b"-Infinity", "has Infinity, which is not a JSON number"),
        (b"1e400", "has a number that is out of range"),
        (b"1000000000000000000", "has an integer of more than 18 digits"),
        (b"-1000000000000000000", "has an integer of more than 18 digits"),
        (b'"\\ud83d"', "has half of a surrogate pair"),
        (b'{"\\uDE00\\uD83D":1}', "has half of a surrogate pair"),
        (b"\xef\xbb\xbf{}", "starts with a byte order mark"),
        ("\ufeff{}", "starts with a byte order mark"),
        ("\ud800", "is not UTF-8 text"),
        (b'"\xed\xa0\x80"', "is not UTF-8 text"),
        (b"[" * 65 + b"]" * 65, "is nested more than 64 levels deep"),
        (b'{"":' * 65 + b"1" + b"}" * 65, "is nested more than 64 levels deep"),
        (b"[" * 1_000_000, "is nested more than 64 levels deep"),
        (b"", "does not parse at character 1"),
        (b"{} {}", "does not parse at character 4"),
        (b'{"a":1 x}', "does not parse at character 8"),
        (b'{"a":"\x00"}', "does not parse at character 7"),
    ],
)
def test_a_refused_text_gets_its_reason(text: bytes | str, reason: str) -> None:
    """Each reason states the error and never repeats the text."""
    with pytest.raises(StrictJSONError) as caught:
        loads(text, "the header")
    assert str(caught.value) == f"the header {reason}"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"-999999999999999999", -999_999_999_999_999_999),
        (b'"\\ud83d\\ude00"', "\N{GRINNING FACE}"),
        (b'"\\\\ud83d"', "\\ud83d"),
        (b"[" * 64 + b"]" * 64, None),
        (b'["' + b"[{" * 99 + b'"]', ["[{" * 99]),
        (b'["\\"' + b"[{" * 99 + b'\\\\",[]]', ['"' + "[{" * 99 + "\\", []]),
        (b"[" + b"[]," * 99 + b"[]]", [[]] * 100),
    ],
)
def test_what_only_looks_bad_is_read(text: bytes, value: Any) -> None:
    """Brackets in strings are not nesting, and an escaped backslash starts no escape."""
    read = loads(text)
    assert value is None or read == value


def test_a_refusal_keeps_no_copy_of_the_text() -> None:
    """The json module keeps the text in its exception; jitid's exception must not carry it into a log."""
    with pytest.raises(StrictJSONError) as caught:
        loads('{"a": "a secret"')
    assert "secret" not in str(caught.value)
    assert not hasattr(caught.value, "doc")
    assert caught.value.__suppress_context__


@given(values)
def test_what_is_written_reads_as_it_was(value: Any) -> None:
    """Reading and writing are inverse, and writing a read value gives the same text again."""
    text = dumps(value)
    assert text.isascii()
    assert loads(text) == value
    assert dumps(loads(text)) == text


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.integers(-9, 9)))
def test_one_value_has_one_spelling(members: dict[str, int]) -> None:
    """Members are sorted, independently of their original order."""
    assert dumps(dict(reversed(members.items()))) == dumps(members)


@given(st.text(st.sampled_from('[]{}:,"\\u018dD\ud83de- \n')) | st.binary(max_size=12))
def test_whatever_is_accepted_reads_alike_elsewhere(text: str | bytes) -> None:
    """Strictness only refuses more: jitid reads no text with another meaning than other parsers."""
    try:
        value = loads(text)
    except StrictJSONError:
        return
    assert value == json.loads(text)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", {"\udfff": 1}, {1, 2}, b"x"])
def test_what_has_no_json_form_is_not_written(value: Any) -> None:
    """Output that could not be read again is never written."""
    with pytest.raises(StrictJSONError):
        dumps({"a": [value]})
