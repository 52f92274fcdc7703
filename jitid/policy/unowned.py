"""Rules that permit by the name of a task and do not ask whose it is: anybody may open a task of that name."""

from __future__ import annotations

from collections.abc import Iterator

from jitid.policy.impossible import RuleRemark
from jitid.policy.syntax_tree import Tree, entity_of, expressions

BY_NAME = (
    "anybody may open a task of that name, and has what is permitted on it: ask whose it is too, such as "
    '`context.task_owner == "user:alice"`'
)

_FACT = {".": {"left": {"Var": "context"}, "attr": "task"}}
_OWNERS = ({"left": {"Var": "context"}, "attr": "task_owner"}, {"left": {"Var": "resource"}, "attr": "owner"})


def of_whosever_task(tree: Tree) -> Iterator[RuleRemark]:
    """Yield where a rule permits on a task for its name, or exempts it from a prohibition, and reads no owner."""
    permits = tree["effect"] == "permit"
    bodies = [(one["body"], (one["kind"] == "when") is permits) for one in tree["conditions"]]
    if any(term.get(".") in _OWNERS for body, _ in bodies for term in expressions(body) if "." in term):
        return
    head = tree["resource"]
    found = list(_entity(head.get("entity") or head.get("in", {}).get("entity"))) if permits else []
    for body, grants in bodies:
        found += _granting(body, grants=grants)
    for words in dict.fromkeys(found):
        yield RuleRemark(BY_NAME, words)


def _granting(body: Tree, *, grants: bool) -> Iterator[tuple[str, ...]]:
    """Yield the words by which an expression names a task where that makes it hold, or not hold without `grants`."""
    waiting: list[tuple[Tree, bool]] = [(body, grants)]
    while waiting:
        term, positive = waiting.pop()
        ((operator, inner),) = term.items()
        if operator in ("&&", "||"):
            waiting += [(inner["right"], positive), (inner["left"], positive)]
        elif operator == "!":
            waiting.append((inner["arg"], not positive))
        elif operator == "if-then-else":
            # Where the name is asked for, either branch may be what it leads to.
            yield from _named(inner["if"])
            waiting += [(inner["else"], positive), (inner["then"], positive)]
        elif positive is not (operator == "!=") or any("if-then-else" in one for one in expressions(term)):
            yield from _named(term)


def _named(body: Tree) -> Iterator[tuple[str, ...]]:
    """Yield the words by which an expression names a task."""
    for term in expressions(body):
        if term == _FACT:
            yield ("task",)
        yield from _entity(entity_of(term))


def _entity(entity: Tree | None) -> Iterator[tuple[str, ...]]:
    if entity is not None and entity["type"] == "Task":
        yield "Task", f'"{entity["id"]}"'
