"""Tests of the model, by examples derived by hand from the promises, and short runs of the machine on each backend."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.machine import drivers
from tests.machine.drivers import Backend
from tests.machine.model import (
    DENIED,
    FORBIDDEN,
    INVALID,
    LEDGER,
    MISSING,
    USAGE,
    Accepted,
    Credential,
    MayAct,
    Model,
    Outcome,
    Refused,
    Request,
    Rights,
    audience_covers,
    covers,
    intersection,
)
from tests.machine.running import run

NOW = 1_000_000
API, DB = "https://api.example.com", "https://db.example.com"
ALICE, BOB, OLGA, RITA, SVC = "user:alice", "user:bob", "user:olga", "user:rita", "system:svc"
ACTIONS = ("repo:read", "repo:write", "db:drop")


@pytest.fixture
def model() -> Model:
    """Return a ledger with an authority, and access for alice, bob, an administrator, a responder and a service."""
    made = Model(NOW)
    for name, roles in ((ALICE, ()), (BOB, ()), (OLGA, ("admin",)), (RITA, ("responder",)), (SVC, ())):
        person = made.person(name)
        person.access, person.roles, person.proof = True, frozenset(roles), "credential"
        person.known = name in (ALICE, BOB)
    return made


def issue(
    model: Model, key: str, *scopes: str, caller: str = ALICE, root: str | None = None, **more: object
) -> Credential:
    """Issue on alice's task T1, and return the credential."""
    request = Request(agent="planner", scopes=frozenset(scopes), task="T1", delegator=root or caller)
    return made(model.issue(caller, key, request._replace(**more)))  # type: ignore[arg-type]


def child(model: Model, key: str, parent: str, *scopes: str, caller: str = ALICE, **more: object) -> Outcome:
    """Delegate from a credential."""
    request = Request(agent="coder", scopes=frozenset(scopes), parent=parent)
    return model.issue(caller, key, request._replace(**more))  # type: ignore[arg-type]


def made(outcome: Outcome) -> Credential:
    """Return the credential that a step made."""
    assert isinstance(outcome, Accepted), outcome
    assert outcome.made is not None
    return outcome.made


def refused(outcome: Outcome, *statuses: int) -> None:
    """Assert that a step is refused, and may have each of these statuses."""
    assert isinstance(outcome, Refused), outcome
    assert set(statuses) <= outcome.statuses, outcome


def allowed(model: Model, key: str) -> set[str]:
    """Return the actions that a token allows."""
    return set(model.rights(key, ACTIONS).actions)


# Scopes and audiences


@pytest.mark.parametrize(
    ("holder", "wanted", "expected"),
    [
        ("repo:*", "repo:acme", True),
        ("repo:*", "repo:acme:read", False),
        ("*:read", "repo:read", True),
        ("re*:read", "repo:read", True),
        ("repo:read", "repo:*", False),
        ("repo:a*", "repo:ab*", True),
        ("repo:ab*", "repo:a*", False),
    ],
)
def test_a_scope_covers_as_many_segments_each_equal_or_behind_a_star(
    holder: str, wanted: str, expected: bool
) -> None:
    assert covers(holder, wanted) is expected


def test_an_intersection_holds_what_both_cover() -> None:
    assert intersection({"repo:*", "db:drop"}, {"repo:read", "ssh:x"}) == {"repo:read"}
    assert intersection({"repo:*"}, {"db:*"}) == frozenset()


@pytest.mark.parametrize(
    ("entry", "audience", "expected"),
    [
        (API, API, True),
        ("https://*.example.com", API, True),
        ("https://*.example.com", "https://a.b.example.com", False),
        ("https://*.example.com", "https://example.com", False),
        ("https://*.example.com", "http://api.example.com", False),
        ("https://*.example.com", "https://api.example.com:444", False),
        ("payments", "payments", True),
    ],
)
def test_a_star_in_may_audience_stands_for_one_whole_label(entry: str, audience: str, expected: bool) -> None:
    assert audience_covers(entry, audience) is expected


# Promise 1: bounded


