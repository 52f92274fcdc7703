"""`trace` in an incident: no secret is shown, proved credentials are revoked, and large logs are searched."""

from __future__ import annotations

import base64
import gzip
import json
import os
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from jitid.values.secret import fingerprint
from tests.real import Shell, command

FILLER = b"2026-11-24T12:00:00Z info job fetch request_id=0f8b2d job done in 12ms, nothing of ours here\n"


class Leaked(NamedTuple):
    """Credentials whose tokens have leaked."""

    shell: Shell
    planner: str
    coder: str

    def state(self, token: str) -> str:
        """Return the state of a credential, by its token."""
        return self.shell.good("trace", "--field", "state", "-q", stdin=token).strip()


@pytest.fixture
def leaked(tmp_path: Path) -> Leaked:
    """Return a ledger with a signed token, and an opaque token delegated from it."""
    shell = Shell(tmp_path)
    shell.good("-q", "issue", "--task", "T", "--delegator", "alice", "--out", "p.jwt", "--agent", "planner")
    shell.good("issue", "--parent-file", "p.jwt", "--kind", "opaque", "--out", "c.tok", "--agent", "coder")
    return Leaked(shell, (tmp_path / "p.jwt").read_text().strip(), (tmp_path / "c.tok").read_text().strip())


def pieces(token: str) -> Iterator[str]:
    """Yield the pieces of a token that must not be shown: all that are longer than the common parts of tokens."""
    secret = token.removeprefix("jitid_")
    size = 12
    if "." in token:
        # The payload is not secret; only the signature makes the token usable.
        yield token[:40]
        secret = token.rpartition(".")[2]
    yield from (secret[at : at + size] for at in range(len(secret) - size + 1))


SPOILT: dict[str, Callable[[str], str]] = {
    "whole": lambda token: token,
    "cut": lambda token: token[:-5],
    "without its beginning": lambda token: token[7:],
    "changed": lambda token: token[:-3] + ("AAA" if token[-3:] != "AAA" else "BBB"),
    "twice": lambda token: f"{token} {token}",
    "wrapped": lambda token: "\n".join(token[at : at + 30] for at in range(0, len(token), 30)),
    "in a megabyte": lambda token: f"{FILLER.decode() * 10_000}{token}\n{FILLER.decode()}",
}
LINES = [
    (),
    ("--format", "json"),
    ("--format", "table"),
    ("--format", "csv", "-v", "--debug"),
    ("--field", "reason"),
    ("--revoke", "--dry-run", "--format", "jsonl"),
    ("--revoke", "--max", "0", "--format", "json", "--debug"),
    ("--ledger", "nowhere", "--debug"),
]


@pytest.mark.deep
@pytest.mark.parametrize("way", SPOILT)
def test_no_part_of_a_token_is_shown(way: str, leaked: Leaked) -> None:
    """It is neither on standard output nor in messages, notes and errors."""
    for token in (leaked.planner, leaked.coder):
        text = SPOILT[way](token)
        for line in LINES:
            done = leaked.shell.run("trace", *line, stdin=text)
            shown = done.stdout + done.stderr
            assert done.returncode in (0, 2, 3, 5, 9), (line, done.stderr)
            assert not [piece for piece in pieces(token) if piece in shown], line
            assert "internal error" not in shown


@pytest.mark.deep
@pytest.mark.parametrize("way", ["whole", "cut"])
def test_no_part_of_a_token_on_the_line_is_shown(way: str, leaked: Leaked) -> None:
    for token in (leaked.planner, leaked.coder):
        text = SPOILT[way](token)
        for line in (
            ("trace", text),
            ("trace", f"./{text}"),
            ("trace", "--revoke", text, "--format", "json"),
        ):
            done = leaked.shell.run(*line)
            assert done.returncode == 2
            assert not [piece for piece in pieces(token) if piece in done.stdout + done.stderr]


@pytest.mark.deep
def test_nothing_on_the_line_that_is_no_file_is_repeated(leaked: Leaked) -> None:
    """It may be any part of a secret, in any encoding."""
    texts = [
        base64.b64encode(leaked.coder.encode()).decode(),
        f'"{leaked.coder}"',
        f"x{leaked.planner[150:190]}",
        f".{leaked.planner.rpartition('.')[2]}",
        leaked.coder[8:30],
        f"jti_{leaked.coder[8:34]}",
        leaked.coder.upper(),
        f"{leaked.planner}\n",
        "x" * 5_000,
    ]
    for text in texts:
        for more in ((), ("--debug", "--format", "json")):
            done = leaked.shell.run("trace", text, *more)
            assert done.returncode == 2
            assert "no such file" in done.stderr or "an existing file" in done.stderr
            assert text[:12] not in done.stderr + done.stdout
            assert text[-12:] not in done.stderr + done.stdout


