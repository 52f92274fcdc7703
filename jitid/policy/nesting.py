"""How deeply a policy is nested: Cedar's parser goes down with the whole process where its stack ends."""

from __future__ import annotations

import re

from jitid.policy.policy_text import TOKEN, statements

MOST_LEVELS = 100
"""Brackets inside one another; a stack of 8 MiB, the usual one, holds some 600."""
MOST_CHOICES = 500
"""Each `if` of a rule may stand inside the one before; the same stack holds some 3,000."""
NESTED = f"a rule is nested more than {MOST_LEVELS} brackets or {MOST_CHOICES} times `if` deep"

_CHOICE = frozenset({"if", "then", "else"})
_RELATIONS = frozenset({*"!<>=+-*:", "in", "has", "like", "is"})
_OTHERS = re.compile(r"[^][(){}]+")
_INNERMOST = re.compile(r"\(\)|\[\]|\{\}")
_OPENING = frozenset("([{")
_CLOSING = frozenset(")]}")


def too_deep(text: str) -> int | None:
    """Return the number, from 0, of the first statement of a text that Cedar could not survive; None without one."""
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
    """Return a number of levels that the syntax tree of a statement that Cedar has accepted does not exceed."""
    # Chains of `||` and `&&` add up; of what stands between them, and of what commas part, only the highest counts.
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
    """Tell at little cost, as every start of `issue` needs it, that nothing can be too deep; False is a doubt."""
    if text.count("if") > MOST_CHOICES:
        return False
    brackets = _OTHERS.sub("", text)
    for level in range(MOST_LEVELS + 1):
        # One level of each kind: what they enclose is gone only in the next turn.
        peeled = _INNERMOST.sub("", brackets)
        if peeled == brackets:
            # What has no partner stands in a comment or a string, or the text is broken.
            return level + len(brackets) <= MOST_LEVELS
        brackets = peeled
    return False
