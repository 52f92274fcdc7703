"""jitid-promises(7): each promise has its mechanism, its limits, and existing tests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.man.source import headings, items, macros, read, section

ROOT = Path(__file__).parent.parent.parent
PAGE = read("jitid-promises.7")
PROMISES = headings(section(PAGE, "PROMISES"))


def test_the_promises_are_in_order() -> None:
    numbers = [int(heading.partition(".")[0]) for heading in PROMISES]
    assert numbers == sorted(set(numbers))
    assert set(range(1, 13)) <= set(numbers) <= set(range(1, 25))


@pytest.mark.parametrize("promise", PROMISES)
def test_a_promise_says_how_it_is_kept_what_is_not_covered_and_what_holds_it(promise: str) -> None:
    text = section(PAGE, promise, "Ss")
    assert text.partition(".Bl")[0].strip(), "it says what is promised"
    assert list(items(text)) == ["How", "Not covered", "Held by"]


@pytest.mark.parametrize("promise", PROMISES)
def test_the_tests_that_hold_a_promise_are_there(promise: str) -> None:
    named = macros(items(section(PAGE, promise, "Ss"))["Held by"], "Pa")
    assert named
    for name in named:
        assert re.search(
            r"^(def|async def) test_", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE
        ), name
