"""jitid-ledger(5): its tables, states and events are those of the code, and its commands work as described."""

from __future__ import annotations

import ast
import json
import sqlite3
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

import jitid
from jitid.backup.archive import Manifest
from jitid.backup.revive import revive
from jitid.capabilities.integrity.operations import CutLog, ExportLog, Prune, SignHead
from jitid.capabilities.issue.approval_store import ApprovalChanges
from jitid.errors import (
    PolicyDeniedError,
)
from jitid.ledger.sqlite import folder
from jitid.ledger.sqlite.ledger import create
from jitid.ledger.sqlite.schema import APPLICATION_ID
from jitid.ledger.transaction import Transaction
from jitid.model.chain import Chain
from jitid.model.credential import State
from jitid.policy.policy_request import DirectoryFacts
from jitid.values.ids import approval_id
from jitid.values.strict_json import b64url_decode, loads
from tests.backup.test_copy_ledger import copied
from tests.builders import DAY, NAMES, NOW, World, make_database
from tests.cli import transcripts
from tests.eventful import live_through_everything
from tests.man.source import displays, headings, items, macros, read, section
from tests.postgres import Postgres

PAGE = read("jitid-ledger.5")
EVENTS = section(PAGE, "AUDIT EVENTS").partition(".Ss ")[0]


def _columns() -> dict[str, list[str]]:
    db = create(":memory:", NAMES, NOW)
    names = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    found = {name: [row[1] for row in db.execute(f"PRAGMA table_info({name})")] for name in names}
    db.close()
    return found


def test_the_tables_are_those_of_the_schema() -> None:
    assert set(headings(section(PAGE, "TABLES"))) == _columns().keys()


@pytest.mark.parametrize("table", headings(section(PAGE, "TABLES")))
def test_the_columns_are_those_of_the_schema(table: str) -> None:
    real = _columns()[table]
    told = [name for term in items(section(PAGE, table, "Ss")) for name in term.split(" , ")]
    assert set(told) == set(real)
    assert len(told) == len(set(told))


def test_what_differs_in_postgresql_is_told(postgres_server: Postgres, tmp_path: Path) -> None:
    """The page lists exactly the tables and columns that exist in only one of the two schemas."""
    database = postgres_server.new_database()
    make_database(postgres_server.url(database), tmp_path / "home")
    there: dict[str, set[str]] = {}
    for table, column in postgres_server.ask(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'jitid'",
        database,
    ):
        there.setdefault(table, set()).add(column)
    postgres_server.drop(database)
    here = {table: set(columns) for table, columns in _columns().items()}
    text = section(PAGE, "IN POSTGRESQL")
    told = items(text)
    differ = {table for table in here.keys() | there.keys() if here.get(table) != there.get(table)}
    assert differ | {"audit_event"} == set(told)
    for table in differ & here.keys() & there.keys():
        assert set(macros(told[table], "Va")) == here[table] ^ there[table]


def test_the_mark_of_the_file_is_the_one_of_the_schema() -> None:
    assert f"{APPLICATION_ID:#x}" in PAGE


def test_the_states_are_those_of_a_credential() -> None:
    assert list(items(section(PAGE, "STATES OF A CREDENTIAL"))) == [state.value for state in State]


def _nodes() -> Iterator[ast.AST]:
    for path in Path(jitid.__file__).parent.rglob("*.py"):
        yield from ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def test_every_event_that_is_appended_is_told() -> None:
    appended = set()
    for node in _nodes():
        match node:
            case ast.Call(
                func=ast.Attribute(attr="append" | "append_each"), args=[ast.Constant(value=str(name)), _]
            ):
                appended.add(name)
    assert len(appended) > 5
    assert appended <= set(items(EVENTS))


