"""Search for adopted secrets in a text: candidates by prefix and length, confirmed by fingerprint.

Only a known prefix and the length distinguish a foreign secret from other words. Each candidate is hashed; it is a
secret if the ledger has adopted one with that fingerprint.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from hashlib import sha256

from jitid.search.find import AFTER, BEFORE, each
from jitid.values.record import Record

PRINT = 8
"""The number of bytes of a fingerprint that are compared here; the ledger compares all of it."""
LONGEST = AFTER
"""The longest secret in a search, in bytes: a window has no more text after the start of a string."""

# Printable ASCII without quotation marks, list marks and brackets.
_WORD = rb"!#$%&*+\-./0-9:=?@A-Z\\^_a-z~"
# A secret begins and ends with its word, or at one of these: KEY=secret, user:secret@host, ?token=secret&page=2. A
# line break in the form of JSON counts as well.
_EDGES = re.compile(rb"[:=@&?/#]|\\[nrt]")
_ENDS = frozenset(b":=@&?/#.!\\")


class SecretShape(Record):
    """A form of adopted secrets."""

    prefix: str | None
    """Their common prefix; None if unknown."""
    length: int
    """Their length in bytes."""


class Shapes(Record):
    """The forms of all adopted secrets, and their fingerprints."""

    shapes: tuple[SecretShape, ...]
    prints: bytes
    """The first `PRINT` bytes of each fingerprint, concatenated."""
    others: bool = False
    """Whether targets have live secrets of unknown form."""


class SecretSearch:
    """A search for adopted secrets in a window of text."""

    def __init__(self, shapes: Iterable[SecretShape], prints: bytes) -> None:
        self._prints = frozenset(
            prints[position : position + PRINT] for position in range(0, len(prints), PRINT)
        )
        self._lengths: dict[bytes, list[int]] = {}
        """The lengths of secrets with a prefix, by prefix."""
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
        """Yield the position and the fingerprint of each adopted secret that begins in `window[first:last]`.

        The window must have as much text around that range as `Strings.found` requires.
        """
        for prefix, lengths in self._lengths.items():
            for position in each(prefix, window, first, last):
                for length in lengths:
                    print_ = self._print(window, position, length)
                    if print_ is not None:
                        yield position, print_
        if self._run is not None:
            yield from self._search_words(self._run, window, first, last)

    def _search_words(
        self, run: re.Pattern[bytes], window: bytes | bytearray, first: int, last: int
    ) -> Iterator[tuple[int, bytes]]:
        context_start = max(0, first - BEFORE)
        begun = self._before.search(bytes(window[context_start:first]))
        for match in run.finditer(
            window, context_start + (begun.start() if begun else first - context_start), last + LONGEST
        ):
            start = match.start()
            if start >= last:
                return
            for position, length in self._candidates(match[0]):
                if first <= start + position < last:
                    print_ = self._print(window, start + position, length)
                    if print_ is not None:
                        yield start + position, print_

    def _candidates(self, text: bytes) -> Iterator[tuple[int, int]]:
        """Yield the positions in a word at which secrets may begin, each with a possible length."""
        size = len(text)
        for position in (0, *(edge.end() for edge in _EDGES.finditer(text))):
            for length in self._words:
                end = position + length
                if end > size:
                    break
                if end == size or text[end] in _ENDS:
                    yield position, length

    def _print(self, window: bytes | bytearray, position: int, length: int) -> bytes | None:
        text = window[position : position + length]
        if len(text) != length:
            return None
        print_ = sha256(text).digest()
        return print_ if print_[:PRINT] in self._prints else None
