"""The first process that opens a ledger of an earlier jitid migrates it, once and completely."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from jitid.capabilities.directory import ownership
from jitid.capabilities.identity.filter_store import Filter
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.identity.task_store import TaskStore
from jitid.capabilities.inventory.operations import Revoke
from jitid.capabilities.issue.operations import Renew
from jitid.errors import IntegrityError
from jitid.ledger.sqlite import folder
from jitid.ledger.sqlite import schema as sqlite_schema
from jitid.ledger.transaction import Transaction
from jitid.model.event import Event
from jitid.model.ledger_rows import Selection
from jitid.model.request import RenewRequest
from jitid.values.secret import Secret
from tests import eventful
from tests.builders import DAY, NOW, Clock, World, edit, make_folder, open_sqlite, put
from tests.eventful import leave_marks, live_through_everything
from tests.former import two_digests

# Statements that undo each migration step after the first.
_UNDONE = {
    2: (
        "DROP INDEX live_superseded",
        "ALTER TABLE credential DROP COLUMN superseded_at",
        "DROP TABLE process",
    ),
    3: (
        "DROP TABLE leak",
        "DROP INDEX live_pending",
        "DROP TABLE honoured",
        "DROP INDEX live_by_task",
        "DROP INDEX live_by_delegator",
        "CREATE INDEX live_by_task ON credential (task, expires_at) WHERE ended_at IS NULL",
        "CREATE INDEX live_by_delegator ON credential (delegator) WHERE ended_at IS NULL",
    ),
    4: (
        "DROP TABLE used",
        "DROP TABLE action",
        "DROP TABLE approval_group",
        "DROP TABLE approval",
        "DROP INDEX live_recurring",
        "ALTER TABLE credential DROP COLUMN recurring",
        "DROP TABLE agent",
        "DROP TABLE delegator_group",
        "DROP TABLE delegator_name",
        "DROP TABLE delegator",
    ),
    5: (
        "DROP TABLE idempotency",
        "DROP TABLE assertion",
        "DROP TABLE access",
        "DROP TABLE chain",
    ),
    6: (
        "DROP TABLE status",
        "DROP TABLE part",
        "DROP TABLE outside",
        "ALTER TABLE credential DROP COLUMN template",
        "ALTER TABLE process DROP COLUMN renews_until",
        "ALTER TABLE signing_key DROP COLUMN certificates",
        "ALTER TABLE signing_key DROP COLUMN use",
    ),
    7: (
        "DROP TABLE kept_event",
        "DROP TABLE segment",
        "DROP TABLE condemned",
        "DROP TABLE prune",
        "DROP TABLE sighting",
        "DROP TABLE adopted",
        "DROP INDEX credential_public",
        "ALTER TABLE credential DROP COLUMN public",
    ),
    8: (
        "DELETE FROM setting WHERE name = 'former_until'",
        "ALTER TABLE delegator DROP COLUMN disabled_last",
        "DROP TABLE presented",
        "ALTER TABLE access DROP COLUMN audiences",
        "DROP INDEX credential_reused",
        "ALTER TABLE credential DROP COLUMN reused_at",
        "DELETE FROM setting WHERE name = 'agents_until'",
        "ALTER TABLE agent DROP COLUMN users",
        "DROP TABLE task_share",
        "DROP INDEX task_opener",
        """CREATE TABLE former_task (
               id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, purpose TEXT, sensitivity TEXT NOT NULL,
               deadline INTEGER NOT NULL, opened_at INTEGER NOT NULL, ended_at INTEGER)""",
        """INSERT INTO former_task
           SELECT id, name, purpose, sensitivity, deadline, opened_at, ended_at FROM task""",
        "DROP TABLE task",
        "ALTER TABLE former_task RENAME TO task",
        "DROP INDEX live_head",
        "DROP INDEX credential_line",
        "ALTER TABLE credential DROP COLUMN may_act",
        "ALTER TABLE credential DROP COLUMN may_kind",
        "ALTER TABLE credential DROP COLUMN may_audience",
        "ALTER TABLE identity DROP COLUMN source",
        "ALTER TABLE credential DROP COLUMN source",
        "ALTER TABLE credential DROP COLUMN line",
    ),
    9: (
        "DROP INDEX identity_source",
        "DROP INDEX live_attached",
        "DROP INDEX live_renewed",
        "DROP INDEX approval_asked",
        "DROP INDEX approval_waiting",
        "DROP INDEX credential_proved_subject",
        "ALTER TABLE credential DROP COLUMN proved_subject",
    ),
    10: (
        "DROP INDEX root_by_delegator",
        "DROP INDEX identity_by_agent",
        "DROP INDEX identity_by_task",
        "CREATE INDEX identity_agent ON identity (agent)",
        "CREATE INDEX identity_task ON identity (task)",
    ),
    11: (
        "ALTER TABLE clock_mark DROP COLUMN changed_at",
        "ALTER TABLE clock_mark RENAME COLUMN marked_at TO at",
    ),
    12: ("DROP TABLE session",),
    13: (
        "DROP INDEX credential_exchanged",
        "ALTER TABLE credential DROP COLUMN exchange_life",
        "ALTER TABLE credential DROP COLUMN subject",
    ),
    14: (
        "DROP INDEX access_holder",
        "ALTER TABLE access DROP COLUMN holder",
        "ALTER TABLE access DROP COLUMN proved_at",
        "ALTER TABLE access DROP COLUMN subject",
    ),
    15: ("DROP INDEX process_started", "DROP TABLE barred"),
    16: ("ALTER TABLE signing_key DROP COLUMN machine",),
}


def _undone(version: int) -> list[str]:
    """Return the statements that turn a current ledger in a file into a ledger of an earlier schema version."""
    return [
        statement
        for step in range(len(sqlite_schema.SQLITE_STEPS), version, -1)
        for statement in _UNDONE[step]
    ]


_LATER = {
    # Members that events gained since the last version: of all operations (None), and of a single operation.
    None: {"rows", "evidence"},
    "init": {"agents_until"},
    "adopt": {"tasks"},
    "assertion": {"assertion", "until"},
    "key-create": {"machine"},
    "key-rotate": {"machine"},
}


@contextmanager
def _untold(version: int) -> Iterator[None]:
    """Omit from new events all facts that did not exist at a version of the schema."""
    linked = Transaction._linked
    missing = {"may_audience", "may_kind", "may_act"} if version < 8 else set()

    def as_then(transaction: Transaction, operation: str, facts: Mapping[str, Any]) -> Event:
        transaction.request = None
        later = missing | _LATER[None] | _LATER.get(operation, set())
        told = {name: fact for name, fact in facts.items() if name not in later}
        # Such events did not exist. A note replaces each of them, so that the numbers of the other events stay the
        # same.
        return linked(transaction, "note" if operation == "assertion" else operation, told)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Transaction, "_linked", as_then)
        if version < 14:
            # There were no logins.
            patch.setattr(eventful, "_log_in_twice", lambda _: None)
        with two_digests():
            yield


def make_old(path: Path, version: int, live: Callable[[World], object] = World.issue) -> None:
    """Make a ledger of an earlier schema version, by default with one credential."""
    with _untold(version), World(path) as world:
        live(world)
    for number in range(len(sqlite_schema.SQLITE_STEPS), version, -1):
        edit(path, *_UNDONE[number])
    edit(path, f"PRAGMA user_version = {version}")


def shape(path: Path) -> list[tuple[str, str]]:
    """Return the names and statements of the database's objects, with white space normalized."""
    db = sqlite3.connect(path / folder.DATABASE)
    try:
        rows = db.execute(
            "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"
        ).fetchall()
        return [(name, " ".join(sql.split())) for name, sql in rows]
    finally:
        db.close()


