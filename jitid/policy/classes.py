"""Values that a policy distinguishes: names in its rules, and the numbers that its rules compare with.

A policy may treat a million different requests as a few. For example, it may distinguish only the hours before nine
from the later ones. In doubt, more values are distinguished: if a rule compares a value with anything but a literal,
each value counts as different.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from jitid.policy.policy_text import statements
from jitid.policy.safe_cedarpy import (
    Tree,
    actions,
    entity_of,
    expressions,
    operands,
    path_of,
    trees,
    value_of,
)
from jitid.values.record import Record

NUMBERS = ("hour", "minute", "weekday", "now")
"""Facts whose values are grouped by the numbers that rules compare them with."""
DIRECTORY_FACTS = ("known", "groups", "manager", "registered", "owner")
"""The directory's facts, by the members of `DirectoryFacts`."""
KINDS = frozenset({"user:", "system:", "agent:"})
"""The prefixes of delegators' names."""

_THRESHOLD_OFFSETS = {"<": (0,), ">=": (0,), "<=": (1,), ">": (1,), "==": (0, 1), "!=": (0, 1)}
"""By operator: the offsets from the number on its right at which the result of the comparison changes."""
_TURNED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
"""The same comparison with its sides exchanged."""


class DistinctNames(Record):
    """Names and prefixes of names that a policy distinguishes from all others."""

    values: frozenset[str] = frozenset()
    beginnings: frozenset[str] = frozenset()

    def with_(self, other: DistinctNames) -> DistinctNames:
        """Return the union of both."""
        return DistinctNames(self.values | other.values, self.beginnings | other.beginnings)


class Classes(Record):
    """The values that a policy distinguishes, for each fact that it reads."""

    agent: DistinctNames | None
    """None if every name is distinguished."""
    delegator: DistinctNames | None
    task: DistinctNames | None
    task_owner: DistinctNames | None
    numbers: Mapping[str, frozenset[int] | None]
    """By fact: the values from which on the policy may decide differently; None if every value is distinguished."""
    standing: frozenset[str]
    """The members of `DirectoryFacts` that count."""
    purpose: bool
    """Whether the text of the task's purpose counts, not only its presence."""

    def with_(self, other: Classes) -> Classes:
        """Return the values that at least one of two policies distinguishes."""
        return Classes(
            _either(self.agent, other.agent),
            _either(self.delegator, other.delegator),
            _either(self.task, other.task),
            _either(self.task_owner, other.task_owner),
            {
                name: None
                if thresholds is None or (other_thresholds := other.numbers[name]) is None
                else thresholds | other_thresholds
                for name, thresholds in self.numbers.items()
            },
            self.standing | other.standing,
            self.purpose or other.purpose,
        )


def _either(names: DistinctNames | None, other: DistinctNames | None) -> DistinctNames | None:
    return None if names is None or other is None else names.with_(other)


NOTHING = Classes(
    *(DistinctNames(), DistinctNames(), DistinctNames(), DistinctNames()),
    dict.fromkeys(NUMBERS, frozenset[int]()),
    frozenset(),
    purpose=False,
)
EVERYTHING = Classes(None, None, None, None, dict.fromkeys(NUMBERS), frozenset(DIRECTORY_FACTS), purpose=True)


def classes_of(files: Iterable[tuple[str, str]]) -> Classes:
    """Return the values that the rules about issues and scopes distinguish, in the texts of a usable policy."""
    reader = _RuleReader()
    for _, text in files:
        # After the last statement there are only comments.
        for tree in trees(statements(text)[:-1]):
            if tree is None:
                return EVERYTHING
            if actions(tree, ("issue", "grant")):
                reader.read(tree)
    return reader.classes()


class _Use(Record):
    """A rule's use of a value that it reads."""

    operator: str
    """The comparison with the value on its left, or `begins`; empty if the value makes no difference."""
    values: frozenset[str | int] = frozenset()
    """The literals that the rule compares the value with."""


_NO_USE = _Use("")


