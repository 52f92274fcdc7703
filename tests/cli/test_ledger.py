"""`jitid ledger copy`: its output, and the state that is left when it is killed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.builders import modes
from tests.real import Shell, need


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a shell with a new ledger."""
    shell = Shell(tmp_path)
    shell.good("-q", "issue", "--task", "T1", "--delegator", "alice", "--out", "token")
    return shell


def test_a_copy_is_used_as_the_ledger_is(shell: Shell, tmp_path: Path) -> None:
    place = str(tmp_path / "moved")
    told = json.loads(shell.good("ledger", "copy", "--to", place, "--format", "json"))
    assert (told["to"], told["events"], told["credentials"], told["resumed"]) == (place, 2, 1, False)
    assert sum(each["rows"] for each in told["tables"]) == told["rows"]
    shell.good("--ledger", place, "verify", "token")
    shell.good("--ledger", f"sqlite://{place}", "issue", "--task", "T1", "--delegator", "alice")
    shell.good("--ledger", place, "doctor")
    assert {mode & 0o077 for mode in modes(tmp_path / "moved").values()} == {0}
    ours, theirs = (
        {name for name in modes(path) if not name.endswith(("-wal", "-shm"))}
        for path in (shell.ledger, tmp_path / "moved")
    )
    assert ours == theirs


def test_a_copy_tells_what_an_authority_before_it_has_revoked(shell: Shell, tmp_path: Path) -> None:
    """The private key of the former authority is copied, too, until all of its certificates have expired."""
    shell.good("-q", "issue", "--task", "T2", "--delegator", "alice", "--kind", "x509-svid", "--out", "leaf")
    shell.good("keys", "rotate", "--use", "x509")
    place = str(tmp_path / "moved")
    shell.good("ledger", "copy", "--to", place)
    shell.good("--ledger", place, "verify", "leaf")
    shell.good("--ledger", place, "retire", "T2")
    assert shell.good("--ledger", place, "keys", "crl").count("BEGIN X509 CRL") == 2
    # The files that the former authority left in its folder are needed, so doctor does not warn about them.
    assert "leftover file" not in shell.good("--ledger", place, "doctor")


@pytest.mark.deep
def test_what_was_copied_is_sealed(shell: Shell, tmp_path: Path) -> None:
    """A sealed ledger can be read; all other requests are refused with the ledger's new place."""
    done = shell.run("ledger", "copy", "--to", "moved")
    assert done.returncode == 0
    assert "the source is sealed" in done.stderr
    assert done.stdout.startswith("copied to moved: 2 events, ")
    for line in (
        ("issue", "--task", "T1", "--delegator", "alice"),
        ("issue", "--task", "T1", "--delegator", "alice", "--dry-run"),
        ("verify", "token"),
        ("renew", "--token-file", "token"),
        ("revoke", "--task", "T1"),
        ("retire", "T1"),
        ("delegator", "add", "bob"),
        ("keys", "rotate"),
        ("publish", "public"),
        ("ledger", "copy", "--to", "other"),
    ):
        refused = shell.run(*line)
        assert (refused.returncode, refused.stdout) == (7, ""), (line, refused)
        assert f"the ledger is sealed: it was copied to `{tmp_path}/moved`" in refused.stderr, line
        assert f"use the copy: jitid --ledger {tmp_path}/moved" in refused.stderr, line
    id_ = shell.good("list", "--field", "id").strip()
    shell.good("inspect", id_)
    shell.good("audit", "verify")
    assert "ledger-seal" in shell.good("audit", "log")
    shell.good("trace", "token")
    shell.good("--ledger", "moved", "verify", "token")


@pytest.mark.deep
@pytest.mark.parametrize(
    ("line", "status", "what"),
    [
        ((), 2, "`--to` is missing"),
        (("--to", " "), 2, "is blank"),
        (("--to", "ledger"), 2, "source and copy are the same folder"),
        (("--to", "."), 2, "is not empty"),
        (("--to", "moved", "--remote", "https://authority.example"), 2, "only on the machine of the ledger"),
        (("--to", "mysql://host/db"), 2, "unknown kind of ledger"),
        (("--to", "sqlite://here"), 2, "absolute path"),
        (("--to", "token/under"), 2, "not a folder"),
        (("--ledger", "nowhere", "--to", "moved"), 5, "there is no ledger"),
    ],
)
def test_what_cannot_be_copied_is_said(shell: Shell, line: tuple[str, ...], status: int, what: str) -> None:
    done = shell.run("ledger", "copy", *line)
    assert (done.returncode, done.stdout) == (status, "")
    assert what in done.stderr
    assert not (shell.home / "moved").exists()


def test_without_a_key_that_signs_there_is_no_copy(shell: Shell, tmp_path: Path) -> None:
    (key,) = (shell.ledger / "keys").iterdir()
    aside = key.rename(tmp_path / "aside")
    done = shell.run("ledger", "copy", "--to", "moved")
    assert (done.returncode, (tmp_path / "moved").exists()) == (7, False)
    aside.rename(key)
    shell.good("ledger", "copy", "--to", "moved")
    shell.good("--ledger", "moved", "issue", "--task", "T1", "--delegator", "alice")


