"""Contract tests: how a ledger keeps commits, names, tasks, keys, policies, the hash chain, and members of events."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from jitid.capabilities.identity.store import CredentialChanges, CredentialStore
from jitid.capabilities.identity.task_store import TaskChanges, TaskStore
from jitid.capabilities.integrity import verify_log
from jitid.capabilities.integrity.store import RowStore
from jitid.errors import IntegrityError, JitidError
from jitid.ledger import policies
from jitid.ledger.signing_keys import KeyChanges, KeyStore
from jitid.model.chain import Walk
from jitid.model.credential import State
from jitid.model.event import ended_digest
from jitid.model.ledger_rows import Selection
from jitid.values.ids import parse_id
from jitid.values.secret import fingerprint
from tests.builders import DAY, NAMES, NOW, Row, put, put_chain
from tests.ledger.places import Place, public_key


class _StopError(Exception):
    """Any failure inside a transaction."""


def test_what_was_committed_is_there_after_reopening(place: Place) -> None:
    with place.ledger.write() as transaction:
        row = put(
            transaction, task="INC-1", agent="planner", scopes="db:read repo:*", details='[{"type":"x"}]'
        )
    with place.again().read() as snapshot:
        found = CredentialStore(snapshot).latest_of(parse_id(row.id)[1])
        assert found is not None
    assert (found.id, found.jti, found.task, found.agent) == (row.id, row.jti, "INC-1", "planner")
    assert (found.scopes, found.details) == (("db:read", "repo:*"), '[{"type":"x"}]')
    assert (found.issued_at, found.expires_at, found.ended_at) == (NOW, NOW + 900, None)
    assert (found.fingerprint, found.event) == (row.print, row.event)


def test_what_is_open_elsewhere_shows_what_was_committed_here(place: Place) -> None:
    other = place.again()
    with place.ledger.write() as transaction:
        put(transaction, task="INC-1")
    with other.read() as snapshot:
        assert TaskStore(snapshot).find_task("INC-1") is not None


def test_a_query_that_was_not_finished_may_outlast_its_ledger(place: Place) -> None:
    with place.ledger.write() as transaction:
        for task in ("INC-1", "INC-2"):
            put(transaction, task=task)
    other = place.again()
    with other.read() as snapshot:
        rows = snapshot.query("SELECT id FROM task", {})
        assert isinstance(rows, Generator)
        next(rows)
    other.close()
    rows.close()


def test_the_names_are_fixed(place: Place) -> None:
    assert place.again().names == NAMES


def test_an_exception_undoes_all(place: Place) -> None:
    with place.ledger.read() as snapshot:
        head = snapshot.head()
    with pytest.raises(_StopError), place.ledger.write() as transaction:
        put(transaction, task="INC-1", agent="new-agent")
        KeyChanges(transaction).add_key(*public_key(transaction))
        policies.keep(transaction, "d1", "text")
        raise _StopError
    with place.again().read() as snapshot:
        assert snapshot.head() == head
        assert TaskStore(snapshot).find_task("INC-1") is None
        assert len(KeyStore(snapshot).signing_keys()) == 1
        assert policies.text(snapshot, "d1") is None


def test_a_ledger_works_on_after_an_exception(place: Place) -> None:
    """A name that was new in a transaction that was rolled back gets a valid number in the next one."""
    with pytest.raises(_StopError), place.ledger.write() as transaction:
        put(transaction, agent="new-agent")
        raise _StopError
    with place.ledger.write() as transaction:
        row = put(transaction, agent="new-agent")
    with place.again().read() as snapshot:
        found = CredentialStore(snapshot).find_credential("jti", parse_id(row.jti)[1])
    assert found is not None
    assert found.agent == "new-agent"


def test_a_snapshot_does_not_move(place: Place) -> None:
    with place.ledger.read() as snapshot:
        before = snapshot.head()
        with place.again().write() as transaction:
            put(transaction, task="INC-1")
        assert snapshot.head() == before
        assert TaskStore(snapshot).find_task("INC-1") is None


def test_a_name_is_stored_once(place: Place) -> None:
    with place.ledger.write() as transaction:
        first, other = transaction.term("user:alice"), transaction.term("user:bob")
        transaction.append("note", {})
    with place.again().write() as transaction:
        assert (transaction.term("user:alice"), transaction.term("user:bob")) == (first, other)
    assert first != other


def test_a_task_is_found_by_its_name_alone(place: Place) -> None:
    with place.ledger.write() as transaction:
        opened = TaskChanges(transaction).open_task("INC-1", "repair", "high", NOW + 60, "user:alice")
        transaction.append("note", {})
    with place.again().read() as snapshot:
        assert TaskStore(snapshot).find_task("INC-1") == opened
        assert TaskStore(snapshot).find_task("inc-1") is None
    assert (opened.purpose, opened.sensitivity, opened.deadline, opened.opened_at) == (
        "repair",
        "high",
        NOW + 60,
        NOW,
    )


def test_no_two_tasks_have_one_name(place: Place) -> None:
    with place.ledger.write() as transaction:
        TaskChanges(transaction).open_task("INC-1", None, "low", NOW + 60, "user:alice")
        transaction.append("note", {})
    with pytest.raises(JitidError), place.ledger.write() as transaction:
        TaskChanges(transaction).open_task("INC-1", None, "low", NOW + 60, "user:alice")


def test_a_task_ends_once(place: Place) -> None:
    with place.ledger.write() as transaction:
        task = TaskChanges(transaction).open_task("INC-1", None, "low", NOW + DAY, "user:alice")
        TaskChanges(transaction).end_task(task.key)
        transaction.append("note", {})
    place.clock.now += 60
    with place.ledger.write() as transaction:
        TaskChanges(transaction).end_task(task.key)
        transaction.append("note", {})
    with place.again().read() as snapshot:
        ended = TaskStore(snapshot).find_task("INC-1")
    assert ended is not None
    assert ended.ended_at == NOW


def test_tasks_are_found_by_state_newest_first(place: Place) -> None:
    with place.ledger.write() as transaction:
        for name in ("open-1", "open-2"):
            put(transaction, task=name)
        put(transaction, task="open-2", pending=True)
        TaskChanges(transaction).open_task("overdue", None, "low", NOW + 60, "user:alice")
        TaskChanges(transaction).end_task(
            TaskChanges(transaction).open_task("ended", None, "low", NOW + 60, "user:alice").key
        )
        transaction.append("note", {})
    place.clock.now += 60

    def names(state: str | None, after: str | None = None, limit: int = 9) -> list[tuple[str, int, int]]:
        with place.ledger.read() as snapshot:
            last = None if after is None else TaskStore(snapshot).find_task(after, "user:alice")
            found = TaskStore(snapshot).find_tasks(state, last and last.key, limit)
            return [(task.name, all_, live) for task, all_, live in found]

    assert names("open") == [("open-2", 2, 2), ("open-1", 1, 1)]
    assert names("overdue") == [("overdue", 0, 0)]
    assert names("ended") == [("ended", 0, 0)]
    assert [name for name, *_ in names(None)] == ["ended", "overdue", "open-2", "open-1"]
    assert names(None, after="overdue", limit=1) == [("open-2", 2, 2)]


def test_the_credentials_of_a_task_are_counted(place: Place) -> None:
    with place.ledger.write() as transaction:
        put(transaction, task="INC-1", ttl=60)
        put(transaction, task="INC-1")
        put(transaction, task="INC-2")
        task = TaskStore(transaction).find_task("INC-1")
    assert task is not None
    place.clock.now += 60
    with place.ledger.read() as snapshot:
        assert TaskStore(snapshot).count_for_task(task.key) == (2, 1)


def test_a_credential_is_found_by_jti_and_by_fingerprint(place: Place) -> None:
    with place.ledger.write() as transaction:
        row = put(transaction)
        put(transaction)
    with place.ledger.read() as snapshot:
        by_jti = CredentialStore(snapshot).find_credential("jti", parse_id(row.jti)[1])
        assert by_jti is not None
        assert by_jti.jti == row.jti
        assert CredentialStore(snapshot).find_credential("fingerprint", row.print) == by_jti
        assert CredentialStore(snapshot).find_credential("fingerprint", fingerprint("never issued")) is None
        assert CredentialStore(snapshot).find_credential("jti", bytes(16)) is None


def test_a_lineage_lists_the_identities_above_the_nearest_first(place: Place) -> None:
    with place.ledger.write() as transaction:
        chain = put_chain(transaction, 4, scopes="db:read")
    with place.ledger.read() as snapshot:
        above = CredentialStore(snapshot).lineage(chain[3].identity)
        grounds = CredentialStore(snapshot).grounds(chain[3].key)
    assert [one.id for one in above] == [row.id for row in reversed(chain[:3])]
    assert [one.depth for one in above] == [2, 1, 0]
    assert [one.id for one in grounds] == [row.id for row in reversed(chain[:3])]
    assert {(one.scopes, one.expires_at, one.how) for one in grounds} == {
        (("db:read",), NOW + 900, "delegated")
    }


def test_a_line_without_a_live_head_has_no_expiry(place: Place) -> None:
    with place.ledger.write() as transaction:
        parent = put(transaction, ttl=60)
        child = put(transaction, parent=parent)
    place.clock.now += 60
    with place.ledger.read() as snapshot:
        (above,) = CredentialStore(snapshot).grounds(child.key)
    assert (above.expires_at, above.scopes) == (None, ())


def test_descendants_are_counted_with_the_living_among_them(place: Place) -> None:
    with place.ledger.write() as transaction:
        root = put(transaction)
        child = put(transaction, parent=root, ttl=60)
        put(transaction, parent=child)
        put(transaction)
    place.clock.now += 60
    with place.ledger.read() as snapshot:
        assert CredentialStore(snapshot).descendants(root.identity) == (2, 1)


def test_a_subtree_has_parents_before_children(place: Place) -> None:
    with place.ledger.write() as transaction:
        root, child, grandchild = put_chain(transaction, 3)
        second = put(transaction, parent=root)
        put(transaction)
    with place.ledger.read() as snapshot:
        assert [one.id for one in CredentialStore(snapshot).subtree(root.identity, 9)] == [
            root.id,
            child.id,
            second.id,
            grandchild.id,
        ]
        assert len(CredentialStore(snapshot).subtree(root.identity, 2)) == 2
        assert CredentialStore(snapshot).root_of(grandchild.identity) == root.identity


def test_keys_are_kept_for_ever(place: Place) -> None:
    with place.ledger.write() as transaction:
        (first,) = KeyStore(transaction).signing_keys()
        second = KeyChanges(transaction).add_key(*public_key(transaction))
        KeyChanges(transaction).end_key(first.key, revoked=False)
        transaction.append("note", {})
    place.clock.now += 60
    with place.ledger.write() as transaction:
        KeyChanges(transaction).end_key(first.key, revoked=True)
        transaction.append("note", {})
    with place.again().read() as snapshot:
        old, new = KeyStore(snapshot).signing_keys()
    assert (old.retired_at, old.revoked_at) == (NOW, NOW + 60)
    assert new == second


def test_the_last_expiry_of_what_a_key_signed_is_known(place: Place) -> None:
    with place.ledger.write() as transaction:
        (key,) = KeyStore(transaction).signing_keys()
        assert KeyStore(transaction).latest_expiry_signed_by(key.key) is None
        put(transaction, signed_by=key, ttl=60)
        put(transaction, signed_by=key, ttl=120)
        put(transaction, ttl=600)
    with place.ledger.read() as snapshot:
        assert KeyStore(snapshot).latest_expiry_signed_by(key.key) == NOW + 120


def test_what_a_key_is_for_and_its_certificates_are_kept(place: Place) -> None:
    with place.ledger.write() as transaction:
        kid, algorithm, public = public_key(transaction)
        key = KeyChanges(transaction).add_key(kid, algorithm, public, "x509")
        assert (key.use, key.certificates, key.signs) == ("x509", None, False)
        KeyChanges(transaction).certify_key(key.key, b"0\x01\x00")
        transaction.append("note", {})
    with place.again().read() as snapshot:
        first, kept = KeyStore(snapshot).signing_keys()
    assert (first.use, first.certificates, first.signs) == ("jws", None, True)
    assert kept == key._replace(certificates=b"0\x01\x00")
    assert kept.signs


def test_what_a_key_signed_and_is_no_longer_valid_is_known_until_it_expires(place: Place) -> None:
    with place.ledger.write() as transaction:
        (key,) = KeyStore(transaction).signing_keys()
        ended, kept, short, superseded = (
            put(transaction, signed_by=key, ttl=ttl, task=f"T{at}")
            for at, ttl in enumerate((120, 120, 30, 120))
        )
        put(transaction, ttl=120, task="T0")
        CredentialChanges(transaction).end(Selection(tasks=("T0", "T2")), State.REVOKED)
        transaction.append("note", {})
        CredentialChanges(transaction).supersede(superseded.key, NOW + 10)
        transaction.append("note", {})
    with place.ledger.read() as snapshot:
        assert [one.jti for one in KeyStore(snapshot).withdrawn_by(key.key)] == [_raw(ended), _raw(short)]
        assert KeyStore(snapshot).latest_expiry_signed_by(key.key, live=False) == NOW + 120
        assert KeyStore(snapshot).withdrawn_by(key.key + 1) == []
    place.clock.now += 40
    with place.ledger.read() as snapshot:
        found = KeyStore(snapshot).withdrawn_by(key.key)
    assert [(one.jti, one.ended_at, one.ended_as) for one in found] == [
        (_raw(ended), NOW, "revoked"),
        (_raw(superseded), NOW + 10, "superseded"),
    ]
    assert kept
    place.clock.now += 80
    with place.ledger.read() as snapshot:
        assert KeyStore(snapshot).withdrawn_by(key.key) == []
        assert KeyStore(snapshot).latest_expiry_signed_by(key.key, live=False) == NOW + 120


def _raw(row: Row) -> bytes:
    return parse_id(row.jti)[1]


def test_a_policy_is_kept_once(place: Place) -> None:
    with place.ledger.write() as transaction:
        policies.keep(transaction, "d1", "text")
        policies.keep(transaction, "d1", "text")
        transaction.append("note", {})
    with place.again().read() as snapshot:
        assert policies.text(snapshot, "d1") == "text"
        assert policies.text(snapshot, "d2") is None


def test_events_hang_together_from_the_first_on(place: Place) -> None:
    with place.ledger.write() as transaction:
        assert transaction.next_seq() == 2
        for number in range(3):
            transaction.append("note", {"number": number})
        assert transaction.next_seq() == 5
    with place.again().read() as snapshot:
        walk = Walk(NAMES.uuid, snapshot.chains())
        assert [seq for seq, *_ in walk.check(snapshot.events(0))] == [1, 2, 3, 4]
        head = snapshot.head()
        assert (head.seq, walk.finish(snapshot.chains())) == (snapshot.settled(), head)
        assert [seq for seq, *_ in snapshot.events(2)] == [3, 4]
        found = snapshot.event(2)
        assert snapshot.event(5) is None
    assert found is not None
    assert found.document()["by"] == "tester"


def test_the_members_of_an_event_are_named(place: Place) -> None:
    with place.ledger.write() as transaction:
        first, second = put(transaction, task="INC-1"), put(transaction, task="INC-1")
        radius, digest = CredentialChanges(transaction).end(Selection(tasks=("INC-1",)), State.RETIRED)
        event = transaction.append("retire", {"count": radius.credentials, "ended": digest})
    with place.ledger.read() as snapshot:
        assert CredentialStore(snapshot).event_members(first.event) == ([first.jti], [])
        assert CredentialStore(snapshot).event_members(event.seq) == ([], [first.jti, second.jti])
        issued = [(key, jti) for key, jti, *_ in RowStore(snapshot).issued_members()]
        ended = list(RowStore(snapshot).ended_members())
    raw = [parse_id(row.jti)[1] for row in (first, second)]
    assert issued == [(first.key, raw[0]), (second.key, raw[1])]
    assert ended == [(event.seq, jti, NOW, "retired") for jti in raw]
    assert digest == ended_digest(raw)


def test_the_whole_of_a_ledger_verifies(place: Place) -> None:
    with place.ledger.write() as transaction:
        put_chain(transaction, 3, task="INC-1", ttl=60)
        put(transaction, ttl=60)
        radius, digest = CredentialChanges(transaction).end(Selection(tasks=("INC-1",)), State.REVOKED)
        transaction.append("revoke", {"count": radius.credentials, "ended": digest})
    place.clock.now += 60
    with place.ledger.write() as transaction:
        put(transaction)
    with place.again().read() as snapshot:
        done = verify_log.verify(snapshot, NAMES, snapshot.head())
    assert (done.events, done.members) == (8, 9)


def test_a_member_without_an_event_is_found(place: Place) -> None:
    with place.ledger.write() as transaction:
        put(transaction)
        CredentialChanges(transaction).end(Selection(tasks=("T1",)), State.REVOKED)
        transaction.append("note", {})
    with place.ledger.read() as snapshot, pytest.raises(IntegrityError):
        verify_log.verify(snapshot, NAMES, None)
