"""The end of a server, in any way, ends the credentials that it issued, or it reports the remaining ones."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.mcp.asking import API, OPENING, Server, called, events, lines, states, verifies
from tests.real import Shell, command, need


def two_given(server: Server) -> list[dict[str, Any]]:
    """Request two identities, and return them."""
    return [server.call("request_identity", agent=name) for name in ("one", "two")]


def left(shell: Shell) -> list[Path]:
    """Return the files in the folder for the tokens of servers."""
    return sorted(Path(shell.environment["XDG_RUNTIME_DIR"]).rglob("*"))


@pytest.mark.deep
@pytest.mark.parametrize(
    ("number", "status"),
    [(None, 0), (signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)],
)
def test_what_was_given_ends_with_the_server(shell: Shell, number: int | None, status: int) -> None:
    with Server(shell) as server:
        one, _ = two_given(server)
        server.call("hand_back", id=one["id"])
        assert len(left(shell)) == 2
        assert server.end(number) == (status, "")
    assert states(shell, "--task", "T1") == ["revoked", "revoked", "active"]
    assert verifies(shell, "own.jwt")
    assert not left(shell)
    last = events(shell)[-1]
    assert (last["op"], last["reason"], last["count"]) == ("revoke", "its MCP server ended", 1)


def test_who_gave_nothing_changes_nothing_at_the_end(shell: Shell) -> None:
    with Server(shell) as server:
        server.call("whoami")
        before = events(shell)
        assert server.end() == (0, "")
    assert events(shell) == before


def test_what_is_to_be_kept_lives_on_with_its_files(shell: Shell) -> None:
    with Server(shell, "--keep") as server:
        one, two = two_given(server)
        server.call("hand_back", id=one["id"])
        assert server.end(signal.SIGTERM) == (143, "")
    assert verifies(shell, two["token_file"])
    assert [path.name for path in left(shell)[1:]] == [two["id"]]
    assert shell.good("list", "--process", "gone", "--field", "id").split() == [two["id"]]
    # It was meant to outlive its server, so it is not reported as an orphan.
    assert shell.good("sweep", "--rule", "orphaned-process", "--field", "subject") == ""


def test_what_a_killed_server_leaves_is_found(shell: Shell) -> None:
    with Server(shell) as server:
        two_given(server)
        server.killed()
    assert states(shell, "--live", "--task", "T1") == ["active"] * 3
    found = shell.run("sweep", "--rule", "orphaned-process", "--fix", "--field", "subject")
    assert len(found.stdout.split()) == 2
    assert states(shell, "--live", "--task", "T1") == ["active"]


@pytest.mark.deep
@pytest.mark.parametrize("keep", [False, True])
def test_what_cannot_be_told_is_revoked(shell: Shell, *, keep: bool) -> None:
    """The client reads no further, so the new credential has reached no holder."""
    with Server(shell, *(["--keep"] if keep else [])) as server:
        told = server.call("request_identity", agent="told")
        assert server.process.stdout is not None
        server.process.stdout.close()
        server.send(called(9, "request_identity", {"agent": "untold"}))
        assert server.process.wait(timeout=60) == 74
    assert states(shell, "--agent", "untold") == ["revoked"]
    assert verifies(shell, told["token_file"]) == keep
    assert len(left(shell)) == (2 if keep else 0)


def test_a_full_device_is_told_and_what_was_given_is_revoked(shell: Shell) -> None:
    text = lines(called(1, "request_identity", {"agent": "x"}))
    opening = lines(OPENING)
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command("mcp", "--token-file", "own.jwt"),
            input=(opening + text).encode(),
            stdout=full,
            stderr=subprocess.PIPE,
            env=shell.environment,
            cwd=shell.home,
            timeout=60,
        )
    assert done.returncode == 74
    assert b"standard output cannot be written: no space left on device" in done.stderr
    assert states(shell, "--live", "--task", "T1") == ["active"]


def test_a_token_file_that_is_missing_is_reported_with_the_next_step(shell: Shell) -> None:
    done = shell.run("mcp", "--token-file", "nope")
    assert (done.returncode, done.stdout) == (2, "")
    assert "cannot be read from `nope`" in done.stderr
    assert (
        "hint: it is the file of an agent's token; `jitid run` sets JITID_PARENT_FILE to one" in done.stderr
    )


def test_closed_descriptors_are_told(shell: Shell) -> None:
    need("sh")
    line = " ".join(command("mcp", "--token-file", "own.jwt"))

    def closed(which: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["sh", "-c", f"exec {line} {which}"],
            input=lines(OPENING).encode(),
            capture_output=True,
            env=shell.environment,
            cwd=shell.home,
            timeout=60,
        )

    assert closed(">&-").returncode == 74
    without_input = closed("<&-")
    assert without_input.returncode == 2
    assert b"standard input cannot be read" in without_input.stderr


def test_a_token_file_that_cannot_be_written_is_told_and_its_credential_revoked(shell: Shell) -> None:
    """It is not the agent's fault, and the server continues."""
    with Server(shell) as server:
        folder = Path(server.call("request_identity", agent="first")["token_file"]).parent
        shutil.rmtree(folder)
        error = server.refused("request_identity", agent="second")
        assert error["code"] == "output"
        assert error["hint"] == "the credential just made was revoked"
        assert states(shell, "--agent", "second") == ["revoked"]
        assert server.call("whoami")["agent"] == "planner"
        assert server.end() == (0, "")


