"""Ownership of tasks: a task belongs to its opener; the rights of other callers, and of callers without a role."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jitid.authority import guard
from jitid.authority.open import HeldAuthority
from jitid.capabilities.identity import operations as identity_operations
from jitid.capabilities.identity.filter_store import Filter
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.identity.task_store import TaskStore
from jitid.capabilities.inventory import operations as inventory_operations
from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.issue.issue_result import Issued
from jitid.capabilities.issue.operations import Attach
from jitid.capabilities.targets.operations import Settle
from jitid.errors import (
    InvalidCredentialError,
    JitidError,
    NotFoundError,
    PolicyDeniedError,
    RefusedError,
    UsageError,
)
from jitid.model.access import Caller
from jitid.model.ledger_rows import Selection
from jitid.model.process import Process, ProcessAbove
from jitid.model.request import AttachRequest, RenewRequest
from jitid.operation import base as ops
from jitid.values.secret import Secret
from tests.authority.callers import ask, bearer, caller, issue, told
from tests.builders import World, edit, request

ALICE, BOB, EVE = (caller(f"user:{name}") for name in ("alice", "bob", "eve"))
RESPONDER = caller("user:rita", "responder")


def listed(world: World, who: Caller, **chosen: Any) -> list[str]:
    """Return the delegator and the task of each credential that a caller lists."""
    operation = inventory_operations.ListCredentials(
        chosen=Filter(**chosen), sort="issued_at", descending=False, after=None, limit=100
    )
    return [f"{one.delegator} {one.task}" for one in ask(world, who, operation).credentials]


def shown(world: World, who: Caller, name: str) -> inventory_operations.TaskRow:
    """Return a task as a caller sees it."""
    return ask(world, who, inventory_operations.ShowTask(name=name))


Refused = ops.Operation[Any]


def share(
    world: World, who: Caller, task: str, *names: str, end: bool = False
) -> inventory_operations.TaskRow:
    """Share a task, or end its sharing."""
    return ask(world, who, inventory_operations.ShareTask(task=task, names=names, end=end))


def test_nobody_lowers_what_another_gets_by_naming_their_task_first(world: World) -> None:
    issue(world, EVE, delegator=None, task="INC-77", sensitivity="low", purpose="mine")
    issued = issue(world, ALICE, delegator=None, task="INC-77", purpose="repair")
    assert issued.sensitivity == "moderate"
    ask(world, EVE, inventory_operations.Retire(task="INC-77"))
    assert issue(world, ALICE, delegator=None, task="INC-77").task == "INC-77"
    assert shown(world, ALICE, "INC-77").task.purpose == "repair"
    assert world.check()


@pytest.mark.parametrize("name", ["user:alice/INC-77", "INC-77"])
def test_a_stranger_learns_nothing_of_a_task_and_ends_none(world: World, name: str) -> None:
    """The answer is the same for a task that does not exist."""
    issue(world, ALICE, delegator=None, task="INC-77", purpose="merger")
    asked: tuple[Refused, ...] = (
        inventory_operations.Retire(task=name),
        inventory_operations.ShowTask(name=name),
        inventory_operations.ShareTask(task=name, names=("user:eve",)),
        inventory_operations.GiveTask(task=name, to="user:eve"),
        inventory_operations.Revoke(selection=Selection(tasks=(name,)), most=None),
        inventory_operations.ShowTree(task=name, limit=10),
    )
    for operation in asked:
        with pytest.raises(NotFoundError) as there:
            ask(world, EVE, operation)
        assert "merger" not in there.value.message
    assert listed(world, EVE) == []
    assert ask(world, EVE, inventory_operations.ListTasks(state=None, after=None, limit=9)) == []
    with world.ledger.read() as snapshot:
        task = TaskStore(snapshot).find_task("INC-77", "user:alice")
    assert task is not None
    assert task.ended_at is None
    answers = []
    for stated in ("user:alice/INC-77", "user:alice/INC-78"):
        with pytest.raises(NotFoundError) as refused:
            issue(world, EVE, delegator=None, task=stated)
        answers.append(str(refused.value.message).replace("INC-78", "INC-77"))
    assert answers[0] == answers[1]


def test_who_shares_a_task_lets_others_join_and_not_end_it(world: World) -> None:
    issue(world, ALICE, delegator=None, task="INC-1", sensitivity="low", purpose="repair")
    assert share(world, ALICE, "INC-1", "user:bob", "group:oncall").shared == ("group:oncall", "user:bob")
    assert shown(world, BOB, "INC-1").task.purpose is None
    joined = issue(world, BOB, delegator=None, task="user:alice/INC-1")
    # The joined credential has bob's own sensitivity: sharing a task must not lower it.
    assert (joined.task, joined.sensitivity) == ("INC-1", "moderate")
    assert any("user:alice/INC-1" in note for note in joined.notes)
    assert shown(world, BOB, "user:alice/INC-1").task.purpose == "repair"
    with pytest.raises(RefusedError, match="needs the role `responder`"):
        ask(world, BOB, inventory_operations.Retire(task="INC-1"))
    (event,) = told(world, "issue")[1:]
    assert (event["task"], event["opener"], event["delegator"]) == ("INC-1", "user:alice", "user:bob")
    # A caller that joins a task does not see the credentials of others on it.
    assert listed(world, BOB, task="INC-1") == ["user:bob INC-1"]
    assert listed(world, ALICE, task="INC-1") == ["user:alice INC-1"]
    # After joining, the bare name means the shared task for a caller that has no task of that name.
    assert issue(world, BOB, delegator=None, task="INC-1").sensitivity == "moderate"
    world.know("user:eve", groups=("oncall",))
    onto = {"task": "user:alice/INC-1", "sensitivity": "high"}
    assert issue(world, EVE, delegator=None, **onto).sensitivity == "high"
    share(world, ALICE, "INC-1", "user:bob", end=True)
    assert issue(world, BOB, delegator=None, task="INC-1").sensitivity == "moderate"
    assert shown(world, BOB, "INC-1").task.opener == "user:bob"
    assert ask(world, ALICE, inventory_operations.Retire(task="INC-1")).credentials == 4
    assert world.check()


def test_a_share_that_was_not_accepted_changes_nothing_for_whom_it_names(world: World) -> None:
    """Otherwise a caller could put others on its task, revoke their credentials, and use up their names."""
    world.know("user:bob", groups=("oncall",))
    for number, name in enumerate(["user:bob", "group:oncall"]):
        task = f"INC-7{number}"
        issue(world, EVE, delegator=None, task=task, sensitivity="low", purpose="bait", deadline_after=61)
        share(world, EVE, task, name)
        with pytest.raises(PolicyDeniedError, match="has not joined"):
            ask(world, EVE, inventory_operations.GiveTask(task=task, to="user:bob"))
        own = issue(world, BOB, delegator=None, task=task, purpose="real")
        assert any(f"--task user:eve/{task}" in note for note in own.notes)
        assert shown(world, BOB, task).task.full_name == f"user:bob/{task}"
        assert ask(world, EVE, inventory_operations.Retire(task=task)).credentials == 1
        assert world.verify(own.credentials[0].secret.reveal()).task == task
    assert world.check()


def test_beside_the_ledger_a_bare_name_is_the_delegators_own_too(world: World) -> None:
    """If an authority serves other callers, a stranger may have opened a task of that name."""
    issue(world, EVE, delegator=None, task="MIX-1", sensitivity="low", deadline_after=5)
    made = world.issue(task="MIX-1", delegator="user:alice")
    assert (made.issued.sensitivity, world.verify(made.token).task_opener) == ("moderate", "user:alice")
    world.clock.now += 10
    assert world.issue(task="MIX-1", delegator="user:alice").issued.task == "MIX-1"
    ask(world, EVE, inventory_operations.Retire(task="user:eve/MIX-1"))
    assert world.verify(made.token).jti == made.jti


BELOW = {"task": "A1/sub", "sensitivity": "low"}


@pytest.mark.parametrize(
    "fields",
    [
        {"task": "LOWER-1", "sensitivity": "low"},
        {"task": "BURN-1", "deadline_after": 1},
        {"task": "SECRET-9"},
        {"task": "user:alice/SECRET-9"},
        {"task": "A10", "sensitivity": "low"},
        {"task": "a1/sub"},
        {"task": "user:eve/A1/sub"},
    ],
    ids=str,
)
def test_an_agent_names_no_task_of_its_delegator_but_its_own(world: World, fields: dict[str, Any]) -> None:
    """It can neither lower the sensitivity, use up the name, read the purpose, nor end credentials of another task."""
    held = issue(world, ALICE, delegator=None, task="A1")
    issue(world, ALICE, delegator=None, task="SECRET-9", purpose="merger")
    agent = _agent_of(held)
    for who in (agent, ALICE, caller("user:eve")):
        with pytest.raises(PolicyDeniedError, match="own-task"):
            issue(world, who, parent=bearer(held), **fields)
    with pytest.raises(PolicyDeniedError, match="own-task"):
        world.issue(parent=bearer(held).reveal(), **fields)
    assert shown(world, agent, "A1").task.name == "A1"
    assert shown(world, agent, "SECRET-9").task.purpose is None
    assert world.check()


def test_an_agent_ends_a_task_below_its_own_only_while_all_of_it_is_its_own(world: World) -> None:
    held = issue(world, ALICE, delegator=None, task="A1")
    agent = _agent_of(held)
    child = issue(world, agent, parent=bearer(held), **BELOW)
    assert child.task == "A1/sub"
    root = issue(world, ALICE, delegator=None, task="A1/sub", scopes=("prod:*",))
    # The task is as sensitive as the agent's own credential.
    assert root.sensitivity == "moderate"
    with pytest.raises(RefusedError):
        ask(world, agent, inventory_operations.Retire(task="A1/sub"))
    assert ask(
        world,
        ALICE,
        inventory_operations.Revoke(selection=Selection(ids=(root.credentials[0].id,)), most=None),
    )
    assert ask(world, agent, inventory_operations.Retire(task="A1/sub")).credentials == 1
    assert world.check()


@pytest.mark.parametrize("given", [False, True], ids=["shared", "given"])
def test_below_another_s_task_an_agent_has_no_tasks(world: World, *, given: bool) -> None:
    """For its delegator, `S/sub` is below the delegator's own `S`, not below another owner's `S`."""
    first, second = (BOB, ALICE) if given else (ALICE, BOB)
    issue(world, first, delegator=None, task="S", purpose="shared")
    share(world, first, "S", second.name)
    joined = issue(world, second, delegator=None, task=f"{first.name}/S")
    held = joined
    if given:
        held = issue(world, first, delegator=None, task="S")
        ask(world, first, inventory_operations.GiveTask(task="S", to=second.name))
    own = caller(held.delegator)
    issue(world, own, delegator=None, task="S/sub", sensitivity="low", purpose="of its delegator")
    agent = _agent_of(held)
    for task in ("S/sub", f"{own.name}/S/sub", f"{ALICE.name}/S/sub", f"{BOB.name}/S/sub", "S/new"):
        for who in (agent, own):
            with pytest.raises(PolicyDeniedError, match="own-task"):
                issue(world, who, parent=bearer(held), task=task)
    assert shown(world, agent, f"{own.name}/S/sub").task.purpose is None
    assert issue(world, agent, parent=bearer(held), task=None).task == "S"
    assert shown(world, agent, f"{ALICE.name}/S").task.purpose == "shared"
    assert world.check()


def test_an_agent_ends_nothing_that_others_issued_while_it_waited(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction that ends the task checks again which credentials are the agent's own."""
    held = issue(world, ALICE, delegator=None, task="A1")
    agent = _agent_of(held)
    issue(world, agent, parent=bearer(held), **BELOW)
    look = guard.allowed
    others: list[Issued] = []
    waiting = [True]

    def allowed(*asked: Any) -> Any:
        found = look(*asked)
        if waiting[0]:
            waiting[0] = False
            others.append(issue(world, ALICE, delegator=None, task="A1/sub"))
        return found

    monkeypatch.setattr(guard, "allowed", allowed)
    with pytest.raises(RefusedError):
        ask(world, agent, inventory_operations.Retire(task="A1/sub"))
    assert world.verify(bearer(others[0]).reveal()).task == "A1/sub"
    assert world.check()


