"""Search for unencoded jitid strings of selected kinds in a window of text.

A text is searched window by window. Python code never sees most of its bytes: for each kind of string, C code finds a
characteristic part at the speed of memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from jitid.redaction.token_format import OPAQUE_PREFIX, is_opaque
from jitid.search.find import (
    HEADER,
    MARK,
    OBJECT,
    PEM_BEGUN,
    Finds,
    SecretSearch,
    each,
    foreign_at,
    has_jitid_payload,
    pem_at,
    signed_strings,
)
from jitid.values.record import Record
from jitid.values.secret import fingerprint

JWT = frozenset({"signed", "foreign", "cut"})
PEM = frozenset({"prints", "keys", "locked"})
DIGESTS = "digests"
"""A kind of search: words of 64 hexadecimal digits, which are reported as `prints`."""
ALL = frozenset({"opaque", "ids", DIGESTS}) | JWT | PEM
"""The kinds that are recognizable by their form."""

_PREFIX = OPAQUE_PREFIX.encode("ascii")
_ID_PREFIXES = (b"jti_", b"jid_")
_OPAQUE = re.compile(rb"jitid_[0-9A-Za-z]{16,38}")
_ID = re.compile(rb"j(?:id|ti)_[0-9a-v]{26}(?![0-9A-Za-z])")
_BASE62 = re.compile(rb"[0-9A-Za-z]*")
_WHOLE = 44
"""The number of characters of an opaque token."""

# Characters that may separate those of a broken token: anything but letters, digits, `_` and `.`; in a diff or a list,
# also a hyphen. The match is possessive: a letter or `_` follows, so a shorter match would fail as well.
_BETWEEN = rb"[^0-9A-Za-z_.]{0,80}+"
_UNDERSCORE = rb"(?:_|(?:u00|x)?5[Ff]|95|lowbar)"
_BROKEN_PREFIX = re.compile(
    b"j%b(?:%b|%b)"
    % (
        _BETWEEN,
        _BETWEEN.join((b"i", b"t", b"i", b"d", _UNDERSCORE)),
        _BETWEEN.join((b"(?:t", b"i|i", b"d)", _UNDERSCORE)),
    )
)
_BROKEN_MARK = re.compile(
    b"J%b(?:%b|%b)" % (_BETWEEN, _BETWEEN.join((b"q", b"d", b"G")), _BETWEEN.join((b"h", b"b", b"G")))
)
_UNBROKEN = len(b"JqdG")
_BEFORE_J = ord("y")
_PREFIX_LETTERS = b"it"
_MARK_LETTERS = b"qh"
_WORD = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_.")
_AFTER_J = bytes(0 if byte in _WORD and byte not in _PREFIX_LETTERS else 1 for byte in range(256))
_AFTER_CAPITAL = bytes(0 if byte in _WORD and byte not in _MARK_LETTERS else 1 for byte in range(256))

_HEX_DIGITS = b"0123456789abcdefABCDEF"
_HEX_RUN = re.compile(rb"[0-9a-fA-F]*")
_PRINT_LENGTH = 64
# Of 64 digits in a row, every seventh byte of the text shows at least nine in a row. An even step would coincide with
# the columns of logs, and produce many more false candidates.
_STEP = 7
_IS_HEX = bytes(ord("h") if byte in _HEX_DIGITS else 0 for byte in range(256))
_IN_A_ROW = b"h" * (_PRINT_LENGTH // _STEP)

_UTF_16_SEEN = 64


EACH = 31
"""The step of a sample of a window, in bytes.

