"""`leak` in an incident: no secret is kept or shown, and a reported credential is never half revoked."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from jitid.capabilities.issue.operations import Renew
from jitid.capabilities.leak.store import LeakStore
from jitid.model.leak import LeakFilter
from jitid.model.request import RenewRequest
from jitid.values.secret import Secret, fingerprint
from tests.builders import World, edit
from tests.cli.test_trace import FILLER, SPOILT, pieces
from tests.ledger.test_crash import CALLS
from tests.real import Shell, command, need


class Incident(NamedTuple):
    """Leaked tokens: the planner's, and the coder's, which was delegated from it."""

    shell: Shell
    planner: str
    coder: str

    def listed(self, *arguments: str) -> list[dict[str, Any]]:
        """Return the rows of `leak list`."""
        items: list[dict[str, Any]] = json.loads(
            self.shell.good("leak", "list", "--format", "json", *arguments)
        )["items"]
        return items

    def operations(self) -> list[str]:
        """Return the operations in the audit log."""
        return self.shell.good("audit", "log", "--field", "op").split()


@pytest.fixture
def incident(tmp_path: Path) -> Incident:
    """Return a ledger with a signed token, and an opaque token delegated from it."""
    shell = Shell(tmp_path)
    shell.good("-q", "issue", "--task", "T", "--delegator", "alice", "--out", "p.jwt", "--agent", "planner")
    shell.good("issue", "--parent-file", "p.jwt", "--kind", "opaque", "--out", "c.tok", "--agent", "coder")
    return Incident(shell, (tmp_path / "p.jwt").read_text().strip(), (tmp_path / "c.tok").read_text().strip())


def held(folder: Path) -> bytes:
    """Return all bytes of a ledger's folder, one file after the other."""
    return b"\n".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


LINES = [
    (),
    ("--revoke", "--format", "json", "-v", "--debug"),
    ("--revoke", "--yes", "--format", "table"),
    ("--source", "s", "--field", "jti", "--yes"),
    ("--revoke", "--max", "0", "--debug"),
    ("--dry-run", "--format", "csv"),
    ("--at", "2999-01-01T00:00:00Z"),
    ("--ledger", "nowhere", "--debug"),
]


@pytest.mark.deep
@pytest.mark.parametrize("way", SPOILT)
def test_no_part_of_a_token_is_kept_or_shown(way: str, incident: Incident) -> None:
    """It is in no file of the ledger, in no output, and in no later report."""
    for token in (incident.planner, incident.coder):
        shown = ""
        for line in LINES:
            done = incident.shell.run("leak", "add", *line, stdin=SPOILT[way](token))
            assert done.returncode in (0, 2, 3, 5, 9), (line, done.stderr)
            shown += done.stdout + done.stderr
        for verb in ("leak list", "audit log"):
            shown += incident.shell.good(*verb.split(), "--format", "json")
        assert "internal error" not in shown
        everything = shown.encode() + held(incident.shell.ledger)
        assert not [piece for piece in pieces(token) if piece.encode() in everything]


def test_no_unknown_string_is_kept_or_shown(incident: Incident, tmp_path: Path) -> None:
    other = Shell(tmp_path, tmp_path / "other")
    token = other.good("-q", "issue", "--task", "X", "--delegator", "bob").strip()
    opaque = other.good("issue", "--task", "X", "--delegator", "bob", "--kind", "opaque").strip()
    text = f"{token} {opaque} {fingerprint('x').hex()} {incident.coder} hunter2hunter2"
    done = incident.shell.run("leak", "add", "--format", "json", stdin=text)
    assert json.loads(done.stdout)["unknown"] == 3
    everything = (
        (done.stdout + done.stderr).encode()
        + held(incident.shell.ledger)
        + incident.shell.good("audit", "export").encode()
    )
    for secret in (*pieces(opaque), token.rpartition(".")[2], fingerprint("x").hex(), "hunter2"):
        assert secret.encode() not in everything
    assert not [
        raw for raw in (fingerprint(opaque), fingerprint(token), fingerprint("x")) if raw in everything
    ]


