"""`jitid status`: the counts, the record of the last sweep, and the one command that matters most."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.builders import edit
from tests.cli.approving import Approving
from tests.real import Shell, need_root, tmpfs

FIRST = 'jitid issue --task INC-4821 --delegator "$(id -un)"'
DAY = 86_400


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def status(shell: Shell, *words: str) -> dict[str, Any]:
    """Return the status as JSON."""
    found: dict[str, Any] = json.loads(shell.good("status", "--format", "json", *words))
    assert found.pop("schema") == "jitid.status/1"
    return found


def text(shell: Shell) -> str:
    """Return the status as on a terminal."""
    done = shell.run("status", more={"JITID_FORMAT": "table"})
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def next_of(shell: Shell) -> str:
    """Return the command that the status advises; both forms advise the same, and it can be run."""
    found: str = status(shell)["next"]
    (line,) = [line for line in text(shell).splitlines() if line.startswith("next ")]
    assert line.removeprefix("next").strip() == found
    if found != FIRST:
        assert shell.run(*shlex.split(found)[1:]).returncode in (0, 10), found
    return found


def issued(shell: Shell, task: str = "T1", *more: str) -> str:
    """Issue a credential, and return its token."""
    return shell.good(
        "issue", "--task", task, "--delegator", "alice", "--kind", "opaque", "-q", *more
    ).strip()


def leaked(shell: Shell, token: str, source: str = "log") -> None:
    shell.good("leak", "add", "--source", source, "-q", stdin=token)


def overdue(shell: Shell, task: str) -> None:
    edit(shell.ledger, f"UPDATE task SET deadline = opened_at - 1 WHERE name = '{task}'")


def records(shell: Shell) -> list[Path]:
    """Return the files in the folder of records of past runs."""
    return sorted(shell.home.glob(".local/state/jitid/*"))


def aged(shell: Shell, seconds: int) -> None:
    """Let the recorded sweep be older."""
    (path,) = records(shell)
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "at": document["at"] - seconds}))


# The next command


def test_without_a_ledger_it_advises_the_first_issue_and_makes_nothing(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    del shell.environment["JITID_LEDGER"]
    place = f"{shell.home}/.local/share/jitid"
    found = status(shell)
    assert (found["live"], found["ledger"], found["next"]) == (0, place, FIRST)
    assert text(shell).splitlines()[0] == f"ledger     {place}: none yet; the first issue creates it"
    assert next_of(shell) == FIRST
    assert list(shell.home.iterdir()) == []


def test_a_named_ledger_that_is_missing_is_an_error(shell: Shell) -> None:
    done = shell.run("status")
    assert done.returncode == 5
    assert done.stdout == ""


def test_before_the_first_sweep_it_advises_one(shell: Shell) -> None:
    issued(shell)
    assert next_of(shell) == "jitid sweep"
    found = status(shell)
    # Running the advised command has recorded a sweep.
    assert found["swept_at"] is not None


def test_an_old_sweep_is_repeated(shell: Shell) -> None:
    issued(shell)
    shell.good("sweep")
    aged(shell, DAY - 3_600)
    assert next_of(shell) == "jitid list --live"
    aged(shell, 7_200)
    assert re.search(r"^sweep +1d\w+ ago: no findings$", text(shell), re.MULTILINE)
    assert next_of(shell) == "jitid sweep"


def test_severe_findings_come_before_everything_but_leaks_and_approvals(shell: Shell) -> None:
    issued(shell)
    overdue(shell, "T1")
    assert shell.run("sweep").returncode == 10
    found = status(shell)
    assert found["findings"] == {"critical": 0, "high": 1, "medium": 0, "low": 0, "info": 0}
    assert re.search(r"^sweep +\w+ ago: 1 high$", text(shell), re.MULTILINE)
    assert next_of(shell) == "jitid sweep"
    shell.good("sweep", "--fix")
    assert status(shell)["findings"]["high"] == 0
    assert next_of(shell) == "jitid list --by task --state overdue"


def test_a_leaked_credential_comes_first(shell: Shell) -> None:
    token = issued(shell)
    leaked(shell, token)
    leaked(shell, token, "paste")
    found = status(shell)
    assert (found["leaked"], found["next"]) == (1, "jitid leak list --valid")
    assert "leaked     1 reported credential still valid\n" in text(shell)
    assert next_of(shell) == "jitid leak list --valid"
    shell.good("sweep", "--fix")
    assert status(shell)["leaked"] == 0
    assert next_of(shell) == FIRST


def test_a_request_counts_until_it_is_decided(tmp_path: Path) -> None:
    shell = Approving(tmp_path)
    request = shell.ask()
    assert status(shell)["approvals"] == 1
    assert "approvals  1 request waiting\n" in text(shell)
    assert next_of(shell) == "jitid approve list --open"
    shell.grant(request)
    assert status(shell)["approvals"] == 0
    assert next_of(shell) == "jitid sweep"


def test_an_unconfirmed_revocation_and_a_standing_secret_are_advised_after_the_sweep(shell: Shell) -> None:
    issued(shell)
    shell.good("sweep")
    shell.good("retire", "T1")
    adopt = ("adopt", "add", "--owner", "alice", "--place", "vault kv", "--purpose", "p")
    for name in ("one", "two"):
        shell.good(*adopt, name, stdin=f"sk-{name}-{'0123456789abcdef' * 2}")
    assert (status(shell)["standing"], next_of(shell)) == (2, "jitid adopt suggest --all")
    assert "standing   2 adopted credentials without a task\n" in text(shell)
    shell.run("revoke", "--agent", "one")
    found = status(shell)
    assert (found["standing"], found["unsettled"]) == (1, 1)
    assert "targets    1 ended credential not yet revoked at a target\n" in text(shell)
    assert next_of(shell) == "jitid list --unsettled"


def test_a_live_credential_and_an_empty_ledger(shell: Shell) -> None:
    issued(shell)
    shell.good("sweep")
    assert next_of(shell) == "jitid list --live"
    shell.good("retire", "T1")
    found = status(shell)
    assert (found["live"], found["open_tasks"], found["next_expiry"]) == (0, 0, None)
    assert next_of(shell) == FIRST


def test_expiry_is_counted_within_the_stated_time(shell: Shell) -> None:
    issued(shell, "T1", "--ttl", "10m")
    issued(shell, "T2", "--ttl", "30m")
    assert [status(shell, *words)["expiring"] for words in ((), ("--soon", "1m"), ("--soon", "1h"))] == [
        1,
        0,
        2,
    ]
    assert "live       2 credentials; expiring within 15m: 1, the next in " in text(shell)


def test_the_next_command_names_the_ledger_of_the_line(shell: Shell) -> None:
    issued(shell)
    del shell.environment["JITID_LEDGER"]
    place = str(shell.ledger)
    found = json.loads(shell.good("status", "--format", "json", "--ledger", place))
    assert found["next"] == f"jitid --ledger {place} sweep"


# The record of the last sweep


@pytest.mark.parametrize(
    "words",
    [
        ("--rule", "standing"),
        ("--skip", "standing"),
        ("--since", "1h"),
        ("--fix", "--dry-run"),
        ("--finding", "0123456789abcdef"),
    ],
    ids=lambda words: words[0],
)
def test_only_a_sweep_with_the_default_rules_is_recorded(shell: Shell, words: tuple[str, ...]) -> None:
    issued(shell)
    shell.run("sweep", *words)
    assert (records(shell), status(shell)["swept_at"]) == ([], None)


@pytest.mark.parametrize(
    "words", [(), ("--fix",), ("--quiet",), ("--format", "sarif"), ("--out", "file"), ("--fail-on", "low")]
)
def test_a_sweep_with_the_default_rules_is_recorded(shell: Shell, words: tuple[str, ...]) -> None:
    issued(shell)
    shell.good("sweep", *words)
    (path,) = records(shell)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert set(json.loads(path.read_text())) == {"place", "issuer", "at", "findings", "complete", "known"}
    assert status(shell)["swept_at"] is not None


def test_an_incomplete_sweep_is_recorded_as_such(shell: Shell) -> None:
    issued(shell)
    edit(shell.ledger, "INSERT INTO process SELECT max(id), 'elsewhere', 'b', 1, 1, 1, 0, 0 FROM identity")
    assert shell.run("sweep").returncode == 11
    assert re.search(r"^sweep +\w+ ago: no findings; incomplete$", text(shell), re.MULTILINE)


def test_a_sweep_that_fails_keeps_the_record_before(shell: Shell) -> None:
    issued(shell)
    shell.good("sweep")
    before = records(shell)[0].read_bytes()
    assert shell.run("sweep", "--out", "missing/file").returncode != 0
    assert records(shell)[0].read_bytes() == before


def test_another_ledger_has_its_own_record(shell: Shell, tmp_path: Path) -> None:
    issued(shell)
    shell.good("sweep")
    other = Shell(tmp_path, tmp_path / "other")
    issued(other)
    assert status(other)["swept_at"] is None
    # A new ledger in the place of the first one is another ledger, too.
    (tmp_path / "other").rename(tmp_path / "moved")
    shell.ledger.rename(tmp_path / "first")
    (tmp_path / "moved").rename(shell.ledger)
    assert status(shell)["swept_at"] is None


def test_no_text_of_a_changed_record_is_shown(shell: Shell) -> None:
    issued(shell)
    shell.good("sweep")
    (path,) = records(shell)
    document = json.loads(path.read_text())
    hostile = "\x1b]0;owned\x07high\u202e"
    for findings in ({**document["findings"], hostile: 3}, {hostile: 3}, hostile, [hostile]):
        path.write_text(json.dumps({**document, "findings": findings}))
        shown = text(shell) + shell.good("status") + shell.good("status", "--json")
        assert "owned" not in shown
        assert status(shell)["swept_at"] is None
    assert "sweep      no sweep recorded for this user\n" in text(shell)


def test_a_record_that_others_may_read_is_ignored(shell: Shell) -> None:
    issued(shell)
    shell.good("sweep")
    (path,) = records(shell)
    path.chmod(0o644)
    assert status(shell)["swept_at"] is None


@pytest.mark.parametrize("obstacle", ["file", "full", "read-only"])
def test_a_state_folder_that_cannot_be_written_does_not_fail_the_sweep(
    shell: Shell, tmp_path: Path, obstacle: str
) -> None:
    issued(shell)
    state = tmp_path / "state"
    shell.environment["XDG_STATE_HOME"] = str(state)
    if obstacle == "file":
        state.touch()
        done = shell.run("sweep")
    else:
        need_root()
        with tmpfs(state, "size=4k,nr_inodes=1" if obstacle == "full" else "size=64k,ro"):
            done = shell.run("sweep")
            assert list(state.iterdir()) == []
    assert (done.returncode, done.stderr) == (0, "")
    assert status(shell)["swept_at"] is None