def test_no_event_is_told_that_the_code_has_no_word_for() -> None:
    words = {
        node.value for node in _nodes() if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert set(items(EVENTS)) <= words


def test_the_facts_of_events_are_those_that_are_recorded(tmp_path: Path) -> None:
    told = {name: set(macros(text, "Va")) for name, text in items(EVENTS).items()}
    common = {"seq", "hash", *macros(EVENTS.partition(".Bl")[0], "Va")}
    seen: dict[str, set[str]] = {}
    with World(tmp_path / "ledger") as world:
        live_through_everything(world)
        world.clock.now += 60 * DAY
        world.authority.perform(Prune(rows_after=30 * DAY, accept_clock=True))
        events = world.events()
        world.authority.perform(CutLog(evidence_after=50 * DAY, folder=str(tmp_path / "segments")))
        world.check()
        copied(world, tmp_path / "copy", issuer="urn:other", signs=lambda key: key.algorithm == "EdDSA")
        events += [event for event in world.events() if event["op"] == "ledger-seal"]
        with World(tmp_path / "copy", now=world.clock.now) as other:
            keyring = folder.keyring(str(other.path))
            for name in keyring.names():
                keyring.forget(name)
            told_of = Manifest(NAMES.uuid, 1, "", 1, 1, (), {}, True, "")
            revive(other.ledger, keyring, told_of, keep=True, lost=1, accept_clock=False)
            with other.ledger.write() as transaction:
                ApprovalChanges(transaction).add_request(
                    bytes(16), b"{}", "user:al", "user:al", other.clock.now + DAY, ["g"]
                )
                facts = {"digest": sha256(b"{}").hexdigest(), "until": other.clock.now + DAY, "groups": ["g"]}
                asked = {"approval": approval_id(bytes(16)), "delegator": "user:al", "asked_by": "user:al"}
                transaction.append("approval-request", {**asked, **facts})
            revive(other.ledger, keyring, told_of, keep=False, lost=1, accept_clock=False)
            other.authority.set_issuer("urn:next", accept_clock=False)
            other.check()
            events += [event for event in other.events() if event["op"] != "approval-request"]
        for event in events:
            seen.setdefault(event["op"], set()).update(event.keys() - common)
    # The page says "as issue" or "as above".
    told["renew"] |= told["issue"] & seen["renew"]
    told["attach"] |= (told["issue"] | told["renew"]) & seen["attach"]
    told["task-unshare"] |= told["task-share"]
    told["access-rotate"] |= told["access-grant"] & seen["access-rotate"]
    told["access-login"] |= told["access-grant"] & seen["access-login"]
    # Recorded only if a target keeps the key: see tests/issuers/test_transit.py.
    for name in ("key-create", "key-rotate"):
        told[name].remove("kept_by")
    # Recorded only of a client with sessions: see tests/capabilities/directory/delegators/test_delegators.py.
    for name in ("delegator-disable", "delegator-import"):
        told[name].remove("barred")
        told[name].remove("bars")
    # Recorded only for a row of an earlier version: see tests/capabilities/issue/test_lineage.py.
    told["renew"].remove("root_proof")
    # Recorded only for renewals and attachments of an earlier version.
    told["renew"].remove("before")
    told["attach"].remove("by_right_of")
    told["denial"] |= (told["issue"] | told["renew"]) & seen["denial"]
    assert seen == told


def test_what_a_standing_tells_is_told(tmp_path: Path) -> None:
    told = set(macros(items(EVENTS)["issue"], "Li"))
    with World(tmp_path / "ledger") as world:
        live_through_everything(world)
        standings = [event["standing"] for event in world.events() if "standing" in event]
    assert {name for standing in standings for name in standing} == set(DirectoryFacts._fields) <= told


def test_the_lines_of_an_export_are_as_told(tmp_path: Path) -> None:
    told = set(macros(section(PAGE, "The export", "Ss"), "Va")) - (set(Chain._fields) - {"hash"})
    with World(tmp_path / "ledger") as world:
        _move(world)
        world.clock.now += 60 * DAY
        world.issue(task="T99", accept_clock=True)
        world.authority.perform(CutLog(evidence_after=50 * DAY, folder=str(tmp_path / "segments")))
        lines = [loads(line) for line in world.authority.perform(ExportLog())]
    assert {
        name for line in lines for name in (*line, *(key for each in line.get("keys", ()) for key in each))
    } == told


def test_a_signed_head_says_what_is_told(tmp_path: Path) -> None:
    text = section(PAGE, "The signed head", "Ss")
    with World(tmp_path / "ledger") as world:
        _move(world)
        header, claims, _ = world.authority.perform(SignHead()).split(".")
    assert loads(b64url_decode(header))["typ"] in text
    assert loads(b64url_decode(claims)).keys() == set(macros(text, "Va")) - (set(Chain._fields) - {"hash"})


def test_the_chain_is_as_told(tmp_path: Path) -> None:
    """The test computes the hashes by the formulas of the page."""
    assert displays(section(PAGE, "The chain", "Ss")) == [
        'hash(0) = SHA-256("jitid audit chain" NUL UUID)\nhash(n) = SHA-256(hash(n-1) body(n))\n',
        'hash(0) = SHA-256("jitid audit chain" NUL OPENING)\n',
    ]
    with World(tmp_path / "ledger") as world:
        world.issue()
        head = world.head()
        with world.ledger.read() as snapshot:
            link = sha256(b"jitid audit chain\0" + NAMES.uuid.encode()).digest()
            for _, body, _ in snapshot.events(0):
                link = sha256(link + body).digest()
        assert link == head.hash
        _move(world)
        with world.ledger.read() as snapshot:
            ((_, body, moved),) = snapshot.events(head.seq)
            chain = snapshot.chains()[1]
    facts = [NAMES.uuid, chain.id, chain.epoch, chain.start, chain.stride, [[1, head.seq, link.hex()]]]
    text = json.dumps(facts, separators=(",", ":"))
    opening = sha256(b"jitid audit chain\0" + text.encode()).digest()
    assert moved == sha256(opening + body).digest()


def _move(world: World) -> None:
    """Continue the ledger with a chain of a new epoch."""
    with world.ledger.write() as transaction:
        assert isinstance(transaction, Transaction)
        transaction.open_epoch(1)
        transaction.append("note", {})


@pytest.mark.parametrize(
    "query", [text for text in displays(section(PAGE, "EXAMPLES")) if text.startswith("SELECT")]
)
def test_a_query_is_answered(query: str, tmp_path: Path) -> None:
    with World(tmp_path / "ledger", now=int(time.time())) as world:
        world.issue()
        with pytest.raises(PolicyDeniedError):
            world.issue(task="T2", sensitivity="high")
        db = sqlite3.connect(f"file:{tmp_path}/ledger/{folder.DATABASE}?mode=ro", uri=True)
        rows = db.execute(query).fetchall()
        db.close()
    assert len(rows) == 1
    assert None not in rows[0]


def _played(text: str, folder_: Path) -> str:
    folder_.mkdir()
    return transcripts.replay(text, folder_)


def _typed(display: str) -> str:
    """Return a display as one command of a transcript."""
    return "$ " + display.rstrip("\n").replace("\n", "\n> ") + "\n"


@pytest.mark.deep
def test_a_backup_is_made_and_restored_as_told(tmp_path: Path) -> None:
    backup, restore, check = map(_typed, displays(section(PAGE, "BACKUP AND RESTORE")))
    played = _played(
        "$ jitid -q issue --task T1 --delegator alice --out a.jwt; jitid audit head > head.jws\n"
        + backup
        + "$ find ledger.tar -perm /077; tar tf ledger.tar | wc -l\n"
        + "$ jitid revoke --token-file a.jwt --quiet > out; jitid issue --task T1 --delegator alice --out b.jwt\n"
        + "$ jitid audit head > later.jws; rm -r ~/.local/share/jitid\n"
        + restore
        + "$ jitid verify a.jwt\n$ jitid verify b.jwt\n"
        + check
        + "$ jitid audit verify --expect-head later.jws\n",
        tmp_path / "played",
    )
    steps, _ = transcripts.parse(played)
    answers = [list(step.expected) for step in steps]
    ends = [answer[-1] for answer in answers if answer and answer[-1].startswith("? ")]
    assert ends == ["? 8", "? 8", "? 7"], played
    assert answers[2] == ["5"], "the database, one key, one policy, the manifest and its head"
    assert "revoked or retired 1 credential, 1 task, 0 access tokens, 1 signing key," in answers[5][1]
    assert "retired" in answers[6][0]
    assert "does not know" in answers[7][0]


def test_a_copy_older_than_the_head_fails_the_check(tmp_path: Path) -> None:
    _, _, check = map(_typed, displays(section(PAGE, "BACKUP AND RESTORE")))
    played = _played(
        "$ jitid -q issue --task T1 --delegator alice --out a.jwt; cp -a ~/.local/share/jitid old\n"
        "$ jitid retire T1 > out; jitid audit head > head.jws\n"
        "$ rm -r ~/.local/share/jitid; mv old ~/.local/share/jitid\n" + check,
        tmp_path / "played",
    )
    assert played.endswith("? 7\n"), played
