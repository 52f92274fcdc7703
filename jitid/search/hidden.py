"""Search for jitid strings in a text of any size, plain or hidden by an encoding (`encodings`).

C code finds the places where a string may be hidden, at the speed of memory: broken prefixes, letters that are rare in
text but frequent in base64, and escapes in a row. Only there the layers are removed.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from jitid.redaction.token_format import MAX_TOKEN
from jitid.search.encodings import (
    DEPTH,
    TO_STANDARD,
    EncodingLayer,
    decoded,
    from_base64,
    is_text,
    joined,
    may_be_text,
    peeled,
)
from jitid.search.find import BEFORE as HEADER_ROOM
from jitid.search.find import MARK, Finds, SecretSearch, jti_of_token
from jitid.search.strings import (
    DIGITS,
    EACH,
    EITHER,
    FOLLOWING,
    FoundString,
    Signs,
    Strings,
    is_counted,
    is_rare,
    likely,
    times,
)
from jitid.values.record import Record

LONGEST = 8 * MAX_TOKEN
"""The maximum length of a token, in bytes, with all encodings that hide it."""
AFTER = LONGEST
"""Bytes of text after the start of the last string of a window."""
BEFORE = 8 * HEADER_ROOM
"""Bytes of text before the first string of a window: room for the header of a signed token."""

DEEP = f"text in more than {DEPTH} layers of base64"
COSTLY = "text that takes too many steps to decode"

_WHERE = dict[tuple[str, bytes | str], dict[int, int]]
"""By kind and kept form of a string: the start and the end of each occurrence."""

# Digits of base64 over several lines, with the characters that may precede and follow each line break.
_BREAK = (
    rb"(?:\0+|%[0-9A-Fa-f]{2}|\\+u00[0-9A-Fa-f]{2}|\\+[nrt/]+|\\+(?=[\r\n])|\xe2\x80\x8b|&#?\w{2,6};"
    rb"|=?<br[ \t]{0,4}/?>"
    rb"|[\"'\\= \t|+,]{0,16}[\r\n][\r\n\t >|#*;:/\"'!+\-.0-9]{0,40}(?:[A-Za-z]{1,2}[\"'])?)"
)
_RUN = re.compile(rb"(?>(?>[0-9A-Za-z_+/-]+)(?>%b{0,3}))+" % _BREAK)
# The base64 of a token has no sign such as `+` or `/`, only letters and decimal digits. No break begins
# with one of those. A break may end with digits, which the single break gives back to the next line; several breaks
# give back nothing, as the number of ways to divide them would grow with their product.
_BEGUN = re.compile(
    rb"[0-9A-Za-z]{14}|[0-9A-Za-z]++(?:%b|(?>%b{2,3}))[0-9A-Za-z]{5}|(?:[0-9A-Za-z]\0){8}" % (_BREAK, _BREAK)
)
_SHORTEST = 40
"""The minimum number of base64 digits of the shortest token after its first letters."""
_HEAD = 400
_LINE = 80
"""The number of digits before a letter of a run that are added to it: most lines of base64 have 76 (RFC 2045)."""
_NO_DIGITS = bytes(set(range(256)) - set(DIGITS))
_NO_CAPITALS = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
_CAPITALS = 12
"""At least one of this number of digits is a capital letter; in most base64 two of five are."""


class _Escape(Record):
    """One kind of escape for a byte."""

    mark: bytes
    following: bytes
    """A table of the bytes that may follow the mark."""
    one: re.Pattern[bytes]
    two: re.Pattern[bytes]
    """An escape that is followed by the mark of the next one."""


def _escape(mark: bytes, following: bytes, pattern: bytes) -> _Escape:
    table = bytes(byte in following for byte in range(256))
    return _Escape(mark, table, re.compile(pattern), re.compile(b"%b(?=%b)" % (pattern, re.escape(mark))))


_REFERENCE = b"&"
_ESCAPES = (
    _escape(b"%", b"234567", rb"%(?:25(?=[2-7][0-9A-Fa-f]))*+[2-7][0-9A-Fa-f]"),
    # A run of backslashes is tried once, from its first one: else a long run takes quadratic time.
    _escape(b"\\", b"\\ux", rb"\\(?<!\\\\)\\*+(?:u00|x)[2-7][0-9A-Fa-f]"),
    _escape(b"=", b"234567", rb"=[2-7][0-9A-F]"),
    _escape(_REFERENCE, b"#a", rb"&(?:amp;)*+#(?:[xX]0*+[0-9A-Fa-f]{2}|0*+[0-9]{2,3});"),
)
"""In fully escaped text, every third to sixth byte is one of these marks, so a sample shows some of them."""
_NEAR = 256
"""In a fully escaped token, at least this number of bytes before or after each mark belongs to the token."""
_DENSE = 8
"""The minimum number of escapes in that distance that are followed by another escape."""
_DECIDED = _NEAR // 2
"""After a mark with fewer escapes around it, marks within this distance are skipped: they have no more around them."""
_LAST = "AQgw"
"""The digits of base64url with which 64 or 256 bytes can end: four of their bits are zero (RFC 4648, section 3.5)."""
_ID = re.compile(rb"j(?:id|ti)_[0-9a-v]{26}")
_BEGINNING = b'{"jti":"'
_BROKEN_ID = re.compile(rb"j(?:id|ti)_(?:[\s>|]*[0-9a-v]){26}(?![0-9A-Za-z])")
_OPAQUE_SPAN = re.compile(rb"(?:[^0-9A-Za-z]{0,80}[0-9A-Za-z]){1,90}")
_TAIL = re.compile(rb"\.(?:[^0-9A-Za-z_-]{0,80}[0-9A-Za-z_-]){1,366}")
_CONTEXT = 512
"""Bytes before such a letter that are searched, since the word may begin there."""
_MORE = 1_024
"""Bytes after it that are searched: the last line may be short, and a signature of RS256 may follow in lines."""
_AHEAD = 1_024
"""The maximum distance from the start of a hidden string to its first sign."""
_MOST = 1 << 26
"""The maximum number of bytes that are decoded for one window, over all layers."""
_WORD = re.compile(rb"[\w+/-]{24}")


class _Cluster(Record):
    """A part of a window that may hide a string."""

    start: int
    end: int


class HiddenSearch:
    """A search for strings of some kinds, plain or hidden; it also reports the parts that it could not search."""

    def __init__(
        self, kinds: frozenset[str], looks: SecretSearch | None = None, *, closely: bool = False
    ) -> None:
        """Args are those of `Strings`; `closely` removes layers everywhere, which only a short text justifies."""
        self._plain = Strings(kinds, looks)
        self._inner = Strings(kinds, looks, glued=True)
        self._closely = closely
        self._runs = _Runs()
        self._left = 0
        """The number of bytes that may still be decoded."""
        self._here = 0
        self.missed: list[tuple[str, int]] = []
        """Reasons and positions of the parts that could not be searched; the caller removes them."""

    def found(
        self,
        window: bytes | bytearray,
        first: int,
        last: int,
        finds: Finds,
        *,
        end: int | None = None,
        borders: Sequence[int] = (),
    ) -> list[FoundString]:
        """Return the strings that begin in `window[first:last]`, in text order; `finds` counts mistyped ones.

        The window has `BEFORE` bytes before `first` and `AFTER` bytes after `last`, unless the text begins or ends
        there. The text ends at `end`, and another text begins at each of `borders`.
        """
        end = len(window) if end is None else end
        signs = Signs(max(0, first - BEFORE), min(last + _AHEAD, end))
        plain = self._plain.found(window, first, last, finds, signs)
        self._left = _MOST
        clusters = self._clusters(window, end, borders, signs, plain)
        hidden: _WHERE = {}
        for cluster in clusters:
            text = bytes(window[cluster.start : cluster.end])
            span = max(first, cluster.start) - cluster.start, min(last, cluster.end) - cluster.start
            if span[0] < span[1]:
                self._here = max(first, cluster.start)
                _merge(hidden, self._peel(text, *span, DEPTH, ids="guessed"), cluster.start)
        for position in signs.ids:
            broken = _BROKEN_ID.match(window, position, end) if "ids" in self._plain.kinds else None
            if broken and first <= position < last:
                text = broken[0].translate(None, b" \t\r\n\v\f>|")
                hidden.setdefault(("guessed", text.decode("ascii")), {})[position] = broken.end()
        return _together(window, plain, hidden, finds) if hidden else plain

    def _clusters(
        self,
        window: bytes | bytearray,
        end: int,
        borders: Sequence[int],
        signs: Signs,
        plain: Sequence[FoundString],
    ) -> list[_Cluster]:
        """Return the parts that may hide a string, in the order of the text; they do not overlap."""
        if self._closely:
            return [_Cluster(0, end)]
        parts: list[tuple[int, int, int]] = []
        for position in signs.ids:
            span = _OPAQUE_SPAN.match(window, position, end)
            if span:
                parts.append((position, position, span.end()))
        parts += _broken_tokens(window, signs.tokens, end)
        parts += _escaped(window, signs, end)
        runs = self._runs.found(window, signs, end, plain)
        parts += [
            (position, position - _CONTEXT, stop + _MORE)
            for position, stop in runs
            if _is_worth(bytes(window[position:stop]))
        ]
        return [_Cluster(*each) for each in _merged(_within(part, borders, end) for part in parts)]

    def _peel(self, text: bytes, first: int, last: int, depth: int, ids: str | None) -> _WHERE:
        """Return the strings in `text[first:last]` that the removal of layers shows; `ids` is the kind of ids."""
        occurrences: _WHERE = {}
        for layer in peeled(text, first, last):
            for candidate in (layer, joined(layer)):
                if candidate.text is not text and self._is_within_limit(candidate):
                    self._look(occurrences, candidate, ids)
            if depth:
                for inner in decoded(layer):
                    if is_text(inner.text) and self._is_within_limit(inner):
                        self._open(occurrences, inner, depth - 1)
        return occurrences

    def _open(self, occurrences: _WHERE, inner: EncodingLayer, depth: int) -> None:
        """Add the strings in decoded base64, plain or under further layers."""
        text, first, last = inner.text, inner.first, inner.last
        signs = Signs(max(0, first - BEFORE), len(text))
        plain = self._inner.found(text, first, last, Finds(), signs)
        ids = [string for string in plain if string.sort == "ids"]
        for string in plain:
            if string.sort != "ids":
                _note(occurrences, string.sort, string, inner)
        if ids and _ID.search(text, 0, ids[0].at) is None and not text.endswith(_BEGINNING, 0, ids[0].at):
            # The payload of a signed token without its beginning: the first id in it is the jti of the token.
            _note(occurrences, "cut", ids[0], inner)
        if not depth:
            # Strings with a jitid form were found; other words of base64 at this depth stay undecoded.
            if any(
                _is_worth(text[begin:stop]) for begin, stop in self._runs.found(text, signs, len(text), plain)
            ):
                self.missed.append((DEEP, self._here))
            clusters = [] if not self._closely else [_Cluster(0, len(text))]
        elif self._closely:
            clusters = [_Cluster(0, len(text))]
        else:
            clusters = self._clusters(text, len(text), (), signs, plain)
        for cluster in clusters:
            span = max(first, cluster.start) - cluster.start, min(last, cluster.end) - cluster.start
            if span[0] < span[1]:
                deeper = self._peel(text[cluster.start : cluster.end], *span, depth, None)
                for key, spans in deeper.items():
                    occurrences.setdefault(key, {}).update(
                        (inner.back(cluster.start + start), inner.back(cluster.start + stop - 1) + 1)
                        for start, stop in spans.items()
                    )

    def _look(self, occurrences: _WHERE, layer: EncodingLayer, ids: str | None) -> None:
        for string in self._inner.found(layer.text, layer.first, layer.last, Finds()):
            kind = ids if string.sort == "ids" else string.sort
            if kind is not None:
                _note(occurrences, kind, string, layer)

    def _is_within_limit(self, layer: EncodingLayer) -> bool:
        """Count the bytes of a layer; return False, and record the reason once, if the limit is exceeded."""
        if self._left >= 0:
            self._left -= len(layer.text)
            if self._left < 0:
                self.missed.append((COSTLY, self._here))
        return self._left >= 0


def _note(occurrences: _WHERE, kind: str, string: FoundString, layer: EncodingLayer) -> None:
    """Record a string of a layer at its position in the original text."""
    # The end matters only for a string that is kept unchanged.
    end = string.at + (len(string.key) if string.sort == "signed" else 1)
    occurrences.setdefault((kind, string.key), {})[layer.back(string.at)] = layer.back(end - 1) + 1


def _merge(occurrences: _WHERE, added: _WHERE, offset: int) -> None:
    for key, spans in added.items():
        occurrences.setdefault(key, {}).update(
            (offset + start, offset + stop) for start, stop in spans.items()
        )


def _together(
    window: bytes | bytearray, plain: Sequence[FoundString], hidden: _WHERE, finds: Finds
) -> list[FoundString]:
    """Return the plain and the hidden strings without duplicates, in the order of the text."""
    # A search through the layers finds the plain strings again.
    seen = {(string.sort, string.key, string.at) for string in plain}
    ids = {string.key for string in plain if string.sort == "ids"}
    hidden_strings = sorted(
        (position, kind, key, end)
        for (kind, key), spans in hidden.items()
        for position, end in spans.items()
        if (kind, key, position) not in seen and (kind != "guessed" or key not in ids)
    )
    signed_tokens = [
        (position, end, str(key)) for position, kind, key, end in hidden_strings if kind == "signed"
    ]
    signed_tokens = [
        reading
        for reading in signed_tokens
        if all(_soundness(rival) <= _soundness(reading[2]) for rival in _rivals(reading, signed_tokens))
    ]
    strings: list[FoundString] = []
    jtis = [jti_of_token(token) for *_, token in signed_tokens]
    for string in plain:
        # A broken token counts as a whole, so its parts do not count as well.
        if string.sort == "cut" and string.key in jtis:
            jtis.remove(str(string.key))
        else:
            strings.append(string)
    cut_jtis = {string.key for string in strings if string.sort == "cut"}
    cut_jtis.update(jti_of_token(str(string.key)) for string in plain if string.sort == "signed")
    cut_jtis.update(jti_of_token(token) for *_, token in signed_tokens)
    for position, kind, key, _ in hidden_strings:
        if kind == "signed" and not any(
            token == key and begin == position for begin, _, token in signed_tokens
        ):
            continue
        if kind == "foreign" and not _is_sound(str(key), part=0):
            continue
        if kind in ("cut", "foreign") and any(begin <= position < stop for begin, stop, _ in signed_tokens):
            continue
        if kind == "cut" and key in cut_jtis:
            continue
        if kind == "cut":
            cut_jtis.add(key)
        if kind == "opaque" and is_counted(window, position):
            finds.mistyped = max(0, finds.mistyped - 1)
        strings.append(FoundString(position, kind, key))
    return sorted(strings, key=lambda string: string.at)


def _rivals(reading: tuple[int, int, str], tokens: Sequence[tuple[int, int, str]]) -> Iterator[str]:
    """Yield other readings of overlapping tokens: it may be uncertain which part of a line belongs to a token."""
    return (
        token
        for begin, stop, token in tokens
        if begin < reading[1] and reading[0] < stop and token != reading[2]
    )


def _soundness(token: str) -> tuple[bool, bool]:
    """Return the evidence that a reading of a signed token is right: its payload and its signature end correctly."""
    return _is_sound(token), token[-1] in _LAST


def _is_sound(token: str, part: int = 1) -> bool:
    """Return whether a part of a token, by default its payload, is complete; a foreign character changes its end."""
    text = token.split(".")[part].encode("ascii")
    return from_base64(text.translate(TO_STANDARD)).endswith(b"}")


def _within(part: tuple[int, int, int], borders: Sequence[int], end: int) -> tuple[int, int]:
    """Return the start and the end of a part, limited to the text in which it was found."""
    position, start, stop = part
    index = bisect_right(borders, position)
    start = max(start, borders[index - 1] if index else 0)
    return start, min(stop, borders[index] if index < len(borders) else end)


def _broken_tokens(
    window: bytes | bytearray, positions: Sequence[int], end: int
) -> Iterator[tuple[int, int, int]]:
    """Yield the position, the start and the end of broken signed tokens."""
    for position in positions:
        start = max(0, position - 2 * HEADER_ROOM)
        dot = window.find(b".", position, min(end, position + LONGEST))
        if dot < 0:
            continue
        if not window.startswith(MARK, position):
            # The position may be that of the header, with the payload after the dot.
            dot = max(dot, window.find(b".", dot + 1, min(end, position + LONGEST)))
        tail = _TAIL.match(window, dot, end)
        if tail:
            yield position, start, tail.end()


def _marks(window: bytes | bytearray, signs: Signs, end: int, escape: _Escape) -> Iterator[int]:
    """Yield positions of an escape's mark, at least one for each fully escaped token."""
    start, stop, mark, following = signs.start, min(signs.end, end - 1, len(window) - 1), *escape[:2]
    if mark != _REFERENCE:
        find = signs.sample.find
        index = find(mark)
        while index >= 0 and (position := start + index * EACH) < stop:
            if following[window[position + 1]]:
                yield position
            index = find(mark, index + 1)
    # References have different lengths, so a sample may miss all of them.
    elif is_rare(signs.sample, mark):
        yield from likely(window, start, stop, mark, following)
    else:
        yield from (match.start() for match in escape.two.finditer(window, start, stop))


