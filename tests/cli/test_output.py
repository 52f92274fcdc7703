"""Data and messages: a credential that cannot be written is revoked, and secrets go only to standard output."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from jitid.cli.verbs import all_verbs
from jitid.operation.base import READS
from jitid.values.times import parse_duration
from tests.generate.page_text import ENDS
from tests.real import Shell, command, need, tmpfs

ISSUE = ("issue", "--task", "T", "--delegator", "alice")


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Return a shell with a ledger; each test uses different tasks."""
    made = Shell(tmp_path_factory.mktemp("home"))
    made.good("issue", "--task", "FIRST", "--delegator", "alice")
    return made


def states(shell: Shell, task: str) -> list[str]:
    """Return the states of a task's credentials, without repetitions."""
    return sorted(set(shell.good("list", "--task", task, "--field", "state").split()))


def through_a_shell(shell: Shell, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run jitid from `sh`, which sets up its descriptors."""
    return shell.run(*arguments, before=["sh", "-c", script, "sh"])


@pytest.mark.deep
@pytest.mark.parametrize("where", ['"$@" >/dev/full', '"$@" >&-', '"$@" >&- 2>&-', '"$@" <&- >&- 2>&-'])
@pytest.mark.parametrize(
    "more",
    [(), ("--kind", "opaque"), ("--format", "json"), ("--count", "3"), ("--field", "id")],
    ids=lambda more: " ".join(more) or "plain",
)
def test_what_cannot_be_written_does_not_live(where: str, more: Sequence[str], shell: Shell) -> None:
    """This holds for one token, for JSON, for many tokens, and even if only another field was requested."""
    task = f"W{abs(hash((where, *more)))}"
    done = through_a_shell(shell, where, "issue", "--task", task, "--delegator", "alice", *more)
    assert done.returncode == 74
    assert states(shell, task) == ["revoked"]
    if "2>&-" not in where:
        assert "standard output cannot be written" in done.stderr
        assert "revoked" in done.stderr


def unread(shell: Shell, *line: str, stdin: str = "") -> tuple[int, str]:
    """Run a line whose standard output is a pipe without a reader; return the status, and standard error."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            command(*line),
            input=stdin,
            stdout=writer,
            stderr=subprocess.PIPE,
            env=shell.environment,
            cwd=shell.home,
            text=True,
            timeout=120,
        )
    finally:
        os.close(writer)
    return done.returncode, done.stderr


BROKEN = "jitid: error: standard output cannot be written: broken pipe"


@pytest.mark.parametrize(
    "more",
    [(), ("--count", "1500"), ("--format", "table"), ("--kind", "opaque"), ("--field", "id")],
    ids=" ".join,
)
def test_a_reader_that_went_away_leaves_nothing_alive(shell: Shell, more: Sequence[str]) -> None:
    """One line on standard error reports the revocation: another reader may read standard error."""
    task = f"GONE{abs(hash(tuple(more)))}"
    status, said = unread(shell, *ISSUE[:2], task, *ISSUE[3:], *more)
    what = "the 1000 credentials just made were" if "--count" in more else "the credential just made was"
    assert (status, said) == (74, f"{BROKEN}; {what} revoked\n")
    assert states(shell, task) == ["revoked"]


def test_what_became_of_it_is_told_in_json_too(shell: Shell) -> None:
    status, said = unread(shell, *ISSUE[:2], "GONEJSON", *ISSUE[3:], "--format", "json")
    error = json.loads(said)["error"]
    assert (status, error["code"]) == (74, "output")
    assert error["message"].endswith("broken pipe")
    assert error["hint"] == "the credential just made was revoked"


CHANGING = [
    ("revoke --task PIPE1", "the changes of the command remain"),
    ("retire PIPE2", "the changes of the command remain"),
    ("task share PIPE3 --with bob", "the changes of the command remain"),
    ("delegator add user:zoe", "the changes of the command remain"),
    ("keys rotate", "the changes of the command remain"),
    ("access grant carol --role auditor", "the new access credential was revoked"),
    ("sweep --rule standing -v", "the changes of the command remain"),
    ("helper git get --task PIPE4 --delegator alice", "the credential just made was revoked"),
    ("renew", "the successor was revoked; the old token stays valid"),
]


