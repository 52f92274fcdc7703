"""Rules about delegators and recurring agents: each name, each state, and the suggested command."""

from __future__ import annotations

import shlex

import pytest

from jitid.capabilities.access.grant import AccessRequest
from jitid.capabilities.access.operations import GrantAccess, RevokeAccess
from jitid.capabilities.sweep.finding import Coverage, Remedied, Severity, Thresholds
from jitid.capabilities.sweep.rules import rule_of
from jitid.errors import InvalidCredentialError
from jitid.values import strict_json
from jitid.values.scope import Scope, uncovered
from tests.builders import DAY, NOW, World, edit
from tests.capabilities.sweep.asking import fixed, fixing, found, swept
from tests.crypto import signed

# Columns of a database have types, so that these edits are possible only in a file.
pytestmark = [pytest.mark.usefixtures("kept_in"), pytest.mark.of_files("'never'", "x'00'")]


def test_a_disabled_delegator_is_one_finding_whatever_names_they_went_by(world: World) -> None:
    mine = [world.issue(delegator=name) for name in ("user:robert", "user:bob")]
    other = world.issue(delegator="user:alice")
    world.know("user:bob", aliases=("user:robert", "https://id.example sub-1"), disabled_at=NOW - 60)
    (finding,) = found(world, "orphaned-delegator")
    assert (finding.subject, finding.credentials, finding.since) == ("user:bob", 2, NOW - 60)
    assert finding.evidence["names"] == ["user:bob", "user:robert"]
    (done,) = fixed(world, "orphaned-delegator")
    assert (done.credentials, done.accepted) == (2, 0)
    for one in mine:
        with pytest.raises(InvalidCredentialError):
            world.verify(one.token)
    assert world.verify(other.token).id == other.id


def test_what_a_disabled_delegator_delegated_before_their_subject_was_known_is_found(world: World) -> None:
    """Its credentials are found under each name in its ID tokens. Credentials of others by that name stay."""
    proved = {"delegator": None, "proved_at": NOW, "proved_delegator": "user:z"}
    mine = world.issue(**proved, proved_subject="https://id.example 1")
    child = world.issue(parent=mine.token, agent="coder")
    under_alias = world.issue(delegator="user:zo")
    world.issue(**{**proved, "proved_delegator": "user:zo"}, proved_subject="https://id.example 1", task="T2")
    others = [world.issue(**proved, proved_subject="https://id.example 2", task="T3")]
    others.append(world.issue(delegator="user:z", task="T3"))
    world.know("user:zoe", aliases=("https://id.example 1", "user:zo"), disabled_at=NOW)
    (finding,) = found(world, "orphaned-delegator")
    assert finding.evidence["names"] == ["https://id.example 1", "user:zo"]
    assert (finding.subject, finding.credentials) == ("user:zoe", 4)
    (done,) = fixed(world, "orphaned-delegator")
    assert done.credentials == 4
    for one in (mine, child, under_alias):
        with pytest.raises(InvalidCredentialError):
            world.verify(one.token)
    assert [world.verify(one.token).id for one in others] == [one.id for one in others]


def test_what_an_agent_delegated_on_ends_with_its_root_delegator(world: World) -> None:
    parent = world.issue(delegator="user:bob")
    child = world.issue(parent=parent.token, agent="coder")
    world.know("user:bob", disabled_at=NOW)
    (finding,) = found(world, "orphaned-delegator")
    assert finding.credentials == 2
    fixed(world, "orphaned-delegator")
    with pytest.raises(InvalidCredentialError):
        world.verify(child.token)


def test_the_unknown_are_orphans_only_where_nobody_else_may_delegate(world: World) -> None:
    world.know("user:alice")
    known, unknown = world.issue(), world.issue(delegator="system:ci")
    assert found(world, "orphaned-delegator") == []
    strict = Thresholds(known_only=True)
    (finding,) = found(world, "orphaned-delegator", limits=strict)
    assert (finding.subject, finding.credentials, finding.since) == ("system:ci", 1, None)
    assert finding.evidence["state"] == "unverified"
    assert finding.remedy == "jitid revoke --delegator system:ci"
    (done,) = fixed(world, "orphaned-delegator", limits=strict)
    assert done.credentials == 1
    assert world.verify(known.token).id == known.id
    with pytest.raises(InvalidCredentialError):
        world.verify(unknown.token)


def test_whom_the_directory_knows_by_a_subject_is_not_unknown(world: World) -> None:
    """This holds for any name that the ID token gave before the directory knew the subject."""
    proved = {"delegator": None, "proved_at": NOW, "proved_delegator": "user:z"}
    world.issue(**proved, proved_subject="https://id.example 1")
    strict = Thresholds(known_only=True)
    assert [one.subject for one in found(world, "orphaned-delegator", limits=strict)] == ["user:z"]
    world.know("user:zoe", aliases=("https://id.example 1",))
    assert found(world, "orphaned-delegator", limits=strict) == []
    world.issue(**proved, proved_subject="https://id.example 2", task="T2")
    (finding,) = found(world, "orphaned-delegator", limits=strict)
    assert (finding.subject, finding.credentials) == ("user:z", 1)


def test_many_disabled_delegators_end_in_one_transaction(world: World) -> None:
    for number in range(5):
        world.issue(delegator=f"user:{number}")
        world.know(f"user:{number}", disabled_at=NOW)
    (done,) = fixed(world, "orphaned-delegator")
    assert (len(done.findings), done.credentials) == (5, 5)


