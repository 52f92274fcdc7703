"""The closed list of exit statuses: each status, and no other, with its line of JSON."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from jitid.errors import ExitStatus
from tests.real import Shell, command, other_user, reachable

ISSUE = ("issue", "--task", "T", "--delegator", "alice")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Return a shell with a ledger that no test changes."""
    shell = Shell(tmp_path_factory.mktemp("home"))
    shell.good(*ISSUE, "--out", "t.jwt")
    return shell


@pytest.fixture
def copy(template: Shell, tmp_path: Path) -> Shell:
    """Return a shell with a copy of that ledger, which a test may damage."""
    shutil.copytree(template.ledger, tmp_path / "ledger")
    shutil.copy(template.home / "t.jwt", tmp_path)
    (tmp_path / "ledger").chmod(0o700)
    return Shell(tmp_path)


def status_of(shell: Shell, *line: str, stdin: str = "") -> tuple[int, str]:
    """Return the exit status and the code of the error; the error must be one line of JSON."""
    done = shell.run("--format", "json", *line, stdin=stdin)
    assert len(done.stderr.splitlines()) == 1, done.stderr
    error = json.loads(done.stderr)["error"]
    assert list(error) == ["code", "message", "hint", "retryable"]
    # Messages begin with a lower-case letter, except for names, and have no final period.
    assert not error["message"].endswith(".")
    assert error["message"][0] == error["message"][0].lower()
    assert error["retryable"] is (done.returncode == ExitStatus.STORAGE)
    return done.returncode, error["code"]


def test_0_is_done_and_already_so(copy: Shell) -> None:
    for _ in range(2):
        assert copy.run("revoke", "--task", "T").returncode == 0
        assert copy.run("retire", "T").returncode == 0


def test_2_is_usage_or_configuration_or_a_newer_schema(copy: Shell) -> None:
    assert status_of(copy, "issue", "--nothing") == (2, "usage")
    (copy.home / "bad.toml").write_text("nothing = 1")
    assert status_of(copy, "list", "--config", "bad.toml") == (2, "configuration")
    assert status_of(copy, "list", "--ledger", "mysql://x/y") == (2, "configuration")
    with sqlite3.connect(copy.ledger / "ledger.db") as db:
        db.execute("PRAGMA user_version = 9999")
    db.close()
    assert status_of(copy, "list") == (2, "newer_schema")


@pytest.mark.parametrize(
    "line",
    [
        "inspect jid_06h0snnep1rah9etii88q3sj1s",
        "revoke jti_06h0snnep1rah9etii88q3sj1s",
        "revoke --agent nobody",
        "retire NOTHING",
        "task show NOTHING",
        "tree --task NOTHING",
        "list --after jti_06h0snnep1rah9etii88q3sj1s",
        "keys revoke NOTHING",
        "config get purpose",
    ],
)
def test_3_is_not_found(line: str, template: Shell) -> None:
    assert status_of(template, *line.split()) == (3, "not_found")


def test_4_is_denied(template: Shell) -> None:
    assert status_of(template, *ISSUE[:2], "H", *ISSUE[3:], "--sensitivity", "high") == (4, "policy_denied")
    assert status_of(template, "issue", "--parent-file", "t.jwt", "--scope", "a:b") == (4, "policy_denied")


@pytest.mark.deep
def test_5_is_storage_and_may_be_tried_again(copy: Shell) -> None:
    assert status_of(copy, "list", "--ledger", "nowhere") == (5, "storage")
    assert status_of(copy, *ISSUE, "--ledger", "/proc/nowhere") == (5, "storage")
    db = sqlite3.connect(copy.ledger / "ledger.db")
    try:
        db.execute("BEGIN IMMEDIATE")
        assert status_of(copy, *ISSUE, "--timeout", "1s") == (5, "storage")
    finally:
        db.close()


def test_6_is_a_ledger_that_refuses_this_user(copy: Shell) -> None:
    prefix = other_user()
    with reachable(copy.home) as folder:
        # The folder can be entered, but its files belong to another user.
        shutil.copytree(copy.ledger, folder / "ledger")
        done = subprocess.run(
            [*prefix, *command("list", "--format", "json")],
            cwd="/",
            env={**os.environ, "JITID_LEDGER": str(folder / "ledger"), "HOME": str(folder)},
            capture_output=True,
            text=True,
        )
        assert (done.returncode, json.loads(done.stderr)["error"]["code"]) == (6, "refused")


def test_7_is_integrity(copy: Shell) -> None:
    copy.ledger.chmod(0o755)
    assert status_of(copy, "list") == (7, "integrity")
    copy.ledger.chmod(0o700)
    with sqlite3.connect(copy.ledger / "ledger.db") as db:
        db.execute("UPDATE credential SET expires_at = expires_at + 1")
    db.close()
    assert status_of(copy, "audit", "verify") == (7, "integrity")
    shutil.rmtree(copy.ledger / "keys")
    assert status_of(copy, *ISSUE) == (7, "integrity")
    assert not (copy.ledger / "keys").exists()
    (copy.ledger / "ledger.db").write_bytes(b"no database" * 1000)
    assert status_of(copy, "list") == (7, "integrity")


@pytest.mark.parametrize("where", [b"CREATE TABLE task", b"identity_by_agent ON"])
def test_7_is_a_schema_that_is_no_text(where: bytes, copy: Shell) -> None:
    with sqlite3.connect(copy.ledger / "ledger.db") as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    database = copy.ledger / "ledger.db"
    content = database.read_bytes()
    database.write_bytes(content.replace(where, bytes([where[0] | 0x80]) + where[1:]))
    for line in (("list",), ISSUE, ("revoke", "--task", "T"), ("verify", "t.jwt"), ("task", "list")):
        assert status_of(copy, *line) == (7, "integrity")
    assert copy.run("doctor").returncode == 7


def test_8_is_a_credential_that_is_not_valid(template: Shell) -> None:
    for line in ("verify -", "inspect -", "issue --parent-file -", "revoke --token-file -"):
        assert status_of(template, *line.split(), stdin="a.b.c") == (8, "invalid_credential")


def test_9_is_partly_done(copy: Shell) -> None:
    lines = '{"task":"M","kind":"opaque"}\n' * 1000 + '{"task":""}\n'
    done = copy.run("issue", "--delegator", "alice", "--from-file", "-", stdin=lines)
    assert done.returncode == 9
    assert "line 1001" in done.stderr
    assert len(done.stdout.splitlines()) == 1000


def test_74_is_output_that_cannot_be_written(template: Shell) -> None:
    assert status_of(template, *ISSUE, "--out", "no/such/folder") == (74, "output")


def test_124_to_127_are_of_run_alone(copy: Shell) -> None:
    run = ("run", "--task", "R", "--delegator", "alice")
    ended = copy.run("run", "--task", "R1", "--delegator", "alice", "--deadline", "1s", "--", "sleep", "60")
    assert ended.returncode == 124
    assert status_of(copy, *run, "--nothing", "--", "true") == (125, "usage")
    assert status_of(copy, *run, "--sensitivity", "critical", "--", "true") == (125, "policy_denied")
    assert status_of(copy, *run, "--", "/etc/passwd") == (126, "not_run")
    assert status_of(copy, *run, "--", "no-such-command") == (127, "not_run")
    copy.ledger.chmod(0o755)
    assert status_of(copy, *run, "--", "true") == (125, "integrity")


def test_no_other_status_is_defined() -> None:
    assert sorted(map(int, ExitStatus)) == [*range(12), 74, *range(124, 128)]
