"""`run` and `renew` with failures: of the ledger, the disk, the policy, the terminal, and the wrapper itself."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from jitid.cli.issue.commands import RunCommand
from jitid.cli.issue.run import CONSUMED
from jitid.values.times import parse_time
from tests.builders import edit
from tests.cli.test_terminal import Terminal
from tests.real import Shell, command, faked, need, need_root, other_user, reachable, tmpfs

RUN = ("run", "--task", "T1", "--delegator", "alice")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a shell with a ledger, and a `jitid` program for its scripts."""
    made = Shell(tmp_path)
    made.good("issue", "--task", "FIRST", "--delegator", "alice")
    script = tmp_path / "jitid"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m jitid "$@"\n')
    script.chmod(0o755)
    made.environment["PATH"] = f"{tmp_path}:{os.environ['PATH']}"
    made.environment["PYTHONPATH"] = str(Path(__file__).parent.parent.parent)
    return made


def states(shell: Shell, task: str = "T1") -> list[str]:
    """Return the states of a task's credentials, newest first."""
    return shell.good("list", "--task", task, "--field", "state").split()


def replace_policy(shell: Shell, text: str) -> None:
    """Replace the ledger's policy."""
    (shell.ledger / "policy" / "default.cedar").write_text(text)


def test_variables_that_made_an_identity_are_those_of_its_options() -> None:
    """The command does not inherit a variable that would give a further identity more than its caller requests."""
    variables = {field.env for field in RunCommand.fields.values() if field.env}
    assert variables >= CONSUMED
    assert (
        variables - CONSUMED
        == {
            "JITID_TASK",
            "JITID_KIND",
            "JITID_AUDIENCE",
            "JITID_TTL",
            "JITID_PURPOSE",
            "JITID_SENSITIVITY",
            "JITID_DEADLINE",
            "JITID_PARENT_FILE",
            "JITID_SECRET",
        }
        - CONSUMED
    )


def test_what_made_this_identity_does_not_make_the_next_one(shell: Shell) -> None:
    asked = {"JITID_DELEGATOR": "bob", "JITID_SCOPE": "repo:* db:read", "JITID_AGENT": "outer"}
    done = shell.run("run", "--task", "T1", "--", "jitid", "issue", "--format", "json", more=asked)
    inner = json.loads(done.stdout)
    assert (inner["delegator"], inner["agent"], inner["scopes"]) == ("user:bob", "agent", [])
    (outer,) = json.loads(shell.good("list", "--agent", "outer", "--format", "json"))["items"][:1]
    assert outer["scopes"] == ["db:read", "repo:*"]
    assert inner["parent"] == outer["id"]


def test_a_command_elsewhere_finds_the_same_ledger(shell: Shell) -> None:
    del shell.environment["JITID_LEDGER"]
    done = shell.run(*RUN, "--ledger", "ledger", "--", "sh", "-c", "cd / && jitid list --live --field task")
    assert done.stdout.split()[0] == "T1", done.stderr


@pytest.mark.parametrize(("words", "hours"), [((), 1), (("--sensitivity", "low"), 8)])
def test_the_help_names_the_usual_end_of_a_command(shell: Shell, words: tuple[str, ...], hours: int) -> None:
    """The lifetime of each token is shorter, and renewed."""
    before = int(time.time())
    end = parse_time(shell.good(*RUN, *words, "--", "sh", "-c", 'echo "$JITID_EXPIRES_AT"').strip())
    assert before + hours * 3_600 <= end <= time.time() + hours * 3_600
    said = " ".join(shell.good("help", "run").split())
    assert f"{hours}h {'with --sensitivity low' if words else 'by default'}" in said


def test_the_agent_is_the_programs_name(shell: Shell) -> None:
    odd = shell.home / "a tool, (v2)"
    odd.write_text("#!/bin/sh\n")
    odd.chmod(0o755)
    shell.good(*RUN, "--", "true")
    shell.good(*RUN, "--", str(odd))
    shell.good(*RUN, "--agent", "named", "--", "true")
    agents = shell.good("list", "--task", "T1", "--field", "agent").split()
    assert agents == ["named", "a-tool---v2-", "true"]