def test_a_row_that_contradicts_its_identity_ends_and_is_a_doubt(world: World) -> None:
    """Only an edited ledger has such a row."""
    world.issue(delegator="user:bob")
    world.know("user:bob", disabled_at=NOW)
    edit(world.path, "UPDATE identity SET delegator = (SELECT id FROM term WHERE text = 'planner')")
    told = [each for each in swept(world, "orphaned-delegator") if isinstance(each, Coverage)]
    assert not told[0].complete
    (done,) = fixing(world, "orphaned-delegator")
    assert isinstance(done, Remedied)
    assert found(world, "orphaned-delegator") == []


@pytest.mark.parametrize(
    ("owner", "suspended", "live", "severity", "remedy"),
    [
        ("user:bob", False, True, Severity.HIGH, "suspend"),
        ("user:nobody", False, False, Severity.HIGH, "suspend"),
        ("user:bob", True, True, Severity.HIGH, "suspend"),
        ("user:bob", True, False, Severity.LOW, "unregister"),
    ],
)
def test_an_agent_without_an_owner_is_as_grave_as_what_may_come_of_it(
    world: World, owner: str, suspended: bool, live: bool, severity: Severity, remedy: str
) -> None:
    world.know("user:bob", disabled_at=NOW - DAY)
    if live:
        world.issue(agent="nightly")
    world.register("nightly", owner=owner, suspended_at=NOW - 60 if suspended else None)
    (finding,) = found(world, "ownerless")
    assert (finding.severity, finding.credentials) == (severity, int(live))
    assert finding.remedy == f"jitid agent {remedy} nightly"
    assert finding.since == (NOW - DAY if owner == "user:bob" else None)
    assert fixing(world, "ownerless") == []


def test_a_review_counts_for_agents_in_service_alone(world: World) -> None:
    for name, more in (
        ("suspended", {"suspended_at": NOW}),
        ("over", {"unregistered_at": NOW}),
        ("due", {}),
    ):
        world.register(name, review_at=NOW, **more)
    assert [each.subject for each in found(world, "review-overdue")] == ["due"]


@pytest.mark.parametrize(
    ("allowed", "entitled", "left"),
    [
        (("repo:*:*",), ("repo:acme:read", "deploy:web"), ("repo:acme:read",)),
        (("a", "b"), ("b", "c"), ("b",)),
        (("repo:acme:*", "x"), ("repo:*:read", "x"), ("repo:acme:read", "x")),
        (("a",), (), ()),
        (("a",), ("b",), ()),
    ],
)
def test_what_is_proposed_for_a_record_is_within_it_and_its_owner(
    world: World, allowed: tuple[str, ...], entitled: tuple[str, ...], left: tuple[str, ...]
) -> None:
    world.know("user:alice", entitlements=entitled)
    world.register("nightly", scopes=allowed)
    (finding,) = found(world, "over-privileged")
    assert finding.evidence["uncovered"] == list(
        uncovered([Scope(each) for each in entitled], [Scope(each) for each in allowed])
    )
    words = shlex.split(finding.remedy or "")
    if left:
        assert words == [
            "jitid",
            "agent",
            "change",
            "nightly",
            *(f for each in left for f in ("--scope", each)),
        ]
        world.register("nightly", scopes=left, key=1)
        assert found(world, "over-privileged") == []
    else:
        assert words == ["jitid", "agent", "suspend", "nightly"]


@pytest.mark.deep
@pytest.mark.parametrize("name", ["over-privileged", "ownerless", "review-overdue", "orphaned-delegator"])
@pytest.mark.parametrize(
    "edited",
    [
        "UPDATE agent SET scopes = 'a::b* *'",
        "UPDATE agent SET scopes = x'ff'",
        "UPDATE agent SET name = '$(touch pwned)'",
        "UPDATE agent SET review_at = 'never'",
        "UPDATE delegator SET scopes = 'a:b*c'",
        "UPDATE delegator SET disabled_at = 'never'",
        "UPDATE delegator_name SET delegator = 99",
        "UPDATE delegator SET name = x'00'",
    ],
)
def test_a_directory_that_was_edited_is_a_doubt_and_no_bug(world: World, name: str, edited: str) -> None:
    world.issue(agent="nightly")
    world.know("user:alice", entitlements=("repo:*",), disabled_at=NOW)
    world.register("nightly", review_at=NOW, scopes=("deploy:*",))
    edit(world.path, edited)
    told = swept(world, name)
    assert any(isinstance(each, Coverage) for each in told)
    for finding in found(world, name):
        words = shlex.split(finding.remedy or "")
        assert words[0] == "jitid"
        assert "touch" not in words
    fixing(world, name)


def test_access_of_the_disabled_and_old_keys_stand(world: World) -> None:
    key = strict_json.dumps(signed.jwk(signed.ED25519))
    wanted = (
        AccessRequest("user:bob"),
        AccessRequest("system:ci", ("issuer",), 300 * DAY, key),
        AccessRequest("user:alice"),
    )
    bob, ci, _ = (world.authority.perform(GrantAccess(wanted=one)).access.id for one in wanted)
    assert found(world, "standing-access") == []
    world.know("user:bob", disabled_at=NOW)
    (finding,) = found(world, "standing-access")
    assert (finding.subject, finding.severity, finding.since) == (bob, Severity.HIGH, NOW)
    assert finding.severity is rule_of("standing-access").highest
    assert finding.remedy == f"jitid access revoke {bob}"
    limits = Thresholds(key_age=10)
    world.clock.now += 11
    assert [(one.subject, one.since) for one in found(world, "standing-access", limits=limits)] == [
        (bob, NOW),
        (ci, NOW + 10),
    ]
    world.authority.perform(RevokeAccess(ids=(bob, ci)))
    assert found(world, "standing-access", limits=limits) == []