def test_what_leaked_ends_with_all_below_it_and_is_proved(incident: Incident) -> None:
    done = incident.shell.run(
        "leak", "add", "--revoke", "--reason", "on a wiki", "--format", "json", stdin=incident.planner
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["schema"], document["recorded"], document["ended"]["ended"]) == (
        "jitid.leak-add/1",
        1,
        2,
    )
    (row,) = document["items"]
    assert (row["state"], row["valid"], row["source"]) == ("revoked", False, "stdin")
    assert row["proved_at"] >= row["dead_at"] >= row["reported_at"]
    assert incident.operations()[-3:] == ["leak", "revoke", "leak-proof"]
    assert incident.shell.run("verify", "c.tok").returncode == 8
    incident.shell.good("audit", "verify")


def test_what_a_responder_is_told_to_do_ends_in_a_proof(incident: Incident) -> None:
    """The command that a sweep prints leads to the proof; the sweep itself changes nothing."""
    incident.shell.good("leak", "add", "p.jwt")
    swept = incident.shell.run("sweep", "--rule", "leaked-live", "--format", "json")
    assert swept.returncode == 10
    (finding,) = json.loads(swept.stdout)["findings"]
    before = incident.operations()
    assert incident.listed()[0]["proved_at"] is None
    assert before == incident.operations()
    incident.shell.good(*finding["remedy"].split()[1:])
    assert incident.listed()[0]["proved_at"] is not None
    assert incident.operations() == [*before, "revoke", "leak-proof"]


def test_what_ended_without_its_proof_is_told(incident: Incident) -> None:
    """The revocation is kept if the ledger refuses to record the proof; a later command records the proof."""
    incident.shell.good("leak", "add", "c.tok")
    refusal = "BEFORE UPDATE OF proved_at ON leak BEGIN SELECT raise(ABORT, 'no room'); END"
    edit(incident.shell.ledger, f"CREATE TRIGGER refuses {refusal}")
    done = incident.shell.run("revoke", "--token-file", "c.tok")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("revoked 1 live credential of 1 task and 1 delegator (1 identity selected)")
    assert "; no proof that the ledger refuses the leaked credentials: " in done.stdout
    done = incident.shell.run("revoke", "--token-file", "c.tok", "--field", "ended")
    assert (done.returncode, done.stdout) == (0, "0\n")
    assert "warning: no proof that the ledger refuses the leaked credentials: " in done.stderr
    done = incident.shell.run("leak", "add", "p.jwt", "--revoke", "--field", "state")
    assert (done.returncode, done.stdout) == (9, "revoked\n")
    assert "error: there is no proof that the ledger refuses the revoked credentials: " in done.stderr
    (key,) = json.loads(incident.shell.good("keys", "list", "--format", "json"))["items"]
    done = incident.shell.run("keys", "revoke", key["kid"])
    assert done.returncode == 0
    assert "warning: no proof that the ledger refuses the leaked credentials: " in done.stderr
    edit(incident.shell.ledger, "DROP TRIGGER refuses")
    incident.shell.good("retire", "T")
    assert None not in [row["proved_at"] for row in incident.listed()]


def test_what_is_to_be_ended_is_told_and_nothing_else(incident: Incident) -> None:
    def notes(file: str) -> list[str]:
        lines = incident.shell.run("leak", "add", "--source", "x", file).stderr.splitlines()
        return [line.removeprefix("jitid: note: ") for line in lines if "recorded" not in line]

    alive = "nothing was revoked: 1 leaked credential is live; to revoke it: --revoke"
    dead = "1 leaked credential had ended already, but its identity is live; to revoke it too: --revoke"
    assert notes("c.tok") == [alive]
    with World(incident.shell.ledger, now=int(time.time()), overlap=0) as world:
        renewed = world.authority.perform(Renew(request=RenewRequest(Secret.single(incident.planner))))
    (incident.shell.home / "new.jwt").write_text(renewed.credentials[0].secret.reveal())
    assert notes("p.jwt") == [dead]
    listed = incident.shell.run("leak", "list", "--field", "lives_until")
    assert (len(listed.stdout.split()), listed.returncode) == (2, 0)
    assert "1 open leak's credential has ended, but its identity is still live" in listed.stderr
    assert incident.shell.good("leak", "show", "2", "--field", "revoke").startswith("jitid ")
    both = incident.shell.run("leak", "add", "--source", "y", stdin=f"{incident.coder} {incident.planner}")
    assert both.stderr.splitlines()[1:] == [f"jitid: note: {alive}", f"jitid: note: {dead}"]
    incident.shell.good("leak", "add", "--revoke", "p.jwt", "--source", "x")
    assert incident.shell.run("verify", "new.jwt").returncode == 8
    assert notes("p.jwt") == notes("c.tok") == []
    assert [row["proved_at"] is None for row in incident.listed()] == [False] * 4


