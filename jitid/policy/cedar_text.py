"""Writing of Cedar policies: strings, entities, sets and conditions. Values in them always stay data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from jitid.values.text import safe

_ESCAPED = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0"}


def string(text: str) -> str:
    """Return a text as a string of Cedar."""
    return f'"{"".join(map(_character, text))}"'


def entity(type_: str, name: str) -> str:
    """Return a reference to an entity."""
    return f"{type_}::{string(name)}"


def among(values: Iterable[str]) -> str:
    """Return a set of terms that are already Cedar text."""
    return f"[{', '.join(values)}]"


def within(fact: str, seen: Iterable[int], first: int, last: int) -> str | None:
    """Return the condition that a number is in the smallest cyclic range with all numbers in `seen`.

    The range is cyclic like the hours of a day or the days of a week: `first` follows `last`. None if the range has
    all numbers.
    """
    begins, ends = _narrowest(sorted(set(seen)), last - first + 1)
    if (ends - begins + 1) % (last - first + 1) == 0:
        return None
    if begins == ends:
        return f"{fact} == {begins}"
    if begins < ends:
        return " && ".join(
            ([f"{fact} >= {begins}"] if begins > first else [])
            + ([f"{fact} <= {ends}"] if ends < last else [])
        )
    return f"({fact} >= {begins} || {fact} <= {ends})"


def _narrowest(seen: Sequence[int], cycle: int) -> tuple[int, int]:
    """Return the first and the last number of the smallest range: it omits the widest gap between seen numbers."""
    gaps = [
        ((after - before - 1) % cycle, after, before)
        for before, after in zip(seen, [*seen[1:], seen[0]], strict=True)
    ]
    if len(seen) == 1:
        return seen[0], seen[0]
    # Of equally wide gaps, the gap across the end: a range that does not wrap around is easier to read.
    _, begins, ends = max(gaps, key=lambda gap: (gap[0], gap[1] < gap[2]))
    return begins, ends


def _character(character: str) -> str:
    if character in _ESCAPED:
        return _ESCAPED[character]
    # Users review generated policies, so invisible characters are escaped as in all output.
    return character if safe(character) == character else f"\\u{{{ord(character):x}}}"
