"""Pruning with concurrent changes: the audit log accounts for the remaining rows.

Each change that is still possible to ended rows happens at each moment of a pruning.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from jitid.capabilities.access.grant import AccessRequest
from jitid.capabilities.access.operations import GrantAccess, UseAssertion
from jitid.capabilities.access.store import Presentation, PresentedChanges
from jitid.capabilities.identity.operations import HandBack
from jitid.capabilities.integrity import retention
from jitid.capabilities.integrity.operations import Prune
from jitid.capabilities.inventory.operations import Inspect
from jitid.capabilities.issue.approval_store import ApprovalChanges
from jitid.capabilities.issue.operations import Issue, Renew
from jitid.capabilities.leak.leaks import LeakReport
from jitid.capabilities.leak.operations import AddLeaks, ProveLeaks
from jitid.capabilities.use.authorization import UseRequest
from jitid.capabilities.use.operations import Authorize
from jitid.errors import JitidError, NotFoundError
from jitid.ledger import expiry
from jitid.model.access import Caller
from jitid.model.request import RenewRequest
from jitid.search.pasted import search_pasted
from jitid.values.scope import Scope
from jitid.values.secret import Secret
from tests.builders import DAY, Made, request
from tests.capabilities.issue.office import PAY, Office

MONTH = 30 * DAY
HOURS = 7_200


class Old:
    """Rows that ended long before a pruning: a chain, a renewed credential, and a request for approval."""

    def __init__(self, office: Office) -> None:
        self.chain = office.chain(2)
        self.renewed = office.issue(task="T2")
        office.authority.perform(Renew(request=RenewRequest(Secret.single(self.renewed.token))))
        self.asked = office.ask(**PAY, task="T3")

    @property
    def all(self) -> tuple[Made, ...]:
        """Return all its credentials that a test has."""
        return (*self.chain, self.renewed)


def _use(office: Office, old: Old) -> None:
    asked = [UseRequest(Secret.single(one.token), Scope("db:read"), "db1") for one in old.all]
    office.authority.perform(
        Authorize(asked=(*asked, UseRequest(Secret.single("x.y.z"), Scope("db:read"), "db1")))
    )


def _leak(office: Office, old: Old) -> None:
    finds = search_pasted(" ".join(one.token for one in old.all).encode())
    office.authority.perform(AddLeaks(finds=finds, report=LeakReport("wiki", None)))
    office.authority.perform(ProveLeaks())


def _renew(office: Office, old: Old) -> None:
    for one in old.all:
        with suppress(JitidError):
            office.authority.perform(Renew(request=RenewRequest(Secret.single(one.token))))


def _end(office: Office, old: Old) -> None:
    for one in old.all:
        with suppress(JitidError):
            office.revoke(one.jti)
        with suppress(JitidError):
            office.authority.perform(HandBack(token=Secret.single(one.token), id=one.id, reason="done"))
    for task in ("T1", "T2"):
        with suppress(JitidError):
            office.retire(task)


def _withdraw(office: Office, _: Old) -> None:
    """Withdraw open and expired requests, like a new request does if there is no room for it."""
    with office.ledger.write() as transaction:
        requesters = [one.asked_by for one in ApprovalChanges(transaction).all() if one.ended_as is None]
        if requesters:
            requests = ApprovalChanges(transaction).withdraw_of("user:alice", sorted({*requesters}))
            transaction.append("approval-withdraw", {"delegator": "user:alice", "requests": requests})


def _nothing(*_: object) -> None:
    """Do nothing."""


def _elapse_by(office: Office, seconds: int) -> None:
    """Advance the clock, and record all credentials that expire by then."""
    office.clock.now += seconds
    with office.ledger.write(accept_clock=True) as transaction:
        while expiry.close_due(transaction, 1_000):
            pass


def inspected(office: Office, made: Made) -> bool:
    """Return whether the ledger still has a credential."""
    try:
        office.authority.perform(Inspect(id=made.jti))
    except NotFoundError:
        return False
    return True


def _elapse(office: Office, _: Old) -> None:
    office.clock.now += HOURS


def _mark(office: Office, _: Old) -> None:
    client = office.authority.perform(GrantAccess(wanted=AccessRequest("user:app"))).access
    now = office.clock.now
    with suppress(JitidError):
        office.authority.perform(UseAssertion(id=client.id, jti=str(now), expires_at=now + 60))
    with office.ledger.write() as transaction:
        PresentedChanges(transaction).present(Presentation(now.to_bytes(32), "user:zoe", now + 600))
        transaction.append("access-revoke", {"access": [], "reason": "none"})
    caller = Caller("user:ci", frozenset({"issuer"}), key=str(now))
    office.authority.serving(caller).perform(Issue(requests=(request(task=f"M{now}", ttl=60),)))


def _issue(office: Office, _: Old) -> None:
    """Issue, renew and request approval. The new credentials expire at another time than the old ones."""
    made = office.issue(task=f"N{office.clock.now}", agent="new")
    office.issue(parent=made.token, agent="child")
    office.authority.perform(Renew(request=RenewRequest(Secret.single(made.token))))
    office.ask(**PAY, task=f"P{office.clock.now}")


HAPPENINGS: dict[str, Callable[[Office, Old], None]] = {
    "used": _use,
    "leaked": _leak,
    "renewed": _renew,
    "ended": _end,
    "withdrawn": _withdraw,
    "elapsed": _elapse,
    "issued": _issue,
    "marked": _mark,
}
MOMENTS = ("before", "found", "condemned", "deleted")


@pytest.mark.usefixtures("kept_in")
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("happening", HAPPENINGS)
def test_pruning_agrees_with_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, happening: str, moment: str
) -> None:
    with Office(tmp_path / "ledger", approval_patience=60) as office:
        old = Old(office)
        _elapse_by(office, 2 * MONTH)
        _issue(office, old)
        office.clock.now += HOURS
        moments = {moment: HAPPENINGS[happening]}

        def happen(now: str) -> None:
            moments.pop(now, _nothing)(office, old)
            office.check()

        find, delete = retention._find, retention._delete

        def found(*given: Any, **more: Any) -> Any:
            seen = find(*given, **more)
            happen("found")
            return seen

        def condemned(*given: Any, **more: Any) -> Any:
            happen("condemned")
            return delete(*given, **more)

        monkeypatch.setattr(retention, "_find", found)
        monkeypatch.setattr(retention, "_delete", condemned)
        happen("before")
        office.authority.perform(Prune(rows_after=3_600))
        happen("deleted")
        office.authority.perform(Prune(rows_after=None))
        office.check()
        _elapse_by(office, DAY)
        later = office.authority.perform(Prune(rows_after=3_600))
        office.check()
        if happening == "leaked":
            # A leaked credential stays as evidence, unless its leak is reported after the deletion.
            assert inspected(office, old.chain[0]) == (moment != "deleted")
        else:
            assert (later.left, inspected(office, old.chain[0])) == (0, False)


def test_a_clock_that_was_set_back_demands_no_older_answers(tmp_path: Path) -> None:
    """A prune has deleted the answers at the later time. If it deletes no other rows, it has no event.

    Only for a ledger in a file: a database's clock is set by others, and no event records it.
    """
    with Office(tmp_path / "ledger") as office:
        caller = Caller("user:ci", frozenset({"issuer"}), key="k1")
        office.authority.serving(caller).perform(Issue(requests=(request(ttl=60),)))
        _elapse_by(office, 2 * DAY)
        office.authority.perform(Prune(rows_after=None))
        office.check()
        _elapse_by(office, -DAY - HOURS)
        office.check()