def test_a_credential_is_dead_at_its_expiry_and_not_before(model: Model) -> None:
    issue(model, "c1", "repo:*", ttl=60)
    model.step_clock(59)
    assert model.rights("c1").valid
    model.step_clock(1)
    assert not model.rights("c1").valid


def test_a_lifetime_is_the_least_of_request_policy_task_and_parent(model: Model) -> None:
    assert issue(model, "c1", ttl=7200).lifetime == 3600
    assert issue(model, "c2", ttl=7200, task="T2", deadline=1000).lifetime == 1000
    assert issue(model, "c3", ttl=100).lifetime == 100
    assert made(child(model, "c4", "c3", ttl=900)).lifetime == 100


def test_a_child_holds_no_more_than_its_parent(model: Model) -> None:
    issue(model, "c1", "repo:*")
    refused(child(model, "c2", "c1", "db:drop"), DENIED)
    assert made(child(model, "c3", "c1", "repo:read", "db:drop", allow_narrower=True)).scopes == {"repo:read"}
    refused(child(model, "c4", "c1", "db:drop", allow_narrower=True), DENIED)


def test_agents_stand_three_deep_and_no_deeper_than_the_policy_lets_them(model: Model) -> None:
    issue(model, "c0", "repo:*")
    for depth in range(1, 5):
        made(child(model, f"c{depth}", f"c{depth - 1}", "repo:*"))
    refused(child(model, "c5", "c4", "repo:*"), DENIED)


# Promise 2: a revocation ends all descendants


def test_revoking_ends_what_is_below_a_dead_intermediate(model: Model) -> None:
    issue(model, "c1", "repo:*")
    made(child(model, "c2", "c1", "repo:*"))
    made(child(model, "c3", "c2", "repo:read"))
    issue(model, "c4", "repo:*", task="T2")
    model.credentials["c2"].identity.ended = True
    assert isinstance(model.revoke(RITA, credential="c1"), Accepted)
    assert not model.rights("c3").valid
    assert model.rights("c4").valid


def test_selectors_of_different_sorts_intersect(model: Model) -> None:
    issue(model, "c1", "repo:*")
    made(child(model, "c2", "c1"))
    issue(model, "c3", task="T2")
    assert isinstance(model.revoke(RITA, agent="planner", task=(ALICE, "T2")), Accepted)
    assert [model.rights(key).valid for key in ("c1", "c2", "c3")] == [True, True, False]
    assert isinstance(model.revoke(RITA, delegator="agent:planner"), Accepted)
    assert [model.rights(key).valid for key in ("c1", "c2")] == [True, False]
    refused(model.revoke(RITA, agent="nobody"), MISSING)


def test_a_retired_task_ends_with_all_below_and_its_name_is_not_used_again(model: Model) -> None:
    issue(model, "c1", "repo:*")
    made(child(model, "c2", "c1", task="T1/2"))
    assert isinstance(model.retire(ALICE, ALICE, "T1"), Accepted)
    assert not model.rights("c2").valid
    refused(model.issue(ALICE, "c3", Request("planner", task="T1", delegator=ALICE)), DENIED)


# Promise 3: an ended credential stays invalid


def test_what_has_expired_by_the_mark_stays_dead_when_the_clock_goes_back(model: Model) -> None:
    issue(model, "c1", ttl=60)
    model.step_clock(60)
    model.write()
    model.step_clock(-50)
    assert not model.rights("c1").valid


def test_a_restored_ledger_ends_what_lived_in_it_and_knows_nothing_newer(model: Model) -> None:
    issue(model, "c1", "repo:*")
    old = model.backup()
    issue(model, "c2", "repo:*")
    model.restore(old)
    assert not model.rights("c1").valid
    assert not model.rights("c2").valid
    model.grant_access(LEDGER, ALICE)
    refused(model.issue(ALICE, "c3", Request("planner", task="T1", delegator=ALICE)), DENIED)


# Promise 13: a right follows a line


