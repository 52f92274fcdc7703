"""Rules that are valid and hardly meant: they can never have an effect, or hold for a name that anybody may take."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from jitid.policy.engine import cedarpy
from jitid.policy.impossible import NEVER, Remark, remarks
from jitid.policy.policy_text import Rule
from jitid.policy.unowned import of_whosever_task
from jitid.policy.validation import AT_ONCE

_NESTING = ("&&", "||", "+", "-", "*", ".", "if", "(", "[", "{")
_MOST_NESTING = 200


def never_effective(
    texts: Sequence[str], rules: Sequence[Rule], known: cedarpy.Schema
) -> Iterator[tuple[int, Remark]]:
    """Yield the numbers, from 0, of valid rules without an effect, or with what cannot be, and what is said of them.

    So are those that permit by the name of a task, whosever that is.

    `texts` has the statement of each.
    """
    # What is joined by many operators comes as a tree too deep for JSON readers: nothing is said of such a rule.
    flat = [number for number, text in enumerate(texts) if sum(map(text.count, _NESTING)) <= _MOST_NESTING]
    document = json.loads(cedarpy.policies_to_json_str("\n".join(texts[number] for number in flat)))
    trees = [document["staticPolicies"][f"policy{place}"] for place in range(len(flat))]
    some = [rules[number] for number in flat]
    impossible = set(_impossible(trees, known))
    for place, (tree, rule) in enumerate(zip(trees, some, strict=True)):
        told = list(dict.fromkeys((*remarks(tree, rule.facts), *of_whosever_task(tree))))
        if any(remark.message.startswith(NEVER) for remark in told):
            impossible.discard(place)
        for remark in told:
            yield flat[place], remark
    for place, why in _without_effect(trees, some, impossible):
        yield flat[place], Remark(why, ())


def _without_effect(
    trees: Sequence[Any], rules: Sequence[Rule], impossible: set[int]
) -> Iterator[tuple[int, str]]:
    for number in sorted(impossible):
        yield number, f"{NEVER}: its conditions contradict each other, or what can be asked"
    covering = _Covering(trees, rules, impossible)
    for number, rule in enumerate(rules):
        if rule.effect != "permit" or number in impossible:
            continue
        other = covering.of(number)
        if other is not None:
            yield number, f"it never permits anything: whenever it applies, `{rules[other].name}` forbids"


def _impossible(trees: Sequence[Any], known: cedarpy.Schema) -> Iterator[int]:
    """Yield the numbers of the rules whose conditions the validator knows to be false for every request."""
    asked = []
    for number, tree in enumerate(trees):
        if not tree["conditions"]:
            continue
        terms = [
            one["body"] if one["kind"] == "when" else {"!": {"arg": one["body"]}}
            for one in tree["conditions"]
        ]
        whole = terms[0]
        for term in terms[1:]:
            whole = {"&&": {"left": whole, "right": term}}
        # Behind a condition that is always false Cedar's validator looks at nothing: it overlooks this error.
        error = {"!": {"arg": {".": {"left": {"Var": "context"}, "attr": "hour"}}}}
        probe = {"if-then-else": {"if": whole, "then": error, "else": {"Value": True}}}
        asked.append((number, {**tree, "conditions": [{"kind": "when", "body": probe}]}))
    for start in range(0, len(asked), AT_ONCE):
        some = asked[start : start + AT_ONCE]
        document = {
            "templates": {},
            "templateLinks": [],
            "staticPolicies": {f"policy{place}": tree for place, (_, tree) in enumerate(some)},
        }
        result = cedarpy.validate_policies(cedarpy.policies_from_json_str(json.dumps(document)), known)
        possible = {_number(error.policy_id) for error in result.errors}
        # Whatever cannot be assigned to one says nothing about any of them.
        if None not in possible:
            yield from (number for place, (number, _) in enumerate(some) if place not in possible)


def _number(policy: str) -> int | None:
    digits = (policy or "").removeprefix("policy")
    return int(digits) if digits.isdecimal() else None


class _Covering:
    """The prohibitions that nothing lifts, by what they need to apply."""

    def __init__(self, trees: Sequence[Any], rules: Sequence[Rule], impossible: set[int]) -> None:
        self._trees = trees
        self._parts = [_parts(tree) for tree in trees]
        self._forbids = [
            number
            for number, rule in enumerate(rules)
            if rule.effect == "forbid" and rule.approval is None and number not in impossible
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
                    and _actions(theirs["action"]) >= _actions(tree["action"])
                ):
                    return other
        return None


def _parts(tree: Any) -> frozenset[str]:  # noqa: ANN401 - Cedar's JSON
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


def _covers(wide: Any, narrow: Any) -> bool:  # noqa: ANN401 - Cedar's JSON
    return bool(wide["op"] == "All" or wide == narrow)


def _actions(constraint: Any) -> frozenset[str]:  # noqa: ANN401 - Cedar's JSON
    if constraint["op"] == "All":
        return frozenset({"issue", "grant", "authorize"})
    entities = constraint.get("entities") or [constraint["entity"]]
    return frozenset(entity["id"] for entity in entities)
