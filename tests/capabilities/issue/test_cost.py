"""Cost of a request while others wait for the lock: limited, and proportional to the request's size (promise 20)."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

import jitid
from jitid.capabilities.identity import record_denial
from jitid.capabilities.inventory import operations as inventory_operations
from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.issue import perform as issue_perform
from jitid.capabilities.issue.operations import Attach
from jitid.errors import JitidError, PolicyDeniedError, UsageError
from jitid.ledger.sqlite.ledger import SqliteLedger
from jitid.model import request as requests
from jitid.model.request import MOST_AT_ONCE, MOST_QUESTIONS, AttachRequest, RenewRequest
from jitid.values.scope import MOST_SCOPES, Scope
from jitid.values.secret import Secret
from tests.builders import Made, World, request

_FOLDER = jitid.__file__.rpartition("/")[0]


def _stairs(count: int, tag: str = "", end: str = "*") -> tuple[Scope, ...]:
    """Return scopes of which none covers another, although the first segments would allow it."""
    return tuple(
        Scope(f"{'a' * (at % 100)}{end}:{'b' * (99 - at % 100)}{end}:{tag}{at // 100}{end}")
        for at in range(count)
    )


def _under_the_lock(work: Callable[[], object]) -> int:
    """Return the number of jitid's functions that are called between taking and releasing the write lock."""
    held = False
    count = 0

    def follow(frame: FrameType, event: str, _: object) -> None:
        nonlocal held, count
        code = frame.f_code
        if not code.co_filename.startswith(_FOLDER):
            return
        if code.co_qualname == "FairLock.release" and event == "call":
            held = False
        elif code.co_qualname == "FairLock.acquire" and event == "return":
            held = True
        elif held:
            count += event == "call"

    # Garbage collection closes objects of earlier tests, which may call functions of jitid.
    gc.collect()
    gc.disable()
    before = sys.getprofile()
    sys.setprofile(follow)
    try:
        work()
    except JitidError:
        pass
    finally:
        sys.setprofile(before)
        gc.enable()
    assert count
    return count


def _issue(world: World, *lines: requests.IssueRequest) -> None:
    world.authority.perform(issue_operations.Issue(requests=lines))


def _child(world: World, parent: Made, count: int) -> requests.IssueRequest:
    return request(
        kind="opaque", parent=parent.token, delegator=None, agent="x", scopes=_stairs(count, end="z")
    )


@pytest.mark.deep
@pytest.mark.parametrize("what", ["root", "child", "list", "children"])
def test_the_scopes_of_what_is_issued_cost_nothing_under_the_lock(lenient: World, what: str) -> None:
    """The scopes are compared and decided by the policy before the lock is taken."""
    parent = lenient.issue(kind="opaque", scopes=_stairs(MOST_SCOPES))

    def line(count: int, at: int) -> requests.IssueRequest:
        if what in ("child", "children"):
            return _child(lenient, parent, count)
        return request(kind="opaque", scopes=_stairs(count, f"x{at}"))

    def calls(count: int) -> int:
        lines = [line(count, at) for at in range(20 if what in ("list", "children") else 1)]
        return _under_the_lock(lambda: _issue(lenient, *lines))

    calls(20)
    assert calls(MOST_SCOPES) <= calls(20) + 20


@pytest.mark.parametrize("what", ["renewal", "attachment", "denial", "a denied line"])
def test_what_is_decided_under_the_lock_costs_as_much_as_it_has_scopes(world: World, what: str) -> None:
    """Each scope costs a few calls."""
    world.issue()

    def calls(count: int) -> int:
        scopes = tuple(Scope(f"a{at}*:read") for at in range(count))
        if what in ("denial", "a denied line"):
            # Sensitivity `critical` is denied for a delegator that the directory does not know.
            denied = request(kind="opaque", scopes=scopes, sensitivity="critical", task="T9")
            lines = [denied] if what == "denial" else [request(kind="opaque", scopes=scopes), denied]
            return _under_the_lock(lambda: _issue(world, *lines))
        held = world.issue(kind="opaque", scopes=scopes, may_audience=("https://a",))
        if what == "renewal":
            renewal = issue_operations.Renew(request=RenewRequest(Secret.single(held.token)))
            return _under_the_lock(lambda: world.authority.perform(renewal))
        attachment = Attach(
            request=AttachRequest(
                Secret.single(held.token), "opaque", scopes=scopes, audiences=("https://a",)
            )
        )
        return _under_the_lock(lambda: world.authority.perform(attachment))

    calls(1)
    few, many = calls(8), calls(MOST_SCOPES)
    assert many - few < 40 * (MOST_SCOPES - 8)


