"""Each operation for each caller with each token: the answers are those of the rules in `rules.py`."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import product
from typing import Any, NamedTuple

import pytest

from jitid.authority import guard
from jitid.authority.guard import tokens_of
from jitid.authority.wire.codec import fields_of, operations
from jitid.capabilities.access.operations import RevokeAccess, RotateAccess
from jitid.capabilities.identity.filter_store import Filter
from jitid.capabilities.inventory import operations as inventory_operations
from jitid.capabilities.inventory.status_operations import ATTENTION, LedgerStatus, ShowStatus
from jitid.capabilities.issue.approval_operations import ApprovalPage, ListApprovals
from jitid.capabilities.use.authorization import RecordedUses
from jitid.errors import JitidError, RefusedError
from jitid.model.access import BOOTSTRAP, ROLES, Caller
from jitid.model.approval import ApprovalFilter
from jitid.model.credential import Credential
from jitid.model.ledger_rows import Selection
from jitid.model.types import TASK
from jitid.operation import base as ops
from jitid.values.field_types import ID, TASK_FILTER
from jitid.values.secret import fingerprint
from tests.authority import examples, rules
from tests.authority.rules import DONE, INVALID, REFUSED, UNKNOWN, USAGE, has_role
from tests.authority.scene import Scene

CALLERS = sorted({*rules.PERSONS, *rules.AGENTS, "bootstrap"})
TOKENS = {token: kind for kind, tokens in rules.KINDS.items() for token in tokens}
KNOWN = [token for token, kind in TOKENS.items() if kind != "alien"]
USES = {field: use for use, fields in rules.USES.items() for field in fields.split()}
_HEAD, *_ROWS = (line.split() for line in rules.WORTH.strip().splitlines())
WORTH = {
    (row[0], use): getattr(rules, word) for row in _ROWS for use, word in zip(_HEAD, row[1:], strict=True)
}

READS = " ".join(rules.READS.values()).split()

each_caller = pytest.mark.parametrize("caller", CALLERS)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Return one world for all cells, restored after each of them."""
    scene = Scene(tmp_path_factory.mktemp("matrix"))
    yield scene
    scene.world.close()


class Cell(NamedTuple):
    """An operation and its expected exit status."""

    about: str
    operation: ops.Operation[Any]
    expected: int


def check(scene: Scene, caller: str, cells: Iterable[Cell]) -> None:
    """Perform operations for a caller, also as dry runs, and compare the answers.

    A refused operation and a read change nothing. Without a role a caller sees and ends only its own credentials. The
    bootstrap credential may only grant access.
    """
    wrong: list[str] = []
    for about, operation, stated in cells:
        name = type(operation).__name__
        expected = REFUSED if caller == "bootstrap" and name != "GrantAccess" else stated
        runs = [operation, operation.replace(dry_run=True)] if hasattr(operation, "dry_run") else [operation]
        for run in runs:
            answer = scene.perform(scene.callers[caller], run)
            status = status_of(answer)
            strange = beyond(scene, caller, name, answer)
            changes = scene.restore()
            # A use is recorded, allowed or denied.
            may_change = name not in READS and run is operation and (status == DONE or changes == {"use"})
            if status != expected or strange or (changes and not may_change):
                said = answer.message if isinstance(answer, JitidError) else type(answer).__name__
                wrong.append(
                    f"{name} {about}: {status} instead of {expected}: {said}; changed: {sorted(changes)}; "
                    f"not the caller's own: {sorted(strange)}"
                )
    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)


def status_of(answer: object) -> int:
    """Return the exit status for an answer or an error; INVALID if a token is denied a use."""
    if isinstance(answer, JitidError):
        return int(answer.exit_status)
    if isinstance(answer, RecordedUses):
        return DONE if all(verdict.allowed for verdict in answer.verdicts) else INVALID
    return DONE


