"""Contract tests: how a ledger records requests for approval."""

from __future__ import annotations

from hashlib import sha256

import pytest

from jitid.capabilities.issue.approval_store import ApprovalChanges, ApprovalStore
from jitid.ledger import expiry
from jitid.ledger.transaction import Transaction
from jitid.model.approval import Approval, ApprovalFilter, ApprovalState, Word
from tests.builders import DAY, NOW, put, put_delegator
from tests.ledger.places import Place, with_a_mark

REQUEST = b'{"agent":"a","copies":1,"delegator":"user:alice","task":"T"}'


def _uid(number: int) -> bytes:
    return number.to_bytes(16)


def _ask(
    transaction: Transaction, number: int, *groups: str, request: bytes = REQUEST, until: int = NOW + DAY
) -> int:
    """Record a request; return its number in the ledger."""
    ApprovalChanges(transaction).add_request(
        _uid(number), request, "user:alice", "ops", until, groups or ("security",)
    )
    found = ApprovalChanges(transaction).find(_uid(number))
    assert found is not None
    transaction.append("approval-request", {})
    return found.key


def _found(place: Place, number: int) -> Approval:
    with place.ledger.read() as snapshot:
        found = ApprovalStore(snapshot).find(_uid(number))
    assert found is not None
    return found


def test_a_request_is_kept_as_it_was_made(place: Place) -> None:
    with place.ledger.write() as transaction:
        event = transaction.next_seq()
        _ask(transaction, 1, "security", "finance")
    found = _found(place, 1)
    assert (found.request, found.digest) == (REQUEST, sha256(REQUEST).digest())
    assert (found.delegator, found.asked_by, found.asked_at) == ("user:alice", "ops", NOW)
    assert (found.expires_at, found.event, found.ended_as) == (NOW + DAY, event, None)
    assert found.groups == ("finance", "security")
    assert found.state_at(NOW) is ApprovalState.OPEN
    assert found.state_at(NOW + DAY) is ApprovalState.EXPIRED
    with place.ledger.read() as snapshot:
        assert ApprovalStore(snapshot).find(_uid(2)) is None


def test_alike_is_exactly_that_request_while_it_lives(place: Place) -> None:
    with place.ledger.write() as transaction:
        _ask(transaction, 1)
        _ask(transaction, 2, request=REQUEST.replace(b"T", b"U"))
        _ask(transaction, 3, until=NOW + 60)
        ended = _ask(transaction, 4)
        ApprovalChanges(transaction).record_decision(ended, ["security"], "user:bob", "oidc", None)
        transaction.append("approval-deny", {})
    digest = sha256(REQUEST).digest()
    with place.ledger.read() as snapshot:
        assert [one.key for one in ApprovalStore(snapshot).alike(digest, "user:alice")] == [3, 1]
        assert ApprovalStore(snapshot).alike(digest, "jid_another") == []
    place.clock.now += 60
    with place.ledger.read() as snapshot:
        assert [one.key for one in ApprovalStore(snapshot).alike(digest, "user:alice")] == [1]
        assert ApprovalStore(snapshot).alike(bytes(32), "user:alice") == []


def test_a_grant_holds_until_its_time_and_while_its_approver_is_of_the_group(place: Place) -> None:
    with place.ledger.write() as transaction:
        put_delegator(transaction, "user:bob", groups=("security",))
        key = _ask(transaction, 1, "security", "finance")
        event = transaction.next_seq()
        ApprovalChanges(transaction).record_decision(key, ["security"], "user:bob", "oidc", NOW + 60)
        transaction.append("approval-grant", {})
    finance, security = _found(place, 1).words
    assert finance == Word("finance", None, None, None, None, None, None, 0)
    assert security == Word("security", "user:bob", "oidc", 1, NOW, NOW + 60, event, 1)
    assert (security.holds_at(NOW + 59), security.holds_at(NOW + 60)) == (True, False)
    assert _found(place, 1).missing_at(NOW) == ("finance",)


@pytest.mark.parametrize(("groups", "disabled_at"), [(("finance",), None), (("security",), NOW)])
def test_a_grant_does_not_hold_once_its_approver_may_not_give_it(
    place: Place, groups: tuple[str, ...], disabled_at: int | None
) -> None:
    with place.ledger.write() as transaction:
        put_delegator(transaction, "user:bob", groups=groups, disabled_at=disabled_at)
        key = _ask(transaction, 1)
        ApprovalChanges(transaction).record_decision(key, ["security"], "user:bob", "oidc", NOW + 60)
        transaction.append("approval-grant", {})
    found = _found(place, 1)
    assert found.state_at(NOW) is ApprovalState.OPEN
    with place.ledger.read() as snapshot:
        assert ApprovalStore(snapshot).some(ApprovalFilter(waiting=True), 10) == [found]