@pytest.mark.parametrize(("line", "outcome"), CHANGING)
def test_a_verb_that_changes_something_says_what_became_of_it(shell: Shell, line: str, outcome: str) -> None:
    for word in line.split():
        if word.startswith("PIPE") and "git" not in line:
            task = word.removesuffix(".jwt")
            token = shell.good("issue", "--task", task, "--delegator", "alice")
            if word != task:
                (shell.home / word).touch(0o600)
                (shell.home / word).write_text(token)
    stdin = "protocol=https\nhost=git.example\n\n" if "git" in line else ""
    if line == "renew":
        stdin = shell.good("issue", "--task", "PIPE5", "--delegator", "alice")
    status, said = unread(shell, *line.split(), stdin=stdin)
    assert status == 74
    assert f"broken pipe; {outcome}" in said
    assert len(said.splitlines()) == 1


@pytest.mark.deep
@pytest.mark.parametrize(
    "line",
    [
        "list",
        "list --format json",
        "tree --task FIRST",
        "task list",
        "report",
        "doctor",
        "audit log",
        "audit head",
        "audit export",
        "keys jwks",
        "config show",
        "sweep --list-rules",
        "completion show bash",
        "--help",
        "issue --help",
        "--version",
        "issue --task DRY --delegator alice --dry-run",
    ],
)
def test_a_verb_that_only_looks_is_silent_where_nobody_reads(shell: Shell, line: str) -> None:
    """An example is `jitid list | head -1`."""
    assert unread(shell, *line.split()) == (74, "")


def test_every_verb_is_known_to_look_or_to_change() -> None:
    """Compared with the manual: a verb that changes something documents the outcome of lost output there."""
    for verb, declared in all_verbs().items():
        text = ENDS.get(verb, {}).get(74)
        if text is not None:
            plain = text.startswith("The output could not be written") and "revo" not in text
            assert plain == (declared.effect == READS and not declared.changes_with), verb
        assert {*declared.changes_with} <= declared.fields.keys(), verb


def test_what_was_written_before_a_bulk_reader_went_away_lives_on(shell: Shell) -> None:
    """Each transaction is written separately: the first ones stay valid, and the failed one is revoked whole."""
    line = command("issue", "--task", "HALF", "--delegator", "alice", "--count", "4000", "--kind", "opaque")
    with subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=shell.environment, cwd=shell.home
    ) as process:
        assert process.stdout is not None
        read = [json.loads(process.stdout.readline()) for _ in range(1500)]
        process.stdout.close()
        assert process.wait() == 74
    found = dict(
        line.split("\t")[0:9:8]
        for line in shell.good("list", "--task", "HALF", "--limit", "5000").splitlines()
    )
    assert {found[one["id"]] for one in read[:1000]} == {"active"}
    alive = sum(state == "active" for state in found.values())
    assert alive % 1000 == 0
    assert len(found) == alive + 1000


def test_a_file_on_a_full_disk_gets_no_living_token(shell: Shell) -> None:
    """The old file there stays unchanged."""
    with tmpfs(shell.home / "disk", "size=16k") as disk:
        kept = disk / "token"
        kept.write_text("old")
        with pytest.raises(OSError, match="No space"):
            (disk / "filler").write_bytes(b"x" * 65536)
        done = shell.run("issue", "--task", "FULL", "--delegator", "alice", "--out", str(kept))
        assert done.returncode == 74, done.stderr
        assert sorted(path.name for path in disk.iterdir()) == ["filler", "token"]
        assert kept.read_text() == "old"
    assert states(shell, "FULL") == ["revoked"]


@pytest.mark.parametrize(
    "line",
    [
        "list",
        "list --format json",
        "tree --task FIRST",
        "audit log",
        "audit head",
        "audit export",
        "audit verify",
        "keys list",
        "access list --format json",
        "keys jwks",
        "task list",
        "config show",
        "config path",
        "--version",
        "--help",
        "issue --help",
        "issue --task DRY --delegator alice --dry-run",
    ],
)
def test_every_answer_that_cannot_be_written_has_its_status(line: str, shell: Shell) -> None:
    """An answer without a reader is not a success, for any verb."""
    assert through_a_shell(shell, '"$@" >/dev/full', *line.split()).returncode == 74


