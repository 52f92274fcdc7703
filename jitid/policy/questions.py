"""From a request to what Cedar is asked: principal, action, resource, context and the entities behind them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from jitid.policy.decision import PolicyRequest
from jitid.policy.facts import FACTS, SCOPE_FACTS, Entity, Record
from jitid.policy.source import Rule

NO_ENTITIES = "[]"
"""Cedar reads this as fast as it takes a handle of its own."""

_encode = json.JSONEncoder(separators=(",", ":")).encode


class Question(NamedTuple):
    """All that an answer depends on, besides the policies; what no rule looks at is left blank."""

    action: str
    agent: str
    resource_type: str
    resource: str
    facts: tuple[str, ...]
    values: tuple[object, ...]
    approved: tuple[str, ...] | None
    """The groups that have approved; None where no rule asks for an approval."""
    entities: str
    """Those that a rule may look at, as Cedar's JSON."""

    def for_cedar(self) -> dict[str, Any]:
        """Return the request as Cedar takes it."""
        context = {name: _cedar(value) for name, value in zip(self.facts, self.values, strict=True)}
        if self.approved is not None:
            context["approved"] = self.approved
        # As objects, names need no quoting, and cost a third of what Cedar's parser takes for `Agent::"x"`.
        return {
            "principal": {"type": "Agent", "id": self.agent},
            "action": {"type": "Action", "id": self.action},
            "resource": {"type": self.resource_type, "id": self.resource},
            "context": _encode(context),
        }


def _cedar(value: object) -> object:
    if isinstance(value, Entity):
        return {"__entity": value._asdict()}
    return json.loads(value.text) if isinstance(value, Record) else value


class Questions:
    """Puts the questions that a set of rules can tell apart, and no others: each fact costs its time."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        rules = list(rules)
        self._looks_at = frozenset().union(*(rule.looks_at for rule in rules))
        self._facts = {action: _asked(rules, action) for action in ("issue", "grant", "authorize")}
        self._approvals = any(rule.approval is not None for rule in rules)
        grant = self._facts["grant"]
        self._common = {name: fact for name, fact in grant.items() if name not in SCOPE_FACTS}
        self._grant_names = (*self._common, *(name for name in SCOPE_FACTS if name in grant))
        asked = {name for facts in self._facts.values() for name in facts}
        self._describes = {
            "agent": "principal" in self._looks_at,
            "task": "resource" in self._looks_at,
            "delegator": "delegator" in asked,
        }
        self._describes_any = any(self._describes.values())

    def about(self, request: PolicyRequest, approved: Iterable[str]) -> list[Question]:
        """Return the question about the issue and, after it, one for each scope of the request."""
        agent = self._name("principal", request.agent)
        groups = tuple(sorted(approved)) if self._approvals else None
        entities = self._entities(request) if self._describes_any else NO_ENTITIES
        facts = self._facts["issue"]
        values = tuple([fact(request) for fact in facts.values()])
        task = self._name("resource", request.task)
        questions = [Question("issue", agent, "Task", task, tuple(facts), values, groups, entities)]
        if request.scopes:
            values = tuple([fact(request) for fact in self._common.values()])
            for scope in request.scopes:
                own = tuple([SCOPE_FACTS[name](scope) for name in self._grant_names[len(values) :]])
                resource = self._name("resource", scope)
                questions.append(
                    Question(
                        "grant", agent, "Scope", resource, self._grant_names, values + own, groups, entities
                    )
                )
        return questions

    def about_use(self, request: PolicyRequest, resource: str, approved: Iterable[str]) -> Question:
        """Return the question whether what was issued on the terms of a request may be used on a resource."""
        facts = self._facts["authorize"]
        return Question(
            "authorize",
            self._name("principal", request.agent),
            "Resource",
            self._name("resource", resource),
            tuple(facts),
            tuple([fact(request) for fact in facts.values()]),
            tuple(sorted(approved)) if self._approvals else None,
            self._entities(request) if self._describes_any else NO_ENTITIES,
        )

    def _name(self, variable: str, name: str) -> str:
        """Return a name if a rule may look at it; text that Cedar may not take is left for it to refuse."""
        return name if variable in self._looks_at or not name.isascii() else ""

    def _entities(self, request: PolicyRequest) -> str:
        """Return the entities that a rule may look at."""
        standing = request.standing
        found = []
        if self._describes["agent"]:
            owner = {} if standing.owner is None else {"owner": _reference("Delegator", standing.owner)}
            found.append(_entity("Agent", request.agent, {"registered": standing.registered, **owner}))
        if self._describes["task"]:
            purpose = request.purpose or ""
            found.append(
                _entity("Task", request.task, {"purpose": purpose, "sensitivity": request.sensitivity})
            )
        if self._describes["delegator"]:
            manager = (
                {} if standing.manager is None else {"manager": _reference("Delegator", standing.manager)}
            )
            kind = request.delegator.partition(":")[0]
            attributes = {"kind": kind, "known": standing.known, **manager}
            groups = [{"type": "Group", "id": name} for name in standing.groups]
            found.append(_entity("Delegator", request.delegator, attributes, groups))
        return _encode(found)


def _asked(rules: list[Rule], action: str) -> dict[str, Callable[[PolicyRequest], object]]:
    asked = {name for rule in rules for name in rule.facts.get(action, ())}
    return {name: fact for name, fact in FACTS.items() if name in asked}


def _reference(type_: str, id_: str) -> dict[str, Any]:
    return {"__entity": {"type": type_, "id": id_}}


def _entity(
    type_: str, id_: str, attributes: dict[str, Any], parents: list[dict[str, str]] | None = None
) -> dict[str, Any]:
    return {"uid": {"type": type_, "id": id_}, "attrs": attributes, "parents": parents or []}