def test_what_was_closed_and_is_reported_again_is_found(incident: Incident) -> None:
    line = ("leak", "add", "c.tok", "--source", "s", "--field", "leak")
    assert incident.shell.good(*line) == "1\n"
    incident.shell.good("leak", "close", "1", "--reason", "a false alarm", "--yes")
    assert incident.shell.run("sweep", "--rule", "leaked-live").returncode == 0
    assert incident.shell.good(*line, "--dry-run") == ""
    assert incident.shell.good(*line) == "2\n"
    assert incident.shell.good(*line) == "2\n"
    assert [row["leak"] for row in incident.listed("--open")] == [2]
    assert [row["leak"] for row in incident.listed()] == [2, 1]
    assert incident.shell.run("sweep", "--rule", "leaked-live").returncode == 10


def test_the_same_again_is_already_so(incident: Incident) -> None:
    line = ("leak", "add", "p.jwt", "--revoke", "--format", "json")
    first, second = (json.loads(incident.shell.good(*line)) for _ in range(2))
    assert (first["recorded"], first["already"], first["source"]) == (1, 0, "p.jwt")
    assert (second["recorded"], second["already"], second["events"]) == (0, 1, [])
    assert second["items"] == first["items"]
    assert incident.operations().count("leak") == incident.operations().count("revoke") == 1


def test_more_than_max_is_recorded_and_does_not_end(incident: Incident) -> None:
    """A known leak is recorded, even if the command may not revoke the credential."""
    line = ("leak", "add", "p.jwt", "--revoke", "--max", "1")
    done = incident.shell.run(*line)
    assert done.returncode == 9
    assert "the leaks were recorded, and nothing was revoked" in done.stderr
    assert "nothing was changed" not in done.stderr
    assert [row["valid"] for row in incident.listed()] == [True]
    again = incident.shell.run(*line)
    assert again.returncode == 2
    assert "nothing was changed" in again.stderr
    assert incident.shell.run(*line, "--yes").returncode == 2
    assert incident.shell.run(*line[:4], "--yes").returncode == 0
    assert [row["valid"] for row in incident.listed()] == [False]


def test_neither_yes_nor_max_comes_from_the_environment(incident: Incident) -> None:
    more = {"JITID_YES": "1", "JITID_MAX": "9", "JITID_REVOKE": "1", "JITID_SOURCE": "x"}
    done = incident.shell.run("leak", "add", "p.jwt", "--revoke", "--max", "1", more=more)
    assert done.returncode == 9
    assert (
        incident.shell.run("leak", "add", "--revoke", stdin=incident.planner[:250], more=more).returncode == 2
    )
    assert [row["source"] for row in incident.listed("--valid")] == ["p.jwt"]


def test_what_is_not_proved_is_left_alone_without_yes(incident: Incident) -> None:
    cut = incident.planner[:240]
    done = incident.shell.run("leak", "add", "--revoke", stdin=cut)
    assert done.returncode == 2
    assert "nothing was recorded" in done.stderr
    done = incident.shell.run("leak", "add", "--revoke", stdin=f"{cut} {incident.coder}")
    assert done.returncode == 9
    assert "these were not recorded" in done.stderr
    assert [(row["agent"], row["state"]) for row in incident.listed()] == [("coder", "revoked")]
    assert incident.shell.run("verify", "p.jwt").returncode == 0
    assert incident.shell.run("leak", "add", "--revoke", "--yes", stdin=cut).returncode == 0
    assert incident.shell.run("verify", "p.jwt").returncode == 8


def test_a_dry_run_changes_nothing(incident: Incident) -> None:
    before = (incident.shell.good("audit", "log"), incident.listed())
    done = incident.shell.run("leak", "add", "p.jwt", "--revoke", "--dry-run")
    assert (done.returncode, done.stdout) == (0, "")
    assert "would record 1 leak" in done.stderr
    assert "would revoke 2 live credentials" in done.stderr
    assert incident.shell.run("leak", "add", "p.jwt", "--dry-run").returncode == 0
    assert (incident.shell.good("audit", "log"), incident.listed()) == before


