"""Service for callers: the caller in events, and the delegators that a caller may name."""

from __future__ import annotations

from typing import Any

import pytest

from jitid.authority.served import ReadTally
from jitid.capabilities.access.grant import AccessRequest, grant
from jitid.capabilities.access.operations import Authenticate
from jitid.capabilities.audit.audit_log import LogFilter
from jitid.capabilities.decisions.operations import ReplayDecisions
from jitid.capabilities.identity import operations as identity_operations
from jitid.capabilities.identity.task_store import TaskStore
from jitid.capabilities.integrity import operations as integrity_operations
from jitid.capabilities.inventory import operations as inventory_operations
from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.issue.operations import Attach
from jitid.capabilities.trust import operations as trust_operations
from jitid.errors import ClockError, NotFoundError, RefusedError, UsageError
from jitid.model.access import Caller
from jitid.model.ledger_rows import Selection
from jitid.model.request import AttachRequest, RenewRequest
from jitid.operation import base as ops
from jitid.policy.default import default_files
from jitid.values.secret import Secret
from tests.authority.callers import ask, bearer, caller, issue, told
from tests.builders import World

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_events_are_by_whoever_is_served(world: World) -> None:
    """This includes the event that closes expired credentials on the way."""
    with world.ledger.write() as transaction:
        granted = grant(transaction, AccessRequest("user:bob"), None).access.id
    world.issue(ttl=60)
    world.clock.now += 120
    issue(world, caller(trace=TRACE, credential=granted), delegator=None)
    expired, issued = world.events()[-2:]
    assert (expired["op"], issued["op"]) == ("expire", "issue")
    for event in (expired, issued):
        assert (event["by"], event["trace"], event["bearer"]) == ("user:bob", TRACE, granted)
    assert world.check()


def test_a_request_is_found_again_by_its_trace(world: World) -> None:
    issue(world, caller(trace=TRACE), delegator=None)
    issue(world, caller(trace=TRACE.replace("4bf9", "0bf9")), delegator=None)
    issue(world, caller(), delegator=None)
    for trace in (TRACE, "4bf92f3577b34da6a3ce929d0e0e4736"):
        found = world.authority.perform(
            integrity_operations.ReadLog(chosen=LogFilter(trace=trace), limit=None)
        )
        assert [event["trace"] for event in found] == [TRACE]
    for trace in ("00", "00f067aa0ba902b7", ""):
        assert not world.authority.perform(
            integrity_operations.ReadLog(chosen=LogFilter(trace=trace), limit=None)
        )


def test_the_ledger_stays_open_for_others(world: World) -> None:
    world.authority.serving(caller()).close()
    world.ledger.acting("user:bob", {}).close()
    world.issue()
    assert world.events()[-1]["by"] == "tester"


@pytest.mark.parametrize("stated", [None, "user:bob", "user:rob"])
def test_the_delegator_is_the_proven_caller(world: World, stated: str | None) -> None:
    """The caller may state its name, an alias, or no name."""
    world.know("user:bob", aliases=("user:rob",))
    issued = issue(world, caller(), delegator=stated)
    assert (issued.delegator, issued.delegator_proof) == ("user:bob", "credential")


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("roles", [(), ("verifier", "responder", "sweeper", "auditor", "admin")])
def test_nobody_but_an_issuer_names_another(world: World, roles: tuple[str, ...], *, known: bool) -> None:
    if known:
        world.know("user:alice")
    with pytest.raises(
        RefusedError, match=r"you may not name `user:alice` as the delegator: you are `user:bob`"
    ):
        issue(world, caller("user:bob", *roles), delegator="user:alice")
    assert told(world, "issue") == []
    (denial,) = told(world, "denial")
    assert (denial["by"], denial["operation"]) == ("user:bob", "Issue")


def test_an_issuer_names_whom_they_like_and_proves_themselves(world: World) -> None:
    launcher = caller("system:launcher", "issuer")
    assert issue(world, launcher, delegator="user:alice").delegator_proof == "asserted"
    assert issue(world, launcher, delegator="system:launcher").delegator_proof == "credential"
    assert issue(world, launcher, delegator=None).delegator == "system:launcher"


