"""Policy drift: credentials that today's policy or directory would refuse; each distinct request is decided once."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jitid.capabilities.decisions import replay
from jitid.capabilities.directory.governance import directory_facts
from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.identity.filter_store import Filter
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.identity.validity import root_proof
from jitid.capabilities.sweep.finding import Coverage, Severity
from jitid.errors import ConfigurationError, InvalidCredentialError
from jitid.ledger.view import View
from jitid.model.credential import Credential
from jitid.policy.evaluate import Policy
from jitid.policy.policy_request import PolicyRequest
from jitid.values.ids import identity_id
from tests.builders import DAY, NOW, PERMIT_ALL, World, policed
from tests.capabilities.issue.office import PAY, POLICY, Office
from tests.capabilities.report.history import histories, live_through
from tests.capabilities.sweep.asking import fixed, fixing, found, swept
from tests.capabilities.sweep.cases import FORBIDS, change_policy


def drift(world: World) -> dict[str, int]:
    """Return the number of drifted credentials by the finding's subject."""
    return {each.subject: each.credentials for each in found(world, "policy-drift")}


def test_what_a_rule_refuses_is_one_finding_whatever_it_is(world: World) -> None:
    for task in ("T1", "T2", "T3"):
        world.issue(task=task, scopes=("deploy:web", "repo:acme:read"))
        world.issue(task=task, agent="other", scopes=("deploy:db",))
    quiet = world.issue(scopes=("repo:acme:read",))
    change_policy(world, FORBIDS)
    (finding,) = found(world, "policy-drift")
    assert (finding.subject, finding.severity, finding.credentials) == ("no-deploy", Severity.MEDIUM, 6)
    assert finding.evidence["requests"] == 2
    assert finding.summary.startswith("today's policy would refuse 6 live credentials, such as jti_")
    assert "rule `no-deploy` forbids it" in finding.summary
    assert finding.remedy == f"jitid sweep --fix --rule policy-drift --finding {finding.fingerprint}"
    (done,) = fixed(world, "policy-drift")
    assert (done.credentials, done.accepted) == (6, 0)
    assert world.verify(quiet.token).id == quiet.id
    assert drift(world) == {}


def test_it_ends_only_if_it_is_named(world: World) -> None:
    made = world.issue(scopes=("deploy:web",))
    change_policy(world, FORBIDS)
    assert not world.authority.perform(_foreseen("orphaned-task")).rules
    assert world.authority.perform(_foreseen("policy-drift")).radius.credentials == 1
    assert world.verify(made.token).id == made.id


def _foreseen(rule: str) -> Any:
    from jitid.capabilities.sweep.finding import Thresholds
    from jitid.capabilities.sweep.operations import ForeseeFix

    return ForeseeFix(rules=(rule,), limits=Thresholds())


def test_a_policy_that_cannot_be_read_is_missed_and_keeps_no_other_rule(world: World) -> None:
    world.issue(scopes=("deploy:web",))
    world.know("user:alice", disabled_at=NOW)

    def broken() -> Any:
        raise ConfigurationError("`x.cedar`, line 3: nonsense")

    # This is the state after a broken change of a policy file.
    world.authority._read_terms = broken
    world.authority._terms = None
    told = [each for each in swept(world, "policy-drift", "orphaned-delegator") if isinstance(each, Coverage)]
    assert {each.rule: each.missed for each in told} == {
        "orphaned-delegator": (),
        "policy-drift": ("today's policy cannot be evaluated: `x.cedar`, line 3: nonsense",),
    }
    assert [each.rule for each in found(world, "policy-drift", "orphaned-delegator")] == [
        "orphaned-delegator"
    ]
    (done,) = fixed(world, "policy-drift", "orphaned-delegator")
    assert done.rule == "orphaned-delegator"


def test_what_lacks_an_approval_alone_is_for_information(tmp_path: Path) -> None:
    with Office(tmp_path / "ledger", policy=PERMIT_ALL[0][1]) as office:
        made = office.issue(**PAY)
        office.terms = policed(office.terms, [("p.cedar", POLICY)])
        office.reopen()
        (finding,) = found(office, "policy-drift")
        assert (finding.severity, finding.subject) == (
            Severity.INFO,
            "pay-needs-security (approval by security)",
        )
        (done,) = fixed(office, "policy-drift")
        assert done.credentials == 1
        with pytest.raises(InvalidCredentialError):
            office.verify(made.token)


def test_what_was_approved_of_is_in_order(tmp_path: Path) -> None:
    with Office(tmp_path / "ledger") as office:
        office.grant(office.ask(**PAY))
        office.issue(**PAY)
        files = [("p.cedar", POLICY), ("more.cedar", FORBIDS)]
        office.terms = policed(office.terms, files)
        office.reopen()
        assert drift(office) == {}