def test_the_advice_of_a_denial_is_found_without_the_lock(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The advice queries the policy up to a thousand times. The denial contains it nevertheless."""
    world.issue()
    turns: list[str] = []

    def noted(place: Any, name: str, turn: str) -> None:
        work = getattr(place, name)

        def follow(*given: Any, **named: Any) -> Any:
            turns.append(turn)
            return work(*given, **named)

        monkeypatch.setattr(place, name, follow)

    noted(SqliteLedger, "write", "write")
    noted(record_denial, "record_denial", "denied")
    noted(PolicyDeniedError, "advise", "advice")
    with pytest.raises(PolicyDeniedError) as caught:
        world.issue(sensitivity="high", task="T9")
    assert turns == ["write", "denied", "advice", "write"]
    assert str(caught.value.hint).startswith("nearest permitted request: ")


@contextmanager
def _earlier(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Allow credentials with more scopes and audiences, as before there was a limit."""
    with monkeypatch.context() as patch:
        patch.setattr(requests, "MOST_SCOPES", 1_000)
        patch.setattr(requests, "MOST_AUDIENCES", 1_000)
        yield


MANY = tuple(Scope(f"a{at:03}:read") for at in range(200))
FEW = MANY[:MOST_SCOPES]
DOORS: dict[str, Callable[[World, str], object]] = {
    "issue": lambda world, _: world.issue(scopes=MANY),
    "delegate": lambda world, token: world.issue(parent=token, delegator=None, agent="x", scopes=MANY),
    "list": lambda world, _: _issue(world, request(), request(scopes=MANY)),
    "dry run": lambda world, _: world.authority.perform(
        issue_operations.Issue(requests=(request(scopes=MANY),), dry_run=True)
    ),
    "attach": lambda world, token: world.authority.perform(
        Attach(request=AttachRequest(Secret.single(token), "opaque", scopes=MANY, audiences=("https://a",)))
    ),
    "attach what it has": lambda world, token: world.authority.perform(
        Attach(request=AttachRequest(Secret.single(token), "opaque", audiences=("https://a",)))
    ),
    "renew": lambda world, token: world.authority.perform(
        issue_operations.Renew(request=RenewRequest(Secret.single(token)))
    ),
}


@pytest.mark.parametrize("door", DOORS)
def test_no_door_makes_a_credential_with_more_scopes(
    lenient: World, door: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _earlier(monkeypatch):
        old = lenient.issue(scopes=MANY, may_audience=("https://a",))
    count = len(lenient.events())
    with pytest.raises(UsageError, match=r"at most 128"):
        DOORS[door](lenient, old.token)
    assert len(lenient.events()) == count


def test_what_has_more_from_before_stays_as_it_is(lenient: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a credential is verified, listed, inspected, delegated from, renewed with fewer scopes, and revoked."""
    with _earlier(monkeypatch):
        old = lenient.issue(scopes=MANY, may_audience=("https://a",))
    assert lenient.verify(old.token).scopes == MANY
    child = lenient.issue(parent=old.token, delegator=None, agent="x", scopes=FEW)
    assert child.issued.scopes == FEW
    attached = lenient.authority.perform(
        Attach(
            request=AttachRequest(
                Secret.single(old.token), "opaque", audiences=("https://a",), allow_narrower=True
            )
        )
    )
    renewed = lenient.authority.perform(
        issue_operations.Renew(request=RenewRequest(Secret.single(old.token), allow_narrower=True))
    )
    for issued in (attached, renewed):
        assert issued.scopes == FEW
        assert "without 72 scopes: the maximum is 128" in issued.notes
    lenient.verify(child.token)
    assert lenient.authority.perform(inventory_operations.Inspect(id=old.jti)).credential.scopes == MANY
    lenient.revoke(old.id)
    assert lenient.check() > 0


def test_the_questions_of_one_transaction_are_limited_before_it_begins(lenient: World) -> None:
    """The limit is for all requests together. The lock holder answers questions within the limit from memory."""
    scopes = [Scope(f"x{at}:y") for at in range(MOST_SCOPES)]
    lines = [request(kind="opaque", scopes=scopes)] * (MOST_QUESTIONS // (1 + MOST_SCOPES))
    _issue(lenient, *lines)
    count = len(lenient.events())
    with pytest.raises(UsageError, match=rf"policy decisions, at most {MOST_QUESTIONS} are possible"):
        _issue(lenient, *lines, lines[0])
    with pytest.raises(UsageError, match="at most 1000 credentials"):
        _issue(lenient, *[request()] * (MOST_AT_ONCE + 1))
    assert len(lenient.events()) == count


def test_a_list_is_planned_again_before_the_lock_if_the_second_has_passed(
    lenient: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This happens twice. Then the list is planned under the lock, so that it does not wait forever."""
    lenient.issue()
    if not isinstance(lenient.ledger, SqliteLedger):
        return
    planned: list[int] = []
    foresee = issue_perform._foreseen

    def slowly(*asked: Any) -> Any:
        found = foresee(*asked)
        planned.append(lenient.clock.now)
        lenient.clock.now += len(planned) <= delays
        return found

    monkeypatch.setattr(issue_perform, "_foreseen", slowly)
    lines = [request(kind="opaque")] * 11
    for seconds, plans in ((0, 1), (1, 2), (2, 3), (9, 3)):
        delays = seconds
        planned.clear()
        _issue(lenient, *lines)
        assert len(planned) == plans
    assert lenient.check() > 0