@pytest.mark.deep
def test_a_ledger_that_is_locked_at_the_end_is_told_and_the_status_is_passed_on(shell: Shell) -> None:
    holder = textwrap.dedent(
        """
        import fcntl, os, sys
        fcntl.flock(os.open(sys.argv[1], os.O_RDWR), fcntl.LOCK_EX)
        open("held", "w").write("x\\n")
        open("hold").read()
        """
    )
    (shell.home / "holder").write_text(holder)
    script = f"{sys.executable} holder {shell.ledger}/lock > /dev/null 2>&1 & read x < held; exit 3"
    for name in ("hold", "held"):
        os.mkfifo(shell.home / name)
    # Opened for reading and writing, so that no open blocks; the holder keeps the lock until this test closes it.
    keep = os.open(shell.home / "hold", os.O_RDWR)
    done = shell.run(*RUN, "--timeout", "1s", "--", "sh", "-c", script)
    assert done.returncode == 3
    assert (
        "the credential of the ended command could not be revoked: other writers held the ledger for 1 s"
        in done.stderr
    )
    assert states(shell) == ["active"]
    gone = shell.good("list", "--process", "gone", "--field", "id").strip()
    assert f"jitid revoke {gone}" in done.stderr
    os.close(keep)
    with (shell.ledger / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
    shell.good("revoke", gone)
    assert states(shell) == ["revoked"]


def test_a_disk_that_is_full_at_the_end_is_told(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "small", "size=3m,mode=700") as disk:
        shell = Shell(tmp_path, disk / "ledger")
        shell.good("issue", "--task", "FIRST", "--delegator", "alice")
        fill = f"cat /dev/zero > {disk}/filler 2> /dev/null; exit 4"
        done = shell.run(*RUN, "--", "sh", "-c", fill)
        assert done.returncode == 4
        assert "could not be revoked: the disk is full" in done.stderr
        (disk / "filler").unlink()
        assert shell.good("list", "--process", "gone", "--field", "state").split() == ["active"]
        shell.good("audit", "verify")


@pytest.mark.deep
def test_a_refused_renewal_leaves_the_old_token_until_it_expires(shell: Shell) -> None:
    """The script runs until the wrapper has reported that the credential has expired."""
    script = textwrap.dedent(
        """
        echo '@id("no") forbid (principal, action, resource);' > "$JITID_LEDGER/policy/no.cedar"
        chmod 600 "$JITID_LEDGER/policy/no.cedar"
        until grep -q 'could not be renewed' said; do sleep 0.05; done
        jitid verify "$JITID_TOKEN_FILE" && echo still valid
        until grep -q 'expired at' said; do sleep 0.05; done
        jitid verify "$JITID_TOKEN_FILE" 2> /dev/null || echo over
        exit 5
        """
    )
    with (shell.home / "said").open("w") as said:
        done = subprocess.run(
            command(*RUN, "--ttl", "6s", "--", "sh", "-c", script),
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            env=shell.environment,
            cwd=shell.home,
            timeout=60,
        )
    assert (done.returncode, done.stdout) == (5, "still valid\nover\n")
    text = (shell.home / "said").read_text()
    assert "rule `no` forbids it" in text
    assert text.count("could not be renewed") == 1, "the same refusal is said once"


@pytest.mark.deep
def test_a_command_whose_identity_was_revoked_is_told_and_goes_on(shell: Shell) -> None:
    script = 'jitid revoke "$JITID_ID" -q > /dev/null; until grep -q "was revoked" said; do sleep 0.05; done; exit 6'
    with (shell.home / "said").open("w") as said:
        done = subprocess.run(
            command(*RUN, "--ttl", "3s", "--", "sh", "-c", script),
            stderr=said,
            env=shell.environment,
            cwd=shell.home,
            timeout=60,
        )
    assert done.returncode == 6


@pytest.mark.deep
def test_the_token_is_renewed_in_its_place(shell: Shell) -> None:
    """The path stays the same, and each token that is read from it is valid."""
    script = textwrap.dedent(
        """
        cat "$JITID_TOKEN_FILE" > first
        while cmp -s first "$JITID_TOKEN_FILE"; do jitid verify "$JITID_TOKEN_FILE" || exit 1; done
        jitid verify "$JITID_TOKEN_FILE" && jitid verify first
        """
    )
    shell.good(*RUN, "--ttl", "9s", "--", "sh", "-c", script)
    assert set(states(shell)) == {"revoked"}
    assert len(states(shell)) >= 2


@pytest.mark.deep
def test_the_last_moment_is_the_hard_maximum_and_not_the_tokens_end(shell: Shell) -> None:
    replace_policy(shell, '@id("all") @max_ttl("8s") permit (principal, action, resource);')
    script = 'trap "" TERM; echo "$JITID_EXPIRES_AT"; while :; do sleep 0.05; done'
    done = shell.run(*RUN, "--ttl", "4s", "--grace", "1s", "--", "sh", "-c", script)
    assert done.returncode == 124
    rows = json.loads(shell.good("list", "--task", "T1", "--format", "json"))["items"]
    assert len(rows) >= 2
    assert max(row["expires_at"] for row in rows) == done.stdout.strip()


def test_a_run_inside_a_run_ends_no_later(shell: Shell) -> None:
    done = shell.run(
        *RUN,
        "--deadline",
        "10m",
        "--",
        "sh",
        "-c",
        'echo "$JITID_EXPIRES_AT"; jitid run --task T1/other -- sh -c \'echo "$JITID_EXPIRES_AT"\'',
    )
    outer, inner = done.stdout.split()
    assert outer == inner


def test_the_end_takes_what_was_delegated_with_it_and_nothing_else(shell: Shell) -> None:
    shell.good("issue", "--task", "T1", "--delegator", "alice", "--agent", "bystander")
    shell.good(*RUN, "--", "sh", "-c", "jitid issue > /dev/null; jitid issue --kind opaque > /dev/null")
    rows = json.loads(shell.good("list", "--task", "T1", "--format", "json"))["items"]
    assert {row["agent"]: row["state"] for row in rows} == {
        "bystander": "active",
        "sh": "revoked",
        "agent": "revoked",
    }


def test_a_daemon_loses_its_identity_when_the_command_ends(shell: Shell) -> None:
    os.mkfifo(shell.home / "go")
    (shell.home / "daemon").write_text(
        'cat go; jitid verify "$JITID_TOKEN_FILE"; echo $? > status; echo x > go'
    )
    done = shell.run(*RUN, "--", "sh", "-c", "(setsid sh daemon > /dev/null 2>&1 &); exit 0")
    assert done.returncode == 0
    assert states(shell) == ["revoked"]
    (shell.home / "go").write_text("")
    assert (shell.home / "go").read_text() == "x\n"
    assert (shell.home / "status").read_text() == "2\n", "there is no token to be read any more"


@pytest.mark.deep
@pytest.mark.parametrize("closed", [">&-", "<&-", "2>&-", ">&- 2>&- <&-", "> /dev/full"])
def test_closed_streams_are_the_commands_own_affair(shell: Shell, closed: str) -> None:
    script = 'jitid verify "$JITID_TOKEN_FILE"; echo said; exit 3'
    line = f"jitid run --task T1 --delegator alice -- sh -c '{script}' {closed}"
    done = subprocess.run(
        ["sh", "-c", line], env=shell.environment, cwd=shell.home, capture_output=True, timeout=60
    )
    assert done.returncode == 3
    assert states(shell) == ["revoked"]


def test_a_key_at_the_terminal_reaches_the_command_once(shell: Shell) -> None:
    """The terminal signals both processes; the wrapper does not forward a signal that the command has received."""
    script = "trap 'echo got' INT; echo ready; read x; echo end"
    terminal = Terminal(shell, *RUN, "--", "sh", "-c", script, own_session=True)
    terminal.until("ready")
    terminal.type("\x03", end="")
    terminal.until("got")
    terminal.type("")
    status, shown = terminal.end()
    assert status == 0
    assert shown.count("got") == 1


def test_another_user_cannot_read_the_token(tmp_path: Path) -> None:
    prefix = other_user()
    with reachable(tmp_path) as folder:
        shell = Shell(folder)
        done = shell.run(*RUN, "--", *prefix, "sh", "-c", 'cat "$JITID_TOKEN_FILE"')
        assert done.returncode == 1
        assert "Permission denied" in done.stderr
        assert done.stdout == ""


def test_a_usage_error_before_the_start_is_125_and_issues_nothing(shell: Shell) -> None:
    before = shell.good("audit", "log", "--field", "seq")
    for line in (
        [*RUN, "--on-exit", "explode", "--", "true"],
        [*RUN, "--env", "1x", "--", "true"],
        [*RUN, "--env", "X", "--file", "d", "--", "true"],
        [*RUN, "--field", "id", "--", "true"],
        [*RUN, "--grace", "soon", "--", "true"],
        [*RUN, "--unknown", "--", "true"],
        [*RUN, "--"],
        ["run", "--task", "", "--delegator", "alice", "--", "true"],
        ["run", "--delegator", "alice", "--ledger", "/nowhere/at/all", "--parent-file", "x", "--", "true"],
        [*RUN, "--", "no-such-command"],
    ):
        done = shell.run(*line)
        assert done.returncode == (127 if line[-1] == "no-such-command" else 125), (line, done.stderr)
        assert done.stdout == ""
    assert shell.good("audit", "log", "--field", "seq") == before


def test_words_of_the_command_are_taken_as_they_stand(shell: Shell) -> None:
    words = ["", " ", "--task", "-q", "--", "ünï", "a b"]
    print_all = 'for word; do printf "<%s>" "$word"; done'
    expected = "".join(f"<{word}>" for word in words)
    for dashes in (["--"], []):
        done = shell.run(*RUN, *dashes, "sh", "-c", print_all, "sh", *words)
        assert done.stdout == expected, done.stderr


@pytest.mark.deep
def test_a_wrapper_killed_before_any_write_leaves_nothing_that_nobody_notices(shell: Shell) -> None:
    """Credentials that were committed are bound to a process that is gone, and the command is killed."""
    strace = [need("strace"), "-f", "-qq", "-o", os.devnull, "-e", "trace=pwrite64,fdatasync,dup3"]
    for call, step in (("fdatasync", 1), ("dup3", 1), ("pwrite64", 5)):
        when = 1
        while True:
            inject = ["-e", f"inject={call}:signal=KILL:when={when}"]
            done = shell.run(*RUN, "--", "sh", "-c", "echo $$", before=[*strace, *inject])
            live = shell.good("list", "--task", "T1", "--live", "--field", "process").split()
            assert set(live) <= {"gone"}, (call, when)
            if done.stdout:
                with pytest.raises(ProcessLookupError):
                    os.kill(int(done.stdout), 0)
            if done.returncode == 0:
                break
            assert done.returncode == -signal.SIGKILL, done.stderr
            when += step
        assert when > 1
    shell.good("audit", "verify")


@pytest.mark.deep
def test_two_hundred_at_once(shell: Shell) -> None:
    check = 'jitid verify "$JITID_TOKEN_FILE"'
    running = [
        subprocess.Popen(
            command(*RUN, "-q", "--timeout", "300s", "--", "sh", "-c", check if number % 10 == 0 else "true"),
            env=shell.environment,
            cwd=shell.home,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(200)
    ]
    for one in running:
        assert one.communicate(timeout=300)[1] == ""
        assert one.returncode == 0
    assert states(shell) == ["revoked"] * 200
    shell.good("audit", "verify")


@pytest.mark.deep
@pytest.mark.parametrize("count", [8])
def test_those_who_renew_one_file_take_turns(shell: Shell, count: int) -> None:
    """The token in the file at the end is the only token that stays valid."""
    shell.good("issue", "--task", "T1", "--delegator", "alice", "--out", "token")
    running = [shell.start("renew", "--token-file", "token") for _ in range(count)]
    for one in running:
        assert one.communicate(timeout=60)[1] == ""
        assert one.returncode == 0
    last = json.loads(shell.good("inspect", "token", "--format", "json"))
    rows = json.loads(shell.good("list", "--task", "T1", "--format", "json"))["items"]
    assert len(rows) == count + 1
    assert rows[0]["jti"] == last["jti"]


def test_a_renewed_file_is_private_again(shell: Shell) -> None:
    shell.good("issue", "--task", "T1", "--delegator", "alice", "--out", "token")
    (shell.home / "token").chmod(0o644)
    shell.good("renew", "--token-file", "token")
    assert (shell.home / "token").stat().st_mode & 0o777 == 0o600


def test_a_successor_that_cannot_be_written_never_works(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "small", "size=16k,mode=700") as disk:
        shell = Shell(tmp_path)
        shell.good("issue", "--task", "T1", "--delegator", "alice", "--out", str(disk / "token"))
        with pytest.raises(OSError, match="No space"):
            (disk / "filler").write_bytes(bytes(1 << 20))
        done = shell.run("renew", "--token-file", str(disk / "token"))
        assert done.returncode == 74
        assert "the old token stays valid" in done.stderr
        shell.good("verify", str(disk / "token"))
        assert shell.good("list", "--task", "T1", "--field", "state").split() == ["revoked", "active"]
        assert {path.name for path in disk.iterdir()} == {"filler", "token"}


@pytest.mark.parametrize("shown", [("--format", "json"), ("--field", "jti")])
def test_a_renewed_file_holds_the_successor_whatever_becomes_of_the_rest(
    shell: Shell, shown: tuple[str, ...]
) -> None:
    shell.good("issue", "--task", "T1", "--delegator", "alice", "--out", "token")
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        done = subprocess.run(
            command("renew", "--token-file", "token", *shown),
            stdout=full,
            stderr=subprocess.PIPE,
            env=shell.environment,
            cwd=shell.home,
        )
    assert done.returncode == 74
    shell.good("verify", "token")


def test_a_folder_that_only_takes_new_names_keeps_the_old_token(tmp_path: Path) -> None:
    prefix = other_user()
    with reachable(tmp_path) as folder:
        os.chown(folder, 65534, 65534)
        shell = Shell(folder)
        shell.run("issue", "--task", "T1", "--delegator", "alice", "--out", "d/token", before=prefix)
        (folder / "d").mkdir()
        os.chown(folder / "d", 65534, 65534)
        assert (
            shell.run(
                "issue", "--task", "T1", "--delegator", "alice", "--out", "d/token", before=prefix
            ).returncode
            == 0
        )
        (folder / "d").chmod(0o300)
        done = shell.run("renew", "--token-file", "d/token", before=prefix)
        assert done.returncode == 74
        assert shell.run("verify", "d/token", before=prefix).returncode == 0
        assert {path.name for path in (folder / "d").iterdir()} == {"token"}


def test_root_renews_no_file_of_another_user_in_place(shell: Shell) -> None:
    """A secret is written only to a place that the caller owns; the existing token stays unchanged."""
    need_root()
    shell.good("issue", "--task", "T1", "--delegator", "alice", "--out", "token")
    before = (shell.home / "token").read_text()
    os.chown(shell.home / "token", 65534, 65534)
    done = shell.run("renew", "--token-file", "token")
    assert done.returncode == 2, done
    assert "`token` belongs to user `nobody`, not to you; nothing was changed" in done.stderr
    assert (shell.home / "token").read_text() == before
    assert (shell.home / "token").stat().st_uid == 65534
    assert shell.good("list", "--task", "T1", "--field", "state").split() == ["active"]


def test_what_is_kept_is_kept_in_its_folder_too(shell: Shell) -> None:
    shell.good(*RUN, "--on-exit", "keep", "--file", "kept", "--", "true")
    shell.good("verify", "kept/token")


def test_a_credential_too_short_to_be_renewed_is_refused(shell: Shell) -> None:
    assert shell.run(*RUN, "--ttl", "1s", "--", "true").returncode == 125
    assert shell.run(*RUN, "--ttl", "1s", "--env", "X", "--", "true").returncode == 0


def test_the_revocation_of_a_token_in_a_variable_speaks_of_no_session(shell: Shell) -> None:
    """The wrapper requests no other identity."""
    told = shell.good(*RUN, "--env", "X", "--", *command("revoke", "--task", "T1", "--reason", "leaked"))
    assert told.startswith("revoked 1 live credential")
    assert "no other identity" not in told


@pytest.mark.deep
def test_a_ledger_ahead_of_the_clock_does_not_make_it_renew_all_the_time(shell: Shell) -> None:
    """The ledger's time does not advance meanwhile."""
    ahead = faked("+3600s")
    assert shell.run("issue", "--task", "AHEAD", "--delegator", "alice", before=ahead).returncode == 0
    shell.good(*RUN, "--ttl", "3s", "--", "sleep", "5")
    assert 2 <= len(states(shell)) <= 6


def test_a_command_ended_by_a_key_ends_the_loop_around_it(shell: Shell) -> None:
    """To a shell, the wrapper itself ended by that signal."""
    running = shell.start(*RUN, "--", "sh", "-c", "kill -INT $$")
    running.communicate(timeout=60)
    assert running.returncode == -signal.SIGINT
    assert states(shell) == ["revoked"]


def test_a_wrapper_elsewhere_is_not_taken_for_well(shell: Shell) -> None:
    shell.good(*RUN, "--on-exit", "keep", "--", "true")
    edit(shell.ledger, "UPDATE process SET host = 'elsewhere', kept = 0")
    assert shell.good("list", "--process", "unknown", "--field", "task") == "T1\n"
    rows = json.loads(shell.run("doctor", "--format", "json").stdout)["items"]
    (row,) = [row for row in rows if row["check"] == "processes"]
    assert (row["status"], row["detail"]) == (
        "warning",
        "not examined: 1 wrapper of live credentials cannot be checked from here",
    )


@pytest.mark.parametrize("kind", ["x509-svid", "ssh-cert"])
def test_what_is_no_token_is_not_renewed_by_itself(shell: Shell, kind: str) -> None:
    """The presenter of such a secret may have found it; the file stays unchanged."""
    shell.good("issue", "--task", "T1", "--delegator", "alice", "--kind", kind, "--out", "held")
    before = (shell.home / "held").read_text()
    done = shell.run("renew", "--token-file", "held")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--secret NAME=KIND" in done.stderr
    assert (shell.home / "held").read_text() == before


@pytest.mark.parametrize("width", [80, 160])
def test_a_table_of_live_credentials_says_for_whom_each_process_works(shell: Shell, width: int) -> None:
    """The columns in a pipe stay the same."""
    line = shlex.join(command("list", "--live", "--format", "table"))
    more = f"{line}; {shlex.join(command('list', '--format', 'table'))} | head -n 1"
    told = shell.good(*RUN, "--", "sh", "-c", f"COLUMNS={width}; export COLUMNS; {more}").splitlines()
    assert told[0].split() == ["id", "task", "agent", "delegator", "left", "process"]
    assert "user:alice" in told[1]
    assert told[-1].split()[-3:] == ["state", "left", "process"]
