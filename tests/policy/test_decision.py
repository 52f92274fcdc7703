"""How the answers to the questions about an issue and its scopes become one decision."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.policy.decision import Refusal
from jitid.policy.default import default_files
from jitid.policy.evaluate import Policy
from jitid.policy.policy_request import PolicyRequest
from tests.policy.asking import DEFAULT, NOON, PERMIT_ALL, PERMIT_ISSUE, policy, request, requests

READ_ONLY = """
@id("reads") @max_ttl("10m")
permit(principal, action == Action::"grant", resource) when { context.scope like "*:read" };
@id("builds") @max_ttl("20m")
permit(principal, action == Action::"grant", resource == Scope::"ci:build");
"""


def test_an_empty_policy_denies() -> None:
    """An empty policy has no file, or a file with only a comment."""
    for empty in (Policy([]), policy("// nothing;\n")):
        decision = empty.decide(request(scopes=("repo:read",)))
        assert not decision.permit
        assert decision.rules == ("default-deny",)
        assert decision.refused == (Refusal("repo:read", ("default-deny",)),)
        assert decision.nearest is None


def test_a_forbid_wins() -> None:
    """It outranks each permission, from any file."""
    forbid = '@id("never") forbid(principal, action == Action::"issue", resource == Task::"INC-4821");'
    decision = policy(PERMIT_ALL, forbid).decide(request())
    assert not decision.permit
    assert decision.rules == ("never",)
    assert policy(PERMIT_ALL, forbid).decide(request(task="INC-4822")).permit


@pytest.mark.parametrize("effect", ["permit", "forbid"])
def test_a_rule_that_cannot_be_evaluated_denies(effect: str) -> None:
    """Cedar itself would skip the rule, and permit."""
    broken = f'@id("broken") {effect}(principal, action, resource) when {{ context.depth like "x" }};'
    decision = policy(PERMIT_ALL, broken).decide(request())
    assert not decision.permit
    assert decision.rules == ("broken",)
    assert "rule `broken` could not be evaluated" in decision.reason


def test_the_rule_at_fault_is_named_whatever_its_file() -> None:
    """Cedar reports only the number of the rule."""
    broken = "".join(
        f'@id("{name}") permit(principal, action, resource) when {{ context.task == "T" && {condition} }};'
        for name, condition in [("sound", "true"), ("broken", "context.depth.x")]
    )
    asked = policy(PERMIT_ALL + PERMIT_ISSUE, "// nothing", broken)
    assert asked.decide(request(task="T")).rules == ("broken",)
    assert asked.decide(request()).rules == ("all", "issue")


def test_an_overflow_denies() -> None:
    """Cedar's integers have 64 bits."""
    policy_ = policy(
        '@id("sum") permit(principal, action, resource) when { context.now + 9223372036854775807 > 0 };'
    )
    assert policy_.decide(request()).rules == ("sum",)


def test_a_number_beyond_cedar_denies() -> None:
    """Cedar cannot represent the question."""
    asked = policy('@id("a") permit(principal, action, resource) when { context.lifetime > 0 };')
    decision = asked.decide(request(lifetime=2**70))
    assert not decision.permit
    assert decision.rules == ("evaluation-error",)


def test_a_refused_scope_denies_all() -> None:
    """The denial names the rule and the scope."""
    decision = policy(PERMIT_ISSUE, READ_ONLY).decide(request(scopes=("repo:read", "repo:write")))
    assert not decision.permit
    assert decision.rules == ("default-deny",)
    assert decision.granted == ()
    assert decision.refused == (Refusal("repo:write", ("default-deny",)),)
    assert "scope `repo:write`" in decision.reason


def test_narrow_takes_the_permitted_scopes_in_the_order_asked() -> None:
    """The reason names the omitted scopes."""
    asked = request(scopes=("z:read", "repo:write", "a:read", "prod"))
    decision = policy(PERMIT_ISSUE, READ_ONLY).decide(asked, narrow=True)
    assert decision.permit
    assert decision.granted == ("z:read", "a:read")
    assert [refusal.scope for refusal in decision.refused] == ["repo:write", "prod"]
    assert "without scopes `repo:write`, `prod`" in decision.reason