def test_a_narrow_attachment_never_stands_for_the_wide_credential_beside_it(model: Model) -> None:
    issue(model, "c1", "repo:*", "db:*")
    made(model.attach(ALICE, "c2", "c1", scopes=frozenset({"repo:read"}), names_services=False))
    made(model.renew(ALICE, "c3", "c1"))
    assert allowed(model, "c2") == {"repo:read"}
    refused(child(model, "c4", "c2", "db:drop"), DENIED)
    made(child(model, "c5", "c2", "repo:read"))


def test_renewing_an_attachment_leaves_the_other_line_alone(model: Model) -> None:
    issue(model, "c1", "repo:*")
    made(model.attach(ALICE, "c2", "c1", scopes=frozenset({"repo:read"}), names_services=False))
    made(child(model, "c3", "c1", "repo:write"))
    made(model.renew(ALICE, "c4", "c2"))
    model.step_clock(31)
    assert allowed(model, "c1") == {"repo:read", "repo:write"}
    assert allowed(model, "c3") == {"repo:write"}
    assert not model.rights("c2").valid


def test_a_superseded_credential_means_itself_and_its_head_for_the_overlap(model: Model) -> None:
    issue(model, "c1", "repo:*", "db:*")
    model.entitle(LEDGER, ALICE, frozenset({"repo:*"}))
    refused(model.renew(ALICE, "c2", "c1"), DENIED)
    made(model.renew(ALICE, "c2", "c1", allow_narrower=True))
    model.entitle(LEDGER, ALICE, None)
    assert allowed(model, "c1") == {"repo:read", "repo:write"}
    model.step_clock(29)
    assert model.rights("c1").valid
    model.step_clock(1)
    assert not model.rights("c1").valid
    assert model.rights("c2").valid


def test_a_second_renewal_is_refused_whoever_asks(model: Model) -> None:
    issue(model, "c1", "repo:*")
    made(model.renew(ALICE, "c2", "c1"))
    refused(model.renew(ALICE, "c3", "c1"), DENIED)
    refused(model.renew("c1", "c3", "c1"), DENIED)
    refused(model.renew(LEDGER, "c3", "c1"), DENIED)


def test_a_repeated_renewal_leaves_one_head(model: Model) -> None:
    issue(model, "c1", "repo:*")
    made(model.renew(ALICE, "c2", "c1"))
    made(model.repeat("c3", "c2"))
    assert [model.rights(key).valid for key in ("c1", "c2", "c3")] == [True, False, True]
    assert model.credentials["c1"].line.head.key == "c3"


def test_a_child_with_a_scope_that_the_head_no_longer_holds_is_not_valid_as_a_whole(model: Model) -> None:
    issue(model, "c1", "repo:*", "db:*")
    made(child(model, "c2", "c1", "repo:read", "db:drop"))
    made(child(model, "c3", "c1", "repo:read"))
    model.entitle(LEDGER, ALICE, frozenset({"repo:*"}))
    made(model.renew(ALICE, "c4", "c1", allow_narrower=True))
    model.entitle(LEDGER, ALICE, None)
    assert not model.rights("c2").valid
    assert allowed(model, "c3") == {"repo:read"}


def test_a_child_ends_with_the_head_of_the_line_it_was_made_from(model: Model) -> None:
    issue(model, "c1", "repo:*", ttl=100)
    made(child(model, "c2", "c1", "repo:read"))
    made(model.renew(ALICE, "c3", "c1", ttl=40))
    model.step_clock(40)
    assert not model.rights("c3").valid
    assert not model.rights("c2").valid


def test_an_attachment_and_a_renewal_are_given_no_longer_life(model: Model) -> None:
    issue(model, "c1", "repo:*", ttl=20)
    assert made(model.attach(ALICE, "c2", "c1", names_services=False)).lifetime == 20
    model.step_clock(10)
    assert made(model.renew(ALICE, "c3", "c1", ttl=900)).lifetime == 20
    made(model.attach(ALICE, "c4", "c3", ttl=15, names_services=False))
    model.step_clock(10)
    # The attachment is limited by the head of the line from which it was made.
    assert made(model.renew(ALICE, "c5", "c4")).expires == NOW + 30
    model.step_clock(1)
    refused(model.renew(ALICE, "c6", "c5"), DENIED)


