"""The advice of a denial: a request that follows it is permitted."""

from __future__ import annotations

import re

import pytest
from hypothesis import given

from jitid.policy.evaluate import Policy
from jitid.policy.policy_request import NO_DIRECTORY_FACTS, DirectoryFacts, PolicyRequest
from jitid.values.times import parse_duration, parse_time
from tests.policy.asking import DEFAULT, NOON, PERMIT_ALL, policy, request, requests

OWN_LOGIN_ONCE = "after this name is registered (jitid delegator add)"


def once(name: str) -> str:
    """Return the advice to add a delegator to the directory."""
    return f"after `{name}` is registered (jitid delegator add {name})"


def follow(asked: PolicyRequest, advice: str) -> PolicyRequest:
    """Return the request with the changes that the text of the advice describes."""
    assert advice.startswith("the same ")
    for part in advice.removeprefix("the same ").split(" and "):
        asked = _follow(asked, part)
    return asked


def _follow(asked: PolicyRequest, part: str) -> PolicyRequest:
    words = part.split()
    match words[:2]:
        case ["with", "--purpose"]:
            return asked._replace(purpose="a purpose")
        case ["with", "--sensitivity"]:
            return asked._replace(sensitivity=words[2])
        case ["with", "--kind"]:
            return asked._replace(kind=words[2])
        case ["with", "--ttl"]:
            return asked._replace(lifetime=parse_duration(words[2]))
        case ["with", "--delegator-token-file"]:
            return asked._replace(delegator_proof="oidc")
        case ["with", "your"]:
            # The directory has no facts about that delegator.
            agent = DirectoryFacts(registered=asked.standing.registered, owner=asked.standing.owner)
            return asked._replace(delegator="user:tester", delegator_proof="os-user", standing=agent)
        case ["after", "this"]:
            assert asked.delegator == "user:tester"
            assert part == OWN_LOGIN_ONCE
            return asked._replace(standing=asked.standing._replace(known=True))
        case ["after", _]:
            # Adding a delegator makes only that delegator known.
            assert part == once(asked.delegator)
            return asked._replace(standing=asked.standing._replace(known=True))
        case ["without", "--scope"]:
            gone = set(re.findall(r"`(.*?)`", part))
            return asked._replace(scopes=tuple(scope for scope in asked.scopes if scope not in gone))
        case ["without", "--audience"]:
            gone = set(re.findall(r"`(.*?)`", part))
            return asked._replace(audiences=tuple(each for each in asked.audiences if each not in gone))
        case ["from", "a"]:
            return asked._replace(depth=int(words[-1]) + 1)
        case ["at", moment]:
            return asked._replace(now=parse_time(moment))
    raise AssertionError(part)


def assert_advice_passes(policy_: Policy, asked: PolicyRequest, advice: str | None) -> None:
    """Check that the policy permits the request that the advice describes."""
    assert advice is not None
    changed = follow(asked, advice)
    assert changed != asked
    assert policy_.decide(changed, explain=False).permit, advice


@given(asked=requests)
def test_following_the_advice_passes(asked: PolicyRequest) -> None:
    """The default policy can permit every request with some change. A permitted request gets no advice."""
    decision = DEFAULT.decide(asked)
    if decision.permit:
        assert decision.nearest is None
    else:
        assert_advice_passes(DEFAULT, asked, decision.nearest)


@given(asked=requests)
def test_what_is_fixed_is_not_advised(asked: PolicyRequest) -> None:
    """The task fixes the sensitivity, and a parent may fix the depth."""
    fixed = frozenset({"sensitivity", "depth"})
    decision = DEFAULT.decide(asked, fixed=fixed)
    if decision.nearest is not None:
        assert_advice_passes(DEFAULT, asked, decision.nearest)
        changed = follow(asked, decision.nearest)
        assert (changed.sensitivity, changed.depth) == (asked.sensitivity, asked.depth)


