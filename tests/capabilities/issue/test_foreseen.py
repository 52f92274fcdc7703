"""Foreseen plans: a plan from before the lock counts only if planning under the lock would give the same."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from jitid.capabilities.directory.operations import DisableDelegator, ResumeAgent, SuspendAgent
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.identity.task_store import TaskStore
from jitid.capabilities.inventory import operations as inventory_operations
from jitid.capabilities.issue import issuance
from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.issue import plan as planning
from jitid.capabilities.issue.issuance import ForeseenIssues
from jitid.capabilities.issue.issue_result import Issued
from jitid.capabilities.issue.plan import IssuePlan
from jitid.capabilities.trust import operations as trust_operations
from jitid.capabilities.trust import own_issuer
from jitid.capabilities.use.authorization import UseRequest
from jitid.capabilities.use.operations import Authorize
from jitid.errors import InvalidCredentialError, JitidError, PolicyDeniedError
from jitid.keys.keyring import Keyring
from jitid.ledger.sqlite import folder
from jitid.ledger.sqlite.ledger import SqliteLedger
from jitid.model.event import Event
from jitid.model.ledger_rows import Selection
from jitid.model.request import IssueRequest, RenewRequest
from jitid.values.ids import parse_id
from jitid.values.scope import Scope
from jitid.values.secret import Secret
from tests.builders import NOW, Made, World, request


def _keyring(world: World) -> Keyring:
    return folder.keyring(str(world.path))


def _foresee(world: World, delegator: str = "user:alice", **fields: Any) -> ForeseenIssues:
    fields = {"kind": "opaque", **fields}
    # A child has the delegator of its parent.
    return _foresee_all(world, request(delegator=None if "parent" in fields else delegator, **fields))


def _foresee_all(world: World, *requests: IssueRequest) -> ForeseenIssues:
    with world.ledger.read() as snapshot:
        foreseen = issuance.foresee(snapshot, world.ledger.names, requests, world.terms, _keyring(world))
    assert None not in foreseen.each
    return foreseen


def _planned(foreseen: ForeseenIssues) -> IssuePlan:
    (ahead,) = foreseen.each
    assert ahead is not None
    return ahead.settled.plan


def _issue(world: World, foreseen: ForeseenIssues) -> Issued:
    (issued,) = _issue_all(world, foreseen)
    return issued


def _issue_all(world: World, foreseen: ForeseenIssues) -> list[Issued]:
    requests = [ahead.settled.request for ahead in foreseen.each if ahead is not None]
    with world.ledger.write() as transaction:
        return issuance.issue(
            transaction, world.ledger.names, requests, world.terms, _keyring(world), foreseen
        )


def _token(issued: Issued) -> str:
    return issued.credentials[0].secret.reveal()


def _foreseen_tokens(foreseen: ForeseenIssues) -> list[str]:
    return [ahead.minted[0].secret.reveal() for ahead in foreseen.each if ahead is not None]


def _foreseen_token(foreseen: ForeseenIssues) -> str:
    (token,) = _foreseen_tokens(foreseen)
    return token


def test_a_plan_that_still_holds_is_recorded_as_it_is(world: World) -> None:
    foreseen = _foresee(world)
    issued = _issue(world, foreseen)
    assert _token(issued) == _foreseen_token(foreseen)
    world.verify(_token(issued))


def _wait(world: World) -> None:
    world.clock.now += 1


def _rotate(world: World) -> None:
    world.authority.perform(trust_operations.RotateKey(algorithm="EdDSA"))


def _open_the_task(world: World) -> None:
    world.issue()


def _know(world: World) -> None:
    world.know()


def _have_the_name_of_another(world: World) -> None:
    world.know("user:bob", aliases=("user:alice",))


def _register(world: World) -> None:
    world.register()


def _rename(world: World) -> None:
    own_issuer.set_issuer(world.ledger, "https://other.example", accept_clock=False)


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize(
    "change", [_wait, _rotate, _open_the_task, _know, _have_the_name_of_another, _register, _rename]
)
def test_a_plan_that_no_longer_holds_is_made_again(
    world: World, change: Callable[[World], None], *, opened: bool
) -> None:
    if opened:
        if change is _open_the_task:
            return
        world.issue()
    foreseen = _foresee(world, kind="jwt" if change is _rotate else "opaque")
    change(world)
    issued = _issue(world, foreseen)
    assert _token(issued) != _foreseen_token(foreseen)
    world.verify(_token(issued))
    world.check()


def test_what_was_foreseen_for_a_task_that_has_ended_is_refused(world: World) -> None:
    world.issue()
    foreseen = _foresee(world)
    world.retire("T1")
    with pytest.raises(PolicyDeniedError):
        _issue(world, foreseen)


@pytest.mark.parametrize(
    "change",
    [
        {"disabled_at": NOW},
        {"sensitivity": "low"},
        {"groups": ("crew",)},
        {"manager": "user:bob"},
        {"entitlements": ()},
        {"aliases": ()},
        {"aliases": ("user:al",)},
    ],
    ids=str,
)
def test_a_plan_does_not_hold_for_a_delegator_who_has_changed(world: World, change: dict[str, Any]) -> None:
    """The delegator is proved by the caller's login, under an alias."""
    world.know(aliases=("user:al", "user:tester"))
    world.issue(delegator="user:al")
    foreseen = _foresee(world, "user:al")
    draft = _planned(foreseen).draft
    assert (draft.delegator, draft.delegator_proof) == ("user:alice", "os-user")
    world.know(**change)
    if change.keys() & {"disabled_at", "sensitivity"}:
        with pytest.raises(PolicyDeniedError, match="rule `delegator-"):
            _issue(world, foreseen)
        return
    issued = _issue(world, foreseen)
    assert _token(issued) != _foreseen_token(foreseen)
    known = change.get("aliases") != ()
    assert issued.delegator == ("user:alice" if known else "user:al")
    assert issued.delegator_proof == ("asserted" if "aliases" in change else "os-user")
    world.check()


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"suspended_at": NOW}, "agent-suspended"),
        ({"unregistered_at": NOW}, "agent-unregistered"),
        ({"review_at": NOW}, "agent-overdue"),
        ({"kinds": ("opaque",)}, "agent-kind"),
        ({"audiences": ("urn:other",)}, "agent-audience"),
        ({"concurrency": 0}, "agent-concurrency"),
    ],
)
def test_a_plan_does_not_hold_for_an_agent_whose_record_has_changed(
    world: World, change: dict[str, Any], rule: str
) -> None:
    world.register(audiences=("urn:a",))
    world.issue(audiences=("urn:a",))
    foreseen = _foresee(world, audiences=("urn:a",), kind="jwt")
    world.register(**change)
    with pytest.raises(PolicyDeniedError, match=f"rule `{rule}`"):
        _issue(world, foreseen)


