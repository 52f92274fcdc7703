"""Encodings that hide a string in a text, and their removal; all searches share this list.

- escapes: percent-encoding (RFC 3986, section 2.1), also of itself; backslashes of JSON and programs (RFC 8259, section
  7); character references of HTML; quoted-printable (RFC 2045, section 6.7)
- breaks: line breaks with the characters that a quotation, a list, a comment or a shell puts around them, blanks, NULs
  of UTF-16 and UTF-32, zero-width characters: all characters that no token has
- base64 and base64url (RFC 4648), at any alignment of its groups of four, up to `DEPTH` times

Escapes and breaks are removed before each base64, and after the last one.
"""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from functools import partial
from itertools import accumulate

from jitid.values.record import Record

DEPTH = 3
"""The maximum number of base64 layers that are decoded."""

_DIGITS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_NO_TOKEN = bytes(set(range(256)) - set(_DIGITS + b"_.-"))
_NO_BASE64 = bytes(set(range(256)) - set(_DIGITS + b"+/-_"))
TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_GROUP = 4
_BLOCK = 1_024
_NAMES = {
    b"lowbar": b"_",
    b"period": b".",
    b"hyphen": b"-",
    b"plus": b"+",
    b"sol": b"/",
    b"equals": b"=",
    b"amp": b"&",
}
_ESCAPE = re.compile(
    rb"%([0-9A-Fa-f]{2})"
    # A run of backslashes is tried once, from its first one.
    rb"|\\(?<!\\\\)\\*+(?:u00([0-9A-Fa-f]{2})|x([0-9A-Fa-f]{2})|[nrt]|(?=[/\"']))"
    rb"|&(?:amp;)*#[xX]0*([0-9A-Fa-f]{2});"
    rb"|&(?:amp;)*#0*([0-9]{2,3});"
    rb"|&(" + b"|".join(_NAMES) + rb");"
    rb"|=([2-7][0-9A-F]|0[AD])"
    rb"|=\r?\n"
)
_ESCAPING = (b"%", b"\\", b"&", b"=")
_MOST_ESCAPED = 3
"""The maximum number of nested escapes."""
_DECIMAL = 5
_NAMED = 6
# Marks at the start or the end of a line that are also digits of base64 or characters of tokens. A run of line breaks
# or of blanks is tried once, from its first character, and is kept whole: otherwise it takes quadratic time.
_BREAKS = rb"[\r\n](?<![\r\n][\r\n])[\r\n]*+"
_MARKS = (
    rb"[ \t>|]*+(?:(?:(?:[-+*/#;%!:.>|]{1,3}|[0-9]{1,6}[:.|]?)[ \t]++)++(?:[A-Za-z]{1,2}(?=[\"']))?"
    rb"|[-+]|[0-9]{1,6}[-:]|[A-Za-z]{1,2}(?=[\"']))"
)
_HTML_BREAK = rb"=?<br[ \t]{0,4}/?>"
"""A line break of HTML, perhaps within the soft line break of quoted-printable."""
_HTML = re.compile(_HTML_BREAK)
_PREFIX = re.compile(
    rb"%b%b|[\"'`][ \t]{0,16}\+[ \t]{0,16}[\r\n]++(?:%b)?|%b" % (_BREAKS, _MARKS, _MARKS, _HTML_BREAK)
)
_LINE = re.compile(
    rb"(?:[\"'\\= \t|+](?<![\"'\\= \t|+][\"'\\= \t|+])[\"'\\= \t|+]*+)?[\r\n]++(?:%b|[ \t>|]*+)[\"']?"
    % _MARKS
)
"""A line break within an escape, with the marks before and after it."""
_PLAIN = frozenset(b"\t\n\r") | frozenset(range(32, 127))
_IS_PLAIN = bytes(ord("p") if byte in _PLAIN else 0 for byte in range(256))
_PLAIN_RUN = b"p" * 24
"""The number of consecutive characters that counts as text, and not as coincidence."""
_FIRST = {b2a_base64(bytes((byte,)))[0] for byte in _PLAIN | {0}}
"""The digits with the first six bits of a character of text, or of a NUL of UTF-16."""
_IS_FIRST = bytes(ord("p") if byte in _FIRST else 0 for byte in range(256))
_FIRST_RUN = b"p" * (len(_PLAIN_RUN) // 3)
"""The row of those digits in that number of characters: every third one begins a group of four digits."""


class EncodingLayer(Record):
    """A text with some encoding removed."""

    text: bytes
    first: int
    last: int
    """With `first`: the range of positions at which the searched strings begin."""
    back: Callable[[int], int]
    """Returns the position in the original text for a position in this one."""


def same(position: int) -> int:
    """Return a position unchanged."""
    return position


def peeled(text: bytes, first: int, last: int) -> Iterator[EncodingLayer]:
    """Yield a text unchanged, without escapes, and without the marks at the start of its lines."""
    whole = EncodingLayer(text, first, last, same)
    yield whole
    layers = [whole]
    plain = unescaped(whole)
    if plain is not whole:
        layers.append(plain)
        yield plain
        if _LINE.search(text):
            # An escape may be broken over two lines.
            layers.append(unescaped(_replaced(whole, _LINE, lambda _: b"")))
            yield layers[-1]
    for layer in layers:
        if _PREFIX.search(layer.text):
            yield _replaced(layer, _PREFIX, lambda _: b"\n")
        if b"<br" in layer.text:
            # One or two letters before a quotation mark may be the end of a token, and no mark.
            yield _replaced(layer, _HTML, lambda _: b"\n")


def unescaped(layer: EncodingLayer) -> EncodingLayer:
    """Return a layer without escapes; the same layer if there are none."""
    for _ in range(_MOST_ESCAPED):
        if not any(mark in layer.text for mark in _ESCAPING) or _ESCAPE.search(layer.text) is None:
            break
        layer = _replaced(layer, _ESCAPE, _meant)
    return layer


def joined(layer: EncodingLayer) -> EncodingLayer:
    """Return a layer without the characters that no token has."""
    return _without(layer, _NO_TOKEN)


def decoded(layer: EncodingLayer) -> Iterator[EncodingLayer]:
    """Yield the decoded base64 of a layer, once for each of the four alignments; the first group may be cut."""
    layer = _without(layer, _NO_BASE64)
    digits = layer.text.translate(TO_STANDARD)
    for lost in range(_GROUP):
        text = from_base64(b"A" * lost + digits)
        first, last = (max(0, -(-(position + lost) * 3 // 4)) for position in (layer.first, layer.last))
        back = partial(_before_base64, layer, lost)
        yield EncodingLayer(text, first, last, back)


def _before_base64(layer: EncodingLayer, lost: int, position: int) -> int:
    """Return the original position of a position in decoded text."""
    return layer.back(max(0, position * 4 // 3 - lost))


def from_base64(digits: bytes) -> bytes:
    """Return the bytes of standard base64 digits without padding; an incomplete group gives the bytes that it has."""
    # A single character contains no whole byte.
    whole = digits[:-1] if len(digits) % _GROUP == 1 else digits
    return a2b_base64(whole + b"=" * (-len(whole) % _GROUP))


def is_text(raw: bytes) -> bool:
    """Return whether decoded bytes contain text; bytes that were not base64 almost never do."""
    return _PLAIN_RUN in raw.translate(_IS_PLAIN, b"\0")


def may_be_text(digits: bytes) -> bool:
    """Return whether base64 digits, without padding and anything else, decode to text at any alignment."""
    signs = digits.translate(_IS_FIRST)
    standard = digits.translate(TO_STANDARD)
    # Few other digits have such a row, and only those are decoded.
    return any(
        _FIRST_RUN in signs[-lost % _GROUP :: _GROUP] and is_text(from_base64(b"A" * lost + standard))
        for lost in range(_GROUP)
    )


def _meant(escape: re.Match[bytes]) -> bytes:
    group = escape.lastindex
    if group is None:
        return b"\n" if escape[0].endswith((b"n", b"r", b"t")) else b""
    if group == _DECIMAL:
        code = int(escape[group])
        return bytes([code]) if code < 256 else escape[0]
    return _NAMES[escape[group]] if group == _NAMED else bytes.fromhex(escape[group].decode("ascii"))


def _without(layer: EncodingLayer, removed: bytes) -> EncodingLayer:
    """Return a layer without the unwanted characters."""
    text = layer.text
    sums: list[int] = []

    def kept(position: int) -> int:
        return len(text[:position].translate(None, removed))

    def back(position: int) -> int:
        # Computed on demand, for found strings only: first by blocks, then by bisection.
        if not sums:
            blocks = (text[start : start + _BLOCK] for start in range(0, len(text), _BLOCK))
            sums.extend(accumulate((len(block.translate(None, removed)) for block in blocks), initial=0))
        block_index = bisect_right(sums, position) - 1
        block, offset = text[block_index * _BLOCK : (block_index + 1) * _BLOCK], position - sums[block_index]
        inner = bisect_left(
            range(len(block)), offset + 1, key=lambda index: len(block[: index + 1].translate(None, removed))
        )
        return layer.back(block_index * _BLOCK + inner)

    plain = text.translate(None, removed)
    return (
        layer if len(plain) == len(text) else EncodingLayer(plain, kept(layer.first), kept(layer.last), back)
    )


def _replaced(
    layer: EncodingLayer, pattern: re.Pattern[bytes], meaning: Callable[[re.Match[bytes]], bytes]
) -> EncodingLayer:
    """Return a layer in which each match is replaced by its meaning."""
    text, pieces = layer.text, []
    ins, outs = [0], [0]
    end = length = 0
    for match in pattern.finditer(text):
        replacement = meaning(match)
        pieces += [text[end : match.start()], replacement]
        length += match.start() - end
        ins += [match.start(), match.end()]
        outs += [length, length + len(replacement)]
        length += len(replacement)
        end = match.end()
    pieces.append(text[end:])

    def back(position: int) -> int:
        piece = bisect_right(outs, position) - 1
        # Every second piece is a replacement, which begins at the position of the replaced text.
        return layer.back(ins[piece] + (0 if piece % 2 else position - outs[piece]))

    def forward(position: int) -> int:
        piece = bisect_right(ins, position) - 1
        if piece % 2 == 0:
            return outs[piece] + position - ins[piece]
        return outs[piece] if position == ins[piece] else outs[piece + 1]

    return EncodingLayer(b"".join(pieces), forward(layer.first), forward(layer.last), back)
