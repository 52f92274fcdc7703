"""`jitid sweep` with faults: an edited ledger, a report that cannot be written, unusual files."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from jitid.ledger.sqlite import folder
from tests.builders import edit
from tests.cli.test_sweep import document, found, issued, orphans, overdue
from tests.real import Shell, command, need, tmpfs


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def events_of(shell: Shell, sweep: str) -> list[dict[str, Any]]:
    """Return the events of one sweep in the audit log."""
    told = shell.good("audit", "log", "--sweep", sweep, "--members", "--format", "jsonl")
    return [json.loads(line) for line in told.splitlines()]


def test_one_bad_row_keeps_nothing_else_alive_and_is_told(shell: Shell) -> None:
    issued(shell, "A")
    shell.good("issue", "--task", "B", "--delegator", "alice", "--out", "b.jwt")
    shell.good("leak", "add", "--source", "a log", stdin=Path(shell.home, "b.jwt").read_text())
    edit(
        shell.ledger,
        "INSERT INTO task (name, opener, sensitivity, deadline, opened_at, ended_at, event)"
        " SELECT 'Z0', opener, 'low', 2000000000, 1, 2, 1 FROM task LIMIT 1",
        "UPDATE credential SET task = (SELECT id FROM task WHERE name = 'Z0') WHERE id = 1",
    )
    done = shell.run("sweep", "--fix", "--yes", "--format", "json")
    assert done.returncode == 11, done.stderr
    told = document(done.stdout)
    states = {(row["rule"], row["state"]) for row in told["findings"]}
    assert {("leaked-live", "ended"), ("orphaned-task", "open")} <= states
    (orphaned,) = [each for each in told["coverage"] if each["rule"] == "orphaned-task"]
    assert any(why.startswith("--fix could not fix 1 finding") for why in orphaned["missed"])
    assert shell.good("list", "--live", "--field", "task") == "A\n"


def test_a_leak_that_cannot_be_judged_is_no_reason_to_tell_nothing(shell: Shell) -> None:
    orphans(shell, 1)
    jti = issued(shell, "T9")
    shell.good("revoke", jti)
    edit(
        shell.ledger,
        """INSERT INTO leak (credential, source, reported_at, added_at, event)
           SELECT max(id), 'a log', issued_at, issued_at, 1 FROM credential""",
        "UPDATE credential SET issued_at = 'x', ended_as = NULL WHERE id = 2",
    )
    done = shell.run("sweep", "--fix", "--format", "json", "--skip", "offline-valid")
    assert done.returncode == 9, done.stderr
    assert [row["state"] for row in document(done.stdout)["findings"]] == ["ended"]
    assert "could not prove that the ledger refuses" in done.stderr


def test_nothing_ends_where_the_report_has_no_folder(shell: Shell) -> None:
    """The place of an output is checked before any change."""
    orphans(shell, 1)
    done = shell.run("sweep", "--fix", "--format", "json", "--out", "missing/report")
    assert done.returncode == 74, done
    assert shell.good("audit", "log", "--operation", "revoke", "--format", "jsonl") == ""


def test_verify_and_list_call_a_time_that_is_none_by_its_name(shell: Shell) -> None:
    shell.good("issue", "--task", "T1", "--delegator", "alice", "--out", "a.jwt")
    edit(shell.ledger, "UPDATE credential SET expires_at = 'never'")
    for line in (["verify", "a.jwt"], ["list", "--live"]):
        done = shell.run(*line)
        assert (done.returncode, done.stdout) == (7, ""), done.stderr
        assert "an invalid time" in done.stderr
    done = shell.run("sweep", "--format", "json")
    assert done.returncode == 11, done.stderr


@pytest.mark.deep
@pytest.mark.parametrize("place", ["full", "closed", "disk"])
def test_what_has_ended_is_told_where_the_report_cannot_be(shell: Shell, tmp_path: Path, place: str) -> None:
    orphans(shell, 3, copies=20)
    line = command("sweep", "--fix", "--format", "json")
    more: dict[str, Any] = {
        "stderr": subprocess.PIPE,
        "text": True,
        "env": shell.environment,
        "cwd": shell.home,
    }
    if place == "full":
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(line, stdout=full, **more)
    elif place == "closed":
        done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *line], **more)
    else:
        with tmpfs(tmp_path / "small", "size=4k") as small:
            (small / "filler").write_bytes(bytes(4_096))
            done = subprocess.run([*line, "--out", str(small / "report")], **more)
    assert done.returncode == 74, done.stderr
    (event,) = map(
        json.loads, shell.good("audit", "log", "--operation", "revoke", "--format", "jsonl").splitlines()
    )
    sweep = event["sweep"]
    assert f"it had revoked 60 (sweep {sweep}): jitid audit log --members --sweep {sweep}" in done.stderr
    assert shell.good("list", "--live", "--field", "id") == ""


def test_nothing_is_said_where_all_was_reported_or_nothing_ended(shell: Shell) -> None:
    orphans(shell, 1)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command("sweep"),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=shell.environment,
            cwd=shell.home,
        )
    assert done.returncode == 74
    assert "ended" not in done.stderr
    assert shell.run("sweep", "--fix").stderr == ""


def test_a_sweep_is_found_in_the_audit_log_with_all_that_it_ended(shell: Shell) -> None:
    issued(shell, "SHORT", "--ttl", "30s")
    orphans(shell, 2)
    edit(shell.ledger, "UPDATE credential SET expires_at = issued_at, issued_at = issued_at - 9 WHERE id = 1")
    done = shell.run(
        "sweep", "--fix", "--rule", "expired-unretired", "--rule", "orphaned-task", "--format", "json"
    )
    told = document(done.stdout)
    events = events_of(shell, told["summary"]["sweep"])
    assert [(event["op"], event["finding"], len(event["members"])) for event in events] == [
        ("expire", "expired-unretired", 1),
        ("revoke", "orphaned-task", 2),
    ]
    assert [row["event"] for row in told["findings"]] == [
        events[0]["seq"],
        events[1]["seq"],
        events[1]["seq"],
    ]
    assert events_of(shell, "another") == []


def test_two_at_once_record_everything_once(shell: Shell) -> None:
    shell.good("issue", "--task", "T1", "--delegator", "alice", "--kind", "opaque", "--count", "5000")
    edit(shell.ledger, "UPDATE credential SET expires_at = issued_at, issued_at = issued_at - 9")
    line = ("sweep", "--fix", "--rule", "expired-unretired", "--format", "json")
    running = [shell.start(*line) for _ in range(3)]
    told = [document(one.communicate(timeout=120)[0]) for one in running]
    ended = [row for each in told for row in each["findings"] if row["state"] == "ended"]
    assert sum(row["ended_credentials"] for row in ended) == 5_000
    for each in told:
        mine = {event["seq"]: event["count"] for event in events_of(shell, each["summary"]["sweep"])}
        assert {row["event"]: row["ended_credentials"] for row in each["findings"]} == mine


@pytest.mark.deep
@pytest.mark.parametrize("text", ["", "garbage", "eyJ.eyJ.x", "\x00\xff"])
@pytest.mark.parametrize("kept", ["ledger", "elsewhere"])
def test_the_remedy_of_a_damaged_head_leads_out(shell: Shell, text: str, kept: str) -> None:
    issued(shell, "T1")
    head = shell.ledger / folder.VERIFIED if kept == "ledger" else Path(shell.home, "head")
    more = [] if kept == "ledger" else ["--head-out", "head"]
    head.write_text(text, encoding="latin-1")
    head.chmod(0o600)
    (row,) = found(shell, *more, status=10)
    assert "it cannot show whether the end of the audit log was cut off" in row["summary"]
    assert head.read_text(encoding="latin-1") == text
    done = shell.run("audit", "verify", "--expect-head", str(head))
    assert done.returncode == 7
    assert "the signed head" in done.stderr
    assert "move it away" in done.stderr
    if kept == "ledger":
        checked = shell.run("doctor", "--format", "tsv")
        assert checked.returncode == 7
        (failure,) = [line.split("\t") for line in checked.stdout.splitlines() if "\tfailure\t" in line]
        assert (failure[0], failure[3]) == ("audit", f"mv {head} {head}.unreadable")
    subprocess.run(
        ["sh", "-ec", row["remedy"].replace("jitid ", f"{' '.join(command())} ", 1)],
        check=True,
        env=shell.environment,
        cwd=shell.home,
        stdout=subprocess.DEVNULL,
    )
    assert found(shell, *more) == []
    assert shell.good("audit", "verify", "--expect-head", str(head)).startswith("the audit chain is intact")
    assert shell.run("doctor", "--field", "status").returncode == 0


def test_a_broken_log_is_told_beside_a_damaged_head(shell: Shell) -> None:
    issued(shell, "T1")
    (shell.ledger / folder.VERIFIED).write_text("")
    edit(shell.ledger, "UPDATE audit_event SET body = replace(body, 'alice', 'mallory')")
    assert len(found(shell, "--rule", "audit-gap", status=10)) == 2


def test_the_doctor_finds_a_tail_that_was_cut(shell: Shell) -> None:
    issued(shell, "T1")
    issued(shell, "T2")
    shell.good("sweep")
    edit(
        shell.ledger,
        "DELETE FROM audit_event WHERE seq > 2",
        "DELETE FROM credential WHERE event > 2",
        "DELETE FROM identity WHERE id NOT IN (SELECT identity FROM credential)",
        "DELETE FROM task WHERE event > 2",
    )
    assert shell.good("audit", "verify").startswith("the audit chain is intact")
    assert "audit\tfailure" in shell.run("doctor", "--format", "tsv").stdout


def test_a_head_is_only_written_to_what_is_no_file(shell: Shell) -> None:
    issued(shell, "T1")
    line = " ".join(command("sweep", "--rule", "audit-gap", "--head-out"))

    def sh(text: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", text],
            capture_output=True,
            text=True,
            env=shell.environment,
            cwd=shell.home,
            timeout=60,
        )

    assert sh(f"{line} /dev/stdout | tail -1").stdout.startswith("eyJ")
    os.mkfifo(shell.home / "pipe")
    done = sh(f"{line} pipe")
    assert done.returncode == 2
    assert "`pipe` is a named pipe, not a regular file; nothing was changed" in done.stderr
    (shell.home / "talk").write_text("garbage\n")
    done = sh(f"{line} /dev/stderr 2>>talk; echo $?; cat talk")
    assert done.stdout.splitlines()[-3] == "0"
    assert done.stdout.splitlines()[-1].startswith("eyJ")
    assert sh(f"{line} /dev/null").returncode == 0
    (shell.home / "folder").mkdir()
    assert sh(f"{line} folder").returncode == 74


def test_a_pipe_where_the_ledgers_own_head_should_be_is_told_and_waited_for_by_nobody(shell: Shell) -> None:
    issued(shell, "T1")
    os.mkfifo(shell.ledger / folder.VERIFIED, 0o600)
    (row,) = found(shell, status=10)
    assert row["rule"] == "audit-gap"


def test_a_folder_where_the_ledgers_own_head_should_be_is_told(shell: Shell) -> None:
    issued(shell, "T1")
    (shell.ledger / folder.VERIFIED).mkdir(mode=0o700)
    (row,) = found(shell, status=10)
    assert row["rule"] == "audit-gap"


def test_a_baseline_cannot_be_put_on_standard_input(shell: Shell) -> None:
    orphans(shell, 1)
    done = shell.run(
        "sweep", "--fix", "--baseline", "-", "--update-baseline", stdin='{"schema": "jitid.baseline/1"}\n'
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert shell.good("list", "--live", "--field", "task") == "T0\n"


def pasted(shell: Shell, remedy: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a user would who has `jitid` in the PATH, without a terminal."""
    program = Path(shell.home, "bin", "jitid")
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec {" ".join(command())} "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}:{shell.environment['PATH']}"
    return subprocess.run(
        ["sh", "-c", remedy],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**shell.environment, "PATH": path},
        cwd=shell.home,
    )