def beyond(scene: Scene, caller: str, name: str, answer: object) -> set[str]:
    """Return the credentials that an answer shows or ended without the caller owning them or having the role."""
    if has_role(name, caller):
        return set()
    found: list[Credential] = []
    if isinstance(answer, inventory_operations.Page):
        found = answer.credentials
    elif isinstance(answer, inventory_operations.Inspection):
        found = [answer.credential]
    elif isinstance(answer, Credential):
        found = [answer]
    labels = {scene.label(one.jti) for one in found}
    if name in ("Revoke", "RevokeToken") and not isinstance(answer, JitidError):
        labels |= scene.ended()
    return {token for token in labels if not is_own(caller, token)}


def is_own(caller: str, token: str, *, requested: bool = True) -> bool:
    """Return whether a credential is the caller's own or, by default, was issued at its request."""
    owns = [rules.HELD, rules.DESCENDS, *([rules.REQUESTED] if requested else [])]
    return any(caller in own.get(token, ()) for own in owns)


def may(operation: str, caller: str, token: str) -> bool:
    """Return whether a caller has the role for an operation, or needs none because the credential is its own."""
    own = is_own(caller, token, requested=operation != "ShowTree")
    return has_role(operation, caller) or (operation in rules.OWN.split() and own)


# The rules cover all operations, and each operation has an example.


def test_each_operation_has_one_rule_and_an_example(scene: Scene) -> None:
    classes = [*rules.READS.values(), *rules.CHANGES.values(), *rules.WITHOUT_ROLE.values()]
    named = [name for names in classes for name in names.split()]
    assert len(named) == len({*named}), "an operation is in two rules"
    assert {*operations()} - {*named} == set(), "without a rule in tests/authority/rules.py"
    assert {*named} - {*operations()} == set(), "in tests/authority/rules.py, and gone"
    held = scene.tokens["head"]
    shown = [
        *examples.plain(scene).values(),
        *examples.by_token(scene, held, scene.callers["agent"]).values(),
        *examples.about(scene, held, "agent").values(),
        *examples.on_task("INC-1").values(),
        *examples.on_approval(scene.approvals["owner"]).values(),
        ListApprovals(chosen=ApprovalFilter(), limit=9),
    ]
    assert {*operations()} - {type(one).__name__ for one in shown} == set(), (
        "without an example in examples.py"
    )


@pytest.mark.parametrize("name", operations())
def test_an_operation_declares_the_roles_of_its_rule(name: str) -> None:
    """The deep test below performs it for each caller; this one takes no time."""
    operation = operations()[name]
    if operation.for_anybody or operation.local:
        return
    assert {*operation.roles} - {BOOTSTRAP} == {role for role in ROLES if rules.has_role(name, role)}


def test_each_field_that_holds_a_token_has_a_rule_and_an_example(scene: Scene) -> None:
    kinds: list[type] = [*operations().values()]
    fields = {field for kind in kinds for field in tokens_of(kind)}
    given = examples.by_token(scene, scene.tokens["head"], scene.callers["agent"])
    assert fields == {*USES, rules.BEARER} == {*given}


def test_each_field_that_names_a_credential_or_a_task_has_an_example(scene: Scene) -> None:
    by_role = {*" ".join([*rules.READS.values(), *rules.CHANGES.values()]).split()}
    by_role -= {*f"{rules.OWN} {rules.LISTED} {rules.COUNTED} {rules.REQUESTERS} Explain".split()}
    ids = {path for path, check in _checks() if check is ID.check and path.partition(".")[0] not in by_role}
    about = {*examples.about(scene, scene.tokens["head"], "agent")}
    # A caller cannot state the fields that narrow an operation to its own objects.
    kept_back = {
        f"{name}.{field.name}"
        for name, kind in operations().items()
        for field in kind.fields.values()
        if field.authority_only
    }
    assert kept_back == {
        *("ShowTree.delegator", "ShowTree.under", "ShowStatus.delegator", "ShowStatus.under"),
        *("ListTasks.within", "ListApprovals.within"),
    }
    assert ids == about - kept_back
    tasks = {path.partition(".")[0] for path, check in _checks() if check in (TASK.check, TASK_FILTER.check)}
    # Issue and Exchange may open the task; the log is only for the auditor.
    assert tasks - {"Issue", "Exchange", "ReadLog", "FollowLog"} == {*examples.on_task("INC-1")}


