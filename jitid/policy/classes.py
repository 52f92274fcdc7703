"""Which values a policy can tell apart: names that its rules state, and where numbers pass what they compare with.

A million requests that differ in whatever a policy looks at may be a few to it: of all hours it knows but those before
nine, those from nine on, and so on. Every doubt is settled towards more: what is compared otherwise than with what
stands in the text is told apart value by value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from typing import NamedTuple

from jitid.policy.policy_text import ALL_FACTS, rule_of, statements, word_at
from jitid.policy.position import tokens_of

NUMBERS = ("hour", "minute", "weekday", "now")
"""Facts whose values are told apart by what they are compared with."""
STANDING = ("known", "groups", "manager", "registered", "owner")
"""What the directory says, by the members of `Standing`."""
KINDS = frozenset({"user:", "system:", "agent:"})
"""How the names of delegators begin."""

_BEYOND = {"<": (0,), ">=": (0,), "<=": (1,), ">": (1,), "==": (0, 1), "!=": (0, 1)}
"""From how far beyond the number that stands to the right of it a comparison comes out otherwise."""
_TURNED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
_EQUAL = ("==", "!=")
_ENDS = frozenset({")", "]", "}", "&&", "||", ",", "then", "else"})
_BEGINS = frozenset({"(", "[", "{", "&&", "||", ",", "!", "if", "then", "else"})


class Names(NamedTuple):
    """Names that are told from all others, and beginnings of names that are told from other beginnings."""

    values: frozenset[str] = frozenset()
    beginnings: frozenset[str] = frozenset()

    def with_(self, other: Names) -> Names:
        """Return what either tells apart."""
        return Names(self.values | other.values, self.beginnings | other.beginnings)


class Classes(NamedTuple):
    """What a policy tells apart of the facts that it looks at."""

    agent: Names | None
    """None where each name is told from every other."""
    delegator: Names | None
    task: Names | None
    task_owner: Names | None
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


def _either(one: Names | None, other: Names | None) -> Names | None:
    return None if one is None or other is None else one.with_(other)


NOTHING = Classes(
    *(Names(), Names(), Names(), Names()),
    dict.fromkeys(NUMBERS, frozenset[int]()),
    frozenset(),
    purpose=False,
)
EVERYTHING = Classes(None, None, None, None, dict.fromkeys(NUMBERS), frozenset(STANDING), purpose=True)


def classes_of(files: Iterable[tuple[str, str]]) -> Classes:
    """Return what the rules about issues and scopes tell apart, of the texts of a policy that can be used."""
    found = NOTHING
    for file, text in files:
        for statement in statements(text):
            tokens = [token.text for token in tokens_of(statement)]
            if not tokens:
                continue
            rule = rule_of(file, statement)
            facts = [rule.facts[action] for action in ("issue", "grant") if action in rule.facts]
            if facts:
                found = found.with_(EVERYTHING if facts[0] == ALL_FACTS else _Reader(tokens).read())
    return found


class _Reader:
    """Reads one rule."""

    def __init__(self, tokens: list[str]) -> None:
        # An annotation decides nothing here.
        effect = next(
            at for at, word in enumerate(tokens) if word in ("permit", "forbid") and tokens[at - 1] != "@"
        )
        self._tokens = tokens[effect:]
        self._body = self._tokens.index(")") + 1
        self._said = [word_at(self._tokens, at) for at in range(len(self._tokens))]
        self._words = frozenset(self._said)
        self._escapes = any("\\" in word for word in self._tokens)

    def read(self) -> Classes:
        """Return what it tells apart."""
        # Of a delegator's entity the kind can be asked for too.
        kinds = Names(beginnings=KINDS) if self._reads_delegator_kind() else Names()
        delegator = self._names(self._facts("delegator") + self._facts("delegator_name"))
        words = {"groups": "Group"}
        return Classes(
            self._names(self._variable("principal") + self._facts("agent")),
            _either(delegator, kinds),
            self._names(self._variable("resource") + self._facts("task")),
            self._task_owner(),
            {name: self._boundaries(self._facts(name)) for name in NUMBERS},
            frozenset(name for name in STANDING if self._escapes or words.get(name, name) in self._words),
            purpose=self._escapes or "purpose" in self._words,
        )

    def _reads_delegator_kind(self) -> bool:
        return "delegator_kind" in self._words or any(
            word == "kind" and self._tokens[at - 2 : at] not in (["context", "."], ["context", "["])
            for at, word in enumerate(self._said)
        )

    def _task_owner(self) -> Names | None:
        """Return which owners of tasks it tells apart; of another owner than an agent's all that is asked is read."""
        found = self._facts("task_owner")
        for at, word in enumerate(self._said):
            if word != "owner" or self._tokens[at - 2 : at - 1] == ["principal"]:
                continue
            if self._tokens[at - 2 : at] != ["resource", "."] or self._tokens[at - 3] == ".":
                return None
            found.append((at - 2, at))
        return None if self._escapes and "resource" in self._tokens else self._names(found)

    def _facts(self, name: str) -> list[tuple[int, int]]:
        """Return where `context.NAME` stands, from the first to the last token."""
        found = []
        for at, word in enumerate(self._tokens):
            if word != "context" or self._tokens[at - 1] == ".":
                continue
            if self._tokens[at + 1 : at + 3] == [".", name]:
                found.append((at, at + 2))
            elif self._tokens[at + 1 : at + 3] == ["[", f'"{name}"']:
                found.append((at, at + 3))
        return found

    def _variable(self, name: str) -> list[tuple[int, int]]:
        return [
            (at, at) for at, word in enumerate(self._tokens) if word == name and self._tokens[at - 1] != "."
        ]

    def _names(self, places: Iterable[tuple[int, int]]) -> Names | None:
        found: Names | None = Names()
        for first, last in places:
            found = _either(found, self._compared(first, last))
        return found

    def _compared(self, first: int, last: int) -> Names | None:
        """Return with which names that at a place is compared; None if that is not all that happens to it."""
        after = self._tokens[last + 1]
        if first < self._body and after in (",", ")"):
            return Names()
        if after in (".", "has", "["):
            # What an entity has, but for its name, is told apart by itself.
            return Names()
        if after == "is":
            if self._tokens[last + 3] == "::":
                return None
            return self._set(last + 4) if self._tokens[last + 3] == "in" else Names()
        if after == "in":
            return self._set(last + 2)
        if after == "like":
            return _pattern(self._tokens[last + 2])
        if after in _EQUAL:
            return (
                self._literal(last + 2) if self._tokens[first - 1] in _BEGINS or first < self._body else None
            )
        if self._tokens[first - 1] in _EQUAL and after in _ENDS:
            return self._literal_before(first - 2)
        return _texts(self._contained(first, last))

    def _literal(self, at: int) -> Names | None:
        """Return the name that begins at a place, as text or as an entity."""
        if self._tokens[at + 1] == "::":
            at += 2
        word = self._tokens[at]
        if not word.startswith('"') or "\\" in word or self._tokens[at + 1] not in _ENDS:
            return None
        return Names(frozenset({word[1:-1]}))

    def _literal_before(self, at: int) -> Names | None:
        """Return the name that ends at a place."""
        word = self._tokens[at]
        begin = at - 2 if self._tokens[at - 1] == "::" else at
        if not word.startswith('"') or "\\" in word or self._tokens[begin - 1] not in _BEGINS:
            return None
        return Names(frozenset({word[1:-1]}))

    def _set(self, at: int) -> Names | None:
        """Return the names of an entity, or of a set of entities, that begins at a place."""
        if self._tokens[at] != "[":
            return self._literal(at)
        words = list(takewhile(lambda word: word != "]", self._tokens[at + 1 :]))
        if self._tokens[at + len(words) + 2] not in _ENDS:
            return None
        return _texts(words)

    def _contained(self, first: int, last: int) -> Sequence[str] | None:
        """Return the words of a set that is written out, and asked whether it contains that at a place."""
        before = self._tokens[max(first - 4, 0) : first]
        if before != ["]", ".", "contains", "("] or self._tokens[last + 1] != ")":
            return None
        words = list(takewhile(lambda word: word != "[", reversed(self._tokens[: first - 4])))
        opening = first - 5 - len(words)
        return words[::-1] if self._tokens[opening - 1] in _BEGINS else None

    def _boundaries(self, places: Iterable[tuple[int, int]]) -> frozenset[int] | None:
        found: frozenset[int] = frozenset()
        for first, last in places:
            bounds = self._bounds(first, last)
            if bounds is None:
                return None
            found |= bounds
        return found

    def _bounds(self, first: int, last: int) -> set[int] | None:
        """Return from which values on a comparison at a place comes out otherwise; None if there is more than that."""
        before, after = self._tokens[first - 1], self._tokens[last + 1]
        if after in _BEYOND and before in _BEGINS and self._tokens[last + 3] in _ENDS:
            return _beyond(self._tokens[last + 2 : last + 3], _BEYOND[after])
        if before in _BEYOND and after in _ENDS and self._tokens[first - 3] in _BEGINS:
            return _beyond(self._tokens[first - 2 : first - 1], _BEYOND[_TURNED.get(before, before)])
        return _beyond(self._contained(first, last), _BEYOND["=="])


def _pattern(word: str) -> Names | None:
    text = word[1:-1]
    if not word.startswith('"') or "\\" in text:
        return None
    if "*" not in text:
        return Names(values=frozenset({text}))
    if text.index("*") == len(text) - 1:
        return Names(beginnings=frozenset({text[:-1]}))
    return None


def _texts(words: Sequence[str] | None) -> Names | None:
    """Return the texts and the names of entities among words; None if anything else is there."""
    if words is None:
        return None
    found = set()
    for at, word in enumerate(words):
        if word.startswith('"') and "\\" not in word:
            found.add(word[1:-1])
        elif word not in (",", "::") and list(words[at + 1 : at + 2]) != ["::"]:
            return None
    return Names(frozenset(found))


def _beyond(words: Sequence[str] | None, steps: Sequence[int]) -> set[int] | None:
    """Return the bounds that are so many steps beyond the numbers among words; None if anything else is there."""
    if words is None or not all(word == "," or word.isdecimal() for word in words):
        return None
    return {int(word) + step for word in words if word != "," for step in steps}