@pytest.mark.deep
@pytest.mark.parametrize("rule", ["sprawl", "duplicate", "unproved-delegator", "orphaned-task"])
def test_the_remedy_of_a_crowd_can_be_pasted_and_ends_no_more_than_it_says(shell: Shell, rule: str) -> None:
    shell.good("config", "set", "sweep_asserted", "low")
    shell.good("issue", "--task", "T1", "--delegator", "alice", "--kind", "opaque", "--count", "150", "-q")
    if rule == "orphaned-task":
        overdue(shell, "T1")
    rows = [row for row in found(shell, "--rule", rule, "--fail-on", "critical") if row["rule"] == rule]
    remedy = next(row["remedy"] for row in rows if row["remedy"] != "jitid report")
    assert remedy.endswith(" --max 150")
    # A credential that was issued since exceeds the printed limit.
    if rule != "orphaned-task":
        issued(shell, "T1", "--kind", "opaque")
        # A sweep that refuses its fix still reports the finding.
        assert pasted(shell, remedy).returncode == (9 if "sweep" in remedy else 2)
        assert len(shell.good("list", "--live", "--limit", "200", "--field", "id").split()) == 151
        edit(shell.ledger, "UPDATE credential SET expires_at = issued_at WHERE id = 151")
    done = pasted(shell, remedy)
    assert done.returncode == 0, done.stderr
    assert shell.good("list", "--live", "--field", "id") == ""