def test_a_service_that_opened_a_task_for_somebody_does_not_end_it(world: World) -> None:
    """The task is the delegator's. The service ends the credentials that it requested by id."""
    launcher = caller("system:launcher", "issuer")
    launched = issue(world, launcher, delegator="user:bob", task="OB")
    own = issue(world, BOB, delegator=None, task="OB")
    share(world, BOB, "OB", launcher.name)
    with pytest.raises(RefusedError, match="responder"):
        ask(world, launcher, inventory_operations.Retire(task="user:bob/OB"))
    assert ask(
        world,
        launcher,
        inventory_operations.Revoke(selection=Selection(ids=(launched.credentials[0].id,)), most=None),
    )
    assert world.verify(bearer(own).reveal()).task == "OB"


def test_the_end_of_one_s_own_does_not_tell_what_else_ended(world: World) -> None:
    """An event may name the tasks, the delegators and the credentials of others."""
    own = issue(world, ALICE, delegator=None, task="Q3").credentials[0]
    other = issue(world, BOB, delegator=None, task="merger").credentials[0]
    chosen = Selection(tasks=("user:alice/Q3", "user:bob/merger"))
    ask(world, RESPONDER, inventory_operations.Revoke(selection=chosen, reason="leaked", most=None))
    found = ask(world, ALICE, inventory_operations.Inspect(id=own.id))
    assert found.ended_event is not None
    assert found.ended_event["reason"] == "leaked"
    assert {"seq", "at", "by"} <= found.ended_event.keys()
    assert "merger" not in f"{found.event} {found.ended_event}"
    assert other.id not in f"{found.event} {found.ended_event}"
    whole = ask(world, RESPONDER, inventory_operations.Inspect(id=own.id)).ended_event
    assert "merger" in f"{whole}"