def _checks() -> Iterator[tuple[str, object]]:
    kinds: Mapping[str, type] = operations()
    for name, kind in kinds.items():
        for field, declared in fields_of(kind).items():
            yield f"{name}.{field}", getattr(declared.type, "check", None)
            if hasattr(declared.kind, "_replace"):
                inner = fields_of(declared.kind).items()
                yield from (
                    (f"{name}.{field}.{each}", getattr(part.type, "check", None)) for each, part in inner
                )


# 1. Roles.


@pytest.mark.deep
@each_caller
def test_an_operation_is_the_duty_of_its_roles(scene: Scene, caller: str) -> None:
    def cells() -> Iterator[Cell]:
        for name, operation in examples.plain(scene).items():
            spent = (name, caller) == ("GrantAccess", "bootstrap")
            role = has_role(name, caller)
            yield Cell("", operation, DONE if role or spent else REFUSED)
            if hasattr(operation, "accept_clock"):
                both = role and caller == rules.CLOCK
                yield Cell("and the clock", operation.replace(accept_clock=True), DONE if both else REFUSED)

    check(scene, caller, cells())


# 2. Tokens.


@pytest.mark.deep
@each_caller
def test_what_a_token_is_worth(scene: Scene, caller: str) -> None:
    def cells() -> Iterator[Cell]:
        for token in TOKENS:
            given = examples.by_token(scene, scene.tokens[token], scene.callers[caller])
            for field in USES:
                yield Cell(token, given[field], _worth(field, caller, token))

    check(scene, caller, cells())


def _worth(field: str, caller: str, token: str) -> int:
    for key in ((field, "*", token), (field, caller, token)):
        if key in rules.TOKEN_EXCEPTIONS:
            return rules.TOKEN_EXCEPTIONS[key]
    use, worth = USES[field], int(WORTH[TOKENS[token], USES[field]])
    if use in ("right", "proof", "never") or (use, worth) == ("ending", INVALID):
        return worth
    if not may(field.partition(".")[0], caller, token):
        return REFUSED
    limited = caller in rules.LIMITED and use in ("valid", "worth") and token not in rules.FOR_API
    return INVALID if limited else worth


@pytest.mark.parametrize("token", TOKENS)
def test_an_agent_is_known_by_its_identity_token_alone(scene: Scene, token: str) -> None:
    held = scene.tokens[token]
    answer = scene.perform(None, examples.by_token(scene, held, scene.callers["agent"])[rules.BEARER])
    if token == "access":
        assert answer == scene.callers["admin"]
    elif TOKENS[token] == "identity":
        assert isinstance(answer, Caller)
        assert (answer.identity, answer.credential, answer.roles) == (held.id, held.jti, frozenset())
    else:
        assert status_of(answer) == REFUSED


# 3. The caller's own credentials.


@pytest.mark.deep
@each_caller
def test_one_s_own_needs_no_role(scene: Scene, caller: str) -> None:
    def cells() -> Iterator[Cell]:
        for token in KNOWN:
            for field, operation in examples.about(scene, scene.tokens[token], caller).items():
                yield Cell(f"by {field} of {token}", operation, _about(field, caller, token))

    check(scene, caller, cells())


