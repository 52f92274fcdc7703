"""Use of approvals: only the person or the identity that requested an approval may use it."""

from __future__ import annotations

from typing import Any

import pytest

from jitid.capabilities.access.operations import Authenticate
from jitid.capabilities.directory.operations import DisableDelegator, EnableDelegator
from jitid.capabilities.inventory import operations as inventory_operations
from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.issue.approval_operations import (
    DenyApproval,
    FindApprovals,
    GrantApproval,
    ListApprovals,
    ShowApproval,
)
from jitid.capabilities.issue.approval_store import ApprovalStore
from jitid.capabilities.issue.issue_result import Issued
from jitid.errors import ApprovalNeededError, IntegrityError, PolicyDeniedError, RefusedError
from jitid.model.access import Caller
from jitid.model.approval import ApprovalFilter, ApprovalState
from jitid.model.request import RenewRequest
from jitid.operation import base as ops
from tests.authority.callers import ask, bearer, caller, issue
from tests.builders import World, edit, policed, request

POLICY = """
@id("all") permit (principal, action, resource);
@id("pay-needs-security") @approval("security")
forbid (principal, action == Action::"grant", resource)
when { context.scope == "pay:out" };
"""


@pytest.fixture(autouse=True)
def _policed(world: World) -> None:
    world.terms = policed(world.terms, [("p.cedar", POLICY)])
    world.know("user:alice")
    world.know("user:bob", groups=("security",))
    world.know("user:carol")
    world.reopen()


def needed(world: World, who: Caller, **fields: Any) -> str:
    """Assert that a caller's request needs an approval; return the id of the approval request."""
    with pytest.raises(ApprovalNeededError) as caught:
        issue(world, who, **{"scopes": ["pay:out"], **fields})
    return caught.value.requests[0]


def grant(world: World, id_: str) -> None:
    ask(world, caller("user:bob"), GrantApproval(id=id_))


def state(world: World, id_: str) -> ApprovalState:
    page = world.authority.perform(FindApprovals(ids=(id_,)))
    return page.approvals[0].state_at(page.now)


def agent(world: World, issued: Issued) -> Caller:
    """Return the caller that an agent's token authenticates."""
    return world.authority.perform(Authenticate(bearer=bearer(issued)))


def lead(world: World, delegator: str = "user:alice") -> Issued:
    (made,) = world.authority.perform(
        issue_operations.Issue(requests=(request(delegator=delegator, agent="lead", scopes=["pay:*"]),))
    )
    return made


def test_a_caller_does_not_use_what_another_one_requested(world: World) -> None:
    """Both callers may name the delegator, and their requests are identical."""
    gateway, other = caller("system:gateway", "issuer"), caller("system:other", "issuer")
    id_ = needed(world, gateway, delegator="user:alice")
    grant(world, id_)
    own = needed(world, other, delegator="user:alice")
    assert own != id_
    assert state(world, id_) is ApprovalState.GRANTED
    with pytest.raises(RefusedError):
        ask(world, other, ShowApproval(id=id_))
    with pytest.raises(RefusedError):
        ask(world, other, FindApprovals(ids=(id_, own)))
    assert ask(world, gateway, ShowApproval(id=id_)).approval.asked_by == "system:gateway"
    issue(world, gateway, delegator="user:alice", scopes=["pay:out"])
    assert state(world, id_) is ApprovalState.USED
    world.check()


def test_a_request_is_shown_to_the_groups_that_must_approve_it_alone(world: World) -> None:
    """A member of another group does not see it."""
    id_ = needed(world, caller("user:alice"), delegator=None, purpose="merger")
    world.know("user:carol", groups=("everybody",))
    bob, carol = caller("user:bob"), caller("user:carol")
    looks: tuple[ops.Operation[Any], ...] = (ShowApproval(id=id_), FindApprovals(ids=(id_,)))
    for look in looks:
        assert ask(world, bob, look)
        with pytest.raises(RefusedError):
            ask(world, carol, look)
    for chosen in (ApprovalFilter(), ApprovalFilter(waiting=True), ApprovalFilter(group="security")):
        seen = [ask(world, who, ListApprovals(chosen=chosen, limit=9)).approvals for who in (bob, carol)]
        assert [[one.id for one in found] for found in seen] == [[id_], []]
    with pytest.raises(RefusedError):
        ask(world, caller("user:alice"), ListApprovals(chosen=ApprovalFilter(), limit=9))
    world.know("user:carol", groups=("everybody", "security"))
    assert len(ask(world, carol, ListApprovals(chosen=ApprovalFilter(), limit=9)).approvals) == 1


def test_a_request_on_a_shared_task_does_not_show_what_the_task_is_for(world: World) -> None:
    """The groups that must approve see the purpose; the requester sees it after joining the task."""
    alice, carol = caller("user:alice"), caller("user:carol")
    issue(world, alice, delegator=None, task="INC-1", purpose="merger")
    ask(world, alice, inventory_operations.ShareTask(task="INC-1", names=("user:carol",)))
    waiting = needed(world, carol, delegator=None, task="user:alice/INC-1")
    assert "merger" not in repr(ask(world, carol, ShowApproval(id=waiting)))
    assert "merger" in repr(ask(world, caller("user:bob"), ShowApproval(id=waiting)))
    issue(world, carol, delegator=None, task="user:alice/INC-1")
    assert "merger" in repr(ask(world, carol, ShowApproval(id=waiting)).task)


