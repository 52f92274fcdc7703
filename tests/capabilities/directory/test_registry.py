"""Registered agents: changed, reviewed and withdrawn. Each change is an event, and binds each later issue."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jitid.capabilities.directory import operations as directory_operations
from jitid.capabilities.directory.registry import (
    MAX_TTL,
    REVIEWED_EVERY,
    Due,
    KeptAgent,
    StatedAgent,
    WithdrawnAgent,
)
from jitid.capabilities.identity.revocation_result import TooManyError
from jitid.capabilities.identity.store import CredentialChanges, CredentialStore
from jitid.errors import (
    IntegrityError,
    InvalidCredentialError,
    JitidError,
    NotFoundError,
    PolicyDeniedError,
    UsageError,
)
from jitid.model.credential import State
from jitid.model.directory import Agent, AgentState
from jitid.model.event import ended_digest
from jitid.model.ledger_rows import Selection
from jitid.values.ids import parse_id
from jitid.values.scope import parse_scope
from tests.builders import DAY, NOW, World, edit
from tests.capabilities.leak.test_leaks import add, only


def stated(**fields: Any) -> StatedAgent:
    """Return the statements about an agent of `user:alice`; scopes may be strings."""
    plain: dict[str, Any] = {"owner": "user:alice", "purpose": "triage"}
    given_ = {**plain, **fields}
    if given_.get("scopes") is not None:
        given_["scopes"] = tuple(parse_scope(text) for text in given_["scopes"])
    return StatedAgent(**given_)


def register(world: World, name: str = "planner", *, due: Due | None = None, **fields: Any) -> KeptAgent:
    """Register an agent of `user:alice`."""
    return world.authority.perform(
        directory_operations.RegisterAgent(name=name, stated=stated(**fields), due=due or Due())
    )


def change(world: World, name: str = "planner", **fields: Any) -> KeptAgent:
    """Change statements about an agent."""
    fields = {"owner": None, "purpose": None, **fields}
    return world.authority.perform(directory_operations.ChangeAgent(name=name, stated=stated(**fields)))


def review(world: World, name: str = "planner", due: Due | None = None) -> KeptAgent:
    """Review an agent."""
    return world.authority.perform(directory_operations.ReviewAgent(name=name, due=due or Due()))


def resume(world: World, name: str = "planner") -> KeptAgent:
    """Resume an agent."""
    return world.authority.perform(directory_operations.ResumeAgent(name=name))


def suspend(world: World, name: str = "planner", **fields: Any) -> WithdrawnAgent:
    """Suspend an agent."""
    return world.authority.perform(directory_operations.SuspendAgent(name=name, **{"most": None, **fields}))


def unregister(world: World, name: str = "planner", **fields: Any) -> WithdrawnAgent:
    """Unregister an agent."""
    return world.authority.perform(
        directory_operations.UnregisterAgent(name=name, **{"most": None, **fields})
    )


def record(world: World, name: str = "planner") -> Agent:
    """Return the record of an agent."""
    return world.authority.perform(directory_operations.ShowAgent(name=name, issues=0)).record.agent


def last(world: World) -> dict[str, Any]:
    """Return the fields of the last event, without the fields that all events have."""
    event = world.events()[-1]
    return {name: value for name, value in event.items() if name not in ("seq", "hash", "at", "by")}


@pytest.fixture
def known(world: World) -> World:
    """Return a ledger that knows `user:alice`, with the right to grant some scopes."""
    world.know(entitlements=("repo:*", "log:read"), aliases=("user:al", "https://id.example 00u1"))
    return world


def test_what_is_registered_is_on_record_and_in_the_log(known: World) -> None:
    kept = register(
        known,
        owner="user:al",
        scopes=("repo:web", "repo:w*", "log:read"),
        audiences=("urn:a",),
        kinds=("opaque",),
        max_ttl=60,
        concurrency=2,
        due=Due(NOW + 5),
    )
    key = record(known).key
    assert kept.agent == record(known) == Agent(
        key, "planner", "user:alice", "triage", ("log:read", "repo:w*"), ("urn:a",), ("opaque",), 60, 2, NOW + 5, NOW,
        None, None, None, None,
    )  # fmt: skip
    assert (kept.live, kept.event) == (0, known.events()[-1]["seq"])
    assert last(known) == {
        "op": "agent-register",
        "agent": "planner",
        "owner": "user:alice",
        "purpose": "triage",
        "scopes": ["log:read", "repo:w*"],
        "audiences": ["urn:a"],
        "kinds": ["opaque"],
        "max_ttl": 60,
        "concurrency": 2,
        "review": NOW + 5,
    }
    known.check()


def test_what_is_not_said_is_as_usual(known: World) -> None:
    agent = register(known).agent
    assert (agent.scopes, agent.audiences, agent.kinds) == ((), (), ("jwt", "opaque"))
    assert (agent.max_ttl, agent.concurrency) == (MAX_TTL, None)
    assert agent.review_at == NOW + REVIEWED_EVERY


@pytest.mark.parametrize("name", ["user:alice", "user:al", "https://id.example 00u1"])
def test_an_owner_is_meant_by_each_of_their_names(known: World, name: str) -> None:
    assert register(known, owner=name).agent.owner == "user:alice"


def test_what_lived_before_under_the_name_ends(known: World) -> None:
    """Before the registration, any caller could use the name."""
    before = known.issue()
    kept = register(known, concurrency=1)
    assert (kept.live, kept.ended) == (0, 1)
    assert last(known)["count"] == 1
    with pytest.raises(InvalidCredentialError, match="revoked"):
        known.verify(before.token)
    made = known.issue()
    with pytest.raises(PolicyDeniedError, match="rule `agent-concurrency`"):
        known.issue()
    known.revoke(made.id)
    known.issue()


def _disable(world: World) -> None:
    world.know(disabled_at=NOW)


def _nothing(world: World) -> None:
    pass


@pytest.mark.parametrize(
    ("prepare", "fields", "error", "message"),
    [
        (_nothing, {"owner": "user:bob"}, NotFoundError, "owner `user:bob` is not in the directory"),
        (_disable, {}, PolicyDeniedError, "rule `delegator-disabled`"),
        (
            _nothing,
            {"scopes": ("repo:x", "prod:x")},
            PolicyDeniedError,
            "rule `delegator-entitlement`: .*`prod:x`",
        ),
        (_nothing, {"scopes": ("*:read",)}, PolicyDeniedError, "rule `delegator-entitlement`: .*"),
        (_nothing, {"purpose": None}, UsageError, "an owner and a purpose are required"),
        (_nothing, {"owner": None}, UsageError, "an owner and a purpose are required"),
        (_nothing, {"purpose": " \t"}, UsageError, "the purpose is blank"),
        (_nothing, {"purpose": "jitid_" + "a" * 38}, UsageError, "token"),
        (_nothing, {"due": Due(NOW)}, UsageError, "has passed"),
        # Other systems read the names of unregistered agents in this form, for example in SPIFFE IDs.
        (_nothing, {"name": "ephemeral/planner"}, UsageError, "is reserved"),
        (_nothing, {"name": "ephemeral"}, UsageError, "is reserved"),
    ],
)
def test_what_cannot_be_registered_changes_nothing(
    known: World,
    prepare: Callable[[World], None],
    fields: dict[str, Any],
    error: type[JitidError],
    message: str,
) -> None:
    prepare(known)
    events = len(known.events())
    with pytest.raises(error, match=message):
        register(known, **fields)
    with pytest.raises(NotFoundError):
        record(known, fields.get("name", "planner"))
    # A denial is an event; an invalid request is not.
    assert len(known.events()) - events == (error is PolicyDeniedError)


def test_a_refusal_is_an_event_that_names_the_rule(known: World) -> None:
    with pytest.raises(PolicyDeniedError):
        register(known, scopes=("prod:x",))
    event = last(known)
    assert event.pop("reason").startswith("rule `delegator-entitlement`")
    assert event == {
        "op": "denial",
        "asked": "agent-register",
        "agent": "planner",
        "delegator": "user:alice",
        "scopes": ["prod:x"],
        "rules": ["delegator-entitlement"],
    }


def test_a_name_is_registered_once_until_it_is_unregistered(known: World) -> None:
    made = register(known)
    first = made.agent
    assert made.again is False
    with pytest.raises(UsageError, match="registered already") as caught:
        register(known, purpose="other")
    assert "jitid agent change planner" in str(caught.value.hint)
    suspend(known, reason="odd")
    with pytest.raises(UsageError, match="registered already"):
        register(known)
    review(known)
    unregister(known)
    known.clock.now += 9
    made = register(known, purpose="other")
    assert made.again is True
    assert made.agent == Agent(
        first.key, "planner", "user:alice", "other", (), (), ("jwt", "opaque"), MAX_TTL, None,
        NOW + 9 + REVIEWED_EVERY, NOW + 9, None, None, None, None,
    )  # fmt: skip
    assert last(known)["again"] is True
    known.issue()
    known.check()


CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "owner": ({"owner": "user:bob"}, {"owner": "user:bob"}),
    "purpose": ({"purpose": "other"}, {"purpose": "other"}),
    "scopes": ({"scopes": ("repo:b", "repo:a")}, {"scopes": ("repo:a", "repo:b")}),
    "no scopes": ({"scopes": ()}, {"scopes": ()}),
    "audiences": ({"audiences": ("urn:b",)}, {"audiences": ("urn:b",)}),
    "no audiences": ({"audiences": ()}, {"audiences": ()}),
    "kinds": ({"kinds": ("opaque",)}, {"kinds": ("opaque",)}),
    "max_ttl": ({"max_ttl": 60}, {"max_ttl": 60}),
    "concurrency": ({"concurrency": 7}, {"concurrency": 7}),
    "unlimited": ({"unlimited": True}, {"concurrency": None}),
    "two": ({"max_ttl": 60, "purpose": "other"}, {"max_ttl": 60, "purpose": "other"}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_takes_the_place_of_what_was_there_and_leaves_the_rest(known: World, name: str) -> None:
    known.know("user:bob")
    before = register(known, scopes=("repo:x",), audiences=("urn:a",), concurrency=2).agent
    said, expected = CHANGES[name]
    kept = change(known, **said)
    assert kept.agent == record(known) == before._replace(**expected)
    told = last(known)
    assert {"agent": "planner", "op": "agent-change"}.items() <= told.items()
    assert told.keys() - {"op", "agent"} == (expected.keys() - {"concurrency"}) | (
        {"unlimited"} if name == "unlimited" else expected.keys() & {"concurrency"}
    )
    known.check()
    # The same change again has no effect and records no event.
    assert change(known, **said).event is None


def test_nothing_stated_is_no_change(known: World) -> None:
    register(known)
    with pytest.raises(UsageError, match="no change was requested"):
        change(known)


def test_a_change_of_scopes_or_owner_is_within_what_the_owner_may_hand_out(known: World) -> None:
    known.know("user:bob", entitlements=())
    register(known, scopes=("repo:x",))
    with pytest.raises(PolicyDeniedError, match="rule `delegator-entitlement`"):
        change(known, scopes=("prod:x",))
    with pytest.raises(PolicyDeniedError, match="rule `delegator-entitlement`"):
        change(known, owner="user:bob")
    assert last(known)["asked"] == "agent-change"
    # Narrowing another limit needs no right of the owner.
    known.know(disabled_at=NOW)
    assert change(known, max_ttl=60).agent.max_ttl == 60
    with pytest.raises(PolicyDeniedError, match="rule `delegator-disabled`"):
        change(known, scopes=("repo:x",))


def test_what_it_holds_stays_as_it_was_issued_until_it_is_renewed(known: World) -> None:
    register(known, scopes=("repo:x",))
    made = known.issue(scopes=("repo:x",))
    change(known, scopes=())
    assert known.verify(made.token).scopes == ("repo:x",)


def test_an_overdue_agent_is_issued_nothing_until_it_is_reviewed(known: World) -> None:
    register(known, due=Due(after=60))
    known.issue()
    known.clock.now += 60
    with pytest.raises(PolicyDeniedError, match="rule `agent-overdue`"):
        known.issue()
    kept = review(known, due=Due(after=DAY))
    assert (kept.agent.reviewed_at, kept.agent.review_at) == (NOW + 60, NOW + 60 + DAY)
    assert last(known) == {
        "op": "agent-review",
        "agent": "planner",
        "owner": "user:alice",
        "scopes": [],
        "live": 1,
        "review": NOW + 60 + DAY,
    }
    known.issue()
    known.check()


def test_a_review_tells_what_the_owner_may_no_longer_hand_out(known: World) -> None:
    register(known, scopes=("repo:x", "log:read"))
    known.know(entitlements=("repo:*",))
    review(known)
    assert last(known)["beyond"] == ["log:read"]
    shown = known.authority.perform(directory_operations.ShowAgent(name="planner", issues=0)).record
    assert (shown.beyond, shown.owner_state) == (("log:read",), "known")


@pytest.mark.parametrize("end", [suspend, unregister])
def test_whatever_an_agent_holds_ends_with_it_in_one_event(
    known: World, end: Callable[..., WithdrawnAgent]
) -> None:
    register(known)
    made = known.issue(kind="opaque")
    child = known.issue(parent=made.token, agent="coder", kind="opaque")
    grandchild = known.issue(parent=child.token, agent="tester", kind="opaque")
    other = known.issue(agent="other")
    # The descent leads through an ended credential: the child is revoked before its agent is withdrawn.
    with known.ledger.write() as transaction:
        found = CredentialStore(transaction).find_credential("jti", parse_id(child.jti)[1])
        assert found is not None
        digest = CredentialChanges(transaction).end_one(found.key, State.REVOKED)
        transaction.append("revoke", {"count": 1, "identities": 1, "ended": digest})
    before = len(known.events())
    done = end(known, reason="odd")
    assert (done.already, done.kept, done.ended.credentials) == (False, 0, 2)
    (event,) = known.events()[before:]
    assert (event["op"], event["count"], event["identities"]) == (f"agent-{end.__name__}", 2, 3)
    assert event["ended"] == ended_digest([parse_id(one.jti)[1] for one in (made, grandchild)])
    assert event["reason"] == "odd"
    known.verify(other.token)
    known.check()
    assert record(known).state_at(NOW) is AgentState(f"{end.__name__}ed")
    with pytest.raises(PolicyDeniedError, match=f"rule `agent-{end.__name__}ed`"):
        known.issue()


@pytest.mark.parametrize("end", [suspend, unregister])
def test_what_is_to_live_on_does(known: World, end: Callable[..., WithdrawnAgent]) -> None:
    register(known)
    made = known.issue()
    foreseen = end(known, keep_live=True, dry_run=True)
    done = end(known, keep_live=True, most=0)
    assert (done.kept, done.ended.credentials) == (1, 0)
    # Credentials that stay valid are not counted as ended, neither in the result nor in the preview.
    assert (foreseen.kept, foreseen.ended.radius) == (1, done.ended.radius)
    assert not any(done.ended.radius)
    assert {"kept": 1}.items() <= last(known).items()
    assert "ended" not in last(known)
    known.verify(made.token)
    # A second call may end them later, though the record does not change.
    done = end(known)
    assert (done.already, done.ended.credentials) == (True, 1)
    known.check()
    events = len(known.events())
    done = end(known)
    assert (done.already, done.ended.event) == (True, None)
    assert len(known.events()) == events


@pytest.mark.parametrize("end", [suspend, unregister])
def test_more_than_is_permitted_ends_nothing(known: World, end: Callable[..., WithdrawnAgent]) -> None:
    register(known)
    made = [known.issue(task=f"T{number}") for number in range(3)]
    before = (record(known), len(known.events()))
    with pytest.raises(TooManyError, match="3 live credentials"):
        end(known, most=2)
    assert end(known, most=None, dry_run=True).ended.radius.credentials == 3
    assert before == (record(known), len(known.events()))
    known.verify(made[0].token)
    assert end(known, most=3).ended.credentials == 3


def test_what_leaked_and_ends_with_an_agent_is_proved_dead(known: World) -> None:
    register(known)
    add(known, known.issue(kind="opaque").token)
    suspend(known)
    assert only(known).leak.proved_at == NOW


def test_a_suspended_agent_is_resumed(known: World) -> None:
    register(known)
    assert resume(known).event is None
    suspend(known, reason="odd")
    assert record(known).suspended_as == "odd"
    assert resume(known).agent.state_at(NOW) is AgentState.REGISTERED
    assert last(known) == {"op": "agent-resume", "agent": "planner"}
    known.issue()
    known.check()


def test_nobody_resumes_the_agent_of_a_disabled_owner(known: World) -> None:
    register(known)
    suspend(known)
    known.know(disabled_at=NOW)
    with pytest.raises(PolicyDeniedError, match="rule `delegator-disabled`"):
        resume(known)
    assert last(known)["asked"] == "agent-resume"
    assert record(known).suspended_at == NOW


@pytest.mark.parametrize("operate", [change, review, resume, suspend])
def test_what_was_unregistered_is_registered_first(known: World, operate: Callable[..., object]) -> None:
    register(known)
    unregister(known)
    more = {"purpose": "x"} if operate is change else {}
    with pytest.raises(UsageError, match="was unregistered") as caught:
        operate(known, **more)
    assert caught.value.hint == "to register it again: jitid agent register planner"


@pytest.mark.parametrize("operate", [change, review, resume, suspend, unregister])
def test_an_agent_without_a_record_is_not_found(known: World, operate: Callable[..., object]) -> None:
    known.issue()
    more = {"purpose": "x"} if operate is change else {}
    with pytest.raises(NotFoundError, match="agent `planner` is not registered"):
        operate(known, **more)


def test_agents_are_listed_by_owner_and_state(known: World) -> None:
    known.know("user:bob")
    register(known, "a")
    register(known, "b", owner="user:bob")
    register(known, "c", due=Due(after=1))
    register(known, "d")
    register(known, "e")
    suspend(known, "d")
    unregister(known, "e")
    known.clock.now += 1

    def names(**fields: Any) -> list[str]:
        page = known.authority.perform(directory_operations.ListAgents(**{"limit": 9, **fields}))
        return [one.agent.name for one in page.records]

    assert names() == ["a", "b", "c", "d", "e"]
    assert names(owner="user:al") == ["a", "c", "d", "e"]
    assert names(owner="user:bob") == ["b"]
    assert names(owner="user:nobody") == []
    assert names(after="b", limit=2) == ["c", "d"]
    assert {state: names(state=state) for state in AgentState} == {
        AgentState.REGISTERED: ["a", "b"],
        AgentState.OVERDUE: ["c"],
        AgentState.SUSPENDED: ["d"],
        AgentState.UNREGISTERED: ["e"],
    }
    for one in known.authority.perform(directory_operations.ListAgents(limit=9)).records:
        assert names(state=one.agent.state_at(known.clock.now)).count(one.agent.name) == 1
    with pytest.raises(NotFoundError, match="cannot continue after agent `x`"):
        names(after="x")


def test_what_stands_around_a_record_is_told(known: World) -> None:
    register(known)
    known.issue(task="T1")
    known.clock.now += 5
    known.issue(task="T2")
    shown = known.authority.perform(directory_operations.ShowAgent(name="planner", issues=1))
    assert (shown.record.live, shown.record.last_issued_at) == (2, NOW + 5)
    assert [one.task for one in shown.issues] == ["T2"]
    known.know(disabled_at=NOW)
    assert (
        known.authority.perform(directory_operations.ShowAgent(name="planner", issues=0)).record.owner_state
        == "disabled"
    )


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE agent SET scopes = '*'",
        "UPDATE agent SET owner = 'user:mallory'",
        "UPDATE agent SET purpose = 'x'",
        "UPDATE agent SET kinds = 'jwt'",
        "UPDATE agent SET audiences = 'urn:x'",
        "UPDATE agent SET max_ttl = 999999",
        "UPDATE agent SET concurrency = NULL",
        "UPDATE agent SET review_at = review_at + 1",
        "UPDATE agent SET suspended_at = NULL",
        "UPDATE agent SET suspended_as = 'fine'",
        "UPDATE agent SET unregistered_at = 1",
        "UPDATE agent SET name = 'coder'",
        "DELETE FROM agent",
        """INSERT INTO agent SELECT 99, 'coder', owner, purpose, scopes, audiences, kinds, max_ttl, concurrency,
             review_at, registered_at, reviewed_at, suspended_at, suspended_as, unregistered_at, event, users
             FROM agent""",
    ],
)
def test_a_record_that_was_edited_is_found(known: World, statement: str) -> None:
    register(known, concurrency=3)
    suspend(known, reason="odd")
    known.check()
    edit(known.path, statement)
    with pytest.raises(IntegrityError, match=r"agent `(planner|coder)`"):
        known.check()


@pytest.mark.parametrize(
    "statement", ["UPDATE credential SET recurring = NULL", "UPDATE agent SET id = id + 1"]
)
def test_what_is_no_longer_counted_to_a_record_is_found(known: World, statement: str) -> None:
    """The limit of concurrent identities depends on this count."""
    register(known, concurrency=2)
    known.issue()
    renewed = known.issue()
    known.revoke(renewed.id)
    known.check()
    edit(known.path, statement)
    with pytest.raises(
        IntegrityError, match="the record of agent `planner` does not count all its credentials"
    ):
        known.check()


def test_what_another_agent_holds_counts_to_no_record(known: World) -> None:
    register(known)
    known.issue(agent="coder")
    known.check()
    edit(known.path, "UPDATE credential SET recurring = (SELECT id FROM agent)")
    with pytest.raises(
        IntegrityError, match="the record of agent `coder` does not count all its credentials"
    ):
        known.check()


def test_a_record_that_came_back_to_life_is_found(known: World) -> None:
    register(known)
    unregister(known)
    edit(known.path, "UPDATE agent SET unregistered_at = NULL")
    with pytest.raises(IntegrityError, match="does not match its events"):
        known.check()


_steps = st.sampled_from(
    ["register", "change", "review", "suspend", "keep", "resume", "unregister", "issue", "wait"]
)


@pytest.mark.deep
@settings(max_examples=60, deadline=None)
@given(st.lists(_steps, max_size=14))
def test_whatever_happens_the_state_is_the_one_that_issues_go_by(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    """The log also accounts for each ended credential and for the record."""
    state = "ephemeral"
    with World(tmp_path_factory.mktemp("registry") / "ledger") as world:
        world.know()
        for number, step in enumerate(steps):
            try:
                match step:
                    case "register":
                        register(world, due=Due(after=2 * DAY))
                        state = "registered"
                    case "change":
                        change(world, max_ttl=600 + number)
                    case "review":
                        review(world, due=Due(after=2 * DAY))
                        state = "registered" if state == "overdue" else state
                    case "suspend" | "keep":
                        suspend(world, keep_live=step == "keep")
                        state = "suspended"
                    case "resume":
                        resume(world)
                        late = record(world).review_at <= world.clock.now
                        state = "overdue" if late else "registered"
                    case "unregister":
                        unregister(world)
                        state = "unregistered"
                    case "wait":
                        world.clock.now += DAY
                        with world.ledger.write() as transaction:
                            transaction.append("note", {})
                        if state == "registered" and record(world).review_at <= world.clock.now:
                            state = "overdue"
                    case "issue":
                        world.issue(task=f"T{number}")
                        assert state in ("ephemeral", "registered")
            except PolicyDeniedError as denial:
                assert denial.facts["rules"] == [f"agent-{state}"]
            except (UsageError, NotFoundError):
                assert state in ("ephemeral", "unregistered") or step == "register"
            if state in ("suspended", "unregistered") and step in ("suspend", "unregister"):
                with world.ledger.read() as snapshot:
                    assert CredentialStore(snapshot).measure(Selection(agents=("planner",))).credentials == 0
        world.check()


def test_two_worlds_do_not_register_one_name_twice(known: World, tmp_path: Path) -> None:
    with World(known.path) as other:
        register(known)
        with pytest.raises(UsageError, match="registered already"):
            register(other)
