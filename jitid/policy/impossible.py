"""Comparisons that never hold, conditions that exclude each other, and facts that are always blank.

The possible values of some facts are known: the hours of a day, the words of a sensitivity, the prefixes of
delegators' names. Only certain errors are reported. Comparisons with anything but literals are skipped.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import combinations
from typing import Any, NamedTuple

from jitid.model.credential import FORMER_PROOF, MADE, Kind
from jitid.policy.classes import KINDS
from jitid.policy.policy_request import PROOFS, SENSITIVITIES
from jitid.policy.syntax_tree import Tree, entity_of, expressions, operands, path_of, value_of
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


class RuleRemark(NamedTuple):
    """A remark about a rule, and the words that locate it: the fact, and perhaps the value compared with it."""

    message: str
    words: tuple[str, ...]


class _Test(NamedTuple):
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
                    remark = RuleRemark(f"of {shown} one always holds", words)
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
                    yield RuleRemark(f"`{test.subject}` is never {value}: it is {bounds}", (fact, str(value)))
        elif not _possible(test.subject, [test]):
            yield RuleRemark(f"`{test}` never holds: it is {bounds}", (fact, str(test.values[0])))
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
                yield RuleRemark(_named(value), (fact, f'"{value}"'))


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
            yield RuleRemark(_named(name), ("Delegator", f'"{name}"'))


def _named(name: str) -> str:
    return f"no delegator is called {quote(name)}: their names begin with `user:`, `system:` or `agent:`"


def _blank(term: Tree, actions: Collection[str]) -> Iterator[RuleRemark]:
    """Yield a remark for a fact that is blank for all actions of its rule."""
    member = term.get(".")
    if member is not None and member["left"] == {"Var": "context"} and member["attr"] in _BLANK:
        name = member["attr"]
        action, blank = _BLANK[name]
        if action not in actions:
            yield RuleRemark(f"`context.{name}` is {blank} but for the action `{action}`", (name,))


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