def test_who_is_given_a_task_says_with_whom_it_is_shared(world: World) -> None:
    """All earlier shares end, also with the new owner and with a group of the giver's."""
    world.know("user:eve", groups=("eng",))
    issue(world, EVE, delegator=None, task="REL-1")
    share(world, EVE, "REL-1", "user:alice", "user:bob", "group:eng")
    for who in (ALICE, BOB):
        issue(world, who, delegator=None, task="user:eve/REL-1")
    given = ask(world, EVE, inventory_operations.GiveTask(task="REL-1", to="user:alice"))
    assert (given.task.full_name, given.shared) == ("user:alice/REL-1", ())
    for who in (EVE, BOB):
        with pytest.raises(NotFoundError):
            issue(world, who, delegator=None, task="user:alice/REL-1")
    share(world, ALICE, "REL-1", "user:bob")
    assert issue(world, BOB, delegator=None, task="user:alice/REL-1").task == "REL-1"
    assert world.check()


def test_who_gives_a_task_does_not_learn_which_tasks_others_have(world: World) -> None:
    issue(world, BOB, delegator=None, task="there")
    said = []
    for task in ("there", "not-there"):
        issue(world, EVE, delegator=None, task=task)
        with pytest.raises(PolicyDeniedError) as refused:
            ask(world, EVE, inventory_operations.GiveTask(task=task, to="user:bob"))
        said.append(refused.value.message.replace("not-there", "there"))
    assert said[0] == said[1]