# Promise 14: a presented token is not a held token


def test_a_service_token_counts_for_nothing_at_an_authority(model: Model) -> None:
    issue(model, "c1", "repo:*", audiences=frozenset({API}))
    refused(model.renew(SVC, "c2", "c1"), DENIED, FORBIDDEN, INVALID)
    refused(model.attach(SVC, "c2", "c1", audiences=frozenset({API})), FORBIDDEN)
    refused(child(model, "c2", "c1", "repo:read", caller=SVC, audiences=frozenset({API})), FORBIDDEN)
    refused(model.hand_back(SVC, "c1", "c1"), FORBIDDEN)
    refused(model.issue("c1", "c2", Request("x", task="T9", delegator=ALICE)), FORBIDDEN)
    assert model.rights("c1").valid


def test_beside_the_ledger_a_service_token_is_renewed_and_stays_one(model: Model) -> None:
    issue(model, "c1", "repo:*", audiences=frozenset({API}))
    assert made(model.renew(LEDGER, "c2", "c1")).audiences == {API}


def test_an_agent_never_becomes_a_root(model: Model) -> None:
    issue(model, "c1", "repo:*")
    refused(model.issue("c1", "c2", Request("planner", task="T2", delegator=ALICE)), DENIED, FORBIDDEN)


def test_may_audience_says_for_which_services_children_are(model: Model) -> None:
    issue(model, "c1", "repo:*", may_audience=frozenset({"https://*.example.com"}))
    assert made(child(model, "c2", "c1", audiences=frozenset({API}))).audiences == {API}
    refused(child(model, "c3", "c1", audiences=frozenset({"https://api.other.example"})), DENIED)
    made(child(model, "c4", "c1", may_audience=frozenset({API})))
    refused(child(model, "c5", "c4", audiences=frozenset({DB})), DENIED)
    issue(model, "c6", "repo:*")
    refused(child(model, "c7", "c6", audiences=frozenset({API})), DENIED)
    both = Request("planner", task="T1", delegator=ALICE, audiences=frozenset({API}))
    refused(model.issue(ALICE, "c9", both._replace(may_audience=frozenset({DB}))), USAGE)
    may = (MayAct("system:gateway", frozenset({DB})),)
    refused(child(model, "c9", "c4", audiences=frozenset({API}), may_act=may), DENIED)
    refused(model.attach(ALICE, "c8", "c1"), USAGE)


def test_a_service_exchanges_what_it_was_shown_where_grant_and_token_say_so(model: Model) -> None:
    gateway = model.person("system:gateway")
    gateway.access, gateway.audiences = True, frozenset({API})
    may = (MayAct("system:gateway", frozenset({DB})),)
    issue(model, "c1", "repo:*", audiences=frozenset({API}), may_act=may, ttl=40)
    issue(model, "c2", "repo:*", audiences=frozenset({API}))
    wanted = frozenset({"repo:read"})
    got = made(model.exchange_shown("system:gateway", "c3", "c1", DB, wanted))
    assert (got.identity.agent, got.lifetime, got.audiences) == ("gateway", 40, frozenset({DB}))
    assert allowed(model, "c3") == {"repo:read"}
    refused(model.exchange_shown("system:gateway", "c4", "c2", DB, wanted), FORBIDDEN)
    refused(model.exchange_shown("system:gateway", "c4", "c1", "https://other.example", wanted), FORBIDDEN)
    refused(model.exchange_shown(SVC, "c4", "c1", DB, wanted), FORBIDDEN)
    refused(model.exchange_shown("system:gateway", "c4", "c3", DB, wanted), FORBIDDEN)
    refused(model.renew(LEDGER, "c4", "c3"), DENIED)
    store = model.person("system:store")
    store.access, store.audiences = True, frozenset({DB})
    chain = (*may, MayAct("system:store", frozenset({API})))
    issue(model, "c5", "repo:*", audiences=frozenset({API}), may_act=chain)
    refused(model.exchange_shown("system:store", "c6", "c5", API, wanted), FORBIDDEN)
    made(model.exchange_shown("system:gateway", "c6", "c5", DB, wanted))
    refused(model.exchange_shown("system:gateway", "c7", "c6", DB, wanted), FORBIDDEN)
    assert made(model.exchange_shown("system:store", "c7", "c6", API, wanted)).may_act == ()
    assert model.answers("system:gateway", "c1")
    assert not model.answers("system:gateway", "c3")


