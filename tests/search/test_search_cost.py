"""The work of a search is proportional to the text, with any number of marks in it. It is counted, not timed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import permutations
from types import ModuleType
from typing import Any, cast

import pytest

from jitid.search import encodings, find, hidden, pasted, strings
from jitid.search.find import Finds
from jitid.search.hidden import HiddenSearch
from jitid.search.pasted import search_pasted
from jitid.search.strings import ALL
from tests.regexsteps import steps

MODULES = (hidden, encodings, pasted, find, strings)
BOUNDED = {
    "hidden._OPAQUE_SPAN": "begins at a broken prefix only",
    "hidden._TAIL": "begins at a broken token only",
    "searching._FOREIGN": "looks at 1,000 characters behind each `eyJ` at most",
}
"""Patterns that may read more than a constant number of characters for each character of the text, with the reason."""


def patterns() -> Iterator[tuple[str, re.Pattern[bytes]]]:
    """Yield every pattern of the search by its name."""
    for module in MODULES:
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern) and value in vars(module).values():
                yield f"{module.__name__.rpartition('.')[2]}.{name}", value
    for escape in hidden._ESCAPES:
        yield f"one {escape.mark.decode()}", escape.one
        yield f"two {escape.mark.decode()}", escape.two


PATTERNS = {name: pattern for name, pattern in patterns() if name not in BOUNDED}
MARKS = [bytes([each]) for each in b"\n\r \t\\%=\"'&#;>|+-/._:,0AajJ\0<\xe2"]
BEGINNINGS = [b"", b"%41", b"\\u0041", b"j", b"&amp;", b"\n-", b'"  +']
PAIRS = [b"".join(pair) for pair in permutations([b"\n", b" ", b"\\", b"%", b'"', b"+", b"1", b"A"], 2)]
REPEATED = [b"-----BEGIN A-----\n", b"\\u0041", b"&amp;", b"%25", b"jid_", b"<br>", b"AAA\\\n", b"'A\r\n"]
TEXTS = {
    **{(first, mark): (first, mark) for first in BEGINNINGS for mark in MARKS},
    **{(b"", unit): (b"", unit) for unit in (*PAIRS, *REPEATED)},
}
SIZE = 96
SLACK = 1_500
"""The steps of bounded repeats, which do not grow with the text."""


@pytest.mark.deep
@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_a_pattern_looks_at_twice_as_much_in_twice_as_much(name: str) -> None:
    pattern = PATTERNS[name]
    for first, unit in TEXTS.values():
        short, long = (
            steps(pattern, first + unit * (size // min(len(unit), 4))) for size in (SIZE, 2 * SIZE)
        )
        assert long <= 2.5 * short + (SLACK if short < SLACK else 0), (first, unit)


class Counting:
    """A pattern that counts the characters that it reads."""

    def __init__(self, pattern: re.Pattern[bytes], counts: dict[str, int], name: str) -> None:
        self._pattern, self._counts, self._name = pattern, counts, name

    def _count(self, at: int, end: int) -> None:
        self._counts[self._name] = self._counts.get(self._name, 0) + 1 + end - at

    def match(self, text: bytes, at: int = 0, end: int | None = None) -> re.Match[bytes] | None:
        found = self._pattern.match(text, at, len(text) if end is None else end)
        self._count(at, at if found is None else found.end())
        return found

    def search(self, text: bytes, at: int = 0, end: int | None = None) -> re.Match[bytes] | None:
        end = len(text) if end is None else end
        found = self._pattern.search(text, at, end)
        self._count(at, end if found is None else found.end())
        return found

    def finditer(self, text: bytes, at: int = 0, end: int | None = None) -> Iterator[re.Match[bytes]]:
        end = len(text) if end is None else end
        self._count(at, end)
        return self._pattern.finditer(text, at, end)

    def findall(self, text: bytes, at: int = 0, end: int | None = None) -> list[Any]:
        end = len(text) if end is None else end
        self._count(at, end)
        return self._pattern.findall(text, at, end)

    def sub(self, new: Any, text: bytes) -> bytes:
        self._count(0, len(text))
        return self._pattern.sub(new, text)


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Return how many characters each pattern has read."""
    counted: dict[str, int] = {}
    modules: tuple[ModuleType, ...] = MODULES
    for module in modules:
        for name, value in list(vars(module).items()):
            if isinstance(value, re.Pattern):
                monkeypatch.setattr(module, name, Counting(value, counted, name))
    escapes = tuple(
        each._replace(
            one=cast("re.Pattern[bytes]", Counting(each.one, counted, f"one {each.mark!r}")),
            two=cast("re.Pattern[bytes]", Counting(each.two, counted, f"two {each.mark!r}")),
        )
        for each in hidden._ESCAPES
    )
    monkeypatch.setattr(hidden, "_ESCAPES", escapes)
    return counted


LOGS = [
    b'{"a":"he said \\"x\\"","p":"C:\\\\x"}\n',
    b'{"a":"{\\"b\\":\\"\\\\u003cc\\\\u003e\\"}"}\n',
    b"cpu 50%, mem 60%, io 7%\n",
    b"GET /?next=https%3A%2F%2Fexample.com%2Fa%3Fb%3Dc%26d%3De HTTP/1.1\n",
    b"it&#39;s &quot;quoted&quot; &amp;amp; more\n",
    b"a=23 b=45 c=67 d=3A\n",
    b"jitid_ledger jti_list eyJ JJJ jjj &amp; 100% \\d+ X W\n",
    b"QXWYZQXWYZ QUQUQU XAXAXA WWWWW\n",
    b"J\nq\nd\nG j\ni\nt\ni\nd\n_\n",
]


@pytest.mark.deep
@pytest.mark.parametrize("unit", [*LOGS, *MARKS, *REPEATED])
@pytest.mark.parametrize("closely", [False, True])
def test_a_search_looks_at_twice_as_much_in_twice_as_much(
    unit: bytes, closely: bool, counts: dict[str, int]
) -> None:
    looked: list[dict[str, int]] = []
    for size in (30_000, 60_000):
        counts.clear()
        text = unit * (size // len(unit))
        if closely:
            search_pasted(text)
        else:
            window = bytearray(text + bytes(size))
            HiddenSearch(ALL).found(window, 0, len(text), Finds(), end=len(text))
        looked.append(dict(counts))
    short, long = looked
    for name, count in long.items():
        assert count <= 2.5 * short.get(name, 0) + 10_000, name
        # No pattern reads a place more often than the maximum length of a broken token.
        assert count <= 200 * 60_000, name
