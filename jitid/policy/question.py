"""From a request to Cedar's question: principal, action, resource, context and the entities behind them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Self

from jitid.policy.policy_request import FACTS, SCOPE_FACTS, Entity, PolicyRequest, RecordValue
from jitid.policy.policy_text import PolicyRule
from jitid.values.record import Record

if TYPE_CHECKING:
    from jitid.policy.check import Type

NO_ENTITIES = "[]"
"""The text of no entities. Cedar reads it as fast as it takes its own handle."""

_encode = json.JSONEncoder(separators=(",", ":")).encode


class Question(Record):
    """A question with all that its answer depends on, besides the policies; parts that no rule reads are blank."""

    action: str
    agent: str
    resource_type: str
    resource: str
    facts: tuple[str, ...]
    values: tuple[object, ...]
    approved: tuple[str, ...] | None
    """The groups that have approved; None if no rule requires an approval."""
    entities: str
    """The entities that a rule may read, as Cedar's JSON."""

    def for_cedar(self) -> dict[str, Any]:
        """Return the request in Cedar's format."""
        # Names in objects need no quoting, and cost a third of the time that Cedar's parser takes for `Agent::"x"`.
        return {
            "principal": {"type": "Agent", "id": self.agent},
            "action": {"type": "Action", "id": self.action},
            "resource": {"type": self.resource_type, "id": self.resource},
            "context": _context(self.facts, self.values, self.approved),
        }


# A caller with many uses varies the resource more often than any other part.
@lru_cache(maxsize=64)
def _context(facts: tuple[str, ...], values: tuple[object, ...], approved: tuple[str, ...] | None) -> str:
    """Return the facts in Cedar's format, as JSON."""
    context = {name: _cedar(value) for name, value in zip(facts, values, strict=True)}
    if approved is not None:
        context["approved"] = approved
    return _encode(context)


def _cedar(value: object) -> object:
    if isinstance(value, Entity):
        return {"__entity": value._asdict()}
    return json.loads(value.text) if isinstance(value, RecordValue) else value


class Questions:
    """A builder of questions with only the facts that a set of rules reads, because each fact costs time."""

    def __init__(self, rules: Iterable[PolicyRule]) -> None:
        rules = list(rules)
        self.declared: str | None = None
        """The text of `use.cedarschema`, if it is known before the first question about a use."""
        self._about = {action: _KnownFacts.of(rules, action) for action in ("issue", "grant", "authorize")}
        self._approvals = any(rule.approval is not None for rule in rules)
        grant = self._about["grant"].facts
        self._common = {name: fact for name, fact in grant.items() if name not in SCOPE_FACTS}
        self._grant_names = (*self._common, *(name for name in SCOPE_FACTS if name in grant))

    def about(self, request: PolicyRequest, approved: Iterable[str]) -> list[Question]:
        """Return the question about the issue and, after it, one for each scope of the request."""
        groups = tuple(sorted(approved)) if self._approvals else None
        issue, grant = self._about["issue"], self._about["grant"]
        questions = [
            Question(
                "issue",
                issue.name("principal", request.agent),
                "Task",
                issue.name("resource", request.task),
                tuple(issue.facts),
                tuple([fact(request) for fact in issue.facts.values()]),
                groups,
                issue.entities(request),
            )
        ]
        if request.scopes:
            agent, entities = grant.name("principal", request.agent), grant.entities(request)
            values = tuple([fact(request) for fact in self._common.values()])
            for scope in request.scopes:
                scope_values = tuple([SCOPE_FACTS[name](scope) for name in self._grant_names[len(values) :]])
                resource = grant.name("resource", scope)
                questions.append(
                    Question(
                        "grant",
                        agent,
                        "Scope",
                        resource,
                        self._grant_names,
                        values + scope_values,
                        groups,
                        entities,
                    )
                )
        return questions

    @cached_property
    def _type_of_use(self) -> Type | None:
        if self.declared is None:
            return None
        # Only callers with questions about uses pay for loading this.
        from jitid.policy.check import read_use

        return read_use(self.declared)

    def about_use(self, request: PolicyRequest, resource: str, approved: Iterable[str]) -> Question:
        """Return the question whether a credential with the terms of a request may be used on a resource."""
        use = self._about["authorize"]
        if "use" in use.facts and (type_ := self._type_of_use) is not None:
            from jitid.policy.check import convert

            request = request._replace(used=_encode(convert(json.loads(request.used), type_)))
        return Question(
            "authorize",
            use.name("principal", request.agent),
            "Resource",
            use.name("resource", resource),
            tuple(use.facts),
            tuple([fact(request) for fact in use.facts.values()]),
            tuple(sorted(approved)) if self._approvals else None,
            use.entities(request),
        )


class _KnownFacts(Record):
    """The facts, names and entities that the rules about one action may read."""

    facts: Mapping[str, Callable[[PolicyRequest], object]]
    looks_at: frozenset[str]
    """Which of `principal` and `resource` have a name that a rule may read."""
    describes: frozenset[str]
    """The entities that a rule may read: `agent`, `task`, `delegator`."""

    @classmethod
    def of(cls, rules: Iterable[PolicyRule], action: str) -> Self:
        """Return the facts, names and entities that the rules about an action may read."""
        about = [rule for rule in rules if action in rule.facts]
        read_facts = {name for rule in about for name in rule.facts[action]}
        looks_at = frozenset().union(*(rule.looks_at for rule in about))
        # Only an issue has a task; scopes and resources have only names.
        described = {
            "agent": "principal" in looks_at,
            "task": action == "issue" and "resource" in looks_at,
            "delegator": "delegator" in read_facts,
        }
        return cls(
            {name: fact for name, fact in FACTS.items() if name in read_facts},
            looks_at,
            frozenset([name for name, is_described in described.items() if is_described]),
        )

    def name(self, variable: str, name: str) -> str:
        """Return a name if a rule may read it, else an empty text.

        A name that is not ASCII is always returned, so that Cedar can refuse invalid text.
        """
        return name if variable in self.looks_at or not name.isascii() else ""

    def entities(self, request: PolicyRequest) -> str:
        """Return the entities that a rule may read."""
        if not self.describes:
            return NO_ENTITIES
        directory_facts = request.standing
        entities = []
        if "agent" in self.describes:
            owner = (
                {}
                if directory_facts.owner is None
                else {"owner": _reference("Delegator", directory_facts.owner)}
            )
            entities.append(
                _entity("Agent", request.agent, {"registered": directory_facts.registered, **owner})
            )
        if "task" in self.describes:
            attributes: dict[str, Any] = {
                "owner": _reference("Delegator", request.task_owner),
                "purpose": request.purpose or "",
                "sensitivity": request.sensitivity,
            }
            entities.append(_entity("Task", request.task, attributes))
        if "delegator" in self.describes:
            manager = (
                {}
                if directory_facts.manager is None
                else {"manager": _reference("Delegator", directory_facts.manager)}
            )
            kind = request.delegator.partition(":")[0]
            attributes = {"kind": kind, "known": directory_facts.known, **manager}
            groups = [{"type": "Group", "id": name} for name in directory_facts.groups]
            entities.append(_entity("Delegator", request.delegator, attributes, groups))
        return _encode(entities)


def _reference(type_: str, id_: str) -> dict[str, Any]:
    return {"__entity": {"type": type_, "id": id_}}


def _entity(
    type_: str, id_: str, attributes: dict[str, Any], parents: list[dict[str, str]] | None = None
) -> dict[str, Any]:
    return {"uid": {"type": type_, "id": id_}, "attrs": attributes, "parents": parents or []}