def test_a_stated_purpose_of_a_joined_task_does_not_show_the_true_one(world: World) -> None:
    issue(world, ALICE, delegator=None, task="INC-1", purpose="merger")
    share(world, ALICE, "INC-1", "user:bob")
    with pytest.raises(UsageError) as refused:
        issue(world, BOB, delegator=None, task="user:alice/INC-1", purpose="guess")
    assert "merger" not in refused.value.message


def test_one_s_own_task_comes_before_a_shared_one(world: World) -> None:
    issue(world, BOB, delegator=None, task="INC-1")
    issue(world, ALICE, delegator=None, task="INC-1")
    share(world, ALICE, "INC-1", "user:bob")
    issue(world, BOB, delegator=None, task="INC-1")
    issue(world, BOB, delegator=None, task="user:alice/INC-1")
    issue(world, BOB, delegator=None, task="user:bob/INC-1")
    with world.ledger.read() as snapshot:
        found = CredentialStore(snapshot).credentials(
            Filter(delegator="user:bob"), "issued_at", descending=False, after=None, limit=9
        )
    assert [one.task_opener for one in found] == ["user:bob", "user:bob", "user:alice", "user:bob"]


def test_a_name_that_several_share_is_an_error_that_lists_them(world: World) -> None:
    for owner in (ALICE, EVE):
        issue(world, owner, delegator=None, task="INC-1")
        share(world, owner, "INC-1", "user:bob")
        issue(world, BOB, delegator=None, task=f"{owner.name}/INC-1")
    with pytest.raises(UsageError) as refused:
        issue(world, BOB, delegator=None, task="INC-1")
    assert refused.value.hint == "use one of: user:alice/INC-1, user:eve/INC-1"
    issue(world, BOB, delegator=None, task="user:bob/INC-1")
    issue(world, BOB, delegator=None, task="INC-1")


def test_a_task_that_is_over_uses_up_no_name_of_others(world: World) -> None:
    issue(world, EVE, delegator=None, task="INC-1")
    share(world, EVE, "INC-1", "user:bob")
    ask(world, EVE, inventory_operations.Retire(task="INC-1"))
    assert issue(world, BOB, delegator=None, task="INC-1").task == "INC-1"
    with pytest.raises(PolicyDeniedError, match="task-ended"):
        issue(world, EVE, delegator=None, task="INC-1")


