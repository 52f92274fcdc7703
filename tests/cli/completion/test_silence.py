"""Invalid, hostile or foreign input gets an empty answer: no error, no change, no harmful name."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

import jitid
from jitid.cli import complete
from jitid.values import names as name
from tests.builders import edit
from tests.cli.completion.asking import lines, names, rows
from tests.real import Shell, command, other_user, reachable
from tests.values.hostile import INTRUDERS, NAUGHTY

HOSTILE = [
    "'; rm -rf ~",
    "$(touch x)",
    "`id`",
    "a\nb",
    "\0",
    "\udcff",
    "jid_\n",
    "jid_!",
    "jid_" + "0" * 27,
    "x" * 9_000,
]


def contents(ledger: Path) -> dict[str, bytes]:
    """Return the contents of the folder's files; the shared-memory index of SQLite counts only as present."""
    return {
        path.name: b"" if path.name.endswith("-shm") else path.read_bytes()
        for path in ledger.rglob("*")
        if path.is_file()
    }


@pytest.mark.deep
@pytest.mark.parametrize("what", complete.CANDIDATE_TYPES)
def test_what_no_name_begins_with_has_no_answer(ledger: Path, what: str) -> None:
    asked = {*HOSTILE, *NAUGHTY, *INTRUDERS}
    answered = {current for current in asked if names(ledger, what, current)}
    # A thumbprint may begin with any letter, so it may begin with some of the shortest texts.
    begun = {current for current in asked if any(each.startswith(current) for each in names(ledger, what))}
    assert answered == begun
    assert len(begun) < 5


@pytest.mark.parametrize(
    "hostile",
    [*HOSTILE, "--yes", "-rf", "a b", "a;b", "a\x1b[31mb", "a\tb", "\u202eb", "a*", "~root", "", b"blob", 7],
)
def test_only_plain_names_leave_a_ledger_that_was_edited(ledger: Path, hostile: str | bytes | int) -> None:
    with closing(sqlite3.connect(ledger / "ledger.db", isolation_level=None)) as db:
        value = hostile.encode(errors="surrogateescape") if isinstance(hostile, str) else hostile
        text = "CAST(? AS TEXT)" if isinstance(hostile, str) else "?"
        db.execute(f"UPDATE task SET name = {text} WHERE name = 'ZED'", (value,))
        db.execute(f"UPDATE term SET text = {text} WHERE text = 'bot-1'", (value,))
        db.execute(f"UPDATE term SET text = 'user:' || {text} WHERE text = 'user:bob'", (value,))
        db.execute(f"UPDATE signing_key SET kid = {text}, algorithm = {text}", (value, value))
        db.execute(f"UPDATE identity SET uid = {text} WHERE id = 4", (value,))
        db.execute(f"UPDATE approval SET uid = {text} WHERE id = 1", (value,))
        db.execute(f"UPDATE approval SET delegator = {text}", (value,))
        db.execute(f"UPDATE approval_group SET name = {text}", (value,))
    for what in complete.CANDIDATE_TYPES:
        for line in lines(ledger, what):
            candidate, _, told = line.partition("\t")
            assert not candidate.strip(name._NAME), line
            assert candidate
            assert not candidate.startswith("-")
            assert told.isascii()
            assert told.isprintable()


def test_a_view_that_never_ends_is_given_up(ledger: Path) -> None:
    edit(
        ledger,
        "ALTER TABLE identity RENAME TO kept",
        """CREATE VIEW identity AS WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n)
           SELECT id, x'00' AS uid, 1 AS agent, 1 AS task, 1 AS delegator FROM n""",
    )
    for what in ("ids", "agents", "delegators"):
        assert names(ledger, what) == []


