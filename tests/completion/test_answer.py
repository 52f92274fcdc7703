"""What `jitid __complete` answers: names that are in the ledger, and never a word of trouble."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid import completing, name
from jitid.identifier import credential_id, identity_id
from jitid.ledger.schema import APPLICATION_ID
from tests.builders import World, edit, make_folder, put
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


@pytest.fixture
def ledger(filled: Shell, tmp_path: Path) -> Path:
    """Return a copy of the ledger that may be changed."""
    return Path(shutil.copytree(filled.ledger, tmp_path / "ledger"))


def lines(ledger: Path, what: str, current: str = "", *words: str) -> list[str]:
    """Return what is answered about the ledger in a folder."""
    return completing.answer([what, current, *words], {"JITID_LEDGER": str(ledger)}).splitlines()


def names(ledger: Path, what: str, current: str = "", *words: str) -> list[str]:
    """Return the same without the descriptions."""
    return [line.partition("\t")[0] for line in lines(ledger, what, current, *words)]


def rows(ledger: Path, query: str) -> list[tuple[object, ...]]:
    """Ask the database."""
    with closing(sqlite3.connect(ledger / "ledger.db")) as db:
        return db.execute(query).fetchall()


def contents(ledger: Path) -> dict[str, bytes]:
    """Return what is in the folder; of the index that SQLite's readers share, only that it is there."""
    return {
        path.name: b"" if path.name.endswith("-shm") else path.read_bytes()
        for path in ledger.rglob("*")
        if path.is_file()
    }


def test_open_tasks_come_first_the_newest_of_them_first(ledger: Path) -> None:
    assert lines(ledger, "tasks") == [
        "ZED\topen, moderate",
        "INC:3/a@b+c\topen, moderate",
        "INC:1/a@b+c\topen, moderate",
        "INC:2/a@b+c\tended, moderate",
    ]


def test_agents_come_in_the_order_of_their_last_work(ledger: Path) -> None:
    assert lines(ledger, "agents") == ["bot-1", "bot-3", "bot-2"]


@pytest.mark.parametrize(
    ("current", "expected"),
    [
        ("", ["user:bob", "user:alice@example.com", "system:ci"]),
        ("user:", ["user:bob", "user:alice@example.com"]),
        ("us", ["user:bob", "user:alice@example.com"]),
        ("sy", ["system:ci"]),
        ("ali", ["alice@example.com"]),
        ("agent:bot-3", ["agent:bot-3"]),
        ("ci", []),
        ("bot", []),
        ("root:", []),
    ],
)
def test_delegators_are_spelled_as_they_were_begun(ledger: Path, current: str, expected: list[str]) -> None:
    """A bare name means `user:`, and is completed bare."""
    assert lines(ledger, "delegators", current) == expected


def test_ids_are_those_of_identities_the_newest_first_and_say_whose_they_are(ledger: Path) -> None:
    expected = [identity_id(raw) for (raw,) in rows(ledger, "SELECT uid FROM identity ORDER BY id DESC")]  # type: ignore[arg-type]
    found = lines(ledger, "ids")
    assert [line.partition("\t")[0] for line in found] == expected
    assert [line.partition("\t")[2] for line in found][:2] == ["bot-1 on ZED", "bot-3 on INC:3/a@b+c"]


@pytest.mark.parametrize("begun", ["jt", "jti", "jti_"])
def test_ids_of_credentials_come_where_one_is_begun(ledger: Path, begun: str) -> None:
    expected = [credential_id(raw) for (raw,) in rows(ledger, "SELECT jti FROM credential ORDER BY id DESC")]  # type: ignore[arg-type]
    assert names(ledger, "ids", begun) == expected


def test_an_id_that_stands_on_the_line_is_not_offered_again(ledger: Path) -> None:
    newest, *others = names(ledger, "ids")
    assert names(ledger, "ids", "jid_", "revoke", newest) == others


def test_keys_tell_their_state(ledger: Path) -> None:
    ((kid,),) = rows(ledger, "SELECT kid FROM signing_key")
    assert lines(ledger, "keys", str(kid)[:3]) == [f"{kid}\tsigning, EdDSA"]


def test_a_key_that_begins_like_an_option_waits_until_that_is_typed(ledger: Path) -> None:
    edit(ledger, "UPDATE signing_key SET kid = '-abc'")
    assert (names(ledger, "keys"), names(ledger, "keys", "-a")) == ([], ["-abc"])


@given(raw=st.binary(min_size=16, max_size=16), length=st.integers(0, 26))
def test_the_range_of_a_prefix_holds_the_ids_that_begin_with_it(raw: bytes, length: int) -> None:
    digits = identity_id(raw).removeprefix("jid_")
    first, last = completing._range(digits[:length])
    assert first <= raw <= last
    for bound in (first, last):
        assert identity_id(bound).removeprefix("jid_").startswith(digits[:length])
    for outside in (int.from_bytes(first) - 1, int.from_bytes(last) + 1):
        if 0 <= outside < 1 << 128:
            assert not identity_id(outside.to_bytes(16)).removeprefix("jid_").startswith(digits[:length])


@given(st.binary(min_size=16, max_size=16))
def test_an_id_is_spelled_as_everywhere(raw: bytes) -> None:
    assert "jid_" + completing._base32(raw) == identity_id(raw)


