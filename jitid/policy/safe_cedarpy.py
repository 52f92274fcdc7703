"""cedarpy, without the syntax tree that jitid does not use, and the limits within which its parser does not crash.

From 4.12 on `import cedarpy` imports `cedarpy.pst`: 40 dataclasses that take more time than the rest of the package,
20 ms at each start. Python's own lazy loader defers this until code reads a name of the module.

And the syntax tree of each rule, as cedarpy writes it in JSON (Cedar's JSON policy format).
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from typing import Any

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
NESTED = f"a rule is nested too deeply: more than {MOST_LEVELS} brackets or {MOST_CHOICES} times `if`"

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


MOST_HEIGHT = 400
"""Each level takes two levels of JSON. Python reads fewer than 1,000 of them; Cedar crashes at 30,000."""

Tree = Any
"""A rule, or an expression in it."""


def trees(statements: Sequence[str]) -> list[Tree | None]:
    """Return the trees of statements that Cedar has accepted; None for a tree that is too high."""
    parsed: list[Tree | None] = [None] * len(statements)
    # Each level takes at least one character.
    flat = [
        number
        for number, text in enumerate(statements)
        if len(text) <= MOST_HEIGHT or height(text) <= MOST_HEIGHT
    ]
    # A new line ends a comment behind a statement.
    document = _loaded("\n".join(statements[number] for number in flat))
    if document is not None:
        for index, number in enumerate(flat):
            parsed[number] = document[f"policy{index}"]
    elif len(flat) > 1:
        for number in flat:
            (parsed[number],) = trees([statements[number]])
    return parsed


def _loaded(text: str) -> Tree | None:
    try:
        return json.loads(cedarpy.policies_to_json_str(text))["staticPolicies"]
    except RecursionError:
        # The depth that Python can read depends on the depth of the caller.
        return None


def actions(tree: Tree, known: Sequence[str]) -> frozenset[str]:
    """Return which of the known actions a rule applies to."""
    head = tree["action"]
    if head["op"] == "All":
        return frozenset(known)
    entities = head["entities"] if "entities" in head else [head["entity"]]
    return frozenset(entity["id"] for entity in entities if entity["type"] == "Action").intersection(known)


def operands(term: Tree) -> list[Tree]:
    """Return the operands of an expression, in their order."""
    ((operator, inner),) = term.items()
    if operator == "Value" or isinstance(inner, str):
        return []
    if isinstance(inner, list):
        return inner
    # The members of a record may have any name. An operator has operands and words, such as the name of a member.
    return [operand for operand in inner.values() if isinstance(operand, dict)]


def expressions(body: Tree) -> Iterator[Tree]:
    """Yield an expression and all its subexpressions, from left to right."""
    waiting = [body]
    while waiting:
        term = waiting.pop()
        yield term
        waiting += reversed(operands(term))


def path_of(term: Tree) -> str | None:
    """Return the path that a term reads, such as `context.delegator.kind`; None if it is not a path from a variable."""
    names: list[str] = []
    while "." in term:
        names.append(term["."]["attr"])
        term = term["."]["left"]
    return ".".join([term["Var"], *reversed(names)]) if "Var" in term else None


def entity_of(term: Tree) -> dict[str, str] | None:
    """Return type and id of an entity that is a literal in the rule; None for any other term."""
    value = term.get("Value")
    return value.get("__entity") if isinstance(value, dict) else None


def value_of(term: Tree) -> str | int | None:
    """Return the text, number or entity name that is a literal in the rule; None for any other term."""
    entity = entity_of(term)
    value = term.get("Value") if entity is None else entity["id"]
    return value if isinstance(value, str) or type(value) is int else None