def test_an_id_is_read_in_capitals_and_between_blanks(leaked: Leaked) -> None:
    jti = leaked.shell.good("inspect", "p.jwt", "--field", "jti").strip()
    for text in (f" {jti}\n", jti.upper(), f"\t{fingerprint(leaked.planner).hex()} "):
        assert leaked.shell.good("trace", "-q", text, "--field", "jti").strip() == jti


def test_what_is_proved_ends_with_all_below_it(leaked: Leaked) -> None:
    done = leaked.shell.run(
        "trace", "--revoke", "--format", "json", "--reason", "leaked", stdin=leaked.planner
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["schema"] == "jitid.trace/1"
    assert (document["ended"]["ended"], document["ended"]["dry_run"]) == (2, False)
    (row,) = document["items"]
    assert (row["state"], row["active"], row["live_descendants"], row["revoke"]) == (
        "revoked",
        False,
        0,
        None,
    )
    assert row["ended_reason"] == "leaked"
    assert leaked.state(leaked.coder) == "revoked"


def test_a_dry_run_ends_nothing(leaked: Leaked) -> None:
    done = leaked.shell.run("trace", "--revoke", "--dry-run", stdin=leaked.planner)
    assert done.returncode == 0
    assert "would revoke 2 live credentials" in done.stderr
    assert leaked.state(leaked.planner) == leaked.state(leaked.coder) == "active"


def test_what_is_not_proved_is_left_alone_without_yes(leaked: Leaked) -> None:
    cut = leaked.planner[:240]
    done = leaked.shell.run("trace", "--revoke", "--format", "json", stdin=cut)
    assert done.returncode == 2
    assert json.loads(done.stdout)["items"][0]["state"] == "active"
    assert json.loads(done.stderr.splitlines()[-1])["error"]["code"] == "usage"
    assert leaked.state(leaked.planner) == "active"
    done = leaked.shell.run("trace", "--revoke", stdin=f"{cut} {leaked.coder}")
    assert done.returncode == 9
    jti = leaked.shell.good("inspect", "p.jwt", "--field", "jti").strip()
    assert jti in done.stderr
    assert (leaked.state(leaked.planner), leaked.state(leaked.coder)) == ("active", "revoked")
    assert leaked.shell.run("trace", "--revoke", "--yes", stdin=cut).returncode == 0
    assert leaked.state(leaked.planner) == "revoked"


def test_what_hangs_below_something_proved_is_not_left_alone(leaked: Leaked) -> None:
    jti = leaked.shell.good("inspect", "c.tok", "--field", "jti")
    for more in (("--dry-run",), ()):
        assert leaked.shell.run("trace", "--revoke", *more, stdin=f"{leaked.planner} {jti}").returncode == 0
    assert leaked.state(leaked.coder) == "revoked"


def test_more_than_max_ends_only_with_yes(leaked: Leaked) -> None:
    done = leaked.shell.run("trace", "--revoke", "--max", "1", "--format", "jsonl", stdin=leaked.planner)
    assert done.returncode == 2
    assert "more than 1" in done.stderr
    # The rows are printed nevertheless.
    assert json.loads(done.stdout)["state"] == "active"
    both = leaked.shell.run("trace", "--revoke", "--max", "1", "--yes", stdin=leaked.planner)
    assert (both.returncode, both.stdout) == (2, "")
    assert leaked.shell.run("trace", "--revoke", "--yes", stdin=leaked.planner).returncode == 0


def test_neither_yes_nor_max_comes_from_the_environment(leaked: Leaked) -> None:
    more = {"JITID_YES": "1", "JITID_MAX": "9", "JITID_REVOKE": "1"}
    done = leaked.shell.run("trace", "--revoke", "--max", "1", stdin=leaked.planner, more=more)
    assert done.returncode == 2
    assert leaked.shell.run("trace", stdin=leaked.planner, more=more).returncode == 0
    assert leaked.state(leaked.planner) == "active"


@pytest.mark.parametrize("piped", [False, True], ids=["file", "pipe"])
def test_a_large_log_is_searched_to_its_end(piped: bool, leaked: Leaked, tmp_path: Path) -> None:
    """It has many of jitid's strings, on both sides of every cut."""
    log = tmp_path / "log"
    once = fingerprint(leaked.coder).hex()
    with log.open("wb") as file:
        for number in range(40):
            file.write(FILLER * 3_000)
            file.write(f"{number} {leaked.planner} {leaked.coder}\n".encode())
        file.write(once.encode())
    line = command("trace", "--format", "json")
    with log.open("rb") as file:
        done = subprocess.run(
            line,
            stdin=None if piped else file,
            input=file.read() if piped else None,
            env=leaked.shell.environment,
            capture_output=True,
        )
    assert done.returncode == 0, done.stderr
    rows = {row["kind"]: row for row in json.loads(done.stdout)["items"]}
    assert (rows["jwt"]["occurrences"], rows["opaque"]["occurrences"]) == (40, 41)
    assert (rows["jwt"]["match"], rows["opaque"]["proof"]) == ("jwt", "fingerprint")
    assert b"found 3 strings of 2 credentials, 2 valid" in done.stderr


def test_rows_that_nobody_takes_do_not_hide_what_ended(leaked: Leaked) -> None:
    """The exit status is that of output that was not written."""
    for where in ('"$@" >/dev/full', '"$@" >&-'):
        line = ("trace", "--revoke", "p.jwt")
        done = leaked.shell.run(*line, before=["sh", "-c", where, "sh"])
        assert done.returncode == 74
        assert "revoked 2 live credentials" in done.stderr or "nothing was revoked" in done.stderr
    assert leaked.state(leaked.coder) == "revoked"


def test_two_at_once_end_it_once(leaked: Leaked) -> None:
    """Both report that it has ended."""
    running = [leaked.shell.start("trace", "--revoke", "--field", "state", "p.jwt") for _ in range(2)]
    answers = [one.communicate() for one in running]
    assert [one.returncode for one in running] == [0, 0], answers
    assert [out for out, _ in answers] == ["revoked\n"] * 2
    ends = leaked.shell.good("audit", "log", "--operation", "revoke", "--field", "seq").split()
    assert len(ends) == 1


def test_a_signal_ends_it_and_its_helpers(leaked: Leaked) -> None:
    """The signal arrives while it waits for more of a growing log."""
    reader, writer = os.pipe()
    with subprocess.Popen(
        command("trace"), stdin=reader, stderr=subprocess.PIPE, env=leaked.shell.environment
    ) as process:
        os.close(reader)
        # The process has read all of it, so the search has begun.
        os.write(writer, FILLER * 700)
        for _ in range(3):
            os.write(writer, FILLER * 700)
        process.terminate()
        assert process.wait(30) == 128 + 15
        assert process.stderr is not None
        # Helpers hold standard error, too: it closes with the last of them.
        assert process.stderr.read() == b""
    with pytest.raises(BrokenPipeError):
        os.write(writer, b"x")
    os.close(writer)


def test_no_process_reads_on_for_a_parent_that_was_killed(leaked: Leaked) -> None:
    """The rest of the log is for the next reader."""
    reader, writer = os.pipe()
    with subprocess.Popen(command("trace"), stdin=reader, env=leaked.shell.environment) as process:
        os.close(reader)
        # More than the pipe and one window hold: the helpers have begun.
        for _ in range(80):
            os.write(writer, FILLER * 700)
        process.kill()
    with pytest.raises(BrokenPipeError):
        for _ in range(400):
            os.write(writer, FILLER * 700)
    os.close(writer)


def test_somebody_who_reads_sees_that_nothing_proves_it(leaked: Leaked) -> None:
    """In JSON, the proof is null."""
    forged = leaked.planner[:-10] + "A" * 10
    for text, match in ((leaked.planner[:240], "truncated-jwt"), (forged, "forged-jwt")):
        done = leaked.shell.run("trace", "--format", "table", stdin=text)
        lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
        assert ["proof", "none: this can be written without the secret"] in lines
        assert ["match", match] in lines
        assert ("no key of this ledger signed the token of jti_" in done.stderr) == (match == "forged-jwt")
        (row,) = json.loads(leaked.shell.good("trace", "--format", "json", stdin=text))["items"]
        assert row["proof"] is None


def test_a_compressed_log_is_not_said_to_hold_nothing(leaked: Leaked) -> None:
    (leaked.shell.home / "log.gz").write_bytes(gzip.compress(leaked.planner.encode()))
    done = leaked.shell.run("trace", "log.gz")
    assert done.returncode == 11
    assert "not searched: compressed text" in done.stderr
    assert "the text is compressed: zcat FILE | jitid trace" in done.stderr


HIDDEN: dict[str, Callable[[bytes], bytes]] = {
    "base64": base64.b64encode,
    "base64 of base64": lambda raw: base64.b64encode(base64.b64encode(raw)),
    "base64 of UTF-16": lambda raw: base64.b64encode(raw.decode().encode("utf-16-le")),
    "wrapped": lambda raw: b"> " + b"\n> ".join(raw[at : at + 30] for at in range(0, len(raw), 30)),
    "wrapped base64": base64.encodebytes,
    "UTF-16": lambda raw: raw.decode().encode("utf-16-le"),
}


@pytest.mark.deep
@pytest.mark.parametrize("way", HIDDEN)
def test_a_token_that_a_large_log_hides_is_found_and_ended(way: str, leaked: Leaked) -> None:
    for token in (leaked.coder, leaked.planner):
        text = FILLER * 5_000 + b"\n" + HIDDEN[way](token.encode()) + b"\n" + FILLER * 5_000
        path = leaked.shell.home / "big.log"
        path.write_bytes(text)
        assert leaked.shell.good("trace", "big.log", "-q", "--field", "state").strip() == "active"
        found = leaked.shell.run("scan", "big.log", "--format", "json")
        assert found.returncode == 10
        assert [one["rule"] for one in json.loads(found.stdout)["findings"]] == ["secret-live"]
        done = leaked.shell.good("trace", "big.log", "-q", "--revoke", "--field", "state")
        assert done.strip() == "revoked"
        assert leaked.state(token) == "revoked"


def test_what_was_not_searched_is_said_beside_what_was_found(leaked: Leaked) -> None:
    """The status is 11: "none live" would be wrong then. A token that was found is revoked nevertheless."""
    deep = leaked.planner.encode()
    for _ in range(4):
        deep = base64.b64encode(deep)
    for filler in (b"", FILLER * 2_000):
        (leaked.shell.home / "log").write_bytes(filler + deep + b"\n" + filler)
        done = leaked.shell.run("trace", "log")
        assert (done.returncode, done.stdout) == (11, "")
        assert "not searched: text in more than 3 layers of base64" in done.stderr
        (leaked.shell.home / "log").write_bytes(filler + deep + f"\n{leaked.coder}\n".encode() + filler)
        done = leaked.shell.run("trace", "log", "--field", "state")
        assert (done.returncode, done.stdout) == (11, "active\n")
        assert "1 valid" in done.stderr
        done = leaked.shell.run("scan", "log")
        assert done.returncode == 11
        assert "text in more than 3 layers of base64: log" in done.stdout
    assert leaked.shell.run("leak", "add", "log", "--yes").returncode == 11
    done = leaked.shell.run("trace", "log", "--revoke", "--field", "state")
    assert (done.returncode, done.stdout) == (11, "revoked\n")
    assert "found 1 string of 1 credential, 0 valid after the revocation" in done.stderr


def test_an_adopted_secret_is_found_in_a_large_text(leaked: Leaked) -> None:
    secret = "uQ7nPzv3kWm9rTx2LbYc8sHd"
    (leaked.shell.home / "ci.secret").write_text(secret)
    line = ("--owner", "alice", "--place", "vault", "--purpose", "ci", "--file", "ci.secret")
    leaked.shell.good("adopt", "add", "ci", *line)
    (leaked.shell.home / "log").write_bytes(FILLER * 2_000 + f"password={secret}\n".encode() + FILLER * 2_000)
    assert leaked.shell.good("trace", "log", "-q", "--field", "match").strip() == "secret"


@pytest.mark.deep
@pytest.mark.parametrize("kind", ["jwt", "opaque"])
def test_hostile_names_and_texts_stay_harmless(kind: str, leaked: Leaked) -> None:
    evil = "\x1b]0;owned\x07 \u202e [bold] =1+1 <script>"
    token = leaked.shell.good(
        "issue", "--task", f"E-{kind}", "--delegator", "mallory", "--purpose", evil, "--kind", kind
    )
    for fmt in ("table", "tsv", "csv", "json"):
        shown = leaked.shell.good("trace", "--format", fmt, stdin=f"\x1b[31m{token}\u202e\0")
        assert "\x1b" not in shown
        assert "\u202e" not in shown
    assert json.loads(shown)["items"][0]["purpose"] == evil


def test_the_command_that_ends_it_names_the_ledger_that_the_line_named(tmp_path: Path) -> None:
    """If a user copies the command, it must not act on another ledger."""
    shell = Shell(tmp_path)
    shell.good("issue", "--task", "T", "--delegator", "alice", "--out", "t.jwt", "--ledger", "a b")
    told = shell.good("trace", "t.jwt", "--ledger", "a b", "--field", "revoke").strip()
    assert told.startswith("jitid --ledger 'a b' revoke jti_")
    del shell.environment["JITID_LEDGER"]
    done = subprocess.run(
        ["sh", "-c", told.replace("jitid", shlex.join(command()), 1)],
        env=shell.environment,
        cwd=tmp_path,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