def test_a_remedy_within_the_limit_names_no_number(shell: Shell) -> None:
    orphans(shell, 1, copies=100)
    (row,) = found(shell, "--rule", "orphaned-task", status=10)
    assert row["remedy"] == "jitid revoke --task user:alice/T0"
    shell.good("config", "set", "max", "99")
    (row,) = found(shell, "--rule", "orphaned-task", status=10)
    assert row["remedy"] == "jitid revoke --task user:alice/T0 --max 100"


@pytest.mark.deep
@pytest.mark.parametrize("name", ["json", "jsonl", "sarif", "csv", "tsv", "table", "html", "prometheus"])
def test_a_report_of_a_fix_that_breaks_off_is_closed_and_says_so(shell: Shell, name: str) -> None:
    strace = need("strace")
    orphans(shell, 1)
    issued(shell, "T9", "--sensitivity", "low", "--ttl", "8h")
    shell.good("config", "set", "sweep_standing_low", "1h")
    line = ("sweep", "--fix", "--rule", "orphaned-task", "--rule", "standing", "--format", name)
    inject = ["-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=2"]
    before = [strace, "-f", "-qq", "-o", os.devnull, *inject]
    done = shell.run(*line, before=before)
    assert done.returncode == 9, done.stderr
    assert "it had revoked 1 (sweep " in done.stderr
    if name == "json":
        told = document(done.stdout)
        assert (told["summary"], told["broken_off"]) == (None, True)
        assert [row["state"] for row in told["findings"]] == ["ended"]
    elif name == "jsonl":
        rows = [json.loads(row) for row in done.stdout.splitlines()]
        assert [row.get("state") for row in rows] == ["ended", None]
        assert rows[-1] == {"broken_off": True}
    elif name == "sarif":
        (run,) = json.loads(done.stdout)["runs"]
        assert [each["executionSuccessful"] for each in run["invocations"]] == [False]
        assert len(run["results"]) == 1
    elif name == "prometheus":
        assert "jitid_sweep_timestamp_seconds" not in done.stdout
    else:
        assert "was interrupted" in done.stdout
    if name == "html":
        assert done.stdout.rstrip().endswith("</html>")


