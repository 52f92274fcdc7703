"""Rules that are valid and hardly meant: they can never have an effect, or hold for a name that anybody may take."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from jitid.policy import position
from jitid.policy.engine import cedarpy
from jitid.policy.impossible import NEVER, Remark, remarks
from jitid.policy.policy_text import ACTIONS, Rule
from jitid.policy.syntax_tree import Tree, actions, trees
from jitid.policy.unowned import of_whosever_task
from jitid.policy.validation import AT_ONCE, objections


def never_effective(
    texts: Sequence[str], rules: Sequence[Rule], known: cedarpy.Schema
) -> Iterator[tuple[int, Remark]]:
    """Yield the numbers, from 0, of valid rules without an effect, or with what cannot be, and what is said of them.

    So are those that permit by the name of a task, whosever that is.

    `texts` has the statement of each.
    """
    # Of a rule whose tree is too high nothing is said.
    readable = {number: tree for number, tree in enumerate(trees(texts)) if tree is not None}
    impossible = set(_impossible(texts, readable, known))
    for number, tree in readable.items():
        told = list(dict.fromkeys((*remarks(tree, rules[number].facts), *of_whosever_task(tree))))
        if any(remark.message.startswith(NEVER) for remark in told):
            impossible.discard(number)
        for remark in told:
            yield number, remark
    for number, why in _without_effect(readable, rules, impossible):
        yield number, Remark(why, ())


def _without_effect(
    readable: Mapping[int, Tree], rules: Sequence[Rule], impossible: set[int]
) -> Iterator[tuple[int, str]]:
    for number in sorted(impossible):
        yield number, f"{NEVER}: its conditions contradict each other, or what can be asked"
    covering = _Covering(readable, rules, impossible)
    for number in readable:
        if rules[number].effect != "permit" or number in impossible:
            continue
        other = covering.of(number)
        if other is not None:
            yield number, f"it never permits anything: whenever it applies, `{rules[other].name}` forbids"


def _impossible(texts: Sequence[str], readable: Mapping[int, Tree], known: cedarpy.Schema) -> Iterator[int]:
    """Yield the numbers of the rules whose conditions the validator knows to be false for every request."""
    asked = [number for number, tree in readable.items() if tree["conditions"]]
    for start in range(0, len(asked), AT_ONCE):
        some = asked[start : start + AT_ONCE]
        probes = [_probe(texts[number], readable[number]) for number in some]
        possible = {place for place, _ in objections(probes, known)}
        yield from (number for place, number in enumerate(some) if place not in possible)


def _probe(text: str, tree: Tree) -> str:
    """Return a rule that is wrong unless the validator knows that the conditions of another are false."""
    parts, kinds = position.conditions(text), [one["kind"] for one in tree["conditions"]]
    # A new line ends a comment that may stand last.
    whole = " && ".join(
        f"{'' if kind == 'when' else '!'}({text[slice(*part)]}\n)"
        for part, kind in zip(parts, kinds, strict=True)
    )
    # Behind a condition that is always false Cedar's validator looks at nothing: it overlooks this error.
    probe = f"if {whole} then !context.hour else true"
    return f"{text[: parts[0][0]]} {probe if kinds[0] == 'when' else f'!({probe})'} }};"


class _Covering:
    """The prohibitions that nothing lifts, by what they need to apply."""

    def __init__(self, readable: Mapping[int, Tree], rules: Sequence[Rule], impossible: set[int]) -> None:
        self._trees = readable
        self._parts = {number: _parts(tree) for number, tree in readable.items()}
        self._forbids = [
            number
            for number in readable
            if rules[number].effect == "forbid"
            and rules[number].approval is None
            and number not in impossible
        ]
        # Most forbid under a condition of their own: those are looked up by it, and not one by one.
        self._by_part: dict[str | None, list[int]] = {}
        for number in self._forbids:
            key = min(self._parts[number], default=None)
            self._by_part.setdefault(key, []).append(number)

    def of(self, number: int) -> int | None:
        """Return a prohibition that applies whenever the rule of that number does; None if none is certain to."""
        tree, parts = self._trees[number], self._parts[number]
        for key in (None, *parts):
            for other in self._by_part.get(key, ()):
                theirs = self._trees[other]
                if (
                    self._parts[other] <= parts
                    and _covers(theirs["principal"], tree["principal"])
                    and _covers(theirs["resource"], tree["resource"])
                    and actions(theirs, ACTIONS) >= actions(tree, ACTIONS)
                ):
                    return other
        return None


def _parts(tree: Tree) -> frozenset[str]:
    """Return all that must hold for a rule to apply, besides its head."""
    found: set[str] = set()
    for one in tree["conditions"]:
        waiting = [one["body"]]
        while waiting:
            term = waiting.pop()
            if one["kind"] == "when" and isinstance(term, dict) and "&&" in term:
                waiting += [term["&&"]["left"], term["&&"]["right"]]
            else:
                found.add(one["kind"] + json.dumps(term, sort_keys=True))
    return frozenset(found)


def _covers(wide: Tree, narrow: Tree) -> bool:
    return bool(wide["op"] == "All" or wide == narrow)
