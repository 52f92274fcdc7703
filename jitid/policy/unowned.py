"""Rules that permit by the name of a task without its owner: any user may open a task of that name."""

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


def unowned_task_remarks(tree: Tree) -> Iterator[RuleRemark]:
    """Yield a remark where a rule permits by a task's name, or lifts a prohibition by it, without reading its owner."""
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
    """Yield the words that name a task in an expression where that makes it true, or false without `grants`."""
    waiting: list[tuple[Tree, bool]] = [(body, grants)]
    while waiting:
        term, positive = waiting.pop()
        ((operator, inner),) = term.items()
        if operator in ("&&", "||"):
            waiting += [(inner["right"], positive), (inner["left"], positive)]
        elif operator == "!":
            waiting.append((inner["arg"], not positive))
        elif operator == "if-then-else":
            # A name in the condition of an `if` may lead to either branch.
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