@pytest.mark.deep
@pytest.mark.parametrize(
    "line",
    [
        ("--reason", "x"),
        ("--max", "1"),
        ("--revoke", "--max", "1", "--yes"),
        ("--revoke", "--max", "-1"),
        ("--revoke", "--reason", "x" * 1_001),
        ("--source", ""),
        ("--source", "  "),
        ("--source", "x" * 201),
        ("--at", "yesterday"),
        ("--at", "2999-01-01T00:00:00Z"),
        ("--field", "nothing"),
        ("--field", "jti", "--format", "json"),
        ("no-such-file",),
        ("",),
    ],
)
def test_a_line_that_cannot_be_meant_changes_nothing(line: tuple[str, ...], incident: Incident) -> None:
    head = incident.shell.good("audit", "log", "--field", "hash")
    done = incident.shell.run("leak", "add", *line, stdin=incident.planner)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert incident.shell.good("audit", "log", "--field", "hash") == head


def test_a_token_is_no_source_and_is_not_repeated(incident: Incident) -> None:
    for token in (incident.planner, incident.coder):
        for line in (("--source", token), (token,), ("--source", f"see {token}")):
            done = incident.shell.run("leak", "add", *line, stdin=token)
            assert done.returncode == 2
            assert not [piece for piece in pieces(token) if piece in done.stdout + done.stderr]
    # A file with that name exists; its name would be the default source.
    (incident.shell.home / incident.coder).write_text(incident.coder)
    done = incident.shell.run("leak", "add", incident.coder)
    assert done.returncode == 2
    assert not [piece for piece in pieces(incident.coder) if piece in done.stdout + done.stderr]
    assert incident.listed() == []


IN_A_WORD: dict[str, Callable[[str], str]] = {
    **{way: SPOILT[way] for way in ("whole", "cut", "without its beginning", "changed", "twice")},
    "percent-encoded": lambda token: token.replace("_", "%5f", 1),
    "base64": lambda token: b64encode(token.encode()).decode(),
    "without its checksum": lambda token: token[:-6],
    "its end": lambda token: token[-81:].removeprefix("jitid_"),
}


@pytest.mark.deep
@pytest.mark.parametrize("way", IN_A_WORD)
def test_no_part_of_a_token_is_a_note(way: str, incident: Incident) -> None:
    """This holds for every option in which users describe the place and the reason."""
    incident.shell.good("leak", "add", "c.tok")
    for token in (incident.planner, incident.coder):
        part = IN_A_WORD[way](token)
        for line in (
            ("leak", "add", "p.jwt", "--source", part),
            ("leak", "add", "p.jwt", "--source", f"see https://wiki/?q={part}"),
            ("leak", "add", "p.jwt", "--revoke", "--reason", part),
            ("leak", "close", "1", "--yes", "--reason", part),
            ("revoke", "--token-file", "p.jwt", "--reason", f"leaked: {part}"),
            ("retire", "T", "--reason", part),
            ("issue", "--task", "T2", "--delegator", "alice", "--purpose", part),
        ):
            done = incident.shell.run(*line)
            assert (done.returncode, done.stdout) == (2, ""), (line, done.stderr)
            assert "token" in done.stderr or len(part) > 1_000
            assert not [piece for piece in pieces(token) if piece in done.stderr]
    assert incident.operations()[-1] == "leak"
    assert [row["closed_at"] for row in incident.listed()] == [None]
    everything = held(incident.shell.ledger)
    assert not [piece for piece in pieces(incident.coder) if piece.encode() in everything]


SOURCES = [
    "\x1b]0;owned\x07\x1b[31m",
    "a\u202eb\u200b",
    "=HYPERLINK(1)",
    "[bold]x[/]",
    "<script>alert(1)</script>",
    "two\nlines\tand a tab",
    "'; DROP TABLE leak; --",
]


