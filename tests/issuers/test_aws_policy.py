"""The exact policy texts that jitid sends to AWS. They are the only evidence: moto does not evaluate conditions."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.errors import ConfigurationError, UsageError
from jitid.issuers.aws.session_policy import (
    MAX_SESSION_POLICY,
    delegator_of,
    denial,
    denied_in,
    grant,
    parse_denial,
    rights,
    session_policy,
    session_tags,
    source_identity,
)
from jitid.values.names import check_delegator
from jitid.values.scope import Scope, covers
from jitid.values.times import parse_time
from tests.issuers.places import Place, some
from tests.real import module

NOON = parse_time("2026-11-24T12:00:00Z")
UNTIL = {"aws:CurrentTime": "2026-11-24T12:00:00Z"}
EXPIRED = {
    "Sid": "Expired",
    "Effect": "Deny",
    "Action": "*",
    "Resource": "*",
    "Condition": {"DateGreaterThanEquals": UNTIL},
}
READ = {"actions": ["s3:GetObject", "s3:ListBucket"], "resources": ["arn:aws:s3:::{2}", "arn:aws:s3:::{2}/*"]}


def policy(scopes: tuple[str, ...], table: dict[str, Any], *arns: str) -> Any:
    """Return the session policy of a holder with these scopes that expires at noon."""
    return json.loads(session_policy(grant(scopes, rights(table, "it"), arns), NOON))


def test_what_is_granted_is_allowed_until_our_expiry_and_everything_is_denied_from_then_on() -> None:
    assert policy(("s3:reports:read",), {"s3:*:read": READ}) == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["s3:GetObject", "s3:ListBucket"],
                "Resource": ["arn:aws:s3:::reports", "arn:aws:s3:::reports/*"],
                "Condition": {"DateLessThan": UNTIL},
            },
            EXPIRED,
        ],
    }


@pytest.mark.parametrize("scopes", [(), ("s3:reports:write",), ("repo:acme/web:read",), ("s3:read",)])
def test_who_was_granted_nothing_of_it_may_do_nothing(scopes: tuple[str, ...]) -> None:
    assert policy(scopes, {"s3:*:read": READ}) == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "sts:GetCallerIdentity",
                "Resource": "*",
                "Condition": {"DateLessThan": UNTIL},
            },
            EXPIRED,
        ],
    }


def test_managed_policies_are_denied_from_our_expiry_on_too() -> None:
    arn = "arn:aws:iam::aws:policy/ReadOnlyAccess"
    assert policy((), {}, arn)["Statement"] == [EXPIRED]
    granted = grant(("look:*",), rights({"look:*": {"policy_arns": [arn]}}, "it"))
    assert (granted.policy_arns, granted.scopes) == ([arn], ["look:*"])


def test_a_part_of_a_pattern_gives_only_what_names_that_part() -> None:
    whole = {"deploy:*": {"actions": ["lambda:*"], "resources": ["*"]}}
    assert grant(("deploy:*",), rights(whole, "it")).statements
    assert not grant(("deploy:web",), rights(whole, "it")).statements
    managed = {"look:*": {"policy_arns": ["arn:aws:iam::aws:policy/ReadOnlyAccess"]}}
    assert not grant(("look:web",), rights(managed, "it")).policy_arns


def test_a_wide_scope_gives_the_narrow_rows_as_they_are() -> None:
    table = {"s3:reports:read": READ, "s3:plans:read": READ}
    resources = [one["Resource"][0] for one in grant(("s3:*:read",), rights(table, "it")).statements]
    assert resources == ["arn:aws:s3:::reports", "arn:aws:s3:::plans"]
    (both,) = grant(("s3:rep*:read",), rights({"s3:*:read": READ}, "it")).statements
    assert both["Resource"] == ["arn:aws:s3:::rep*", "arn:aws:s3:::rep*/*"]


_segment = st.sampled_from(["a", "ab", "b", "a*", "*"])
_scope = st.lists(_segment, min_size=2, max_size=2).map(":".join)


@given(granted=_scope, pattern=_scope)
def test_nobody_gains_by_a_template(granted: str, pattern: str) -> None:
    """The granted scope covers each value that a template fills into a resource."""
    row = {"actions": ["x:Y"], "resources": ["arn:aws:x:::{1}:{2}"]}
    for statement in grant((granted,), rights({pattern: row}, "it")).statements:
        filled = Scope(statement["Resource"].removeprefix("arn:aws:x:::"))
        assert covers(Scope(granted), filled)
        assert covers(Scope(pattern), filled)


def test_a_policy_that_aws_would_not_take_is_refused_here() -> None:
    table = {f"s3:bucket-{n}:read": READ for n in range(30)}
    with pytest.raises(UsageError, match=f"AWS accepts {MAX_SESSION_POLICY}") as refused:
        policy(("s3:*:read",), table)
    assert refused.value.hint is not None
    assert "fewer scopes" in refused.value.hint
    arns = {f"look:{n}": {"policy_arns": [f"arn:aws:iam::123456789012:policy/p{n}"]} for n in range(11)}
    with pytest.raises(UsageError, match="11 managed policies"):
        policy(("look:*",), arns)


@pytest.mark.parametrize(
    ("scope", "row"),
    [
        ("s3:*", "all"),
        ("s3:*", {}),
        ("s3:*", {"actions": ["s3:Get*"]}),
        ("s3:*", {"resources": ["*"]}),
        ("s3:*", {"actions": "s3:Get*", "resources": ["*"]}),
        ("s3:*", {"actions": ["s3:Get*", ""], "resources": ["*"]}),
        ("s3:*", {"actions": ["s3 Get"], "resources": ["*"]}),
        ("s3:*", {"actions": ["s3:Get*"], "resources": ["bucket"]}),
        ("s3:*", {"actions": ["s3:Get*"], "resources": ["arn:aws:s3:::{3}"]}),
        ("s3:*", {"actions": ["s3:Get*"], "resources": ["*"], "effect": "Deny"}),
        ("s3:*", {"policy_arns": ["ReadOnlyAccess"]}),
        ("s3::read", READ),
        ("s3 read", READ),
    ],
)
def test_a_row_that_cannot_be_meant_is_refused(scope: str, row: Any) -> None:
    with pytest.raises(ConfigurationError):
        rights({scope: row}, "it")


_name = st.text("abcXYZ019._@:/+-", min_size=1, max_size=128)
_delegator = st.builds("{}:{}".format, st.sampled_from(["user", "system", "agent"]), _name)


@given(_delegator)
def test_a_delegator_can_be_told_from_the_source_identity(delegator: str) -> None:
    check_delegator(delegator)
    identity = source_identity(delegator)
    assert 2 <= len(identity) <= 64
    assert set(identity) <= set("abcdefghijklmnopqrstuvwxyzXYZ0123456789_+=,.@-")
    # A delegator that fits can be read back. A longer one is marked and contains a hash, so that it is unique.
    assert delegator_of(identity) == (delegator if len(delegator) <= 64 else None)


@given(_delegator, _delegator)
def test_two_delegators_have_two_source_identities(one: str, other: str) -> None:
    assert (source_identity(one) == source_identity(other)) == (one == other)


def test_source_identities_read_well() -> None:
    assert source_identity("user:alice@example.com") == "user=alice@example.com"
    assert source_identity("agent:acme/build-bot") == "agent=acme,build-bot"
    long = "user:" + "a" * 100
    assert source_identity(long).startswith("user,")


def test_tags_name_task_and_agent_and_a_delegator_that_is_too_long(place_of_nothing: Place) -> None:
    record = place_of_nothing.record(agent="build-bot", task="INC-4821")
    assert session_tags(record) == {
        "jitid:agent": "ephemeral/build-bot",
        "jitid:task": "user:alice@example.com/INC-4821",
    }
    long = record._replace(delegator="user:" + "a" * 100)
    assert session_tags(long)["jitid:delegator"] == long.delegator


_opener = st.one_of(_delegator, st.sampled_from(["", "?"]))


@given(_opener, _name, _opener, _name)
def test_two_tasks_have_two_tags(one: str, name: str, other: str, another: str) -> None:
    """The tag names the task's opener too: the opener chooses the task's name, so two tasks may share one."""

    def tag(opener: str, task: str) -> str:
        return session_tags(some(agent="a", task=task, task_opener=opener))["jitid:task"]

    same = (one or "?", name) == (other or "?", another)
    assert (tag(one, name) == tag(other, another)) == same
    assert len(tag(one, name)) <= 256
    assert re.fullmatch(r"[A-Za-z0-9 _.:/=+@-]+", tag(one, name))


@pytest.fixture
def place_of_nothing() -> Place:
    """Return a place that makes records and has no target."""

    class Nowhere(Place):
        kind = "aws-sts"
        issuer = exists = losing = disturbed = None  # type: ignore[assignment]

    return Nowhere()


def test_a_denial_names_single_sessions_and_its_name_tells_the_rest() -> None:
    made, text = denial("urn:one", ["jti_b", "jti_a", "jti_b"], NOON, NOON - 900)
    assert json.loads(text) == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Deny",
                "Action": "*",
                "Resource": "*",
                "Condition": {"StringLike": {"aws:userid": ["*:jti_a", "*:jti_b"]}},
            }
        ],
    }
    assert parse_denial(made.name, "urn:one") == made
    assert parse_denial(made.name, "urn:another") is None
    assert parse_denial("jitid-denied-by-hand", "urn:one") is None
    assert denied_in(json.loads(text)) == ["jti_a", "jti_b"]


@pytest.mark.parametrize(
    "change",
    [
        {"Effect": "Allow"},
        {"Action": "s3:*"},
        {"Resource": "arn:aws:s3:::x"},
        {"Condition": {}},
        {"Condition": {"StringLike": {"aws:userid": ["*:jti_a"], "aws:username": "x"}}},
        {"Condition": {"StringLike": {"aws:userid": ["*:jti_a"]}, "Bool": {"aws:SecureTransport": "true"}}},
    ],
)
def test_a_denial_that_somebody_has_changed_denies_nobody(change: dict[str, Any]) -> None:
    document = json.loads(denial("urn:one", ["jti_a"], NOON, NOON - 900)[1])
    document["Statement"][0].update(change)
    assert denied_in(document) == []
    assert denied_in("text") == []
    assert denied_in({"Statement": []}) == []


def test_what_is_sent_is_within_the_limits_that_botocore_knows(place_of_nothing: Place) -> None:
    session = module("botocore.session").Session()
    shape = session.get_service_model("sts").operation_model("AssumeRole").input_shape
    record = place_of_nothing.record(delegator="user:" + "a" * 123, agent="b" * 128, task="c" * 128)
    tags = session_tags(record)
    members = {
        "RoleArn": "arn:aws:iam::123456789012:role/deploy",
        "RoleSessionName": record.jti,
        "DurationSeconds": 900,
        "SourceIdentity": source_identity(record.delegator),
        "Tags": [{"Key": name, "Value": value} for name, value in tags.items()],
    }
    report = module("botocore.validate").ParamValidator().validate(members, shape)
    assert not report.has_errors(), report.generate_report()
    limits = {name: shape.members[name].metadata for name in ("RoleSessionName", "SourceIdentity")}
    assert all(limit["min"] <= len(str(members[name])) <= limit["max"] for name, limit in limits.items())
    value = shape.members["Tags"].member.members["Value"].metadata
    assert all(len(tag) <= value["max"] for tag in tags.values())