def test_a_socket_proves_the_login(world: World) -> None:
    issued = issue(world, caller("user:bob", proof="os-user"), delegator=None)
    assert (issued.delegator, issued.delegator_proof) == ("user:bob", "os-user")


def test_a_login_of_the_authority_is_nobody_who_is_served(world: World) -> None:
    """The authority runs as `tester`; a served caller is never `tester`, even if it states that name."""
    with pytest.raises(RefusedError):
        issue(world, caller(), delegator="user:tester")
    issued = issue(world, caller("system:launcher", "issuer"), delegator="user:tester")
    assert issued.delegator_proof == "asserted"


def test_an_agent_delegates_by_its_own_credential_only(world: World) -> None:
    parent = bearer(issue(world, caller(), delegator=None, scopes=("repo:read",)))
    agent = caller("agent:planner", delegator=None, proof="credential", agent="planner")
    with pytest.raises(UsageError, match="a delegator is required"):
        issue(world, agent, delegator=None)
    with pytest.raises(RefusedError):
        issue(world, agent, delegator="user:bob")
    with pytest.raises(UsageError):
        issue(world, agent, delegator="agent:planner")
    child = issue(world, agent, parent=parent, agent="coder", scopes=("repo:read",))
    assert (child.delegator, child.delegator_proof, child.depth) == ("user:bob", "credential", 1)


def test_the_holder_renews_and_hands_back(world: World) -> None:
    agent = caller("agent:planner", delegator=None, agent="planner")
    token = bearer(issue(world, caller(), delegator=None))
    renewed = ask(world, agent, issue_operations.Renew(request=RenewRequest(token)))
    (one,) = renewed.credentials
    ended = ask(world, agent, identity_operations.HandBack(token=one.secret, id=one.id))
    assert ended.ended.radius.credentials


def test_who_asked_for_something_may_end_it(world: World) -> None:
    """A launcher revokes credentials that it could not deliver, without the role responder."""
    (mine,) = issue(world, caller(), delegator=None, task="T1").credentials
    (others,) = issue(world, caller("user:eve"), delegator=None, task="T2").credentials
    for id_ in (mine.id, mine.jti):
        ask(world, caller(), inventory_operations.Revoke(selection=Selection(ids=(id_,)), most=None))
    ask(
        world,
        caller("user:eve"),
        inventory_operations.Revoke(selection=Selection(), tokens=(others.secret,), most=None),
    )
    (again,) = issue(world, caller("user:eve"), delegator=None, task="T2").credentials
    for selection in (
        Selection(ids=(again.id,)),
        Selection(ids=(again.jti,)),
        Selection(ids=(mine.id, again.id)),
        Selection(ids=(mine.id,), delegators=("user:eve",)),
        Selection(delegators=("user:eve",)),
        Selection(),
    ):
        with pytest.raises(RefusedError, match="needs the role `responder`"):
            ask(world, caller(), inventory_operations.Revoke(selection=selection, most=None))
    assert world.verify(again.secret.reveal())


def test_agents_of_one_name_end_nothing_of_each_others(world: World) -> None:
    parents = [issue(world, caller(), delegator=None, scopes=("repo:read",)) for _ in range(2)]
    one, other = (
        caller("agent:planner", delegator=None, agent="planner", credential=parent.credentials[0].jti)
        for parent in parents
    )
    child = issue(world, one, parent=bearer(parents[0]), agent="coder", scopes=("repo:read",))
    (made,) = child.credentials
    for who in (other, caller("agent:planner", delegator=None, agent="planner")):
        for operation in (
            inventory_operations.Revoke(selection=Selection(ids=(made.id,)), most=None),
            inventory_operations.Revoke(selection=Selection(), tokens=(made.secret,), most=None),
        ):
            with pytest.raises(RefusedError):
                ask(world, who, operation)
    assert world.verify(made.secret.reveal())
    ask(world, one, inventory_operations.Revoke(selection=Selection(ids=(made.id,)), most=None))


