"""`jitid sweep` from cron: its exit statuses, guard rails, baseline and heads, and a kill at any instant."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from jitid.capabilities.sweep.findings_order import run_order
from jitid.capabilities.sweep.rules import NAMES
from jitid.ledger.sqlite import folder
from tests.builders import edit
from tests.real import Shell, command, faked, need, need_root, tmpfs

BASELINE = '{"schema": "jitid.baseline/1"}\n'


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def issued(shell: Shell, task: str, *more: str) -> str:
    """Issue a credential and return its jti."""
    return shell.good("issue", "--task", task, "--delegator", "alice", "--field", "jti", *more).strip()


def overdue(shell: Shell, *tasks: str) -> None:
    """Let the deadlines of tasks pass, which no command can do while credentials of the tasks are live."""
    names = ", ".join(f"'{task}'" for task in tasks)
    edit(shell.ledger, f"UPDATE task SET deadline = opened_at - 1 WHERE name IN ({names})")


def verified(shell: Shell) -> None:
    """Verify the audit log against the ledger, after reverting the edits of `overdue`."""
    edit(shell.ledger, "UPDATE task SET deadline = opened_at + 86400 WHERE deadline < opened_at")
    shell.good("audit", "verify")


def orphans(shell: Shell, count: int, copies: int = 1) -> None:
    """Make tasks with a passed deadline, and live credentials on each."""
    for number in range(count):
        shell.good(
            "issue",
            "--task",
            f"T{number}",
            "--delegator",
            "alice",
            "--kind",
            "opaque",
            "--count",
            str(copies),
        )
    overdue(shell, *(f"T{number}" for number in range(count)))


def document(text: str) -> dict[str, Any]:
    """Parse the output of `--format json`."""
    found: dict[str, Any] = json.loads(text)
    assert found["schema"] == "jitid.sweep/1"
    return found


def found(shell: Shell, *more: str, status: int = 0) -> list[dict[str, Any]]:
    """Sweep and return the findings."""
    done = shell.run("sweep", "--format", "json", *more)
    assert done.returncode == status, done.stderr
    findings: list[dict[str, Any]] = document(done.stdout)["findings"]
    return findings


def test_a_clean_ledger_ends_with_0_and_says_what_was_examined(shell: Shell) -> None:
    issued(shell, "T1")
    done = shell.run("sweep", "--format", "json")
    told = document(done.stdout)
    assert (done.returncode, done.stderr, told["findings"]) == (0, "", [])
    assert [each["rule"] for each in told["coverage"]] == [
        name for name in run_order(NAMES) if name != "canary"
    ]
    assert all(each["complete"] for each in told["coverage"])
    assert told["summary"]["live"] == 1


def test_a_sweep_changes_nothing_without_fix(shell: Shell) -> None:
    orphans(shell, 1)
    before = shell.good("audit", "log")
    found(shell, status=10)
    assert shell.good("audit", "log") == before
    assert shell.good("list", "--live", "--field", "task") == "T0\n"


@pytest.mark.parametrize(
    ("level", "status"), [("info", 10), ("low", 10), ("medium", 10), ("high", 10), ("critical", 0)]
)
def test_the_status_is_that_of_what_is_grave_enough(shell: Shell, level: str, status: int) -> None:
    orphans(shell, 1)
    assert shell.run("sweep", "--fail-on", level).returncode == status


def test_what_could_not_be_examined_wins_over_what_was_found(shell: Shell) -> None:
    orphans(shell, 1)
    issued(shell, "T9")
    edit(
        shell.ledger,
        "INSERT INTO process SELECT max(id), 'elsewhere', 'b', 1, 1, 1, 0, 0 FROM identity",
    )
    done = shell.run("sweep", "--format", "json")
    assert done.returncode == 11
    (missed,) = [each for each in document(done.stdout)["coverage"] if not each["complete"]]
    assert missed["rule"] == "orphaned-process"
    assert "1 wrapper on elsewhere" in missed["missed"][0]
    assert shell.run("sweep", "--skip", "orphaned-process").returncode == 10


@pytest.mark.deep
def test_every_format_tells_what_was_not_examined(shell: Shell) -> None:
    issued(shell, "T1")
    edit(shell.ledger, "INSERT INTO process SELECT max(id), 'elsewhere', 'b', 1, 1, 1, 0, 0 FROM identity")
    for name in ("table", "tsv", "json", "jsonl", "csv", "sarif", "html", "prometheus"):
        done = shell.run("sweep", "--format", name)
        assert done.returncode == 11
        if name == "prometheus":
            assert 'jitid_sweep_complete{rule="orphaned-process"} 0' in done.stdout
            continue
        assert "elsewhere" in done.stdout, name


def test_fix_ends_orphans_and_leaves_others_unless_they_are_named(shell: Shell) -> None:
    orphans(shell, 2)
    issued(shell, "LONG", "--sensitivity", "low", "--ttl", "8h")
    shell.good("config", "set", "sweep_standing_low", "1h")
    rows = found(shell, "--fix", status=10)
    assert [(row["state"], row["rule"], row["subject"]) for row in rows if row["state"] == "ended"] == [
        ("ended", "orphaned-task", "user:alice/T0"),
        ("ended", "orphaned-task", "user:alice/T1"),
    ]
    assert [row["rule"] for row in rows if row["state"] == "open"] == ["standing"]
    rows = found(shell, "--fix", "--rule", "standing")
    assert [(row["state"], row["rule"]) for row in rows] == [
        ("ended", "standing"),
        ("open", "offline-valid"),
    ][:1]
    assert found(shell, "--fix", "--rule", "standing") == []


def test_what_ended_is_told_with_event_sweep_and_proof(shell: Shell) -> None:
    orphans(shell, 1, copies=3)
    (row,) = [row for row in found(shell, "--fix") if row["state"] == "ended"]
    assert "ended 3 credentials; verifiers that query this ledger accept none" in row["proof"]
    (event,) = [
        json.loads(line)
        for line in shell.good(
            "audit", "log", "--operation", "revoke", "--members", "--format", "jsonl"
        ).splitlines()
    ]
    assert (row["event"], row["sweep"], row["ended_at"] is not None) == (event["seq"], event["sweep"], True)
    assert len(event["members"]) == 3


def test_more_than_max_is_not_ended_without_yes(shell: Shell) -> None:
    orphans(shell, 1, copies=101)
    done = shell.run("sweep", "--fix", "--format", "json")
    # There may be no user to confirm it: the findings are still reported.
    assert (done.returncode, document(done.stdout)["findings"][0]["state"]) == (10, "open")
    assert "more than 100" in done.stderr
    assert shell.run("sweep", "--fix", "--fail-on", "critical").returncode == 9
    assert len(shell.good("list", "--live", "--field", "id").split()) == 101
    shell.good("sweep", "--fix", "--dry-run", "--fail-on", "critical")
    assert len(shell.good("list", "--live", "--field", "id").split()) == 101
    assert shell.run("sweep", "--fix", "--max", "101").returncode == 0
    assert shell.good("list", "--live", "--field", "id") == ""


def test_max_counts_what_all_rules_end_together(shell: Shell) -> None:
    orphans(shell, 2)
    for number in range(2):
        token = shell.good("issue", "--task", f"L{number}", "--delegator", "alice")
        shell.good("leak", "add", "--source", "a log", stdin=token)
    rules = ("--rule", "orphaned-task", "--rule", "leaked-live", "--format", "json")
    done = shell.run("sweep", "--fix", "--max", "3", *rules)
    assert "more than 3" in done.stderr
    states = [(row["rule"], row["state"]) for row in document(done.stdout)["findings"]]
    assert sorted(states) == [("leaked-live", "open")] * 2 + [("orphaned-task", "open")] * 2
    assert len(shell.good("list", "--live", "--field", "id").split()) == 4
    assert shell.run("sweep", "--fix", "--max", "4", *rules).returncode == 0
    assert shell.good("list", "--live", "--field", "id") == ""


def test_no_variable_lowers_the_guard_rail(shell: Shell) -> None:
    orphans(shell, 1, copies=101)
    more = {"JITID_MAX": "1000", "JITID_YES": "1", "JITID_FIX": "1", "JITID_SWEEP_STANDING_LOW": "1s"}
    assert shell.run("sweep", "--fix", "--fail-on", "critical", more=more).returncode == 9
    assert len(shell.good("list", "--live", "--field", "id").split()) == 101
    assert {
        row["rule"] for row in document(shell.run("sweep", "--format", "json", more=more).stdout)["findings"]
    } == {
        "orphaned-task",
        "duplicate",
        "sprawl",
    }


@pytest.mark.deep
@pytest.mark.parametrize(
    "line",
    [
        ["--rule", "nonsense"],
        ["--skip", "nonsense"],
        ["--rule", ""],
        ["--rule", "standing", "--skip", "standing"],
        ["--fail-on", "fatal"],
        ["--yes"],
        ["--dry-run"],
        ["--max", "3"],
        ["--fix", "--yes", "--max", "3"],
        ["--update-baseline"],
        ["--baseline", "none"],
        ["--baseline", ""],
        ["--since", "yesterday"],
        ["--format", "pdf"],
        ["--head-out", "head", "--skip", "audit-gap"],
    ],
)
def test_what_cannot_be_meant_is_refused(shell: Shell, line: list[str]) -> None:
    orphans(shell, 1)
    done = shell.run("sweep", *line)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "jitid: error: " in done.stderr
    assert shell.good("list", "--live", "--field", "task") == "T0\n"


def test_what_the_baseline_knows_is_no_news(shell: Shell) -> None:
    orphans(shell, 1)
    assert shell.run("sweep", "--baseline", "known", "--update-baseline").returncode == 10
    assert [row["state"] for row in found(shell, "--baseline", "known")] == ["known"]
    assert Path(shell.home, "known").stat().st_mode & 0o777 == 0o600
    issued(shell, "NEW")
    overdue(shell, "NEW")
    states = {row["subject"]: row["state"] for row in found(shell, "--baseline", "known", status=10)}
    assert states == {"user:alice/T0": "known", "user:alice/NEW": "open"}


def test_what_the_baseline_knows_is_not_ended(shell: Shell) -> None:
    orphans(shell, 1)
    shell.run("sweep", "--baseline", "known", "--update-baseline")
    assert [row["state"] for row in found(shell, "--baseline", "known", "--fix")] == ["known"]
    assert [row["state"] for row in found(shell, "--fix")] == ["ended"]


@pytest.mark.deep
def test_a_baseline_keeps_what_other_rules_had_in_it(shell: Shell) -> None:
    orphans(shell, 1)
    shell.run("sweep", "--baseline", "known", "--update-baseline")
    shell.run("sweep", "--rule", "standing", "--baseline", "known", "--update-baseline")
    assert [row["state"] for row in found(shell, "--baseline", "known")] == ["known"]
    shell.good("sweep", "--fix")
    shell.run("sweep", "--baseline", "known", "--update-baseline")
    assert len(Path(shell.home, "known").read_text().splitlines()) == 1


@pytest.mark.deep
@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"schema": "jitid.baseline/2"}\n',
        "[1]",
        "\x1b[31m",
        BASELINE + '{"rule": "x"}',
        BASELINE + '{"rule": "x", "severity": "low", "subject": "s", "credentials": 1, "fingerprint": "zz"}',
        BASELINE
        + '{"rule": "", "severity": "", "subject": "", "credentials": 1, "fingerprint": "a b c d e f 0 1 "}',
        "[" * 4_000,
    ],
)
def test_a_baseline_that_is_none_or_of_another_version_changes_nothing(shell: Shell, text: str) -> None:
    orphans(shell, 1)
    path = Path(shell.home, "known")
    path.write_text(text)
    for more in ([], ["--update-baseline"], ["--fix"]):
        done = shell.run("sweep", "--baseline", "known", *more)
        assert done.returncode == 2, text
        assert "\x1b" not in done.stderr
    assert path.read_text() == text
    assert shell.good("list", "--live", "--field", "task") == "T0\n"


def test_a_leak_is_never_old_news(shell: Shell) -> None:
    issued(shell, "T1")
    edit(
        shell.ledger,
        """INSERT INTO leak (credential, source, reported_at, added_at, event)
           SELECT id, 'a log', issued_at, issued_at, 1 FROM credential""",
    )
    shell.run("sweep", "--baseline", "known", "--update-baseline")
    assert [row["state"] for row in found(shell, "--baseline", "known", status=10)] == ["open"]


def test_only_what_has_been_so_since_then_is_told_and_ended(shell: Shell) -> None:
    orphans(shell, 1)
    assert found(shell, "--since", "2100-01-01T00:00:00Z", "--fix") == []
    assert shell.good("list", "--live", "--field", "task") == "T0\n"
    assert len(found(shell, "--since", "2000-01-01T00:00:00Z", status=10)) == 1


def test_a_sweep_reads_on_from_the_head_that_it_has_kept(shell: Shell) -> None:
    issued(shell, "T1")
    shell.good("sweep", "--head-out", "head")
    done = shell.run("sweep", "--head-out", "head", "--rule", "audit-gap", "--format", "json")
    assert document(done.stdout)["coverage"][0]["examined"].startswith("no new audit events")
    assert shell.good("audit", "verify", "--expect-head", "head").startswith("the audit chain is intact")
    issued(shell, "T2")
    done = shell.run("sweep", "--head-out", "head", "--rule", "audit-gap", "--format", "json")
    assert document(done.stdout)["coverage"][0]["examined"].startswith("audit events 3 to 3; those before 3")


def test_an_older_copy_of_the_ledger_is_found_by_a_head_kept_elsewhere(shell: Shell, tmp_path: Path) -> None:
    issued(shell, "T1")
    subprocess.run(["cp", "-a", str(shell.ledger), str(tmp_path / "old")], check=True)
    issued(shell, "T2")
    shell.good("sweep", "--head-out", "head")
    head = Path(shell.home, "head").read_text()
    subprocess.run(["rm", "-r", str(shell.ledger)], check=True)
    subprocess.run(["cp", "-a", str(tmp_path / "old"), str(shell.ledger)], check=True)
    (row,) = found(shell, "--head-out", "head", status=10)
    assert (row["rule"], row["severity"]) == ("audit-gap", "critical")
    # The kept head that revealed the gap is not overwritten by the shorter log's head.
    assert Path(shell.home, "head").read_text() == head


def test_a_broken_chain_is_found_and_the_head_is_not_renewed(shell: Shell) -> None:
    issued(shell, "T1")
    edit(shell.ledger, "UPDATE audit_event SET body = replace(body, 'alice', 'mallory')")
    (row,) = found(shell, "--head-out", "head", status=10)
    assert row["rule"] == "audit-gap"
    assert not Path(shell.home, "head").exists()


def test_a_clock_years_ahead_is_refused(shell: Shell) -> None:
    orphans(shell, 1)
    for more in ([], ["--fix"], ["--fix", "--yes"]):
        done = shell.run("sweep", *more, before=faked("+3y"))
        assert (done.returncode, done.stdout) == (7, ""), done.stderr
        assert "ahead of the ledger's time mark" in done.stderr
    assert shell.good("list", "--live", "--field", "task") == "T0\n"
    assert len(found(shell, status=10)) == 1


@pytest.mark.deep
def test_two_at_once_end_everything_once(shell: Shell) -> None:
    orphans(shell, 30)
    running = [shell.start("sweep", "--fix", "--format", "json") for _ in range(3)]
    told = [document(one.communicate(timeout=120)[0]) for one in running]
    assert [one.returncode for one in running] == [0, 0, 0]
    ended = [row["subject"] for each in told for row in each["findings"] if row["state"] == "ended"]
    assert sorted(ended) == sorted(f"user:alice/T{number}" for number in range(30))
    assert shell.good("list", "--live", "--field", "id") == ""
    verified(shell)


@pytest.mark.deep
def test_killed_before_any_write_it_is_done_by_the_next_one(shell: Shell) -> None:
    strace = need("strace")
    orphans(shell, 3)
    calls = 0
    for name in ("pwrite64", "fdatasync", "write", "renameat"):
        for when in range(1, 200):
            subprocess.run(["cp", "-a", str(shell.ledger), f"{shell.ledger}.{name}"], check=True)
            victim = Shell(shell.home, Path(f"{shell.ledger}.{name}"))
            done = victim.run(
                "sweep",
                "--fix",
                before=[
                    strace,
                    "-f",
                    "-qq",
                    "-o",
                    os.devnull,
                    "-e",
                    f"trace={name}",
                    "-e",
                    f"inject={name}:signal=KILL:when={when}",
                ],
            )
            survived = done.returncode == 0
            again = victim.run("sweep", "--fix", "--format", "json")
            assert again.returncode == 0, again.stderr
            assert victim.good("list", "--live", "--field", "id") == ""
            assert not [row for row in found(victim, "--fix") if row["subject"].startswith("user:alice/T")]
            verified(victim)
            ended = victim.good(
                "audit", "log", "--operation", "revoke", "--members", "--field", "members"
            ).split()
            assert len(ended) == len(set(ended)) == 3
            subprocess.run(["rm", "-r", str(victim.ledger)], check=True)
            if survived:
                break
            calls += 1
        else:
            pytest.fail(f"{name} is called without an end")
    assert calls > 5


def test_nobody_reading_on_is_no_reason_to_leave_half_alive(shell: Shell) -> None:
    orphans(shell, 3)
    with subprocess.Popen(
        command("sweep", "--fix"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=shell.environment,
        cwd=shell.home,
    ) as running:
        assert running.stdout is not None
        running.stdout.close()
        assert running.wait(60) == 74
    assert shell.good("list", "--live", "--field", "id") == ""


@pytest.mark.deep
def test_a_full_disk_leaves_the_old_report(shell: Shell, tmp_path: Path) -> None:
    orphans(shell, 60)
    with tmpfs(tmp_path / "small", "size=32k") as small:
        report = small / "report"
        report.write_text("the old one")
        done = shell.run("sweep", "--fix", "--format", "json", "--out", str(report))
        assert done.returncode == 74, done.stderr
        assert report.read_text() == "the old one"
        assert [path.name for path in small.iterdir()] == ["report"]
    # The credentials are revoked nevertheless.
    assert shell.good("list", "--live", "--field", "id") == ""


def test_a_report_is_replaced_whole(shell: Shell) -> None:
    orphans(shell, 1)
    out = Path(shell.home, "out")
    out.write_text("old " * 10_000)
    assert shell.run("sweep", "--format", "json", "--out", "out").returncode == 10
    assert document(out.read_text())["summary"]["open"] == 1
    assert out.stat().st_mode & 0o777 == 0o600


def test_a_reader_during_a_fix_waits_for_nobody(shell: Shell) -> None:
    orphans(shell, 10)
    answers: list[int] = []

    def look() -> None:
        answers.append(shell.run("sweep", "--fail-on", "critical").returncode)

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    shell.good("sweep", "--fix")
    for thread in threads:
        thread.join()
    assert answers == [0, 0]


def test_hostile_text_in_a_ledger_that_was_edited_acts_nowhere(shell: Shell) -> None:
    hostile = "=cmd|' /C calc'!A0\x1b[31m[red]<script>\u202e\n\t"
    issued(shell, "T1")
    edit(
        shell.ledger,
        f"""INSERT INTO leak (credential, source, reported_at, added_at, event)
            SELECT id, x'{hostile.encode().hex()}', issued_at, issued_at, 1 FROM credential""",
        "UPDATE leak SET source = CAST(source AS TEXT)",
    )
    for name in ("table", "tsv", "csv"):
        done = shell.run("sweep", "--rule", "leaked-live", "--format", name)
        assert done.returncode == 10
        for mark in ("\x1b", "\u202e"):
            assert mark not in done.stdout, name
    (row,) = found(shell, "--rule", "leaked-live", status=10)
    assert row["evidence"]["source"] == hostile


def test_a_damaged_row_makes_the_sweep_incomplete_and_no_more(shell: Shell) -> None:
    orphans(shell, 1)
    verified(shell)
    overdue(shell, "T0")
    edit(
        shell.ledger,
        "UPDATE identity SET uid = x'00'",
        "UPDATE credential SET expires_at = issued_at + 90000",
    )
    done = shell.run("sweep", "--format", "json")
    assert done.returncode == 11, done.stderr
    assert "user:alice/T0" in [row["subject"] for row in document(done.stdout)["findings"]]


def test_the_head_of_the_ledger_is_private(shell: Shell) -> None:
    issued(shell, "T1")
    shell.good("sweep")
    assert (shell.ledger / folder.VERIFIED).stat().st_mode & 0o777 == 0o600
    assert shell.run("doctor", "--field", "status").returncode == 0


def test_rules_are_explained_in_every_format(shell: Shell) -> None:
    for name in ("table", "tsv", "json", "jsonl", "csv"):
        assert "orphaned-task" in shell.good("sweep", "--list-rules", "--format", name)
    assert shell.good("sweep", "--list-rules", "--rule", "standing", "--field", "owasp") == "NHI7:2025\n"


def test_to_be_quiet_is_to_say_nothing_when_all_is_well(shell: Shell) -> None:
    issued(shell, "T1")
    done = shell.run("sweep", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    issued(shell, "T2")
    shell.good("retire", "T2")
    assert "offline-valid" in shell.good("sweep", "--field", "rule")
    done = shell.run("sweep", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    edit(shell.ledger, "INSERT INTO process SELECT min(id), 'elsewhere', 'b', 1, 1, 1, 0, 0 FROM identity")
    done = shell.run("sweep", "--quiet")
    assert (done.returncode, done.stdout.count("\n")) == (11, 1)


def test_a_head_that_is_new_is_made_of_the_whole_log(shell: Shell) -> None:
    """Events that an earlier sweep has verified may have been changed since."""
    issued(shell, "T1")
    shell.good("sweep")
    edit(shell.ledger, "UPDATE audit_event SET body = replace(body, 'alice', 'mallory')")
    assert shell.run("sweep", "--rule", "audit-gap").returncode == 0
    assert shell.run("sweep", "--rule", "audit-gap", "--head-out", "new").returncode == 10
    assert not Path(shell.home, "new").exists()


def test_a_dash_is_no_file(shell: Shell) -> None:
    orphans(shell, 1)
    assert shell.run("sweep", "--out", "-").returncode == 2
    assert not Path(shell.home, "-").exists()


def test_a_cut_tail_is_found_whichever_head_knows_of_it(shell: Shell) -> None:
    issued(shell, "T1")
    shell.good("sweep", "--head-out", "old")
    issued(shell, "T2")
    shell.good("sweep")
    edit(
        shell.ledger,
        "DELETE FROM audit_event WHERE seq > 2",
        "DELETE FROM credential WHERE event > 2",
        "DELETE FROM identity WHERE id NOT IN (SELECT identity FROM credential)",
    )
    for head in ("old", "new"):
        (row,) = found(shell, "--head-out", head, "--rule", "audit-gap", status=10)
        assert row["remedy"] == f"jitid audit verify --expect-head {shell.ledger}/audit.head"
        assert shell.run(*row["remedy"].split()[1:]).returncode == 7
    assert not Path(shell.home, "new").exists()


def test_a_head_is_never_replaced_by_an_older_one(shell: Shell) -> None:
    issued(shell, "T1")
    shell.good("sweep", "--head-out", "head")
    early = Path(shell.home, "head").read_text()
    with subprocess.Popen(
        command("sweep", "--head-out", "head"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**shell.environment, "JITID_FORMAT": "json"},
        cwd=shell.home,
    ) as slow:
        issued(shell, "T2")
        shell.good("sweep", "--head-out", "head")
        late = Path(shell.home, "head").read_text()
        slow.communicate(timeout=60)
    assert len({early, late}) == 2
    told = shell.good("audit", "verify", "--expect-head", "head")
    assert "3 events" in told
    from jitid.crypto.jws import parse_any

    assert parse_any(Path(shell.home, "head").read_text().strip()).claims["seq"] == 3


@pytest.mark.deep
@pytest.mark.parametrize("text", ["", "garbage", "eyJ.eyJ.x", "\x00\xff"])
def test_a_damaged_head_is_a_finding_and_no_reason_to_ask_nothing(shell: Shell, text: str) -> None:
    orphans(shell, 1)
    shell.run("sweep")
    (shell.ledger / folder.VERIFIED).write_text(text, encoding="latin-1")
    rows = found(shell, status=10)
    assert {row["rule"] for row in rows} == {"orphaned-task", "audit-gap"}


def test_root_leaves_nothing_that_the_owner_cannot_read(shell: Shell, tmp_path: Path) -> None:
    need_root()
    issued(shell, "T1")
    for path in (shell.ledger, *shell.ledger.rglob("*")):
        os.chown(path, 65534, 65534)
    assert shell.run("sweep").returncode == 0
    assert {path.stat().st_uid for path in shell.ledger.rglob("*")} == {65534}
    # It also keeps the signed head: the next sweep would find a log that was cut.
    head = shell.ledger / folder.VERIFIED
    assert head.stat().st_mode & 0o777 == 0o600
    before = head.read_text()
    shell.good("revoke", "--task", "T1")
    assert shell.run("sweep").returncode == 0
    assert head.read_text() != before
    assert head.stat().st_uid == 65534


@pytest.mark.deep
@pytest.mark.parametrize(
    ("kept", "later", "elsewhere", "status"),
    [
        # Whether an earlier sweep kept a head; whether there are later events; --head-out; the exit status.
        (False, False, False, 11),
        (False, False, True, 0),
        (True, False, False, 0),
        (True, False, True, 0),
        (True, True, False, 11),
        (True, True, True, 0),
    ],
)
@pytest.mark.parametrize("name", ["json", "prometheus"])
def test_a_head_that_cannot_be_kept_is_reported(
    tmp_path: Path, kept: bool, later: bool, elsewhere: bool, status: int, name: str
) -> None:
    """Without the head, a cut log or an older copy of the ledger would not be found (promises 3 and 6)."""
    with tmpfs(tmp_path / "disk", "size=20m,mode=0700") as disk:
        shell = Shell(tmp_path, disk / "ledger")
        issued(shell, "T1")
        if kept:
            shell.good("sweep")
        if later:
            issued(shell, "T2")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        words = ["--head-out", "head"] if elsewhere else []
        done = shell.run("sweep", "--quiet", "--format", name, *words)
        assert done.returncode == status, done.stderr
        lost = later or not kept
        assert ("warning: the signed audit head was not saved" in done.stderr) == lost
        assert (f"{shell.ledger}/audit.head` could not be written: read-only" in done.stderr) == lost
        assert ("--head-out FILE" in done.stderr) == (lost and not elsewhere)
        assert Path(shell.home, "head").exists() == elsewhere


def test_a_head_that_cannot_be_signed_is_reported(shell: Shell) -> None:
    issued(shell, "T1")
    for path in (shell.ledger / "keys").iterdir():
        path.unlink()
    done = shell.run("sweep")
    assert done.returncode == 11, done.stderr
    assert "warning: the signed audit head was not saved: cannot read the signing key" in done.stderr
    assert not (shell.ledger / folder.VERIFIED).exists()
    # Without the rule `audit-gap`, the sweep needs no head.
    done = shell.run("sweep", "--skip", "audit-gap")
    assert (done.returncode, done.stderr) == (0, "")


def test_more_of_what_the_baseline_knows_is_news(shell: Shell) -> None:
    orphans(shell, 1)
    shell.run("sweep", "--baseline", "known", "--update-baseline")
    edit(shell.ledger, "UPDATE task SET deadline = opened_at + 86400")
    issued(shell, "T0")
    overdue(shell, "T0")
    assert [row["state"] for row in found(shell, "--baseline", "known", status=10)] == ["open"]


def test_what_since_hides_stays_in_the_baseline(shell: Shell) -> None:
    orphans(shell, 1)
    shell.run("sweep", "--baseline", "known", "--update-baseline")
    shell.run("sweep", "--baseline", "known", "--since", "2100-01-01T00:00:00Z", "--update-baseline")
    assert [row["state"] for row in found(shell, "--baseline", "known")] == ["known"]


@pytest.mark.deep
def test_a_fix_that_breaks_off_says_what_has_ended(shell: Shell, tmp_path: Path) -> None:
    """This holds for every write at which the disk may be full."""
    strace = need("strace")
    orphans(shell, 1)
    issued(shell, "T9", "--sensitivity", "low", "--ttl", "8h")
    shell.good("config", "set", "sweep_standing_low", "1h")
    line = ("sweep", "--fix", "--rule", "orphaned-task", "--rule", "standing", "--format", "tsv")
    statuses = set()
    for when in range(1, 80, 3):
        subprocess.run(["cp", "-a", str(shell.ledger), str(tmp_path / "copy")], check=True)
        victim = Shell(shell.home, tmp_path / "copy")
        inject = ["-e", "trace=pwrite64", "-e", f"inject=pwrite64:error=ENOSPC:when={when}+"]
        done = victim.run(*line, before=[strace, "-f", "-qq", "-o", os.devnull, *inject])
        statuses.add(done.returncode)
        ended = 2 - len(victim.good("list", "--live", "--field", "id").split())
        if done.returncode in (5, 7):
            assert ended == 0, done.stderr
        elif done.returncode == 9:
            assert f"it had revoked {ended} " in done.stderr
            assert len([row for row in done.stdout.splitlines() if row.startswith("ended\t")]) == ended
        verified(victim)
        overdue(victim, "T0")
        victim.good(*line)
        assert victim.good("list", "--live", "--field", "id") == ""
        subprocess.run(["rm", "-r", str(victim.ledger)], check=True)
    assert {0, 5, 9} <= statuses


def test_a_leak_that_somebody_wrote_into_a_baseline_is_told_and_ended_all_the_same(shell: Shell) -> None:
    jti = issued(shell, "T1")
    edit(
        shell.ledger,
        """INSERT INTO leak (credential, source, reported_at, added_at, event)
           SELECT id, 'a log', issued_at, issued_at, 1 FROM credential""",
    )
    (row,) = found(shell, status=10)
    entry = {"rule": "leaked-live", "severity": "critical", "subject": jti, "credentials": 9}
    known = BASELINE + json.dumps({**entry, "fingerprint": row["fingerprint"]}) + "\n"
    Path(shell.home, "known").write_text(known)
    assert [each["state"] for each in found(shell, "--baseline", "known", status=10)] == ["open"]
    assert [
        each["state"] for each in found(shell, "--baseline", "known", "--fix", "--skip", "offline-valid")
    ] == ["ended"]


def test_lines_are_sorted_by_severity(shell: Shell) -> None:
    """A rule with findings below its severity does not break the order either."""
    orphans(shell, 1)
    issued(shell, "LONG", "--sensitivity", "low", "--ttl", "8h")
    token = shell.good("issue", "--task", "L", "--delegator", "alice", "--kind", "opaque")
    assert shell.run("leak", "add", "--source", "log", "-q", stdin=token).returncode == 0
    shell.good("config", "set", "sweep_standing_low", "1h")
    shell.good("access", "grant", "user:bob", "--role", "issuer", "--ttl", "30d", "--out", "bob", "-q")
    edit(shell.ledger, "UPDATE signing_key SET created_at = created_at - 91 * 86400")
    expected = [
        ("critical", "leaked-live"),
        ("high", "orphaned-task"),
        ("high", "standing"),
        ("medium", "standing-access"),
        ("medium", "key-overdue"),
    ]
    lines = shell.run("sweep").stdout.splitlines()
    assert [tuple(line.split("\t")[1:3]) for line in lines] == expected
    rows = shell.run("sweep", "--format", "csv").stdout.splitlines()
    assert [tuple(row.split(",")[1:3]) for row in rows] == [("severity", "rule"), *expected]
    assert shell.run("sweep", "--field", "rule").stdout.split() == [rule for _, rule in expected]
    text = shell.run("sweep", "--format", "table").stdout
    heads = [line.split(":")[0] for line in text.splitlines() if line.endswith(": 1 finding")]
    assert heads == [" ".join(each) for each in expected]


def test_completed_checks_are_lines_only_on_request(shell: Shell) -> None:
    issued(shell, "T1")
    assert shell.good("sweep") == ""
    edit(shell.ledger, "INSERT INTO process SELECT max(id), 'elsewhere', 'b', 1, 1, 1, 0, 0 FROM identity")
    (missed,) = shell.run("sweep").stdout.splitlines()
    assert missed.startswith("missed\t\torphaned-process\t")
    assert len(missed.split("\t")) == 16
    lines = shell.run("sweep", "--verbose").stdout.splitlines()
    states = [line.split("\t")[0] for line in lines]
    assert (states.count("examined"), states.count("missed")) == (len(NAMES) - 1, 1)
    coverage = document(shell.run("sweep", "--format", "json").stdout)["coverage"]
    assert len(coverage) == len(NAMES) - 1
    text = shell.run("sweep", "--format", "csv").stdout
    assert text.startswith("state,severity,rule,")
    assert text.count("\n") == 2


def _crowded(shell: Shell) -> dict[str, dict[str, Any]]:
    """Make two findings of the rule `duplicate`, about tasks of one name; return them by their subject."""
    shell.good("config", "set", "sweep_duplicates", "1")
    for delegator in ("alice", "bob"):
        shell.good("issue", "--task", "LOAD", "--delegator", delegator, "--kind", "opaque", "--count", "3")
    findings = {row["subject"]: row for row in found(shell, "--rule", "duplicate")}
    assert list(findings) == ["agent on user:alice/LOAD", "agent on user:bob/LOAD"]
    return findings


def test_the_remedy_of_a_finding_is_one_command_that_ends_this_finding_alone(shell: Shell) -> None:
    remedy = _crowded(shell)["agent on user:bob/LOAD"]["remedy"]
    assert "|" not in remedy
    words = shlex.split(remedy)
    assert words[0] == "jitid"
    assert "would revoke 3 live credentials" in shell.run(*words[1:], "--dry-run").stderr
    refused = shell.run(*words[1:], "--max", "2")
    assert (refused.returncode, "--fix was refused" in refused.stderr) == (9, True)
    assert len(shell.good("list", "--live", "--field", "id").splitlines()) == 6
    (line,) = shell.good(*words[1:]).splitlines()
    assert line.startswith("ended\tmedium\tduplicate\tagent on user:bob/LOAD\t")
    assert set(shell.good("list", "--live", "--field", "delegator").split()) == {"user:alice"}
    again = shell.run(*words[1:])
    assert again.returncode == 3
    assert "jitid: error: no finding has the fingerprint" in again.stderr


def test_a_named_finding_is_reported_alone_and_needs_no_rule(shell: Shell) -> None:
    print_ = _crowded(shell)["agent on user:alice/LOAD"]["fingerprint"]
    orphans(shell, 1)
    assert [row["fingerprint"] for row in found(shell, "--finding", print_)] == [print_]
    assert [row["state"] for row in found(shell, "--finding", print_, "--fix")] == ["ended"]
    # The finding of the rule `orphaned-task` is not fixed either.
    tasks = shell.good("list", "--live", "--field", "task", "--field", "delegator").splitlines()
    assert sorted(set(tasks)) == ["LOAD\tuser:bob", "T0\tuser:alice"]


def test_reports_and_findings_name_the_host(shell: Shell) -> None:
    host = os.uname().nodename
    issued(shell, "T1")
    assert document(shell.good("sweep", "--format", "json"))["summary"]["host"] == host
    assert json.loads(shell.good("sweep", "--format", "jsonl").splitlines()[-1])["summary"]["host"] == host
    sarif = json.loads(shell.good("sweep", "--format", "sarif"))
    assert sarif["runs"][0]["invocations"][0]["machine"] == host
    assert f"\nhost {host}\n" in shell.good("sweep", "--format", "table")
    (shell.home / "empty").touch()
    assert json.loads(shell.good("scan", "empty", "--format", "json"))["summary"]["host"] == host
    assert f"\nhost {host}\n" in shell.good("scan", "empty", "--format", "table")
    assert json.loads(shell.good("report", "--format", "json"))["host"] == host
    assert re.search(rf"^host +{re.escape(host)}$", shell.good("report", "--format", "table"), re.MULTILINE)
    for verb in ("sweep", "report"):
        assert host not in shell.good(verb, "--format", "prometheus")