def test_narrow_with_nothing_left_is_a_denial() -> None:
    """A request for scopes must not result in an identity without any."""
    assert not policy(PERMIT_ISSUE, READ_ONLY).decide(request(scopes=("prod",)), narrow=True).permit


def test_no_scopes_ask_for_the_identity_alone() -> None:
    """Only the `issue` question counts then."""
    decision = policy(PERMIT_ISSUE).decide(request())
    assert decision.permit
    assert not decision.granted
    assert not decision.refused


def test_the_least_lifetime_of_the_permitting_rules_counts() -> None:
    """It is the minimum over the rules that permit the issue, and the rules that permit a granted scope."""
    day = '@id("day") @max_ttl("1d") permit(principal, action == Action::"issue", resource);'
    hour = '@id("hour") @max_ttl("1h") permit(principal == Agent::"planner", action, resource);'
    asked = policy(day + READ_ONLY, hour)

    def bound(**fields: object) -> tuple[int | None, str | None]:
        decision = asked.decide(request(**fields))
        return decision.max_ttl, decision.ttl_rule

    assert bound(agent="other") == (86400, "day")
    assert bound() == (3600, "hour")
    assert bound(scopes=("ci:build",)) == (1200, "builds")
    assert bound(scopes=("ci:build", "x:read")) == (600, "reads")


def test_a_refused_scope_bounds_nothing() -> None:
    """The rules that permit this scope did not decide."""
    forbid = '@id("no") forbid(principal, action, resource == Scope::"x:read");'
    asked = request(scopes=("x:read", "ci:build"))
    decision = policy(PERMIT_ISSUE, READ_ONLY, forbid).decide(asked, narrow=True)
    assert decision.max_ttl == 1200


def test_without_a_bound_there_is_none() -> None:
    """Only the request's own lifetime counts then."""
    decision = policy(PERMIT_ALL).decide(request())
    assert decision.max_ttl is None
    assert decision.ttl_rule is None


@given(asked=requests)
def test_narrow_grants_a_part_of_what_was_asked(asked: PolicyRequest) -> None:
    """The granted and refused scopes make up the request, and `narrow` changes nothing for a permitted request."""
    decision = DEFAULT.decide(asked, narrow=True, explain=False)
    if decision.permit:
        refused = {refusal.scope for refusal in decision.refused}
        assert [scope for scope in asked.scopes if scope not in refused] == list(decision.granted)
        assert set(asked.scopes) == refused | set(decision.granted)
    if DEFAULT.decide(asked, explain=False).permit:
        assert decision.permit
        assert decision.granted == asked.scopes


@given(series=st.lists(requests, max_size=8))
def test_a_policy_answers_as_a_fresh_one_does(series: list[PolicyRequest]) -> None:
    """Cached answers change no decision."""
    lasting = Policy(default_files())
    for asked in [*series, *series]:
        assert lasting.decide(asked, explain=False) == Policy(default_files()).decide(asked, explain=False)


def test_the_digest_names_files_and_texts() -> None:
    """It does not depend on the order of the files, and changes if text moves between name, file and neighbour."""
    one, two = ("a.cedar", PERMIT_ALL), ("b.cedar", PERMIT_ISSUE)
    assert Policy([one, two]).digest == Policy([two, one]).digest
    others = [
        Policy([]),
        Policy([one]),
        Policy([two]),
        Policy([one, two]),
        Policy([("a.cedar", PERMIT_ALL + PERMIT_ISSUE)]),
        Policy([("a.cedar", PERMIT_ALL + "\n")]),
        Policy([("a.cedar", PERMIT_ALL + "// "), ("b.cedar", "")]),
        Policy([("a.cedar", PERMIT_ALL), ("// b.cedar", "")]),
        Policy([("a.cedar", PERMIT_ALL + "// b.cedar")]),
        Policy([("a.cedar" + PERMIT_ALL, "// b.cedar")]),
        Policy([("a.ceda", PERMIT_ALL)]),
        Policy([("a.cedar", PERMIT_ISSUE), ("b.cedar", PERMIT_ALL)]),
    ]
    assert len({each.digest for each in others}) == len(others)
    assert Policy([one]).decide(request()).policy == Policy([one]).digest