def _escaped(window: bytes | bytearray, signs: Signs, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield the parts of the text that are fully escaped, with any line breaks."""
    for escape in _ESCAPES:
        match_one, count = escape.one.match, partial(_count, escape.two, window)
        reached = signs.start
        for position in _marks(window, signs, end, escape):
            if position < reached or match_one(window, position, end) is None:
                continue
            begin, stop = max(0, position - _NEAR), min(position + _NEAR, end)
            if count(begin, stop) < _DENSE:
                reached = position + _DECIDED
                continue
            while stop < end and count(stop, min(stop + _NEAR, end)) >= _DENSE:
                stop += _NEAR
            reached = stop
            yield position, begin - _CONTEXT, stop + _NEAR + _MORE


def _count(two: re.Pattern[bytes], window: bytes | bytearray, start: int, stop: int) -> int:
    return len(two.findall(window, start, stop))


class _Runs:
    """A search for runs of base64 digits, which several letters show."""

    def __init__(self) -> None:
        # One buffer for all windows: to allocate and to clear another one would take longer than the search.
        self._rest = bytearray()

    def found(
        self, window: bytes | bytearray, signs: Signs, end: int, plain: Sequence[FoundString]
    ) -> list[tuple[int, int]]:
        """Return the runs that are long enough for a jitid token, in the order of the text."""
        start, stop = signs.start, min(signs.end, end - 1, len(window) - 1)
        spared = max(EITHER, key=partial(times, signs.sample))
        searches: list[Callable[[bytes | bytearray, int], int]] = [
            partial(_next_begun, window, sorted(signs.likely), stop, end)
        ]
        searches += [
            partial(_next_letter, window, letter, following, stop, end)
            for letter, following in FOLLOWING.items()
            if letter not in signs.seen and letter != spared
        ]
        # Signed tokens were found already.
        taken = [(each.at, each.at + len(each.key)) for each in plain if each.sort in ("signed", "foreign")]
        rest = self._without(window, window, taken)
        runs: list[tuple[int, int]] = []
        for search in searches:
            found = []
            position = search(rest, start)
            while position >= 0:
                run_end = _run(window, position, end)
                if run_end > position:
                    # The digits before it have other letters: these need no further search then.
                    before = window[max(start, position - _LINE) : position]
                    found.append((position - len(before) + len(before.rstrip(DIGITS)), run_end))
                position = search(rest, max(run_end, position + 1))
            rest = self._without(window, rest, found)
            runs += found
        return _merged(runs)

    def _without(
        self, window: bytes | bytearray, rest: bytes | bytearray, parts: Sequence[tuple[int, int]]
    ) -> bytes | bytearray:
        """Return the rest of a window with NULs instead of some parts: no search finds a letter there."""
        if not parts:
            return rest
        if rest is window:
            self._rest[: len(window)] = window
        for begin, stop in parts:
            self._rest[begin:stop] = bytes(stop - begin)
        return self._rest


def _next_begun(
    window: bytes | bytearray,
    positions: Sequence[int],
    stop: int,
    end: int,
    rest: bytes | bytearray,
    start: int,
) -> int:
    """Return the first of some positions, from `start` on and before `stop`, at which base64 may begin; -1 if none."""
    begun = _BEGUN.match
    for index in range(bisect_left(positions, start), bisect_left(positions, stop)):
        position = positions[index]
        if rest[position] and begun(window, position, end):
            return position
    return -1


def _next_letter(
    window: bytes | bytearray,
    letter: bytes,
    following: bytes,
    stop: int,
    end: int,
    rest: bytes | bytearray,
    start: int,
) -> int:
    """Return the first position of a letter, from `start` on and before `stop`, at which base64 may begin; -1 if none.

    The next byte is in the table `following`.
    """
    find, begun = rest.find, _BEGUN.match
    position = find(letter, start, stop)
    # Most positions are excluded by the next byte.
    while position >= 0 and not (following[window[position + 1]] and begun(window, position, end)):
        position = find(letter, position + 1, stop)
    return position


def _merged(parts: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return parts in the order of the text; overlapping parts become one."""
    merged: list[tuple[int, int]] = []
    for begin, stop in sorted(parts):
        if merged and begin < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((begin, stop))
    return merged


def _run(window: bytes | bytearray, position: int, end: int) -> int:
    """Return the end of the run of base64 digits that begins at `position`; `position` if the run is too short."""
    head = _RUN.match(window, position, min(end, position + _HEAD))
    if head is None or head.end() - position < _SHORTEST:
        return position
    digits = head[0].translate(None, _NO_DIGITS)
    if len(digits) < _SHORTEST or len(digits.translate(None, _NO_CAPITALS)) * _CAPITALS < len(digits):
        return position
    # From a letter on, the run continues as if it began there.
    last = head.end() - 1
    match = _RUN.match(window, last if window[last : last + 1].isalpha() else position, end)
    return position if match is None else match.end()


def _is_worth(run: bytes) -> bool:
    """Return whether a run of digits decodes to text in any way."""
    if run.translate(None, DIGITS):
        return any(is_text(inner.text) for layer in peeled(run, 0, len(run)) for inner in decoded(layer))
    # The usual case, such as a signature: nothing to remove before the digits are decoded.
    return may_be_text(run)
