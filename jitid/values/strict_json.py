"""Strict JSON for tokens and details: one interpretation of every text, and one spelling of every value."""

from __future__ import annotations

import json
from json import JSONDecodeError
from math import isfinite
from typing import Any, NoReturn

MAX_DEPTH = 64
"""The maximum nesting of arrays and objects; deeper texts are attacks on a reader."""

MAX_DIGITS = 18
"""The longest integer, in digits: every reader can store such a number in 64 bits with a sign."""


class StrictJSONError(ValueError):
    """A text that is not JSON, or that readers may interpret differently; the reason never repeats the text."""


def loads(data: bytes | str, label: str = "JSON") -> Any:  # noqa: ANN401 - JSON may be anything
    """Return the value of a JSON text (RFC 8259) if all readers interpret it alike.

    `label` names the text in the reason of the error. Besides invalid grammar, these are refused: bytes that are not
    UTF-8, a byte order mark, an object with two members of one name (RFC 7519, section 4), NaN and infinities (also as
    `1e999`), integers of more than 18 digits, lone surrogates, and more than 64 levels of nesting.

    Raises StrictJSONError.
    """
    try:
        if isinstance(data, str):
            text = data
            if not text.isascii():
                text.encode("utf-8")
        else:
            text = data.decode("utf-8")
    except UnicodeError:
        raise StrictJSONError(f"{label} is not UTF-8 text") from None
    if text[:1] == "\ufeff":
        raise StrictJSONError(f"{label} starts with a byte order mark")
    # Few texts have that many brackets at all; all others skip the exact count.
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        raise StrictJSONError(f"{label} is nested more than {MAX_DEPTH} levels deep")
    try:
        value = _DECODER.decode(text)
        if "\\u" in text:
            _refuse_surrogates(value)
    except StrictJSONError as error:
        raise StrictJSONError(f"{label} {error}") from None
    except JSONDecodeError as error:
        # The error contains the whole text; only the position is passed on.
        raise StrictJSONError(f"{label} does not parse at character {error.pos + 1}") from None
    except RecursionError:
        raise StrictJSONError(f"{label} is nested too deep") from None
    return value


def loads_at(text: str, start: int, label: str) -> tuple[Any, int]:
    """Return the value that begins at a position of a text, read like `loads`, and its end position.

    Raises StrictJSONError.
    """
    try:
        value, end = _DECODER.raw_decode(text, start)
        if (
            text.count("[", start, end) + text.count("{", start, end) > MAX_DEPTH
            and _depth(text[start:end]) > MAX_DEPTH
        ):
            raise StrictJSONError(f"is nested more than {MAX_DEPTH} levels deep")
        if text.find("\\u", start, end) >= 0:
            _refuse_surrogates(value)
    except StrictJSONError as error:
        raise StrictJSONError(f"{label} {error}") from None
    except JSONDecodeError as error:
        raise StrictJSONError(f"{label} does not parse at character {error.pos + 1}") from None
    except RecursionError:
        raise StrictJSONError(f"{label} is nested too deep") from None
    return value, end


def dumps(value: object) -> str:
    """Return the canonical JSON of `value`: sorted members, no spaces, ASCII only.

    Raises StrictJSONError for a value without a JSON form, for NaN and infinities, and for half a surrogate pair.
    """
    try:
        text = _ENCODER.encode(value)
    except (ValueError, TypeError, RecursionError):
        raise StrictJSONError("the value has no JSON form") from None
    if "\\ud" in text:
        _refuse_surrogates(value)
    return text


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise StrictJSONError("has two members of one name")
    return members


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS and len(digits.lstrip("-")) > MAX_DIGITS:
        raise StrictJSONError(f"has an integer of more than {MAX_DIGITS} digits")
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if not isfinite(number):
        raise StrictJSONError("has a number that is out of range")
    return number


def _constant(name: str) -> NoReturn:
    raise StrictJSONError(f"has {name.lstrip('-')}, which is no JSON number")


def _depth(text: str) -> int:
    """Return the deepest nesting; it is exact up to the first error of grammar."""
    # Without escaped backslashes and quotes, every second piece between quotes is outside of strings.
    depth = deepest = 0
    for outside in text.replace("\\\\", "").replace('\\"', "").split('"')[::2]:
        for character in outside:
            if character in "[{":
                depth += 1
                deepest = max(deepest, depth)
            elif character in "]}":
                depth -= 1
    return deepest


def _refuse_surrogates(value: object) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise StrictJSONError("has half of a surrogate pair") from None


# Made only once: making a decoder or an encoder costs as much as reading a small object.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_members, parse_int=_integer, parse_float=_float, parse_constant=_constant
)
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)