def test_a_plan_does_not_hold_once_the_agent_lives_as_often_as_it_may(world: World) -> None:
    world.issue()
    world.register(concurrency=2)
    foreseen = _foresee(world)
    world.issue(task="T2")
    with pytest.raises(PolicyDeniedError, match="rule `agent-concurrency`"):
        _issue(world, foreseen)


def test_a_plan_holds_whoever_else_has_changed(world: World) -> None:
    world.know(aliases=("user:al",))
    world.register(concurrency=9)
    foreseen = _foresee(world, "user:al")
    world.know("user:bob", disabled_at=NOW)
    world.register("coder", suspended_at=NOW)
    assert _token(_issue(world, foreseen)) == _foreseen_token(foreseen)


def _others_come(world: World) -> None:
    """Add credentials and uses, and change no other data."""
    made = world.issue(delegator="user:bob", task="T9", agent="coder")
    world.issue(parent=made.token, agent="tester")
    world.authority.perform(issue_operations.Renew(request=RenewRequest(Secret.single(made.token))))
    asked = UseRequest(Secret.single(made.token), Scope("repo:read"), "acme")
    world.authority.perform(Authorize(asked=(asked,)))
    with pytest.raises(PolicyDeniedError):
        world.issue(parent=made.token, agent="tester", scopes=["db:drop"])


