"""Policies that name a task with its owner: they never apply to another owner's task of that name."""

from __future__ import annotations

from typing import Any, cast

import pytest

from jitid.capabilities.access.operations import Authenticate
from jitid.capabilities.decisions.operations import Explain, ReplayDecisions
from jitid.capabilities.inventory import operations as inventory_operations
from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.issue.issue_result import Issued
from jitid.capabilities.issue.operations import Attach
from jitid.capabilities.use.authorization import UseRequest, check_action
from jitid.capabilities.use.operations import Authorize
from jitid.errors import JitidError, PolicyDeniedError
from jitid.model.access import Caller
from jitid.model.request import AttachRequest, RenewRequest
from jitid.operation import base as ops
from tests.authority.callers import ask, bearer, caller, issue
from tests.builders import World, policed, request
from tests.capabilities.sweep.asking import found as swept

PLAIN = '@id("all") permit (principal, action, resource);\n'
RELEASE = """@id("release")
permit (principal, action == Action::"issue", resource == Task::"REL-7")
when {
  resource.owner == Delegator::"user:alice" &&
  context.kind == "ssh-cert" && context.template == ""
};
"""
OWNED = PLAIN + RELEASE
DEPLOY = """@id("deploy")
forbid (principal, action, resource)
unless { context.task_owner == "user:alice" && context.task like "REL-*" };
"""
ALICE, BOB, MALLORY = (caller(f"user:{name}") for name in ("alice", "bob", "mallory"))
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8Wm0y1VxSyTjA1hDkF4BNHR9JC+Ld3sE2kQhV9Qm1z"
CERTIFICATE: dict[str, Any] = {"kind": "ssh-cert", "public_key": KEY, "delegator": None}


@pytest.fixture(autouse=True)
def _people(world: World) -> None:
    for one in (ALICE, BOB, MALLORY):
        world.know(one.name)


def under(world: World, text: str) -> None:
    """Put a policy in force."""
    world.terms = policed(world.terms, [("p.cedar", text)])
    world.reopen()


def agent(world: World, issued: Issued) -> Caller:
    return world.authority.perform(Authenticate(bearer=bearer(issued)))


def refused(world: World, who: Caller, rule: str, operation: ops.Operation[Any]) -> None:
    with pytest.raises(PolicyDeniedError, match=rule):
        ask(world, who, operation)


def test_nobody_else_gets_what_a_rule_permits_on_somebodys_task(world: World) -> None:
    under(world, OWNED)
    wanted = request(task="REL-7", **CERTIFICATE)
    refused(world, MALLORY, "kind-by-name", issue_operations.Issue(requests=(wanted,)))
    refused(world, MALLORY, "kind-by-name", issue_operations.Issue(requests=(wanted,), dry_run=True))
    assert issue(world, ALICE, task="REL-7", **CERTIFICATE).kind == "ssh-cert"
    # Her own task of that name now exists, and gives her no more rights than before.
    issue(world, MALLORY, task="REL-7", delegator=None)
    refused(world, MALLORY, "kind-by-name", issue_operations.Issue(requests=(wanted,)))
    world.check()


def test_who_joins_a_task_is_on_its_owners(world: World) -> None:
    """A task that was given away is its new owner's from then on."""
    under(world, OWNED)
    issue(world, ALICE, task="REL-7", delegator=None)
    ask(world, ALICE, inventory_operations.ShareTask(task="REL-7", names=("user:bob",)))
    assert issue(world, BOB, task="user:alice/REL-7", **CERTIFICATE).kind == "ssh-cert"
    ask(world, ALICE, inventory_operations.GiveTask(task="REL-7", to="user:bob"))
    wanted = request(task="user:bob/REL-7", **CERTIFICATE)
    refused(world, BOB, "kind-by-name", issue_operations.Issue(requests=(wanted,)))
    world.check()


def _through(world: World, opener: Caller, who: Caller) -> dict[str, ops.Operation[Any]]:
    """Issue an identity on a task under a permissive policy; return operations to perform under the test's policy."""
    under(world, PLAIN)
    scopes, task = ("a:b",), "REL-7"
    if who is not opener:
        issue(world, opener, task=task, delegator=None)
        ask(world, opener, inventory_operations.ShareTask(task=task, names=(who.name,)))
        task = f"{opener.name}/{task}"
    held = issue(world, who, task=task, delegator=None, agent="lead", scopes=scopes, may_audience=("urn:x",))
    token = bearer(held)
    child = request(task=None, delegator=None, parent=token, agent="coder", scopes=scopes)
    under(world, PLAIN + DEPLOY)
    return {
        "issue": issue_operations.Issue(requests=(request(task=task, delegator=None),)),
        "delegate": issue_operations.Issue(requests=(child,)),
        "attach": Attach(request=AttachRequest(token, "jwt", audiences=("urn:x",))),
        "authorize": Authorize(
            asked=(UseRequest(token, check_action("a:b"), "x"),), audiences=(world.ledger.names.issuer,)
        ),
        "explain": Explain(token=token),
        "renew": issue_operations.Renew(request=RenewRequest(token)),
    }