def test_nobody_is_given_a_task_that_they_have_not_joined(world: World) -> None:
    """Otherwise a caller could use up another's task name and lower the sensitivity of its credentials."""
    issue(world, EVE, delegator=None, task="INC-1", sensitivity="low")
    with pytest.raises(PolicyDeniedError, match="has not joined"):
        ask(world, EVE, inventory_operations.GiveTask(task="INC-1", to="user:bob"))
    share(world, EVE, "INC-1", "user:bob")
    with pytest.raises(PolicyDeniedError, match="has not joined"):
        ask(world, EVE, inventory_operations.GiveTask(task="INC-1", to="user:bob"))
    issue(world, BOB, delegator=None, task="user:eve/INC-1")
    given = ask(world, EVE, inventory_operations.GiveTask(task="INC-1", to="user:bob"))
    assert given.task.full_name == "user:bob/INC-1"
    # The opener chose the sensitivity of the task.
    assert issue(world, BOB, delegator=None, task="INC-1").sensitivity == "moderate"
    with pytest.raises(NotFoundError):
        ask(world, EVE, inventory_operations.Retire(task="user:eve/INC-1"))
    ask(world, BOB, inventory_operations.Retire(task="INC-1"))
    issue(world, EVE, delegator=None, task="INC-1")
    assert world.check()


def test_the_tasks_of_the_disabled_fall_to_responders(world: World) -> None:
    world.know("user:alice")
    issue(world, ALICE, delegator=None, task="INC-1")
    share(world, ALICE, "INC-1", "user:bob")
    world.know("user:alice", disabled_at=world.clock.now)
    with pytest.raises(NotFoundError):
        issue(world, BOB, delegator=None, task="user:alice/INC-1")
    with pytest.raises(RefusedError):
        ask(world, ALICE, inventory_operations.Retire(task="INC-1"))
    ask(world, RESPONDER, inventory_operations.GiveTask(task="user:alice/INC-1", to="user:bob"))
    assert shown(world, BOB, "INC-1").task.opener == "user:bob"
    ask(world, BOB, inventory_operations.Retire(task="INC-1"))


def test_an_agent_ends_the_task_that_it_opened_after_a_renewal_too(world: World) -> None:
    """The identity counts, not the credential that the agent had when it opened the task."""
    own = issue(world, ALICE, delegator=None, task="INC-1")
    (held,) = own.credentials

    def agent(jti: str) -> Caller:
        return Caller("agent:agent", frozenset(), None, "credential", jti, "agent")

    issue(world, agent(held.jti), parent=held.secret, task="INC-1/2")
    renewed = ask(world, agent(held.jti), issue_operations.Renew(request=RenewRequest(held.secret)))
    other = issue(world, ALICE, delegator=None, task="INC-3")
    with pytest.raises(RefusedError):
        ask(world, agent(other.credentials[0].jti), inventory_operations.Retire(task="INC-1/2"))
    assert (
        ask(world, agent(renewed.credentials[0].jti), inventory_operations.Retire(task="INC-1/2")).credentials
        == 1
    )


def test_roles_name_a_task_with_its_owner(world: World) -> None:
    for owner in (ALICE, BOB):
        issue(world, owner, delegator=None, task="INC-1")
    with pytest.raises(UsageError, match="several tasks have the name"):
        ask(world, RESPONDER, inventory_operations.Retire(task="INC-1"))
    assert listed(world, RESPONDER, task="user:bob/INC-1") == ["user:bob INC-1"]
    assert ask(world, RESPONDER, inventory_operations.Retire(task="user:bob/INC-1")).credentials == 1
    assert listed(world, RESPONDER, live=True) == ["user:alice INC-1"]


