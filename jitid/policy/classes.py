"""Which values a policy can tell apart: names that its rules state, and where numbers pass what they compare with.

A million requests that differ in whatever a policy looks at may be a few to it: of all hours it knows but those before
nine, those from nine on, and so on. Every doubt is settled towards more: what is compared otherwise than with what
the rule writes out is told apart value by value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from jitid.policy.policy_text import statements
from jitid.policy.syntax_tree import Tree, actions, entity_of, expressions, operands, path_of, trees, value_of

NUMBERS = ("hour", "minute", "weekday", "now")
"""Facts whose values are told apart by what they are compared with."""
STANDING = ("known", "groups", "manager", "registered", "owner")
"""What the directory says, by the members of `Standing`."""
KINDS = frozenset({"user:", "system:", "agent:"})
"""How the names of delegators begin."""

_BEYOND = {"<": (0,), ">=": (0,), "<=": (1,), ">": (1,), "==": (0, 1), "!=": (0, 1)}
"""From how far beyond the number that stands to the right of it a comparison comes out otherwise."""
_TURNED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
"""The same comparison with its sides exchanged."""


class ToldNames(NamedTuple):
    """Names that are told from all others, and beginnings of names that are told from other beginnings."""

    values: frozenset[str] = frozenset()
    beginnings: frozenset[str] = frozenset()

    def with_(self, other: ToldNames) -> ToldNames:
        """Return what either tells apart."""
        return ToldNames(self.values | other.values, self.beginnings | other.beginnings)


class Classes(NamedTuple):
    """What a policy tells apart of the facts that it looks at."""

    agent: ToldNames | None
    """None where each name is told from every other."""
    delegator: ToldNames | None
    task: ToldNames | None
    task_owner: ToldNames | None
    numbers: Mapping[str, frozenset[int] | None]
    """By the fact: from which values on it is another one to the policy; None where each value is."""
    standing: frozenset[str]
    """The members of what the directory says that count."""
    purpose: bool
    """Whether the task's purpose counts by more than whether there is one."""

    def with_(self, other: Classes) -> Classes:
        """Return what either of two policies tells apart."""
        return Classes(
            _either(self.agent, other.agent),
            _either(self.delegator, other.delegator),
            _either(self.task, other.task),
            _either(self.task_owner, other.task_owner),
            {
                name: None if mine is None or (its := other.numbers[name]) is None else mine | its
                for name, mine in self.numbers.items()
            },
            self.standing | other.standing,
            self.purpose or other.purpose,
        )


def _either(one: ToldNames | None, other: ToldNames | None) -> ToldNames | None:
    return None if one is None or other is None else one.with_(other)


NOTHING = Classes(
    *(ToldNames(), ToldNames(), ToldNames(), ToldNames()),
    dict.fromkeys(NUMBERS, frozenset[int]()),
    frozenset(),
    purpose=False,
)
EVERYTHING = Classes(None, None, None, None, dict.fromkeys(NUMBERS), frozenset(STANDING), purpose=True)


def classes_of(files: Iterable[tuple[str, str]]) -> Classes:
    """Return what the rules about issues and scopes tell apart, of the texts of a policy that can be used."""
    reader = _RuleReader()
    for _, text in files:
        # Behind the last statement stand comments at most.
        for tree in trees(statements(text)[:-1]):
            if tree is None:
                return EVERYTHING
            if actions(tree, ("issue", "grant")):
                reader.read(tree)
    return reader.classes()


class _Use(NamedTuple):
    """What a rule does with a value that it asks for."""

    operator: str
    """The comparison with the value to its left; `begins`; empty where the value makes no difference."""
    values: frozenset[str | int] = frozenset()
    """What the rule writes out to compare it with."""


_NO_USE = _Use("")