def _names(path: Path) -> list[str]:
    return [name for name, sql in shape(path) if not sql.startswith("CREATE TRIGGER")]


@pytest.mark.deep
@pytest.mark.parametrize("live", [leave_marks, live_through_everything], ids=lambda live: live.__name__)
@pytest.mark.parametrize("waits", [1, 2 * DAY])
def test_what_the_last_version_wrote_is_verified(
    tmp_path: Path, live: Callable[[World], object], waits: int
) -> None:
    """Events may lack newer members: just after the upgrade, and after the old idempotency keys have expired."""
    last = len(sqlite_schema.SQLITE_STEPS) - 1
    make_old(tmp_path / "old", last, live)
    with World(tmp_path / "old") as world:
        with world.ledger.read() as snapshot:
            world.clock.now = snapshot.now + waits
        world.check()
        world.issue(task="NEW", accept_clock=True)
        world.check()


@pytest.mark.deep
@pytest.mark.parametrize("version", range(1, len(sqlite_schema.SQLITE_STEPS)))
def test_an_old_ledger_becomes_what_a_new_one_is(tmp_path: Path, version: int) -> None:
    make_old(tmp_path / "old", version)
    make_folder(tmp_path / "new")
    with World(tmp_path / "old") as world:
        world.check()
        world.issue(task="T2")
        with world.ledger.read() as snapshot:
            assert (
                len(
                    CredentialStore(snapshot).credentials(
                        Filter(), "id", descending=False, after=None, limit=9
                    )
                )
                == 2
            )
        # `edit` drops the triggers before its statements.
        differences = world.ledger.condition().schema().differences
        assert [each for each in differences if "trigger" not in each] == []
    assert _names(tmp_path / "old") == _names(tmp_path / "new")