def test_one_s_own_is_listed_and_revoked_without_a_role(world: World) -> None:
    """A selection that also names others is refused as a whole; further refusals are in `rules.py`."""
    own = issue(world, ALICE, delegator=None, task="INC-1")
    issue(world, caller("system:launcher", "issuer"), delegator="user:alice", task="INC-2")
    others = issue(world, BOB, delegator=None, task="INC-3")
    assert listed(world, ALICE) == ["user:alice INC-1", "user:alice INC-2"]
    with world.ledger.read() as snapshot:
        (made,) = CredentialStore(snapshot).credentials(
            Filter(task="INC-2"), "id", descending=False, after=None, limit=9
        )
    refusals: tuple[Refused, ...] = (
        inventory_operations.ShowTree(ids=(made.id, others.credentials[0].id), limit=9),
        inventory_operations.Revoke(selection=Selection(ids=(made.id, others.credentials[0].id)), most=None),
        inventory_operations.Revoke(selection=Selection(delegators=("user:alice", "user:bob")), most=None),
        inventory_operations.Revoke(
            selection=Selection(agents=("agent",), delegators=("agent:agent",)), most=None
        ),
    )
    for refused in refusals:
        with pytest.raises(RefusedError):
            ask(world, ALICE, refused)
    tree = ask(world, ALICE, inventory_operations.ShowTree(ids=(own.credentials[0].id,), limit=9))
    assert [one.id for one in tree.credentials] == [own.credentials[0].id]
    # All three credentials have this agent; only alice's are revoked.
    assert (
        ask(
            world, ALICE, inventory_operations.Revoke(selection=Selection(agents=(own.agent,)), most=None)
        ).credentials
        == 2
    )
    with pytest.raises(JitidError):
        ask(world, ALICE, inventory_operations.Revoke(selection=Selection(), most=None))
    assert listed(world, RESPONDER, live=True) == ["user:bob INC-3"]


def _renewed(world: World, who: Caller, held: Secret) -> Issued:
    return ask(world, who, issue_operations.Renew(request=RenewRequest(held)))


def _attached(world: World, who: Caller, held: Secret) -> Issued:
    return ask(world, who, Attach(request=AttachRequest(held, "opaque", audiences=("urn:api",))))


def _agent_of(issued: Issued) -> Caller:
    return Caller("agent:agent", frozenset(), None, "credential", issued.credentials[0].jti, "agent")


@pytest.mark.parametrize("make", [_renewed, _attached])
@pytest.mark.parametrize("other", ["user:eve", "system:launcher", "agent"])
def test_an_identity_is_owned_by_who_opened_it_whoever_adds_to_it(
    world: World, make: Callable[[World, Caller, Secret], Issued], other: str
) -> None:
    """A caller that was given a token may renew it, but does not become an owner of the identity."""
    own = issue(world, ALICE, delegator=None, task="INC-1", may_audience=("urn:api",))
    who = caller(other)
    if other == "agent":
        who = _agent_of(issue(world, EVE, delegator=None, task="INC-2"))
    first, (added,) = own.credentials[0], make(world, who, bearer(own)).credentials
    assert added.id == first.id
    refusals: list[Refused] = []
    for id_ in (first.id, first.jti, added.jti):
        refusals += [
            inventory_operations.Inspect(id=id_),
            inventory_operations.Revoke(selection=Selection(ids=(id_,)), most=None),
            inventory_operations.Revoke(selection=Selection(trees=(id_,)), most=None),
            Settle(ids=(id_,)),
            inventory_operations.ShowTree(ids=(id_,), limit=9),
        ]
    refusals += [
        inventory_operations.Inspect(token=first.secret),
        identity_operations.Verify(token=first.secret),
        inventory_operations.Retire(task="INC-1"),
    ]
    for refused in refusals:
        with pytest.raises((RefusedError, NotFoundError)):
            ask(world, who, refused)
    for id_ in (first.id, first.jti, added.jti):
        assert ask(world, ALICE, inventory_operations.Inspect(id=id_)).active
    assert (
        ask(
            world, ALICE, inventory_operations.Revoke(selection=Selection(ids=(added.jti,)), most=None)
        ).credentials
        == 2
    )
    assert world.check()


def test_an_agent_s_own_is_its_identity_and_what_it_delegated(world: World) -> None:
    top = issue(world, ALICE, delegator=None, task="INC-1").credentials[0]
    issue(world, ALICE, delegator=None, task="INC-2")
    agent = Caller("agent:agent", frozenset(), None, "credential", top.jti, "agent")
    child = issue(world, agent, parent=top.secret, agent="coder").credentials[0]
    below = Caller("agent:coder", frozenset(), None, "credential", child.jti, "coder")
    assert listed(world, agent) == ["user:alice INC-1"] * 2
    assert listed(world, below) == ["user:alice INC-1"]
    assert [
        one.id for one in ask(world, below, inventory_operations.ShowTree(task="INC-1", limit=9)).credentials
    ] == [child.id]
    assert (
        ask(
            world, agent, inventory_operations.Revoke(selection=Selection(ids=(child.id,)), most=None)
        ).credentials
        == 1
    )