It is prime, so that the sample includes text that repeats every few bytes. It is not a divisor of usual line lengths:
otherwise the sample would contain the same columns again and again.
"""
_RARE = 550
"""The limit below which a letter is rare: 1 in this number. Jumping from one to the next then beats a search."""
_MANY = 120
"""The same limit for letters of base64. Above it, the text may be only base64, most of which is skipped at once."""
DIGITS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz+/-_"
"""The digits of base64 and base64url."""
# Each of these letters is rare in text. The base64 of a jitid token has several of them in any alignment. A letter
# counts only with a next byte that makes it even rarer elsewhere. The following bytes do not: they are frequent
# elsewhere.
_UNLIKELY = {
    b"Q": b"TUtu",
    b"X": b"5CEPTX",
    b"W": b"AEHILNOSaehior",
    b"Y": b"EPRSTo",
    b"Z": b"EOa",
    b"J": b"ESaeou",
    b"B": b"ACEILORSUYaeiloruy",
}
_BREAKS = b"\0\r\n\\=%&"
FOLLOWING = {
    letter: bytes(byte not in unlikely and (byte in _BREAKS or chr(byte).isalnum()) for byte in range(128))
    + bytes(128)
    for letter, unlikely in _UNLIKELY.items()
}
"""By letter, a table of the next bytes that occur in base64, and rarely elsewhere."""
EITHER = (b"Y", b"Z")
"""Of these two letters, a search for one is enough."""
_AFTER_B = ord("E")


class FoundString(Record):
    """A string in a window."""

    at: int
    sort: str
    key: bytes | str
    """The kept form of the string; for a secret token, its fingerprint."""


class Signs:
    """Signs of hidden strings, which a search for plain strings collects for the search for hidden ones."""

    __slots__ = ("end", "ids", "likely", "sample", "seen", "start", "tokens")

    def __init__(self, start: int, end: int) -> None:
        """Args are the start and the end of the part of the window in which signs are collected."""
        self.start = start
        self.end = end
        self.sample: bytes | bytearray = b""
        """The sample that shows how rare letters are."""
        self.ids: list[int] = []
        """Positions at which broken opaque tokens and ids begin."""
        self.tokens: list[int] = []
        """Positions of incomplete signed tokens: the letter J of a header or payload."""
        self.likely: list[int] = []
        """Positions of letters of `FOLLOWING` with a next byte that may be base64."""
        self.seen: set[bytes] = set()
        """The letters that `likely` covers."""


class Strings:
    """A search for plain strings of some kinds."""

    def __init__(
        self, kinds: frozenset[str], looks: SecretSearch | None = None, *, glued: bool = False
    ) -> None:
        """Args: `kinds` are names of maps of `Finds`, and `DIGESTS`; `looks` finds adopted secrets.

        `glued` is for a text from which line breaks and blanks were removed.

        """
        self.kinds = kinds
        self._looks = looks if "secrets" in kinds else None
        self._glued = glued

    def found(
        self, window: bytes | bytearray, first: int, last: int, finds: Finds, signs: Signs | None = None
    ) -> list[FoundString]:
        """Return the strings that begin in `window[first:last]`, in text order; `finds` counts mistyped ones.

        A signed jitid token counts as beginning with its payload, a foreign one with its header. The window has
        `BEFORE` bytes before `first` and `AFTER` bytes after `last`, unless the text begins or ends there; then every
        division into windows gives the same result.
        """
        if signs is None:
            part = window[first:last:EACH]
        else:
            part = signs.sample = window[signs.start : signs.end : EACH]
        strings = list(self._each(window, first, last, finds, signs, part))
        strings.sort(key=lambda string: string.at)
        return strings

    def _each(
        self,
        window: bytes | bytearray,
        first: int,
        last: int,
        finds: Finds,
        signs: Signs | None,
        part: bytes | bytearray,
    ) -> Iterator[FoundString]:
        kinds = self.kinds
        if "opaque" in kinds or "ids" in kinds:
            yield from self._prefixed(window, first, last, finds, signs, rare=is_rare(part, b"j", _RARE))
        if kinds & JWT:
            yield from self._signed(window, first, last, signs, rare=is_rare(part, b"J", _RARE))
        if DIGESTS in kinds:
            for position, raw in _digests(window, first, last):
                yield FoundString(position, "prints", raw)
        if kinds & PEM:
            for position in _pems(window, first, last, signs, rare=is_rare(part, b"B")):
                pem = pem_at(window, position)
                if pem is not None and pem[0] in kinds:
                    yield FoundString(position, *pem)
        if self._looks is not None:
            for position, print_ in self._looks.search(window, first, last):
                yield FoundString(position, "secrets", print_)

    def _prefixed(
        self,
        window: bytes | bytearray,
        first: int,
        last: int,
        finds: Finds,
        signs: Signs | None,
        *,
        rare: bool,
    ) -> Iterator[FoundString]:
        """Yield strings with a jitid prefix: opaque tokens and ids."""
        opaque, ids = "opaque" in self.kinds, "ids" in self.kinds
        for position in _prefixes(window, first, last, signs, rare=rare):
            if window.startswith(_PREFIX, position):
                if opaque:
                    yield from _opaque(window, position, finds, signs)
            elif ids:
                id_ = _ID.match(window, position)
                if id_ is not None:
                    yield FoundString(position, "ids", id_[0].decode("ascii"))
                elif signs is not None:
                    signs.ids.append(position)

    def _signed(
        self, window: bytes | bytearray, first: int, last: int, signs: Signs | None, *, rare: bool
    ) -> Iterator[FoundString]:
        kinds = self.kinds
        marks, headers = _objects(window, first, last, signs, rare=rare)
        for position, kind, text in signed_strings(window, marks):
            if kind in kinds:
                # A whole token begins with its header.
                yield FoundString(
                    position - text.index(".") - 1 if kind == "signed" else position, kind, text
                )
            if kind == "cut" and signs is not None:
                signs.tokens.append(position)
        for position in headers:
            token = foreign_at(window, position, glued=self._glued)
            if token:
                if "foreign" in kinds:
                    yield FoundString(position, "foreign", token)
            elif (
                signs is not None
                and window.startswith(HEADER, position)
                and not has_jitid_payload(window, position)
            ):
                signs.tokens.append(position)


_EVERYTHING = Strings(ALL)


def search(window: bytes | bytearray, first: int, last: int, finds: Finds) -> None:
    """Add to `finds` each unencoded string that begins in `window[first:last]`."""
    add(finds, _EVERYTHING.found(window, first, last, finds))


def add(finds: Finds, strings: Iterable[FoundString]) -> None:
    """Count strings in `finds`."""
    for string in strings:
        counts = getattr(finds, string.sort)
        counts[string.key] = counts.get(string.key, 0) + 1


def _opaque(
    window: bytes | bytearray, position: int, finds: Finds, signs: Signs | None
) -> Iterator[FoundString]:
    match = _OPAQUE.match(window, position)
    token = "" if match is None else match[0].decode("ascii")
    if match is not None and is_opaque(token):
        yield FoundString(position, "opaque", fingerprint(token))
        return
    finds.mistyped += match is not None
    if signs is not None:
        run = _BASE62.match(window, position + len(_PREFIX))
        run_end = position if run is None else run.end()
        if run_end - position < _WHOLE and run_end < len(window) and window[run_end] not in _WORD:
            signs.ids.append(position)


def is_counted(window: bytes | bytearray, position: int) -> bool:
    """Return whether the text at `position` looks like the beginning of an opaque token, and counts as mistyped."""
    return _OPAQUE.match(window, position) is not None


def times(part: bytes | bytearray, letter: bytes) -> int:
    """Return how often a letter occurs."""
    # Removing a rare letter jumps from one to the next; `count` reads each byte, and takes many times as long.
    return len(part) - len(part.replace(letter, b""))


def is_rare(part: bytes | bytearray, letter: bytes, rare: int = _MANY) -> bool:
    """Return whether, by a sample, the fastest way through a window is to jump from one such letter to the next."""
    return times(part, letter) * rare <= len(part)


def _prefixes(
    window: bytes | bytearray, first: int, last: int, signs: Signs | None, *, rare: bool
) -> Iterator[int]:
    """Yield each position of a jitid prefix; broken prefixes are added to `signs`."""
    prefixes = (_PREFIX, *_ID_PREFIXES)
    if not rare:
        for match in _BROKEN_PREFIX.finditer(window, first):
            position = match.start()
            if position >= last:
                return
            if window.startswith(prefixes, position):
                yield position
            elif signs is not None:
                signs.ids.append(position)
        return
    # Jump from one j to the next at the speed of memory. No string begins with the last byte of a text; every other
    # byte has a next one.
    find, broken = window.find, _BROKEN_PREFIX.match
    end = min(last, len(window) - 1)
    position = find(b"j", first)
    while 0 <= position < end:
        if _AFTER_J[window[position + 1]] and broken(window, position):
            if window.startswith(prefixes, position):
                yield position
            elif signs is not None:
                signs.ids.append(position)
        position = find(b"j", position + 1)


def _is_broken(window: bytes | bytearray, position: int) -> bool:
    """Return whether a jitid header or payload is broken around its letter J."""
    match = _BROKEN_MARK.match(window, position)
    if match is None:
        return False
    if match.end() - position > _UNBROKEN or position < 2:
        return True
    # The same letters also occur inside a payload.
    return window[position - 1] not in _WORD or (
        window[position - 1] == _BEFORE_J and window[position - 2] not in _WORD
    )


def _objects(
    window: bytes | bytearray, first: int, last: int, signs: Signs | None, *, rare: bool
) -> tuple[list[int], list[int]]:
    """Return the positions of jitid payloads and of headers of signed tokens; broken ones are added to `signs`."""
    start, end = (first, last) if signs is None else (signs.start, signs.end)
    offset = MARK.index(b"J")
    if not rare:
        if signs is not None:
            positions = (match.start() for match in _BROKEN_MARK.finditer(window, first, last))
            signs.tokens += [position for position in positions if _is_broken(window, position)]
        marks = list(each(MARK, window, first, last))
        return marks, [
            position
            for position in each(OBJECT, window, first, last)
            if not window.startswith(MARK, position)
        ]
    marks, headers = [], []
    following = FOLLOWING[b"J"]
    find, stop = window.find, min(end + offset, len(window) - 1)
    position = start + offset - 1
    while 0 <= (position := find(b"J", position + 1)) < stop:
        if signs is not None and following[window[position + 1]]:
            signs.likely.append(position)
        begun = position - offset
        if not first <= begun < last:
            continue
        if window[position - 1] == _BEFORE_J and window.startswith(OBJECT, begun):
            if window.startswith(MARK, begun):
                marks.append(begun)
                continue
            headers.append(begun)
        if signs is not None and _AFTER_CAPITAL[window[position + 1]] and _is_broken(window, position):
            signs.tokens.append(position)
    if signs is not None:
        signs.seen.add(b"J")
    return marks, headers


def _pems(
    window: bytes | bytearray, first: int, last: int, signs: Signs | None, *, rare: bool
) -> Iterable[int]:
    """Return the positions at which certificates and keys in PEM begin."""
    if not rare:
        return each(PEM_BEGUN, window, first, last)
    start, end = (first, last) if signs is None else (signs.start, signs.end)
    offset = PEM_BEGUN.index(b"B")
    # Jumping from one B to the next is twice as fast as a search for the whole beginning.
    find, following, begun = window.find, FOLLOWING[b"B"], []
    stop = min(end + offset, len(window) - 1)
    position = find(b"B", start + offset)
    while 0 <= position < stop:
        next_byte = window[position + 1]
        if next_byte == _AFTER_B and window.startswith(PEM_BEGUN, position - offset):
            begun.append(position - offset)
        elif signs is not None and following[next_byte]:
            signs.likely.append(position)
        position = find(b"B", position + 1)
    if signs is not None:
        signs.seen.add(b"B")
    return [position for position in begun if first <= position < last]


def likely(window: bytes | bytearray, start: int, stop: int, letter: bytes, following: bytes) -> list[int]:
    """Return the positions of a rare letter whose next byte is in the table `following`."""
    find, positions = window.find, []
    position = find(letter, start)
    while position >= 0:
        if position >= stop:
            break
        if following[window[position + 1]]:
            positions.append(position)
        position = find(letter, position + 1)
    return positions


def _digests(window: bytes | bytearray, first: int, last: int) -> Iterator[tuple[int, bytes]]:
    """Yield the words of exactly 64 hexadecimal digits: the position of each, and its decoded bytes."""
    sample = window[first : last + _PRINT_LENGTH : _STEP].translate(_IS_HEX)
    position = sample.find(_IN_A_ROW)
    while position >= 0:
        hit = first + position * _STEP
        match = _HEX_RUN.match(window, hit)
        run_end = match.end() if match else hit
        text_before = bytes(window[max(0, hit - _PRINT_LENGTH) : hit])
        start = hit - len(text_before) + len(text_before.rstrip(_HEX_DIGITS))
        if run_end - start == _PRINT_LENGTH and first <= start < last:
            yield start, bytes.fromhex(window[start:run_end].decode("ascii"))
        position = sample.find(_IN_A_ROW, (run_end - first) // _STEP + 1)


def is_wide(text: bytes | bytearray) -> bool:
    """Return whether the beginning of a text looks like UTF-16: a byte order mark, or NUL in every other byte."""
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    if b"\0" not in text[:_UTF_16_SEEN]:
        return False
    few, many = sorted((text[::2].count(0), text[1::2].count(0)))
    return few * 50 < len(text) and many * 5 > len(text) * 2
