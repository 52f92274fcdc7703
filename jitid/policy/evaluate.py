"""The policy engine: Cedar files, queried once for an issue and once for each scope."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from jitid.errors import ConfigurationError
from jitid.policy.decision import (
    Decision,
    Misuse,
    PolicyLooks,
    PolicyUse,
    Refusal,
    about_use,
    denied,
    kinds_denied,
    misused,
    naming_rule,
    permitted,
    scopes_denied,
    unapproved,
    unnamed,
)
from jitid.policy.policy_request import DEFAULT_DENY, EVALUATION_ERROR, KIND_BY_NAME, PolicyRequest
from jitid.policy.policy_text import (
    ALL_FACTS,
    MARKED,
    PolicyRule,
    digest_of,
    guarded,
    integers,
    line_of,
    read_rules,
    statements,
)
from jitid.policy.question import Question, Questions
from jitid.policy.safe_cedarpy import NESTED, cedarpy, too_deep
from jitid.values.record import Record
from jitid.values.text import MARK, foreign, quote

if TYPE_CHECKING:
    from jitid.policy.decision import PolicyOutcome

_QUICK_QUESTIONS = 10
"""The maximum number of questions that `is_quick` accepts: each takes about 40 µs."""
_QUICK_COMPARISONS = 1_000
"""The maximum product of questions and rules that `is_quick` accepts: a rule adds about 1 µs to a question."""
MOST_KNOWN = 8192
"""At least this number of the latest answers is cached, and at most twice as many.

