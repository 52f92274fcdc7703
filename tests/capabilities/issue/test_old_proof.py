"""Old proof: a proof from before the delegator's last disabling, or from before a restore, is refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jitid.capabilities.access.grant import AccessRequest
from jitid.capabilities.access.operations import GrantAccess, UseAssertion
from jitid.capabilities.directory.operations import DisableDelegator, EnableDelegator
from jitid.capabilities.directory.roster.roster_entry import Roster, StatedDelegator
from jitid.capabilities.issue.approval_operations import GrantApproval
from jitid.capabilities.issue.operations import Issue
from jitid.capabilities.issue.token_operations import Exchange
from jitid.errors import IntegrityError, InvalidCredentialError, UnauthenticatedError
from jitid.model.approval import ApprovalState
from jitid.values import strict_json
from jitid.values.secret import Secret
from tests.backup.test_backup import back_up, restore
from tests.builders import DAY, edit, request
from tests.capabilities.directory.people import bring_roster
from tests.capabilities.issue.office import PAY, Office, id_token
from tests.crypto import signed

JWK = strict_json.dumps(signed.jwk(signed.ED25519, kid="k1"))


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """Return a ledger that knows people by their names and by their ID tokens."""
    with Office(tmp_path / "ledger") as office:
        yield office


def disable(office: Office, name: str) -> None:
    """Disable a delegator, and enable it a minute later."""
    office.clock.now += 60
    office.authority.perform(DisableDelegator(name=name, most=None))
    office.clock.now += 60
    office.authority.perform(EnableDelegator(name=name))
    office.check()


def by_issue(office: Office, token: Secret) -> object:
    return office.issue(delegator=None, delegator_token=token)


def by_dry_run(office: Office, token: Secret) -> object:
    return office.authority.perform(
        Issue(requests=(request(delegator=None),), delegator_token=token, dry_run=True)
    )


def by_exchange(office: Office, token: Secret) -> object:
    return office.authority.perform(
        Exchange(request=request(task=None, delegator=None), subject=token, subject_sort="id_token")
    )


def as_actor(office: Office, token: Secret) -> object:
    subject = id_token("bob", iat=office.clock.now)
    return office.authority.perform(
        Exchange(
            request=request(task=None, delegator=None),
            subject=subject,
            subject_sort="id_token",
            actor=token,
            actor_sort="id_token",
        )
    )


def as_approver(office: Office, token: Secret) -> object:
    id_ = office.ask(**{**PAY, "scopes": ["prod:db"], "task": f"A{office.head().seq}"})
    return office.authority.perform(GrantApproval(id=id_, approver_token=token))


DOORS: list[Callable[[Office, Secret], object]] = [by_issue, by_dry_run, by_exchange, as_actor, as_approver]


@pytest.mark.parametrize("door", DOORS)
def test_an_id_token_from_before_a_disabling_counts_at_no_door(
    door: Callable[[Office, Secret], object], office: Office
) -> None:
    """This holds even after the delegator is enabled again."""
    start = office.clock.now
    old = id_token("dave", iat=start)
    disable(office, "user:dave")
    at = start + 60
    for stale in (
        old,
        id_token("dave", iat=at),
        # A new token of a login from before the disabling proves no more than that login.
        id_token("dave", iat=at + 60, auth_time=start),
    ):
        with pytest.raises(
            InvalidCredentialError, match="was issued before `user:dave` was disabled"
        ) as caught:
            door(office, stale)
        assert caught.value.exit_status == 8
        assert "log in again" in str(caught.value.hint)
    door(office, id_token("dave", iat=at + 1))
    door(office, id_token("dave", iat=at + 60, auth_time=at + 1))
    office.check()


def test_it_counts_by_whatever_name_the_token_gives(office: Office) -> None:
    """An alias and the subject of a token belong to the same delegator."""
    old = [id_token("al", iat=office.clock.now), id_token("alice-1", iat=office.clock.now)]
    by_issue(office, old[0])
    disable(office, "user:alice")
    for one in old:
        with pytest.raises(InvalidCredentialError, match="was issued before `user:alice`"):
            by_issue(office, one)
    by_issue(office, id_token("bob", iat=0))


def test_a_disabling_by_import_counts_as_one_by_hand(office: Office) -> None:
    old = id_token("dave", iat=office.clock.now)
    for disabled in (True, False):
        office.clock.now += 60
        bring_roster(office, Roster((_stated(disabled=disabled),)))
        office.check()
    with pytest.raises(InvalidCredentialError, match="was issued before `user:dave`"):
        by_issue(office, old)
    by_issue(office, id_token("dave", iat=office.clock.now))


def _stated(**fields: Any) -> StatedDelegator:
    return StatedDelegator("here", "user:dave", **fields)


def test_the_last_disabling_counts_and_is_covered_by_the_audit(office: Office) -> None:
    disable(office, "user:dave")
    between = id_token("dave", iat=office.clock.now)
    by_issue(office, between)
    disable(office, "user:dave")
    with pytest.raises(InvalidCredentialError, match="was issued before"):
        by_issue(office, between)
    edit(office.path, "UPDATE delegator SET disabled_last = disabled_last - 120 WHERE name = 'user:dave'")
    with pytest.raises(IntegrityError, match="does not match"):
        office.check()


@pytest.mark.parametrize("keep", [False, True])
def test_nothing_from_before_a_restore_counts(tmp_path: Path, *, keep: bool) -> None:
    """A restored ledger does not know which delegators were disabled since the backup."""
    with Office(tmp_path / "ledger", now=int(time.time()) - 10) as office:
        tokens = id_token("dave", iat=office.clock.now), id_token("bob", iat=office.clock.now)
        asked = office.ask(**PAY)
        office.grant(asked)
        back_up(office, tmp_path / "backup", keys=True)
    restore(tmp_path / "backup", tmp_path / "back", keep=keep)
    with Office(tmp_path / "back", now=int(time.time()) + 1) as back:
        assert back.ledger.names.restored_at is not None
        assert back.state(asked) is ApprovalState.WITHDRAWN
        for door in DOORS:
            with pytest.raises(InvalidCredentialError, match="before the ledger was restored"):
                door(back, tokens[0])
        with pytest.raises(InvalidCredentialError, match="before the ledger was restored"):
            back.authority.perform(GrantApproval(id=asked, approver_token=tokens[1]))
        by_issue(back, id_token("dave", iat=back.clock.now))
        back.check()
        back.close()
        edit(back.path, "DELETE FROM setting WHERE name = 'restored_at'")
        back.reopen()
        with pytest.raises(IntegrityError, match="time of its last restore"):
            back.check()


def test_what_a_client_signed_before_its_disabling_or_a_restore_is_refused(tmp_path: Path) -> None:
    """The assertion may have been used since the backup, and the restored ledger would not know."""
    with Office(tmp_path / "ledger", now=int(time.time()) - 10) as office:
        office.know("system:ci")

        def use(world: Office, jti: str, at: int | None, expires_at: int) -> None:
            granted = world.authority.perform(
                GrantAccess(wanted=AccessRequest("system:ci", ("issuer",), key=JWK))
            )
            world.authority.perform(
                UseAssertion(id=granted.access.id, jti=jti, expires_at=expires_at, issued_at=at)
            )

        start = office.clock.now
        use(office, "1", start, start + 300)
        disable(office, "system:ci")
        for at, expires_at in ((start, start + 300), (None, start + 300)):
            with pytest.raises(UnauthenticatedError, match="the assertion is too old"):
                use(office, "2", at, expires_at)
        use(office, "3", office.clock.now, office.clock.now + 300)


def test_a_lower_clock_lets_nothing_from_before_a_restore_count(tmp_path: Path) -> None:
    """The clock may be set to a time before the restore. A token that is issued then is excluded too."""
    start = int(time.time()) - 10
    with Office(tmp_path / "ledger", now=start) as office:
        back_up(office, tmp_path / "backup", keys=True)
    restore(tmp_path / "backup", tmp_path / "back", keep=True)
    with Office(tmp_path / "back", now=int(time.time()) + 1) as back:
        floor = back.ledger.names.restored_at
        back.clock.now -= 5 * DAY
        back.issue(task="BACK", accept_clock=True)
        between = id_token("dave", iat=back.clock.now + 1)
        back.clock.now += 60
        for door in DOORS:
            with pytest.raises(InvalidCredentialError, match="before the ledger was restored"):
                door(back, between)
        assert back.ledger.names.restored_at == floor
        back.check()


def test_nothing_from_before_the_clock_was_set_back_counts(office: Office) -> None:
    """A ledger with a clock ahead has forgotten used tokens, and some of those tokens have not expired."""
    client = office.authority.perform(
        GrantAccess(wanted=AccessRequest("system:ci", key=JWK, ttl=90 * DAY))
    ).access

    def use(jti: str, signed_at: int) -> object:
        return office.authority.perform(
            UseAssertion(id=client.id, jti=jti, expires_at=signed_at + 120, issued_at=signed_at)
        )

    at = office.clock.now
    token = id_token("dave", iat=at)
    use("first", at)
    by_issue(office, token)
    # Another process, which has read the ledger's names before.
    with Office(office.path, now=at) as other:
        other.check()
        office.clock.now = at + 2 * DAY
        office.issue(task="AHEAD", accept_clock=True)
        use("second", at + 2 * DAY)
        office.clock.now = at + 30
        office.issue(task="BACK", accept_clock=True)
        other.clock.now = at + 31
        for each in (office, other):
            with pytest.raises(UnauthenticatedError, match="its clock was set back"):
                each.authority.perform(
                    UseAssertion(id=client.id, jti="first", expires_at=at + 120, issued_at=at)
                )
            for door in DOORS:
                with pytest.raises(InvalidCredentialError, match="its clock was set back"):
                    door(each, token)
    office.clock.now = at + 40
    use("third", at + 35)
    by_issue(office, id_token("dave", iat=at + 35))
    office.check()
    edit(office.path, "DELETE FROM setting WHERE name = 'restored_at'")
    office.reopen()
    with pytest.raises(IntegrityError, match="restore or clock change"):
        office.check()