class _RuleReader:
    """A reader of the uses of each value in rules, by its path, such as `context.delegator.kind`."""

    def __init__(self) -> None:
        self._uses: dict[str, list[_Use | None]] = {}
        """By path; None for a use that is more than a comparison with literals."""
        self._members: set[tuple[str | None, str]] = set()
        """The names of members that the rules read, each with the path of its owner."""
        self._groups = False
        self._whole = False
        """Whether a rule uses the context for more than reading its members."""

    def read(self, tree: Tree) -> None:
        """Read a rule."""
        for variable in ("principal", "resource"):
            head = tree[variable]
            entity = head.get("entity") or head.get("in", {}).get("entity")
            self._see(variable, _NO_USE if entity is None else _Use("==", frozenset({entity["id"]})))
            self._groups |= entity is not None and entity["type"] == "Group"
        for condition in tree["conditions"]:
            self._see_operand(condition["body"], None)
            for term in expressions(condition["body"]):
                self._read(term)

    def classes(self) -> Classes:
        """Return the values that all rules together distinguish."""
        if self._whole:
            return EVERYTHING
        names = {name for _, name in self._members}
        # A rule can also read the kind from a delegator's entity.
        by_kind = "delegator_kind" in names or any(
            name == "kind" and owner != "context" for owner, name in self._members
        )
        has_unknown_owner = any(
            name == "owner" and owner not in ("principal", "resource") for owner, name in self._members
        )
        return Classes(
            self._names("principal", "context.agent"),
            _either(
                self._names("context.delegator", "context.delegator_name"),
                DistinctNames(beginnings=KINDS) if by_kind else DistinctNames(),
            ),
            self._names("resource", "context.task"),
            None if has_unknown_owner else self._names("context.task_owner", "resource.owner"),
            {name: self._bounds(f"context.{name}") for name in NUMBERS},
            frozenset(
                name for name in DIRECTORY_FACTS if name in names or (name == "groups" and self._groups)
            ),
            purpose="purpose" in names,
        )

    def _read(self, term: Tree) -> None:
        """Record an operator and the paths among its operands."""
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

    def _names(self, *paths: str) -> DistinctNames | None:
        values: set[str] = set()
        beginnings: set[str] = set()
        for use in (use for path in paths for use in self._uses.get(path, ())):
            names = _names(use)
            if names is None:
                return None
            (beginnings if use is not None and use.operator == "begins" else values).update(names)
        return DistinctNames(frozenset(values), frozenset(beginnings))

    def _bounds(self, path: str) -> frozenset[int] | None:
        values: set[int] = set()
        for use in self._uses.get(path, ()):
            bounds = _bounds(use)
            if bounds is None:
                return None
            values |= bounds
        return frozenset(values)


def _use(operator: str, inner: Tree, operand: Tree) -> _Use | None:
    """Return an operator's use of one operand; None if it is not a comparison with literals."""
    if operator in _THRESHOLD_OFFSETS:
        is_left = operand is inner["left"]
        other = inner["right" if is_left else "left"]
        return _compared(operator if is_left else _TURNED.get(operator, operator), [other])
    if operator == "contains" and operand is inner["right"]:
        return _compared("==", inner["left"].get("Set"))
    if operator in ("in", "is") and operand is inner["left"]:
        container = inner.get("right" if operator == "in" else "in")
        return _NO_USE if container is None else _compared("==", container.get("Set", [container]))
    if operator == "like":
        return _pattern(inner["pattern"])
    return None


def _compared(operator: str, others: Sequence[Tree] | None) -> _Use | None:
    values = {value_of(other) for other in others or ()}
    return None if others is None or None in values else _Use(operator, frozenset(values - {None}))  # type: ignore[arg-type]


def _pattern(pattern: Sequence[Tree]) -> _Use | None:
    """Return the use by a pattern; None if it has a wildcard other than one at its end."""
    letters = "".join(part["Literal"] for part in pattern if part != "Wildcard")
    if "Wildcard" not in pattern:
        return _Use("==", frozenset({letters}))
    return _Use("begins", frozenset({letters})) if pattern.index("Wildcard") == len(pattern) - 1 else None


def _names(use: _Use | None) -> set[str] | None:
    """Return the names or the prefixes that a use distinguishes; None if they are unknown."""
    if use is None or use.operator not in ("", "==", "!=", "begins"):
        return None
    # No name has unprintable characters, and PostgreSQL accepts no text with a NUL.
    names = {value for value in use.values if isinstance(value, str) and value.isprintable()}
    return names if len(names) == len(use.values) else None


def _bounds(use: _Use | None) -> set[int] | None:
    """Return the values from which on the result of a use changes; None if they are unknown."""
    if use is None or use.operator not in ("", *_THRESHOLD_OFFSETS):
        return None
    values = [value for value in use.values if isinstance(value, int)]
    if len(values) < len(use.values):
        return None
    return {value + step for value in values for step in _THRESHOLD_OFFSETS.get(use.operator, ())}