@pytest.mark.parametrize("number", ["1", "2", "99"])
def test_identities_from_before_are_as_many_as_there_were(tmp_path: Path, number: str) -> None:
    """A raised `agents_until` is detected: with it, a later identity could use the name of a registered agent."""
    make_old(tmp_path / "old", 7)
    World(tmp_path / "old").close()
    with World(tmp_path / "old") as world:
        world.issue(task="T2")
        world.check()
    edit(tmp_path / "old", f"UPDATE setting SET value = '{number}' WHERE name = 'agents_until'")
    with World(tmp_path / "old") as world, nullcontext() if number == "1" else pytest.raises(IntegrityError):
        world.check()


def test_a_task_from_before_belongs_to_whoever_the_first_event_was_for(tmp_path: Path) -> None:
    """A clock that was ahead does not change the owner. A task without any credential gets no owner."""
    path = tmp_path / "old"
    with World(path) as world:
        for delegator in ("user:alice", "user:bob"):
            # With local access, any delegator can join a task by its full name.
            world.issue(task="user:alice/SHARED", delegator=delegator)
        world.issue(task="LOST", delegator="user:carol")
        world.issue(task="OWN", delegator="user:carol")
    edit(
        path,
        *_undone(7),
        # The second credential gets a smaller number, as after a clock that was set back.
        "UPDATE credential SET id = id - 100 WHERE event = (SELECT max(event) - 2 FROM credential)",
        "DELETE FROM credential WHERE task = (SELECT id FROM task WHERE name = 'LOST')",
        "PRAGMA user_version = 7",
    )
    with World(path) as world:
        with world.ledger.read() as snapshot:
            tasks = {task.name: task for task, *_ in TaskStore(snapshot).find_tasks(None, None, 9)}
        assert {name: task.full_name for name, task in tasks.items()} == {
            "SHARED": "user:alice/SHARED",
            "LOST": "?/LOST",
            "OWN": "user:carol/OWN",
        }
        assert all(not task.given_event for task in tasks.values())
        # Local access cannot use the name of a task without an owner again.
        with world.ledger.read() as snapshot:
            found = ownership.named(snapshot, "LOST", None, all_=True)
        assert found == tasks["LOST"]