@pytest.mark.parametrize(
    ("fact", "value"),
    [
        ("agent", '"planner"'),
        ("delegator", 'Delegator::"user:alice@example.com"'),
        ("delegator_name", '"user:alice@example.com"'),
        ("delegator_kind", '"user"'),
        ("delegator_proof", '"os-user"'),
        ("task", '"INC-4821"'),
        ("purpose", '"restore the index"'),
        ("has_purpose", "true"),
        ("sensitivity", '"moderate"'),
        ("kind", '"jwt"'),
        ("template", '""'),
        ("depth", "0"),
        ("lifetime", "900"),
        ("audiences", '["urn:jitid:test"]'),
        ("now", str(NOON + 754)),
        ("hour", "12"),
        ("minute", "12"),
        ("weekday", "2"),
    ],
)
@pytest.mark.parametrize("form", ["context.{} == {}", 'context["{}"] == {}', "{{x: context}}.x.{} == {}"])
def test_a_policy_reads_each_fact(fact: str, value: str, form: str) -> None:
    """The `issue` and the `grant` question have the fact, and each form of Cedar's syntax can read it."""
    condition = form.format(fact, value)
    asked = request(scopes=("repo:read",), now=NOON + 754)
    text = f'@id("a") permit(principal, action, resource) when {{ context has {fact} && {condition} }};'
    assert policy(text).decide(asked).permit, condition
    assert not policy(PERMIT_ALL, text.replace("permit", "forbid")).decide(asked).permit


def test_a_grant_reads_its_own_scope_and_the_issue_all_of_them() -> None:
    """In the `issue` question `scope` is empty, and `wildcard` is true if any scope has one."""
    asked = policy(
        """@id("issue") permit(principal, action == Action::"issue", resource)
           when { context.scope == "" && context.wildcard };
           @id("grant") permit(principal, action == Action::"grant", resource)
           when { Scope::"a:*" == resource && context.scope == "a:*" && context.wildcard
               || context.scope == "b" && !context.wildcard };"""
    )
    assert asked.decide(request(scopes=("a:*", "b"))).permit
    assert not asked.decide(request(scopes=("b",))).permit
    assert not asked.decide(request(scopes=("a:*", "c"))).permit


@pytest.mark.parametrize(
    ("rule", "agent", "task"),
    [
        ('@id("r") permit (principal == Agent::"a", action, resource);', "b", "T"),
        ('@id("r") permit (principal, action, resource == Task::"T");', "a", "U"),
        ('@id("r") permit (principal is Agent in Agent::"a", action, resource);', "b", "T"),
        ('@id("r") permit (principal, action, resource) when { principal == Agent::"a" };', "b", "T"),
        ('@id("r") permit (principal, action, resource) unless { resource != Task::"T" };', "a", "U"),
        (
            '@id("r") permit (principal, action, resource) when { [Agent::"a"].contains(principal) };',
            "b",
            "T",
        ),
    ],
)
def test_an_answer_about_one_name_is_none_about_another(rule: str, agent: str, task: str) -> None:
    """Answers are cached. A rule that reads the agent or the task is evaluated again for another one."""
    policy = Policy([("p.cedar", rule)])
    asked = request(agent="a", task="T", scopes=())
    assert policy.decide(asked).permit
    assert not policy.decide(asked._replace(agent=agent, task=task)).permit
    assert policy.decide(asked).permit
