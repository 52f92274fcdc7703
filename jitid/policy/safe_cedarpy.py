"""cedarpy, without the syntax tree that jitid does not use, and the limits within which its parser does not crash.

From 4.12 on `import cedarpy` imports `cedarpy.pst`: 40 dataclasses that take more time than the rest of the package,
20 ms at each start. Python's own lazy loader defers this until code reads a name of the module.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader

from jitid.policy.policy_text import TOKEN, statements

__all__ = ["cedarpy"]

_TREE = "cedarpy.pst"


class _TreeFinder:
    """A finder of the syntax tree's module that defers its loading."""

    @staticmethod
    def find_spec(
        name: str,
        path: Sequence[str] | None,
        target: object = None,  # noqa: ARG004 - the import system states it
    ) -> ModuleSpec | None:
        """Return the spec of the syntax tree's module; None for any other module."""
        spec = PathFinder.find_spec(name, path) if name == _TREE else None
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


sys.meta_path.insert(0, _TreeFinder)
try:
    import cedarpy
finally:
    sys.meta_path.remove(_TreeFinder)


MOST_LEVELS = 100
"""Maximum depth of nested brackets. A stack of 8 MiB, the usual size, holds about 600."""
MOST_CHOICES = 500
"""Maximum number of `if` in a rule, as each may be inside the one before. The same stack holds about 3,000."""
NESTED = f"a rule is nested more than {MOST_LEVELS} brackets or {MOST_CHOICES} times `if` deep"

_CHOICE = frozenset({"if", "then", "else"})
_RELATIONS = frozenset({*"!<>=+-*:", "in", "has", "like", "is"})
_OTHERS = re.compile(r"[^][(){}]+")
_INNERMOST = re.compile(r"\(\)|\[\]|\{\}")
_OPENING = frozenset("([{")
_CLOSING = frozenset(")]}")


def too_deep(text: str) -> int | None:
    """Return the number, from 0, of the first statement that is nested too deeply for Cedar; None without one."""
    if _is_flat(text):
        return None
    for number, statement in enumerate(statements(text)):
        level = deepest = choices = 0
        for token in TOKEN.findall(statement):
            if token in _OPENING:
                level += 1
                deepest = max(deepest, level)
            elif token in _CLOSING:
                level -= 1
            elif token == "if":  # noqa: S105 - syntax
                choices += 1
        if deepest > MOST_LEVELS or choices > MOST_CHOICES:
            return number
    return None


def height(statement: str) -> int:
    """Return an upper bound of the height of the syntax tree of a statement that Cedar has accepted."""
    # Chains of `||` and `&&` add up. Of the parts between them, and between commas, only the highest counts.
    chained = part = highest_part = highest = 0
    outer: list[tuple[int, int, int, int]] = []

    def all_of_it() -> int:
        # Half: each operator is two tokens.
        return max(highest, (chained + 1) // 2 + max(highest_part, part))

    for token in TOKEN.findall(statement):
        if token in ("|", "&") or token in _CHOICE:
            chained += 2 if token in _CHOICE else 1
            highest_part, part = max(highest_part, part), 0
        elif token == ",":  # noqa: S105 - syntax
            highest = all_of_it()
            chained = part = highest_part = 0
        elif token in _OPENING:
            outer.append((chained, part, highest_part, highest))
            chained = part = highest_part = highest = 0
        elif token in _CLOSING:
            inside = all_of_it()
            chained, part, highest_part, highest = outer.pop()
            part += inside + 1
        elif token == ".":  # noqa: S105 - syntax
            # `has a.b` is `has a && a has b`.
            part += 2
        elif token in _RELATIONS:
            part += 1
    return all_of_it()


def _is_flat(text: str) -> bool:
    """Return whether certainly no statement is nested too deeply; False means that the text must be examined.

    The check must be cheap, because every start of `issue` runs it.
    """
    if text.count("if") > MOST_CHOICES:
        return False
    brackets = _OTHERS.sub("", text)
    for level in range(MOST_LEVELS + 1):
        # Each pass removes the innermost brackets; the brackets around them follow in the next pass.
        peeled = _INNERMOST.sub("", brackets)
        if peeled == brackets:
            # A bracket without a partner is in a comment or a string, or the text is broken.
            return level + len(brackets) <= MOST_LEVELS
        brackets = peeled
    return False