# Promise 18: kinds are narrowed


def test_a_child_is_of_a_kind_that_its_parent_may_give(model: Model) -> None:
    issue(model, "c1", "repo:*", may_kind=frozenset({"jwt"}))
    refused(child(model, "c2", "c1", "repo:read", kind="opaque"), DENIED)
    refused(child(model, "c2", "c1", "repo:read", may_kind=frozenset({"opaque"})), DENIED)
    refused(model.attach(ALICE, "c2", "c1", kind="opaque", names_services=False), DENIED)
    issue(model, "c3", "repo:*")
    refused(child(model, "c4", "c3", kind="ssh-cert"), DENIED)


# Promise 15: children inherit proof and sensitivity


def test_the_proof_of_a_child_is_the_roots(model: Model) -> None:
    model.person(ALICE).proof = "asserted"
    issue(model, "c1", "repo:*")
    assert made(child(model, "c2", "c1")).identity.proof == "asserted"


def test_a_child_is_no_more_sensitive_than_its_parent(model: Model) -> None:
    issue(model, "c1", "repo:*")
    refused(child(model, "c2", "c1", task="T1/2", sensitivity="high", purpose=True), DENIED)
    issue(model, "c3", task="T3", sensitivity="high", purpose=True)
    low = made(child(model, "c4", "c3", task="T3/4", sensitivity="low", purpose=True))
    assert low.identity.sensitivity == "high"
    assert low.lifetime <= 900


def test_high_needs_a_purpose_a_proof_and_somebody_known_and_no_wildcard(model: Model) -> None:
    high = Request("planner", task="T2", delegator=ALICE, sensitivity="high", purpose=True)
    made(model.issue(ALICE, "c1", high))
    refused(model.issue(ALICE, "c2", high._replace(task="T3", purpose=False)), DENIED)
    refused(model.issue(ALICE, "c3", high._replace(task="T4", scopes=frozenset({"repo:*"}))), DENIED)
    model.person(ALICE).known = False
    refused(model.issue(ALICE, "c4", high._replace(task="T5")), DENIED)


# Promise 16: names are not claims


def test_registering_a_name_ends_what_lives_under_it(model: Model) -> None:
    issue(model, "c1", "repo:*", agent="deploy-bot")
    made(child(model, "c2", "c1", "repo:read"))
    assert isinstance(model.register(OLGA, "deploy-bot", ALICE, frozenset({"repo:*"})), Accepted)
    assert not model.rights("c1").valid
    assert not model.rights("c2").valid


@pytest.mark.parametrize(
    ("owner", "may_use", "lives"), [(ALICE, (), True), (BOB, (), False), (BOB, (ALICE,), True)]
)
def test_a_name_that_is_registered_again_is_used_on_by_those_whom_its_record_lets(
    model: Model, owner: str, may_use: tuple[str, ...], lives: bool
) -> None:
    model.register(OLGA, "deploy-bot", ALICE, frozenset({"repo:*"}))
    issue(model, "c1", "repo:*", agent="deploy-bot")
    assert isinstance(model.unregister(OLGA, "deploy-bot", keep_live=True), Accepted)
    assert model.rights("c1").valid
    refused(model.renew(ALICE, "c2", "c1"), DENIED)
    refused(child(model, "c3", "c1", "repo:read"), DENIED)
    model.register(OLGA, "deploy-bot", owner, frozenset({"repo:*"}), may_use=frozenset(may_use))
    assert model.rights("c1").valid == lives