@pytest.mark.deep
def test_a_kill_at_any_call_that_changes_a_file_leaves_no_half_ledger(shell: Shell, tmp_path: Path) -> None:
    """A real SIGKILL arrives at one call after the other; the next attempt completes the copy."""
    strace = need("strace")
    calls = "mkdir,openat,rename,unlink,fsync,fdatasync,pwrite64"
    aside, place = tmp_path / ".moved.copying", tmp_path / "moved"
    at, killed, steps = 1, True, 0
    shutil.copytree(shell.ledger, tmp_path / "before")
    while killed:
        of_it = [str(aside / name) for name in (".", "keys", "copying", "ledger.db", "ledger.db-wal")]
        traced = [word for path in (str(aside), *of_it) for word in ("-P", path)]
        injected = ("-e", f"trace={calls}", "-e", f"inject={calls}:signal=KILL:when={at}")
        before = (strace, "-f", "-qq", "-o", "/dev/null", *traced, *injected)
        done = shell.run("ledger", "copy", "--to", "moved", before=before)
        killed = done.returncode != 0
        if killed and not place.exists():
            assert shell.run("--ledger", "moved", "list").returncode == 5
            shell.good("ledger", "copy", "--to", "moved")
        shell.good("--ledger", "moved", "audit", "verify")
        shell.good("--ledger", "moved", "verify", "token")
        for path in sorted(place.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        place.rmdir()
        assert shell.run("issue", "--task", "T1", "--delegator", "alice").returncode == 7
        shutil.rmtree(shell.ledger)
        shutil.copytree(tmp_path / "before", shell.ledger)
        at, steps = at + 1 + at // 3, steps + 1
    assert steps > 5


def test_into_a_database_and_back(shell: Shell, tmp_path: Path, postgres_url: str) -> None:
    home = tmp_path / "home"
    shell.environment["JITID_HOME"] = str(home)
    (shell.ledger / "policy" / "own.cedar").write_text('@id("own") permit (principal, action, resource);')
    done = shell.run("ledger", "copy", "--to", postgres_url)
    assert done.returncode == 0, done.stderr
    assert "the private keys stay in" in done.stderr
    assert [path.name for path in (home / "keys").iterdir()] == []
    assert (home / "policy" / "own.cedar").read_text() == (shell.ledger / "policy" / "own.cedar").read_text()
    shell.good("--ledger", postgres_url, "verify", "token")
    assert (
        shell.run("--ledger", postgres_url, "issue", "--task", "T1", "--delegator", "alice").returncode == 7
    )
    again = shell.run("ledger", "copy", "--to", postgres_url)
    assert (again.returncode, "the ledger is sealed" in again.stderr) == (7, True)
    shell.good("--ledger", postgres_url, "keys", "rotate")
    shell.good("--ledger", postgres_url, "issue", "--task", "T1", "--delegator", "alice", "--out", "other")
    shell.good("--ledger", postgres_url, "ledger", "copy", "--to", "back")
    for token in ("token", "other"):
        shell.good("--ledger", "back", "verify", token)
    shell.good("--ledger", "back", "issue", "--task", "T1", "--delegator", "alice")
    shell.good("--ledger", "back", "doctor")


def test_with_its_keys_this_machine_goes_on_signing(shell: Shell, tmp_path: Path, postgres_url: str) -> None:
    home = tmp_path / "home"
    shell.environment["JITID_HOME"] = str(home)
    shell.good("ledger", "copy", "--to", postgres_url, "--keys")
    assert {mode & 0o077 for mode in modes(home).values()} == {0}
    shell.good("--ledger", postgres_url, "issue", "--task", "T1", "--delegator", "alice", "--out", "other")
    shell.good("--ledger", postgres_url, "verify", "token")
    for token in ("token", "other"):
        assert shell.run("verify", token).returncode == 7


def test_a_password_is_never_shown(shell: Shell) -> None:
    done = shell.run("ledger", "copy", "--to", "postgresql://bob:hunter2@127.0.0.1:1/db", "--timeout", "1")
    assert (done.returncode, done.stdout) == (5, "")
    assert "hunter2" not in done.stderr


def test_a_kill_in_the_middle_of_a_database_leaves_no_half_ledger(shell: Shell, postgres_url: str) -> None:
    """A real SIGKILL arrives at one message to the server after the other; the next attempt completes the copy."""
    strace = need("strace")
    killed, completed = 0, 0
    for at in (8, 20, 40, 60, 90, 130, 180, 250):
        injected = ("-e", "trace=sendto", "-e", f"inject=sendto:signal=KILL:when={at}")
        before = (strace, "-f", "-qq", "-o", "/dev/null", *injected)
        done = shell.run("ledger", "copy", "--to", postgres_url, before=before)
        if done.returncode == 0:
            completed = at
            break
        killed += 1
        assert shell.run("--ledger", postgres_url, "list").returncode == 5
    if not completed:
        shell.good("ledger", "copy", "--to", postgres_url)
    assert killed > 3
    shell.good("--ledger", postgres_url, "audit", "verify")
    shell.good("--ledger", postgres_url, "verify", "token")