class _RuleReader:
    """Reads what rules do with each value that they ask for, by its path, such as `context.delegator.kind`."""

    def __init__(self) -> None:
        self._uses: dict[str, list[_Use | None]] = {}
        """None for what is more than a comparison with what the rule writes out."""
        self._members: set[tuple[str | None, str]] = set()
        """The names of members that they ask for, each with the path of the owner."""
        self._groups = False
        self._whole = False
        """Whether one does more with the context than to ask for its members."""

    def read(self, tree: Tree) -> None:
        """Read a rule."""
        for variable in ("principal", "resource"):
            head = tree[variable]
            entity = head.get("entity") or head.get("in", {}).get("entity")
            self._see(variable, _NO_USE if entity is None else _Use("==", frozenset({entity["id"]})))
            self._groups |= entity is not None and entity["type"] == "Group"
        for one in tree["conditions"]:
            self._see_operand(one["body"], None)
            for term in expressions(one["body"]):
                self._read(term)

    def classes(self) -> Classes:
        """Return what all rules together tell apart."""
        if self._whole:
            return EVERYTHING
        names = {name for _, name in self._members}
        # Of a delegator's entity a rule can ask for the kind, too.
        by_kind = "delegator_kind" in names or any(
            name == "kind" and owner != "context" for owner, name in self._members
        )
        of_unknown = any(
            name == "owner" and owner not in ("principal", "resource") for owner, name in self._members
        )
        return Classes(
            self._names("principal", "context.agent"),
            _either(
                self._names("context.delegator", "context.delegator_name"),
                ToldNames(beginnings=KINDS) if by_kind else ToldNames(),
            ),
            self._names("resource", "context.task"),
            None if of_unknown else self._names("context.task_owner", "resource.owner"),
            {name: self._bounds(f"context.{name}") for name in NUMBERS},
            frozenset(name for name in STANDING if name in names or (name == "groups" and self._groups)),
            purpose="purpose" in names,
        )

    def _read(self, term: Tree) -> None:
        """Take an operator and what it is applied to."""
        ((operator, inner),) = term.items()
        entity = entity_of(term)
        self._groups |= entity is not None and entity["type"] == "Group"
        is_member = operator in (".", "has")
        if is_member:
            self._members.add((path_of(inner["left"]), inner["attr"]))
        for operand in operands(term):
            self._see_operand(operand, _NO_USE if is_member else _use(operator, inner, operand))

    def _see_operand(self, operand: Tree, use: _Use | None) -> None:
        path = path_of(operand)
        if path == "context":
            self._whole |= use is not _NO_USE
        elif path is not None:
            self._see(path, use)

    def _see(self, path: str, use: _Use | None) -> None:
        self._uses.setdefault(path, []).append(use)

    def _names(self, *paths: str) -> ToldNames | None:
        values: set[str] = set()
        beginnings: set[str] = set()
        for use in (use for path in paths for use in self._uses.get(path, ())):
            names = _names(use)
            if names is None:
                return None
            (beginnings if use is not None and use.operator == "begins" else values).update(names)
        return ToldNames(frozenset(values), frozenset(beginnings))

    def _bounds(self, path: str) -> frozenset[int] | None:
        found: set[int] = set()
        for use in self._uses.get(path, ()):
            bounds = _bounds(use)
            if bounds is None:
                return None
            found |= bounds
        return frozenset(found)


def _use(operator: str, inner: Tree, operand: Tree) -> _Use | None:
    """Return what an operator does with one of its operands; None if not all of it is written out."""
    if operator in _BEYOND:
        is_left = operand is inner["left"]
        other = inner["right" if is_left else "left"]
        return _compared(operator if is_left else _TURNED.get(operator, operator), [other])
    if operator == "contains" and operand is inner["right"]:
        return _compared("==", inner["left"].get("Set"))
    if operator in ("in", "is") and operand is inner["left"]:
        within = inner.get("right" if operator == "in" else "in")
        return _NO_USE if within is None else _compared("==", within.get("Set", [within]))
    if operator == "like":
        return _pattern(inner["pattern"])
    return None


def _compared(operator: str, others: Sequence[Tree] | None) -> _Use | None:
    values = {value_of(other) for other in others or ()}
    return None if others is None or None in values else _Use(operator, frozenset(values - {None}))  # type: ignore[arg-type]


def _pattern(pattern: Sequence[Tree]) -> _Use | None:
    """Return what a pattern tells apart; None unless its one wildcard is the last of it."""
    letters = "".join(one["Literal"] for one in pattern if one != "Wildcard")
    if "Wildcard" not in pattern:
        return _Use("==", frozenset({letters}))
    return _Use("begins", frozenset({letters})) if pattern.index("Wildcard") == len(pattern) - 1 else None


def _names(use: _Use | None) -> set[str] | None:
    """Return the names, or the beginnings of names, that a use tells apart; None if that cannot be told."""
    if use is None or use.operator not in ("", "==", "!=", "begins"):
        return None
    # PostgreSQL takes no text with a NUL, and nobody has such a name.
    names = {value for value in use.values if isinstance(value, str) and value.isprintable()}
    return names if len(names) == len(use.values) else None


def _bounds(use: _Use | None) -> set[int] | None:
    """Return from which values on a use comes out otherwise; None if that cannot be told."""
    if use is None or use.operator not in ("", *_BEYOND):
        return None
    values = [value for value in use.values if isinstance(value, int)]
    if len(values) < len(use.values):
        return None
    return {value + step for value in values for step in _BEYOND.get(use.operator, ())}