def test_a_record_limits_the_kinds_of_whatever_comes_of_it(model: Model) -> None:
    model.register(OLGA, "deploy-bot", ALICE, frozenset({"repo:*"}), kinds=frozenset({"jwt"}))
    request = Request("deploy-bot", frozenset({"repo:*"}), task="T1", delegator=ALICE)
    refused(model.issue(ALICE, "c1", request._replace(may_kind=frozenset({"jwt", "opaque"}))), DENIED)
    issue(model, "c2", "repo:*", agent="deploy-bot")
    refused(child(model, "c3", "c2", "repo:read", kind="opaque"), DENIED)
    made(child(model, "c4", "c2", "repo:read"))


def test_a_registered_name_is_for_its_owner(model: Model) -> None:
    model.register(OLGA, "deploy-bot", ALICE, frozenset({"repo:*"}))
    issue(model, "c1", "repo:*", agent="deploy-bot")
    request = Request("deploy-bot", task="T1", delegator=BOB)
    refused(model.issue(BOB, "c2", request), DENIED, FORBIDDEN)
    made(child(model, "c3", "c1", "repo:read", agent="deploy-bot"))


def test_suspending_an_agent_ends_what_it_holds_and_delegated(model: Model) -> None:
    model.register(OLGA, "deploy-bot", ALICE, frozenset({"repo:*"}))
    issue(model, "c1", "repo:*", agent="deploy-bot")
    made(child(model, "c2", "c1", "repo:read"))
    assert isinstance(model.suspend(OLGA, "deploy-bot"), Accepted)
    assert not model.rights("c2").valid
    refused(model.issue(ALICE, "c3", Request("deploy-bot", task="T1", delegator=ALICE)), DENIED)
    assert isinstance(model.resume(OLGA, "deploy-bot"), Accepted)
    assert not model.rights("c1").valid
    issue(model, "c4", "repo:*", agent="deploy-bot")


# Promise 17: a task belongs to its opener


def test_names_of_tasks_are_unique_for_each_opener(model: Model) -> None:
    issue(model, "c1", "repo:*")
    issue(model, "c2", "repo:*", caller=BOB, sensitivity="low")
    assert isinstance(model.retire(BOB, BOB, "T1"), Accepted)
    assert model.rights("c1").valid
    refused(model.retire(BOB, ALICE, "T1"), FORBIDDEN)


def test_the_agent_at_whose_request_a_task_was_opened_retires_it_after_a_renewal_too(model: Model) -> None:
    issue(model, "c1", "repo:*")
    refused(child(model, "c2", "c1", "repo:*", caller="c1", task="T2"), DENIED)
    made(child(model, "c2", "c1", "repo:*", caller="c1", task="T1/2"))
    refused(model.retire("c1", ALICE, "T1"), DENIED)
    refused(model.retire("c2", ALICE, "T1/2"), DENIED)
    made(model.renew("c1", "c3", "c1"))
    issue(model, "c4", "repo:*", task="T1/2")
    refused(model.retire("c3", ALICE, "T1/2"), DENIED)
    model.credentials["c4"].ended = True
    assert isinstance(model.retire("c3", ALICE, "T1/2"), Accepted)
    assert model.rights("c3").valid


def test_who_shares_a_task_lets_others_join_and_not_retire(model: Model) -> None:
    issue(model, "c1", "repo:*")
    assert isinstance(model.share(ALICE, ALICE, "T1", BOB), Accepted)
    own = issue(model, "c2", "repo:*", caller=BOB, task="T2")
    assert own.identity.task.owner == BOB
    joined = issue(model, "c3", "repo:*", caller=BOB, task=f"{ALICE}/T1")
    assert joined.identity.task is model.credentials["c1"].identity.task
    again = issue(model, "c4", "repo:*", caller=BOB)
    assert again.identity.task is joined.identity.task
    refused(model.retire(BOB, ALICE, "T1"), FORBIDDEN)


def test_a_share_that_was_not_accepted_moves_nobody(model: Model) -> None:
    issue(model, "c1", "repo:*", sensitivity="low")
    model.share(ALICE, ALICE, "T1", BOB)
    assert issue(model, "c2", "repo:*", caller=BOB).identity.task.owner == BOB


