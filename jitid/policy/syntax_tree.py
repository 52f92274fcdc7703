"""The syntax tree of each rule, as cedarpy writes it in JSON (Cedar's JSON policy format), and how to walk it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from jitid.policy.safe_cedarpy import cedarpy, height

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
