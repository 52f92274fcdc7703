"""Step-up approval: for one exact request, granted by other people, and used once within a short time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from jitid.capabilities.directory.operations import DisableDelegator, EnableDelegator
from jitid.capabilities.issue import approval_request, issuance
from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.issue.approval_operations import GrantApproval, ShowApproval
from jitid.capabilities.issue.approval_request import is_requester, requested
from jitid.capabilities.issue.operations import Attach
from jitid.crypto import openssh
from jitid.errors import (
    ApprovalNeededError,
    IntegrityError,
    InvalidCredentialError,
    NotFoundError,
    PolicyDeniedError,
    UsageError,
)
from jitid.ledger.sqlite import folder
from jitid.model.approval import ApprovalState
from jitid.model.request import AttachRequest, RenewRequest
from jitid.policy.evaluate import Policy
from jitid.values.ids import approval_id
from jitid.values.secret import Secret
from tests.builders import DAY, NOW, PERMIT_ALL, Made, edit, policed, request
from tests.capabilities.issue.office import BOTH, ISSUER, PAY, POLICY, Office, id_token


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """Return a ledger under a policy that requires approvals."""
    with Office(tmp_path / "ledger") as office:
        yield office


# Requests


def test_a_request_is_recorded_with_its_denial(office: Office) -> None:
    id_ = office.ask(**PAY)
    asked, denial = office.events()[-2:]
    assert (asked["op"], denial["op"]) == ("approval-request", "denial")
    assert asked["approval"] == denial["approval"] == id_
    assert asked["groups"] == ["security"]
    assert asked["asking"] == denial["rules"] == ["pay-needs-security"]
    assert asked["at"] == denial["at"]
    assert office.state(id_) is ApprovalState.OPEN


def test_what_is_said_names_the_group_the_id_and_what_to_do(office: Office) -> None:
    with pytest.raises(ApprovalNeededError) as caught:
        office.issue(**PAY)
    denial = caught.value
    assert (denial.code, denial.exit_status) == ("needs_approval", 4)
    assert denial.message.startswith(
        "denied: an approval by `security` is required (rule `pay-needs-security`)"
    )
    assert denial.message.endswith(f"; request {denial.requests[0]}")
    assert denial.hint == (
        f"required from a member of `security`: jitid approve grant {denial.requests[0]}; then repeat the command"
    )


def test_the_same_request_again_is_no_new_one(office: Office) -> None:
    id_ = office.ask(**PAY)
    office.clock.now += 60
    assert office.ask(**PAY) == id_
    assert office.listed() == [id_]
    assert [event["op"] for event in office.events()].count("approval-request") == 1
    assert [event["op"] for event in office.events()].count("denial") == 2


def test_a_dry_run_asks_nobody(office: Office) -> None:
    operation = issue_operations.Issue(requests=(request(**PAY),), dry_run=True)
    before = office.head()
    with pytest.raises(ApprovalNeededError) as caught:
        office.authority.perform(operation)
    assert "a member of `security` can grant" in str(caught.value.hint)
    assert (office.head(), office.listed()) == (before, [])
    office.grant(office.ask(**PAY))
    (foreseen,) = office.authority.perform(operation)
    assert foreseen.credentials == ()
    assert "approved by `user:bob` for `security`" in foreseen.notes[-1]
    assert office.listed(), "it was not used"


def test_what_is_refused_for_another_reason_too_asks_nobody(office: Office) -> None:
    office.know("user:alice", disabled_at=NOW)
    with pytest.raises(PolicyDeniedError) as caught:
        office.issue(**PAY)
    assert not isinstance(caught.value, ApprovalNeededError)
    assert office.listed() == []


# Use of grants


def test_a_grant_is_used_once(office: Office) -> None:
    id_ = office.ask(**PAY)
    done = office.grant(id_, reason="payday")
    assert office.state(id_) is ApprovalState.GRANTED
    assert office.events()[-1] | {"reason": "payday", "until": NOW + 900} == office.events()[-1]
    made = office.issue(**PAY)
    assert office.verify(made.token).scopes == ("pay:out",)
    event = office.events()[-1]
    assert (event["approval"], event["approvers"]) == (id_, {"security": "user:bob"})
    used = office.found(id_)
    assert (used.ended_as, used.identity, used.ended_event) == ("used", made.id, event["seq"])
    assert done.approval.id == id_
    again = office.ask(**PAY)
    assert again != id_
    assert office.check() == office.events()[-1]["seq"]


def _open_the_task(office: Office) -> None:
    office.issue(agent="other")


def _wait(office: Office) -> None:
    office.clock.now += 60


@pytest.mark.parametrize("change", [_wait, _open_the_task])
def test_the_same_request_is_the_same_a_minute_later_and_on_a_task_opened_meanwhile(
    change: Callable[[Office], None], office: Office
) -> None:
    office.grant(office.ask(**PAY))
    change(office)
    office.issue(**PAY)


def test_the_same_scopes_in_another_order_are_the_same_request(office: Office) -> None:
    office.grant(office.ask(agent="payer", scopes=["pay:in", "pay:out"]))
    office.issue(agent="payer", scopes=["pay:out", "pay:in", "pay:in"])


OTHER: dict[str, dict[str, Any]] = {
    "task": {"task": "T2"},
    "agent": {"agent": "coder"},
    "delegator": {"delegator": "user:mallory"},
    "proof": {"delegator": "user:tester"},
    "kind": {"kind": "opaque"},
    "wider": {"scopes": ["pay:*"]},
    "narrower": {"scopes": ["pay:in"]},
    "more": {"scopes": ["pay:out", "db:read"]},
    "audience": {"audiences": ("urn:other",)},
    "detail": {"details": [{"type": "payment", "limit": 2}]},
    "lifetime": {"ttl": 901},
    "purpose": {"purpose": "another"},
    "sensitivity": {"sensitivity": "low"},
    "deadline": {"deadline_after": 2 * DAY},
    "time": {"deadline": NOW + DAY},
    "copies": {"copies": 2},
}


@pytest.mark.parametrize("other", OTHER)
def test_another_request_is_another(other: str, office: Office) -> None:
    """A grant is bound to the exact request. No part of the request can be changed."""
    plain: dict[str, Any] = {**PAY, "purpose": "pay", "details": [{"type": "payment", "limit": 1}]}
    id_ = office.ask(**plain)
    office.grant(id_)
    assert office.ask(**plain | OTHER[other]) != id_
    office.issue(**plain)


def test_below_another_parent_it_is_another_request(office: Office) -> None:
    first, second = (office.issue(agent="lead", scopes=["db:read"]) for _ in range(2))
    office.terms = office.terms._replace(
        policy=Policy([("p.cedar", POLICY.replace('context.scope like "pay:*"', "context.depth > 0"))])
    )
    office.reopen()
    child = {"agent": "payer", "scopes": ["db:read"]}
    office.grant(office.ask(parent=first.token, **child))
    office.ask(parent=second.token, **child)
    made = office.issue(parent=first.token, **child)
    assert office.verify(made.token).parent == first.id


def test_a_floor_that_judges_it_higher_makes_it_another_request(office: Office) -> None:
    office.grant(office.ask(**PAY))
    office.terms = office.terms._replace(scope_floors={"pay:*": "high"})
    office.reopen()
    office.ask(**PAY)


def test_a_policy_that_wants_another_group_makes_it_another_request(office: Office) -> None:
    id_ = office.ask(**PAY)
    office.grant(id_)
    office.terms = office.terms._replace(
        policy=Policy([("p.cedar", POLICY.replace('@approval("security")', '@approval("finance")'))])
    )
    office.reopen()
    assert office.ask(**PAY) != id_


def test_an_approval_is_left_to_the_transaction_that_uses_it(office: Office) -> None:
    office.grant(office.ask(**PAY))
    with office.ledger.read() as snapshot:
        keyring = folder.keyring(str(office.path))
        names = office.ledger.names
        foreseen = issuance.foresee(snapshot, names, [request(**PAY)], office.terms, keyring)
    assert foreseen.each == [None]


def test_what_is_approved_is_not_renewed(office: Office) -> None:
    office.grant(office.ask(**PAY))
    made = office.issue(**PAY)
    assert made.issued.maximum == made.issued.expires_at
    with pytest.raises(PolicyDeniedError) as caught:
        office.authority.perform(issue_operations.Renew(request=RenewRequest(Secret.single(made.token))))
    assert "an approval is for one credential" in caught.value.message
    assert office.events()[-1]["op"] == "denial"
    assert office.listed() == []


def test_what_is_approved_of_may_be_attached_to(office: Office) -> None:
    """The approver saw for which services the grant is. The successor of a renewal has no approval."""
    wanted = {**PAY, "may_audience": ("urn:shop",), "ttl": 600}

    def attach(token: str) -> None:
        request = AttachRequest(Secret.single(token), "jwt", audiences=("urn:shop",))
        office.authority.perform(Attach(request=request))

    office.grant(office.ask(**wanted))
    made = office.issue(**wanted)
    attach(made.token)
    strict = office.terms
    office.terms = policed(office.terms, list(PERMIT_ALL))
    office.reopen()
    office.clock.now += 60
    renewed = office.authority.perform(
        issue_operations.Renew(request=RenewRequest(Secret.single(made.token)))
    )
    unasked = office.issue(**wanted, task="another")
    office.terms = strict
    office.reopen()
    for token in (renewed.credentials[0].secret.reveal(), unasked.token):
        with pytest.raises(PolicyDeniedError, match="cannot be requested to attach"):
            attach(token)


def test_what_may_be_narrower_asks_only_if_nothing_is_left(office: Office) -> None:
    made = office.issue(agent="payer", scopes=["pay:out", "db:read"], allow_narrower=True)
    assert made.issued.scopes == ("db:read",)
    office.grant(office.ask(**PAY, allow_narrower=True))
    assert office.issue(**PAY, allow_narrower=True).issued.scopes == ("pay:out",)


# Several requests at once


def _issue_all(office: Office, *requests: dict[str, Any]) -> list[Made]:
    issued = office.authority.perform(
        issue_operations.Issue(requests=tuple(request(**one) for one in requests))
    )
    return [Made("", one.id, one.jti, each) for each in issued for one in each.credentials]


def test_copies_are_one_request(office: Office) -> None:
    office.grant(office.ask(**PAY, copies=3))
    made = office.authority.perform(issue_operations.Issue(requests=(request(**PAY, copies=3),)))
    assert len(made[0].credentials) == 3
    office.check()


def test_all_that_a_list_lacks_is_asked_for_together(office: Office) -> None:
    lines: list[dict[str, Any]] = [{**PAY, "task": "A"}, {"task": "B"}, {**BOTH, "task": "C"}]
    with pytest.raises(ApprovalNeededError) as caught:
        _issue_all(office, *lines)
    assert caught.value.position == 0
    assert "and 1 more" in caught.value.message
    first, second = caught.value.requests
    office.grant(first)
    office.grant(second, "carol")
    assert len(_issue_all(office, *lines)) == 3
    office.check()


def test_no_more_is_asked_for_than_can_wait(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """New requests, approvals and disabling each read all open requests."""
    monkeypatch.setattr(approval_request, "_MOST_OPEN", 2)
    first = office.ask(**PAY)
    office.ask(**PAY, task="T2")
    with pytest.raises(
        PolicyDeniedError, match="no request was made: this delegator has 2 open requests"
    ) as denied:
        office.issue(**PAY, task="T3")
    assert not isinstance(denied.value, ApprovalNeededError)
    assert office.events()[-1]["op"] == "denial"
    assert office.ask(**PAY) == first
    office.ask(**PAY, delegator="user:erin")
    office.grant(first)
    office.issue(**PAY)
    office.ask(**PAY, task="T3")


def test_one_approval_is_not_for_two_lines(office: Office) -> None:
    with pytest.raises(ApprovalNeededError) as caught:
        _issue_all(office, PAY, PAY)
    (id_,) = caught.value.requests
    office.grant(id_)
    with pytest.raises(PolicyDeniedError, match="approval-once"):
        _issue_all(office, PAY, PAY)
    assert office.state(id_) is ApprovalState.GRANTED
    office.issue(**PAY)


# Time


def test_a_grant_is_short_lived_and_can_be_given_again(office: Office) -> None:
    id_ = office.ask(**PAY)
    assert office.grant(id_, lifetime=60).approval.words[0].expires_at == NOW + 60
    office.clock.now += 60
    assert office.state(id_) is ApprovalState.OPEN
    assert office.ask(**PAY) == id_
    office.grant(id_)
    office.clock.now += 899
    office.issue(**PAY)
    office.check()


def test_nobody_grants_for_longer_than_the_setting_says(office: Office) -> None:
    id_ = office.ask(**PAY)
    with pytest.raises(UsageError, match="at most 15m"):
        office.grant(id_, lifetime=901)
    office.terms = office.terms._replace(approval_lifetime=60)
    office.reopen()
    assert office.grant(id_).approval.words[0].expires_at == NOW + 60


def test_a_request_expires_with_whatever_was_granted(office: Office) -> None:
    id_ = office.ask(**PAY)
    office.clock.now += DAY - 60
    assert office.grant(id_).approval.words[0].expires_at == NOW + DAY
    office.clock.now += 60
    assert office.state(id_) is ApprovalState.EXPIRED
    with pytest.raises(UsageError, match="expired at"):
        office.grant(id_)
    assert office.ask(**PAY) != id_
    assert office.found(id_).ended_as == "expired"
    office.check()


def test_patience_is_a_setting(office: Office) -> None:
    office.terms = office.terms._replace(approval_patience=60)
    office.reopen()
    assert office.found(office.ask(**PAY)).expires_at == NOW + 60


@pytest.mark.parametrize("accepted", [False, True])
def test_what_has_run_out_stays_so_when_the_clock_steps_back(accepted: bool, office: Office) -> None:
    """A grant that expired stays expired, so that the request is open again."""
    granted = office.ask(**PAY)
    office.grant(granted, lifetime=60)
    office.clock.now += 60
    office.issue(task="T9")
    office.clock.now = NOW - (3 * DAY if accepted else 30)
    with pytest.raises(ApprovalNeededError):
        office.issue(**PAY, accept_clock=accepted)
    office.clock.now = NOW + 30
    assert office.state(granted) is ApprovalState.OPEN
    office.check()


def test_an_expired_request_stays_so_when_the_clock_is_set_back(office: Office) -> None:
    id_ = office.ask(**PAY)
    office.clock.now += DAY
    office.issue(task="T9")
    office.clock.now = NOW
    office.issue(task="T10", accept_clock=True)
    assert office.state(id_) is ApprovalState.EXPIRED
    office.check()


# Approvers


def test_who_is_proved_by_their_login_may_approve(office: Office) -> None:
    id_ = office.ask(**PAY)
    office.know("user:eve", groups=("security",))
    office.terms = office.terms._replace(caller="eve")
    office.reopen()
    done = office.authority.perform(GrantApproval(id=id_))
    assert (done.approval.words[0].approver, done.approval.words[0].proof) == ("user:eve", "os-user")


def test_an_approver_is_known_by_the_subject_of_an_id_token(office: Office) -> None:
    office.know("user:bob", aliases=(f"{ISSUER} 4711",))
    id_ = office.ask(**PAY)
    assert office.grant(id_, "4711").approval.words[0].approver == "user:bob"


def test_a_stranger_may_not_approve(office: Office) -> None:
    id_ = office.ask(**PAY)
    assert office.refused(id_, "mallory") == ("approver-unknown",)
    assert office.refused(id_, None) == ("approver-unknown",)
    for token, hint in (
        (id_token("mallory"), "delegator change NAME --subject"),
        (None, "--delegator-token-file"),
    ):
        with pytest.raises(PolicyDeniedError) as caught:
            office.authority.perform(GrantApproval(id=id_, approver_token=token))
        assert hint in str(caught.value.hint)


def test_who_is_disabled_may_not_approve(office: Office) -> None:
    id_ = office.ask(**PAY)
    office.know("user:bob", disabled_at=NOW)
    assert office.refused(id_, "bob") == ("approver-disabled",)


def test_who_is_of_another_group_may_not_approve(office: Office) -> None:
    id_ = office.ask(**PAY)
    assert office.refused(id_, "dave") == ("approver-group",)
    with pytest.raises(UsageError, match="does not need"):
        office.grant(id_, "dave", group="finance")
    both = office.ask(**BOTH)
    assert office.refused(both, "bob", group="finance") == ("approver-group",)


@pytest.mark.parametrize("subject", ["alice", "al", "alice-1"])
def test_who_asks_may_not_approve_by_any_name(subject: str, office: Office) -> None:
    id_ = office.ask(**PAY)
    assert office.refused(id_, subject) == ("approver-requester",)


def test_whoever_asks_by_an_alias_may_not_approve(office: Office) -> None:
    assert office.refused(office.ask(**PAY, delegator="user:al"), "alice") == ("approver-requester",)


def test_who_asks_by_an_id_token_may_not_approve_once_they_are_known(office: Office) -> None:
    """A delegator that the directory did not know at the request may be added with that subject later."""
    id_ = office.ask(**PAY, delegator=None, delegator_token=id_token("zoe-1"))
    office.know("user:zoe", groups=("security",), aliases=(f"{ISSUER} zoe-1",))
    assert office.refused(id_, "zoe-1") == ("approver-requester",)


@pytest.mark.parametrize("who", [None, "tester"])
def test_the_login_that_asks_may_not_approve(who: str | None, office: Office) -> None:
    """An agent runs under a user's login. Neither that login nor the user's ID token may approve its requests."""
    office.know("user:tester", groups=("security",))
    id_ = office.ask(**PAY)
    assert office.refused(id_, who) == ("approver-requester",)


def test_nobody_up_the_chain_may_approve(office: Office) -> None:
    office.terms = office.terms._replace(
        policy=Policy([("p.cedar", POLICY.replace('context.scope like "pay:*"', "context.depth > 1"))])
    )
    office.reopen()
    lead = office.issue(agent="lead", scopes=["pay:*"])
    middle = office.issue(parent=lead.token, agent="middle", scopes=["pay:*"])
    id_ = office.ask(parent=middle.token, agent="payer", scopes=["pay:out"])
    assert office.refused(id_, "alice") == ("approver-requester",)
    office.know("user:frank", groups=("security",), aliases=("agent:lead",))
    assert office.refused(id_, "frank") == ("approver-requester",)
    office.grant(id_)


def test_a_token_that_proves_nobody_is_refused_and_audited(office: Office) -> None:
    id_ = office.ask(**PAY)
    with pytest.raises(InvalidCredentialError):
        office.authority.perform(GrantApproval(id=id_, approver_token=id_token("bob", exp=1)))
    assert (office.events()[-1]["op"], office.events()[-1]["approval"]) == ("denial", id_)
    assert office.state(id_) is ApprovalState.OPEN


def test_there_is_nothing_to_say_about_what_is_unknown(office: Office) -> None:
    with pytest.raises(NotFoundError):
        office.grant(approval_id(bytes(16)))
    with pytest.raises(UsageError):
        office.grant("jid_" + "0" * 26)


# Grants that no longer count


def _disable(office: Office) -> None:
    office.know("user:bob", disabled_at=NOW)


def _leave(office: Office) -> None:
    office.know("user:bob", groups=("finance",))


@pytest.mark.parametrize("change", [_disable, _leave])
def test_a_grant_counts_only_while_its_approver_may_give_it(
    change: Callable[[Office], None], office: Office
) -> None:
    id_ = office.ask(**PAY)
    office.grant(id_)
    change(office)
    assert office.state(id_) is ApprovalState.OPEN
    assert office.listed(waiting=True) == [id_]
    assert office.ask(**PAY) == id_
    office.grant(id_, "carol")
    assert office.issue(**PAY)
    assert office.events()[-1]["approvers"] == {"security": "user:carol"}
    office.check()


def test_what_somebody_granted_goes_with_them(office: Office) -> None:
    """Enabling the approver again does not restore the grant."""
    id_ = office.ask(**BOTH)
    office.grant(id_)
    office.grant(id_, "dave")
    office.authority.perform(DisableDelegator(name="user:bob", most=None))
    assert office.events()[-1]["grants"] == 1
    office.authority.perform(EnableDelegator(name="user:bob"))
    assert office.found(id_).missing_at(NOW) == ("security",)
    office.check()
    with pytest.raises(InvalidCredentialError, match="was issued before `user:bob` was disabled"):
        office.grant(id_)
    office.clock.now += 1
    office.grant(id_)
    office.issue(**BOTH)
    office.check()


def test_what_is_asked_for_somebody_is_withdrawn_with_them(office: Office) -> None:
    id_, other = office.ask(**PAY), office.ask(**PAY, delegator="user:dave", task="T2")
    office.grant(id_)
    office.authority.perform(DisableDelegator(name="user:al", most=None))
    assert office.state(id_) is ApprovalState.WITHDRAWN
    assert office.state(other) is ApprovalState.OPEN
    with pytest.raises(UsageError, match="was withdrawn"):
        office.grant(id_)
    office.authority.perform(EnableDelegator(name="user:alice"))
    assert office.ask(**PAY) != id_
    office.check()


def test_a_grant_does_not_count_for_whom_it_turns_out_to_be_their_own(office: Office) -> None:
    id_ = office.ask(**PAY, delegator=None, delegator_token=id_token("zoe-1"))
    office.grant(id_)
    office.know("user:bob", aliases=(f"{ISSUER} zoe-1",))
    office.ask(**PAY, delegator=None, delegator_token=id_token("zoe-1"))


def _as(office: Office, caller: str) -> None:
    office.terms = office.terms._replace(caller=caller)
    office.reopen()


def test_only_the_requester_uses_a_grant(office: Office) -> None:
    """Another caller with the same request gets a separate request, and does not use the grant."""
    id_ = office.ask(**PAY)
    assert office.found(id_).asked_by == "user:tester"
    office.grant(id_)
    for other in ("bob", "other", "system:tester"):
        _as(office, other)
        own = office.ask(**PAY)
        assert own != id_
        assert office.ask(**PAY) == own
    assert office.state(id_) is ApprovalState.GRANTED
    _as(office, "user:tester")
    office.issue(**PAY)
    assert office.state(id_) is ApprovalState.USED
    office.check()


def test_the_requester_is_the_same_person_under_each_of_their_names(office: Office) -> None:
    _as(office, "al")
    id_ = office.ask(**PAY, delegator="user:dave")
    assert office.found(id_).asked_by == "user:alice"
    office.grant(id_)
    _as(office, "user:alice")
    office.issue(**PAY, delegator="user:dave")
    _as(office, "stranger")
    other = office.ask(**PAY, delegator="user:dave")
    # The approver's token counts only for its first presenter.
    _as(office, "al")
    office.grant(other)
    office.know("user:erin", aliases=("user:stranger",))
    _as(office, "user:erin")
    office.issue(**PAY, delegator="user:dave")
    office.check()


def test_a_request_from_before_names_a_login_and_is_used_by_that(office: Office) -> None:
    """Rows of older versions contain only the login."""
    id_ = office.ask(**PAY)
    office.grant(id_)
    found = office.found(id_)
    with office.ledger.read() as snapshot:
        assert not is_requester(snapshot, found, "user:other")
        with pytest.raises(IntegrityError, match="the audit log does not confirm"):
            is_requester(snapshot, found._replace(asked_by="tester"), "user:tester")
    edit(office.path, "UPDATE approval SET asked_by = 'user:other'")
    _as(office, "other")
    with pytest.raises(IntegrityError, match="the audit log does not confirm"):
        office.issue(**PAY)
    with pytest.raises(IntegrityError):
        office.check()


def test_an_approval_is_for_one_key(office: Office) -> None:
    """The waiting request contains the key, and the approval counts for no other key."""
    hosts = """@id("kinds") permit (principal, action == Action::"issue", resource) when { context.kind like "*" };