def test_what_ended_before_there_was_such_a_table_is_known_to_be_honoured(tmp_path: Path) -> None:
    path = tmp_path / "old"
    with World(path) as world:
        for _ in range(2):
            world.issue(task="SIGNED")
        world.issue(task="OPAQUE", kind="opaque")
        world.issue(task="ALIVE")
        world.authority.perform(Revoke(selection=Selection(tasks=("SIGNED", "OPAQUE")), most=None))
        with world.ledger.read() as snapshot:
            before = list(snapshot.query("SELECT * FROM honoured", {}))
    assert [row[1:] for row in before] == [(2, NOW, NOW + 900)]
    edit(
        path,
        *_undone(2),
        "PRAGMA user_version = 2",
    )
    with World(path) as world, world.ledger.read() as snapshot:
        assert list(snapshot.query("SELECT * FROM honoured", {})) == before


def test_who_has_the_file_open_since_before_neither_reads_nor_writes(tmp_path: Path) -> None:
    """An older version would not update the change number of the directory, which newer versions rely on."""
    path = tmp_path / "old"
    make_old(path, 10)
    db = sqlite3.connect(path / folder.DATABASE)
    read, write = (
        "SELECT at, boot, uptime FROM clock_mark",
        "UPDATE clock_mark SET at = ?, boot = ?, uptime = ?",
    )
    assert db.execute(read).fetchone()[0] == NOW
    World(path).close()
    for statement, values in ((read, ()), (write, (NOW, "", 0))):
        with pytest.raises(sqlite3.OperationalError, match="no such column: at"):
            db.execute(statement, values)
    db.close()


def test_whom_the_events_of_roots_name_is_told_by_all_below_them(tmp_path: Path, kept_in: str) -> None:
    """Before that column existed, only the event recorded the subject of an ID token of an unknown delegator."""
    path = tmp_path / "old"
    proved = {"delegator": None, "proved_delegator": "user:zoe", "proved_at": NOW}
    with World(path) as world:
        root = world.issue(**proved, proved_subject="https://id.example 1", purpose='"subject":"another"')
        child = world.issue(parent=root.token, agent="coder")
        world.issue(parent=child.token, agent="tester")
        world.authority.perform(Renew(request=RenewRequest(Secret.single(root.token))))
        world.issue(**proved, proved_subject="https://id.example 2", task="T2")
        world.issue(**proved, task="T3")
        world.issue(delegator="user:zoe", task="T4", purpose='{"subject":"https://id.example 1"}')
        with world.ledger.read() as snapshot:
            before = list(snapshot.query(_SUBJECTS, {}))
    assert [subject for _, subject in before] == [
        *["https://id.example 1"] * 4,
        "https://id.example 2",
        None,
        None,
    ]
    edit(
        path,
        *(
            _undone(8)
            if kept_in == "file"
            else (
                *_UNDONE[16],
                *_UNDONE[15],
                *_UNDONE[14],
                *_UNDONE[13],
                *_UNDONE[12],
                *_UNDONE[10],
                *_UNDONE[9],
            )
        ),
        "DELETE FROM term WHERE text LIKE 'https://id.example %'",
        "UPDATE schema_version SET version = 4" if kept_in == "database" else "PRAGMA user_version = 8",
    )
    with World(path) as world:
        with world.ledger.read() as snapshot:
            assert list(snapshot.query(_SUBJECTS, {})) == before
        world.check()
        assert world.revoke(delegators=("https://id.example 1",)).radius.credentials == 4


_SUBJECTS = """SELECT c.id, s.text FROM credential c LEFT JOIN term s ON s.id = c.proved_subject
    ORDER BY c.event"""


def test_many_that_open_an_old_ledger_at_once_bring_it_up_once(tmp_path: Path) -> None:
    path = tmp_path / "old"
    make_old(path, 1)
    barrier = threading.Barrier(6)
    failures: list[BaseException] = []

    def use() -> None:
        try:
            barrier.wait()
            ledger = open_sqlite(path, Clock())
            with ledger.write() as transaction:
                put(transaction)
            ledger.close()
        except BaseException as failure:  # noqa: BLE001 - reported below, in the thread of the test
            failures.append(failure)

    threads = [threading.Thread(target=use) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    ledger = open_sqlite(path, Clock())
    with ledger.read() as snapshot:
        assert (
            len(CredentialStore(snapshot).credentials(Filter(), "id", descending=False, after=None, limit=9))
            == 7
        )
    ledger.close()