def test_by_the_policy_that_decided_it_nothing_has_drifted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The policy is not even evaluated, unless the directory has changed since."""
    world.know("user:bob")
    # The directory changes with the next event.
    world.revoke(world.issue(task="T0").id)
    world.issue(scopes=("deploy:web",))
    asked: list[object] = []
    ask = replay.drift

    def counted(*args: Any) -> Any:
        asked.append(args)
        return ask(*args)

    monkeypatch.setattr(replay, "drift", counted)
    assert drift(world) == {}
    assert not asked
    world.know("user:carol")
    assert drift(world) == {}
    assert len(asked) == 1
    world.revoke(world.issue(task="T2").id)
    world.revoke(tasks=("T1",))
    world.issue(task="T3")
    assert drift(world) == {}
    assert len(asked) == 1
    change_policy(world, FORBIDS)
    assert drift(world) == {}
    assert len(asked) == 2


def test_a_delegator_who_became_known_is_asked_about_again(world: World) -> None:
    change_policy(
        world, '@id("strangers") forbid (principal, action, resource) when { context.delegator_known };'
    )
    world.issue()
    assert drift(world) == {}
    world.know("user:alice")
    assert drift(world) == {"strangers": 1}


@pytest.mark.parametrize(
    ("record", "rules"),
    [
        ({}, []),
        ({"sensitivity": "low"}, ["delegator-sensitivity"]),
        ({"entitlements": ("repo:*",)}, ["delegator-entitlement"]),
        ({"entitlements": ()}, ["delegator-entitlement"]),
        ({"entitlements": ("deploy:*", "repo:*:*")}, []),
        # Another rule reports this as an orphan.
        ({"sensitivity": "low", "disabled_at": NOW}, []),
    ],
)
def test_a_delegator_who_may_hand_out_less_now(
    world: World, record: dict[str, Any], rules: list[str]
) -> None:
    held = world.issue(delegator="user:bob", scopes=("deploy:web", "repo:acme:read"))
    other = world.issue(scopes=("deploy:web",))
    world.know("user:bob", **record)
    told = found(world, "policy-drift")
    assert [each.evidence["rules"] for each in told] == ([rules] if rules else [])
    if rules:
        (finding,) = told
        assert (finding.subject, finding.credentials) == ("delegator user:bob", 1)
        (done,) = fixed(world, "policy-drift")
        assert done.credentials == 1
        with pytest.raises(InvalidCredentialError):
            world.verify(held.token)
        assert world.verify(other.token).id == other.id


def test_details_of_whoever_is_limited_to_scopes_now(world: World) -> None:
    with_details = world.issue(delegator="user:bob", details=[{"type": "iam"}])
    other = world.issue(delegator="user:bob")
    world.know("user:bob", entitlements=("repo:*",))
    (finding,) = found(world, "policy-drift")
    assert (finding.evidence["rules"], finding.credentials) == (["delegator-entitlement"], 1)
    assert "authorization details" in finding.summary
    fixed(world, "policy-drift")
    with pytest.raises(InvalidCredentialError):
        world.verify(with_details.token)
    assert world.verify(other.token).id == other.id


@pytest.mark.parametrize(
    ("record", "rules"),
    [
        ({}, []),
        ({"scopes": ("deploy:*",)}, ["agent-scope"]),
        ({"scopes": ("deploy:*",), "kinds": ("opaque",)}, ["agent-kind", "agent-scope"]),
        ({"audiences": ("urn:db",)}, ["agent-audience"]),
        ({"suspended_at": NOW, "suspended_as": "odd"}, ["agent-suspended"]),
        ({"unregistered_at": NOW}, ["agent-unregistered"]),
        # A separate rule reports this.
        ({"review_at": NOW - DAY}, []),
        ({"concurrency": 1}, []),
    ],
)
def test_an_agent_that_may_hold_less_now(world: World, record: dict[str, Any], rules: list[str]) -> None:
    # An identity token is for the authority, whichever audiences its agent's record has.
    audiences = ("urn:api",) if "audiences" in record else ()
    for task in ("T1", "T2"):
        world.issue(agent="nightly", task=task, scopes=("deploy:web", "repo:acme:read"), audiences=audiences)
    within = world.issue(agent="daily", scopes=("repo:acme:read",))
    world.register("nightly", scopes=("deploy:*", "repo:*:*"))
    world.register("nightly", key=1, **{"scopes": ("deploy:*", "repo:*:*"), **record})
    told = found(world, "policy-drift")
    assert [each.evidence["rules"] for each in told] == ([rules] if rules else [])
    if rules:
        (finding,) = told
        assert (finding.subject, finding.credentials) == ("agent nightly", 2)
        (done,) = fixed(world, "policy-drift")
        assert done.credentials == 2
        assert world.verify(within.token).id == within.id


def test_a_kind_that_its_holder_may_obtain_is_beyond_the_record_too(world: World) -> None:
    """Kinds that were granted by default do not count, because a renewal omits them."""
    world.register("nightly", kinds=("jwt", "opaque", "ssh-cert"))
    world.issue(agent="nightly", task="T1", may_kind=("jwt",))
    usual = world.issue(agent="nightly", task="T2")
    more = world.issue(agent="nightly", task="T3", may_kind=("jwt", "ssh-cert"))
    world.register("nightly", kinds=("jwt",))
    (finding,) = found(world, "policy-drift")
    assert finding.evidence["reasons"] == ["agent `nightly` may have jwt only, not `ssh-cert`"]
    assert (finding.evidence["rules"], finding.credentials) == (["agent-kind"], 1)
    fixed(world, "policy-drift")
    with pytest.raises(InvalidCredentialError):
        world.verify(more.token)
    assert world.verify(usual.token).id == usual.id


def test_of_an_agent_just_those_end_that_its_record_refuses(world: World) -> None:
    wide = world.issue(agent="nightly", task="T1", scopes=("deploy:web",))
    narrow = world.issue(agent="nightly", task="T2", scopes=("repo:acme:read",))
    world.register("nightly", scopes=("repo:*:*",))
    (finding,) = found(world, "policy-drift")
    assert finding.evidence["reasons"] == ["outside the record of agent `nightly`: scope `deploy:web`"]
    (done,) = fixed(world, "policy-drift")
    assert done.credentials == 1
    with pytest.raises(InvalidCredentialError):
        world.verify(wide.token)
    assert world.verify(narrow.token).id == narrow.id


# For each attribute that a policy can read, the findings are the same as for decisions one by one.

_POLICIES = {
    "kind": 'context.kind == "jwt"',
    "names": '["planner", "a"].contains(context.agent) && context.delegator != Delegator::"user:bob"',
    "groups": 'context.delegator in Group::"ops" || principal.registered',
    "tasks": 'resource == Task::"T1" && context.minute < 30 || resource.purpose == "why"',
    "delegators": 'context.delegator.known && context.delegator.kind == "user"',
    "agent": 'principal == Agent::"planner"',
    "delegator": 'context.delegator_name == "user:bob" && context.sensitivity != "low"',
    "known": "context.delegator_known || context.agent_registered",
    "task": 'context.task like "T1*" && context.depth > 0',
    "lifetime": "context.lifetime > 900",
    "hour": "context.hour >= 13",
    "delegated": 'context.delegated && context.delegator_proof == "asserted"',
    "proof": 'context.delegator_proof == "asserted" && !context.has_purpose',
    "audience": 'context.audiences.contains("urn:b")',
}


@pytest.mark.deep
@settings(max_examples=40)
@given(steps=histories, name=st.sampled_from(sorted(_POLICIES)))
def test_what_is_refused_one_by_one_is_found_and_ends(steps: list[dict[str, Any]], name: str) -> None:
    rule = f'@id("new") forbid (principal, action == Action::"issue", resource) when {{ {_POLICIES[name]} }};'
    with TemporaryDirectory() as folder, World(Path(folder, "ledger")) as world:
        live_through(world, steps)
        # A history may end with days without an event. A sweep does not accept such a jump of the clock.
        with world.ledger.write(accept_clock=True) as transaction:
            transaction.append("note", {})
        change_policy(world, rule)
        refused = _one_by_one(world)
        findings = [each for each in found(world, "policy-drift") if each.picked_by[0] == "policy"]
        assert sum(each.credentials for each in findings) == len(refused)
        with world.ledger.read() as snapshot:
            keys = [int(key) for each in findings for key in each.picked_by[1:]]
            picked = replay.drifted(snapshot, world.terms.policy, None, keys)
            assert set(map(identity_id, picked)) == {one.id for one in refused}
        fixing(world, "policy-drift")
        assert not [each for each in found(world, "policy-drift") if each.picked_by[0] == "policy"]


def _one_by_one(world: World) -> list[Credential]:
    """Return the live credentials that would not be issued today, each decided separately."""
    with world.ledger.read() as snapshot:
        every = CredentialStore(snapshot).credentials(
            Filter(live=True), "issued_at", descending=False, after=None, limit=10_000
        )
        policy = Policy([*world.terms.policy._files])
        return [one for one in every if not policy.decide(_request(snapshot, one), explain=False).permit]


def _request(snapshot: View, one: Credential) -> PolicyRequest:
    return PolicyRequest(
        one.agent,
        one.delegator,
        root_proof(one, CredentialStore(snapshot).lineage(one.identity_key)),
        one.task,
        one.task_opener,
        one.purpose,
        one.sensitivity,
        one.kind,
        one.depth,
        one.scopes,
        one.audiences,
        one.expires_at - one.issued_at,
        one.issued_at,
        directory_facts(DirectoryStore(snapshot).entry(one.delegator, one.agent)),
    )


@pytest.mark.parametrize(
    "condition", ['resource.sensitivity == "moderate"', "principal is Agent", "resource is Task"]
)
def test_a_rule_that_tells_no_names_apart_is_asked_all_the_same(world: World, condition: str) -> None:
    world.issue(task="T1")
    world.issue(task="T2", agent="other")
    change_policy(
        world, f'@id("new") forbid (principal, action == Action::"issue", resource) when {{ {condition} }};'
    )
    assert list(drift(world).items()) == [("new", 2)]