@pytest.mark.deep
def test_a_hostile_source_is_kept_as_it_is_and_shown_harmless(incident: Incident) -> None:
    for source in SOURCES:
        incident.shell.good("leak", "add", f"--source={source}", "c.tok")
    assert [row["source"] for row in incident.listed()] == SOURCES[::-1]
    for source in SOURCES:
        assert [row["source"] for row in incident.listed(f"--source={source}")] == [source]
    for fmt in ("table", "tsv", "csv"):
        for verb in (
            ("leak", "list"),
            ("leak", "show", "1"),
            ("leak", "add", "--source", SOURCES[0], "c.tok"),
        ):
            shown = incident.shell.good(*verb, "--format", fmt)
            assert "\x1b" not in shown
            assert "\u202e" not in shown
    assert len(incident.shell.good("leak", "list").splitlines()) == len(SOURCES)
    assert ",=HYPERLINK" not in incident.shell.good("leak", "list", "--format", "csv")
    log = incident.shell.good("audit", "log", "--operation", "leak", "--format", "jsonl").splitlines()
    assert [json.loads(line)["source"] for line in log] == SOURCES
    incident.shell.good("audit", "verify")


def test_ids_alone_are_no_leak(incident: Incident) -> None:
    jti = incident.shell.good("inspect", "p.jwt", "--field", "jti")
    for more in ((), ("--yes", "--revoke")):
        done = incident.shell.run("leak", "add", *more, stdin=jti)
        assert done.returncode == 3
        assert "an id is not secret" in done.stderr
    done = incident.shell.run("leak", "add", stdin=jti + incident.planner)
    assert done.returncode == 0
    assert "1 id in the text ignored" in done.stderr
    assert incident.shell.run("leak", "add", stdin="nothing here").returncode == 3


@pytest.mark.parametrize("piped", [False, True], ids=["file", "pipe"])
def test_a_large_log_is_recorded_in_one_go(piped: bool, incident: Incident, tmp_path: Path) -> None:
    """Strings issued by jitid are on both sides of every cut, and several processes search the log."""
    log = tmp_path / "log"
    with log.open("wb") as file:
        for number in range(20):
            file.write(FILLER * 3_000)
            file.write(f"{number} {incident.planner} {incident.coder}\n".encode())
    with log.open("rb") as file:
        done = subprocess.run(
            command("leak", "add", "--format", "json", "--source", "ci"),
            stdin=None if piped else file,
            input=file.read() if piped else None,
            env=incident.shell.environment,
            capture_output=True,
        )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["recorded"] == 2
    assert incident.operations().count("leak") == 1


def test_a_compressed_log_is_not_said_to_hold_nothing(incident: Incident) -> None:
    import gzip

    (incident.shell.home / "log.gz").write_bytes(gzip.compress(incident.planner.encode()))
    done = incident.shell.run("leak", "add", "log.gz")
    assert done.returncode == 11
    assert "zcat FILE | jitid leak add" in done.stderr


def test_rows_that_nobody_takes_do_not_hide_what_was_done(incident: Incident) -> None:
    """The exit status is that of output that was not written."""
    for where in ('"$@" >/dev/full', '"$@" >&-'):
        done = incident.shell.run("leak", "add", "--revoke", "p.jwt", before=["sh", "-c", where, "sh"])
        assert done.returncode == 74
        assert "revoked 2 live credentials" in done.stderr or "no live credential" in done.stderr
    (row,) = incident.listed()
    assert row["proved_at"] is not None
    done = incident.shell.run("leak", "close", "1", "--reason", "x", before=["sh", "-c", '"$@" >&-', "sh"])
    assert done.returncode == 74
    assert incident.listed("--open") == []


def test_two_at_once_record_and_end_it_once(incident: Incident) -> None:
    running = [incident.shell.start("leak", "add", "--revoke", "--field", "state", "p.jwt") for _ in range(2)]
    answers = [one.communicate() for one in running]
    assert [one.returncode for one in running] == [0, 0], answers
    assert [out for out, _ in answers] == ["revoked\n"] * 2
    told = incident.operations()
    assert [told.count(name) for name in ("leak", "revoke", "leak-proof")] == [1, 1, 1]
    incident.shell.good("audit", "verify")


def killed(shell: Shell, arguments: tuple[str, ...], call: str) -> Iterator[None]:
    """Yield each time that a command is killed before a call of this name; stop when it succeeds."""
    strace = [need("strace"), "-f", "-qq", "-o", os.devnull, "-e", f"trace={call}"]
    when = 1
    while True:
        done = shell.run(*arguments, before=[*strace, "-e", f"inject={call}:signal=KILL:when={when}"])
        if done.returncode == 0:
            return
        assert done.returncode == -signal.SIGKILL, (call, when, done.stderr)
        yield
        when += 1