def _planned_by(world: World) -> dict[str, list[Any]]:
    """Return the ledger's data on which plans depend, except the tasks."""
    tables = "setting", "delegator", "delegator_name", "delegator_group", "agent", "task_share", "signing_key"
    with world.ledger.read() as snapshot:
        return {table: list(snapshot.query(f"SELECT * FROM {table}", {})) for table in tables}


def test_what_adds_credentials_and_uses_changes_nothing_that_issues_are_planned_by(world: World) -> None:
    world.know()
    world.register()
    world.issue()
    planned_by, count = _planned_by(world), len(world.events())
    with world.ledger.read() as snapshot:
        changed_at, tasks = (
            snapshot.changed_at,
            {task for task, *_ in TaskStore(snapshot).find_tasks(None, None, 9)},
        )
    _others_come(world)
    told = [event["op"] for event in world.events()[count:]]
    assert told == ["issue", "issue", "renew", "use", "denial"]
    with world.ledger.read() as snapshot:
        assert snapshot.changed_at == changed_at
        assert tasks < {task for task, *_ in TaskStore(snapshot).find_tasks(None, None, 9)}
    assert _planned_by(world) == planned_by


def test_a_plan_does_not_hold_once_the_name_of_the_task_means_another(world: World) -> None:
    """The delegator opens a task with the same short name as a task that it had joined."""
    world.know()
    world.know("user:bob")
    world.issue(delegator="user:bob")
    world.authority.perform(inventory_operations.ShareTask(task="T1", names=("user:alice",)))
    world.issue(task="user:bob/T1")
    foreseen = _foresee(world)
    task = _planned(foreseen).task
    assert task is not None
    assert task.opener == "user:bob"
    world.issue(task="user:alice/T1")
    issued = _issue(world, foreseen)
    assert _token(issued) != _foreseen_token(foreseen)
    world.check()