A bulk issue repeats the same few scopes on every line. Planning happens before the lock and again under it, with the
same questions. Their number is limited by `request.MOST_QUESTIONS`, which is no larger.
"""

_NAMES_KIND = frozenset({"kind", "template"})
"""A rule names a kind if it reads at least one of these facts."""

_AT_FAULT = re.compile(r"error while evaluating policy `policy(\d+)`:")


class _Answer(Record):
    permitted: bool
    rules: tuple[str, ...]
    trouble: str


_UNNAMED = _Answer(permitted=False, rules=(KIND_BY_NAME,), trouble="")
"""The answer if no rule that permits an issue names its kind or its template."""

_NO_RULE_APPLIES = _Answer(permitted=True, rules=(), trouble="")
"""The answer about a use that no rule applies to."""


class Policy:
    """A set of Cedar policies that answers requests; it reads no clock and no file.

    Each policy has a unique `@id`. A permitting policy may limit the lifetime with `@max_ttl("15m")`. With
    `@approval("GROUP")`, a permitting policy permits only requests that a member of the group has approved, and a
    forbidding policy forbids only requests without such an approval.
    """

    def __init__(self, files: Sequence[tuple[str, str]]) -> None:
        """Parse (file name, text) pairs; raise ConfigurationError, with file and line, for the first error."""
        self._files = sorted(files)
        self.digest = digest_of(self._files)
        """SHA-256 over the names and texts of the files, in hexadecimal."""
        self.rules: list[PolicyRule] = []
        """In the order of the files."""
        self._set = cedarpy.PolicySet.from_str("")
        for file, text in self._files:
            self._add(file, text)
        self._by_name = {rule.name: rule for rule in self.rules}
        self.permits = any(rule.effect == "permit" for rule in self.rules)
        """Whether a rule permits anything at all."""
        self._known: dict[Question, _Answer] = {}
        self._former: dict[Question, _Answer] = {}
        """The previous generation of the cache `_known`."""
        self._questions = Questions(self.rules)
        self._groups = frozenset(rule.approval for rule in self.rules if rule.approval is not None)
        self.depends_on_approval = bool(self._groups)
        """Whether a rule depends on an approval."""
        self.governs_use = any("authorize" in rule.facts for rule in self.rules)
        """Whether a rule applies to the use of issued credentials."""
        self._naming = frozenset(
            rule.name
            for rule in self.rules
            if rule.effect == "permit" and _names_kind(rule.facts.get("issue", frozenset()))
        )
        """The permitting rules that read the kind or the template."""
        self._permits_use = any(rule.effect == "permit" and rule.of_use for rule in self.rules)

    def is_quick(self, questions: int) -> bool:
        """Return whether this number of questions is answered in about a millisecond."""
        return questions <= _QUICK_QUESTIONS and questions * len(self.rules) <= _QUICK_COMPARISONS

    @property
    def reads_use(self) -> bool:
        """Whether a rule may read the facts of a use."""
        return any("use" in rule.facts.get("authorize", ()) for rule in self.rules)

    def declare_use(self, text: str | None) -> None:
        """Set the text of a `use.cedarschema`: it declares which texts are addresses, decimals or times."""
        self._questions.declared = text

    def decide(
        self,
        request: PolicyRequest,
        *,
        narrow: bool = False,
        explain: bool = True,
        fixed: frozenset[str] = frozenset(),
        approved: frozenset[str] = frozenset(),
    ) -> Decision:
        """Return the decision about a request; an error or a doubt is a denial, never an exception.

        A refused scope or kind denies the whole request. With `narrow` it is left out instead; if scopes are refused,
        at least one must be granted. With an explanation, a denial names the nearest request that would pass; `fixed`
        names the fields of the request that cannot change. `approved` are the groups that approve the request.
        """
        decision = self._decide(request, narrow, approved)
        if decision.permit:
            return decision
        needs = self._needed(request, narrow, approved)
        if needs:
            return decision._replace(needs=needs, reason=unapproved(request, needs, decision.rules))
        if not explain:
            return decision
        if decision.rules == (KIND_BY_NAME,):
            # No other request would pass: the policy lacks a rule.
            return decision._replace(nearest=naming_rule(self._unnamed(request, approved)))
        # Denials are rare, and permitted requests should not pay for loading this.
        from jitid.policy.nearest import MOST_QUESTIONS, nearest_request

        nearest = nearest_request(
            request,
            refused=[refusal.scope for refusal in decision.refused],
            passes=lambda other: self._decide(other, narrow, approved).permit,
            # A rule must name a kind or a template that is not usual, even if no rule reads it.
            facts={name for rule in self.rules for facts in rule.facts.values() for name in facts}
            | (_NAMES_KIND if request.by_name else set()),
            numbers={number for _, text in self._files for number in integers(text)},
            fixed=fixed,
            # Each request that is tried takes one question, and one more for each scope and each kind.
            most=max(
                MOST_QUESTIONS
                * 100
                // max(len(self.rules), 100)
                // (1 + len(set(request.scopes)) + len(request.may_kind)),
                20,
            ),
        )
        return decision._replace(nearest=nearest)

    @property
    def looks(self) -> PolicyLooks:
        """The parts of a request and of its scopes that a decision can depend on."""
        from jitid.policy.classes import classes_of

        issue, grant = (
            [rule for rule in self.rules if action in rule.facts] for action in ("issue", "grant")
        )
        return PolicyLooks(
            _NAMES_KIND
            | frozenset(name for rule in issue for name in rule.facts["issue"])
            | frozenset(name for rule in grant for name in rule.facts["grant"]),
            any("principal" in rule.looks_at for rule in (*issue, *grant)),
            any("resource" in rule.looks_at for rule in issue),
            any("resource" in rule.looks_at or "scope" in rule.facts["grant"] for rule in grant),
            bool(self._groups),
            classes_of(self._files),
        )

    def permits_use(
        self, request: PolicyRequest, resource: str, approved: frozenset[str] = frozenset()
    ) -> Misuse | None:
        """Return why a credential may not be used for the request's `action` on a resource; None if it may.

        If no rule permits `authorize` by its name, a credential may be used unless a rule forbids it.
        """
        (refusal,) = self.permits_uses([PolicyUse(request, resource, approved)])
        return refusal

    def permits_uses(self, uses: Sequence[PolicyUse]) -> list[Misuse | None]:
        """Return the result of `permits_use` for each of many uses; this costs less than single calls."""
        return [
            None
            if answer.permitted
            else Misuse(answer.rules, misused(use.request, use.resource, answer.rules, answer.trouble))
            for use, answer in zip(uses, self._about_uses(uses), strict=True)
        ]

    def outcome_of_use(
        self, request: PolicyRequest, resource: str, approved: frozenset[str] = frozenset()
    ) -> PolicyOutcome:
        """Return whether a use is permitted, with the rules that decide; without rules if none is about the use."""
        from jitid.policy.decision import PolicyOutcome

        (answer,) = self._about_uses([PolicyUse(request, resource, approved)])
        reason = about_use(answer.permitted, answer.rules, answer.trouble)
        word = "permit" if answer.permitted else "deny"
        return PolicyOutcome(word, answer.rules, (), None, (), reason)

    def _about_uses(self, uses: Sequence[PolicyUse]) -> list[_Answer]:
        if not self.governs_use:
            return [_NO_RULE_APPLIES] * len(uses)
        about = self._questions.about_use
        questions = [about(request, resource, approved) for request, resource, approved in uses]
        # Cedar answers many questions in one call if they share their entities.
        by_entities: dict[str, list[Question]] = {}
        for question in questions:
            by_entities.setdefault(question.entities, []).append(question)
        answered = {entities: iter(self._evaluate_each(group)) for entities, group in by_entities.items()}
        answers = [next(answered[question.entities]) for question in questions]
        return answers if self._permits_use else [_without_default_deny(answer) for answer in answers]

    def deciding(self, request: PolicyRequest, approved: frozenset[str] = frozenset()) -> set[str]:
        """Return the rules that decide about an issue and about each of its scopes."""
        return {
            name
            for answer in self._evaluate(self._questions.about(request, approved))
            for name in answer.rules
        }

    def _request_answers(self, request: PolicyRequest, approved: frozenset[str]) -> list[_Answer]:
        """Return the answers about an issue, about each of its scopes, and about each kind that its holder may obtain.

        A kind or a template that is not usual is permitted by the rules that name it, and by no others.
        """
        answers = self._evaluate(self._questions.about(request, approved))
        if not request.may_kind and not request.by_name:
            return answers
        issue, *scopes = answers
        kinds = [
            self._named(other, self._evaluate(self._questions.about(other, approved))[0])
            for other in _of_each_kind(request)
        ]
        return [self._named(request, issue), *scopes, *kinds]

    def _named(self, request: PolicyRequest, answer: _Answer) -> _Answer:
        if not request.by_name or not answer.permitted or not self._naming.isdisjoint(answer.rules):
            return answer
        return _UNNAMED

    def _unnamed(self, request: PolicyRequest, approved: frozenset[str]) -> PolicyRequest:
        """Return the request for the first kind that no permitting rule names: its own, or an obtainable one."""
        answers = self._request_answers(request, approved)
        kinds = zip(_of_each_kind(request), answers[1 + len(request.scopes) :], strict=True)
        return next((other for other, answer in kinds if answer is _UNNAMED), request)

    def _decide(self, request: PolicyRequest, narrow: bool, approved: frozenset[str]) -> Decision:
        issue, *others = self._request_answers(request, approved)
        scopes, kinds = others[: len(request.scopes)], others[len(request.scopes) :]
        refused = []
        granted = []
        permitting = list(issue.rules)
        for scope, answer in zip(request.scopes, scopes, strict=True):
            if answer.permitted:
                granted.append(scope)
                permitting += answer.rules
            else:
                refused.append(Refusal(scope, answer.rules))
        refused_kinds = [
            Refusal(f"{kind}:{template}" if template else kind, answer.rules)
            for (kind, template), answer in zip(request.may_kind, kinds, strict=True)
            if not answer.permitted
        ]
        if issue is _UNNAMED:
            return self._denial(issue.rules, refused, unnamed(request))
        if not issue.permitted:
            return self._denial(issue.rules, refused, denied(request, issue.rules, issue.trouble))
        if refused_kinds and not narrow:
            rules = tuple(sorted({name for refusal in refused_kinds for name in refusal.rules}))
            return self._denial(rules, refused, kinds_denied(request, refused_kinds))
        if refused and not (narrow and granted):
            rules = tuple(sorted({name for refusal in refused for name in refusal.rules}))
            first_refused = next(answer for answer in scopes if not answer.permitted)
            return self._denial(rules, refused, scopes_denied(request, refused, first_refused.trouble))
        max_ttl, ttl_rule = None, None
        for name in permitting:
            bound = self._by_name[name].max_ttl
            if bound is not None and (max_ttl is None or bound < max_ttl):
                max_ttl, ttl_rule = bound, name
        renewals = [self._by_name[name].renew_ttl for name in issue.rules]
        return Decision(
            permit=True,
            rules=issue.rules,
            granted=tuple(granted),
            refused=tuple(refused),
            max_ttl=max_ttl,
            ttl_rule=ttl_rule,
            policy=self.digest,
            reason=permitted(issue.rules, refused),
            needs=(),
            nearest=None,
            renew_ttl=min([ttl for ttl in renewals if ttl is not None], default=None),
            refused_kinds=tuple(refused_kinds),
        )

    def _needed(self, request: PolicyRequest, narrow: bool, approved: frozenset[str]) -> tuple[str, ...]:
        """Return the groups whose approval a refused request lacks; empty if approvals alone would not permit it."""
        open_groups = self._groups - approved
        if not open_groups or not self._decide(request, narrow, approved | open_groups).permit:
            return ()
        needed: set[str] = set()
        answers = self._request_answers(request, approved)
        approved_answers = self._request_answers(request, approved | open_groups)
        by_name_flags = [request.by_name, *(False for _ in request.scopes), *(True for _ in request.may_kind)]
        for answer, approved_answer, by_name in zip(answers, approved_answers, by_name_flags, strict=True):
            if answer.permitted or not approved_answer.permitted:
                continue
            forbidding = {self._approval(name) for name in answer.rules} - {None}
            needed |= {group for group in forbidding if group is not None}
            # One permitting rule is enough: a rule that needs no further approval, or else the first one.
            # If the kind must be named, only a rule that names it counts.
            rules = [name for name in approved_answer.rules if not by_name or name in self._naming]
            approvals = [self._approval(name) for name in rules]
            satisfied = [group for group in approvals if group is None or group in approved | needed]
            if not satisfied and approvals[0] is not None:
                needed.add(approvals[0])
        enough = self._decide(request, narrow, approved | needed).permit
        return tuple(sorted(needed if enough else open_groups))

    def approval_rules(self, request: PolicyRequest, groups: frozenset[str]) -> tuple[str, ...]:
        """Return the rules that permit a request only once these groups approve, or forbid it until they do."""
        answers = [
            answer
            for approved in (frozenset[str](), groups)
            for answer in self._evaluate(self._questions.about(request, approved))
        ]
        return tuple(
            sorted({name for answer in answers for name in answer.rules if self._approval(name) in groups})
        )

    def _approval(self, name: str) -> str | None:
        rule = self._by_name.get(name)
        return None if rule is None else rule.approval

    def _add(self, file: str, text: str) -> None:
        if text.startswith(MARK):
            raise ConfigurationError(f"{quote(file)}, line 1: {MARKED}")
        if (number := too_deep(text)) is not None:
            location = f"{quote(file)}, line {line_of(text, number)}"
            raise ConfigurationError(f"{location}: {NESTED}")
        try:
            # Each file must parse by itself: two halves of a policy in two files are two errors.
            added = self._set.with_added_str(guarded(text))
        except ValueError as error:
            raise ConfigurationError(f"{quote(file)}{_where(text)}: {foreign(error)}") from None
        rules = read_rules(file, text)
        names = {rule.name: rule for rule in self.rules}
        for number, rule in enumerate(rules):
            if (other := names.get(rule.name)) is not None:
                location = f"{quote(file)}, line {line_of(text, number)}"
                raise ConfigurationError(
                    f"{location}: `{rule.name}` is already a rule of {quote(other.file)}"
                )
            names[rule.name] = rule
        # A template decides nothing until it is linked, and this set links none.
        if added.templates() or len(added) != len(names):
            raise ConfigurationError(
                f"{quote(file)}: templates, with `?principal` or `?resource`, are not supported"
            )
        self.rules += rules
        self._set = added

    def _evaluate_each(self, questions: list[Question]) -> list[_Answer]:
        """Return the answers to questions with common entities; an invalid question does not affect the others."""
        try:
            return self._answers(questions)
        except ValueError:
            return [self._evaluate([question])[0] for question in questions]

    def _evaluate(self, questions: list[Question]) -> list[_Answer]:
        try:
            return self._answers(questions)
        except ValueError as error:
            # Text that is not valid Unicode, for example, does not reach Cedar.
            return [_no_answer(error)] * len(questions)

    def _answers(self, questions: list[Question]) -> list[_Answer]:
        """Return the answers to questions with common entities. Raise ValueError for an invalid question."""
        known, former = self._known, self._former
        answers = [known.get(question) or former.get(question) for question in questions]
        if None not in answers:
            return cast("list[_Answer]", answers)
        unanswered = list(
            dict.fromkeys(
                [question for question, answer in zip(questions, answers, strict=True) if answer is None]
            )
        )
        responses = cedarpy.is_authorized_batch(
            [question.for_cedar() for question in unanswered], self._set, unanswered[0].entities
        )
        new_answers = dict(zip(unanswered, map(self._answer, responses), strict=True))
        if len(known) > MOST_KNOWN:
            self._former, self._known = known, {}
        self._known |= new_answers
        return [
            new_answers[question] if answer is None else answer
            for question, answer in zip(questions, answers, strict=True)
        ]

    def _answer(self, response: cedarpy.AuthzResult) -> _Answer:
        diagnostics = response.diagnostics
        if errors := diagnostics.errors:
            return _Answer(
                permitted=False,
                rules=self._at_fault(errors),
                trouble=_short(_AT_FAULT.sub("", errors[0]).strip()),
            )
        rules = tuple(sorted(diagnostics.id_annotations_by_reason.values()))
        if not response.allowed:
            return _Answer(permitted=False, rules=rules or (DEFAULT_DENY,), trouble="")
        # A permitting rule without a known name could limit the lifetime.
        if not rules or len(rules) != len(diagnostics.reasons) or not self._by_name.keys() >= set(rules):
            return _no_answer("the permitting rules are unknown")
        return _Answer(permitted=True, rules=rules, trouble="")

    def _at_fault(self, errors: list[str]) -> tuple[str, ...]:
        # Cedar numbers the policies in the order in which they were read.
        matches = (_AT_FAULT.match(error) for error in errors)
        names = {self.rules[int(match[1])].name for match in matches if match is not None}
        return tuple(sorted(names)) or (EVALUATION_ERROR,)

    def _denial(self, rules: tuple[str, ...], refused: list[Refusal], reason: str) -> Decision:
        return Decision(
            permit=False,
            rules=rules,
            granted=(),
            refused=tuple(refused),
            max_ttl=None,
            ttl_rule=None,
            policy=self.digest,
            reason=reason,
            needs=(),
            nearest=None,
        )


def _where(text: str) -> str:
    """Return the line of the first statement that does not parse alone; Cedar itself reports no place."""
    for number, statement in enumerate(statements(text)):
        try:
            cedarpy.PolicySet.from_str(statement)
        except ValueError:
            return f", line {line_of(text, number)}"
    return ""


def _names_kind(facts: frozenset[str]) -> bool:
    # A rule that may read any fact does not certainly name the kind, and a doubt is a refusal.
    return facts != ALL_FACTS and not _NAMES_KIND.isdisjoint(facts)


def _of_each_kind(request: PolicyRequest) -> list[PolicyRequest]:
    """Return the request once for each of the kinds that the holder may obtain."""
    return [
        request._replace(kind=kind, template=template, scopes=(), may_kind=())
        for kind, template in request.may_kind
    ]


def _without_default_deny(answer: _Answer) -> _Answer:
    """Return the answer about a use if no rule permits uses: a permission instead of a default denial."""
    return _NO_RULE_APPLIES if not answer.permitted and answer.rules == (DEFAULT_DENY,) else answer


def _no_answer(error: object) -> _Answer:
    return _Answer(permitted=False, rules=(EVALUATION_ERROR,), trouble=_short(error))


def _short(error: object) -> str:
    return foreign(error, 200)
