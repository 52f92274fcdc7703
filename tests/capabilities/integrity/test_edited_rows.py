"""Check of a whole ledger against its audit log: an edit of the rows is found."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jitid.authority.repeat import digest_of
from jitid.capabilities.access.grant import AccessRequest
from jitid.capabilities.access.operations import GrantAccess
from jitid.capabilities.integrity import audit_export
from jitid.capabilities.integrity.operations import ExportLog, SignHead, VerifyLog
from jitid.capabilities.inventory.operations import ShowTree
from jitid.capabilities.issue.operations import Attach, Issue, Renew
from jitid.capabilities.trust.operations import RevokeKey, RotateKey
from jitid.errors import IntegrityError, InvalidCredentialError, JitidError
from jitid.ledger.idempotency import REMEMBERED
from jitid.ledger.signing_keys import KeyStore
from jitid.ledger.transaction import Transaction
from jitid.model.event import Event
from jitid.model.request import AttachRequest, RenewRequest
from jitid.values.ids import parse_access_id
from jitid.values.secret import Secret
from tests.authority.callers import caller, issue
from tests.builders import DAY, NOW, World, edit, request
from tests.former import two_digests

BOB = caller(key="k1")


@pytest.fixture
def used(world: World) -> World:
    """Return a ledger with events of many kinds."""
    chain = world.chain(3, scopes=["db:read"])
    world.issue(task="T2", kind="opaque")
    world.issue(task="T3", kind="opaque", ttl=60)
    world.revoke(chain[1].id)
    world.clock.now += 60
    world.retire("T2")
    world.authority.perform(RotateKey(algorithm="EdDSA"))
    with world.ledger.read() as snapshot:
        kid = KeyStore(snapshot).signing_keys()[0].kid
    world.authority.perform(RevokeKey(kid=kid, most=None))
    world.issue(task="T4", kind="opaque", purpose='","issued":"x"')
    world.check()
    return world


def test_a_policy_that_was_rewritten_is_found(world: World) -> None:
    world.issue()
    world.check()
    edit(world.path, "UPDATE policy SET text = replace(text, 'forbid', 'permit')")
    with pytest.raises(IntegrityError, match="does not match its digest"):
        world.check()


CHANGES = [
    "UPDATE audit_event SET body = replace(body, 'user:alice', 'user:mallo') WHERE seq = 2",
    "UPDATE audit_event SET body = CAST(replace(body, 'user:alice', 'user:mallo') AS BLOB) WHERE seq = 2",
    "UPDATE credential SET fingerprint = 'text' WHERE id = 4",
    "UPDATE credential SET jti = 'text' WHERE id = 4",
    "UPDATE audit_event SET hash = zeroblob(32) WHERE seq = (SELECT max(seq) FROM audit_event)",
    "DELETE FROM audit_event WHERE seq = 3",
    "DELETE FROM audit_event WHERE seq = 1",
    "DELETE FROM audit_event WHERE seq = (SELECT max(seq) FROM audit_event)",
    "INSERT INTO audit_event VALUES (99, '{}', zeroblob(32))",
    "DELETE FROM credential WHERE id = 2",
    "DELETE FROM credential",
    "UPDATE credential SET event = 1 WHERE id = 2",
    "UPDATE credential SET jti = zeroblob(16) WHERE id = 4",
    "UPDATE credential SET fingerprint = zeroblob(32) WHERE id = 4",
    "UPDATE credential SET scopes = 'db:*' WHERE id = 1",
    "UPDATE credential SET expires_at = expires_at + 1 WHERE id = 6",
    "UPDATE credential SET issued_at = 0 WHERE id = 6",
    "UPDATE credential SET kind = 'jwt' WHERE id = 6",
    "UPDATE credential SET ended_at = NULL, ended_as = NULL, ended_event = NULL WHERE id = 3",
    "UPDATE credential SET ended_as = 'expired' WHERE id = 3",
    "UPDATE credential SET ended_at = ended_at + 1 WHERE id = 3",
    "UPDATE credential SET ended_event = 2 WHERE id = 3",
    "UPDATE credential SET ended_at = 1, ended_as = 'revoked' WHERE id = 6",
    "UPDATE credential SET ended_at = 1, ended_as = 'revoked', ended_event = 2 WHERE id = 6",
    "UPDATE task SET ended_at = NULL WHERE name = 'T2'",
    "UPDATE signing_key SET revoked_at = NULL WHERE id = 1",
    "UPDATE signing_key SET public = zeroblob(32) WHERE id = 1",
    "UPDATE signing_key SET machine = kid WHERE id = 1",
    "INSERT INTO signing_key (kid, algorithm, public, created_at) VALUES ('x', 'EdDSA', zeroblob(32), 0)",
    (
        "INSERT INTO credential SELECT 99, zeroblob(16), identity, kind, scopes, audiences, details, issued_at,"
        " expires_at, zeroblob(32), NULL, NULL, event, task, delegator, NULL, NULL, NULL, NULL, NULL, NULL, NULL,"
        " NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL"
        " FROM credential WHERE id = 6"
    ),
]


@pytest.mark.deep
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_behind_the_ledgers_back_is_found(used: World, change: str) -> None:
    edit(used.path, change)
    with pytest.raises(IntegrityError):
        used.check()


def test_the_log_cannot_be_changed_by_accident(used: World) -> None:
    import sqlite3

    db = sqlite3.connect(used.path / "ledger.db")
    for statement in ("DELETE FROM audit_event", "UPDATE audit_event SET body = ''"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            db.execute(statement)
    db.close()


def test_a_remembered_head_is_run_through(used: World) -> None:
    head = used.authority.perform(SignHead())
    used.issue(task="T5")
    assert used.authority.perform(VerifyLog(expected_head=head)).events == used.check()


def test_an_older_copy_is_found_by_a_remembered_head(used: World, tmp_path: Path) -> None:
    used.close()
    shutil.copytree(used.path, tmp_path / "old", copy_function=shutil.copy2)
    used.reopen()
    used.issue(task="T5")
    head = used.authority.perform(SignHead())
    with World(tmp_path / "old") as old:
        old.check()
        with pytest.raises(IntegrityError, match="older copy"):
            old.authority.perform(VerifyLog(expected_head=head))
        old.clock.now = used.clock.now + 1
        old.issue(task="T6")
        with pytest.raises(IntegrityError, match="rewritten"):
            old.authority.perform(VerifyLog(expected_head=head))


def move(world: World) -> None:
    """Continue the ledger with a chain of another epoch, as in a copied ledger."""
    with world.ledger.write() as transaction:
        assert isinstance(transaction, Transaction)
        transaction.open_epoch(1)
        transaction.append("note", {})
    world.check()


@pytest.fixture
def moved(used: World) -> World:
    """Return a ledger with events of many kinds, before and after a move."""
    move(used)
    made = used.issue(task="M1", kind="opaque", scopes=["db:read"])
    used.issue(task="M2", kind="opaque")
    used.revoke(made.id)
    used.check()
    return used


MOVED = [
    "UPDATE chain SET length = length - 1 WHERE id = 1",
    "UPDATE chain SET hash = zeroblob(32) WHERE id = 1",
    "UPDATE chain SET closed_at = NULL WHERE id = 1",
    "UPDATE chain SET start = start + 1 WHERE id = 2",
    "UPDATE chain SET stride = 2 WHERE id = 2",
    "UPDATE chain SET epoch = 1",
    "UPDATE chain SET length = 'text' WHERE id = 1",
    "UPDATE chain SET hash = 'text' WHERE id = 1",
    "DELETE FROM chain WHERE id = 1",
    "DELETE FROM chain WHERE id = 2",
    "DELETE FROM chain",
    "INSERT INTO chain (id, epoch, start, stride) VALUES (3, 3, 99, 1)",
    "DELETE FROM audit_event WHERE seq = (SELECT length FROM chain WHERE id = 1)",
    "DELETE FROM audit_event WHERE seq = (SELECT start FROM chain WHERE id = 2)",
]


@pytest.mark.deep
@pytest.mark.parametrize("change", [*CHANGES, *MOVED])
def test_a_change_of_a_ledger_that_has_moved_is_found(moved: World, change: str) -> None:
    edit(moved.path, change)
    moved.reopen()
    with pytest.raises(IntegrityError):
        moved.check()


def test_a_head_from_before_a_move_is_run_through(used: World) -> None:
    head = used.authority.perform(SignHead())
    move(used)
    assert used.authority.perform(VerifyLog(expected_head=head)).events == used.check()
    lines = exported(used)
    assert audit_export.verify_export(lines, head).head == used.head()


def test_an_older_copy_is_found_by_a_head_from_after_a_move(used: World, tmp_path: Path) -> None:
    used.close()
    shutil.copytree(used.path, tmp_path / "old", copy_function=shutil.copy2)
    used.reopen()
    move(used)
    head = used.authority.perform(SignHead())
    with World(tmp_path / "old") as old, pytest.raises(IntegrityError, match="older copy"):
        old.authority.perform(VerifyLog(expected_head=head))


def test_two_that_went_on_from_one_ledger_are_told_apart(used: World, tmp_path: Path) -> None:
    """An auditor with a head of one ledger finds that the other one lacks its last events."""
    used.close()
    shutil.copytree(used.path, tmp_path / "copy", copy_function=shutil.copy2)
    used.reopen()
    with World(tmp_path / "copy") as copy:
        move(copy)
        used.clock.now += 1
        used.issue(task="LATE")
        for one, other in ((used, copy), (copy, used)):
            with pytest.raises(IntegrityError):
                one.authority.perform(VerifyLog(expected_head=other.authority.perform(SignHead())))


def test_an_export_of_a_ledger_that_has_moved_verifies(moved: World) -> None:
    lines = exported(moved)
    done = audit_export.verify_export(lines, moved.authority.perform(SignHead()))
    assert (done.events, done.head) == (moved.check(), moved.head())
    for length in range(len(lines)):
        with pytest.raises(JitidError):
            audit_export.verify_export(lines[:length], None)
    for at in range(1, len(lines) - 1):
        with pytest.raises(JitidError):
            audit_export.verify_export([*lines[:at], *lines[at + 1 :]], None)


@pytest.mark.parametrize(
    "spoil", [lambda text: text[:-6] + "AAAAAA", lambda text: text + "A", lambda _: "x.y.z"]
)
def test_a_forged_head_of_several_chains_is_refused(moved: World, spoil: object) -> None:
    assert callable(spoil)
    with pytest.raises(IntegrityError):
        moved.authority.perform(VerifyLog(expected_head=spoil(moved.authority.perform(SignHead()))))


@pytest.mark.parametrize(
    "spoil", [lambda text: text[:-6] + "AAAAAA", lambda text: text + "A", lambda _: "x.y.z"]
)
def test_a_forged_head_is_refused(used: World, spoil: object) -> None:
    assert callable(spoil)
    with pytest.raises(IntegrityError):
        used.authority.perform(VerifyLog(expected_head=spoil(used.authority.perform(SignHead()))))


def test_a_token_is_no_head(used: World) -> None:
    with pytest.raises(IntegrityError):
        used.authority.perform(VerifyLog(expected_head=used.issue(task="T5").token))


def test_a_head_of_another_ledger_is_refused(used: World, tmp_path: Path) -> None:
    with World(tmp_path / "other") as other:
        head = other.authority.perform(SignHead())
    with pytest.raises(IntegrityError):
        used.authority.perform(VerifyLog(expected_head=head))


def exported(world: World) -> list[str]:
    """Return the lines of an export."""
    lines = world.authority.perform(ExportLog())
    return list(lines)


def test_an_export_verifies_without_its_ledger(used: World) -> None:
    lines = exported(used)
    head = used.authority.perform(SignHead())
    done = audit_export.verify_export(lines, head)
    assert done.events == used.check()
    assert done.head == used.head()


def test_a_changed_export_is_found(used: World) -> None:
    """The check finds each line that is omitted, doubled, moved or changed in one character."""
    lines = exported(used)

    @settings(max_examples=150)
    @given(st.integers(0, len(lines) - 1), st.integers(0, len(lines) - 1), st.data())
    def spoil(at: int, to: int, data: st.DataObject) -> None:
        line = lines[at]
        place = data.draw(st.integers(0, len(line) - 1))
        other = data.draw(st.sampled_from('0a"}x').filter(lambda one: one != line[place]))
        for changed in (
            [*lines[:at], *lines[at + 1 :]],
            [*lines[:at], line, *lines[at:]],
            [*lines[:at], line[:place] + other + line[place + 1 :], *lines[at + 1 :]],
            [lines[to] if n == at else lines[at] if n == to else one for n, one in enumerate(lines)],
        ):
            if changed != lines and changed[1:] != lines[1:]:
                with pytest.raises(JitidError):
                    audit_export.verify_export(changed, None)

    spoil()


def test_a_cut_export_is_found(used: World) -> None:
    lines = exported(used)
    for length in range(len(lines)):
        with pytest.raises(JitidError):
            audit_export.verify_export(lines[:length], None)


def test_an_older_export_is_found_by_a_remembered_head(used: World) -> None:
    lines = exported(used)
    used.issue(task="T5")
    with pytest.raises(IntegrityError):
        audit_export.verify_export(lines, used.authority.perform(SignHead()))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE identity SET parent = NULL, depth = 0 WHERE depth = 1",
        "UPDATE identity SET parent = id WHERE depth = 1",
        "UPDATE identity SET proof = 'oidc' WHERE depth = 0",
        "UPDATE identity SET sensitivity = 'low' WHERE depth = 0",
        "UPDATE term SET text = 'user:mallory' WHERE text = 'user:alice'",
        "UPDATE task SET name = 'T9' WHERE name = 'T1'",
    ],
)
def test_an_edited_identity_is_found(world: World, statement: str) -> None:
    parent = world.issue(kind="opaque")
    world.issue(kind="opaque", parent=parent.token, agent="child")
    world.check()
    edit(world.path, statement)
    world.reopen()
    with pytest.raises(IntegrityError):
        world.check()


@pytest.mark.parametrize("copies", [1, 2])
@pytest.mark.parametrize(
    ("subject", "where"),
    [
        ("NULL", "proved_subject IS NOT NULL"),
        ("(SELECT id FROM term WHERE text = 'user:alice')", "proved_subject IS NOT NULL"),
        ("(SELECT id FROM term WHERE text = 'https://id.example 1')", "proved_subject IS NULL"),
        ("(SELECT max(id) + 1 FROM term)", "proved_subject IS NULL"),
        *[("NULL", f"kind = '{kind}'") for kind in ("jwt", "opaque", "jwt-svid")],
    ],
)
def test_an_edit_of_whom_an_id_token_proved_is_found(
    world: World, copies: int, subject: str, where: str
) -> None:
    """Disabling a delegator ends its credentials under all its names. This column identifies them."""
    proved = {"delegator": None, "proved_delegator": "user:zoe", "proved_at": NOW}
    reach = {"may_audience": ("urn:api",), "may_kind": ("opaque", "jwt-svid")}
    fields = request(**proved, proved_subject="https://id.example 1", copies=copies, **reach)
    (issued,) = world.authority.perform(Issue(requests=(fields,)))
    root = issued.credentials[0].secret
    world.issue(parent=Secret.single(root.reveal()), agent="child", kind="opaque")
    world.authority.perform(Attach(request=AttachRequest(root, "jwt-svid", audiences=("urn:api",))))
    world.authority.perform(Renew(request=RenewRequest(root)))
    world.issue(task="T9")
    world.check()
    edit(world.path, f"UPDATE credential SET proved_subject = {subject} WHERE {where}")
    world.reopen()
    with pytest.raises(IntegrityError):
        world.check()


def test_a_circle_of_parents_ends_every_walk(world: World) -> None:
    parent = world.issue(kind="opaque")
    child = world.issue(kind="opaque", parent=parent.token, agent="child")
    edit(world.path, "UPDATE identity SET parent = id WHERE depth = 1")
    world.reopen()
    with pytest.raises(InvalidCredentialError):
        world.verify(child.token)
    with pytest.raises(IntegrityError):
        world.authority.perform(ShowTree(ids=(child.id,), limit=10))


def test_a_damaged_time_mark_is_an_integrity_failure(world: World) -> None:
    made = world.issue()
    edit(world.path, "UPDATE clock_mark SET marked_at = 'zzz'")
    world.reopen()
    with pytest.raises(IntegrityError):
        world.verify(made.token)


def test_a_row_that_is_not_what_was_signed_is_refused(world: World) -> None:
    parent = world.issue()
    child = world.issue(parent=parent.token, agent="child")
    edit(world.path, "UPDATE identity SET parent = NULL, depth = 0 WHERE depth = 1")
    world.reopen()
    with pytest.raises(InvalidCredentialError):
        world.verify(child.token)


@pytest.mark.parametrize("other", ["NULL", """'[{"type":"other"}]'"""])
def test_a_row_with_other_details_is_not_what_was_signed(world: World, other: str) -> None:
    """Introspection, `inspect` and child credentials use the row."""
    made = world.issue(details=({"type": "one"},), may_audience=("urn:api",))
    plain = world.issue(task="T2")
    edit(world.path, f"UPDATE credential SET details = {other}")
    world.reopen()
    for token in (made.token, *([plain.token] if other != "NULL" else [])):
        with pytest.raises(InvalidCredentialError, match="differs from the signed claims"):
            world.verify(token)


def test_accepting_a_lower_clock_judges_by_that_clock(world: World) -> None:
    world.issue(task="A")
    world.clock.now += 2 * DAY
    world.issue(task="B", accept_clock=True)
    world.clock.now -= 2 * DAY
    world.issue(task="A", accept_clock=True)


@pytest.mark.parametrize("column", ["jti", "fingerprint", "claims_hash"])
def test_an_edit_is_found_by_two_digests_too(world: World, column: str) -> None:
    with two_digests():
        world.authority.perform(Issue(requests=(request(copies=3),)))
        world.issue(kind="opaque")
    with world.ledger.read() as snapshot:
        assert all({"issued", "rows"} <= Event(*event).document().keys() for event in snapshot.events(1))
    assert world.check() is not None
    edit(world.path, f"UPDATE credential SET {column} = zeroblob(length({column})) WHERE id = 2")
    with pytest.raises(IntegrityError):
        world.check()


def test_an_edited_copy_of_a_delegation_is_found(world: World) -> None:
    parent = world.issue(kind="opaque")
    world.authority.perform(Issue(requests=(request(kind="opaque", parent=parent.token, copies=3),)))
    world.check()
    edit(world.path, "UPDATE identity SET parent = NULL, depth = 0 WHERE id = 3")
    world.reopen()
    with pytest.raises(IntegrityError):
        world.check()


def test_what_was_answered_by_a_wrong_clock_and_again_by_the_right_one_is_not_missed(world: World) -> None:
    """The first answer has a future time. The second answer replaced it, and is deleted before that time."""
    issue(world, BOB, delegator=None)
    world.clock.now -= 3 * DAY
    world.issue(task="T2", accept_clock=True)
    issue(world, BOB, delegator=None)
    assert world.check()
    world.clock.now += REMEMBERED
    world.issue(task="T3")
    world.clock.now += 1
    issue(world, BOB._replace(key="another"), delegator=None, task="T4")
    assert world.check()


def test_an_answer_that_nobody_gave_is_found_in_a_ledger_in_which_nothing_was_issued_yet(
    world: World,
) -> None:
    """Otherwise the access of another caller would be revoked, as if its answer had been lost."""
    granted = world.authority.perform(GrantAccess(wanted=AccessRequest("user:other", ttl=DAY)))
    raw = parse_access_id(granted.access.id).hex()
    digest = digest_of(GrantAccess(wanted=AccessRequest("user:zoe"))).hex()
    assert world.check()
    edit(
        world.path,
        f"""INSERT INTO idempotency (caller, key, digest, sort, first, last, at)
            VALUES ('user:bob', 'k1', x'{digest}', 'access', x'{raw}', x'{raw}', {world.clock.now})""",
    )
    with pytest.raises(IntegrityError, match="answer to a request"):
        world.check()