def test_a_tree_is_shown_below_one_s_own_alone(world: World) -> None:
    """A caller must not use the field by which the authority narrows the tree to see more of it."""
    (own,) = issue(world, EVE, delegator=None, task="INC-1").credentials
    (others,) = issue(world, ALICE, delegator=None, task="INC-1", purpose="merger").credentials
    for delegator in (None, "user:alice"):
        for ids, task in (((own.id,), None), ((), "INC-1"), ((own.id,), "INC-1")):
            tree = inventory_operations.ShowTree(
                ids=ids, task=task, limit=9, under=others.id, delegator=delegator
            )
            assert [one.id for one in ask(world, EVE, tree).credentials] == [own.id]


@pytest.mark.parametrize("name", ["user:bob/X", "system:ci/X", "agent:a/X", "adopted/X"])
def test_no_new_task_is_called_like_another_one_s(world: World, name: str) -> None:
    for who in (ALICE, caller("user:alice", "issuer")):
        with pytest.raises((UsageError, NotFoundError)):
            issue(world, who, delegator=None, task=name)
    with pytest.raises(UsageError):
        issue(world, BOB, delegator=None, task=f"user:bob/{name}")


def test_an_owner_s_name_may_have_a_slash(world: World) -> None:
    who = caller("user:team/alice")
    issue(world, who, delegator=None, task="a/b")
    issue(world, caller("user:team"), delegator=None, task="alice/a/b")
    assert shown(world, who, "a/b").task.full_name == "user:team%2Falice/a/b"
    assert ask(world, RESPONDER, inventory_operations.Retire(task="user:team%2Falice/a/b")).credentials == 1
    assert listed(world, RESPONDER, live=True) == ["user:team alice/a/b"]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE task SET opener = (SELECT id FROM term WHERE text = 'user:bob') WHERE name = 'INC-2'",
        "UPDATE task SET given_event = 0, opener = (SELECT id FROM term WHERE text = 'user:bob') WHERE name = 'INC-2'",
        "UPDATE task SET sensitivity = 'low' WHERE name = 'INC-1'",
        "UPDATE task SET deadline = deadline + 9 WHERE name = 'INC-1'",
        "UPDATE task SET given_event = NULL WHERE given_event > 0",
        "UPDATE task SET ended_at = NULL WHERE ended_at IS NOT NULL",
        "UPDATE task SET ended_at = opened_at WHERE ended_at IS NULL",
        "UPDATE task_share SET ended_event = NULL",
        "UPDATE task_share SET name = 'user:eve'",
        "DELETE FROM task_share",
        "INSERT INTO task_share VALUES (99, (SELECT min(id) FROM task), 'user:eve', 1, NULL)",
    ],
)
def test_an_edit_of_whose_a_task_is_shows_in_the_audit(kept: World, change: str) -> None:
    world = kept
    issue(world, ALICE, delegator=None, task="INC-1")
    share(world, ALICE, "INC-1", "user:bob", "user:dora")
    share(world, ALICE, "INC-1", "user:dora", end=True)
    issue(world, BOB, delegator=None, task="user:alice/INC-1")
    issue(world, ALICE, delegator=None, task="INC-2")
    ask(world, ALICE, inventory_operations.GiveTask(task="INC-1", to="user:bob"))
    issue(world, ALICE, delegator=None, task="INC-3")
    ask(world, ALICE, inventory_operations.Retire(task="INC-3"))
    assert world.check()
    edit(world.path, change)
    with pytest.raises(JitidError):
        world.check()


def test_the_secret_of_another_is_no_right_over_their_task(world: World) -> None:
    """A caller that was merely shown a token of a task cannot claim the task with it."""
    token = bearer(issue(world, ALICE, delegator=None, task="INC-1"))
    with pytest.raises(RefusedError):
        ask(
            world,
            EVE,
            inventory_operations.Revoke(
                selection=Selection(), tokens=(Secret.single(token.reveal()),), most=None
            ),
        )


@pytest.mark.usefixtures("kept_in")
def test_nobody_prevents_identities_of_the_process_of_another(world: World) -> None:
    """A caller states its process itself, and revokes its identity. Only its own identities end with that."""
    process = Process("host", "boot", 7, 42, 99, kept=False)
    made = issue(world, EVE, delegator=None, process=process)
    ended = inventory_operations.Revoke(selection=Selection(ids=(made.credentials[0].id,)), most=None)
    assert ask(world, EVE, ended).barred == 1
    issue(world, ALICE, delegator=None, process=process)
    # An issuer acts for others, too: Eve's revocation prevents her identities, and not Bob's.
    ina = caller("user:ina", "issuer")
    issue(world, ina, delegator="user:bob", process=process)
    for who, task, delegator in ((EVE, "OTHER", None), (ina, "THIRD", "user:eve")):
        with pytest.raises(InvalidCredentialError, match="was revoked"):
            issue(world, who, delegator=delegator, task=task, process=process)
        below, above = process._replace(pid=43), (ProcessAbove(1, 1), ProcessAbove(42, 99))
        issue(world, who, delegator=delegator, task=task, process=below, above=(ProcessAbove(42, 98),))
        with pytest.raises(InvalidCredentialError, match="the process 42 was revoked"):
            issue(world, who, delegator=delegator, task=f"{task}-2", process=below, above=above)
    assert world.check()