def test_what_is_said_twice_to_save_time_is_the_same() -> None:
    assert (completing._NAME, completing._APPLICATION_ID) == (name._NAME, APPLICATION_ID)


def test_there_are_never_more_than_can_be_looked_through(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "large")
    with World(folder) as world, world.ledger.write() as transaction:
        for number in range(completing.MOST + 50):
            put(transaction, task=f"T{number}", agent=f"a{number}", delegator=f"user:d{number}")
        transaction.append("issue", {})
    for what in ("ids", "tasks", "agents", "delegators"):
        assert len(names(folder, what)) == completing.MOST
    assert names(folder, "tasks")[0] == f"T{completing.MOST + 49}"
    # By the alphabet an old one is found that is not among the latest.
    assert names(folder, "tasks", "T7")[-1] == "T7"


@pytest.mark.parametrize("what", completing.WHAT)
def test_what_no_name_begins_with_has_no_answer(ledger: Path, what: str) -> None:
    answered = {current for current in (*HOSTILE, *NAUGHTY, *INTRUDERS) if names(ledger, what, current)}
    assert answered <= {""}


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
    for what in completing.WHAT:
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
        db.execute("INSERT INTO task (name, sensitivity, deadline, opened_at) VALUES ('NEW', 'low', 1, 1)")
        assert names(ledger, "tasks") == ["ZED", "INC:3/a@b+c", "INC:1/a@b+c", "INC:2/a@b+c"]


def test_a_ledger_that_somebody_holds_alone_is_given_up(ledger: Path) -> None:
    with closing(sqlite3.connect(ledger / "ledger.db", isolation_level=None)) as db:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("BEGIN EXCLUSIVE")
        db.execute("INSERT INTO task (name, sensitivity, deadline, opened_at) VALUES ('NEW', 'low', 1, 1)")
        assert names(ledger, "tasks") == []


@pytest.mark.parametrize("closed_cleanly", [False, True])
def test_asking_changes_nothing(ledger: Path, closed_cleanly: bool) -> None:
    """Not even a file that SQLite's readers share is made."""
    if closed_cleanly:
        rows(ledger, "PRAGMA wal_checkpoint(TRUNCATE)")
        assert not (ledger / "ledger.db-wal").exists()
    before = contents(ledger)
    assert all(names(ledger, what) for what in completing.WHAT)
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
        assert completing.answer(["tasks", ""], {"JITID_LEDGER": spelling}) == ""


def test_what_is_no_ledger_is_left_alone(ledger: Path) -> None:
    edit(ledger, "PRAGMA application_id = 1")
    assert names(ledger, "tasks") == []


@pytest.mark.parametrize(
    "place",
    ["/nowhere", "postgresql://host/db", "", " ", "sqlite://", "\udcff", "a\0b", "/dev/null", "~nobody"],
)
def test_a_ledger_that_is_not_there_is_no_reason_to_speak(place: str) -> None:
    assert completing.answer(["tasks", ""], {"JITID_LEDGER": place, "HOME": "/nonexistent"}) == ""


@pytest.mark.parametrize("odd", ["a b", "50%", "what?", "#1", "-x", "ümlaut", "a//b"])
def test_a_folder_may_be_called_anything(ledger: Path, tmp_path: Path, odd: str) -> None:
    place = tmp_path / "more" / odd
    place.parent.mkdir(parents=True)
    ledger.rename(place)
    for spelling in (str(place), f"sqlite://{place}", os.path.relpath(place)):
        assert "ZED" in completing.answer(["tasks", ""], {"JITID_LEDGER": spelling})


@pytest.mark.parametrize(
    "words",
    [
        ("--ledger", "{home}/other", "list"),
        ("list", "--ledger={home}/other"),
        ("list", "--ledger", "~/other", "--task"),
        ("--config", "{home}/other.toml", "list"),
        ("--profile", "elsewhere", "list"),
        ("list", "--profile=elsewhere"),
    ],
)
def test_the_ledger_is_the_one_that_the_line_means(
    filled: Shell, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    home = filled.home
    monkeypatch.setenv("HOME", str(home))
    given = [word.format(home=home) for word in words]
    assert completing.answer(["tasks", "", *given], {"HOME": str(home)}) == "ELSEWHERE\topen, moderate\n"


def test_without_a_word_it_is_the_configured_one(filled: Shell) -> None:
    assert completing.answer(["tasks", "Z"], {"HOME": str(filled.home)}) == "ZED\topen, moderate\n"


def test_words_behind_two_dashes_are_somebody_elses(ledger: Path) -> None:
    assert "ZED" in names(ledger, "tasks", "", "run", "--", "x", "--ledger", "/nowhere")


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
        "from jitid import completing\n"
        "assert 'ZED' in completing.answer(['tasks', ''])\n"
        "print(*sorted(each for each in sys.modules if each.startswith('jitid') or each in ('re', 'typing', 'json')))\n"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            f"import sys; sys.path.append({str(Path(name.__file__).parent.parent)!r})\n" + program,
        ],
        capture_output=True,
        text=True,
        env=filled.environment,
    )
    assert (done.stdout.split(), done.stderr) == (["jitid", "jitid.completing"], "")
