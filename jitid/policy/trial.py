"""Test runs of policy cases: the outcome of each, its differences from the expected answer, and its rules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from jitid.policy.cases import Case
from jitid.policy.decision import PolicyOutcome, outcome
from jitid.policy.evaluate import Policy
from jitid.policy.policy_text import PolicyRule
from jitid.values.times import format_duration


class CaseDifference(NamedTuple):
    """A difference between an answer and the expected one, in words."""

    what: str
    expected: str
    got: str


class Result(NamedTuple):
    """The result of one case."""

    case: Case
    answer: PolicyOutcome
    differences: tuple[CaseDifference, ...]
    reached: frozenset[str]
    """The rules that decided something in it."""

    @property
    def passed(self) -> bool:
        """Whether everything is as expected."""
        return not self.differences


def attempt(policy: Policy, case: Case) -> Result:
    """Run a case against the policy."""
    answer, reached = _issue(policy, case)
    if case.resource is not None and answer.decision == "permit":
        answer = policy.outcome_of_use(case.request, case.resource, case.approved)
        reached |= set(answer.rules)
    return Result(case, answer, tuple(_differences(case, answer)), frozenset(reached))


def unreached(policy: Policy, results: Iterable[Result]) -> list[PolicyRule]:
    """Return the rules that decided nothing in any of the cases, in the order of the files."""
    reached = set().union(*(result.reached for result in results))
    return [rule for rule in policy.rules if rule.name not in reached]


def _issue(policy: Policy, case: Case) -> tuple[PolicyOutcome, set[str]]:
    request = case.request
    decision = policy.decide(request, narrow=case.narrow, explain=False, approved=case.approved)
    reached = policy.deciding(request, case.approved)
    if decision.needs:
        # With the approval these rules would decide, so the case tests them too.
        reached |= policy.deciding(request, case.approved.union(decision.needs))
    return outcome(decision, request.lifetime), reached


def _differences(case: Case, answer: PolicyOutcome) -> Iterable[CaseDifference]:
    expect = case.expect
    if expect.decision != answer.decision:
        yield CaseDifference("decision", expect.decision, answer.decision)
    for field, expected, got in (
        ("rules", expect.rules, answer.rules),
        ("granted", expect.granted, answer.granted),
        ("needs", expect.needs, answer.needs),
    ):
        if expected is not None and expected != set(got):
            yield CaseDifference(field, _words(expected), _words(got))
    if expect.lifetime is not None and expect.lifetime != answer.lifetime:
        got_lifetime = "none" if answer.lifetime is None else format_duration(answer.lifetime)
        yield CaseDifference("lifetime", format_duration(expect.lifetime), got_lifetime)


def _words(names: Iterable[str]) -> str:
    return " ".join(sorted(names)) or "none"
