"""Examination of the ledger and its keys: each fault is reported once, by the check that covers it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from jitid.authority.local import LocalAuthority
from jitid.capabilities.integrity.examination import CHECKS, OLD_KEY, TOLERANCE
from jitid.capabilities.integrity.operations import Examine
from jitid.capabilities.trust.operations import ImportAuthority, RequestAuthority, RotateKey
from jitid.errors import ExitStatus
from jitid.ledger.sqlite import folder
from jitid.ledger.sqlite.ledger import SqliteLedger
from jitid.ledger.sqlite.read_only import look
from jitid.model.ledger_condition import Check, Status
from tests.builders import DAY, World
from tests.offlineroot import certified


def examined(world: World, **stated: str) -> list[Check]:
    """Return the results of the examination of a ledger in any state."""

    def ask(ledger: SqliteLedger) -> list[Check]:
        keyring = folder.keyring(str(world.path))
        return LocalAuthority(ledger, keyring, terms=lambda: world.terms).perform(Examine(stated=stated))

    database, lock = world.path / folder.DATABASE, world.path / folder.LOCK
    return look(str(database), str(lock), ask, by="tester", timeout=0.01, clock=world.clock)


def told(checks: list[Check], status: Status) -> list[Check]:
    """Return the checks with a status."""
    return [check for check in checks if check.status is status]


def change(world: World, *statements: str) -> None:
    """Change the ledger's database directly, and only as stated."""
    db = sqlite3.connect(world.path / folder.DATABASE, isolation_level=None)
    try:
        for statement in statements:
            db.execute(statement)
    finally:
        db.close()


def key_of(world: World) -> Path:
    """Return the file of the signing key."""
    (key,) = (world.path / folder.KEYS).iterdir()
    return key


@pytest.fixture
def used(world: World) -> World:
    """Return a ledger with a delegation and a revocation."""
    chain = world.chain(3)
    world.revoke(chain[1].id)
    return world


def test_a_sound_ledger_passes_every_check(used: World) -> None:
    checks = examined(used, issuer="urn:jitid:test", trust_domain="jitid.test")
    assert [check.name for check in checks] == [name for name, _ in CHECKS]
    assert told(checks, Status.OK) == checks


def test_examining_commits_nothing(used: World) -> None:
    before = used.head()
    examined(used)
    assert used.head() == before


@pytest.mark.deep
@pytest.mark.parametrize(
    ("statement", "check", "word"),
    [
        ("UPDATE credential SET scopes = 'db:*' WHERE id = 1", "audit", "credential"),
        ("UPDATE credential SET ended_at = NULL, ended_as = NULL, ended_event = NULL", "audit", "ended"),
        ("DELETE FROM term WHERE text = 'user:alice'", "integrity", "missing"),
        ("DROP TRIGGER audit_event_is_final", "schema", "trigger audit_event_is_final is missing"),
        ("DROP INDEX live_by_task", "schema", "index live_by_task is missing"),
        (
            "CREATE TRIGGER t AFTER INSERT ON task BEGIN SELECT 1; END",
            "schema",
            "does not belong to a ledger",
        ),
        ("ALTER TABLE task ADD COLUMN more TEXT", "schema", "table task was changed"),
        ("PRAGMA application_id = 1", "schema", "not a ledger of jitid"),
        ("DELETE FROM setting WHERE name = 'issuer'", "names", "lacks its issuer"),
        ("DELETE FROM clock_mark", "clock", "time mark"),
        ("UPDATE clock_mark SET marked_at = 'soon'", "clock", "time mark"),
        ("UPDATE signing_key SET retired_at = 1", "keys", "no active EdDSA signing key"),
        ("UPDATE signing_key SET public = 'text'", "keys", "does not match the ledger's signing key"),
        ("UPDATE signing_key SET created_at = 'long ago'", "keys", "a key in the ledger has invalid values"),
    ],
)
def test_what_somebody_changed_is_an_integrity_failure_of_its_check(
    statement: str, check: str, word: str, used: World
) -> None:
    change(used, statement)
    failures = told(examined(used), Status.FAILURE)
    first = failures[0]
    assert first.name == check
    assert word in first.detail
    assert first.repair
    assert first.exit_status is ExitStatus.INTEGRITY
    # A change may break the audit chain too, but no other check.
    assert {each.name for each in failures} <= {check, "audit"}


