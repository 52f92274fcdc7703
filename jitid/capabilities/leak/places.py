"""The places where strings were seen, in the form that is stored and sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from jitid.model.leak import LONGEST_FINDER, LONGEST_PLACE, LONGEST_REVISION, MOST_PLACES, Sighting
from jitid.redaction.token_format import MAX_TOKEN, names_token
from jitid.search.find import Finds, mark

_LAST = 253_402_300_799  # 9999-12-31T23:59:59Z
_LAST_LINE = 1 << 53
_BESIDES = 100
"""The number of characters of a place in a request besides its texts."""


def kept(seen: Sighting) -> Sighting:
    r"""Return a sighting in a form that may be stored, for any file name and any text in a report.

    Bytes that are not UTF-8 are written as `\xff`. Of a text that is too long, a place keeps the end and other texts
    keep the beginning. Stars replace words that could be a token: a path may contain a leaked token.
    """
    line, found_at = seen.line, seen.found_at
    return Sighting(
        _text(seen.place, LONGEST_PLACE, at_end=True) or "?",
        line if line is not None and 1 <= line <= _LAST_LINE else None,
        _text(seen.revision or "", LONGEST_REVISION) or None,
        found_at if found_at is not None and 0 <= found_at <= _LAST else None,
        _text(seen.finder or "", LONGEST_FINDER) or None,
    )


def parts(
    finds: Finds, places: Mapping[bytes, Sequence[Sighting]], room: int | None
) -> Iterator[tuple[Finds, dict[str, tuple[Sighting, ...]]]]:
    """Yield the found strings in parts, each for one request, with the places of each string by its mark.

    The mark is in hexadecimal. `room` is the maximum number of characters that the receiver of a part accepts; None
    for any number. Of each string at most `MOST_PLACES` places are sent: its number of occurrences shows how many more
    there were.
    """
    part, by_mark, left = Finds(), dict[str, tuple[Sighting, ...]](), room
    for kind, key, count in finds.strings():
        sign = mark(kind, key)
        seen = tuple(map(kept, places.get(sign, ())[:MOST_PLACES]))
        if room is not None and left is not None:
            size = 2 * len(key) + _BESIDES + sum(map(_size, seen))
            if left < size and left < room:
                yield part, by_mark
                part, by_mark, left = Finds(), {}, room
            left -= size
        counts: dict[Any, int] = getattr(part, kind)
        counts[key] = count
        if seen:
            by_mark[sign.hex()] = seen
    part.mistyped = finds.mistyped
    yield part, by_mark


def distinct(seen: Iterable[Sighting]) -> list[Sighting]:
    """Return each place once, with the facts of its first sighting: another finder may report the same place."""
    first: dict[tuple[str, int | None, str | None], Sighting] = {}
    for one in seen:
        first.setdefault((one.place, one.line, one.revision), one)
    return list(first.values())


def is_kept(text: str, most: int) -> bool:
    """Return whether a text of a sighting, of at most `most` bytes, has the form that `kept` returns."""
    return bool(text) and _text(text, most) == text


def _size(seen: Sighting) -> int:
    """Return an upper bound of the characters of a sighting in a request, where a control character takes six."""
    texts = (seen.place, seen.revision or "", seen.finder or "")
    return _BESIDES + sum(
        len(text) if text.isascii() and text.isprintable() else 6 * len(text.encode()) for text in texts
    )


# All strings in a file have the same place.
@lru_cache(maxsize=1024)
def _text(text: str, most: int, *, at_end: bool = False) -> str:
    # Keep room for one more token: a token that is cut in two would not be recognised.
    room = most + MAX_TOKEN
    text = text[-room:] if at_end else text[:room]
    if not (text.isascii() and text.isprintable()):
        try:
            raw = text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raw = text.encode("utf-8", "backslashreplace")
        text = raw.decode("utf-8", "backslashreplace").replace("\0", "\\x00")
    text = starred(text)
    raw = text.encode()
    if len(raw) > most:
        # A character that is cut in two is left out.
        text = (raw[-most:] if at_end else raw[:most]).decode("utf-8", "ignore")
    return text


def starred(text: str) -> str:
    """Return a text with stars for each word that could be a token: a path may contain a leaked token."""
    if not names_token(text):
        return text
    import re  # loading this takes time, and hardly any place contains a token

    shown = re.sub(
        r"[\w.%-]+", lambda word: "****" if names_token(word[0]) else word[0], text, flags=re.ASCII
    )
    return "****" if names_token(shown) else shown