def _about(field: str, caller: str, token: str) -> int:
    operation = field.partition(".")[0]
    requested = caller in rules.REQUESTED.get(token, ())
    if field == "HandBack.id":
        return DONE if token in rules.BELOW_HEAD else rules.DENIED
    if field == "Settle.ids":
        return DONE if is_own(caller, token, requested=True) or has_role(operation, caller) else REFUSED
    if field == "AbandonAttachment.jti":
        attached = DONE if token in rules.ATTACHED else UNKNOWN
        return attached if requested or caller in rules.HELD.get(token, ()) else REFUSED
    if operation in (rules.LISTED, rules.COUNTED):
        return DONE
    if field == "ShowTree.under":
        token = examples.OWN_ID.get(caller, "head")
    if field == "Revoke.selection.trees" and not has_role(operation, caller):
        # The whole tree from its root: no agent owns it, nor does a caller that requested only a part of it.
        own = is_own(caller, token, requested=False) and caller not in rules.AGENTS
        return DONE if own else REFUSED
    return DONE if may(operation, caller, token) else REFUSED


@each_caller
def test_a_status_counts_one_s_own(scene: Scene, caller: str) -> None:
    """The values that a caller states for itself are overwritten; counts about the work of others are zero."""
    everything = scene.perform(None, examples.listed(Filter(live=True)))
    assert isinstance(everything, inventory_operations.Page)
    for own in (ShowStatus(), ShowStatus(delegator="user:bob"), ShowStatus(under=scene.tokens["head"].id)):
        answer = scene.perform(scene.callers[caller], own)
        if caller == "bootstrap":
            assert status_of(answer) == REFUSED
            continue
        assert isinstance(answer, LedgerStatus)
        if has_role(rules.COUNTED, caller):
            continue
        mine = [
            one for one in everything.credentials if is_own(caller, scene.label(one.jti), requested=False)
        ]
        assert (answer.own, answer.live) == (True, len(mine))
        assert answer.next_expiry == min((one.expires_at for one in mine), default=None)
        assert not any(getattr(answer, name) for name in ATTENTION)


@pytest.mark.parametrize("field", Selection._fields)
def test_a_selection_ends_no_more_than_one_s_own(scene: Scene, field: str) -> None:
    for caller, token in product(CALLERS, ("head", "child", "launched", "eve's", "other")):
        one = scene.rows[token]
        values: Mapping[str, Any] = {
            "ids": one.id,
            "fingerprints": fingerprint(scene.tokens[token].token.reveal()),
            "tasks": f"{one.task_opener}/{one.task}",
            "delegators": one.delegator,
            "agents": one.agent,
            "trees": one.id,
            "kids": one.signed_by,
        }
        operation = inventory_operations.Revoke(selection=Selection(**{field: (values[field],)}), most=None)
        answer = scene.perform(scene.callers[caller], operation)
        strange = beyond(scene, caller, "Revoke", answer)
        scene.restore()
        assert not strange, (caller, token)
        # Narrowed to the caller's own credentials, the selection may be empty.
        assert status_of(answer) in (DONE, UNKNOWN, REFUSED)
        if is_own(caller, token, requested=False) and caller not in rules.AGENTS:
            assert status_of(answer) == DONE, (caller, token)


@each_caller
def test_a_list_has_one_s_own(scene: Scene, caller: str) -> None:
    for chosen in (
        Filter(),
        Filter(agent="planner"),
        Filter(task="user:alice/INC-3"),
        Filter(delegator="user:alice"),
        Filter(kind="jwt"),
    ):
        operation = examples.listed(chosen)
        everything, answer = scene.perform(None, operation), scene.perform(scene.callers[caller], operation)
        expected = DONE
        if caller == "bootstrap":
            expected = REFUSED
        elif (
            chosen.task is not None
            and not has_role(rules.LISTED, caller)
            and caller not in rules.VISIBLE["INC-3"]
        ):
            expected = UNKNOWN
        elif chosen.delegator is not None and not has_role(rules.LISTED, caller):
            expected = DONE if caller in {"owner", *rules.AGENTS} else REFUSED
        assert status_of(answer) == expected
        if expected == DONE:
            assert isinstance(everything, inventory_operations.Page)
            assert isinstance(answer, inventory_operations.Page)
            own = {
                one.jti
                for one in everything.credentials
                if has_role(rules.LISTED, caller) or is_own(caller, scene.label(one.jti), requested=False)
            }
            assert {one.jti for one in answer.credentials} == own