def test_damage_is_told_once(used: World) -> None:
    """A check that cannot run because of the damage reports that. It is not a separate failure."""
    used.close()
    change(used, "PRAGMA wal_checkpoint(TRUNCATE)")
    database = used.path / folder.DATABASE
    data = database.read_bytes()
    database.write_bytes(data[: len(data) // 2])
    checks = examined(used)
    assert [check.name for check in checks] == [name for name, _ in CHECKS]
    (failure,) = told(checks, Status.FAILURE)
    assert (failure.name, failure.exit_status) == ("integrity", ExitStatus.INTEGRITY)
    unexamined = [check for check in checks if check.detail == "not examined: the ledger is damaged"]
    assert told(unexamined, Status.WARNING) == checks[1:]


def test_a_damaged_page_keeps_nothing_else_from_being_examined(used: World) -> None:
    used.close()
    change(used, "PRAGMA wal_checkpoint(TRUNCATE)")
    db = sqlite3.connect(used.path / folder.DATABASE)
    page_size, (page,) = (
        db.execute("PRAGMA page_size").fetchone()[0],
        db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'identity_by_agent'").fetchone(),
    )
    db.close()
    with (used.path / folder.DATABASE).open("r+b") as file:
        file.seek((page - 1) * page_size)
        file.write(bytes(page_size))
    checks = examined(used)
    assert [check.name for check in told(checks, Status.FAILURE)] == ["integrity"]
    assert len(told(checks, Status.OK)) == len(CHECKS) - 1


@pytest.mark.parametrize("version", [0, 99])
def test_another_schema_is_not_read(version: int, used: World) -> None:
    """A newer schema is a failure with its own exit status. Any other command migrates an older schema."""
    change(used, f"PRAGMA user_version = {version}")
    checks = {check.name: check for check in examined(used)}
    assert checks["integrity"].status is Status.OK
    assert checks["schema"].status is (Status.FAILURE if version else Status.WARNING)
    assert (checks["schema"].code, checks["schema"].exit_status) == (
        ("newer_schema", ExitStatus.USAGE) if version else (None, ExitStatus.OK)
    )
    for name in ("names", "size", "clock", "keys", "audit"):
        assert checks[name].status is Status.WARNING
        assert f"not examined: the ledger has schema {version}" in checks[name].detail


def test_a_ledger_that_others_hold_is_waited_for_once(world: World) -> None:
    """This is not an integrity failure: another attempt may help."""
    world.close()
    db = sqlite3.connect(world.path / folder.DATABASE, isolation_level=None)
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("BEGIN EXCLUSIVE")
    db.execute("INSERT INTO term (text) VALUES ('held')")
    db.execute("COMMIT")
    # In exclusive mode, the write-ahead log has no index, and would be read without any lock.
    (world.path / f"{folder.DATABASE}-shm").touch()
    try:
        checks = examined(world)
    finally:
        db.close()
    (failure,) = told(checks, Status.FAILURE)
    assert (failure.name, failure.exit_status) == ("integrity", ExitStatus.STORAGE)
    assert all("busy" in check.detail for check in checks)


@pytest.mark.parametrize("seconds", [-2 * DAY, 2 * DAY])
def test_a_clock_that_jumped_is_a_failure(seconds: int, world: World) -> None:
    world.clock.now += seconds
    (failure,) = told(examined(world), Status.FAILURE)
    assert (failure.name, failure.exit_status) == ("clock", ExitStatus.INTEGRITY)
    assert "--accept-clock" in str(failure.repair)


@pytest.mark.parametrize(
    ("back", "status"), [(0, Status.OK), (TOLERANCE, Status.OK), (TOLERANCE + 1, Status.WARNING)]
)
def test_a_clock_behind_the_last_event_is_a_warning(back: int, status: Status, world: World) -> None:
    world.clock.now -= back
    (clock,) = [check for check in examined(world) if check.name == "clock"]
    assert clock.status is status


@pytest.mark.parametrize(("age", "status"), [(OLD_KEY, Status.OK), (OLD_KEY + 1, Status.WARNING)])
def test_an_old_key_is_a_warning(age: int, status: Status, world: World) -> None:
    world.authority.perform(RotateKey(algorithm="ES256"))
    change(world, f"UPDATE signing_key SET created_at = {world.clock.now - age} WHERE algorithm = 'ES256'")
    first, second = [check for check in examined(world) if check.name == "keys"]
    assert first.status is Status.OK
    assert second.status is status
    assert second.repair == (None if status is Status.OK else "jitid keys rotate --algorithm ES256")


@pytest.mark.parametrize("fault", ["missing", "short", "another", "loose", "link", "folder", "pipe"])
def test_a_private_key_that_does_not_sign_is_a_failure(fault: str, world: World) -> None:
    key = key_of(world)
    kept = key.read_bytes()
    if fault == "loose":
        key.chmod(0o640)
    else:
        key.unlink()
    match fault:
        case "short":
            key.write_bytes(kept[:31])
        case "another":
            key.write_bytes(bytes(32))
        case "link":
            (world.path / "aside").write_bytes(kept)
            key.symlink_to(world.path / "aside")
        case "folder":
            key.mkdir(0o700)
        case "pipe":
            os.mkfifo(key, 0o600)
    if fault in ("short", "another"):
        key.chmod(0o600)
    (failure,) = told(examined(world), Status.FAILURE)
    assert (failure.name, failure.exit_status) == ("keys", ExitStatus.INTEGRITY)


def test_keys_behind_a_link_are_not_read(world: World) -> None:
    keys = world.path / folder.KEYS
    keys.rename(world.path / "elsewhere")
    keys.symlink_to(world.path / "elsewhere")
    (failure,) = told(examined(world), Status.FAILURE)
    assert (failure.name, "link" in failure.detail) == ("keys", True)


def test_private_files_that_nothing_needs_are_warnings(world: World) -> None:
    """One file has a key that no longer signs, which a crash may leave. The other file is foreign."""
    old = key_of(world)
    kept = old.read_bytes()
    world.authority.perform(RotateKey(algorithm="EdDSA"))
    old.write_bytes(kept)
    (old.parent / "my notes").write_text("x")
    found = told(examined(world), Status.WARNING)
    assert {check.name for check in found} == {"keys"}
    assert sorted(str(check.repair) for check in found) == sorted(
        [f"rm -i {old}", f"rm -i '{old.parent / 'my notes'}'"]
    )
    assert any("no longer signs" in check.detail for check in found)


def test_a_configuration_for_another_ledger_is_a_failure_of_its_own_status(world: World) -> None:
    (failure,) = told(examined(world, issuer="https://other.example"), Status.FAILURE)
    assert (failure.name, failure.code, failure.exit_status) == ("names", "configuration", ExitStatus.USAGE)


def flip(world: World, find: str, distance: int) -> None:
    """Flip one bit in the database. The query `find` returns a page (0 for the whole file) and bytes in it."""
    world.close()
    change(world, "PRAGMA wal_checkpoint(TRUNCATE)")
    db = sqlite3.connect(world.path / folder.DATABASE)
    ((size,),) = db.execute("PRAGMA page_size").fetchall()
    ((page, wanted),) = db.execute(find).fetchall()
    db.close()
    with (world.path / folder.DATABASE).open("r+b") as file:
        start = max(page - 1, 0) * size
        file.seek(start)
        content = file.read(size if page else -1)
        place = content.index(wanted.encode() if isinstance(wanted, str) else wanted) + distance
        file.seek(start + place)
        file.write(bytes([content[place] ^ 0x80]))


def test_an_index_that_disagrees_with_its_table_is_damage_with_its_own_repair(used: World) -> None:
    """Queries that use the index would miss live credentials."""
    used.issue(kind="opaque")
    flip(
        used,
        """SELECT rootpage, substr(fingerprint, 1, 8) FROM sqlite_master, credential
            WHERE name = 'credential_fingerprint' AND fingerprint IS NOT NULL ORDER BY credential.id DESC LIMIT 1""",
        7,
    )
    (failure,) = told(examined(used), Status.FAILURE)
    assert (failure.name, failure.exit_status) == ("integrity", ExitStatus.INTEGRITY)
    assert "credential_fingerprint" in failure.detail
    (rebuild,) = str(failure.repair).split(": ")[1:]
    assert rebuild == f"sqlite3 {used.path / folder.DATABASE} REINDEX"
    change(used, "REINDEX")
    assert told(examined(used), Status.FAILURE) == []


def test_text_that_is_none_is_damage(used: World) -> None:
    """No query of another check reads a purpose, but a query that shows its task does."""
    change(used, "UPDATE task SET purpose = CAST(x'6162ff63' AS TEXT)")
    (failure,) = told(examined(used), Status.FAILURE)
    assert (failure.name, failure.exit_status) == ("integrity", ExitStatus.INTEGRITY)
    assert "not UTF-8" in failure.detail


@pytest.mark.parametrize("text", ["CREATE TABLE task", "CREATE INDEX identity_by_task", "live_by_task"])
def test_a_schema_that_is_no_text_is_damage(text: str, used: World) -> None:
    flip(used, f"SELECT 0, '{text}'", 0)
    failures = told(examined(used), Status.FAILURE)
    assert {check.exit_status for check in failures} == {ExitStatus.INTEGRITY}
    assert failures[0].name == "integrity"


def test_an_authority_is_told_of_until_its_certificate_ends(world: World) -> None:
    world.issue(kind="x509-svid")
    _, authority = [check for check in examined(world) if check.name == "keys"]
    assert authority.status is Status.OK
    assert "certifies until" in authority.detail
    asked = world.authority.perform(RequestAuthority())
    waiting = [check for check in examined(world) if check.name == "keys"][-1]
    assert (waiting.status, waiting.repair) == (Status.WARNING, "jitid keys ca import CHAIN")
    # A root signed it 345 days ago, so that its year ends in twenty days.
    chain = certified(asked.request, world.clock.now - 345 * DAY)
    world.authority.perform(ImportAuthority(chain=chain))
    ending = [check for check in examined(world) if check.name == "keys"][-1]
    assert (ending.status, ending.repair) == (Status.WARNING, "jitid keys ca request")
    assert "expires at" in ending.detail
