"""The policy: Cedar files, asked once for an issue and once for each scope."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import cedarpy

from jitid.errors import ConfigurationError
from jitid.policy.decision import DEFAULT_DENY, EVALUATION_ERROR, Decision, PolicyRequest, Refusal
from jitid.policy.facts import FACTS, SCOPE_FACTS, Entity
from jitid.policy.reason import denied, permitted, scopes_denied
from jitid.policy.source import Rule, integers, line_of, read_rules, statements
from jitid.text import quote, safe

# No policy needs a hierarchy yet. Cedar reads this as fast as it takes a handle of its own.
_NO_ENTITIES = "[]"

_encode = json.JSONEncoder(separators=(",", ":")).encode

MOST_KNOWN = 4096
"""So many answers are remembered: a bulk issue asks about the same few scopes on every line."""


class _Question(NamedTuple):
    """All that an answer depends on, besides the policies; what no rule looks at is left blank."""

    action: str
    agent: str
    resource_type: str
    resource: str
    facts: tuple[str, ...]
    values: tuple[object, ...]

    def for_cedar(self) -> dict[str, Any]:
        context = {name: _cedar(value) for name, value in zip(self.facts, self.values, strict=True)}
        # As objects, names need no quoting, and cost a third of what Cedar's parser takes for `Agent::"x"`.
        return {
            "principal": {"type": "Agent", "id": self.agent},
            "action": {"type": "Action", "id": self.action},
            "resource": {"type": self.resource_type, "id": self.resource},
            "context": _encode(context),
        }


def _cedar(value: object) -> object:
    return {"__entity": value._asdict()} if isinstance(value, Entity) else value


class _Answer(NamedTuple):
    permitted: bool
    rules: tuple[str, ...]
    trouble: str


class Policy:
    """A set of Cedar policies that answers requests; it reads no clock and no file.

    Each policy has a unique `@id`, and a permitting one may bound the lifetime with `@max_ttl("15m")`.
    """

    def __init__(self, files: Sequence[tuple[str, str]]) -> None:
        """Parse (file name, text) pairs; raise ConfigurationError, with file and line, for what is wrong."""
        self._files = sorted(files)
        self.digest = _digest(self._files)
        """SHA-256 over the names and texts of the files, in hexadecimal."""
        self._rules: list[Rule] = []
        self._set = cedarpy.PolicySet.from_str("")
        for file, text in self._files:
            self._add(file, text)
        self._by_name = {rule.name: rule for rule in self._rules}
        self.permits = any(rule.effect == "permit" for rule in self._rules)
        """Whether there is a rule that permits anything at all."""
        self._known: dict[_Question, _Answer] = {}
        self._looks_at = frozenset().union(*(rule.looks_at for rule in self._rules))
        self._issue_facts = self._asked("issue")
        grant_facts = self._asked("grant")
        self._grant_facts = {name: fact for name, fact in grant_facts.items() if name not in SCOPE_FACTS}
        self._issue_names = tuple(self._issue_facts)
        self._grant_names = (*self._grant_facts, *(name for name in SCOPE_FACTS if name in grant_facts))

    def decide(
        self,
        request: PolicyRequest,
        *,
        narrow: bool = False,
        explain: bool = True,
        fixed: frozenset[str] = frozenset(),
    ) -> Decision:
        """Return the decision about a request; an error or a doubt is a denial, never an exception.

        A refused scope denies the whole, unless `narrow` takes what is permitted; then at least one must be.
        With `explain`, a denial names the nearest request that would pass; `fixed` names the fields of the
        request that cannot change.
        """
        issue, *scopes = self._ask(request)
        refused = []
        granted = []
        permitting = list(issue.rules)
        for scope, answer in zip(request.scopes, scopes, strict=True):
            if answer.permitted:
                granted.append(scope)
                permitting += answer.rules
            else:
                refused.append(Refusal(scope, answer.rules))
        if not issue.permitted:
            reason = denied(request, issue.rules, issue.trouble)
            return self._denial(request, issue.rules, refused, reason, narrow, explain, fixed)
        if refused and not (narrow and granted):
            rules = tuple(sorted({name for refusal in refused for name in refusal.rules}))
            first = next(answer for answer in scopes if not answer.permitted)
            reason = scopes_denied(request, refused, first.trouble)
            return self._denial(request, rules, refused, reason, narrow, explain, fixed)
        max_ttl, ttl_rule = None, None
        for name in permitting:
            bound = self._by_name[name].max_ttl
            if bound is not None and (max_ttl is None or bound < max_ttl):
                max_ttl, ttl_rule = bound, name
        return Decision(
            permit=True,
            rules=issue.rules,
            granted=tuple(granted),
            refused=tuple(refused),
            max_ttl=max_ttl,
            ttl_rule=ttl_rule,
            policy=self.digest,
            reason=permitted(issue.rules, refused),
            nearest=None,
        )

    def _add(self, file: str, text: str) -> None:
        try:
            # Each file must parse by itself: two halves of a policy in two files are two errors.
            added = self._set.with_added_str(text)
        except ValueError as error:
            raise ConfigurationError(f"{quote(file)}{_where(text)}: {safe(str(error))}") from None
        rules = read_rules(file, text)
        names = {rule.name: rule for rule in self._rules}
        for number, rule in enumerate(rules):
            if (other := names.get(rule.name)) is not None:
                place = f"{quote(file)}, line {line_of(text, number)}"
                raise ConfigurationError(f"{place}: `{rule.name}` is a rule of {quote(other.file)} already")
            names[rule.name] = rule
        # A template decides nothing until it is linked, and this set links none.
        if added.templates() or len(added) != len(names):
            raise ConfigurationError(f"{quote(file)}: holds a template, with `?principal` or `?resource`")
        self._rules += rules
        self._set = added

    def _asked(self, action: str) -> dict[str, Callable[[PolicyRequest], object]]:
        asked = {name for rule in self._rules for name in rule.facts.get(action, ())}
        return {name: fact for name, fact in FACTS.items() if name in asked}

    def _ask(self, request: PolicyRequest) -> list[_Answer]:
        questions = self._questions(request)
        answers = {question: self._known.get(question) for question in questions}
        new = [question for question, answer in answers.items() if answer is None]
        if new:
            try:
                asked = [question.for_cedar() for question in new]
                responses = cedarpy.is_authorized_batch(asked, self._set, _NO_ENTITIES)
            except ValueError as error:
                # Text that is no Unicode, for one, does not even reach Cedar.
                return [_no_answer(error)] * len(questions)
            if len(self._known) > MOST_KNOWN:
                self._known.clear()
            for question, response in zip(new, responses, strict=True):
                answers[question] = self._known[question] = self._answer(response)
        return [answer for question in questions if (answer := answers[question]) is not None]

    def _questions(self, request: PolicyRequest) -> list[_Question]:
        agent = self._name("principal", request.agent)
        task = self._name("resource", request.task)
        values = tuple([fact(request) for fact in self._issue_facts.values()])
        questions = [_Question("issue", agent, "Task", task, self._issue_names, values)]
        if request.scopes:
            values = tuple([fact(request) for fact in self._grant_facts.values()])
            for scope in request.scopes:
                own = tuple([SCOPE_FACTS[name](scope) for name in self._grant_names[len(values) :]])
                resource = self._name("resource", scope)
                questions.append(
                    _Question("grant", agent, "Scope", resource, self._grant_names, values + own)
                )
        return questions

    def _name(self, variable: str, name: str) -> str:
        """Return a name if a rule may look at it; text that Cedar may not take is left for it to refuse."""
        return name if variable in self._looks_at or not name.isascii() else ""

    def _answer(self, response: cedarpy.AuthzResult) -> _Answer:
        diagnostics = response.diagnostics
        if errors := diagnostics.errors:
            return _Answer(permitted=False, rules=self._at_fault(errors), trouble=_short(errors[0]))
        rules = tuple(sorted(diagnostics.id_annotations_by_reason.values()))
        if not response.allowed:
            return _Answer(permitted=False, rules=rules or (DEFAULT_DENY,), trouble="")
        # A permitting rule that went unnamed could be the one that bounds the lifetime.
        if not rules or len(rules) != len(diagnostics.reasons) or not self._by_name.keys() >= set(rules):
            return _no_answer("the permitting rules are unknown")
        return _Answer(permitted=True, rules=rules, trouble="")

    def _at_fault(self, errors: list[str]) -> tuple[str, ...]:
        # Cedar numbers the policies in the order in which they were read.
        names = {
            rule.name
            for number, rule in enumerate(self._rules)
            if any(error.startswith(f"error while evaluating policy `policy{number}`:") for error in errors)
        }
        return tuple(sorted(names)) or (EVALUATION_ERROR,)

    def _denial(
        self,
        request: PolicyRequest,
        rules: tuple[str, ...],
        refused: list[Refusal],
        reason: str,
        narrow: bool,
        explain: bool,
        fixed: frozenset[str],
    ) -> Decision:
        nearest = None
        if explain:
            # Denials are rare, and permitted requests should not pay for loading this.
            from jitid.policy.nearest import nearest_request

            nearest = nearest_request(
                request,
                refused=[refusal.scope for refusal in refused],
                passes=lambda other: self.decide(other, narrow=narrow, explain=False).permit,
                facts={name for rule in self._rules for facts in rule.facts.values() for name in facts},
                numbers={number for _, text in self._files for number in integers(text)},
                fixed=fixed,
            )
        return Decision(
            permit=False,
            rules=rules,
            granted=(),
            refused=tuple(refused),
            max_ttl=None,
            ttl_rule=None,
            policy=self.digest,
            reason=reason,
            nearest=nearest,
        )


def _digest(files: list[tuple[str, str]]) -> str:
    digest = hashlib.sha256()
    for part in (part.encode("utf-8", "surrogatepass") for pair in files for part in pair):
        # The lengths keep a name from running into its text, and a text into the next name.
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


def _where(text: str) -> str:
    """Return the line of the first statement that does not parse alone; Cedar itself tells no place."""
    for number, statement in enumerate(statements(text)):
        try:
            cedarpy.PolicySet.from_str(statement)
        except ValueError:
            return f", line {line_of(text, number)}"
    return ""


def _no_answer(error: object) -> _Answer:
    return _Answer(permitted=False, rules=(EVALUATION_ERROR,), trouble=_short(error))


def _short(error: object) -> str:
    return safe(str(error)[:200])
