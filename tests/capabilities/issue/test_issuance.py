"""Issuing: the delegator and its proof, narrowing with its reasons, refusals and their audit events."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jitid.capabilities.identity.filter_store import Filter
from jitid.capabilities.integrity.store import RowStore
from jitid.capabilities.inventory.operations import Inspect, ListCredentials
from jitid.capabilities.issue.operations import Attach, Issue
from jitid.errors import InvalidCredentialError, PolicyDeniedError, UsageError
from jitid.model.request import AttachRequest
from jitid.values import strict_json
from jitid.values.scope import Scope
from jitid.values.secret import Secret
from tests.builders import DAY, NAMES, NOW, PERMIT_ALL, World, policed, request
from tests.crypto import signed
from tests.values.hostile import NAUGHTY

CENTURY = 100 * 366 * DAY


def claims(token: str) -> dict[str, Any]:
    """Return the claims of a token."""
    found: dict[str, Any] = json.loads(strict_json.b64url_decode(token.split(".")[1]))
    return found


def denied(world: World, **fields: Any) -> tuple[str, ...]:
    """Check that a request is denied and audited, and changes nothing more; return the rules."""
    with world.ledger.read() as snapshot:
        before = len(list(RowStore(snapshot).issued_members()))
    with pytest.raises(PolicyDeniedError) as caught:
        world.issue(**fields)
    event = world.events()[-1]
    assert event["op"] == "denial"
    with world.ledger.read() as snapshot:
        assert len(list(RowStore(snapshot).issued_members())) == before
    rules = tuple(event["rules"])
    assert all(rule in caught.value.message for rule in rules)
    return rules


def test_a_token_tells_delegator_actor_and_task(world: World) -> None:
    made = world.issue(task="INC-1", scopes=["db:read"], purpose="repair", details=[{"type": "x"}])
    said = claims(made.token)
    assert (said["sub"], said["client_id"], said["txn"]) == ("user:alice", "planner", "INC-1")
    assert (said["iss"], said["aud"], said["scope"]) == (NAMES.issuer, NAMES.issuer, "db:read")
    assert (said["iat"], said["nbf"], said["exp"]) == (NOW, NOW, NOW + 900)
    assert said["act"] == {"sub": f"spiffe://jitid.test/ephemeral/planner/INC-1/{made.id}"} or "act" in said
    assert said["jitid"] == {"depth": 0, "sensitivity": "moderate", "purpose": "repair"}
    assert said["authorization_details"] == [{"type": "x"}]


def test_earlier_actors_are_nested_inside_the_one_that_acts_now(world: World) -> None:
    chain = world.chain(3)
    act = claims(chain[2].token)["act"]
    assert act["sub"].endswith(chain[2].id)
    assert act["act"]["sub"].endswith(chain[1].id)
    assert act["act"]["act"]["sub"].endswith(chain[0].id)
    assert claims(chain[2].token)["sub"] == "user:alice"


@pytest.mark.parametrize(
    ("delegator", "proof"),
    [("user:tester", "os-user"), ("user:alice", "asserted"), ("system:tester", "asserted")],
)
def test_a_name_is_proved_by_the_callers_own_login_only(world: World, delegator: str, proof: str) -> None:
    made = world.issue(delegator=delegator)
    assert made.issued.delegator_proof == proof
    assert claims(made.token)["delegator_proof"] == proof
    assert world.verify(made.token).delegator_proof == proof


def test_what_nobody_proved_is_worth_no_more_than_moderate(world: World) -> None:
    for name in ("user:alice", "user:tester"):
        world.know(name)
    assert denied(world, sensitivity="high", purpose="x") == ("asserted-up-to-moderate",)
    assert world.issue(delegator="user:tester", sensitivity="high", purpose="x", task="T2")


def test_whom_the_directory_does_not_have_is_worth_no_more_than_moderate(world: World) -> None:
    strict = {"delegator": "user:tester", "sensitivity": "high", "purpose": "x"}
    assert denied(world, **strict) == ("unknown-up-to-moderate",)
    assert world.issue(delegator="user:tester", task="T2").issued.delegator_state == "unverified"
    world.know("user:tester")
    assert world.issue(**strict).issued.delegator_state == "known"


def test_an_agent_delegates_by_its_own_token_only(world: World) -> None:
    with pytest.raises(UsageError):
        world.issue(delegator="agent:planner")
    parent = world.issue()
    with pytest.raises(UsageError):
        world.issue(parent=parent.token, delegator="user:bob")
    assert world.issue(parent=parent.token).issued.delegator_proof == "asserted"


def id_token(**changes: Any) -> Secret:
    """Return an ID token."""
    plain = {"iss": "https://id.example", "aud": "jitid", "sub": "carol", "iat": NOW, "exp": NOW + 60}
    return Secret.single(signed.token({"alg": "EdDSA", "typ": "JWT", "kid": "k1"}, {**plain, **changes}))


def test_an_id_token_proves_the_delegator(oidc: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with oidc:
        made = oidc.issue(delegator=None, delegator_token=id_token(iat=0, exp=NOW + CENTURY))
        assert (made.issued.delegator, made.issued.delegator_proof) == ("user:carol", "oidc")
        assert oidc.verify(made.token).delegator_proof == "oidc"
        with pytest.raises(UsageError):
            oidc.issue(delegator="user:mallory", delegator_token=id_token(iat=0, exp=NOW + CENTURY))


@pytest.mark.parametrize(
    "changes", [{"aud": "other"}, {"iss": "https://evil.example"}, {"exp": 1}, {"sub": ""}]
)
def test_an_id_token_that_proves_nothing_is_refused_and_audited(oidc: World, changes: dict[str, Any]) -> None:
    with oidc:
        with pytest.raises(InvalidCredentialError):
            oidc.issue(
                delegator=None, delegator_token=id_token(**{"exp": NOW + CENTURY, "iat": 0, **changes})
            )
        assert oidc.events()[-1]["op"] == "denial"


_SCOPES = st.lists(
    st.lists(st.sampled_from(["db", "d*", "*", "read"]), min_size=2, max_size=2).map(":".join), max_size=3
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    held=_SCOPES,
    wanted=_SCOPES,
    audiences=st.lists(st.sampled_from(["urn:a", "urn:b"]), unique=True, max_size=2),
    ttls=st.tuples(st.integers(1, 5_000), st.integers(1, 5_000)),
    narrow=st.booleans(),
)
def test_a_delegate_never_holds_more_than_its_parent(
    world: World,
    held: list[str],
    wanted: list[str],
    audiences: list[str],
    ttls: tuple[int, int],
    *,
    narrow: bool,
) -> None:
    from jitid.values.scope import Scope, uncovered

    parent = world.issue(scopes=held, may_audience=("urn:a",), ttl=ttls[0], kind="opaque")
    try:
        child = world.issue(
            parent=parent.token,
            scopes=wanted,
            audiences=tuple(audiences),
            ttl=ttls[1],
            kind="opaque",
            allow_narrower=narrow,
        )
    except PolicyDeniedError:
        return
    assert not uncovered(
        [Scope(one) for one in parent.issued.scopes], [Scope(one) for one in child.issued.scopes]
    )
    assert child.issued.audiences == (("urn:a",) if audiences else (NAMES.issuer,))
    assert child.issued.expires_at <= parent.issued.expires_at


def test_what_the_parent_does_not_hold_is_denied(world: World) -> None:
    parent = world.issue(scopes=["db:read"], details=[{"type": "x"}]).token
    for more in ({"scopes": ["db:*"]}, {"audiences": ("urn:a",)}, {"details": [{"type": "y"}]}):
        assert denied(world, parent=parent, **more) == ("attenuation",)


def test_narrowing_takes_what_is_permitted_and_says_what_is_missing(world: World) -> None:
    parent = world.issue(scopes=["db:read", "repo:*"]).token
    made = world.issue(parent=parent, scopes=["db:*", "repo:x"], allow_narrower=True)
    assert made.issued.scopes == ("repo:x",)
    assert any("db:*" in note for note in made.issued.notes)
    assert denied(world, parent=parent, scopes=["db:*"], allow_narrower=True) == ("attenuation",)


def test_the_least_of_all_limits_is_the_lifetime(world: World) -> None:
    assert world.issue(ttl=CENTURY).issued.expires_at == NOW + 3600
    assert world.issue(task="T2", ttl=CENTURY, deadline_after=60).issued.expires_at == NOW + 60
    parent = world.issue(ttl=50)
    child = world.issue(parent=parent.token, ttl=CENTURY)
    assert child.issued.expires_at == NOW + 50
    assert any("parent" in note for note in child.issued.notes)
    low = world.issue(task="T3", sensitivity="low", ttl=CENTURY)
    assert low.issued.expires_at == NOW + 8 * 3600


@pytest.mark.parametrize("agent", ["ephemeral", "ephemeral/planner"])
def test_no_agent_is_called_as_those_are_that_are_not_registered(world: World, agent: str) -> None:
    parent = world.issue(may_audience=("urn:a",))
    for fields in ({}, {"parent": parent.token}):
        with pytest.raises(UsageError, match="is reserved"):
            world.issue(agent=agent, **fields)
    assert world.issue(agent="ephemerals/planner")


@pytest.mark.parametrize("ttl", [0, -1, -CENTURY])
def test_a_lifetime_of_nothing_is_a_usage_error(world: World, ttl: int) -> None:
    with pytest.raises(UsageError):
        world.issue(ttl=ttl)


@pytest.mark.parametrize("deadline", [0, -1, NOW - 1, NOW])
def test_a_deadline_in_the_past_is_a_usage_error(world: World, deadline: int) -> None:
    with pytest.raises(UsageError):
        world.issue(deadline=deadline)


@pytest.mark.parametrize("stated", [{"purpose": "other"}, {"sensitivity": "low"}, {"deadline": NOW + 5}])
def test_the_facts_of_a_task_are_fixed_by_its_first_issue(world: World, stated: dict[str, Any]) -> None:
    world.issue(purpose="repair", sensitivity="moderate", deadline=NOW + 600)
    world.issue(purpose="repair", sensitivity="moderate", deadline=NOW + 600)
    with pytest.raises(UsageError):
        world.issue(**stated)


def test_the_name_of_an_ended_task_is_never_used_again(world: World) -> None:
    world.issue(task="T1")
    world.retire("T1")
    assert denied(world, task="T1") == ("task-ended",)
    world.reopen()
    world.clock.now += DAY // 2
    assert denied(world, task="T1") == ("task-ended",)


def test_nothing_is_issued_for_a_task_past_its_deadline(world: World) -> None:
    world.issue(deadline_after=60)
    world.clock.now += 60
    assert denied(world) == ("task-deadline",)


@pytest.mark.parametrize(
    ("pattern", "scope", "raised"),
    [
        ("prod:*", "prod:read", True),
        ("prod:read", "prod:*", True),
        ("prod:read", "*:read", True),
        ("pr*:re*", "prod:*", True),
        ("prod:read", "prod:read:x", True),
        ("prod:*", "prod:write:*", True),
        ("prod:write:*", "prod:*", True),
        ("prod:write:*", "prod", True),
        ("prod:write:*", "*", True),
        ("prod:write:*", "prod:read", False),
        ("prod:write:*", "prod:read:*", False),
        ("prod", "produce:read", False),
        ("prod:read", "test:read", False),
        ("prod:read", "PROD:read", False),
    ],
)
def test_a_floor_holds_for_whatever_overlaps_its_scope(
    world: World, pattern: str, scope: str, *, raised: bool
) -> None:
    world.terms = world.terms._replace(scope_floors={pattern: "high"})
    if raised:
        assert "asserted-up-to-moderate" in denied(world, scopes=[scope], sensitivity="low", purpose="x")
    else:
        assert world.issue(scopes=[scope], sensitivity="low").issued.sensitivity == "low"


def test_a_floor_holds_for_its_audience(world: World) -> None:
    world.terms = world.terms._replace(audience_floors={"urn:bank": "high"})
    assert "asserted-up-to-moderate" in denied(world, audiences=("urn:bank",), purpose="x", sensitivity="low")


def test_a_child_on_another_task_is_no_less_sensitive_than_its_parent(world: World) -> None:
    world.know("user:tester")
    parent = world.issue(delegator="user:tester", sensitivity="critical", purpose="x")
    child = world.issue(parent=parent.token, task="T1/2", sensitivity="low")
    assert child.issued.sensitivity == "critical"


@pytest.mark.parametrize(
    ("sensitivity", "depth"), [("low", 5), ("moderate", 4), ("high", 3), ("critical", 1)]
)
def test_a_chain_ends_at_the_depth_that_its_sensitivity_allows(
    world: World, sensitivity: str, depth: int
) -> None:
    world.know("user:tester")
    chain = world.chain(depth + 1, delegator="user:tester", sensitivity=sensitivity, purpose="x")
    assert chain[-1].issued.depth == depth
    assert denied(world, parent=chain[-1].token) == ("depth-limit",)


@pytest.mark.parametrize("ending", ["revoke", "expire", "retire"])
def test_a_dead_parent_delegates_nothing(world: World, ending: str) -> None:
    parent = world.issue(ttl=60)
    if ending == "revoke":
        world.revoke(parent.id)
    elif ending == "retire":
        world.retire("T1")
    else:
        world.clock.now += 60
    with pytest.raises(InvalidCredentialError):
        world.issue(parent=parent.token, task="T1/2")
    assert world.events()[-1]["op"] == "denial"


def test_nothing_of_a_transaction_with_a_bad_request_is_done(world: World) -> None:
    requests = (request(task="A"), request(task="B", sensitivity="critical"))
    with pytest.raises(PolicyDeniedError) as caught:
        world.authority.perform(Issue(requests=requests))
    assert caught.value.position == 1
    page = world.authority.perform(
        ListCredentials(chosen=Filter(), sort="id", descending=False, after=None, limit=9)
    )
    assert page.credentials == []


@pytest.mark.parametrize("kind", ["jwt", "opaque"])
def test_details_too_deep_to_be_read_again_are_refused(world: World, kind: str) -> None:
    """Each issued credential verifies, and may be delegated with the same details."""
    refused = 0
    for depth in range(55, 64):
        detail = f'{{"a":{"[" * depth}{"]" * depth},"type":"x"}}'
        try:
            made = world.issue(kind=kind, details=[detail])
        except UsageError:
            refused += 1
            continue
        world.verify(made.token)
        world.issue(kind="opaque", parent=made.token, details=[detail])
    assert 0 < refused < 9


@pytest.mark.deep
def test_hostile_text_comes_back_unchanged(lenient: World) -> None:
    """The purpose and the details survive in the ledger, in the token and in the audit log."""
    for number, text in enumerate(NAUGHTY):
        made = lenient.issue(task=f"T{number}", purpose=text or "x", details=[{"type": "x", "text": text}])
        said = claims(made.token)
        assert said["jitid"]["purpose"] == (text or "x")
        assert said["authorization_details"] == [{"type": "x", "text": text}]
        shown = lenient.authority.perform(Inspect(id=made.id))
        assert shown.task.purpose == (text or "x")
        assert shown.event is not None
        assert shown.event["purpose"] == (text or "x")
        lenient.verify(made.token)
    lenient.check()


def test_half_a_character_is_no_purpose(world: World) -> None:
    with pytest.raises(UsageError):
        world.issue(purpose="x\udcff")


@pytest.mark.parametrize("door", ["issue", "delegate", "attach"])
def test_what_a_refused_scope_covers_is_permitted_by_itself(world: World, door: str) -> None:
    """With `--allow-narrower`, the removal of a wide scope does not remove a narrower scope that is permitted."""
    wide, narrow = "repo:*", "repo:write"
    rule = '@id("plain") forbid (principal, action == Action::"grant", resource) when { context.wildcard };'
    parent = world.issue(scopes=(wide, narrow), may_audience=("urn:x",))
    world.terms = policed(world.terms, [("all.cedar", PERMIT_ALL[0][1]), ("plain.cedar", rule)])
    world.reopen()
    asked: dict[str, Any] = {"scopes": (Scope(wide), Scope(narrow)), "allow_narrower": True}
    if door == "attach":
        wanted = AttachRequest(Secret.single(parent.token), "jwt", audiences=("urn:x",), **asked)
        made = world.authority.perform(Attach(request=wanted))
    else:
        made = world.issue(**asked, **({"parent": parent.token} if door == "delegate" else {})).issued
    assert made.scopes == (narrow,)
    assert any(wide in note for note in made.notes)
    # Without `--allow-narrower`, a request is permitted as a whole or not at all.
    with pytest.raises(PolicyDeniedError, match="plain"):
        world.issue(**{**asked, "allow_narrower": False})
    assert world.check()


def test_what_is_permitted_and_covers_the_rest_is_told_once(world: World) -> None:
    made = world.issue(scopes=(Scope("repo:*"), Scope("repo:write")), allow_narrower=True)
    assert made.issued.scopes == ("repo:*",)
    assert world.check()