@pytest.mark.parametrize(
    ("fields", "fixed", "advice"),
    [
        ({"sensitivity": "high", "purpose": None}, set(), "the same with --purpose TEXT"),
        (
            {"sensitivity": "high", "purpose": None, "scopes": ("prod:*", "repo:read")},
            {"sensitivity"},
            "the same with --purpose TEXT and without --scope `prod:*`",
        ),
        ({"sensitivity": "critical", "depth": 3}, set(), "the same with --sensitivity high"),
        ({"sensitivity": "critical", "depth": 3}, {"sensitivity"}, "the same from a parent of depth 0"),
        (
            {"sensitivity": "high", "delegator_proof": "asserted"},
            set(),
            "the same with --delegator-token-file FILE",
        ),
        (
            {"sensitivity": "high", "delegator_proof": "asserted", "delegator": "system:ci"},
            set(),
            "the same with --delegator-token-file FILE",
        ),
        (
            {"sensitivity": "high", "standing": NO_DIRECTORY_FACTS},
            set(),
            f"the same {once('user:alice@example.com')}",
        ),
        (
            {"sensitivity": "high", "standing": NO_DIRECTORY_FACTS, "delegator_proof": "asserted"},
            set(),
            "the same with --sensitivity moderate",
        ),
        (
            {"sensitivity": "high", "standing": NO_DIRECTORY_FACTS, "delegator_proof": "asserted"},
            {"sensitivity"},
            f"the same with your login name as --delegator and {OWN_LOGIN_ONCE}",
        ),
        (
            {"sensitivity": "high", "standing": NO_DIRECTORY_FACTS, "delegator_proof": "asserted"}
            | {"delegator": "system:ci"},
            {"sensitivity"},
            f"the same with --delegator-token-file FILE and {once('system:ci')}",
        ),
        ({"sensitivity": "high", "purpose": None}, {"sensitivity", "purpose"}, None),
        (
            {"sensitivity": "critical", "purpose": None, "delegator_proof": "asserted", "scopes": ("a:*",)}
            | {"delegator": "system:ci"},
            {"sensitivity"},
            "the same with --purpose TEXT and without --scope `a:*` and with --delegator-token-file FILE",
        ),
        (
            {"sensitivity": "high", "scopes": tuple(f"{number}:*" for number in range(7))},
            {"sensitivity"},
            f"the same without {' '.join(f'--scope `{number}:*`' for number in range(5))}, all others",
        ),
    ],
)
def test_the_least_change_is_advised(fields: dict[str, object], fixed: set[str], advice: str | None) -> None:
    """One change is better than two, and a purpose is better than a lower sensitivity."""
    assert DEFAULT.decide(request(**fields), fixed=frozenset(fixed)).nearest == advice


@pytest.mark.parametrize(
    ("condition", "fields", "advice"),
    [
        ("context.lifetime > 1234", {"lifetime": 5000}, "the same with --ttl 20m34s"),
        ("context.lifetime >= 1234", {"lifetime": 5000}, "the same with --ttl 20m33s"),
        ("context.hour < 18", {}, "the same at 2026-11-24T18:00:00Z"),
        ("context.weekday < 6", {"now": NOON + 1800}, "the same at 2026-11-28T00:00:00Z"),
        ('context.kind == "jwt"', {}, "the same with --kind opaque"),
        (
            'context.audiences.contains("urn:b")',
            {"audiences": ("urn:a", "urn:b")},
            "the same without --audience `urn:b`",
        ),
        (
            "!context.delegator_known",
            {"standing": NO_DIRECTORY_FACTS},
            f"the same {once('user:alice@example.com')}",
        ),
        (
            "!context.delegator.known",
            {"standing": NO_DIRECTORY_FACTS},
            f"the same {once('user:alice@example.com')}",
        ),
        (
            '!(context.delegator in Group::"crew")',
            {"standing": NO_DIRECTORY_FACTS},
            None,
        ),
        (
            'context.delegator_proof == "asserted"',
            {"delegator_proof": "asserted"},
            "the same with your login name as --delegator",
        ),
        (
            'context.delegator_proof == "asserted" || context.delegator != Delegator::"user:alice@example.com"',
            {"delegator_proof": "asserted"},
            "the same with --delegator-token-file FILE",
        ),
        ('context.agent == "planner"', {}, None),
        ("true", {}, None),
    ],
)
def test_the_advice_fits_the_operators_own_rule(
    condition: str, fields: dict[str, object], advice: str | None
) -> None:
    """Lifetimes come from numbers in the policy, times from the next hours of the week."""
    asked = policy(PERMIT_ALL, f'@id("no") forbid(principal, action, resource) when {{ {condition} }};')
    decision = asked.decide(request(**fields))
    assert decision.rules == ("no",)
    assert decision.nearest == advice
    if advice is not None:
        assert_advice_passes(asked, request(**fields), advice)


def test_advice_is_given_only_when_asked_for() -> None:
    """A bulk issue can omit it."""
    assert DEFAULT.decide(request(sensitivity="high", purpose=None), explain=False).nearest is None


def test_narrow_advice_leaves_a_scope() -> None:
    """The permitted scopes are granted anyway, so only the other changes need advice."""
    asked = request(sensitivity="high", purpose=None, scopes=("prod:*", "repo:read"))
    decision = DEFAULT.decide(asked, narrow=True, fixed=frozenset({"sensitivity"}))
    assert decision.nearest == "the same with --purpose TEXT"