@pytest.mark.deep
@pytest.mark.parametrize("verb", ["report", "sweep"])
def test_no_file_gets_colours_however_they_are_forced(verb: str, shell: Shell) -> None:
    leaked = shell.good("issue", "--task", f"LEAK-{verb}", "--delegator", "alice", "--kind", "opaque")
    shell.good("leak", "add", "--source", "a log", stdin=leaked)
    line = (verb, "--format", "table")
    for more in ({"FORCE_COLOR": "1"}, {"JITID_COLOR": "always"}):
        assert "\x1b[" in shell.run(*line, more=more).stdout
        assert shell.run(*line, "--out", "it.txt", more=more).returncode in (0, 10)
        assert "\x1b" not in (shell.home / "it.txt").read_text(encoding="utf-8")


def test_a_signal_in_the_middle_of_handing_out_revokes(shell: Shell) -> None:
    """The signal arrives while the process waits for the reader of its output."""
    line = command("issue", "--task", "TERM", "--delegator", "alice", "--count", "1000")
    with subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=shell.environment, cwd=shell.home
    ) as process:
        assert process.stdout is not None
        # The first line shows that the transaction is committed; the pipe holds less than a thousand lines.
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 128 + signal.SIGTERM
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert states(shell, "TERM") == ["revoked"]