# 4. Tasks.


@each_caller
def test_a_task_is_its_owner_s(scene: Scene, caller: str) -> None:
    def cells() -> Iterator[Cell]:
        for task in rules.VISIBLE:
            owner = "user:bob" if task == "INC-4" else "user:alice"
            for name, operation in examples.on_task(f"{owner}/{task}").items():
                yield Cell(task, operation, _on_task(name, caller, task))

    check(scene, caller, cells())


def _on_task(operation: str, caller: str, task: str) -> int:
    (allowed,) = [callers for names, callers in rules.ON_TASK.items() if operation in names.split()]
    if has_role(operation, caller):
        return DONE
    if allowed and caller not in rules.VISIBLE[task]:
        return UNKNOWN
    usual = DONE if caller in allowed else REFUSED
    return rules.TASK_EXCEPTIONS.get((operation, caller, task), usual)


@each_caller
def test_a_list_of_tasks_has_one_s_own(scene: Scene, caller: str) -> None:
    own = {"stranger": {"INC-6"}, "owner": {"INC-1", "INC-1/2", "INC-3"}}
    for within in ((), ("user:alice", "user:bob", "user:eve")):
        operation = inventory_operations.ListTasks(state=None, after=None, limit=99, within=within)
        answer = scene.perform(scene.callers[caller], operation)
        if caller in rules.AGENTS or caller == "bootstrap":
            assert status_of(answer) == REFUSED
            continue
        assert isinstance(answer, list)
        names = {one.task.name for one in answer}
        if has_role("ListTasks", caller):
            assert names >= {*rules.VISIBLE, "INC-6"}
        else:
            assert names == own.get(caller, set())


# 5. Approvals.


@each_caller
def test_a_request_for_approval_concerns_its_requester_and_its_groups(scene: Scene, caller: str) -> None:
    def expected(name: str, requester: str) -> int:
        if name in ("GrantApproval", "DenyApproval"):
            return DONE if caller == "approver" else rules.DENIED if caller in rules.PERSONS else REFUSED
        return DONE if has_role(name, caller) or caller in rules.CONCERNED[requester] else REFUSED

    def cells() -> Iterator[Cell]:
        for requester in rules.CONCERNED:
            for name, operation in examples.on_approval(scene.approvals[requester]).items():
                yield Cell(f"by {requester}", operation, expected(name, requester))

    check(scene, caller, cells())


@each_caller
def test_a_list_of_approvals_has_those_for_one_s_groups(scene: Scene, caller: str) -> None:
    chosen = (ApprovalFilter(), ApprovalFilter(group="security"), ApprovalFilter(waiting=True))
    for filter_, within in product(chosen, ((), ("security",))):
        operation = ListApprovals(chosen=filter_, limit=9, within=within)
        answer = scene.perform(scene.callers[caller], operation)
        if not has_role("ListApprovals", caller) and caller not in ("approver", "bystander"):
            assert status_of(answer) == REFUSED
            continue
        assert isinstance(answer, ApprovalPage)
        found = {one.id for one in answer.approvals}
        assert found == (set() if caller == "bystander" else {*scene.approvals.values()})


# 6. Roots, and access.


@each_caller
def test_a_root_is_a_person_or_a_service_for_itself(scene: Scene, caller: str) -> None:
    def expected(case: str) -> int:
        otherwise, allowed = rules.ROOT[case]
        if caller in rules.AGENTS:
            return REFUSED if case == "for another delegator" else USAGE
        return DONE if caller in allowed else otherwise

    given = examples.roots()
    check(scene, caller, (Cell(case, given[case], expected(case)) for case in rules.ROOT))