def test_who_opened_a_task_ends_it(world: World) -> None:
    issue(world, caller(), delegator=None, task="T1")
    issue(world, caller("user:eve"), delegator=None, task="T2")
    issue(world, caller(), delegator=None, task="T2")
    ask(world, caller(), inventory_operations.Retire(task="T1"))
    for task in ("user:eve/T2", "T3"):
        with pytest.raises(NotFoundError, match="yours or shared with you"):
            ask(world, caller(), inventory_operations.Retire(task=task))
    ask(world, caller(), inventory_operations.Retire(task="T2"))
    with world.ledger.read() as snapshot:
        tasks = [TaskStore(snapshot).find_task("T2", name) for name in ("user:bob", "user:eve")]
    assert [task is not None and task.ended_at is None for task in tasks] == [False, True]


def test_only_an_admin_accepts_the_clock(kept: World) -> None:
    kept.issue()
    kept.clock.now += 90_000
    for roles in ((), ("issuer",), ("responder",)):
        with pytest.raises(RefusedError, match="needs the role `admin`"):
            ask(kept, caller("user:bob", *roles), inventory_operations.Retire(task="T1", accept_clock=True))
    ask(
        kept,
        caller("user:bob", "admin", "responder"),
        inventory_operations.Retire(task="T1", accept_clock=True),
    )


def test_refusals_are_told_once_and_counted(world: World) -> None:
    """A flood of refusals must not fill the ledger."""
    for _ in range(50):
        with pytest.raises(RefusedError):
            ask(world, caller(), trust_operations.ListKeys())
        with pytest.raises(RefusedError):
            ask(world, caller("user:eve"), trust_operations.ListKeys())
    assert [event["by"] for event in told(world, "denial")] == ["user:bob", "user:eve"]
    assert world.authority.tally is not None
    world.authority.tally.record(world.ledger)
    assert [(event["by"], event["counts"]) for event in told(world, "denials")] == [
        ("user:bob", {"ListKeys": 49}),
        ("user:eve", {"ListKeys": 49}),
    ]
    with pytest.raises(RefusedError):
        ask(world, caller(), trust_operations.ListKeys())
    assert len(told(world, "denial")) == 3


def _namesakes(world: World) -> list[tuple[Caller, Secret]]:
    """Return two agents of the same name, each with a separate identity and token."""
    made = [
        issue(world, caller(), delegator=None, task=task, scopes=("repo:read",)).credentials[0]
        for task in ("T1", "T2")
    ]
    return [
        (
            caller("agent:planner", delegator=None, agent="planner", credential=one.jti, identity=one.id),
            one.secret,
        )
        for one in made
    ]


def test_the_log_tells_agents_apart_that_share_a_name(world: World) -> None:
    """The event has the identity, which a renewal keeps, beside the name; old events have only the name."""
    agents = _namesakes(world)
    for agent, token in agents:
        issue(world, agent, parent=token, agent="coder", scopes=("repo:read",))
    made = told(world, "issue")[-2:]
    assert [event["by"] for event in made] == ["agent:planner"] * 2
    assert [event["by_id"] for event in made] == [agent.identity for agent, _ in agents]
    for (agent, _), event in zip(agents, made, strict=True):
        found = world.authority.perform(
            integrity_operations.ReadLog(chosen=LogFilter(by=agent.identity), limit=None)
        )
        assert [each["seq"] for each in found] == [event["seq"]]
    both = world.authority.perform(
        integrity_operations.ReadLog(chosen=LogFilter(by="agent:planner"), limit=None)
    )
    assert [each["seq"] for each in both] == [event["seq"] for event in made]
    assert world.check()


def test_no_agent_hides_its_refusals_behind_a_namesake(world: World) -> None:
    """The first refusal of each agent is an event at once, and its further refusals are counted separately."""
    agents = [agent for agent, _ in _namesakes(world)]
    for agent in agents:
        for _ in range(3):
            with pytest.raises(RefusedError):
                ask(
                    world,
                    agent,
                    inventory_operations.Revoke(selection=Selection(delegators=("user:eve",)), most=None),
                )
    assert [event["by_id"] for event in told(world, "denial")] == [agent.identity for agent in agents]
    assert world.authority.tally is not None
    world.authority.tally.record(world.ledger)
    counted = {event["by_id"]: event["counts"] for event in told(world, "denials")}
    assert counted == {agent.identity: {"Revoke": 2} for agent in agents}
    assert world.check()


