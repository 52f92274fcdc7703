"""Governance: the directory's limits bind each request, even if the policy permits more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.capabilities.directory import governance
from jitid.capabilities.directory.operations import ChangeAgent, DisableDelegator, ResumeAgent
from jitid.capabilities.directory.registry import StatedAgent
from jitid.capabilities.issue.operations import Issue, Renew
from jitid.config.settings import zone
from jitid.errors import PolicyDeniedError
from jitid.model.directory import DirectoryEntry
from jitid.model.request import RenewRequest
from jitid.model.task import SENSITIVITIES
from jitid.policy.policy_request import NO_DIRECTORY_FACTS, DirectoryFacts
from jitid.values.scope import Scope, uncovered
from jitid.values.secret import Secret
from jitid.values.strict_json import dumps, loads
from jitid.values.times import format_time
from tests.builders import NAMES, NOW, Made, World, delegator, recurring_agent, request


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[World]:
    """Return a new ledger that accepts only known delegators."""
    with World(tmp_path / "ledger", known_delegators_only=True) as world:
        yield world


def refused(world: World, **fields: Any) -> PolicyDeniedError:
    """Check that an issue is denied and audited; return the error."""
    with pytest.raises(PolicyDeniedError) as caught:
        world.issue(**fields)
    event = world.events()[-1]
    assert event["op"] == "denial"
    assert event["rules"] == list(caught.value.facts["rules"])
    return caught.value


def rules_of(world: World, **fields: Any) -> tuple[str, ...]:
    """Check that an issue is denied; return the rules."""
    return tuple(refused(world, **fields).facts["rules"])


def renewed(world: World, made: Made, **fields: Any) -> Made:
    """Renew a credential."""
    (one,) = (
        issued := world.authority.perform(Renew(request=RenewRequest(Secret.single(made.token), **fields)))
    ).credentials
    return Made(one.secret.reveal(), one.id, one.jti, issued)


def rules_of_renewal(world: World, made: Made) -> tuple[str, ...]:
    """Check that a renewal is denied; return the rules."""
    with pytest.raises(PolicyDeniedError):
        renewed(world, made)
    return tuple(world.events()[-1]["rules"])


def test_details_are_no_way_around_what_bounds_scopes(world: World) -> None:
    """Entitlements and agent records cannot permit authorization details: a request under such a limit gets none."""
    details = [{"type": "iam", "actions": ["root"]}]
    before = world.issue(details=details)
    world.know(entitlements=("repo:*",))
    assert rules_of(world, details=details) == ("delegator-entitlement",)
    assert rules_of_renewal(world, before) == ("delegator-entitlement",)
    world.know(entitlements=None)
    renewed(world, before)
    world.register("planner", scopes=("repo:*",))
    assert rules_of(world, details=details) == ("agent-scope",)
    world.check()


def test_how_many_are_asked_for_is_told_with_how_many_live(world: World) -> None:
    world.know()
    world.register("planner", concurrency=2)
    error = refused(world, copies=3)
    assert "has 0 live identities of at most 2, and 3 more were requested" in error.message


def _disable(world: World) -> None:
    world.know(disabled_at=NOW)


def _lower(world: World) -> None:
    world.know(sensitivity="low")


def _entitle_less(world: World) -> None:
    world.know(entitlements=("repo:read",))


def _entitle_to_nothing(world: World) -> None:
    world.know(entitlements=())


def _suspend(world: World) -> None:
    world.register(suspended_at=NOW, suspended_as="it went astray")


def _unregister(world: World) -> None:
    world.register(unregistered_at=NOW)


def _overdue(world: World) -> None:
    world.register(review_at=NOW)


def _other_kind(world: World) -> None:
    world.register(kinds=("opaque",))


def _other_audience(world: World) -> None:
    world.register(audiences=("urn:a", "urn:b"))


def _other_scopes(world: World) -> None:
    world.register(scopes=("repo:read", "log:*"))


AT = format_time(NOW)
CHANGES: dict[Callable[[World], None], tuple[str, str, str]] = {
    _disable: (
        "delegator-disabled",
        f"`user:alice` was disabled at {AT}",
        "jitid delegator show user:alice",
    ),
    _lower: (
        "delegator-sensitivity",
        "`user:alice` may delegate up to low, and the sensitivity is moderate",
        "name a delegator with a higher sensitivity limit",
    ),
    _suspend: (
        "agent-suspended",
        f"agent `planner` was suspended at {AT} (`it went astray`)",
        "jitid agent resume planner",
    ),
    _unregister: (
        "agent-unregistered",
        f"agent `planner` was unregistered at {AT}",
        "jitid agent register planner",
    ),
    _overdue: ("agent-overdue", f"agent `planner` was due for review at {AT}", "jitid agent review planner"),
    _other_kind: ("agent-kind", "agent `planner` may have opaque only, not `jwt`", "permitted kinds: opaque"),
    _other_audience: (
        "agent-audience",
        "agent `planner` may not have credentials for `urn:c`",
        "permitted audiences: urn:a, urn:b",
    ),
    _other_scopes: (
        "agent-scope",
        "outside the record of agent `planner`: scope `repo:*`",
        "permitted scopes: `repo:read`, `log:*`",
    ),
    _entitle_less: (
        "delegator-entitlement",
        "outside the entitlements of `user:alice`: scope `repo:*`",
        "permitted scopes: `repo:read`",
    ),
    _entitle_to_nothing: (
        "delegator-entitlement",
        "outside the entitlements of `user:alice`: scope `repo:*`",
        "permitted scopes: none",
    ),
}
SCOPES = ("repo:*",)
REACH = ("urn:c",)
"""A service that the record of the agent allows at first."""


@pytest.mark.parametrize("change", CHANGES)
def test_each_rule_refuses_what_was_issued_before_and_says_what_to_do(
    lenient: World, change: Callable[[World], None]
) -> None:
    """The directory is checked again at each issue, delegation and renewal."""
    rule, reason, hint = CHANGES[change]
    lenient.know()
    lenient.register(audiences=REACH)
    made = lenient.issue(scopes=SCOPES, may_audience=REACH)
    change(lenient)
    error = refused(lenient, scopes=SCOPES, may_audience=REACH)
    assert error.message == f"denied: rule `{rule}`: {reason}"
    assert error.hint is not None
    assert error.hint.endswith(hint)
    assert error.facts["reason"] == f"rule `{rule}`: {reason}"
    assert rules_of_renewal(lenient, made) == (rule,)
    assert lenient.verify(made.token).jti == made.jti


@pytest.mark.parametrize(
    "change", [change for change in CHANGES if CHANGES[change][0].startswith("delegator")]
)
def test_a_child_asks_the_directory_for_the_root_delegator(
    lenient: World, change: Callable[[World], None]
) -> None:
    lenient.know()
    parent = lenient.issue(scopes=SCOPES)
    child = lenient.issue(parent=parent.token, agent="coder", scopes=SCOPES)
    change(lenient)
    rule = CHANGES[change][0]
    assert rules_of(lenient, parent=child.token, agent="tester", scopes=SCOPES) == (rule,)
    assert rules_of_renewal(lenient, child) == (rule,)


@pytest.mark.parametrize("change", [change for change in CHANGES if CHANGES[change][0].startswith("agent")])
def test_a_child_asks_the_directory_for_the_agent_that_is_to_act(
    lenient: World, change: Callable[[World], None]
) -> None:
    lenient.register(audiences=REACH)
    parent = lenient.issue(agent="boss", scopes=SCOPES, may_audience=REACH)
    change(lenient)
    rule = CHANGES[change][0]
    wanted = {"parent": parent.token, "agent": "planner", "scopes": SCOPES, "may_audience": REACH}
    assert rules_of(lenient, **wanted) == (rule,)
    assert lenient.issue(parent=parent.token, agent="coder", scopes=SCOPES).issued.agent == "coder"


@pytest.mark.parametrize("change", [_suspend, _unregister, _overdue])
@pytest.mark.parametrize("depth", [1, 2])
def test_an_agent_out_of_service_delegates_nothing_at_any_depth(
    lenient: World, change: Callable[[World], None], depth: int
) -> None:
    chain = [lenient.issue(agent="planner")]
    for number in range(depth):
        chain.append(lenient.issue(parent=chain[-1].token, agent=f"a{number}"))
    change(lenient)
    for parent in chain:
        assert rules_of(lenient, parent=parent.token, agent="tester") == (CHANGES[change][0],)
    for made in chain:
        assert rules_of_renewal(lenient, made) == (CHANGES[change][0],)


@pytest.mark.parametrize("change", [_other_kind, _other_audience, _other_scopes])
@pytest.mark.parametrize("depth", [0, 2])
def test_what_is_obtained_anew_is_within_the_record_above_as_it_is_now(
    lenient: World, change: Callable[[World], None], depth: int
) -> None:
    """An issued credential stays valid. It obtains no right that the record has lost since, under any name."""
    reach = {"scopes": SCOPES, "may_audience": ("urn:a", "urn:c"), "may_kind": ("jwt", "opaque")}
    chain = [lenient.issue(agent="planner", **reach)]
    for number in range(depth):
        chain.append(lenient.issue(parent=chain[-1].token, agent=f"a{number}", **reach))
    change(lenient)
    below = {"parent": chain[-1].token, "agent": "coder"}
    lost: dict[str, dict[str, Any]] = {
        "agent-kind": {"kind": "jwt"},
        "agent-audience": {"audiences": ("urn:c",)},
        "agent-scope": {"scopes": SCOPES},
    }
    kept: dict[str, dict[str, Any]] = {
        "agent-kind": {"kind": "opaque", "scopes": SCOPES},
        "agent-audience": {"audiences": ("urn:a",)},
        "agent-scope": {"scopes": ("repo:read",)},
    }
    rule = CHANGES[change][0]
    assert rules_of(lenient, **below, **lost[rule]) == (rule,)
    assert lenient.issue(**below, **kept[rule])
    assert lenient.verify(chain[-1].token, "urn:a", NAMES.issuer)


def test_two_objections_are_both_told(lenient: World) -> None:
    lenient.know()
    _disable(lenient)
    _suspend(lenient)
    error = refused(lenient)
    assert error.facts["rules"] == ["delegator-disabled", "agent-suspended"]
    assert all(f"rule `{rule}`" in error.message for rule in error.facts["rules"])
    assert error.hint == (
        "name another delegator; for its record: jitid delegator show user:alice; and "
        "to resume the agent: jitid agent resume planner"
    )


def test_what_helps_against_a_disabled_owner_is_told_before_the_resumption(lenient: World) -> None:
    """Disabling an owner suspends its agents. An agent is resumed only with an owner that may delegate."""
    lenient.know("user:alice")
    lenient.know("user:bob")
    lenient.register(owner="user:alice")
    lenient.authority.perform(DisableDelegator(name="user:alice", most=None))
    error = refused(lenient, agent="planner", delegator="user:bob")
    assert error.hint == (
        "once its owner user:alice is enabled, or the agent has another owner: jitid agent resume planner"
    )
    with pytest.raises(PolicyDeniedError) as caught:
        lenient.authority.perform(ResumeAgent(name="planner"))
    assert str(caught.value.hint).startswith(
        "change the owner: jitid agent change planner --owner DELEGATOR; for its record: "
    )
    lenient.authority.perform(ChangeAgent(name="planner", stated=StatedAgent(owner="user:bob")))
    lenient.authority.perform(ResumeAgent(name="planner"))
    lenient.issue(agent="planner", delegator="user:bob")


def test_unknown_delegators_may_ask_unless_only_known_ones_may(strict: World, tmp_path: Path) -> None:
    error = refused(strict)
    assert error.facts["rules"] == ["delegator-unknown"]
    assert error.hint == "to add this delegator: jitid delegator add user:alice"
    strict.know()
    assert strict.issue().issued.delegator_state == "known"
    with World(tmp_path / "other") as world:
        assert world.issue().issued.delegator_state == "unverified"


def test_a_child_of_an_unknown_delegator_is_refused_once_only_known_ones_may_ask(world: World) -> None:
    parent = world.issue()
    world.terms = world.terms._replace(known_delegators_only=True)
    world.reopen()
    assert rules_of(world, parent=parent.token, agent="coder") == ("delegator-unknown",)
    assert rules_of_renewal(world, parent) == ("delegator-unknown",)


@pytest.mark.parametrize("highest", SENSITIVITIES)
@pytest.mark.parametrize("asked", SENSITIVITIES)
def test_a_delegator_hands_out_up_to_their_sensitivity(lenient: World, highest: str, asked: str) -> None:
    lenient.know(sensitivity=highest)
    fields = {"sensitivity": asked, "purpose": "x"}
    if SENSITIVITIES.index(asked) <= SENSITIVITIES.index(highest):
        assert lenient.issue(**fields).issued.sensitivity == asked
    else:
        assert rules_of(lenient, **fields) == ("delegator-sensitivity",)


def test_a_floor_counts_for_the_sensitivity_of_a_delegator(lenient: World) -> None:
    lenient.know(sensitivity="moderate")
    lenient.terms = lenient.terms._replace(scope_floors={"prod:*": "high"})
    lenient.reopen()
    assert rules_of(lenient, scopes=["prod:x"], sensitivity="low") == ("delegator-sensitivity",)


def test_what_the_directory_permits_is_still_for_the_policy_to_decide(world: World) -> None:
    world.know()
    world.register()
    strict = {"sensitivity": "high", "purpose": "x"}
    assert rules_of(world, **strict) == ("asserted-up-to-moderate",)


def test_narrowing_leaves_out_what_the_directory_does_not_permit(lenient: World) -> None:
    lenient.know(entitlements=("repo:*", "log:read"))
    lenient.register(scopes=("repo:read", "mail:send"))
    wanted = ("repo:read", "log:read", "mail:send")
    made = lenient.issue(scopes=wanted, allow_narrower=True)
    assert made.issued.scopes == ("repo:read",)
    assert made.issued.notes == (
        "without scope `mail:send`: outside the entitlements of `user:alice` (rule `delegator-entitlement`)",
        "without scope `log:read`: outside the record of agent `planner` (rule `agent-scope`)",
    )
    event = lenient.events()[-1]
    assert (event["scopes"], event["granted"]) == (["log:read", "mail:send", "repo:read"], ["repo:read"])
    # No scope is left, so that there is no narrower request to permit.
    error = refused(lenient, scopes=("mail:send",), allow_narrower=True)
    assert error.facts["rules"] == ["delegator-entitlement"]
    error = refused(lenient, scopes=("log:read",), allow_narrower=True)
    assert error.facts["rules"] == ["agent-scope"]


def test_renewing_narrows_to_what_the_directory_permits_now(lenient: World) -> None:
    lenient.know()
    made = lenient.issue(scopes=("log:read", "repo:read"))
    lenient.know(entitlements=("repo:*",))
    assert rules_of_renewal(lenient, made) == ("delegator-entitlement",)
    lenient.clock.now += 60
    assert renewed(lenient, made, allow_narrower=True).issued.scopes == ("repo:read",)


def test_no_scopes_are_within_entitle_to_nothing(lenient: World) -> None:
    lenient.know(entitlements=())
    assert lenient.issue().issued.scopes == ()


_SCOPES = st.lists(
    st.lists(st.sampled_from(["db", "d*", "*", "read"]), min_size=2, max_size=2).map(":".join), max_size=4
).map(tuple)


@given(entitled=st.none() | _SCOPES, held=_SCOPES, wanted=_SCOPES, narrow=st.booleans())
def test_nothing_is_permitted_beyond_either_limit(
    entitled: tuple[str, ...] | None, held: tuple[str, ...], wanted: tuple[str, ...], *, narrow: bool
) -> None:
    """The permitted scopes are the requested scopes within both limits."""
    person, agent = delegator(entitlements=entitled), recurring_agent(scopes=held)
    scopes = tuple(map(Scope, wanted))
    limits = [tuple(map(Scope, limit)) for limit in (entitled, held) if limit is not None]
    within = tuple(scope for scope in scopes if not any(uncovered(limit, [scope]) for limit in limits))
    notes: list[str] = []
    try:
        permitted = governance.permitted_scopes(person, agent, scopes, {}, notes, allow_narrower=narrow)
    except PolicyDeniedError:
        assert within != scopes
        assert not (narrow and within)
    else:
        assert permitted == within
        assert narrow or within == scopes
        assert len(notes) == len(scopes) - len(within)


def test_the_record_of_an_agent_bounds_each_lifetime(lenient: World) -> None:
    lenient.register(max_ttl=120)
    made = lenient.issue(ttl=600)
    assert made.issued.expires_at - made.issued.issued_at == 120
    assert made.issued.notes == (
        "the lifetime is 2m instead of 10m: limited by the record of agent `planner`",
    )
    lenient.clock.now += 100
    assert renewed(lenient, made).issued.expires_at == NOW + 220
    other = lenient.issue(agent="planner", task="T2", ttl=100)
    lenient.register(max_ttl=60)
    lenient.clock.now += 90
    assert renewed(lenient, other).issued.expires_at == NOW + 190 + 60


def test_an_agent_with_audiences_is_given_just_those(lenient: World) -> None:
    lenient.register(audiences=("urn:a", "urn:b"))
    assert lenient.issue(audiences=("urn:b",))
    assert rules_of(lenient, audiences=("urn:a", "urn:c")) == ("agent-audience",)


def test_an_agent_without_audiences_is_given_the_usual_ones(tmp_path: Path) -> None:
    with World(tmp_path / "ledger", audiences=("urn:api",)) as world:
        world.register()
        assert world.issue().issued.audiences == ("urn:api",)
        assert rules_of(world, audiences=("urn:other",)) == ("agent-audience",)
        assert rules_of(world, may_audience=("urn:other",)) == ("agent-audience",)


def test_an_agent_lives_so_often_at_a_time(lenient: World) -> None:
    lenient.register(concurrency=2)
    first = lenient.issue()
    # A renewed credential does not make a second identity.
    assert renewed(lenient, first)
    lenient.issue(task="T2", ttl=60)
    error = refused(lenient)
    assert error.facts["rules"] == ["agent-concurrency"]
    assert "agent `planner` has 2 live identities of at most 2" in error.message
    assert lenient.issue(agent="coder")
    lenient.clock.now += 60
    third = lenient.issue()
    assert rules_of(lenient) == ("agent-concurrency",)
    lenient.revoke(third.id)
    assert lenient.issue()


def test_what_an_agent_held_before_it_was_registered_counts(lenient: World) -> None:
    lenient.issue()
    lenient.issue(agent="coder")
    lenient.register(concurrency=1)
    assert rules_of(lenient) == ("agent-concurrency",)


def test_the_copies_of_one_request_and_its_neighbours_count(lenient: World) -> None:
    lenient.register(concurrency=3)
    lenient.issue()

    def issue(*copies: int) -> None:
        requests = tuple(request(task=f"N{n}", copies=number) for n, number in enumerate(copies))
        lenient.authority.perform(Issue(requests=requests))

    for copies in ((3,), (1, 2), (2, 1), (1, 1, 1)):
        with pytest.raises(PolicyDeniedError) as caught:
            issue(*copies)
        assert caught.value.facts["rules"] == ["agent-concurrency"]
        assert caught.value.position == len(copies) - 1
    issue(1, 1)
    with pytest.raises(PolicyDeniedError):
        issue(1)


def test_a_child_counts_as_an_identity_of_its_agent(lenient: World) -> None:
    lenient.register("coder", concurrency=1)
    parent = lenient.issue()
    lenient.issue(parent=parent.token, agent="coder")
    assert rules_of(lenient, parent=parent.token, agent="coder") == ("agent-concurrency",)
    lenient.revoke(parent.id)
    assert lenient.issue(agent="coder")


def test_an_event_tells_the_standing_and_the_zone(lenient: World) -> None:
    lenient.issue()
    assert not {"standing", "zone"} & lenient.events()[-1].keys()
    lenient.know(groups=("crew", "sre"), manager="user:boss")
    lenient.register(owner="user:bob")
    lenient.terms = lenient.terms._replace(zone=zone("Europe/Berlin"), zone_name="Europe/Berlin")
    lenient.reopen()
    made = lenient.issue()
    told = {
        "known": True,
        "groups": ["crew", "sre"],
        "manager": "user:boss",
        "registered": True,
        "owner": "user:bob",
    }
    assert lenient.events()[-1]["standing"] == told
    assert lenient.events()[-1]["zone"] == "Europe/Berlin"
    renewed(lenient, made)
    assert lenient.events()[-1]["standing"] == told
    lenient.register(suspended_at=NOW)
    refused(lenient)
    assert lenient.events()[-1]["standing"] == told
    lenient.register(unregistered_at=NOW)
    refused(lenient)
    assert lenient.events()[-1]["standing"] == {name: told[name] for name in ("known", "groups", "manager")}


_NAMES = st.none() | st.sampled_from(["user:bob", "system:ci"])
_STANDINGS = st.builds(
    DirectoryFacts,
    st.booleans(),
    st.lists(st.sampled_from(["a", "b", "c"]), unique=True).map(sorted).map(tuple),
    _NAMES,
    st.booleans(),
    _NAMES,
)


@given(_STANDINGS)
def test_a_standing_is_read_back_as_it_was_told(standing: DirectoryFacts) -> None:
    """The standing survives the JSON text of an event."""
    told = governance.recorded_facts(standing)
    assert (told is None) is (standing == NO_DIRECTORY_FACTS)
    assert governance.read_directory_facts(None if told is None else loads(dumps(told))) == standing


def test_the_policy_sees_what_the_directory_has(tmp_path: Path) -> None:
    text = """@id("crew") permit (principal, action == Action::"issue", resource) when {
        context.delegator in Group::"crew" && context.delegator.manager == Delegator::"user:boss" &&
        principal.registered && principal.owner == context.delegator };"""
    with World(tmp_path / "ledger", policy=(("crew.cedar", text),)) as world:
        assert rules_of(world) == ("default-deny",)
        world.know(groups=("crew",), manager="user:boss")
        assert rules_of(world) == ("default-deny",)
        world.register(owner="user:alice")
        assert world.issue()
        world.know(groups=("sre",))
        assert rules_of(world) == ("default-deny",)


def test_a_disabled_delegator_is_none_of_the_strangers() -> None:
    """A policy that requires known delegators permits a disabled one. The directory refuses it before."""
    entry = DirectoryEntry(delegator(disabled_at=NOW), recurring_agent(unregistered_at=NOW), 0)
    assert governance.directory_facts(entry) == DirectoryFacts(known=True)
