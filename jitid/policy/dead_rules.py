"""Valid rules that are probably mistakes: without any effect, or open to any user by the name of a task.

Among them: comparisons that never hold, and conditions that exclude each other.

The possible values of some facts are known: the hours of a day, the words of a sensitivity, the prefixes of
delegators' names. Only certain errors are reported. Comparisons with anything but literals are skipped.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import combinations
from typing import Any

from jitid.model.credential import FORMER_PROOF, MADE, Kind
from jitid.policy import position
from jitid.policy.classes import KINDS
from jitid.policy.policy_request import PROOFS, SENSITIVITIES
from jitid.policy.policy_text import ACTIONS, PolicyRule
from jitid.policy.position import AT_ONCE, number_of
from jitid.policy.safe_cedarpy import (
    Tree,
    actions,
    cedarpy,
    entity_of,
    expressions,
    operands,
    path_of,
    value_of,
)
from jitid.values.record import Record
from jitid.values.text import quote

_DELEGATOR_KINDS = ("user", "system", "agent")
_PROGRAM = "exec:NAME"
_KINDS = tuple(_PROGRAM if kind is Kind.EXEC else kind.value for kind in MADE)
WORDS: Mapping[str, tuple[str, ...]] = {
    "context.sensitivity": SENSITIVITIES,
    "resource.sensitivity": SENSITIVITIES,
    "context.delegator_proof": PROOFS,
    "context.delegator_kind": _DELEGATOR_KINDS,
    "context.delegator.kind": _DELEGATOR_KINDS,
    "context.kind": _KINDS,
}
"""The possible texts of a fact, by its path."""
RANGES: Mapping[str, tuple[int, int | None]] = {
    "context.hour": (0, 23),
    "context.minute": (0, 59),
    "context.weekday": (1, 7),
    "context.depth": (0, None),
    "context.lifetime": (1, None),
    "context.now": (0, None),
}
"""The minimum and the maximum of a number; a maximum of None means no limit."""
_BLANK = {"scope": ("grant", '""'), "action": ("authorize", '""'), "use": ("authorize", "without members")}
"""By fact: the only action for which it is not blank, and its value for the other actions."""

_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_OPPOSITE = {
    "<": ">=",
    "<=": ">",
    ">": "<=",
    ">=": "<",
    "==": "!=",
    "!=": "==",
    "in": "not in",
    "not in": "in",
}
NEVER = "it never applies"
_MOST_TESTS = 40
"""Maximum number of comparisons of one fact that are checked against each other; larger groups are skipped."""


class RuleRemark(Record):
    """A remark about a rule, and the words that locate it: the fact, and perhaps the value compared with it."""

    message: str
    words: tuple[str, ...]


class _Test(Record):
    """A comparison of a path with literals."""

    subject: str
    operator: str
    """`==`, `!=`, `<`, `<=`, `>`, `>=`, `in`, `not in` or `like`."""
    values: tuple[Any, ...]

    def __str__(self) -> str:
        shown = [str(value) if isinstance(value, int) else json.dumps(value) for value in self.values]
        if self.operator in ("in", "not in"):
            word = "!" if self.operator == "not in" else ""
            return f"{word}[{', '.join(shown)}].contains({self.subject})"
        return f"{self.subject} {self.operator} {shown[0]}"


def remarks(tree: Tree, actions: Collection[str]) -> Iterator[RuleRemark]:
    """Yield the remarks about a rule that applies to these actions."""
    bodies = [(condition["body"], condition["kind"] == "unless") for condition in tree["conditions"]]
    wrong_facts: set[str] = set()
    for term in (term for body, _ in bodies for term in expressions(body)):
        for remark in (*_impossible_values(_test(term)), *_unnamed(term), *_blank(term, actions)):
            wrong_facts.add(remark.words[0])
            yield remark
    inner_remarks = [remark for body, _ in bodies for remark in _within(body, wrong_facts)]
    joined_terms = [leaf for body, negated in bodies for leaf in _joined(body, negated=negated)]
    for tests, words in _contradiction(joined_terms, wrong_facts):
        shown = " and ".join(f"`{test}`" for test in tests)
        # If one condition contradicts itself, its own message shows it as written.
        message = inner_remarks[0].message if inner_remarks else f"{shown} exclude each other"
        yield RuleRemark(f"{NEVER}: {message}", words)
        return
    yield from inner_remarks


def _within(body: Tree, wrong_facts: Collection[str]) -> Iterator[RuleRemark]:
    """Yield a remark for each part of a condition that never holds, or always does."""
    waiting = [(body, "")]
    seen: set[RuleRemark] = set()
    while waiting:
        term, parent_operator = waiting.pop()
        (operator,) = term
        if operator in ("&&", "||") and operator != parent_operator:
            for tests, words in _contradiction(_joined(term, negated=operator == "||"), wrong_facts):
                if operator == "&&":
                    shown = " and ".join(f"`{test}`" for test in tests)
                    remark = RuleRemark(f"{shown} exclude each other", words)
                else:
                    shown = " and ".join(f"`{_opposite(test)}`" for test in tests)
                    remark = RuleRemark(f"one of {shown} always holds", words)
                if remark not in seen:
                    seen.add(remark)
                    yield remark
        waiting += [(operand, operator) for operand in operands(term)]


def _joined(term: Tree, *, negated: bool) -> Iterator[tuple[Tree, bool]]:
    """Yield the terms that must all be fulfilled for an expression to be true, or false if `negated`.

    Each has a flag: whether the term must be false.
    """
    waiting = [(term, negated)]
    while waiting:
        expression, must_be_false = waiting.pop()
        joint = "||" if must_be_false else "&&"
        if joint in expression:
            waiting += [
                (expression[joint]["right"], must_be_false),
                (expression[joint]["left"], must_be_false),
            ]
        elif "!" in expression:
            waiting.append((expression["!"]["arg"], not must_be_false))
        else:
            yield expression, must_be_false


def _contradiction(
    joined: Iterable[tuple[Tree, bool]],
    wrong_facts: Collection[str],
) -> Iterator[tuple[list[_Test], tuple[str, ...]]]:
    """Yield tests that exclude each other among terms that must all hold, with the name of their fact."""
    tests_by_subject: dict[str, list[_Test]] = {}
    for term, negated in joined:
        test = _test(term)
        if test is None or test.subject.rpartition(".")[2] in wrong_facts:
            continue
        if negated:
            if test.operator not in _OPPOSITE:
                continue
            test = _opposite(test)
        tests_by_subject.setdefault(test.subject, []).append(test)
    for subject, tests in tests_by_subject.items():
        if len(tests) < 2 or len(tests) > _MOST_TESTS or _possible(subject, tests):
            continue
        pair = next((pair for pair in combinations(tests, 2) if not _possible(subject, pair)), tests)
        yield list(dict.fromkeys(pair))[:3], (subject.rpartition(".")[2],)


def _opposite(test: _Test) -> _Test:
    return test._replace(operator=_OPPOSITE[test.operator])


def _possible(subject: str, tests: Sequence[_Test]) -> bool:
    """Return whether a value can satisfy all tests."""
    values = [value for test in tests for value in test.values]
    if all(type(value) is int for value in values):
        lowest, highest = RANGES.get(subject, (None, None))
        # All values between two neighbouring literals give the same results.
        candidates = {value + step for value in values for step in (-1, 0, 1)}
        for value in sorted(candidates):
            if (
                (lowest is None or value >= lowest)
                and (highest is None or value <= highest)
                and _hold(tests, value)
            ):
                return True
        return False
    if not all(isinstance(value, str) for value in values):
        return True
    if subject == "context.kind" and any(
        _like(test, str(value), _PROGRAM) for test in tests for value in test.values
    ):
        # Users choose the names of programs.
        return True
    if subject in WORDS:
        return any(_hold(tests, word) for word in WORDS[subject])
    allowed = [set(test.values) for test in tests if test.operator in ("==", "in")]
    return not allowed or any(_hold(tests, value) for value in allowed[0])


def _hold(tests: Sequence[_Test], value: Any) -> bool:  # noqa: ANN401 - a text or a number
    return all(_holds(test, value) for test in tests)


def _holds(test: _Test, value: Any) -> bool:  # noqa: ANN401 - a text or a number; one line each
    bound = test.values[0] if test.values else None
    match test.operator:
        case "==" | "in":
            return value in test.values
        case "!=" | "not in":
            return value not in test.values
        case "<":
            return bool(value < bound)
        case "<=":
            return bool(value <= bound)
        case ">":
            return bool(value > bound)
        case ">=":
            return bool(value >= bound)
        case _:
            return fnmatchcase(value, str(bound))


def _impossible_values(test: _Test | None) -> Iterator[RuleRemark]:
    """Yield remarks about the impossible values in a comparison."""
    if test is None:
        return
    fact = test.subject.rpartition(".")[2]
    if test.subject in RANGES and all(type(value) is int for value in test.values):
        lowest, highest = RANGES[test.subject]
        bounds = f"from {lowest} to {highest}" if highest is not None else f"{lowest} or more"
        if test.operator in _EACH:
            for value in test.values:
                if value < lowest or (highest is not None and value > highest):
                    yield RuleRemark(
                        f"`{test.subject}` is never {value}: its range is {bounds}", (fact, str(value))
                    )
        elif not _possible(test.subject, [test]):
            yield RuleRemark(f"`{test}` never holds: its range is {bounds}", (fact, str(test.values[0])))
    elif test.subject in WORDS:
        words = WORDS[test.subject]
        for value in test.values:
            if isinstance(value, str) and not any(_like(test, value, word) for word in words):
                message = f"`{test.subject}` is never {quote(value)}: "
                if test.subject == "context.delegator_proof" and _like(test, value, FORMER_PROOF):
                    message += "it is the root delegator's at every depth; write `context.delegated`"
                else:
                    message += f"it is {', '.join(words[:-1])} or {words[-1]}"
                yield RuleRemark(message, (fact, f'"{value}"'))
    elif test.subject in ("context.delegator_name", "context.task_owner"):
        for value in test.values:
            begin = value.partition("*")[0] if test.operator == "like" else value
            if not any(begin.startswith(kind) or _is_begin(begin, kind, value) for kind in KINDS):
                yield RuleRemark(_unknown_delegator(value), (fact, f'"{value}"'))


_EACH = ("==", "!=", "in", "not in")


def _like(test: _Test, value: str, word: str) -> bool:
    if word == _PROGRAM:
        # A program may have any name after `exec:`. A pattern with a `*` may match such a name too.
        begin = value.partition("*")[0] if test.operator == "like" else value
        return begin.startswith("exec:") or (test.operator == "like" and _is_begin(begin, "exec:", value))
    return fnmatchcase(word, value) if test.operator == "like" else value == word


def _is_begin(begin: str, kind: str, pattern: str) -> bool:
    return "*" in pattern and kind.startswith(begin)


def _unnamed(term: Tree) -> Iterator[RuleRemark]:
    """Yield a remark for a delegator whose name does not begin with a kind."""
    entity = entity_of(term)
    if entity is not None and entity["type"] == "Delegator":
        name = entity["id"]
        if not name.startswith(tuple(KINDS)):
            yield RuleRemark(_unknown_delegator(name), ("Delegator", f'"{name}"'))


def _unknown_delegator(name: str) -> str:
    return f"invalid delegator {quote(name)}: names begin with `user:`, `system:` or `agent:`"


def _blank(term: Tree, actions: Collection[str]) -> Iterator[RuleRemark]:
    """Yield a remark for a fact that is blank for all actions of its rule."""
    member = term.get(".")
    if member is not None and member["left"] == {"Var": "context"} and member["attr"] in _BLANK:
        name = member["attr"]
        action, blank = _BLANK[name]
        if action not in actions:
            yield RuleRemark(f"`context.{name}` is {blank} for all actions except `{action}`", (name,))


def _test(term: Tree) -> _Test | None:
    """Return an expression as a comparison with literals; None for any other expression."""
    ((operator, inner),) = term.items()
    if operator in _TURNED:
        left, right = inner["left"], inner["right"]
        for operand, other, comparison in ((left, right, operator), (right, left, _TURNED[operator])):
            subject, value = path_of(operand), value_of(other)
            if subject is not None and value is not None:
                return _Test(subject, comparison, (value,))
    elif operator == "contains" and "Set" in inner["left"]:
        return _among(path_of(inner["right"]), inner["left"]["Set"])
    elif operator == "in" and "Set" in inner["right"]:
        # Only groups have members; for delegators and agents, `in` is equality.
        subject = path_of(inner["left"])
        entities = [entity_of(element) for element in inner["right"]["Set"]]
        if all(entity is not None and entity["type"] != "Group" for entity in entities):
            return _among(subject, inner["right"]["Set"])
    elif operator == "like":
        subject, pattern = path_of(inner["left"]), inner["pattern"]
        letters = "".join(part["Literal"] for part in pattern if part != "Wildcard")
        # A pattern with characters that `fnmatchcase` interprets is skipped.
        if subject is not None and not set(letters) & set("*?[]"):
            return _Test(
                subject,
                operator,
                ("".join("*" if part == "Wildcard" else part["Literal"] for part in pattern),),
            )
    return None


def _among(subject: str | None, terms: Sequence[Tree]) -> _Test | None:
    values = [value_of(term) for term in terms]
    return None if subject is None or None in values or not values else _Test(subject, "in", tuple(values))


class ValidRule(Record):
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
        yield number, f"{NEVER}: its conditions contradict each other, or all possible requests"
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
    "any delegator can open a task of that name and gets these permissions; also check the owner, such as "
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
