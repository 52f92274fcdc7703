"""The places where strings were seen, as they may be kept and sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from jitid.model.sighting import LONGEST_FINDER, LONGEST_PLACE, LONGEST_REVISION, MOST_PLACES, Sighting
from jitid.redaction.token_format import MAX_TOKEN, names_token
from jitid.search.find import Finds, mark

_LAST = 253_402_300_799  # 9999-12-31T23:59:59Z
_LAST_LINE = 1 << 53
_BESIDES = 100
"""How much a place takes in a request besides its texts."""


def kept(seen: Sighting) -> Sighting:
    r"""Return a sighting as it may be kept, whatever somebody called a file or wrote into a report.

    Bytes that are no UTF-8 are spelled as `\xff`, of what is too long the end counts of a place and the beginning of
    the rest, and stars stand for what could be a token: a path may well hold what leaked.
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
    """Yield what was found with where each string was seen, by its mark in hexadecimal, in parts for a request each.

    `room` is how many characters whoever is asked about a part takes at once; None for any number. Of each string at
    most `MOST_PLACES` places are told: how often it was met says how many more there were.
    """
    part, told, left = Finds(), dict[str, tuple[Sighting, ...]](), room
    for sort, key, count in finds.strings():
        sign = mark(sort, key)
        seen = tuple(map(kept, places.get(sign, ())[:MOST_PLACES]))
        if room is not None and left is not None:
            size = 2 * len(key) + _BESIDES + sum(map(_size, seen))
            if left < size and left < room:
                yield part, told
                part, told, left = Finds(), {}, room
            left -= size
        counts: dict[Any, int] = getattr(part, sort)
        counts[key] = count
        if seen:
            told[sign.hex()] = seen
    part.mistyped = finds.mistyped
    yield part, told


def distinct(seen: Iterable[Sighting]) -> list[Sighting]:
    """Return each place once, as the first says that names it: who finds it again finds it in the same place."""
    first: dict[tuple[str, int | None, str | None], Sighting] = {}
    for one in seen:
        first.setdefault((one.place, one.line, one.revision), one)
    return list(first.values())


def is_kept(text: str, most: int) -> bool:
    """Tell whether a text of a sighting, of at most so many bytes, is as `kept` returns it."""
    return bool(text) and _text(text, most) == text


def _size(seen: Sighting) -> int:
    """Return how many characters a sighting takes in a request, where a control character takes six."""
    texts = (seen.place, seen.revision or "", seen.finder or "")
    return _BESIDES + sum(
        len(text) if text.isascii() and text.isprintable() else 6 * len(text.encode()) for text in texts
    )


# One file is named by all that was found in it.
@lru_cache(maxsize=1024)
def _text(text: str, most: int, *, at_end: bool = False) -> str:
    # As much more of it as a token has room in: one that is cut in two would not be known again.
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
        # A letter that is cut in two is left out.
        text = (raw[-most:] if at_end else raw[:most]).decode("utf-8", "ignore")
    return text


def starred(text: str) -> str:
    """Return a text with stars for each word of it that could be a token: a path may well hold what leaked."""
    if not names_token(text):
        return text
    import re  # what searches takes its time to load, and hardly any place holds a token

    shown = re.sub(
        r"[\w.%-]+", lambda word: "****" if names_token(word[0]) else word[0], text, flags=re.ASCII
    )
    return "****" if names_token(shown) else shown
