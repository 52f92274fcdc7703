"""A view for a few lookups: its cached rows are never older than the last commit before it was opened."""

from __future__ import annotations

import pytest

from jitid.capabilities.access import grant
from jitid.capabilities.access.grant import AccessRequest
from jitid.capabilities.access.store import AccessStore, Presentation, PresentedChanges, PresentedStore
from jitid.capabilities.directory.store import DirectoryChanges, DirectoryStore
from jitid.capabilities.identity.store import CredentialChanges, CredentialStore
from jitid.capabilities.identity.task_store import TaskChanges, TaskStore
from jitid.ledger.signing_keys import KeyChanges, KeyStore
from jitid.model.credential import State
from jitid.model.ledger_rows import Selection
from jitid.values.ids import parse_id
from jitid.values.secret import fingerprint
from tests.builders import put, put_delegator
from tests.ledger.places import Place, public_key


@pytest.mark.parametrize("elsewhere", [True, False])
def test_a_change_is_seen_at_once(place: Place, *, elsewhere: bool) -> None:
    """The next glance sees every committed change (a revocation, a key, the end of a task), by any writer."""
    other = place.again() if elsewhere else place.ledger
    with other.write() as transaction:
        row = put(transaction, task="T-1")
        transaction.append("issue", {})
    jti = parse_id(row.jti)[1]
    for _ in range(2):
        with place.ledger.glance() as snapshot:
            found = CredentialStore(snapshot).find_credential("jti", jti)
            assert found is not None
            assert found.ended_as is None
            assert CredentialStore(snapshot).find_credential("fingerprint", found.fingerprint or b"") == found
            task = TaskStore(snapshot).find_task("T-1")
            assert task is not None
            assert task.ended_at is None
            keys = len(KeyStore(snapshot).signing_keys())
    assert task is not None
    with other.write() as transaction:
        CredentialChanges(transaction).end(Selection(ids=(row.id,)), State.REVOKED)
        TaskChanges(transaction).end_task(task.key)
        KeyChanges(transaction).add_key(*public_key(transaction))
        transaction.append("revoke", {})
    with place.ledger.glance() as snapshot:
        found = CredentialStore(snapshot).find_credential("jti", jti)
        assert found is not None
        assert found.ended_as == "revoked"
        assert len(KeyStore(snapshot).signing_keys()) == keys + 1
        task = TaskStore(snapshot).find_task("T-1")
        assert task is not None
        assert task.ended_at == place.clock.now


@pytest.mark.parametrize("shared", [True, False])
def test_what_was_recorded_as_expired_lives_for_nobody_when_the_clock_goes_back(
    place: Place, *, shared: bool
) -> None:
    """A reader that cached the row must not use it: by the clock alone the credential would be valid again."""
    other = place.again()
    with other.write() as transaction:
        row = put(transaction, task="T-1")
        transaction.append("issue", {})
    for _ in range(2):
        with place.ledger.glance() as snapshot:
            assert CredentialStore(snapshot).find_credential("jti", parse_id(row.jti)[1]) is not None
    place.clock.now += 1_000
    with other.write(shared=shared) as transaction:
        put(transaction, task="T-2")
    place.clock.now -= 1_000
    with place.ledger.glance() as snapshot:
        found = CredentialStore(snapshot).find_credential("jti", parse_id(row.jti)[1])
        assert found is not None
        assert found.ended_as == "expired"


def test_what_is_added_is_seen_by_who_missed_it(place: Place) -> None:
    """A failed lookup is not cached."""
    other = place.again()
    with other.write() as transaction:
        row = put(transaction, task="T-1")
        transaction.append("issue", {})
    with place.ledger.glance() as snapshot:
        assert CredentialStore(snapshot).find_credential("jti", bytes(16)) is None
        assert AccessStore(snapshot).presented(bytes(32)) is None
    with other.write() as transaction:
        wanted = AccessRequest("system:gate", ("verifier",), audiences=("urn:a",))
        granted = grant.grant(transaction, wanted, None)
        later = put(transaction, task="T-1")
    assert granted.secret is not None
    print_ = fingerprint(granted.secret.reveal())
    for _ in range(2):
        with place.ledger.glance() as snapshot:
            assert CredentialStore(snapshot).find_credential("jti", parse_id(row.jti)[1]) is not None
            assert CredentialStore(snapshot).find_credential("jti", parse_id(later.jti)[1]) is not None
            presented = AccessStore(snapshot).presented(print_)
            assert presented is not None
            assert presented.access.ended_at is None
    with other.write() as transaction:
        grant.revoke(transaction, (granted.access.id,), (), None)
    with place.ledger.glance() as snapshot:
        presented = AccessStore(snapshot).presented(print_)
        assert presented is not None
        assert presented.access.ended_as == "revoked"


def test_who_has_a_name_is_seen_at_once(place: Place) -> None:
    """A reader that looked up a name before, with or without success, sees its new owner too."""
    other = place.again()
    with other.write() as transaction:
        alice = put_delegator(transaction, aliases=("user:al",))
        transaction.append("note", {})
    for _ in range(2):
        with place.ledger.glance() as snapshot:
            assert [DirectoryStore(snapshot).is_delegator(name) for name in ("user:al", "user:ali")] == [
                True,
                False,
            ]
            assert [DirectoryStore(snapshot).own_name(name) for name in ("user:al", "user:ali")] == [
                "user:alice",
                "user:ali",
            ]
    with other.write() as transaction:
        DirectoryChanges(transaction).put_delegators([alice._replace(aliases=("user:ali",))])
        transaction.append("note", {})
    with place.ledger.glance() as snapshot:
        assert [DirectoryStore(snapshot).is_delegator(name) for name in ("user:al", "user:ali")] == [
            False,
            True,
        ]
        assert [DirectoryStore(snapshot).own_name(name) for name in ("user:al", "user:ali")] == [
            "user:al",
            "user:alice",
        ]


@pytest.mark.parametrize("shared", [True, False])
def test_a_token_that_another_presents_is_seen_at_once(place: Place, *, shared: bool) -> None:
    """A reader whose earlier lookup failed sees it too. The first presenter stays the presenter."""
    other = place.again()
    mark = Presentation(bytes(32), "system:gate", place.clock.now + 60)
    with place.ledger.glance() as snapshot:
        assert PresentedStore(snapshot).presenter(mark.token) is None
    with other.write(shared=shared) as transaction:
        assert PresentedChanges(transaction).present(mark)
        transaction.append("issue", {})
    for _ in range(2):
        with place.ledger.glance() as snapshot:
            assert PresentedStore(snapshot).presenter(mark.token) == "system:gate"
        with place.ledger.write(shared=shared) as transaction:
            assert not PresentedChanges(transaction).present(mark._replace(presenter="system:other"))
            assert PresentedChanges(transaction).present(mark)


def test_a_glance_is_a_view_for_whatever_is_asked(place: Place) -> None:
    """A glance answers queries that are never cached too, and the ledger can write after it."""
    with place.ledger.write() as transaction:
        row = put(transaction, task="T-1")
        transaction.append("issue", {})
    with place.ledger.glance() as snapshot:
        assert snapshot.now == place.clock.now
    with place.ledger.glance() as snapshot:
        found = CredentialStore(snapshot).latest_of(parse_id(row.id)[1])
        assert found is not None
        assert found.id == row.id
        assert snapshot.head().seq
    with place.ledger.write() as transaction:
        transaction.append("denial", {"reason": "none"})
    with place.ledger.acting("user:alice", {}).glance() as snapshot:
        assert TaskStore(snapshot).find_task("T-2") is None