def test_a_signal_while_the_lines_are_awaited_ends_it(shell: Shell) -> None:
    """The written transaction stays valid or is revoked as a whole; no more output follows."""
    with subprocess.Popen(
        command("-v", "issue", "--from-file", "-", "--yes", "--delegator", "alice"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=shell.environment,
        cwd=shell.home,
    ) as process:
        assert process.stdin is not None
        for _ in range(1000):
            process.stdin.write(b'{"task":"WAIT","kind":"opaque"}\n')
        process.stdin.flush()
        assert process.stdout is not None
        # The first thousand lines come out; then the process waits for more input.
        for _ in range(1000):
            process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait() == 128 + signal.SIGINT
        assert process.stdout.read() == b""
    # A signal right after the last written line revokes all of them, never a part.
    assert len(states(shell, "WAIT")) == 1


@pytest.mark.deep
def test_the_secret_is_nowhere_but_on_standard_output(tmp_path: Path) -> None:
    """It is not in messages, even with --debug and --verbose; nor in the ledger, its log, its export or arguments."""
    shell = Shell(tmp_path)
    secrets = []
    talk = ""
    for more in (("--kind", "opaque"), (), ("--count", "2", "--kind", "opaque"), ("--format", "json")):
        done = shell.run(*ISSUE, "--debug", "-v", *more)
        assert done.returncode == 0
        secrets += re.findall(r"jitid_[0-9A-Za-z]{38}|eyJ[\w-]+\.[\w-]+\.[\w-]+", done.stdout)
        talk += done.stderr
    assert len(secrets) == 5
    for number, secret in enumerate(secrets):
        name = shell.home / f"token{number}"
        name.write_text(secret)
        for line in (
            ("verify", str(name), "--audience", "https://nobody", "--debug"),
            ("verify", str(name), "-v"),
            ("inspect", str(name), "--format", "json"),
            ("issue", "--parent-file", str(name), "--scope", "more:rights", "--debug"),
            ("revoke", "--token-file", str(name), "--format", "json", "-v"),
            ("verify", str(name), "--format", "json"),
            ("issue", "--parent-file", str(name), "--debug"),
        ):
            done = shell.run(*line)
            talk += done.stdout + done.stderr
    talk += shell.good("list", "--format", "json") + shell.good("audit", "export")
    kept = b"".join(path.read_bytes() for path in shell.ledger.rglob("*") if path.is_file())
    for secret in secrets:
        # The last part of a signed token is its signature; the ledger may show the other parts.
        worth = secret.rpartition(".")[2]
        assert worth not in talk
        assert worth.encode() not in kept


def test_no_argument_of_a_waiting_process_holds_the_token(shell: Shell) -> None:
    """Every user of the machine can read its arguments, but no other user its standard input."""
    token = shell.good("issue", "--task", "PS", "--delegator", "alice", "--kind", "opaque").strip()
    with subprocess.Popen(
        command("verify", "-"), stdin=subprocess.PIPE, env=shell.environment, cwd=shell.home
    ) as process:
        proc = Path(f"/proc/{process.pid}")
        if not proc.exists():
            pytest.skip("there is no /proc here")
        assert process.stdin is not None
        process.stdin.write(token.encode())
        process.stdin.flush()
        assert token.encode() not in (proc / "cmdline").read_bytes() + (proc / "environ").read_bytes()
        process.stdin.close()
        assert process.wait() == 0


REFUSED = {
    "a megabyte": b"eyJhbGciOiJFZERTQSJ9" + b"A" * 1_000_000,
    "a megabyte of an opaque one": b"jitid_" + b"A" * 1_000_000,
    "bytes that are no text": bytes(range(128, 256)) * 4,
    "zeroes": b"\0" * 64,
    "escapes": b"\x1b]0;owned\x07\x1b[31mSECRET\x9b",
    "a key": b"-----BEGIN PRIVATE KEY-----\nSECRETSECRETSECRET\n-----END PRIVATE KEY-----",
    "words": b"SECRET SECRET SECRET",
    "a password": b"hunter2-SECRET",
}


@pytest.mark.deep
@pytest.mark.parametrize("verb", ["verify -", "inspect -", "issue --parent-file -", "revoke --token-file -"])
@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_token_is_refused_and_never_echoed(verb: str, what: str, shell: Shell) -> None:
    done = subprocess.run(
        command(*verb.split(), "--debug", "-v"),
        input=REFUSED[what],
        capture_output=True,
        env=shell.environment,
        cwd=shell.home,
    )
    assert done.returncode == 8, done.stderr
    assert done.stdout == b""
    assert b"Traceback" not in done.stderr
    assert b"SECRET" not in done.stderr
    assert b"AAAAAAAA" not in done.stderr
    assert done.stderr.replace(b"\n", b"").decode().isprintable()


@pytest.mark.parametrize("verb", ["verify", "inspect", "issue --parent-file", "revoke --token-file"])
def test_a_token_file_that_is_none_is_a_usage_error(verb: str, shell: Shell) -> None:
    for path in ("nothing", ".", "no/such/folder", "x" * 300):
        done = shell.run(*verb.split(), path)
        assert done.returncode == 2, (path, done.stderr)
        named = verb == "inspect" and not {*"./"} & {
            *path
        }  # also the name of a task, an agent or a delegator
        assert ("is not an id, a file, or the name" if named else "cannot be read") in done.stderr


def test_only_system_calls_that_write_the_token_come_after_the_commit(shell: Shell) -> None:
    """The token is written by one call, after the last sync of the ledger."""
    trace = shell.home / "trace"
    done = shell.run(*ISSUE, before=[need("strace"), "-f", "-o", str(trace), "-e", "write,fsync,fdatasync"])
    calls = [re.sub(r"^\d+ +", "", line) for line in trace.read_text().splitlines() if "(" in line]
    writes = [number for number, call in enumerate(calls) if call.startswith("write(1,")]
    syncs = [number for number, call in enumerate(calls) if call.startswith(("fsync(", "fdatasync("))]
    assert done.returncode == 0
    assert len(writes) == 1
    assert max(syncs) < writes[0]
    assert calls[writes[0]].endswith(f"= {len(done.stdout)}")


def test_what_has_a_successor_is_left_no_longer_than_beside_it(shell: Shell) -> None:
    shell.good("issue", "--task", "SUCCEEDED", "--delegator", "alice", "--ttl", "30m", "--out", "token")
    shell.good("renew", "--token-file", "token")
    left = shell.good("list", "--live", "--task", "SUCCEEDED", "--field", "left").split()
    old, new = sorted(map(parse_duration, left))
    assert old <= 30 < new