@pytest.mark.usefixtures("kept_in")
def test_many_revoked_identities_of_a_process_bar_it_once(world: World) -> None:
    """Otherwise one caller could slow the issues of other callers with the same process."""
    process = Process("host", "boot", 7, 42, 99, kept=False)
    rows = "SELECT relation, name, event FROM barred ORDER BY 1, 2"

    def revoked(task: str) -> int:
        ended = inventory_operations.Revoke(selection=Selection(tasks=(task,)), most=None)
        return ask(world, EVE, ended).barred

    for task in ("A", "A", "B"):
        issue(world, EVE, delegator=None, task=task, process=process, copies=30)
    root = issue(world, EVE, delegator=None, task="A", process=process)
    issue(world, EVE, delegator=None, task=None, parent=bearer(root), process=process)
    seqs = []
    for task in ("A", "B"):
        assert revoked(task) == 1
        event = world.events()[-1]
        assert len(event["barred"]) <= 2
        seqs.append(event["seq"])
        with world.ledger.read() as snapshot:
            kept = snapshot.db.execute(rows).fetchall()
        # A later revocation keeps the row for longer.
        assert [tuple(row) for row in kept] == [
            ("delegator", "user:eve", seqs[-1]),
            ("requester", "user:eve", seqs[-1]),
            ("root", "user:eve", seqs[0]),
        ]
        assert revoked(task) == 0
        assert world.events()[-1]["seq"] == seqs[-1]
    with pytest.raises(InvalidCredentialError, match="was revoked"):
        issue(world, EVE, delegator=None, task="C", process=process)
    issue(world, BOB, delegator=None, process=process)
    assert world.check()


@pytest.mark.usefixtures("kept_in")
def test_who_may_name_any_delegator_evades_no_revocation_by_another_name(world: World) -> None:
    """Of an issuer, and beside the ledger: an identity that the same caller requested was revoked."""
    process = Process("host", "boot", 7, 42, 99, kept=False)
    ina, other = (caller(f"user:{name}", "issuer") for name in ("ina", "olaf"))
    made = issue(world, ina, delegator="user:bob", process=process)
    ended = inventory_operations.Revoke(selection=Selection(ids=(made.credentials[0].id,)), most=None)
    assert ask(world, RESPONDER, ended).barred == 1
    for who, delegator in ((ina, "user:alice"), (ina, "user:ina"), (BOB, None), (other, "user:bob")):
        with pytest.raises(InvalidCredentialError, match="was revoked"):
            issue(world, who, delegator=delegator, process=process)
    issue(world, ALICE, delegator=None, process=process)
    issue(world, other, delegator="user:alice", process=process)


@pytest.mark.parametrize("is_child", [False, True])
@pytest.mark.usefixtures("kept_in")
def test_beside_the_ledger_no_other_name_evades_a_revocation(world: World, is_child: bool) -> None:
    """In `jitid run` the identity of a session is a child, which the agent of the run requests."""
    process = Process("host", "boot", 7, 42, 99, kept=False)

    def issued(authority: ops.Authority, **fields: Any) -> Issued:
        (made,) = authority.perform(issue_operations.Issue(requests=(request(process=process, **fields),)))
        return made

    # Another person, at the authority of the same ledger, prevents no identity of the user beside it.
    eves = issue(world, EVE, delegator=None, process=process)
    child = issue(world, EVE, delegator=None, parent=bearer(eves), process=process)
    for each in (child, eves):
        ended = inventory_operations.Revoke(selection=Selection(ids=(each.credentials[0].id,)), most=None)
        ask(world, EVE, ended)
    made = issued(world.authority)
    if is_child:
        made = issued(HeldAuthority(world.authority, bearer(made)), parent=bearer(made), delegator=None)
    ended = inventory_operations.Revoke(selection=Selection(ids=(made.credentials[0].id,)), most=None)
    assert world.authority.perform(ended).barred == 1
    with pytest.raises(InvalidCredentialError, match="was revoked"):
        issued(world.authority, delegator="user:zoe")
    assert world.check()