def _passes(world: World, owner: Caller, who: Caller, operation: ops.Operation[Any]) -> bool:
    """Return whether the policy permits an operation now."""
    if isinstance(operation, (Authorize, Explain)):
        answer: Any = world.authority.perform(cast("ops.Operation[Any]", operation))
        if isinstance(operation, Explain):
            assert answer.request.task_owner == owner.name
            return bool(answer.now.decision == "permit")
        return all(verdict.allowed for verdict in answer.verdicts)
    try:
        ask(world, who, operation)
    except JitidError as error:
        assert "deploy" in error.message
        return False
    return True


@pytest.mark.parametrize(
    ("owner", "who"),
    [(ALICE, ALICE), (ALICE, BOB), (MALLORY, MALLORY), (MALLORY, ALICE)],
    ids=lambda one: one.name,
)
@pytest.mark.parametrize("what", ["issue", "delegate", "attach", "authorize", "explain", "renew"])
def test_every_question_about_a_task_has_its_owner(
    world: World, owner: Caller, who: Caller, what: str
) -> None:
    """This holds for the owner and for callers that joined the task."""
    operation = _through(world, owner, who)[what]
    assert _passes(world, owner, who, operation) is (owner is ALICE)
    world.check()


def test_what_was_decided_is_asked_again_with_the_owner_of_then(world: World) -> None:
    """Requests that a policy cannot distinguish are counted together; it can distinguish owners."""
    under(world, PLAIN)
    for who in (ALICE, MALLORY, BOB):
        for _ in range(2):
            issue(world, who, task="REL-7", delegator=None)
    ask(world, ALICE, inventory_operations.ShareTask(task="REL-7", names=("user:bob",)))
    joined = issue(world, BOB, task="user:alice/REL-7", delegator=None)
    ask(world, agent(world, joined), issue_operations.Renew(request=RenewRequest(bearer(joined))))
    files = [(("p.cedar", text),) for text in (PLAIN, PLAIN + DEPLOY)]
    replayed = world.authority.perform(ReplayDecisions(old=files[0], new=files[1]))
    assert sum(one.credentials for one in replayed.changes) == 4
    assert replayed.credentials == 8
    # To the policy, bob's requests on his own task and mallory's are alike; the others are on alice's task.
    assert [(one.document["delegator"], one.credentials) for one in replayed.changes] == [("user:mallory", 4)]


@pytest.mark.parametrize(
    "condition", ['context.task_owner == "user:alice"', 'resource.owner == Delegator::"user:alice"']
)
def test_what_lives_is_asked_about_with_its_owner(world: World, condition: str) -> None:
    """The delegators do not matter, because no rule refers to them."""
    under(world, PLAIN)
    for who in (MALLORY, ALICE, BOB):
        issue(world, who, task="REL-7", delegator=None)
    ask(world, ALICE, inventory_operations.ShareTask(task="REL-7", names=("user:bob",)))
    issue(world, BOB, task="user:alice/REL-7", delegator=None)
    rule = f'@id("new") forbid (principal, action == Action::"issue", resource) unless {{ {condition} }};'
    under(world, PLAIN + rule)
    (finding,) = swept(world, "policy-drift")
    assert (finding.subject, finding.credentials) == ("new", 2)


@pytest.mark.parametrize("name", ["delegate", "attach", "authorize", "explain", "renew"])
def test_nobody_makes_their_own_count_as_anothers_by_giving_that_one_the_task(
    world: World, name: str
) -> None:
    """Earlier credentials count as on the former owner's task, later ones as on the new owner's."""
    asked = _through(world, MALLORY, MALLORY)
    under(world, PLAIN)
    ask(world, MALLORY, inventory_operations.ShareTask(task="REL-7", names=(ALICE.name, BOB.name)))
    for one in (ALICE, BOB):
        issue(world, one, task="user:mallory/REL-7", delegator=None)
    ask(world, MALLORY, inventory_operations.GiveTask(task="REL-7", to=ALICE.name))
    ask(world, ALICE, inventory_operations.ShareTask(task="REL-7", names=(BOB.name,)))
    later = issue(world, BOB, task="user:alice/REL-7", delegator=None, scopes=("a:b",))
    under(world, PLAIN + DEPLOY)
    assert not _passes(world, MALLORY, MALLORY, asked[name])
    child = request(task=None, delegator=None, parent=bearer(later), agent="coder")
    assert _passes(world, ALICE, BOB, issue_operations.Issue(requests=(child,)))
    assert issue(world, ALICE, task="REL-7", delegator=None).task == "REL-7"
    world.check()
