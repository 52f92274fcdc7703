"""Ledgers that the version before the code was moved wrote still open, verify and migrate.

The fixture is in `tests/fixtures/before_the_move`; `tests/fixtures/make.py` documents how it was made. If you change
the answer to a question on purpose, say so in `tests/fixtures/reworded.py`; never make the fixture again.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from jitid.capabilities.integrity import operations as integrity_operations
from jitid.errors import InvalidCredentialError
from jitid.ledger.sqlite import folder
from jitid.ledger.sqlite import schema as sqlite_schema
from tests.builders import Database, World, modes
from tests.fixtures import wire
from tests.fixtures.before import LAST, Past, answers, read, seconds, unpack
from tests.fixtures.reworded import (
    OF_A_SERVICE,
    OF_THE_LOG,
    parsed,
    present,
    today,
    without_new_hint,
    without_younger,
)
from tests.postgres import Postgres

QUESTIONS = {" ".join(each["line"]): each for each in answers()}
API = "https://api.example"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a folder with the ledger, tokens and heads of the fixture."""
    unpack("ledger", tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Past:
    """Return a shell over the fixture, for read-only commands."""
    place = tmp_path_factory.mktemp("before")
    for name in ("ledger", "backups"):
        unpack(name, place)
    past = Past(place)
    # The first use brings the schema up to date.
    past.good("list")
    return past


def _opened(path: Path) -> World:
    files = sorted((path / "policy").glob("*.cedar"))
    policy = [(each.name, each.read_text()) for each in files]
    return World(path, policy=policy, now=seconds(LAST))


def _rows(path: Path) -> dict[str, int]:
    """Return the number of rows of each table."""
    db = sqlite3.connect(path / folder.DATABASE)
    try:
        names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names}
    finally:
        db.close()


def test_the_fixture_has_rows_in_every_table(home: Path) -> None:
    """The exception is the table that has rows only during a prune."""
    assert {name for name, rows in _rows(home / "ledger").items() if not rows} == {"condemned"}
    assert {mode & 0o077 for mode in modes(home / "ledger").values()} == {0}


@pytest.mark.parametrize("line", QUESTIONS)
def test_a_question_has_the_answer_that_it_had(asked: Past, line: str) -> None:
    question = QUESTIONS[line]
    done = asked.run(*question["line"])
    assert done.returncode == question["status"]
    assert without_younger(parsed(asked.shown(done.stdout))) == today(parsed(question["out"]))
    assert without_new_hint(parsed(asked.shown(done.stderr))) == today(parsed(question["err"]))


def _live(world: World, home: Path) -> None:
    """Check that live credentials verify, that more can be issued, delegated and renewed, and that the log verifies."""
    tokens = home / "tokens"
    world.check()
    root = (tokens / "root.jwt").read_text().strip()
    assert world.verify(root).agent == "planner"
    world.verify((tokens / "opaque").read_text().strip())
    world.verify((tokens / "service.jwt").read_text().strip(), API)
    certificate, _, _ = (tokens / "x509-svid.pem").read_text().partition("-----BEGIN PRIVATE KEY")
    world.verify(certificate)
    for name in ("revoked.jwt", "ended.jwt", "by-lost.jwt", "leaked-1.jwt", "es256.jwt", "old.jwt"):
        with pytest.raises(InvalidCredentialError):
            world.verify((tokens / name).read_text().strip())
    events = len(world.events())
    child = world.issue(parent=root, agent="later", scopes=("repo:acme",))
    world.verify(child.token)
    made = world.issue(task="LATER-1")
    world.verify(made.token)
    world.revoke(made.id)
    with pytest.raises(InvalidCredentialError):
        world.verify(made.token)
    world.retire("user:alice/INC-1")
    with pytest.raises(InvalidCredentialError):
        world.verify(root)
    head = (home / "heads/last.jws").read_text().strip()
    verified = world.authority.perform(integrity_operations.VerifyLog(expected_head=head))
    told = [event["op"] for event in world.events()[events:]]
    assert told == ["expire", "issue", "issue", "revoke", "retire"]
    assert verified.events == world.check()


def test_a_ledger_is_lived_on_in(home: Path) -> None:
    """The authority itself uses the ledger, at a time that the test sets."""
    with _opened(home / "ledger") as world:
        _live(world, home)
    db = sqlite3.connect(home / "ledger" / folder.DATABASE)
    assert db.execute("PRAGMA user_version").fetchall() == [(len(sqlite_schema.SQLITE_STEPS),)]
    db.close()


