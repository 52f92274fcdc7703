"""How adopted secrets look: where in a text one of them may stand, and whether it does, by its fingerprint.

Nothing tells a secret of somebody else from other words but its beginning, where that is known, and its length. What
looks like one is hashed, and is one if the ledger has adopted something with that fingerprint.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from hashlib import sha256
from typing import NamedTuple

from jitid.search.find import AFTER, BEFORE, each

PRINT = 8
"""So many bytes of a fingerprint are compared here; the ledger compares all of it."""
LONGEST = AFTER
"""The longest secret that is looked for, in bytes: a window shows no more of a text behind what begins in it."""

# Printable ASCII without the marks of quotations, lists and brackets.
_WORD = rb"!#$%&*+\-./0-9:=?@A-Z\\^_a-z~"
# A secret begins and ends with its word, or at one of these: KEY=secret, user:secret@host, ?token=secret&page=2.
# Also at a line break, as JSON has it.
_EDGES = re.compile(rb"[:=@&?/#]|\\[nrt]")
_ENDS = frozenset(b":=@&?/#.!\\")


class SecretShape(NamedTuple):
    """How secrets look."""

    prefix: str | None
    """How they begin; None where that is not known."""
    length: int
    """In bytes."""


class Shapes(NamedTuple):
    """How all adopted secrets look, and the fingerprints of them."""

    shapes: tuple[SecretShape, ...]
    prints: bytes
    """The first `PRINT` bytes of each fingerprint, one after the other."""
    others: bool = False
    """Whether targets have live secrets of which it is not known how they look."""


class SecretSearch:
    """Finds adopted secrets in a window of text."""

    def __init__(self, shapes: Iterable[SecretShape], prints: bytes) -> None:
        self._prints = frozenset(prints[at : at + PRINT] for at in range(0, len(prints), PRINT))
        self._lengths: dict[bytes, list[int]] = {}
        """The lengths of those with a prefix, by that."""
        words: set[int] = set()
        for prefix, length in shapes:
            if not 0 < length <= LONGEST:
                continue
            if prefix is None:
                words.add(length)
            else:
                self._lengths.setdefault(prefix.encode(), []).append(length)
        self._words: Collection[int] = sorted(words)
        self._run = re.compile(rb"[%b]{%d,}" % (_WORD, min(words))) if words else None
        self._before = re.compile(rb"[%b]*\Z" % _WORD)

    def search(self, window: bytes | bytearray, first: int, last: int) -> Iterator[tuple[int, bytes]]:
        """Yield where in `window[first:last]` adopted secrets begin, with their fingerprints.

        The window shows as much around that as `find.search` wants.
        """
        for prefix, lengths in self._lengths.items():
            for at in each(prefix, window, first, last):
                for length in lengths:
                    print_ = self._print(window, at, length)
                    if print_ is not None:
                        yield at, print_
        if self._run is not None:
            yield from self._search_words(self._run, window, first, last)

    def _search_words(
        self, run: re.Pattern[bytes], window: bytes | bytearray, first: int, last: int
    ) -> Iterator[tuple[int, bytes]]:
        shown = max(0, first - BEFORE)
        begun = self._before.search(bytes(window[shown:first]))
        for found in run.finditer(
            window, shown + (begun.start() if begun else first - shown), last + LONGEST
        ):
            start = found.start()
            if start >= last:
                return
            for at, length in self._candidates(found[0]):
                if first <= start + at < last:
                    print_ = self._print(window, start + at, length)
                    if print_ is not None:
                        yield start + at, print_

    def _candidates(self, text: bytes) -> Iterator[tuple[int, int]]:
        """Yield where in a word secrets may begin, and how long they may be."""
        size = len(text)
        for at in (0, *(edge.end() for edge in _EDGES.finditer(text))):
            for length in self._words:
                end = at + length
                if end > size:
                    break
                if end == size or text[end] in _ENDS:
                    yield at, length

    def _print(self, window: bytes | bytearray, at: int, length: int) -> bytes | None:
        text = window[at : at + length]
        if len(text) != length:
            return None
        print_ = sha256(text).digest()
        return print_ if print_[:PRINT] in self._prints else None