def test_what_is_used_has_ended_and_says_for_what(place: Place) -> None:
    with place.ledger.write() as transaction:
        key = _ask(transaction, 1)
        row = put(transaction)
        ApprovalChanges(transaction).use(key, row.identity, row.event)
    found = _found(place, 1)
    assert (found.ended_as, found.ended_at) == ("used", NOW)
    assert (found.identity, found.ended_event) == (row.id, row.event)


def test_nothing_is_used_twice(place: Place) -> None:
    with place.ledger.write() as transaction:
        key = _ask(transaction, 1)
        row = put(transaction)
        ApprovalChanges(transaction).use(key, row.identity, row.event)
    with pytest.raises(AssertionError), place.ledger.write() as transaction:
        ApprovalChanges(transaction).use(key, row.identity, row.event)


def test_requests_are_listed_the_newest_first_by_what_they_are(place: Place) -> None:
    with place.ledger.write() as transaction:
        put_delegator(transaction, "user:bob", groups=("security",))
        _ask(transaction, 1)
        granted = _ask(transaction, 2, "security", "finance")
        ApprovalChanges(transaction).record_decision(granted, ["security"], "user:bob", "oidc", NOW + 60)
        transaction.append("approval-grant", {})
        _ask(transaction, 3, until=NOW + 1)
        ended = _ask(transaction, 4)
        ApprovalChanges(transaction).record_decision(ended, ["security"], "user:bob", "oidc", None)
        transaction.append("approval-deny", {})

    def listed(limit: int = 10, **chosen: object) -> list[int]:
        with place.ledger.read() as snapshot:
            return [one.key for one in ApprovalStore(snapshot).some(ApprovalFilter(**chosen), limit)]  # type: ignore[arg-type]

    assert listed() == [4, 3, 2, 1]
    assert listed(limit=2, before=4) == [3, 2]
    assert listed(live=True) == [3, 2, 1]
    assert listed(waiting=True) == [3, 2, 1]
    assert listed(waiting=True, group="security") == [3, 1]
    assert listed(waiting=True, group="finance") == listed(group="finance") == [2]
    place.clock.now += 60
    assert listed(live=True) == [2, 1]
    assert listed(waiting=True, group="security") == [2, 1], "its grant has run out"
    with place.ledger.read() as snapshot:
        assert [one.key for one in ApprovalStore(snapshot).all()] == [1, 2, 3, 4]


def test_what_has_run_out_is_closed_with_the_next_event(place: Place) -> None:
    with place.ledger.write() as transaction:
        put_delegator(transaction, "user:bob", groups=("security",))
        _ask(transaction, 1, until=NOW + 60)
        key = _ask(transaction, 2)
        ApprovalChanges(transaction).record_decision(key, ["security"], "user:bob", "oidc", NOW + 60)
        transaction.append("approval-grant", {})
    place.clock.now += 60
    with place.ledger.write() as transaction:
        expiry.close_approvals(transaction)
        event = transaction.append("denial", {}).seq
    expired, open_ = _found(place, 1), _found(place, 2)
    assert (expired.ended_at, expired.ended_as, expired.ended_event) == (NOW + 60, "expired", event)
    assert (open_.ended_as, open_.words[0].granted) == (None, None)


@with_a_mark
def test_a_clock_that_is_set_back_brings_nothing_to_life(place: Place) -> None:
    with place.ledger.write() as transaction:
        put_delegator(transaction, "user:bob", groups=("security",))
        key = _ask(transaction, 1, until=NOW + 4 * DAY)
        ApprovalChanges(transaction).record_decision(key, ["security"], "user:bob", "oidc", NOW + 60)
        _ask(transaction, 2, until=NOW + 60)
        transaction.append("approval-grant", {})
    place.clock.now += 2 * DAY
    with place.ledger.write(accept_clock=True) as transaction:
        put(transaction)
    place.clock.now = NOW
    with place.ledger.write(accept_clock=True) as transaction:
        pass
    assert _found(place, 1).state_at(NOW) is ApprovalState.OPEN
    expired = _found(place, 2)
    assert expired.state_at(NOW) is ApprovalState.EXPIRED
    with place.ledger.read() as snapshot:
        assert expired.ended_event is not None
        assert snapshot.event(expired.ended_event) is not None