def test_a_plan_is_not_looked_at_again_if_others_only_came(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the lock is held for less time."""
    if not isinstance(world.ledger, SqliteLedger):
        return
    world.register()
    world.issue()
    foreseen = _foresee(world)
    _others_come(world)
    monkeypatch.delattr(planning, "resolve_delegator")
    assert _token(_issue(world, foreseen)) == _foreseen_token(foreseen)


@pytest.mark.parametrize(
    "operation",
    [
        inventory_operations.ShareTask(task="T1", names=("user:bob",)),
        inventory_operations.GiveTask(task="T1", to="user:bob"),
        inventory_operations.Retire(task="T2"),
        trust_operations.RotateKey(algorithm="EdDSA"),
        inventory_operations.Revoke(selection=Selection(tasks=("T2",)), most=None),
        DisableDelegator(name="user:bob", most=None),
        SuspendAgent(name="planner", most=None),
    ],
    ids=lambda one: type(one).__name__,
)
def test_whoever_changes_more_leaves_their_mark(world: World, operation: Any) -> None:
    """A caller with an older plan compares the mark, and checks its plan again."""
    if not isinstance(world.ledger, SqliteLedger):
        return
    world.know()
    world.know("user:bob")
    world.register()
    world.issue()
    world.issue(task="T2")
    with world.ledger.read() as snapshot:
        before = snapshot.changed_at
    world.authority.perform(operation)
    last = world.events()[-1]["seq"]
    with world.ledger.read() as snapshot:
        assert before != snapshot.changed_at == last
    world.issue(task="T3", agent="coder")


def _child_and_others(world: World) -> tuple[Made, ForeseenIssues]:
    """Plan a child of a child. Meanwhile, others issue, renew and use credentials."""
    world.register()
    root = world.issue(agent="coder")
    parent = world.issue(parent=root.token, agent="planner", delegator=None)
    foreseen = _foresee(world, parent=parent.token, agent="tester")
    _others_come(world)
    return parent, foreseen


def test_a_plan_below_a_parent_holds_if_others_only_came(world: World) -> None:
    parent, foreseen = _child_and_others(world)
    issued = _issue(world, foreseen)
    if isinstance(world.ledger, SqliteLedger):
        assert _token(issued) == _foreseen_token(foreseen)
    assert issued.parent == parent.id
    world.check()


def _renew(world: World, token: str) -> None:
    world.authority.perform(issue_operations.Renew(request=RenewRequest(Secret.single(token), 60)))


@pytest.mark.parametrize("whose", ["the parent", "what it rests on"])
def test_a_plan_below_a_parent_does_not_hold_once_it_means_something_else(world: World, whose: str) -> None:
    """A renewal only adds a credential, but the parent then has the limits of its successor."""
    root = world.issue(agent="coder", scopes=["repo:*"])
    parent = world.issue(parent=root.token, agent="planner", delegator=None, scopes=["repo:*"])
    foreseen = _foresee(world, parent=parent.token, agent="tester", scopes=["repo:a"])
    _renew(world, parent.token if whose == "the parent" else root.token)
    issued = _issue(world, foreseen)
    assert _token(issued) != _foreseen_token(foreseen)
    assert issued.expires_at == NOW + 60 < _planned(foreseen).draft.expires_at
    world.check()


@pytest.mark.parametrize(
    "change",
    [
        lambda world, parent: world.revoke(parent.id),
        lambda world, _: world.retire("T1"),
        lambda world, _: world.register("planner", suspended_at=NOW),
        lambda world, _: world.know(disabled_at=NOW),
    ],
    ids=["revoked", "retired", "suspended", "disabled"],
)
def test_what_was_foreseen_below_a_parent_is_refused_once_that_may_not_delegate(
    world: World, change: Callable[[World, Made], None]
) -> None:
    world.know()
    world.register()
    parent = world.issue()
    foreseen = _foresee(world, parent=parent.token, agent="tester")
    change(world, parent)
    with pytest.raises((PolicyDeniedError, InvalidCredentialError)):
        _issue(world, foreseen)


def test_a_list_is_recorded_as_it_was_foreseen(world: World) -> None:
    """A line may use a task that an earlier line opens."""
    parent = world.issue()
    lines = [
        request(kind="opaque", task="T1"),
        request(kind="opaque", task="T7"),
        request(kind="opaque", task="T7", agent="coder"),
        request(kind="opaque", parent=parent.token, delegator=None, agent="tester"),
        request(kind="jwt", task="T1", copies=2),
    ]
    foreseen = _foresee_all(world, *lines)
    issued = _issue_all(world, foreseen)
    tokens, before = [_token(one) for one in issued], _foreseen_tokens(foreseen)
    assert tokens == before
    assert [one.task for one in issued] == ["T1", "T7", "T7", "T1", "T1"]
    for token in tokens:
        world.verify(token)
    world.check()


def test_of_a_list_each_line_is_planned_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """This holds for each task that the list opens, and if another delegator has a task of that name."""
    asked: list[tuple[str | None, str]] = []

    def spy(snapshot: Any, names: Any, one: IssueRequest, *others: Any) -> IssuePlan:
        asked.append((one.task, str(one.delegator)))
        return plan(snapshot, names, one, *others)

    plan = planning.plan
    monkeypatch.setattr(planning, "plan", spy)
    lines = [("T1", "alice"), ("T1", "alice"), ("T2", "alice"), ("T3", "bob"), ("T2", "alice"), ("T3", "bob")]
    requests = tuple(request(kind="opaque", task=task, delegator=f"user:{who}") for task, who in lines)
    made = world.authority.perform(issue_operations.Issue(requests=requests))
    assert sorted(asked) == sorted((task, f"user:{who}") for task, who in lines)
    assert [one.task for one in made] == [task for task, _ in lines]
    world.check()


LINES = (
    {"task": "T7"},
    {"task": "T7", "delegator": "user:bob"},
    {"task": "user:alice/T7", "delegator": "user:bob"},
    {"task": "T7", "purpose": "why", "sensitivity": "low", "agent": "coder"},
    {"task": "T1", "delegator": "user:bob"},
)
"""Lines that open a task, join it, use another task of that name, or would open it with other settings."""


@pytest.mark.parametrize("first", range(len(LINES)))
def test_a_list_comes_to_the_same_whether_it_was_foreseen_or_not(
    tmp_path: Path, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, others in enumerate(product(LINES, repeat=2)):
        told = []
        for foresees in (True, False):
            with World(tmp_path / f"{number}-{foresees}") as other:
                monkeypatch.setattr(SqliteLedger, "foresees", lambda *_, foresees=foresees, **__: foresees)
                told.append(_told(other, [LINES[first], *others]))
        assert told[0] == told[1], others


def _told(world: World, lines: list[dict[str, str]]) -> list[Any]:
    """Return the records of a list, or the reason for its refusal, without values that differ between ledgers."""
    requests = tuple(request(**{"kind": "opaque", **line}) for line in lines)
    try:
        made = world.authority.perform(issue_operations.Issue(requests=requests))
    except JitidError as error:
        return [error.position, error.message]
    world.check()
    with world.ledger.read() as snapshot:
        found = [
            CredentialStore(snapshot).find_credential("jti", parse_id(one.credentials[0].jti)[1])
            for one in made
        ]
        tasks = [(*task[:6], task.opener) for task, *_ in TaskStore(snapshot).find_tasks(None, None, 9)]
        events = [Event(*event).document() for event in snapshot.events(1)]
    own = ("hash", "jti", "rows", "issued", "policy")
    return [
        *((one.task, one.task_opener, one.purpose, one.sensitivity, one.expires_at) for one in found if one),
        *(one.notes for one in made),
        *tasks,
        *({name: fact for name, fact in event.items() if name not in own} for event in events),
    ]


def test_of_a_list_two_owners_have_a_task_of_one_name_each(world: World) -> None:
    owners = ["user:alice", "user:bob", "user:alice", "user:bob"]
    foreseen = _foresee_all(world, *(request(kind="opaque", delegator=owner) for owner in owners))
    issued = _issue_all(world, foreseen)
    with world.ledger.read() as snapshot:
        found = [
            CredentialStore(snapshot).find_credential("jti", parse_id(one.credentials[0].jti)[1])
            for one in issued
        ]
        named = TaskStore(snapshot).tasks_named("T1", 3)
    assert [each.task_opener for each in found if each] == owners
    assert [task.opener for task in named] == owners[:2]
    world.check()


@pytest.mark.parametrize("sensitivity", ["low", "moderate"])
def test_of_a_list_all_lines_are_on_the_task_that_somebody_else_opens_meanwhile(
    world: World, sensitivity: str
) -> None:
    foreseen = _foresee_all(world, request(kind="opaque"), request(kind="opaque", agent="coder"))
    world.issue(sensitivity=sensitivity, kind="opaque")
    issued = _issue_all(world, foreseen)
    before = _foreseen_tokens(foreseen)
    assert all(_token(one) not in before for one in issued)
    assert [one.sensitivity for one in issued] == [sensitivity] * 2
    with world.ledger.read() as snapshot:
        assert len(TaskStore(snapshot).tasks_named("T1", 2)) == 1
    world.check()


def test_of_a_list_a_line_does_not_open_again_what_one_has_opened_that_waited_for_the_lock(
    world: World,
) -> None:
    """A line is not foreseen if a target makes its credential. The later lines were foreseen without it."""
    first, second = request(kind="opaque", purpose="first"), request(kind="opaque", purpose=None)
    foreseen = _foresee_all(world, second)
    foreseen = foreseen._replace(each=[None, *foreseen.each])
    with world.ledger.write() as transaction:
        keyring = _keyring(world)
        issuance.issue(transaction, world.ledger.names, [first, second], world.terms, keyring, foreseen)
        (task,) = TaskStore(transaction).tasks_named("T1", 2)
        assert task.purpose == "first"
    world.check()


def test_of_a_list_no_line_is_on_a_task_that_another_line_was_supposed_to_open(world: World) -> None:
    """The first line is refused at first, and opens the task in the end. The task has its purpose."""
    world.know()
    world.register("coder")
    world.authority.perform(SuspendAgent(name="coder", most=None))
    lines = [
        request(kind="opaque", agent="coder", purpose="first"),
        request(kind="opaque"),
        request(kind="opaque"),
    ]
    with world.ledger.read() as snapshot:
        foreseen = issuance.foresee(snapshot, world.ledger.names, lines, world.terms, _keyring(world))
    assert [ahead is None for ahead in foreseen.each] == [True, False, False]
    world.authority.perform(ResumeAgent(name="coder"))
    with world.ledger.write() as transaction:
        keyring = _keyring(world)
        issued = issuance.issue(transaction, world.ledger.names, lines, world.terms, keyring, foreseen)
        found = [
            CredentialStore(transaction).find_credential("jti", parse_id(one.credentials[0].jti)[1])
            for one in issued
        ]
        assert [one.purpose for one in found if one] == ["first"] * 3
    before = _foreseen_tokens(foreseen)
    assert all(_token(one) not in before for one in issued)
    world.check()


def test_of_a_list_what_no_longer_holds_is_planned_again(world: World) -> None:
    world.know("user:alice")
    world.know("user:bob")
    world.issue()
    world.issue(delegator="user:bob", task="T2")
    foreseen = _foresee_all(
        world, request(kind="opaque"), request(kind="opaque", delegator="user:bob", task="T2")
    )
    world.know("user:bob", groups=("crew",))
    mine, other = _issue_all(world, foreseen)
    before = _foreseen_tokens(foreseen)
    assert _token(mine) == before[0]
    assert _token(other) != before[1]
    world.check()


def test_of_a_list_the_limit_of_an_agent_counts_all_lines(world: World) -> None:
    world.issue()
    world.register(concurrency=3)
    foreseen = _foresee_all(world, request(kind="opaque"), request(kind="opaque"))
    world.issue(agent="coder")
    assert len(_issue_all(world, foreseen)) == 2
    again = [request(kind="opaque")] * 2
    with world.ledger.read() as snapshot:
        found = issuance.foresee(snapshot, world.ledger.names, again, world.terms, _keyring(world))
    assert found.each == [None, None]


@pytest.mark.parametrize("slow", ["", "many copies", "many lines", "many scopes", "a key at a target"])
def test_what_takes_long_is_planned_before_the_lock_also_where_nobody_else_writes(
    world: World, slow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise, other writers that arrive meanwhile would wait for the lock."""
    world.issue()
    world.issue()
    planned = 0

    def spy(*asked: Any) -> ForeseenIssues:
        nonlocal planned
        planned += 1
        return foresee(*asked)

    foresee = issuance.foresee
    monkeypatch.setattr(issuance, "foresee", spy)
    if slow == "a key at a target":
        monkeypatch.setattr(Keyring, "signs_at_targets", True)
    fields: dict[str, dict[str, Any]] = {
        "many copies": {"copies": 11},
        "many scopes": {"scopes": [f"repo:{number}" for number in range(10)]},
    }
    lines = 11 if slow == "many lines" else 1
    world.authority.perform(issue_operations.Issue(requests=(request(**fields.get(slow, {})),) * lines))
    assert planned == (isinstance(world.ledger, SqliteLedger) and slow != "")
    world.check()


@pytest.mark.parametrize(
    ("fields", "quick"),
    [
        ({}, True),
        ({"copies": 10}, True),
        ({"copies": 11}, False),
        ({"scopes": ["a"] * 9}, True),
        ({"scopes": ["a"] * 10}, False),
        ({"may_kind": ("jwt",) * 9}, True),
        ({"may_kind": ("jwt",) * 5, "scopes": ["a"] * 5}, False),
    ],
    ids=str,
)
def test_a_request_is_quick_by_its_copies_and_the_questions_to_the_policy(
    world: World, fields: dict[str, Any], quick: bool
) -> None:
    assert issuance.is_quick([request(**fields)], world.terms, _keyring(world)) is quick


def test_a_keyring_knows_whether_a_signature_is_a_request(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.issue()
    keyring = world.authority._keyring
    assert not keyring.signs_at_targets
    (signer,) = keyring._signers.values()
    monkeypatch.setattr(signer, "elsewhere", "vault/key")
    assert keyring.signs_at_targets