@pytest.mark.deep
def test_a_report_killed_before_any_write_is_done_by_repeating_it(incident: Incident, tmp_path: Path) -> None:
    """Each record exists once, a revoked credential has its leak, and a proved leak is of a revoked credential."""
    shell, before = incident.shell, tmp_path / "before"
    line = ("leak", "add", "--revoke", "--reason", "leaked", "p.jwt")
    shutil.copytree(shell.ledger, before, copy_function=shutil.copy2)
    deaths = 0
    stages: set[tuple[str, ...]] = set()
    for call in CALLS:
        for _ in killed(shell, line, call):
            deaths += 1
            with World(shell.ledger, now=int(time.time())) as world:
                world.check()
                done = [event["op"] for event in world.events() if event["op"] != "issue"][1:]
                with world.ledger.read() as snapshot:
                    found = LeakStore(snapshot).leaks(LeakFilter(), 9)
            stages.add(tuple(done))
            assert done in (
                [],
                ["leak"],
                ["leak", "revoke"],
                ["leak", "revoke", "leak-proof"],
            )
            assert len(found) == bool(done)
            assert all((leak.dead_at is not None) == ("revoke" in done) for leak in found)
            assert all((leak.proved_at is not None) == ("leak-proof" in done) for leak in found)
            shell.good(*line)
            (row,) = incident.listed()
            assert row["proved_at"] is not None
            assert [name for name in incident.operations() if name not in ("init", "issue")] == [
                "leak",
                "revoke",
                "leak-proof",
            ]
            shutil.rmtree(shell.ledger)
            shutil.copytree(before, shell.ledger, copy_function=shutil.copy2)
        shutil.rmtree(shell.ledger)
        shutil.copytree(before, shell.ledger, copy_function=shutil.copy2)
    assert deaths >= 10
    assert len(stages) == 4


def test_closing_needs_a_reason_and_the_end(incident: Incident) -> None:
    incident.shell.good("leak", "add", "p.jwt", "--ledger", str(incident.shell.ledger))
    assert incident.shell.run("leak", "close", "1").returncode == 2
    place = ("--ledger", str(incident.shell.ledger))
    done = incident.shell.run("leak", "close", "1", "--reason", "x", *place)
    assert done.returncode == 2
    # The printed command finds the same ledger when a user copies it.
    assert f"jitid --ledger {incident.shell.ledger} revoke jti_" in done.stderr
    incident.shell.good("leak", "close", "1", "--reason", "x", "--yes")
    assert incident.shell.good("leak", "close", "1", "--reason", "y") == (
        "nothing was closed: all leaks were closed already\n"
    )
    assert incident.shell.good("leak", "show", "1", "--field", "closed_reason") == "x\n"


@pytest.mark.deep
@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("7", 3),
        ("0", 3),
        ("9" * 18, 3),
        ("9" * 19, 2),
        ("-1", 2),
        ("1.0", 2),
        ("٣", 2),
        ("jti_06h0snnep1rah9etii88q3sj1s", 3),
        ("jid_06h0snnep1rah9etii88q3sj1s", 2),
        ("jti_x", 2),
    ],
)
def test_what_names_no_leak_is_told(text: str, status: int, incident: Incident) -> None:
    incident.shell.good("leak", "add", "p.jwt")
    assert incident.shell.run("leak", "show", "--", text).returncode == status
    assert incident.shell.run("leak", "close", "--reason", "x", "--yes", "--", "1", text).returncode == status
    assert [row["closed_at"] for row in incident.listed()] == [None]


def test_a_token_that_is_given_for_a_leak_is_not_repeated(incident: Incident) -> None:
    for verb in ("show", "close"):
        done = incident.shell.run("leak", verb, incident.coder)
        assert done.returncode == 2
        assert not [piece for piece in pieces(incident.coder) if piece in done.stderr]


def test_a_key_that_somebody_else_has_is_told(incident: Incident, tmp_path: Path) -> None:
    """The ledger's key signed it, with claims unknown to the ledger: another copy of the ledger issued it."""
    shutil.copytree(incident.shell.ledger, tmp_path / "thief", copy_function=shutil.copy2)
    token = Shell(tmp_path, tmp_path / "thief").good("issue", "--task", "T", "--delegator", "mallory")
    done = incident.shell.run("leak", "add", stdin=token)
    assert done.returncode == 3
    assert "jitid keys revoke" in done.stderr
    assert incident.listed() == []
