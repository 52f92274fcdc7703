"""Strict JSON for tokens and details: one interpretation of every text, one spelling of every value; and base64url."""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Generator, Iterator
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
        raise StrictJSONError(f"{label} is nested too deeply") from None
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
        raise StrictJSONError(f"{label} is nested too deeply") from None
    return value, end


def dumps(value: object) -> str:
    """Return the canonical JSON of `value`: sorted members, no spaces, ASCII only.

    Raises StrictJSONError for a value without a JSON form, for NaN and infinities, and for half a surrogate pair.
    """
    try:
        text = _ENCODER.encode(value)
    except (ValueError, TypeError, RecursionError):
        raise StrictJSONError("the value cannot be encoded as JSON") from None
    if "\\ud" in text:
        _refuse_surrogates(value)
    return text


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise StrictJSONError("has two members with the same name")
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
    raise StrictJSONError(f"has {name.lstrip('-')}, which is not a JSON number")


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


_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_+/", b"+/!!")


def b64url(data: bytes) -> str:
    """Return `data` in base64url without padding (RFC 7515, section 2)."""
    return binascii.b2a_base64(data, newline=False).rstrip(b"=").translate(_TO_URL).decode("ascii")


def b64url_decode(text: str) -> bytes:
    """Return the bytes of canonical base64url: no padding, no spare bits, no foreign characters.

    Raises ValueError, which never repeats the text.
    """
    try:
        base64 = text.encode("ascii").translate(_FROM_URL)
        data = binascii.a2b_base64(base64 + b"=" * (-len(text) % 4))
    except ValueError:
        raise ValueError("not base64url") from None
    # The decoder skips unknown characters and drops spare bits; only a canonical text is equal after encoding again.
    if binascii.b2a_base64(data, newline=False).rstrip(b"=") != base64:
        raise ValueError("not canonical base64url")
    return data


_SPACE = re.compile(r"[ \t\n\r]*")


class Elements:
    """The elements of a list, or of the list under a name of an object; or several values in sequence.

    Iteration yields the place of each element and its value, read as by `strict_json.loads`. The place is in the
    notation of programs such as `jq` (`[3]`, `.Resources[3]`), or `line 3` for a value outside a list.
    """

    def __init__(self, text: str, label: str, member: str) -> None:
        """`member` is the lower-case name of the list in an object; case does not matter in the text."""
        self._text = text
        self._label = label
        self._member = member
        self._line = 1
        self._counted = 0
        """The position up to which lines are counted."""
        self.around: list[dict[str, Any]] = []
        """The other members, by lower-case name, of each object that had the list."""

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Yield the place and the value of each element. Raises StrictJSONError."""
        if self._text[:1] == "\ufeff":
            raise StrictJSONError(f"{self._label} starts with a byte order mark")
        position = self._skip(0)
        while position < len(self._text):
            character = self._text[position]
            if character == "[":
                position = yield from self._list(position, "")
            elif character == "{":
                position = yield from self._object(position)
            else:
                location = self._place(position)
                value, position = loads_at(self._text, position, self._label)
                yield location, value
            position = self._skip(position)

    def _list(self, start: int, name: str) -> Generator[tuple[str, Any], None, int]:
        position = self._skip(start + 1)
        if self._is_at("]", position):
            return position + 1
        index = 0
        while True:
            value, position = loads_at(self._text, position, self._label)
            yield f"{name}[{index}]", value
            index += 1
            position = self._skip(position)
            if self._is_at("]", position):
                return position + 1
            position = self._skip(self._past(",", position))

    def _object(self, start: int) -> Generator[tuple[str, Any], None, int]:
        """Yield the elements of the object's list, or the object itself if it has none; members are read one by one."""
        location = self._place(start)
        members: dict[str, Any] = {}
        list_name: str | None = None
        position = self._skip(start + 1)
        while not (self._is_at("}", position) and not members and list_name is None):
            name, position = loads_at(self._text, position, self._label)
            if not isinstance(name, str):
                raise self._broken(position)
            position = self._skip(self._past(":", self._skip(position)))
            if name in members or name == list_name:
                raise StrictJSONError(f"{self._label} has two members with the same name")
            if name.lower() == self._member and list_name is None and self._is_at("[", position):
                list_name = name
                position = yield from self._list(position, f".{name}")
            else:
                members[name], position = loads_at(self._text, position, self._label)
            position = self._skip(position)
            if self._is_at("}", position):
                break
            position = self._skip(self._past(",", position))
        if list_name is None:
            yield location, members
        else:
            self.around.append({name.lower(): value for name, value in members.items()})
        return position + 1

    def _skip(self, position: int) -> int:
        space = _SPACE.match(self._text, position)
        return space.end() if space else position

    def _is_at(self, mark: str, position: int) -> bool:
        return self._text.startswith(mark, position)

    def _past(self, mark: str, position: int) -> int:
        if not self._is_at(mark, position):
            raise self._broken(position)
        return position + 1

    def _broken(self, position: int) -> StrictJSONError:
        return StrictJSONError(f"{self._label} does not parse at character {position + 1}")

    def _place(self, position: int) -> str:
        # Each part of the text is counted only once, even with many values.
        self._line += self._text.count("\n", self._counted, position)
        self._counted = position
        return f"line {self._line}"
