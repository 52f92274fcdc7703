"""Edited rows of approvals: they are found, and no request is permitted by them."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from jitid.capabilities.issue.approval_operations import ShowApproval
from jitid.capabilities.issue.approval_store import ApprovalStore
from jitid.errors import IntegrityError
from jitid.model.approval import Approval, ApprovalState
from tests.builders import DAY, NOW, edit
from tests.capabilities.issue.office import BOTH, PAY, Office

FORGED = f"""UPDATE approval_group SET approver = 'user:bob', proof = 'oidc', granted = 1, decided_at = {NOW},
    expires_at = {NOW + 900}, event = (SELECT max(seq) FROM audit_event)"""


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """Return a ledger under a policy that requires approvals."""
    with Office(tmp_path / "ledger") as office:
        yield office


def _must_be_found(office: Office) -> None:
    with pytest.raises(IntegrityError):
        office.check()


def test_a_grant_that_stands_in_the_ledger_alone_is_not_believed(office: Office) -> None:
    id_ = office.ask(**PAY)
    edit(office.path, FORGED)
    assert office.state(id_) is ApprovalState.GRANTED
    with pytest.raises(IntegrityError, match="audit log does not"):
        office.issue(**PAY)
    _must_be_found(office)


def test_a_grant_of_another_request_is_not_believed(office: Office) -> None:
    """The event of a real grant does not confirm a copy of its row."""
    other = office.ask(**PAY, task="T2")
    office.grant(other)
    office.ask(**PAY)
    edit(office.path, FORGED)
    with pytest.raises(IntegrityError, match="audit log does not"):
        office.issue(**PAY)


def test_a_grant_does_not_grow_older_by_its_row(office: Office) -> None:
    office.grant(office.ask(**PAY))
    office.clock.now += 901
    edit(office.path, f"UPDATE approval_group SET expires_at = {NOW + DAY}")
    with pytest.raises(IntegrityError, match="audit log does not"):
        office.issue(**PAY)
    _must_be_found(office)


def test_a_request_that_reads_otherwise_than_it_was_made_is_not_shown(office: Office) -> None:
    """Otherwise the approval of one request would count for another."""
    id_ = office.ask(**PAY)
    edit(office.path, "UPDATE approval SET request = CAST(replace(request, 'pay:out', 'tea:out') AS BLOB)")
    with pytest.raises(IntegrityError, match="was changed"):
        office.authority.perform(ShowApproval(id=id_))
    with pytest.raises(IntegrityError, match="was changed"):
        office.grant(id_)
    _must_be_found(office)


def _whole(office: Office) -> None:
    """Make a request in each state, and a grant of each kind."""
    used = office.ask(**PAY)
    office.grant(used)
    office.issue(**PAY)
    office.deny(office.ask(**PAY, task="T2"), reason="no")
    office.grant(office.ask(**BOTH, task="T3"), lifetime=60)
    office.clock.now += 60
    office.grant(office.ask(**BOTH, task="T3"), "dave")
    office.clock.now += DAY
    office.grant(office.ask(**BOTH, task="T4"))
    office.ask(**PAY, task="T5")


def test_what_nobody_edited_is_as_its_events_say(office: Office) -> None:
    _whole(office)
    assert {row.ended_as for row in _rows(office)} == {"used", "denied", "expired", None}
    office.check()


def _rows(office: Office) -> list[Approval]:
    with office.ledger.read() as snapshot:
        return list(ApprovalStore(snapshot).all())


_OTHER = sha256(b"{}").hexdigest()


@pytest.mark.deep
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM approval WHERE id = 5",
        "DELETE FROM approval_group WHERE approval = 4 AND name = 'finance'",
        (
            "INSERT INTO approval SELECT 9, x'00', digest, request, delegator, asked_by, asked_at, expires_at,"
            " ended_at, ended_as, identity, event, ended_event FROM approval WHERE id = 5"
        ),
        "INSERT INTO approval_group (approval, name) VALUES (5, 'finance')",
        f"UPDATE approval SET digest = x'{_OTHER}', request = CAST('{{}}' AS BLOB) WHERE id = 5",
        "UPDATE approval SET delegator = 'user:dave' WHERE id = 5",
        "UPDATE approval SET asked_by = 'dave' WHERE id = 5",
        "UPDATE approval SET asked_at = asked_at - 1 WHERE id = 5",
        "UPDATE approval SET expires_at = expires_at + 1 WHERE id = 5",
        "UPDATE approval SET event = event + 1 WHERE id = 5",
        "UPDATE approval SET ended_at = NULL, ended_as = NULL, ended_event = NULL WHERE ended_as = 'used'",
        (
            "UPDATE approval SET ended_at = NULL, ended_as = NULL, ended_event = NULL, identity = NULL"
            " WHERE ended_as = 'used'"
        ),
        "UPDATE approval SET ended_at = NULL, ended_as = NULL, ended_event = NULL WHERE ended_as = 'denied'",
        "UPDATE approval SET ended_as = 'used' WHERE ended_as = 'expired'",
        "UPDATE approval SET ended_at = expires_at, ended_as = 'expired', ended_event = 1 WHERE id = 5",
        f"UPDATE approval SET ended_at = {NOW + DAY + 60}, ended_as = 'withdrawn', ended_event = 1 WHERE id = 5",
        "UPDATE approval SET ended_at = NULL WHERE ended_as = 'expired'",
        "UPDATE approval SET identity = NULL WHERE ended_as = 'used'",
        "UPDATE approval SET identity = 1 WHERE id = 5",
        "UPDATE approval SET ended_as = 'blessed' WHERE ended_as = 'used'",
        "UPDATE approval_group SET approver = 'user:carol' WHERE approval = 4 AND name = 'security'",
        "UPDATE approval_group SET proof = 'os-user' WHERE approval = 4 AND name = 'security'",
        "UPDATE approval_group SET decided_at = decided_at - 1 WHERE approval = 4 AND name = 'security'",
        "UPDATE approval_group SET event = event - 1 WHERE approval = 4 AND name = 'security'",
        "UPDATE approval_group SET granted = 1 WHERE granted = 0",
        "UPDATE approval_group SET granted = 'yes' WHERE granted = 0",
        (
            "UPDATE approval_group SET approver = NULL, proof = NULL, granted = NULL, decided_at = NULL,"
            " expires_at = NULL, event = NULL WHERE approval = 4"
        ),
        f"{FORGED} WHERE approval = 5",
    ],
)
def test_an_edited_row_is_found(statement: str, office: Office) -> None:
    _whole(office)
    before = _rows(office)
    office.close()
    edit(office.path, statement)
    office.reopen()
    _must_be_found(office)
    assert len(before) == 5
