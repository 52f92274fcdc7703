"""The places where strings were seen, in the form that is stored and sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from jitid.model.leak import (
    LONGEST_FINDER,
    LONGEST_PLACE,
    LONGEST_REVISION,
    MOST_PLACES,
    Sighting,
    sighted_text,
)
from jitid.search.find import Finds, mark

_LAST = 253_402_300_799  # 9999-12-31T23:59:59Z
_LAST_LINE = 1 << 53
_BESIDES = 100
"""The number of characters of a place in a request besides its texts."""


def kept(sighting: Sighting) -> Sighting:
    r"""Return a sighting in a form that may be stored, for any file name and any text in a report.

    Bytes that are not UTF-8 are written as `\xff`. Of a text that is too long, a place keeps the end and other texts
    keep the beginning. Stars replace words that could be a token: a path may contain a leaked token.
    """
    line, found_at = sighting.line, sighting.found_at
    return Sighting(
        sighted_text(sighting.place, LONGEST_PLACE, at_end=True) or "?",
        line if line is not None and 1 <= line <= _LAST_LINE else None,
        sighted_text(sighting.revision or "", LONGEST_REVISION) or None,
        found_at if found_at is not None and 0 <= found_at <= _LAST else None,
        sighted_text(sighting.finder or "", LONGEST_FINDER) or None,
    )


def parts(
    finds: Finds, sightings: Mapping[bytes, Sequence[Sighting]], room: int | None
) -> Iterator[tuple[Finds, dict[str, tuple[Sighting, ...]]]]:
    """Yield the found strings in parts, each for one request, with the places of each string by its mark.

    The mark is in hexadecimal. `room` is the maximum number of characters that the receiver of a part accepts; None
    for any number. Of each string at most `MOST_PLACES` places are sent: its number of occurrences shows how many more
    there were.
    """
    part, by_mark, remaining = Finds(), dict[str, tuple[Sighting, ...]](), room
    for kind, key, count in finds.strings():
        raw_mark = mark(kind, key)
        kept_sightings = tuple(map(kept, sightings.get(raw_mark, ())[:MOST_PLACES]))
        if room is not None and remaining is not None:
            size = 2 * len(key) + _BESIDES + sum(map(_size, kept_sightings))
            if remaining < size and remaining < room:
                yield part, by_mark
                part, by_mark, remaining = Finds(), {}, room
            remaining -= size
        counts: dict[Any, int] = getattr(part, kind)
        counts[key] = count
        if kept_sightings:
            by_mark[raw_mark.hex()] = kept_sightings
    part.mistyped = finds.mistyped
    yield part, by_mark


def distinct(sightings: Iterable[Sighting]) -> list[Sighting]:
    """Return each place once, with the facts of its first sighting: another finder may report the same place."""
    first_sightings: dict[tuple[str, int | None, str | None], Sighting] = {}
    for sighting in sightings:
        first_sightings.setdefault((sighting.place, sighting.line, sighting.revision), sighting)
    return list(first_sightings.values())


def _size(sighting: Sighting) -> int:
    """Return an upper bound of the characters of a sighting in a request, where a control character takes six."""
    texts = (sighting.place, sighting.revision or "", sighting.finder or "")
    return _BESIDES + sum(
        len(text) if text.isascii() and text.isprintable() else 6 * len(text.encode()) for text in texts
    )