def test_a_task_that_was_given_is_the_other_ones(model: Model) -> None:
    issue(model, "c1", "repo:*", sensitivity="low")
    refused(model.give(ALICE, ALICE, "T1", BOB), DENIED)
    model.share(ALICE, ALICE, "T1", BOB)
    refused(model.give(ALICE, ALICE, "T1", BOB), DENIED)
    joined = issue(model, "c2", "repo:*", caller=BOB, task=f"{ALICE}/T1")
    assert joined.identity.sensitivity == "moderate"
    assert isinstance(model.give(ALICE, ALICE, "T1", BOB), Accepted)
    refused(model.retire(ALICE, BOB, "T1"), FORBIDDEN)
    assert isinstance(model.retire(BOB, BOB, "T1"), Accepted)
    assert not model.rights("c1").valid


# Approvals, the directory, and the right to revoke


def test_an_approval_is_for_one_exact_request_and_one_use(model: Model) -> None:
    sam = model.person("user:sam")
    sam.known, sam.access, sam.groups = True, True, frozenset({"security"})
    request = Request("planner", frozenset({"pay:out"}), task="T1", delegator=ALICE)
    refused(model.issue(ALICE, "c1", request), DENIED)
    refused(model.approve(ALICE, ALICE, request), FORBIDDEN)
    refused(model.approve(BOB, ALICE, request), FORBIDDEN)
    assert isinstance(model.approve("user:sam", ALICE, request), Accepted)
    refused(model.issue(ALICE, "c1", request._replace(ttl=60)), DENIED)
    made(model.issue(ALICE, "c1", request))
    refused(model.issue(ALICE, "c2", request), DENIED)
    refused(model.renew(ALICE, "c3", "c1"), DENIED)
    assert model.rights("c1", ["pay:out"]).actions == {"pay:out"}


def test_a_disabled_delegator_ends_with_everything_below_and_access(model: Model) -> None:
    issue(model, "c1", "repo:*")
    made(child(model, "c2", "c1", "repo:read"))
    assert isinstance(model.disable(OLGA, ALICE), Accepted)
    assert not model.rights("c2").valid
    refused(model.issue(ALICE, "c3", Request("planner", task="T1", delegator=ALICE)), FORBIDDEN)
    model.enable(OLGA, ALICE)
    assert not model.rights("c1").valid


def test_entitlements_bound_what_is_used_and_not_what_is_valid(model: Model) -> None:
    issue(model, "c1", "repo:*", "db:*")
    model.entitle(OLGA, ALICE, frozenset({"repo:read"}))
    assert model.rights("c1", ACTIONS) == Rights(True, frozenset({"repo:read"}))


def test_who_may_revoke_is_a_responder_the_holder_above_the_requester_and_the_delegator(model: Model) -> None:
    issue(model, "c1", "repo:*")
    made(child(model, "c2", "c1", "repo:*"))
    issue(model, "c3", "repo:*", caller=BOB)
    refused(model.revoke(BOB, credential="c1"), FORBIDDEN)
    refused(model.revoke("c2", credential="c1"), FORBIDDEN)
    refused(model.hand_back("c2", "c2", "c1"), DENIED)
    assert isinstance(model.revoke("c1", credential="c2"), Accepted)
    assert isinstance(model.revoke(ALICE, credential="c1"), Accepted)
    assert model.rights("c3").valid


def test_a_repeated_issue_ends_what_the_first_one_made(model: Model) -> None:
    issue(model, "c1", "repo:*")
    made(child(model, "c2", "c1", "repo:read"))
    made(model.repeat("c3", "c2"))
    assert [model.rights(key).valid for key in ("c1", "c2", "c3")] == [True, False, True]


# The machine


@pytest.fixture(params=drivers.BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Return each backend of the machine."""
    with drivers.running(str(request.param)) as running:
        yield running


@pytest.mark.deep
def test_rights_are_the_models_after_every_step(backend: Backend) -> None:
    run(backend, examples=4, steps=12, fixed=True)


@pytest.mark.deep
def test_strangers_change_no_answer_to_others() -> None:
    with drivers.running("http") as backend:
        run(backend, examples=2, steps=12, fixed=True, strangers=True)
