"""The limits of the default policy, against an independent statement of them."""

from __future__ import annotations

from itertools import product

import cedarpy
import pytest

from jitid.policy.default import default_files, schema
from jitid.policy.policy_request import FACTS, NO_DIRECTORY_FACTS
from tests.policy.asking import DEFAULT, KNOWN, policy, request

HOUR, MINUTE = 3600, 60

# Sensitivity: maximum lifetime, maximum depth, and whether it requires a purpose, a delegator proved and known, and
# scopes without wildcards.
LIMITS = {
    "low": (8 * HOUR, 5, False),
    "moderate": (1 * HOUR, 4, False),
    "high": (15 * MINUTE, 3, True),
    "critical": (5 * MINUTE, 1, True),
}
CASES = list(
    product(
        range(8),
        ("asserted", "os-user", "credential", "oidc"),
        (None, "", " \t", "restore the index"),
        (NO_DIRECTORY_FACTS, KNOWN),
        ((), ("repo:read",), ("repo:*",), ("repo:read", "prod:x*")),
        (False, True),
    )
)


@pytest.mark.parametrize("sensitivity", LIMITS)
def test_every_combination_is_decided_as_the_table_says(sensitivity: str) -> None:
    """All combinations of depth, proof, purpose, standing and wildcards."""
    max_ttl, deepest, strict = LIMITS[sensitivity]
    for depth, proof, purpose, standing, scopes, narrow in CASES:
        asked = request(
            sensitivity=sensitivity,
            depth=depth,
            delegator_proof=proof,
            purpose=purpose,
            standing=standing,
            scopes=scopes,
        )
        expected = depth <= deepest
        granted = scopes
        if strict:
            expected &= proof != "asserted" and purpose == "restore the index" and standing.known
            granted = tuple(scope for scope in scopes if not scope.endswith("*"))
        expected &= granted == scopes or (narrow and granted != ())
        decision = DEFAULT.decide(asked, narrow=narrow, explain=False)
        assert decision.permit is expected, asked
        assert decision.granted == (granted if expected else ())
        assert decision.max_ttl == (max_ttl if expected else None)
        assert decision.ttl_rule == (sensitivity if expected else None)


@pytest.mark.parametrize("sensitivity", ["", "Low", "LOW ", "moderate\n", "secret", "*", "lоw"])  # noqa: RUF001
def test_an_unknown_sensitivity_is_denied_by_default(sensitivity: str) -> None:
    """No rule forbids it, and no rule permits it."""
    decision = DEFAULT.decide(request(sensitivity=sensitivity), explain=False)
    assert not decision.permit
    assert decision.rules == ("default-deny",)


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"sensitivity": "low", "depth": 6}, "depth-limit"),
        ({"sensitivity": "high", "purpose": None}, "high-needs-purpose"),
        ({"sensitivity": "high", "delegator_proof": "asserted"}, "asserted-up-to-moderate"),
        ({"sensitivity": "high", "standing": NO_DIRECTORY_FACTS}, "unknown-up-to-moderate"),
        ({"sensitivity": "critical", "scopes": ("prod:*",)}, "high-no-wildcard"),
    ],
)
def test_a_denial_names_the_one_rule_in_the_way(fields: dict[str, object], rule: str) -> None:
    """A responder looks for this name in the policy file."""
    decision = DEFAULT.decide(request(**fields))
    assert decision.rules == (rule,)
    assert f"rule `{rule}` forbids it" in decision.reason


def test_it_validates_against_the_schema() -> None:
    """A policy that reads a fact of another type would fail at every issue."""
    result = cedarpy.validate_policies(default_files()[0][1], schema())
    assert not result.errors
    assert result.validation_passed


@pytest.mark.parametrize("fact", FACTS)
def test_the_schema_declares_every_fact(fact: str) -> None:
    """The declared type is that of the questions: a comparison of the fact with itself is valid."""
    text = f'@id("x") permit(principal, action, resource) when {{ context.{fact} == context.{fact} }};'
    assert cedarpy.validate_policies(text, schema()).validation_passed
    assert policy(text).decide(request(scopes=("repo:read",))).permit


def test_the_schema_declares_no_other_fact() -> None:
    """A policy that validates must not be refused when jitid loads it."""
    declared = schema().partition("type Facts = {")[2].partition("};")[0]
    names = [
        line.partition(":")[0].strip() for line in declared.splitlines() if ":" in line.partition("//")[0]
    ]
    assert names == list(FACTS)
