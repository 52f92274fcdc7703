"""Which strings of ours stand in a window of text, of the sorts that are looked for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from jitid.looks import Looks
from jitid.searching import (
    PEM_BEGUN,
    RARE,
    SAMPLE,
    Finds,
    each,
    foreign_at,
    pem_at,
    signed_places,
    signed_strings,
)
from jitid.tokenform import OPAQUE_PREFIX, is_opaque

JWT = frozenset({"signed", "foreign", "cut"})
PEM = frozenset({"prints", "keys", "locked"})

_OPAQUE = re.compile(rb"jitid_[0-9A-Za-z]{16,38}")
_PREFIX = re.compile(OPAQUE_PREFIX.encode("ascii"))
_SECOND = ord(OPAQUE_PREFIX[1])


class Found(NamedTuple):
    """A string in a window."""

    at: int
    sort: str
    key: bytes | str
    """What is kept of it: of a token that is a secret by itself its fingerprint."""


class Strings:
    """Finds strings of some sorts."""

    def __init__(self, sorts: frozenset[str], looks: Looks | None) -> None:
        """Args: `sorts` are names of maps of `Finds`; `looks` finds secrets that were adopted."""
        self._sorts = sorts
        self._looks = looks if "secrets" in sorts else None

    def found(self, window: bytearray, first: int, last: int, finds: Finds) -> list[Found]:
        """Return what begins in `window[first:last]`, in the order of the text; what is mistyped `finds` counts.

        The window shows as much around that as `searching.search` wants.
        """
        found = list(self._each(window, first, last, finds))
        found.sort(key=lambda one: one.at)
        return found

    def _each(self, window: bytearray, first: int, last: int, finds: Finds) -> Iterator[Found]:
        sorts = self._sorts
        if "opaque" in sorts:
            yield from _opaque(window, first, last, finds)
        if sorts & JWT:
            yield from self._signed(window, first, last)
        if sorts & PEM:
            for at in each(PEM_BEGUN, window, first, last):
                pem = pem_at(window, at)
                if pem is not None and pem[0] in sorts:
                    yield Found(at, *pem)
        if self._looks is not None:
            for at, print_ in self._looks.search(window, first, last):
                yield Found(at, "secrets", print_)

    def _signed(self, window: bytearray, first: int, last: int) -> Iterator[Found]:
        sample = window[first : first + (last - first) // SAMPLE]
        rare = sample.count(b"J") <= len(sample) // RARE
        marks, headers = signed_places(window, first, last, rare=rare)
        for at, sort, text in signed_strings(window, marks):
            if sort in self._sorts:
                # A whole one begins with its header.
                yield Found(at - text.index(".") - 1 if sort == "signed" else at, sort, text)
        if "foreign" in self._sorts:
            for at in headers:
                token = foreign_at(window, at)
                if token:
                    yield Found(at, "foreign", token)


def _opaque(window: bytearray, first: int, last: int, finds: Finds) -> Iterator[Found]:
    for at in _prefixes(window, first, last):
        text = _OPAQUE.match(window, at)
        if text is None:
            continue
        token = text[0].decode("ascii")
        if is_opaque(token):
            from jitid.secret import fingerprint  # what hashes takes its time to load

            yield Found(at, "opaque", fingerprint(token))
        else:
            finds.mistyped += 1


def _prefixes(window: bytearray, first: int, last: int) -> Iterator[int]:
    """Yield where the prefix of opaque tokens stands."""
    sample = window[first : first + (last - first) // SAMPLE]
    if sample.count(b"j") > len(sample) // RARE:
        for found in _PREFIX.finditer(window, first, last + len(OPAQUE_PREFIX) - 1):
            yield found.start()
        return
    # From one j to the next at the speed of memory: twice as fast as a search for all of it.
    find = window.find
    end = min(last, len(window) - 1)
    at = find(b"j", first, end)
    while at >= 0:
        if window[at + 1] == _SECOND and window.startswith(b"jitid_", at):
            yield at
        at = find(b"j", at + 1, end)


def is_wide(text: bytes | bytearray) -> bool:
    """Tell by its beginning whether a text is UTF-16: by its mark, or since every other byte is NUL."""
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    if b"\0" not in text[:64]:
        return False
    few, many = sorted((text[::2].count(0), text[1::2].count(0)))
    return few * 50 < len(text) and many * 5 > len(text) * 2