@id("hosts") @approval("security")
forbid (principal, action == Action::"issue", resource) when { context.kind == "ssh-cert" };"""
    office.terms = policed(office.terms, [("p.cedar", hosts)])
    office.reopen()
    pay = {"agent": "payer", "kind": "ssh-cert"}
    keys = [
        openssh.line(
            openssh.ED25519,
            openssh.public_blob(
                Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32).public_key().public_bytes_raw()
            ),
        )
        for number in (1, 2)
    ]
    id_ = office.ask(**pay, public_key=keys[0])
    assert requested(office.found(id_))["public_key"] == keys[0].strip()
    office.grant(id_)
    assert office.ask(**pay, public_key=keys[1]) != id_
    assert office.ask(**pay) != id_
    office.issue(**pay, public_key=keys[0])
    assert office.state(id_) is ApprovalState.USED


def test_the_requester_is_not_the_approver(office: Office) -> None:
    _as(office, "bob")
    id_ = office.ask(**PAY)
    assert office.refused(id_, "bob") == ("approver-requester",)
    office.grant(id_, "carol")
    office.issue(**PAY)


# Several groups


def test_each_group_has_to_grant(office: Office) -> None:
    id_ = office.ask(**BOTH)
    assert office.found(id_).groups == ("finance", "security")
    office.grant(id_)
    assert office.listed(waiting=True, group="finance") == [id_]
    assert office.listed(waiting=True, group="security") == []
    assert office.ask(**BOTH) == id_
    office.grant(id_, "dave")
    office.issue(**BOTH)
    assert office.events()[-1]["approvers"] == {"finance": "user:dave", "security": "user:bob"}
    office.check()


def test_what_is_half_granted_names_the_group_that_has_not_yet(office: Office) -> None:
    id_ = office.ask(**BOTH)
    for who, granted, missing in (("bob", "security", "finance"), ("dave", "finance", "security")):
        office.clock.now += 901
        office.grant(id_, who)
        with pytest.raises(ApprovalNeededError) as caught:
            office.issue(**BOTH)
        assert caught.value.message.endswith(
            f"; request {id_}, granted by `{granted}`, not yet by `{missing}`"
        )
        assert str(caught.value.hint).startswith(
            f"required from a member of `{missing}`: jitid approve grant {id_}"
        )
        with pytest.raises(ApprovalNeededError) as caught:
            office.authority.perform(issue_operations.Issue(requests=(request(**BOTH),), dry_run=True))
        assert caught.value.hint == f"required from a member of `{missing}`: jitid approve grant {id_}"
    office.grant(id_, "bob")
    office.issue(**BOTH)


def test_who_is_of_several_groups_speaks_for_all_of_them_or_for_one(office: Office) -> None:
    id_ = office.ask(**BOTH)
    assert office.grant(id_, "carol", group="finance").approval.missing_at(NOW) == ("security",)
    assert office.grant(id_, "carol").approval.missing_at(NOW) == ()
    assert office.grant(id_, "carol").event is None, "it is granted already"


def test_a_grant_that_runs_out_before_the_other_is_given_again(office: Office) -> None:
    id_ = office.ask(**BOTH)
    office.grant(id_)
    office.clock.now += 1_000
    office.grant(id_, "dave")
    assert office.found(id_).missing_at(office.clock.now) == ("security",)
    assert office.ask(**BOTH) == id_
    office.grant(id_)
    office.issue(**BOTH)
    office.check()


def test_any_group_ends_it_by_saying_no(office: Office) -> None:
    id_ = office.ask(**BOTH)
    office.grant(id_)
    office.deny(id_, "dave", reason="not today")
    assert office.state(id_) is ApprovalState.DENIED
    with pytest.raises(UsageError, match="was denied"):
        office.grant(id_)
    assert office.deny(id_, "dave").event is None
    assert office.ask(**BOTH) != id_
    office.check()


def test_what_was_granted_can_be_taken_back_until_it_is_used(office: Office) -> None:
    id_ = office.ask(**PAY)
    office.grant(id_)
    office.deny(id_)
    other = office.ask(**PAY)
    assert other != id_
    office.grant(other)
    made = office.issue(**PAY)
    with pytest.raises(UsageError, match="was used") as caught:
        office.deny(other)
    assert made.id in str(caught.value.hint)


def test_who_may_not_grant_for_others_may_not_deny_for_them(office: Office) -> None:
    id_ = office.ask(**PAY)
    with pytest.raises(PolicyDeniedError, match="approver-group"):
        office.deny(id_, "dave")
    office.deny(id_, "alice")
    assert office.state(id_) is ApprovalState.DENIED, "who asks may take it back"


# Requests as approvers see them


def test_a_request_is_shown_with_the_rule_that_asks_as_it_was_then(office: Office) -> None:
    office.terms = office.terms._replace(policy_text='[["p.cedar",' + _quoted(POLICY) + "]]")
    office.reopen()
    id_ = office.ask(**PAY, purpose="\x1b[31mpay")
    office.terms = office.terms._replace(
        policy=Policy([("q.cedar", '@id("no") forbid(principal,action,resource);')])
    )
    office.reopen()
    shown = office.authority.perform(ShowApproval(id=id_))
    ((name, file, text),) = shown.rules
    assert (name, file) == ("pay-needs-security", "p.cedar")
    assert text.startswith('@id("pay-needs-security") @approval("security")\nforbid')
    assert shown.delegator is not None
    assert shown.task is None
    assert "approval by `security`" in shown.event["reason"]


def _quoted(text: str) -> str:
    from jitid.values.strict_json import dumps

    return dumps(text)