def test_a_file_has_no_part_of_a_report_that_broke_off(shell: Shell) -> None:
    strace = need("strace")
    orphans(shell, 1)
    issued(shell, "T9", "--sensitivity", "low", "--ttl", "8h")
    shell.good("config", "set", "sweep_standing_low", "1h")
    report = Path(shell.home, "report")
    report.write_text("the old one")
    inject = ["-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=2"]
    line = (
        "sweep",
        "--fix",
        "--rule",
        "orphaned-task",
        "--rule",
        "standing",
        "--format",
        "json",
        "--out",
        "report",
    )
    done = shell.run(*line, before=[strace, "-f", "-qq", "-o", os.devnull, *inject])
    assert done.returncode == 9, done.stderr
    assert report.read_text() == "the old one"
    assert not list(shell.home.glob(".report.*"))


def test_what_a_killed_sweep_left_is_cleared_up_by_a_later_one(shell: Shell) -> None:
    issued(shell, "T1")
    old = time.time() - 7_200
    left = [shell.home / f".{name}.0123456789ab" for name in ("report", "known", "head")]
    kept = [
        shell.home / name
        for name in (".report.0123456789aB", ".report.0123456789abc", ".other.0123456789ab", ".report.bak")
    ]
    young = shell.home / ".report.abcdefabcdef"
    for path in (*left, *kept, young):
        path.write_text("half")
    link = shell.home / ".report.aaaaaaaaaaaa"
    link.symlink_to(kept[0])
    twice = shell.home / ".report.bbbbbbbbbbbb"
    twice.hardlink_to(kept[1])
    for path in (*left, *kept):
        os.utime(path, (old, old))
    shell.good("sweep", "--out", "report", "--baseline", "known", "--update-baseline", "--head-out", "head")
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in (*kept, young, twice))
    assert link.is_symlink()


def test_what_somebody_still_writes_is_not_cleared_up(shell: Shell) -> None:
    import fcntl

    issued(shell, "T1")
    path = shell.home / ".report.0123456789ab"
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        os.utime(path, (1, 1))
        shell.good("sweep", "--out", "report")
    assert path.exists()


def test_the_rest_of_what_ended_in_several_events_is_listed_by_the_sweep(shell: Shell) -> None:
    shell.good("issue", "--task", "T1", "--delegator", "alice", "--kind", "opaque", "--count", "1011", "-q")
    edit(
        shell.ledger,
        """INSERT INTO leak (credential, source, reported_at, added_at, event)
           SELECT id, 'a log', issued_at, issued_at, 1 FROM credential""",
    )
    done = shell.run(
        "--ledger", str(shell.ledger), "sweep", "--fix", "--yes", "--rule", "leaked-live", "--format", "table"
    )
    assert done.returncode == 0, done.stderr
    (listed,) = [line.strip() for line in done.stdout.splitlines() if "audit log" in line]
    assert listed.startswith(f"jitid --ledger {shell.ledger} audit log --members --sweep ")
    events = [json.loads(line) for line in shell.good(*listed.split()[1:], "--format", "jsonl").splitlines()]
    assert [len(event["members"]) for event in events] == [1_000, 11]