@pytest.mark.deep
def test_a_ledger_that_is_held_is_told_to_the_agent_and_at_the_end(shell: Shell) -> None:
    with Server(shell, "--timeout", "1s") as server:
        given = server.call("request_identity", agent="coder")
        with (shell.ledger / "lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            error = server.refused("request_identity", agent="late")
            assert error["retryable"]
            assert "other writers held the ledger" in error["message"]
            assert server.call("whoami")["agent"] == "planner"
            status, talk = server.end()
    assert status == 5
    assert "1 identity could not be revoked: other writers held the ledger" in talk
    assert talk.rstrip().endswith(f"jitid revoke {given['id']}")
    shell.good("revoke", given["id"])


def test_a_replaced_ledger_at_the_end_is_told(shell: Shell) -> None:
    with Server(shell) as server:
        given = server.call("request_identity", agent="coder")
        shutil.rmtree(shell.ledger)
        shell.good("-q", "issue", "--task", "T1", "--delegator", "alice", "--out", "new.jwt")
        assert server.refused("whoami")["code"] == "invalid_credential"
        status, talk = server.end()
    assert status == 3
    assert f"the ledger has no `{given['id']}`" in talk
    assert not left(shell)


@pytest.mark.deep
def test_a_signal_while_an_identity_is_made_waits_until_it_is_known(shell: Shell) -> None:
    """After a signal at any time, no credential of the server is live."""
    for _ in range(8):
        with Server(shell) as server:
            server.call("whoami")
            server.send(called(9, "request_identity", {"agent": "coder"}))
            assert server.end(signal.SIGTERM)[0] == 143
        assert states(shell, "--live", "--agent", "coder") == []
    assert not left(shell)


@pytest.mark.deep
@pytest.mark.parametrize(
    ("words", "status", "reason"),
    [
        (("--token-file", "nowhere"), 2, "no such file"),
        (("--token-file", "-"), 2, "must be in a regular file"),
        (("--token-file", "pipe"), 2, "must be in a regular file"),
        (("--token-file", "."), 2, "must be in a regular file"),
        (("--token-file", "empty"), 2, "is empty"),
        (("--token-file", ""), 2, "is blank"),
        (("--token-file", "own.jwt", "--most", "0"), 2, "--most must be a number from 1 to 1000"),
        (("--token-file", "own.jwt", "--most", "1001"), 2, "--most must be a number from 1 to 1000"),
        (("--token-file", "own.jwt", "--rate", "-1"), 2, "--rate must be a number from 1 to 1000"),
        (("--token-file", "own.jwt", "--format", "csv"), 2, "--format does not apply here"),
        (("--token-file", "own.jwt", "--field", "id"), 2, "--field does not apply here"),
        ((), 2, "the agent's own token is required"),
    ],
)
def test_a_line_that_cannot_be_meant_is_refused_before_anything_is_read(
    shell: Shell, words: tuple[str, ...], status: int, reason: str
) -> None:
    os.mkfifo(shell.home / "pipe")
    (shell.home / "empty").write_text("\n")
    done = shell.run("mcp", *words, stdin=lines(OPENING))
    assert (done.returncode, done.stdout) == (status, "")
    assert reason in done.stderr


def test_under_run_the_servers_token_is_the_commands(shell: Shell) -> None:
    script = shell.home / "agent.sh"
    script.write_text(f"#!/bin/sh\nexec {' '.join(command('mcp'))} < messages\n")
    script.chmod(0o755)
    calls = [called(1, "whoami", {}), called(2, "request_identity", {"agent": "coder", "scopes": ["log:a"]})]
    (shell.home / "messages").write_text(lines(OPENING, *calls))
    run = (
        "run",
        "--task",
        "R1",
        "--delegator",
        "bob",
        "--agent",
        "outer",
        "--scope",
        "log:*",
        "--may-audience",
        API,
    )
    out = shell.good(*run, "--", "./agent.sh")
    assert '"chain":["user:bob","outer"]' in out
    assert '"scopes":["log:a"]' in out
    assert states(shell, "--task", "R1") == ["revoked", "revoked"]
