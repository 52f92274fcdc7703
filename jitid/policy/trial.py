"""Cases of a policy tried: what each comes to, where that differs from what is expected, and which rules it reached."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from jitid.lifetime import format_duration
from jitid.policy.cases import Case
from jitid.policy.cedar import Policy
from jitid.policy.reason import about_use
from jitid.policy.source import Rule


class Answer(NamedTuple):
    """What a policy says of a case."""

    decision: str
    """`permit`, `deny` or `approval`."""
    rules: tuple[str, ...]
    granted: tuple[str, ...]
    lifetime: int | None
    """Seconds: what was asked for, or the bound of the policy if that is less; None for a refusal."""
    needs: tuple[str, ...]
    reason: str


class Difference(NamedTuple):
    """Where an answer is not what was expected, in words."""

    what: str
    expected: str
    got: str


class Outcome(NamedTuple):
    """How one case went."""

    case: Case
    answer: Answer
    differences: tuple[Difference, ...]
    reached: frozenset[str]
    """The rules that decided something in it."""

    @property
    def passed(self) -> bool:
        """Whether everything is as expected."""
        return not self.differences


def attempt(policy: Policy, case: Case) -> Outcome:
    """Ask the policy a case."""
    answer, reached = _issue(policy, case)
    if case.resource is not None and answer.decision == "permit":
        permitted, rules = policy.answer_about_use(case.request, case.resource, case.approved)
        reached |= set(rules)
        word = "permit" if permitted else "deny"
        answer = Answer(word, rules, (), None, (), about_use(permitted, rules))
    return Outcome(case, answer, tuple(_differences(case, answer)), frozenset(reached))


def unreached(policy: Policy, outcomes: Iterable[Outcome]) -> list[Rule]:
    """Return the rules that decided nothing in any of the cases, in the order of the files."""
    reached = set().union(*(outcome.reached for outcome in outcomes))
    return [rule for rule in policy.rules if rule.name not in reached]


def _issue(policy: Policy, case: Case) -> tuple[Answer, set[str]]:
    request = case.request
    decision = policy.decide(request, narrow=case.narrow, explain=False, approved=case.approved)
    reached = policy.deciding(request, case.approved)
    word = "permit" if decision.permit else "deny"
    lifetime = None
    if decision.permit:
        lifetime = request.lifetime if decision.max_ttl is None else min(request.lifetime, decision.max_ttl)
    elif decision.needs:
        word = "approval"
        # With it, these would decide: such a case is one about them.
        reached |= policy.deciding(request, case.approved.union(decision.needs))
    answer = Answer(word, decision.rules, decision.granted, lifetime, decision.needs, decision.reason)
    return answer, reached


def _differences(case: Case, answer: Answer) -> Iterable[Difference]:
    expect = case.expect
    if expect.decision != answer.decision:
        yield Difference("decision", expect.decision, answer.decision)
    for what, wanted, got in (
        ("rules", expect.rules, answer.rules),
        ("granted", expect.granted, answer.granted),
        ("needs", expect.needs, answer.needs),
    ):
        if wanted is not None and wanted != set(got):
            yield Difference(what, _words(wanted), _words(got))
    if expect.lifetime is not None and expect.lifetime != answer.lifetime:
        got_lifetime = "none" if answer.lifetime is None else format_duration(answer.lifetime)
        yield Difference("lifetime", format_duration(expect.lifetime), got_lifetime)


def _words(names: Iterable[str]) -> str:
    return " ".join(sorted(names)) or "none"