def test_reads_of_namesakes_are_one_event_that_names_them(world: World) -> None:
    """Thousands of agents may have one name: an event a minute for each would fill the ledger."""
    agents = [agent for agent, _ in _namesakes(world)]
    tally = ReadTally()
    for agent in agents:
        tally.read(agent, "WhoAmI")
    tally.record(world.ledger)
    (reads,) = told(world, "reads")
    assert (reads["counts"], reads["identities"]) == ({"WhoAmI": 2}, 2)
    assert reads["by_ids"] == sorted(str(agent.identity) for agent in agents)
    assert "by_id" not in reads


def test_reads_are_told_together(world: World) -> None:
    made = world.issue()
    verifier = caller("system:gate", "verifier")
    events = len(world.events())
    for _ in range(20):
        ask(world, verifier, identity_operations.Verify(token=Secret.single(made.token)))
    ask(world, verifier, trust_operations.PublishKeys())
    assert len(world.events()) == events
    world.reopen()
    (reads,) = told(world, "reads")
    assert (reads["by"], reads["counts"]) == ("system:gate", {"Verify": 20, "PublishKeys": 1})
    assert world.check()


def test_what_cannot_be_told_is_counted_on(kept: World) -> None:
    tally = ReadTally()
    tally.read(caller(), "Verify")
    kept.clock.now += 90_000
    with pytest.raises(ClockError):
        tally.record(kept.ledger)
    kept.clock.now -= 90_000
    tally.record(kept.ledger)
    tally.record(kept.ledger)
    assert [event["counts"] for event in told(kept, "reads")] == [{"Verify": 1}]


def test_a_refusal_that_cannot_be_recorded_is_counted(kept: World) -> None:
    """The ledger accepts no record while its clock is not trusted; the caller is refused all the same."""

    def refused(times: int) -> None:
        for _ in range(times):
            with pytest.raises(RefusedError):
                ask(kept, caller(), trust_operations.ListKeys())

    kept.clock.now += 90_000
    refused(3)
    tally = kept.authority.tally
    assert tally is not None
    with pytest.raises(ClockError):
        tally.record(kept.ledger)
    kept.clock.now -= 90_000
    tally.record(kept.ledger)
    refused(2)
    tally.record(kept.ledger)
    assert [event["counts"] for event in told(kept, "denials")] == [{"ListKeys": 3}, {"ListKeys": 1}]
    assert len(told(kept, "denial")) == 1


def test_whoever_has_the_files_may_do_anything(world: World) -> None:
    ask(world, Caller("tester", None), trust_operations.RotateKey(algorithm="EdDSA"))


def test_one_s_own_is_looked_at_by_its_token_as_by_its_id(world: World) -> None:
    """This holds for all descendants of a delegator or an agent, and for certificates."""
    bob = caller("user:bob")
    top = issue(world, bob, delegator=None, may_kind=("jwt", "x509-svid"))
    agent = world.authority.perform(Authenticate(bearer=bearer(top)))
    child = issue(world, agent, parent=bearer(top), agent="coder")
    coder = world.authority.perform(Authenticate(bearer=bearer(child)))
    below = issue(world, coder, parent=bearer(child), agent="fetcher")
    attached = ask(world, agent, Attach(request=AttachRequest(bearer(top), "x509-svid")))
    (certified,) = attached.credentials
    certificate = Secret.single(certified.secret.reveal("certificate"))
    tokens = ((bearer(child), coder), (bearer(below), coder), (certificate, agent))
    for token, holder in tokens:
        looks: tuple[ops.Operation[Any], ...] = (
            inventory_operations.Inspect(token=token),
            identity_operations.Verify(token=token),
        )
        for look in looks:
            for who in (bob, agent, holder):
                assert ask(world, who, look)
            for who in (caller("user:carol"), caller("user:carol", "issuer", "sweeper", "admin")):
                with pytest.raises(RefusedError):
                    ask(world, who, look)
    with pytest.raises(RefusedError):
        ask(world, coder, inventory_operations.Inspect(token=bearer(top)))


def test_what_is_told_of_reads_is_no_decision(world: World) -> None:
    """A replay of policies over all decisions must skip these events."""
    world.issue()
    ask(world, caller("system:gate", "verifier"), trust_operations.PublishKeys())
    world.reopen()
    found = world.authority.perform(ReplayDecisions(old=tuple(default_files()), new=tuple(default_files())))
    assert (found.requests, found.changes) == (1, [])
