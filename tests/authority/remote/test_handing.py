"""Delivery of credentials by a remote authority: as many as by a local one, and none without a holder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.real import Shell


def rows(told: str) -> list[dict[str, object]]:
    """Return the JSON lines of an output."""
    return [json.loads(line) for line in told.splitlines()]


@pytest.fixture(params=["local", "remote"])
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> Shell:
    """Return a command line with a ledger, and another that uses a remote authority."""
    if request.param == "local":
        return Shell(tmp_path)
    found: Shell = request.getfixturevalue("client")
    return found


def live(shell: Shell) -> list[str]:
    """Return the ids of the live credentials of the ledger."""
    return sorted(shell.good("list", "--live", "--limit", "1000", "--field", "jti").split())


@pytest.mark.deep
@pytest.mark.parametrize("count", [1, 2, 3, 600])
def test_copies_are_handed_out(shell: Shell, count: int) -> None:
    words = ("issue", "--task", "T1", "--delegator", "bob", "--count", str(count))
    assert [row["count"] for row in rows(shell.good(*words, "--dry-run"))] == [count]
    made = rows(shell.good(*words))
    assert sorted(str(row["jti"]) for row in made) == live(shell)
    assert len(made) == count


def test_the_lines_of_a_list_are_handed_out(shell: Shell) -> None:
    lines = "".join(f'{{"task": "T{number}", "delegator": "bob"}}\n' for number in range(150))
    made = rows(shell.good("issue", "--from-file", "-", stdin=lines))
    assert [row["task"] for row in made] == [f"T{number}" for number in range(150)]
    assert sorted(str(row["jti"]) for row in made) == live(shell)


MAKING = """
issue --task T1
issue --task T1 --count 3
issue --from-file {folder}/list
issue --task T0/T1 --parent-file {folder}/held
issue --task T1 --kind x509-svid
renew --token-file - --ttl 5m
helper kube --audience https://k8s.example --parent-file {folder}/held
access grant system:ci --role auditor
access rotate {access}
""".strip().splitlines()
"""Verbs that print or write a secret."""


@pytest.mark.deep
def test_each_verb_hands_out_what_it_has_made(shell: Shell) -> None:
    (shell.home / "list").write_text('{"task": "T1"}\n' * 20)
    shell.environment["JITID_DELEGATOR"] = "alice"
    granted = shell.good("access", "grant", "system:old", "--role", "auditor", "--format", "json")
    access = json.loads(granted)["id"]
    wrong = {}
    for line in MAKING:
        held = shell.good("issue", "--task", "T0", "--may-audience", "https://k8s.example")
        (shell.home / "held").write_text(held)
        done = shell.run(*line.format(folder=shell.home, access=access).split(), stdin=held)
        if done.returncode or not done.stdout.strip():
            wrong[line] = (done.returncode, done.stderr)
    assert not wrong


SLOW = """
import sys, time
from jitid.cli import main
from jitid.system import time_limit
from jitid.system import output

late, write = 0, output._write_all

def written(descriptor, text):
    global late
    late = 3600 if descriptor == output.DATA else late
    write(descriptor, text)

output._write_all = written
time_limit.monotonic = lambda: time.monotonic() + late
sys.exit(main.run(sys.argv[1:]))
"""
"""A program that runs a command whose time limit expires when it writes: only the clock of the limit jumps."""


def broken(line: str, shell: Shell, stdin: str) -> tuple[int, str]:
    """Return the status and the errors of a command whose output fails after its time limit."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", SLOW, *line.split(), "--timeout", "1m"],
            input=stdin,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=shell.environment,
            cwd=shell.home,
        )
    return done.returncode, done.stderr


@pytest.mark.deep
def test_what_could_not_be_handed_out_is_taken_back_though_the_time_is_over(shell: Shell) -> None:
    """Promise 4: after a slow consumer fails, no undelivered credential stays valid."""
    (shell.home / "list").write_text('{"task": "T1"}\n' * 20)
    shell.environment["JITID_DELEGATOR"] = "alice"
    held = shell.good("issue", "--task", "T0", "--may-audience", "https://k8s.example")
    (shell.home / "held").write_text(held)
    granted = shell.good("access", "grant", "system:old", "--role", "auditor", "--format", "json")
    access = json.loads(granted)["id"]
    before = (live(shell), _access(shell))
    wrong = {}
    for line in MAKING:
        status, said = broken(line.format(folder=shell.home, access=access), shell, held)
        after = (live(shell), _access(shell))
        # A rotation that could not deliver its secret ends the access as well.
        if status != 74 or after != (before[0], [] if "rotate" in line else before[1]):
            wrong[line] = (status, said, after)
    assert not wrong


def _access(shell: Shell) -> list[str]:
    listed = shell.good("access", "list", "--format", "json")
    return sorted(str(row["id"]) for row in json.loads(listed)["items"] if row["state"] == "active")