def test_a_writer_at_work_is_no_hindrance(ledger: Path) -> None:
    with closing(sqlite3.connect(ledger / "ledger.db", isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        db.execute(
            "INSERT INTO task (name, opener, sensitivity, deadline, opened_at, event) VALUES ('NEW', 1, 'low', 1, 1, 1)"
        )
        assert names(ledger, "tasks") == ["ZED", "INC:3/a@b+c", "INC:1/a@b+c", "INC:2/a@b+c"]


def test_a_ledger_that_somebody_holds_alone_is_given_up(ledger: Path) -> None:
    with closing(sqlite3.connect(ledger / "ledger.db", isolation_level=None)) as db:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("BEGIN EXCLUSIVE")
        db.execute(
            "INSERT INTO task (name, opener, sensitivity, deadline, opened_at, event) VALUES ('NEW', 1, 'low', 1, 1, 1)"
        )
        assert names(ledger, "tasks") == []


@pytest.mark.parametrize("closed_cleanly", [False, True])
def test_asking_changes_nothing(ledger: Path, closed_cleanly: bool) -> None:
    """Not even SQLite's shared-memory file is made."""
    if closed_cleanly:
        rows(ledger, "PRAGMA wal_checkpoint(TRUNCATE)")
        assert not (ledger / "ledger.db-wal").exists()
    before = contents(ledger)
    # The ledger has no adopted secrets and no leaks.
    assert {what for what in complete.CANDIDATE_TYPES if not names(ledger, what)} == {"adopted", "leaks"}
    assert contents(ledger) == before


@pytest.mark.parametrize("part", ["", "ledger.db", "ledger.db-wal", "ledger.db-shm"])
def test_a_ledger_that_others_may_reach_is_left_alone(ledger: Path, part: str) -> None:
    (ledger / part).chmod(0o750)
    assert names(ledger, "tasks") == []


@pytest.mark.parametrize("part", ["", "ledger.db", "ledger.db-wal"])
def test_no_link_is_followed(ledger: Path, tmp_path: Path, part: str) -> None:
    moved = (ledger / part).rename(tmp_path / "moved")
    (ledger if not part else ledger / part).symlink_to(moved)
    for spelling in (str(ledger), f"{ledger}/"):
        assert complete.answer(["tasks", ""], {"JITID_LEDGER": spelling}) == ""


def test_what_is_no_ledger_is_left_alone(ledger: Path) -> None:
    edit(ledger, "PRAGMA application_id = 1")
    assert names(ledger, "tasks") == []


@pytest.mark.parametrize(
    "place",
    ["/nowhere", "postgresql://host/db", "", " ", "sqlite://", "\udcff", "a\0b", "/dev/null", "~nobody"],
)
def test_a_ledger_that_is_not_there_is_no_reason_to_speak(place: str) -> None:
    assert complete.answer(["tasks", ""], {"JITID_LEDGER": place, "HOME": "/nonexistent"}) == ""


@pytest.mark.parametrize("odd", ["a b", "50%", "what?", "#1", "-x", "ümlaut", "a//b"])
def test_a_folder_may_be_called_anything(ledger: Path, tmp_path: Path, odd: str) -> None:
    place = tmp_path / "more" / odd
    place.parent.mkdir(parents=True)
    ledger.rename(place)
    for spelling in (str(place), f"sqlite://{place}", os.path.relpath(place)):
        assert "ZED" in complete.answer(["tasks", ""], {"JITID_LEDGER": spelling})


@pytest.mark.parametrize(
    "arguments", [[], ["ids"], ["nothing", ""], ["tasks", "", "--ledger"], ["tasks", "", "--config"]]
)
def test_a_process_that_cannot_answer_is_silent(filled: Shell, arguments: list[str]) -> None:
    more = {"JITID_LEDGER": "", "JITID_CONFIG": "/nowhere"}
    done = filled.run("__complete", *arguments, more=more)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("descriptor", ["1", "2"])
def test_a_closed_descriptor_is_no_reason_to_speak(filled: Shell, descriptor: str) -> None:
    line = f'exec {descriptor}>&-; "$@"'
    done = subprocess.run(
        ["sh", "-c", line, "sh", *command("__complete", "tasks", "")],
        capture_output=True,
        text=True,
        env=filled.environment,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_without_a_home_nobody_complains(filled: Shell) -> None:
    environment = {
        key: value for key, value in filled.environment.items() if key not in ("HOME", "JITID_LEDGER")
    }
    done = subprocess.run(
        command("__complete", "tasks", "NO"), capture_output=True, text=True, env=environment
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_somebody_elses_ledger_is_left_alone(tmp_path: Path) -> None:
    prefix = other_user()
    with reachable(tmp_path) as place:
        shell = Shell(place)
        shell.good("issue", "--task", "SECRET", "--delegator", "alice")
        for path in (shell.ledger, shell.ledger / "ledger.db"):
            os.chown(path, 0, 0)
        done = shell.run("__complete", "tasks", "", before=prefix)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_with_the_ledger_named_nothing_is_loaded_that_costs_time(filled: Shell) -> None:
    program = (
        "import sys\n"
        "from jitid.cli import complete\n"
        "assert 'ZED' in complete.answer(['tasks', ''])\n"
        "print(*sorted(each for each in sys.modules if each.startswith('jitid') or each in ('re', 'typing', 'json')))\n"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            f"import sys; sys.path.append({str(Path(jitid.__file__).parent.parent)!r})\n" + program,
        ],
        capture_output=True,
        text=True,
        env=filled.environment,
    )
    assert (done.stdout.split(), done.stderr) == (
        [
            "jitid",
            "jitid.capabilities",
            "jitid.capabilities.inventory",
            "jitid.capabilities.inventory.complete_store",
            "jitid.cli",
            "jitid.cli.complete",
        ],
        "",
    )


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty"])
def test_a_damaged_ledger_is_no_reason_to_speak(ledger: Path, damage: str) -> None:
    rows(ledger, "PRAGMA wal_checkpoint(TRUNCATE)")
    whole = (ledger / "ledger.db").read_bytes()
    broken = {
        "cut": whole[: len(whole) // 3],
        "garbage": whole[:4096] + os.urandom(len(whole) - 4096),
        "empty": b"",
    }
    (ledger / "ledger.db").write_bytes(broken[damage])
    for what in complete.CANDIDATE_TYPES:
        assert "".join(names(ledger, what)).strip(name._NAME) == ""


def test_an_authority_elsewhere_is_not_asked(ledger: Path, tmp_path: Path) -> None:
    """The names of a local ledger are not offered instead."""
    here = {"JITID_LEDGER": str(ledger)}
    elsewhere = {"JITID_REMOTE": "unix:///run/jitid.sock", "HOME": str(tmp_path)}
    assert complete.answer(["tasks", ""], here)
    assert not complete.answer(["tasks", "", "--remote", "unix:///run/jitid.sock"], here)
    assert not complete.answer(["tasks", ""], here | elsewhere)
    assert complete.answer(["tasks", "", "--ledger", str(ledger)], elsewhere)
    configuration = tmp_path / "config.toml"
    configuration.write_text('remote = "unix:///run/jitid.sock"\n')
    assert not complete.answer(["tasks", "", "--config", str(configuration)], {"HOME": str(tmp_path)})
