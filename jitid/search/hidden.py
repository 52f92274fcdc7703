"""Strings of ours in a text of any size, those that stand there plainly and those that something hides (`encodings`).

Where a string may be hidden is told by what C code finds at the speed of memory: prefixes that are broken, letters that
are rare in text and in no base64, and escapes in a row. There the layers are taken off.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

from jitid.redaction.token_format import MAX_TOKEN
from jitid.search.encodings import (
    DEPTH,
    TO_STANDARD,
    EncodingLayer,
    decoded,
    from_base64,
    is_text,
    joined,
    peeled,
)
from jitid.search.find import BEFORE as HEADER_ROOM
from jitid.search.find import MARK, Finds, jti_of_token
from jitid.search.secret_shapes import SecretSearch
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

LONGEST = 8 * MAX_TOKEN
"""How long the longest token may be, in bytes, with all that hides it."""
AFTER = LONGEST
"""How much a window shows after the last string that it is to find."""
BEFORE = 8 * HEADER_ROOM
"""How much it shows before the first one: room for the header of a signed token."""

DEEP = f"text in more than {DEPTH} layers of base64"
COSTLY = "text that takes too many steps to decode"

_WHERE = dict[tuple[str, bytes | str], dict[int, int]]
"""Strings by their sort and what is kept of them: where each begins, and where it ends."""

# Digits of base64, over several lines with what may stand before and behind each of them.
_BREAK = (
    rb"(?:\0+|%[0-9A-Fa-f]{2}|\\+u00[0-9A-Fa-f]{2}|\\+[nrt/]+|\\+(?=[\r\n])|\xe2\x80\x8b|&#?\w{2,6};"
    rb"|<br[ \t]{0,4}/?>"
    rb"|[\"'\\= \t|+,]{0,16}[\r\n][\r\n\t >|#*;:/\"'!+\-.0-9]{0,40}(?:[A-Za-z]{1,2}[\"'])?)"
)
_RUN = re.compile(rb"(?>(?>[\w+/-]+)(?>%b{0,3}))+" % _BREAK)
# A token has no character of which base64 makes a sign: it is letters and decimal digits throughout.
# No break begins with one of those. A break may end with digits, which the single break gives back to the next line;
# several breaks give back nothing, as the number of ways to divide them would grow with their product.
_BEGUN = re.compile(
    rb"[0-9A-Za-z]{14}|[0-9A-Za-z]++(?:%b|(?>%b{2,3}))[0-9A-Za-z]{5}|(?:[0-9A-Za-z]\0){8}" % (_BREAK, _BREAK)
)
_SHORTEST = 40
"""The minimum number of base64 digits of the shortest token after its first letters."""
_HEAD = 400
_NO_DIGITS = bytes(set(range(256)) - set(DIGITS))
_NO_CAPITALS = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
_CAPITALS = 12
"""At least one of this number of digits is a capital letter; in most base64 two of five are."""


class _Escape(NamedTuple):
    """A way to escape a byte."""

    mark: bytes
    following: bytes
    """Whether a byte may stand behind the mark."""
    one: re.Pattern[bytes]
    two: re.Pattern[bytes]
    """An escape with the mark of the next one behind it."""


def _escape(mark: bytes, following: bytes, one: bytes) -> _Escape:
    table = bytes(each in following for each in range(256))
    return _Escape(mark, table, re.compile(one), re.compile(b"%b(?=%b)" % (one, re.escape(mark))))


_REFERENCE = b"&"
_ESCAPES = (
    _escape(b"%", b"234567", rb"%(?:25(?=[2-7][0-9A-Fa-f]))*+[2-7][0-9A-Fa-f]"),
    # A run of backslashes is tried once, from its first one: else a long run takes quadratic time.
    _escape(b"\\", b"\\ux", rb"\\(?<!\\\\)\\*+(?:u00|x)[2-7][0-9A-Fa-f]"),
    _escape(b"=", b"234567", rb"=[2-7][0-9A-F]"),
    _escape(_REFERENCE, b"#a", rb"&(?:amp;)*+#(?:[xX]0*+[0-9A-Fa-f]{2}|0*+[0-9]{2,3});"),
)
"""In what is escaped throughout every third to sixth byte is one of these marks: a sample shows some of them."""
_NEAR = 256
"""Of a token that is escaped throughout, this number of bytes before or after each of its marks is a part."""
_DENSE = 8
"""The minimum number of escapes there that have another one behind them."""
_DECIDED = _NEAR // 2
"""Where there are fewer around a mark, there are no more around those that follow it so closely."""
_LAST = "AQgw"
"""The digits of base64url with which 64 bytes can end: four of their bits are zero (RFC 4648, section 3.5)."""
_ID = re.compile(rb"j(?:id|ti)_[0-9a-v]{26}")
_BEGINNING = b'{"jti":"'
_BROKEN_ID = re.compile(rb"j(?:id|ti)_(?:[\s>|]*[0-9a-v]){26}(?![0-9A-Za-z])")
_OPAQUE_SPAN = re.compile(rb"(?:[^0-9A-Za-z]{0,80}[0-9A-Za-z]){1,90}")
_TAIL = re.compile(rb"\.(?:[^0-9A-Za-z_-]{0,80}[0-9A-Za-z_-]){1,110}")
_CONTEXT = 512
"""How much before such a letter is looked at, where the word may begin."""
_MORE = 256
"""How much behind it, where the last line may be short."""
_AHEAD = 1_024
"""How far behind the beginning of what is hidden the first sign of it stands."""
_MOST = 1 << 26
"""The maximum number of bytes that are decoded for one window, over all layers."""
_WORD = re.compile(rb"[\w+/-]{24}")


class _Cluster(NamedTuple):
    """A part of a window in which something may be hidden."""

    start: int
    end: int


class HiddenSearch:
    """Finds strings of some sorts, plain or hidden, and says what it could not search."""

    def __init__(
        self, sorts: frozenset[str], looks: SecretSearch | None = None, *, closely: bool = False
    ) -> None:
        """Args are as of `Strings`; `closely` takes the layers off everywhere, which a short text is worth."""
        self._plain = Strings(sorts, looks)
        self._inner = Strings(sorts, looks, glued=True)
        self._closely = closely
        self._left = 0
        """How many bytes may still be looked at."""
        self._here = 0
        self.missed: list[tuple[str, int]] = []
        """What could not be searched, and where in the window; for the caller to take."""

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
        """Return what begins in `window[first:last]`, in the order of the text; what is mistyped `finds` counts.

        The window shows `BEFORE` bytes before `first` and `AFTER` bytes after `last`, unless the text begins or ends
        there; at `end` it does. At each of `borders` another text begins.
        """
        end = len(window) if end is None else end
        signs = Signs(max(0, first - BEFORE), min(last + _AHEAD, end))
        plain = self._plain.found(window, first, last, finds, signs)
        self._left = _MOST
        clusters = self._clusters(window, end, borders, signs, plain)
        hidden: _WHERE = {}
        for cluster in clusters:
            text = bytes(window[cluster.start : cluster.end])
            own = max(first, cluster.start) - cluster.start, min(last, cluster.end) - cluster.start
            if own[0] < own[1]:
                self._here = max(first, cluster.start)
                _merge(hidden, self._peel(text, *own, DEPTH, ids="guessed"), cluster.start)
        for at in signs.ids:
            broken = _BROKEN_ID.match(window, at, end) if "ids" in self._plain.sorts else None
            if broken and first <= at < last:
                text = broken[0].translate(None, b" \t\r\n\v\f>|")
                hidden.setdefault(("guessed", text.decode("ascii")), {})[at] = broken.end()
        return _together(window, plain, hidden, finds) if hidden else plain

    def _clusters(
        self,
        window: bytes | bytearray,
        end: int,
        borders: Sequence[int],
        signs: Signs,
        plain: Sequence[FoundString],
    ) -> list[_Cluster]:
        """Return where something may be hidden, in the order of the text; they do not overlap."""
        if self._closely:
            return [_Cluster(0, end)]
        parts: list[tuple[int, int, int]] = []
        for at in signs.ids:
            span = _OPAQUE_SPAN.match(window, at, end)
            if span:
                parts.append((at, at, span.end()))
        parts += _broken_tokens(window, signs.tokens, end)
        parts += _escaped(window, signs, end)
        runs = _runs(window, signs, end, plain)
        parts += [(at, at - _CONTEXT, stop + _MORE) for at, stop in runs if _is_worth(bytes(window[at:stop]))]
        clusters: list[_Cluster] = []
        for start, stop in sorted(_within(part, borders, end) for part in parts):
            if clusters and start < clusters[-1].end:
                clusters[-1] = _Cluster(clusters[-1].start, max(stop, clusters[-1].end))
            else:
                clusters.append(_Cluster(start, stop))
        return clusters

    def _peel(self, text: bytes, first: int, last: int, depth: int, ids: str | None) -> _WHERE:
        """Return what begins in `text[first:last]` and is seen when layers are taken off; `ids` is the sort of ids."""
        found: _WHERE = {}
        for layer in peeled(text, first, last):
            for one in (layer, joined(layer)):
                if one.text is not text and self._pays(one):
                    self._look(found, one, ids)
            if depth:
                for inner in decoded(layer):
                    if is_text(inner.text) and self._pays(inner):
                        self._open(found, inner, depth - 1)
        return found

    def _open(self, found: _WHERE, inner: EncodingLayer, depth: int) -> None:
        """Add what base64 has hidden, plainly or by further layers."""
        text, first, last = inner.text, inner.first, inner.last
        signs = Signs(max(0, first - BEFORE), len(text))
        plain = self._inner.found(text, first, last, Finds(), signs)
        named = [one for one in plain if one.sort == "ids"]
        for one in plain:
            if one.sort != "ids":
                _note(found, one.sort, one, inner)
        if (
            named
            and _ID.search(text, 0, named[0].at) is None
            and not text.endswith(_BEGINNING, 0, named[0].at)
        ):
            # The payload of a signed token that lacks its beginning: the first id in it tells whose it was.
            _note(found, "cut", named[0], inner)
        if not depth:
            # What is ours by its form was found; of other words of base64 it is not known what they spell.
            if any(_is_worth(text[at:stop]) for at, stop in _runs(text, signs, len(text), plain)):
                self.missed.append((DEEP, self._here))
            clusters = [] if not self._closely else [_Cluster(0, len(text))]
        elif self._closely:
            clusters = [_Cluster(0, len(text))]
        else:
            clusters = self._clusters(text, len(text), (), signs, plain)
        for cluster in clusters:
            own = max(first, cluster.start) - cluster.start, min(last, cluster.end) - cluster.start
            if own[0] < own[1]:
                deeper = self._peel(text[cluster.start : cluster.end], *own, depth, None)
                for key, places in deeper.items():
                    found.setdefault(key, {}).update(
                        (inner.back(cluster.start + at), inner.back(cluster.start + end - 1) + 1)
                        for at, end in places.items()
                    )

    def _look(self, found: _WHERE, layer: EncodingLayer, ids: str | None) -> None:
        for one in self._inner.found(layer.text, layer.first, layer.last, Finds()):
            sort = ids if one.sort == "ids" else one.sort
            if sort is not None:
                _note(found, sort, one, layer)

    def _pays(self, layer: EncodingLayer) -> bool:
        """Count what is looked at; return False, and say so, if that is too much."""
        if self._left >= 0:
            self._left -= len(layer.text)
            if self._left < 0:
                self.missed.append((COSTLY, self._here))
        return self._left >= 0


def _note(found: _WHERE, sort: str, one: FoundString, layer: EncodingLayer) -> None:
    """Note what was found in a layer, by where it stands in the text that this was made of."""
    # Of what is not kept as it is, the end does not matter.
    end = one.at + (len(one.key) if one.sort == "signed" else 1)
    found.setdefault((sort, one.key), {})[layer.back(one.at)] = layer.back(end - 1) + 1


def _merge(found: _WHERE, more: _WHERE, offset: int) -> None:
    for key, places in more.items():
        found.setdefault(key, {}).update((offset + at, offset + end) for at, end in places.items())


def _together(
    window: bytes | bytearray, plain: Sequence[FoundString], hidden: _WHERE, finds: Finds
) -> list[FoundString]:
    """Return what is plain and what is hidden without what is the same; in the order of the text."""
    # What stands there as it is, is seen without any layer too.
    seen = {(one.sort, one.key, one.at) for one in plain}
    ids = {one.key for one in plain if one.sort == "ids"}
    more = sorted(
        (at, sort, key, end)
        for (sort, key), places in hidden.items()
        for at, end in places.items()
        if (sort, key, at) not in seen and (sort != "guessed" or key not in ids)
    )
    whole = [(at, end, str(key)) for at, sort, key, end in more if sort == "signed"]
    whole = [
        one for one in whole if all(_soundness(rival) <= _soundness(one[2]) for rival in _rivals(one, whole))
    ]
    kept: list[FoundString] = []
    jtis = [jti_of_token(token) for *_, token in whole]
    for one in plain:
        # A token that is broken counts whole, and no part of it besides.
        if one.sort == "cut" and one.key in jtis:
            jtis.remove(str(one.key))
        else:
            kept.append(one)
    known = {one.key for one in kept if one.sort == "cut"}
    known.update(jti_of_token(str(one.key)) for one in plain if one.sort == "signed")
    known.update(jti_of_token(token) for *_, token in whole)
    for at, sort, key, _ in more:
        if sort == "signed" and not any(token == key and begin == at for begin, _, token in whole):
            continue
        if sort == "foreign" and not _is_sound(str(key), part=0):
            continue
        if sort in ("cut", "foreign") and any(begin <= at < stop for begin, stop, _ in whole):
            continue
        if sort == "cut" and key in known:
            continue
        if sort == "cut":
            known.add(key)
        if sort == "opaque" and is_counted(window, at):
            finds.mistyped = max(0, finds.mistyped - 1)
        kept.append(FoundString(at, sort, key))
    return sorted(kept, key=lambda one: one.at)


def _rivals(one: tuple[int, int, str], tokens: Sequence[tuple[int, int, str]]) -> Iterator[str]:
    """Yield other tokens at the same place: where it is not certain what of a line belongs to it."""
    return (token for begin, stop, token in tokens if begin < one[1] and one[0] < stop and token != one[2])


def _soundness(token: str) -> tuple[bool, bool]:
    """Return what shows that a reading of a signed token is the right one: its payload and its signature end there."""
    return _is_sound(token), token[-1] in _LAST


def _is_sound(token: str, part: int = 1) -> bool:
    """Tell whether a part of a token, its payload, is whole: what does not belong to it makes it end elsewhere."""
    text = token.split(".")[part].encode("ascii")
    return from_base64(text.translate(TO_STANDARD)).endswith(b"}")


def _within(part: tuple[int, int, int], borders: Sequence[int], end: int) -> tuple[int, int]:
    """Return from where to where a part goes that was found at a place, without what is another text."""
    at, start, stop = part
    number = bisect_right(borders, at)
    start = max(start, borders[number - 1] if number else 0)
    return start, min(stop, borders[number] if number < len(borders) else end)


def _broken_tokens(
    window: bytes | bytearray, places: Sequence[int], end: int
) -> Iterator[tuple[int, int, int]]:
    """Yield where signed tokens begin and end that are broken."""
    for at in places:
        start = max(0, at - 2 * HEADER_ROOM)
        dot = window.find(b".", at, min(end, at + LONGEST))
        if dot < 0:
            continue
        if not window.startswith(MARK, at):
            # It may be the header, and the payload is yet to come.
            dot = max(dot, window.find(b".", dot + 1, min(end, at + LONGEST)))
        tail = _TAIL.match(window, dot, end)
        if tail:
            yield at, start, tail.end()


def _marks(window: bytes | bytearray, signs: Signs, end: int, escape: _Escape) -> Iterator[int]:
    """Yield places of an escape's mark, at least one of each token that is escaped throughout."""
    start, stop, mark, following = signs.start, min(signs.end, end - 1, len(window) - 1), *escape[:2]
    if mark != _REFERENCE:
        find = signs.sample.find
        number = find(mark)
        while number >= 0 and (at := start + number * EACH) < stop:
            if following[window[at + 1]]:
                yield at
            number = find(mark, number + 1)
    # They are of different lengths, and a sample may show none of them.
    elif is_rare(signs.sample, mark):
        yield from likely(window, start, stop, mark, following)
    else:
        yield from (found.start() for found in escape.two.finditer(window, start, stop))


