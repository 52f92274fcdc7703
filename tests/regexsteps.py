"""A count of the characters that a regular expression reads: a cost that tests can measure without a clock."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from re import _constants as ops  # type: ignore[attr-defined]  # the parser that `re` itself uses; it has no stubs
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

_ONE = (ops.LITERAL, ops.NOT_LITERAL, ops.IN, ops.ANY)


def steps(pattern: re.Pattern[bytes], text: bytes) -> int:
    """Return how many characters `pattern.finditer` reads in a text; a character counts each time that it is read."""
    return _Run(pattern, text).all()


class _Run:
    """A backtracking search, as `re` makes it, but without its shortcuts."""

    def __init__(self, pattern: re.Pattern[bytes], text: bytes) -> None:
        self._items: Sequence[Any] = parser.parse(pattern.pattern, pattern.flags)
        self._text = text
        self._steps = 0

    def all(self) -> int:
        """Search the whole text, and return the number of steps."""
        at = 0
        while at <= len(self._text):
            end = next(self._ends(self._items, 0, at), None)
            at = at + 1 if end is None or end == at else end
        return self._steps

    def _ends(self, items: Sequence[Any], number: int, at: int) -> Iterator[int]:
        """Yield the positions where the items from `number` on may end if they begin at `at`, in search order."""
        if number == len(items):
            yield at
            return
        operation, value = items[number]
        for end in self._one(operation, value, at):
            yield from self._ends(items, number + 1, end)

    def _one(self, operation: Any, value: Any, at: int) -> Iterator[int]:
        if operation in _ONE:
            self._steps += 1
            if at < len(self._text) and self._text[at] in _bytes_of(operation, _frozen(value)):
                yield at + 1
        elif operation is ops.BRANCH:
            for branch in value[1]:
                yield from self._ends(branch, 0, at)
        elif operation is ops.SUBPATTERN:
            yield from self._ends(value[3], 0, at)
        elif operation is ops.ATOMIC_GROUP:
            yield from self._first(value, at)
        elif operation in (ops.ASSERT, ops.ASSERT_NOT):
            direction, inner = value
            start = at if direction > 0 else at - inner.getwidth()[0]
            there = start >= 0 and any(True for _ in self._first(inner, start))
            if there == (operation is ops.ASSERT):
                yield at
        elif operation is ops.AT:
            assert value is ops.AT_END_STRING or value is ops.AT_BEGINNING_STRING
            if at == (0 if value is ops.AT_BEGINNING_STRING else len(self._text)):
                yield at
        else:
            least, most, items = value
            yield from self._repeated(operation, least, most, items, at)

    def _first(self, items: Sequence[Any], at: int) -> Iterator[int]:
        for end in self._ends(items, 0, at):
            yield end
            return

    def _repeated(
        self, operation: Any, least: int, most: int, items: Sequence[Any], at: int
    ) -> Iterator[int]:
        assert operation in (ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT)
        if operation is ops.POSSESSIVE_REPEAT or (len(items) == 1 and items[0][0] in _ONE):
            ends = [at]
            while len(ends) <= most and (end := next(self._ends(items, 0, ends[-1]), None)) not in (
                None,
                ends[-1],
            ):
                ends.append(end)
            ends = ends[least:]
            if operation is ops.MIN_REPEAT:
                yield from ends
            else:
                yield from ends[-1:] if operation is ops.POSSESSIVE_REPEAT else reversed(ends)
            return
        assert operation is ops.MAX_REPEAT
        if most:
            for end in self._ends(items, 0, at):
                if end > at:
                    yield from self._repeated(operation, max(0, least - 1), most - 1, items, end)
        if not least:
            yield at


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@lru_cache(None)
def _bytes_of(operation: Any, value: Any) -> frozenset[int]:
    """Return the bytes that match an item of one character."""
    every = frozenset(range(256))
    if operation is ops.ANY:
        return every
    if operation is ops.LITERAL:
        return frozenset({value})
    if operation is ops.NOT_LITERAL:
        return every - {value}
    found: set[int] = set()
    for kind, inner in value:
        if kind is ops.LITERAL:
            found.add(inner)
        elif kind is ops.RANGE:
            found.update(range(inner[0], inner[1] + 1))
        elif kind is ops.CATEGORY:
            found.update(_CATEGORIES[inner])
        else:
            assert kind is ops.NEGATE
    return every - found if value[0][0] is ops.NEGATE else frozenset(found)


def _matching(pattern: bytes) -> frozenset[int]:
    return frozenset(each for each in range(256) if re.match(pattern, bytes([each]), re.DOTALL))


_CATEGORIES = {
    ops.CATEGORY_DIGIT: _matching(rb"\d"),
    ops.CATEGORY_NOT_DIGIT: _matching(rb"\D"),
    ops.CATEGORY_SPACE: _matching(rb"\s"),
    ops.CATEGORY_NOT_SPACE: _matching(rb"\S"),
    ops.CATEGORY_WORD: _matching(rb"\w"),
    ops.CATEGORY_NOT_WORD: _matching(rb"\W"),
}