def test_a_request_on_a_task_that_was_given_on_does_not_show_what_it_is_for(world: World) -> None:
    """The former owner of the task has no say, and only the approving groups may decide on a closed request."""
    alice, bob, carol = (caller(f"user:{name}") for name in ("alice", "bob", "carol"))
    issue(world, alice, delegator=None, task="INC-1", purpose="merger")
    ask(world, alice, inventory_operations.ShareTask(task="INC-1", names=("user:carol", "user:bob")))
    waiting = needed(world, carol, delegator=None, task="user:alice/INC-1")
    issue(world, bob, delegator=None, task="user:alice/INC-1")
    ask(world, alice, inventory_operations.GiveTask(task="INC-1", to="user:bob"))
    assert "merger" not in repr(ask(world, carol, ShowApproval(id=waiting)))
    assert "merger" not in repr(ask(world, carol, FindApprovals(ids=(waiting,))))
    assert ask(world, bob, DenyApproval(id=waiting)).event
    assert ask(world, bob, DenyApproval(id=waiting)).event is None
    with pytest.raises(PolicyDeniedError, match="approver-group"):
        ask(world, carol, DenyApproval(id=waiting))


def test_an_agent_that_was_renewed_uses_what_it_requested(world: World) -> None:
    """The requester is the identity, not the credential that the agent had at the time."""
    made = lead(world)
    first = agent(world, made)
    id_ = needed(world, first, parent=bearer(made), agent="payer")
    (found,) = world.authority.perform(FindApprovals(ids=(id_,))).approvals
    assert found.asked_by == made.credentials[0].id
    grant(world, id_)
    renewed = ask(world, first, issue_operations.Renew(request=RenewRequest(bearer(made))))
    again = agent(world, renewed)
    assert again.credential != first.credential
    assert ask(world, again, ShowApproval(id=id_)).approval.id == id_
    issue(world, again, parent=bearer(renewed), agent="payer", scopes=["pay:out"])
    assert state(world, id_) is ApprovalState.USED
    world.check()


def test_an_agent_of_the_same_name_does_not_use_it(world: World) -> None:
    made, twin = lead(world), lead(world)
    id_ = needed(world, agent(world, made), parent=bearer(made), agent="payer")
    grant(world, id_)
    # The request is identical, with the same parent.
    other = agent(world, twin)
    assert needed(world, other, parent=bearer(made), agent="payer") != id_
    with pytest.raises(RefusedError):
        ask(world, other, ShowApproval(id=id_))
    assert needed(world, caller("user:alice"), parent=bearer(made), agent="payer") != id_
    assert state(world, id_) is ApprovalState.GRANTED


def test_a_row_from_before_is_used_by_the_agent_that_its_event_tells_of(world: World) -> None:
    made = lead(world)
    one = agent(world, made)
    before = one._replace(identity=None)
    id_ = needed(world, before._replace(name="agent:lead"), parent=bearer(made), agent="payer")
    with world.ledger.read() as snapshot:
        (row,) = [each for each in ApprovalStore(snapshot).all() if each.id == id_]
    # An earlier version of jitid recorded the row so.
    assert row.asked_by == "agent:lead"
    grant(world, id_)
    assert needed(world, agent(world, lead(world)), parent=bearer(made), agent="payer") != id_
    issue(world, one, parent=bearer(made), agent="payer", scopes=["pay:out"])
    assert state(world, id_) is ApprovalState.USED


def test_for_whom_an_agent_acts_does_not_approve_of_what_it_requests(world: World) -> None:
    """This holds even if the request is for another delegator."""
    made, shown = lead(world, "user:bob"), lead(world)
    id_ = needed(world, agent(world, made), parent=bearer(shown), agent="payer")
    with pytest.raises(PolicyDeniedError, match="approver-requester"):
        grant(world, id_)
    assert state(world, id_) is ApprovalState.OPEN


@pytest.mark.parametrize("granted", [False, True])
def test_what_somebody_requested_is_withdrawn_when_they_are_disabled(world: World, *, granted: bool) -> None:
    """This holds for every delegator, and enabling the requester does not bring the request back."""
    carol = caller("user:carol", "issuer")
    id_ = needed(world, carol, delegator="user:alice")
    if granted:
        grant(world, id_)
    world.authority.perform(DisableDelegator(name="user:carol", most=None))
    world.authority.perform(EnableDelegator(name="user:carol"))
    assert state(world, id_) is ApprovalState.WITHDRAWN
    assert needed(world, carol, delegator="user:alice") != id_
    world.check()


def test_an_edit_of_the_requester_is_no_right(kept: World) -> None:
    kept.terms = policed(kept.terms, [("p.cedar", POLICY)])
    kept.know("user:bob", groups=("security",))
    kept.reopen()
    id_ = needed(kept, caller("system:gateway", "issuer"), delegator="user:alice")
    grant(kept, id_)
    edit(kept.path, "UPDATE approval SET asked_by = 'system:other'")
    with pytest.raises(IntegrityError):
        issue(kept, caller("system:other", "issuer"), delegator="user:alice", scopes=["pay:out"])