@pytest.mark.parametrize("caller", sorted(rules.PERSONS - {"stranger"}))
def test_a_holder_ends_its_own_access_by_its_id(scene: Scene, caller: str) -> None:
    own, others = scene.access[caller], scene.access["somebody"]
    ending = DONE if has_role("RevokeAccess", caller) else REFUSED
    cells = (
        Cell("own", RotateAccess(id=own), DONE),
        Cell("own", RevokeAccess(ids=(own,)), DONE),
        Cell("own and another", RevokeAccess(ids=(own, others)), ending),
        Cell("own name", RevokeAccess(names=(scene.callers[caller].name,)), ending),
        Cell("own and another name", RevokeAccess(ids=(own,), names=("user:dan",)), ending),
    )
    check(scene, caller, cells)


# 7. Requests that waited.


WITH_CREDENTIAL = (
    "issuer",
    "responder",
    "sweeper",
    "verifier",
    "admin",
    "owner",
    "gateway",
    "agent",
    "child",
)


@pytest.mark.deep
@pytest.mark.parametrize("caller", WITH_CREDENTIAL)
def test_nothing_is_done_for_whose_access_ended_while_they_waited(
    scene: Scene, caller: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another request may revoke the caller's access between the check of permissions and the change."""
    who = scene.callers[caller]
    assert who.credential is not None
    look, ending = guard.allowed, [False]

    def allowed(*asked: Any) -> Any:
        found = look(*asked)
        if ending[0]:
            ending[0] = False
            _end(scene, str(who.credential))
        return found

    monkeypatch.setattr(guard, "allowed", allowed)
    held = scene.tokens["head"]
    each = {
        **examples.plain(scene),
        **examples.by_token(scene, held, who),
        **examples.about(scene, held, caller),
        **examples.on_task("INC-1"),
        **{f"approval {name}": one for name, one in examples.on_approval(scene.approvals["owner"]).items()},
    }
    changing = 0
    for name, operation in each.items():
        scene.perform(who, operation)
        # A use of a token and a refusal are recorded as events too.
        if not scene.restore():
            continue
        changing += 1
        ending[0] = True
        answer = scene.perform(who, operation)
        assert not ending[0]
        assert isinstance(answer, RefusedError), (name, answer)
        assert scene.restore() <= {"access-revoke", "revoke", "expire"}, name
    assert changing >= 2


def _end(scene: Scene, credential: str) -> None:
    """Revoke the credential of a caller locally."""
    if credential.startswith("acc_"):
        scene.world.authority.perform(RevokeAccess(ids=(credential,)))
    else:
        scene.world.authority.perform(
            inventory_operations.Revoke(selection=Selection(ids=(credential,)), most=None)
        )


# 8. Objects left in memory.


@pytest.mark.parametrize("caller", ["admin", "agent"])
def test_an_authority_of_one_request_is_freed_with_it(scene: Scene, caller: str) -> None:
    """A reference cycle would keep a request with its tokens in memory until the garbage collector runs."""
    who, held = scene.callers[caller], scene.tokens["head"]
    kept: list[str] = []
    for operation in (
        *examples.plain(scene).values(),
        *examples.by_token(scene, held, who).values(),
        *examples.about(scene, held, caller).values(),
        *examples.on_task("INC-1").values(),
        *examples.on_approval(scene.approvals["owner"]).values(),
    ):
        gc.disable()
        try:
            if _is_kept(scene, who, operation):
                kept.append(type(operation).__name__)
        finally:
            gc.enable()
        scene.restore()
    assert not kept


def _is_kept(scene: Scene, who: Caller, operation: ops.Operation[Any]) -> bool:
    with scene.world.authority.in_one_view() as within:
        one = weakref.ref(within)
        with suppress(JitidError):
            answer = within.serving(who).perform(operation)
            if isinstance(answer, Iterator):
                list(answer)
    del within
    return one() is not None