def _escaped(window: bytes | bytearray, signs: Signs, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield where the text is escaped throughout; how its lines are broken does not matter."""
    for escape in _ESCAPES:
        one, count = escape.one.match, partial(_count, escape.two, window)
        reached = signs.start
        for at in _marks(window, signs, end, escape):
            if at < reached or one(window, at, end) is None:
                continue
            begin, stop = max(0, at - _NEAR), min(at + _NEAR, end)
            if count(begin, stop) < _DENSE:
                reached = at + _DECIDED
                continue
            while stop < end and count(stop, min(stop + _NEAR, end)) >= _DENSE:
                stop += _NEAR
            reached = stop
            yield at, begin - _CONTEXT, stop + _NEAR + _MORE


def _count(two: re.Pattern[bytes], window: bytes | bytearray, start: int, stop: int) -> int:
    return len(two.findall(window, start, stop))


def _runs(
    window: bytes | bytearray, signs: Signs, end: int, plain: Sequence[FoundString]
) -> list[tuple[int, int]]:
    """Return where there are so many digits of base64 together that a token of ours may be in them."""
    start, stop = signs.start, min(signs.end, end - 1, len(window) - 1)
    places = [*signs.likely]
    common: list[tuple[bytes, bytes]] = []
    spared = max(EITHER, key=partial(times, signs.sample))
    for letter, following in FOLLOWING.items():
        if letter in signs.seen or letter == spared:
            continue
        if is_rare(signs.sample, letter):
            places += likely(window, start, stop, letter, following)
        else:
            common.append((letter, following))
    if not places and not common:
        return []
    # What stands there as a signed token was found as such.
    taken = sorted((one.at, one.at + len(one.key)) for one in plain if one.sort in ("signed", "foreign"))
    runs: list[tuple[int, int]] = []
    # Most are none, as their beginning tells.
    begun = _BEGUN.match
    places = sorted([at for at in places if begun(window, at, end)])
    for begin, until in _gaps(start, stop, taken) if places else ():
        reached = begin
        for at in places:
            if reached <= at < until and (run := _run(window, at, end)) > at:
                runs.append((at, run))
                reached = run
    for letter, following in common:
        for begin, until in [*_gaps(start, stop, sorted([*taken, *runs]))]:
            runs += _runs_by(window, begin, until, letter, following, end)
    return runs


def _gaps(start: int, stop: int, known: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield what is between known parts."""
    for begin, end in known:
        if start < min(begin, stop):
            yield start, min(begin, stop)
        start = max(start, end)
    if start < stop:
        yield start, stop


def _runs_by(
    window: bytes | bytearray, at: int, stop: int, letter: bytes, following: bytes, end: int
) -> Iterator[tuple[int, int]]:
    """Yield runs by a letter that is common."""
    find = window.find
    at = find(letter, at, stop)
    while at >= 0:
        run = _run(window, at, end) if following[window[at + 1]] and _BEGUN.match(window, at, end) else at
        if run > at:
            yield at, run
        at = find(letter, max(run, at + 1), stop)


def _run(window: bytes | bytearray, at: int, end: int) -> int:
    """Return where the digits of base64 end that begin there; the same place if there are too few."""
    head = _RUN.match(window, at, min(end, at + _HEAD))
    if head is None or head.end() - at < _SHORTEST:
        return at
    digits = head[0].translate(None, _NO_DIGITS)
    if len(digits) < _SHORTEST or len(digits.translate(None, _NO_CAPITALS)) * _CAPITALS < len(digits):
        return at
    found = _RUN.match(window, at, end)
    return at if found is None else found.end()


def _is_worth(run: bytes) -> bool:
    """Tell whether text is what a run of digits spells, one way or the other."""
    return any(is_text(one.text) for layer in peeled(run, 0, len(run)) for one in decoded(layer))