def test_a_ledger_in_a_database_is_lived_on_in(
    home: Path, postgres_server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger in the database is a copy of the ledger in the file, and was written as SQL."""
    with _restored(home, postgres_server, monkeypatch) as world:
        _live(world, home)


def _restored(home: Path, server: Postgres, patch: pytest.MonkeyPatch) -> World:
    unpack("postgres-home", home)
    database = server.new_database()
    with server.connect(database) as connection:
        connection.execute(read("postgres.sql"))
    path = home / "keys-home"
    patch.setitem(Database.addresses, path, server.url(database))
    return _opened(path)


@pytest.mark.parametrize("kept", ["file", "database"])
def test_what_was_asked_over_the_wire_is_answered_the_same(
    home: Path, kept: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The current code decodes each request, answers it from the ledger of the fixture, and encodes the answer."""
    if kept == "file":
        world = _opened(home / "ledger")
    else:
        world = _restored(home, request.getfixturevalue("postgres_server"), monkeypatch)
    said = wire.recorded()
    world.clock.now = said.at
    different = []
    with world:
        for each in said.exchanges:
            if not each["reads"] or each["name"] in OF_A_SERVICE:
                continue
            if kept == "database" and each["name"] in OF_THE_LOG:
                continue
            answer, before = without_younger(present(world, each)), today(each["answer"])
            if wire.text(answer) != wire.text(before):
                different.append((each["name"], [*wire.differences(answer, before)]))
    assert not different


@pytest.mark.parametrize("name", ["backup.tar", "backup"])
@pytest.mark.parametrize("how", [(), ("--keep-live",)], ids=lambda how: "".join(how) or "ending")
def test_a_backup_is_restored(tmp_path: Path, name: str, how: tuple[str, ...]) -> None:
    """With private keys and without; live credentials are revoked unless the options keep them."""
    for each in ("backups", "ledger"):
        unpack(each, tmp_path)
    past = Past(tmp_path)
    past.environment["JITID_LEDGER"] = str(tmp_path / "restored")
    past.good("ledger", "restore", name, *how)
    past.good("audit", "verify", "--expect-head", "heads/last.jws")
    alive = past.good("list", "--live", "--field", "jti")
    if how:
        assert alive == QUESTIONS["list --live --field jti"]["out"]
    else:
        # The restore does not revoke adopted secrets: their source has to do it.
        assert alive == past.good("list", "--live", "--kind", "adopted", "--field", "jti")
    assert past.run("verify", "tokens/root.jwt").returncode == (0 if how else 8)
    past.good("issue", "--task", "LATER-1", "--delegator", "alice")
    past.good("audit", "verify")


def test_a_ledger_is_moved(home: Path) -> None:
    """The copy is verified while it is made, and the source then names the copy and refuses to issue."""
    past = Past(home)
    past.good("ledger", "copy", "--to", "moved", "--keys")
    past.good("--ledger", "moved", "audit", "verify", "--expect-head", "heads/last.jws")
    past.good("--ledger", "moved", "verify", "tokens/root.jwt")
    past.good("--ledger", "moved", "issue", "--task", "LATER-1", "--delegator", "alice")
    assert past.run("issue", "--task", "LATER-1", "--delegator", "alice").returncode == 7


def test_a_ledger_is_swept_pruned_cut_and_backed_up(home: Path) -> None:
    """All maintenance still works: the sweep continues from the head that the last sweep recorded."""
    past = Past(home)
    swept = past.run("sweep", "--format", "jsonl")
    assert swept.returncode == 10, swept.stderr
    found = {json.loads(line).get("rule") for line in swept.stdout.splitlines()}
    assert {"leaked-live", "standing"} <= found
    past.good("audit", "verify")
    past.good("renew", "--token-file", "tokens/new-issuer.jwt", "--ttl", "10m")
    past.good("agent", "resume", "idle")
    past.good("keys", "rotate")
    past.good("leak", "close", "3", "--reason", "known", "--yes")
    past.good("access", "grant", "user:zoe", "--role", "auditor")
    past.good("ledger", "backup", "later.tar")
    past.time = "2026-06-20 08:00:00"
    # The prune itself adds events for the credentials that have expired since then.
    past.good("--accept-clock", "prune")
    past.good("prune", "--evidence-after", "30d", "--export", "segments")
    past.good("audit", "verify")
    (segment,) = (home / "segments").iterdir()
    past.good("audit", "verify", "--file", str(segment), "--expect-head", "heads/last.jws")


def test_exports_segments_and_heads_are_verified(tmp_path: Path) -> None:
    """Each file is verified by itself, without a ledger."""
    unpack("exports", tmp_path)
    past = Past(tmp_path)
    for name in ("first", "last"):
        past.good("audit", "verify", "--file", f"exports/{name}.jsonl", "--expect-head", f"heads/{name}.jws")
    segments = sorted((tmp_path / "segments").iterdir())
    assert len(segments) == 2
    told = [
        json.loads(past.good("audit", "verify", "--file", str(each), "--format", "json")) for each in segments
    ]
    assert [each["events"] for each in told] == [8, 13]
    past.good("audit", "verify", "--file", str(segments[0]), "--expect-head", "heads/first.jws")
    assert (
        past.run(
            "audit", "verify", "--file", "exports/first.jsonl", "--expect-head", "heads/last.jws"
        ).returncode
        == 7
    )
    # An edited segment does not verify.
    text = segments[1].read_text()
    segments[1].write_text(text.replace("OLD-3", "OLD-4", 1))
    assert past.run("audit", "verify", "--file", str(segments[1])).returncode == 7


def test_what_is_exported_now_is_what_was_exported(home: Path) -> None:
    """Each event is the same; the head differs in the time of its signature."""
    unpack("exports", home)
    now = Past(home).good("audit", "export").splitlines()
    then = (home / "exports/last.jsonl").read_text().splitlines()
    assert now[:-1] == then[:-1]
    assert json.loads(now[-1]).keys() == json.loads(then[-1]).keys()
