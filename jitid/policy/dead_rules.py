"""Valid rules that are probably mistakes: without any effect, or open to any user by the name of a task."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from jitid.policy import position
from jitid.policy.impossible import NEVER, RuleRemark, remarks
from jitid.policy.policy_text import ACTIONS, PolicyRule
from jitid.policy.safe_cedarpy import cedarpy
from jitid.policy.syntax_tree import Tree, actions, entity_of, expressions
from jitid.policy.validation import AT_ONCE, number_of


class ValidRule(NamedTuple):
    """A rule to which the validator has no objection."""

    text: str
    rule: PolicyRule
    tree: Tree


def never_effective(valid: Sequence[ValidRule], schema: cedarpy.Schema) -> Iterator[tuple[int, RuleRemark]]:
    """Yield the numbers, from 0, of valid rules that are probably mistakes, each with a remark.

    Such rules have no effect, contain impossible values, or permit by the name of a task without its owner.
    """
    impossible = set(_impossible(valid, schema))
    for number, (_, rule, tree) in enumerate(valid):
        rule_remarks = list(dict.fromkeys((*remarks(tree, rule.facts), *unowned_task_remarks(tree))))
        if any(remark.message.startswith(NEVER) for remark in rule_remarks):
            impossible.discard(number)
        for remark in rule_remarks:
            yield number, remark
    for number, reason in _without_effect(valid, impossible):
        yield number, RuleRemark(reason, ())


def _without_effect(valid: Sequence[ValidRule], impossible: set[int]) -> Iterator[tuple[int, str]]:
    for number in sorted(impossible):
        yield number, f"{NEVER}: its conditions contradict each other, or what can be asked"
    covering = _Covering(valid, impossible)
    for number, (_, rule, _) in enumerate(valid):
        if rule.effect != "permit" or number in impossible:
            continue
        prohibition = covering.of(number)
        if prohibition is not None:
            yield (
                number,
                f"it never permits anything: whenever it applies, `{valid[prohibition].rule.name}` forbids",
            )


def _impossible(valid: Sequence[ValidRule], schema: cedarpy.Schema) -> Iterator[int]:
    """Yield the numbers of the rules whose conditions the validator knows to be false for every request."""
    conditional = [number for number, valid_rule in enumerate(valid) if valid_rule.tree["conditions"]]
    for start in range(0, len(conditional), AT_ONCE):
        chunk = conditional[start : start + AT_ONCE]
        probes = "\n".join(_probe(valid[number].text, valid[number].tree) for number in chunk)
        possible = {number_of(error) for error in cedarpy.validate_policies(probes, schema).errors}
        # An error that belongs to no known rule may be about any of them, so none is certain.
        if None not in possible:
            yield from (number for index, number in enumerate(chunk) if index not in possible)


def _probe(text: str, tree: Tree) -> str:
    """Return a rule with an error that the validator overlooks if it knows that the conditions of `text` are false."""
    parts, kinds = position.conditions(text), [condition["kind"] for condition in tree["conditions"]]
    # The new line ends a comment at the end of a condition.
    joined = " && ".join(
        f"{'' if kind == 'when' else '!'}({text[slice(*part)]}\n)"
        for part, kind in zip(parts, kinds, strict=True)
    )
    # Cedar's validator skips code after a condition that is always false: it overlooks this error.
    probe = f"if {joined} then !context.hour else true"
    return f"{text[: parts[0][0]]} {probe if kinds[0] == 'when' else f'!({probe})'} }};"


class _Covering:
    """The prohibitions that no approval lifts, by the conditions under which they apply."""

    def __init__(self, valid: Sequence[ValidRule], impossible: set[int]) -> None:
        self._trees = [valid_rule.tree for valid_rule in valid]
        self._parts = [_parts(tree) for tree in self._trees]
        self._forbids = [
            number
            for number, (_, rule, _) in enumerate(valid)
            if rule.effect == "forbid" and rule.approval is None and number not in impossible
        ]
        # Most prohibitions have a condition that others lack: finding them by it avoids trying them all.
        self._by_part: dict[str | None, list[int]] = {}
        for number in self._forbids:
            key = min(self._parts[number], default=None)
            self._by_part.setdefault(key, []).append(number)

    def of(self, number: int) -> int | None:
        """Return a prohibition that applies whenever the rule of that number does; None if none certainly does."""
        tree, parts = self._trees[number], self._parts[number]
        for key in (None, *parts):
            for candidate in self._by_part.get(key, ()):
                candidate_tree = self._trees[candidate]
                if (
                    self._parts[candidate] <= parts
                    and _covers(candidate_tree["principal"], tree["principal"])
                    and _covers(candidate_tree["resource"], tree["resource"])
                    and actions(candidate_tree, ACTIONS) >= actions(tree, ACTIONS)
                ):
                    return candidate
        return None


def _parts(tree: Tree) -> frozenset[str]:
    """Return the conditions that must all hold for a rule to apply, besides its head."""
    parts: set[str] = set()
    for condition in tree["conditions"]:
        waiting = [condition["body"]]
        while waiting:
            term = waiting.pop()
            if condition["kind"] == "when" and isinstance(term, dict) and "&&" in term:
                waiting += [term["&&"]["left"], term["&&"]["right"]]
            else:
                parts.add(condition["kind"] + json.dumps(term, sort_keys=True))
    return frozenset(parts)


def _covers(wide: Tree, narrow: Tree) -> bool:
    return bool(wide["op"] == "All" or wide == narrow)


BY_NAME = (
    "anybody may open a task of that name, and has what is permitted on it: ask whose it is too, such as "
    '`context.task_owner == "user:alice"`'
)

_FACT = {".": {"left": {"Var": "context"}, "attr": "task"}}
_OWNERS = ({"left": {"Var": "context"}, "attr": "task_owner"}, {"left": {"Var": "resource"}, "attr": "owner"})


def unowned_task_remarks(tree: Tree) -> Iterator[RuleRemark]:
    """Yield a remark where a rule permits by a task's name, or lifts a prohibition by it, without reading its owner."""
    permits = tree["effect"] == "permit"
    bodies = [
        (condition["body"], (condition["kind"] == "when") is permits) for condition in tree["conditions"]
    ]
    if any(term.get(".") in _OWNERS for body, _ in bodies for term in expressions(body) if "." in term):
        return
    head = tree["resource"]
    task_words = list(_entity(head.get("entity") or head.get("in", {}).get("entity"))) if permits else []
    for body, grants in bodies:
        task_words += _granting(body, grants=grants)
    for words in dict.fromkeys(task_words):
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
        elif positive is not (operator == "!=") or any(
            "if-then-else" in expression for expression in expressions(term)
        ):
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
