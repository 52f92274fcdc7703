"""`approve`, and `--wait`: a waiting requester blocks no other process, and gets the granted credential once."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
from copy import copy
from pathlib import Path

import pytest

from jitid.capabilities.identity.task_store import TaskStore
from jitid.capabilities.issue.approval_store import ApprovalStore
from jitid.cli.invocation import Invocation
from tests.builders import World
from tests.cli.approving import NUMBER, PAY, Approving
from tests.cli.test_cli import loaded_by
from tests.cli.test_terminal import Terminal
from tests.ledger.test_crash import killed, now
from tests.real import command


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Approving:
    """Return a user whose policy requires approvals; no test changes this ledger."""
    return Approving(tmp_path_factory.mktemp("home"))


@pytest.fixture
def shell(made: Approving, tmp_path: Path) -> Approving:
    """Return the same user over a copy of the ledger."""
    copied = copy(made)
    copied.ledger = Path(shutil.copytree(made.ledger, tmp_path / "ledger"))
    copied.environment = {**made.environment, "JITID_LEDGER": str(copied.ledger)}
    return copied


def _end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def _holds(shell: Approving) -> None:
    shell.good("audit", "verify")


def test_it_is_refused_with_an_id_granted_and_issued_once(shell: Approving) -> None:
    done = shell.run("issue", *PAY)
    assert (done.returncode, done.stdout) == (4, "")
    (id_,) = set(re.findall(NUMBER, done.stderr))
    assert f"jitid approve grant {id_}; then repeat the same command, or wait with --wait 10m" in done.stderr
    assert shell.grant(id_).startswith("granted, for one issue, until ")
    issued = shell.run("issue", *PAY)
    assert issued.returncode == 0, issued.stderr
    assert f"approved by `user:bob` for `security` ({id_})" in issued.stderr
    shell.good("verify", stdin=issued.stdout)
    assert shell.ask() != id_
    _holds(shell)


def test_an_error_in_json_says_that_an_approval_is_lacking(shell: Approving) -> None:
    done = shell.run("issue", *PAY, "--format", "json")
    error = json.loads(done.stderr)["error"]
    assert (error["code"], error["retryable"]) == ("needs_approval", False)
    assert re.search(NUMBER, error["message"])


def test_the_hint_acts_on_the_ledger_that_the_line_acts_on(shell: Approving) -> None:
    flags = ("--ledger", str(shell.ledger))
    done = shell.run(*flags, "issue", *PAY, more={"JITID_LEDGER": "/nowhere"})
    assert f"jitid --ledger {shell.ledger} approve grant apr_" in done.stderr
    # An approver authenticates with their own credential, not with that of the requester.
    cli = Invocation()
    cli.remote, cli.credential_file = "https://a.example", "alice.bearer"
    assert cli.command("jitid approve grant apr_1", for_another=True) == (
        "jitid --remote https://a.example approve grant apr_1"
    )
    assert "--credential-file alice.bearer" in cli.command("jitid list")


def test_a_dry_run_asks_nobody_and_waits_for_nobody(shell: Approving) -> None:
    assert shell.run("issue", *PAY, "--dry-run").returncode == 4
    assert shell.run("issue", *PAY, "--dry-run", "--wait", "5m").returncode == 2
    assert shell.waiting() == []


# Waiting


def test_who_waits_gets_it_as_soon_as_it_is_granted(shell: Approving) -> None:
    process, id_ = shell.wait()
    # While it waits, it does not hold the ledger's lock.
    shell.good("issue", "--task", "T1", "--delegator", "alice")
    shell.grant(id_)
    status, out, err = _end(process)
    assert status == 0, err
    shell.good("verify", stdin=out)
    _holds(shell)


def test_who_waits_is_told_of_a_denial_with_its_reason(shell: Approving) -> None:
    process, id_ = shell.wait()
    shell.decide("deny", id_, "carol", "--reason", "not \x1b[31mtoday")
    status, out, err = _end(process)
    assert (status, out) == (4, "")
    assert f"request {id_} was denied by `user:carol` for `security`: `not \\x1b[31mtoday`" in err


@pytest.mark.deep
def test_who_waits_in_vain_is_told_so_and_the_request_stays(shell: Approving) -> None:
    done = shell.run("issue", *PAY, "--wait", "1s")
    assert done.returncode == 4
    (id_,) = set(re.findall(NUMBER, done.stderr))
    assert "not granted by `security` within 1s; the request stays open" in done.stderr
    assert shell.waiting() == [id_]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("verb", ["issue", "run"])
def test_waiting_can_be_broken_off(verb: str, number: signal.Signals, status: int, shell: Approving) -> None:
    process, id_ = shell.wait(*PAY, *(("--", "true") if verb == "run" else ()), verb=verb)
    process.send_signal(number)
    assert _end(process)[:2] == (status, "")
    assert shell.waiting() == [id_]


def test_who_was_killed_while_waiting_is_in_nobodys_way(shell: Approving) -> None:
    process, id_ = shell.wait()
    process.kill()
    assert _end(process)[0] == -signal.SIGKILL
    shell.grant(id_)
    shell.good("issue", *PAY)
    _holds(shell)


def test_what_is_decided_after_the_wait_is_decided_by_the_policy_of_then(shell: Approving) -> None:
    process, id_ = shell.wait()
    stop = '@id("closed") forbid (principal, action, resource);'
    (shell.ledger / "policy" / "stop.cedar").write_text(stop)
    shell.grant(id_)
    status, _, err = _end(process)
    assert status == 4
    assert "rule `closed` forbids it" in err


def test_a_ledger_that_goes_away_ends_the_wait(shell: Approving) -> None:
    process, _ = shell.wait()
    shell.ledger.rename(shell.ledger.parent / "away")
    status, _, err = _end(process)
    assert status == 5, err


def test_of_several_who_wait_for_one_grant_one_gets_it(shell: Approving) -> None:
    waiting = [shell.wait() for _ in range(3)]
    (id_,) = {id_ for _, id_ in waiting}
    shell.grant(id_)
    ends = [_end(process) for process, _ in waiting]
    assert sorted(status for status, _, _ in ends) == [0, 4, 4]
    _holds(shell)


def test_many_can_wait_for_what_they_are_many_of(shell: Approving) -> None:
    process, id_ = shell.wait(*PAY, "--count", "3", "--kind", "opaque")
    assert shell.good("approve", "show", id_, "--field", "copies") == "3\n"
    shell.grant(id_)
    status, out, err = _end(process)
    assert status == 0, err
    assert len(out.splitlines()) == 3
    _holds(shell)


def test_all_lines_of_a_list_that_lack_an_approval_are_asked_for_together(shell: Approving) -> None:
    (shell.home / "lines").write_text('{"scope":"log:read"}\n{"scope":"pay:in"}\n{"scope":"pay:out"}\n')
    line = ("issue", "--task", "PAY-2", "--delegator", "alice", "--from-file", "lines")
    done = shell.run(*line)
    assert done.returncode == 4
    assert "error: line 2: denied: an approval by `security` is required" in done.stderr
    asked = shell.waiting()
    assert shell.run(*line, "--dry-run").returncode == 4
    for id_ in asked:
        shell.grant(id_)
    assert len(shell.good(*line).splitlines()) == 3


# `run`


def test_a_command_that_lacks_an_approval_is_not_started(shell: Approving) -> None:
    done = shell.run("run", *PAY, "--", "touch", "started")
    assert done.returncode == 125
    assert "an approval by `security` is required" in done.stderr
    assert not (shell.home / "started").exists()


def test_a_command_waits_and_has_until_the_end_of_its_one_credential(shell: Approving) -> None:
    asks = 'echo "$JITID_EXPIRES_AT"; jitid() { :; }; cat "$JITID_TOKEN_FILE"'
    process, id_ = shell.wait(*PAY, "--", "sh", "-c", asks, verb="run")
    shell.grant(id_)
    status, out, err = _end(process)
    assert status == 0, err
    until, token = out.splitlines()
    jti = shell.good("inspect", "-", "--field", "jti", stdin=token).strip()
    assert shell.good("inspect", jti, "--format", "json")
    assert until == shell.good("list", "--id", jti, "--field", "expires_at").strip()


# Two processes at once, and killed processes


def test_of_eight_at_once_one_uses_the_grant_and_seven_ask_anew(shell: Approving) -> None:
    used = shell.ask()
    shell.grant(used)
    racing = [shell.start("issue", *PAY) for _ in range(8)]
    ends = [_end(process) for process in racing]
    assert sorted(status for status, _, _ in ends) == [0, *[4] * 7]
    (anew,) = {id_ for status, _, err in ends if status for id_ in re.findall(NUMBER, err)}
    assert anew != used
    assert shell.waiting() == [anew]
    assert len(shell.good("list", "--task", "PAY-1", "--field", "jti").split()) == 1
    _holds(shell)


def test_eight_who_ask_the_same_at_once_make_one_request(shell: Approving) -> None:
    ends = [_end(process) for process in [shell.start("issue", *PAY) for _ in range(8)]]
    assert {status for status, _, _ in ends} == {4}
    assert {id_ for _, _, err in ends for id_ in re.findall(NUMBER, err)} == set(shell.waiting())
    assert len(shell.waiting()) == 1
    _holds(shell)


@pytest.mark.deep
@pytest.mark.parametrize("call", ["pwrite64", "fdatasync", "write"])
def test_an_issue_that_is_killed_has_used_its_approval_or_has_not(call: str, shell: Approving) -> None:
    """A printed credential is in the ledger, and an approval is used exactly if its task exists."""
    line = (*PAY, "--kind", "opaque")
    shell.grant(shell.ask(*line))
    whole = shutil.copytree(shell.ledger, shell.ledger.parent / "whole")
    deaths = 0
    for printed in killed(shell, "issue", ("issue", *line), call, 2):
        deaths += 1
        with World(shell.ledger, now=now()) as world:
            world.check()
            with world.ledger.read() as snapshot:
                (approval,) = ApprovalStore(snapshot).all()
                task = TaskStore(snapshot).find_task("PAY-1")
            assert (approval.ended_as == "used") == (task is not None)
            if printed:
                assert world.verify(printed.strip()).id == approval.identity
        shutil.rmtree(shell.ledger)
        shutil.copytree(whole, shell.ledger)
    assert deaths
    _holds(shell)


def test_what_could_not_be_written_is_revoked_and_its_approval_is_used_up(shell: Approving) -> None:
    id_ = shell.ask()
    shell.grant(id_)
    with Path("/dev/full").open("w") as full:
        line = command("issue", *PAY)
        done = subprocess.run(line, stdout=full, env=shell.environment, cwd=shell.home, check=False)
    assert done.returncode == 74
    assert shell.good("list", "--task", "PAY-1", "--field", "state") == "revoked\n"
    assert shell.ask() != id_


def test_a_word_that_could_not_be_confirmed_has_been_said(shell: Approving) -> None:
    id_ = shell.ask()
    for verb, state in (("grant", "granted"), ("deny", "denied")):
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(
                command("approve", verb, id_, "--delegator-token-file", shell.id_token("bob")),
                stdout=full,
                stderr=subprocess.PIPE,
                env=shell.environment,
                text=True,
            )
        assert done.returncode == 74
        assert f"the decision is recorded: jitid approve show {id_}" in done.stderr
        assert shell.good("approve", "show", id_, "--field", "state") == f"{state}\n"


# Output of `list` and `show`


def test_a_list_says_who_asks_for_what_in_one_line_each(shell: Approving) -> None:
    id_ = shell.ask(*PAY, "--purpose", "\x1b[31mred\u202e")
    status, shown = Terminal(shell, "approve", "list", "--no-color").end()
    assert status == 0
    header, line = shown.splitlines()
    assert header.split() == ["approval", "task", "agent", "delegator", "missing", "left"]
    *found, left = line.split()
    assert found == [id_, "PAY-1", "payer", "user:alice", "security"]
    assert left in ("1d", "23h59m")
    assert shell.good("approve", "list", "--group", "finance") == ""
    assert shell.good("approve", "list", "--open", "--group", "security", "--field", "state") == "open\n"
    shell.grant(id_)
    assert shell.good("approve", "list", "--open") == ""
    assert shell.good("approve", "list", "--field", "state") == "granted\n"
    shell.decide("deny", id_)
    assert shell.good("approve", "list") == ""
    assert shell.good("approve", "list", "--all", "--field", "state") == "denied\n"
    _, shown = Terminal(shell, "approve", "list", "--all", "--no-color").end()
    assert [line.split() for line in shown.splitlines()] == [
        ["approval", "state", "task", "agent", "delegator", "left"],
        [id_, "denied", "PAY-1", "payer", "user:alice", "-"],
    ]


def test_a_list_has_each_id_whole_however_long_the_names_are(shell: Approving) -> None:
    long = "a-rather-long-name-for-a-payer@example.com"
    id_ = shell.ask("--task", f"{long}/1", "--delegator", "alice", "--agent", long, "--scope", "pay:out")
    for more in ((), ("--all",)):
        status, shown = Terminal(shell, "approve", "list", "--no-color", *more).end()
        assert status == 0
        assert id_ in shown
        assert max(map(len, shown.splitlines())) <= 80


def test_what_is_shown_is_harmless_and_whole(shell: Approving) -> None:
    hostile = "\x1b[31mred\u202e\x9b[[bold]]"
    id_ = shell.ask(*PAY, "--purpose", hostile, "--detail", '{"type":"payment","limit":10}')
    status, shown = Terminal(shell, "approve", "show", id_, "--no-color").end()
    assert status == 0
    assert "\\x1b[31mred\\u202e\\x9b[[bold]]" in shown
    assert not re.search("[\x1b\x9b\u202e]", shown)
    assert "rule pay-needs-security of pay.cedar:\n  @id(" in shown
    assert "Whoever moves money" not in shown.partition("rule pay-needs-security")[0]
    assert f"jitid approve grant {id_}" in shown
    told = json.loads(shell.good("approve", "show", id_, "--format", "json"))
    assert told["purpose"] == hostile
    assert told["details"] == ['{"limit":10,"type":"payment"}']
    assert [rule["name"] for rule in told["rules"]] == ["pay-needs-security"]
    assert told["words"][0]["said"] is None


def test_at_a_terminal_it_says_for_how_long_it_still_waits(shell: Approving) -> None:
    terminal = Terminal(shell, "issue", *PAY, "--wait", "60s")
    terminal.until("waiting for a member of `security`, ")
    shell.grant(shell.waiting()[0])
    status, shown = terminal.end()
    assert status == 0, shown
    assert re.search(r"\rjitid: waiting for a member of `security`, \d+s left *\n", shown)


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("approve", "show", "apr_0"), 2),
        (("approve", "show", "jid_00000000000000000000000000"), 2),
        (("approve", "show", "apr_00000000000000000000000000"), 3),
        (("approve", "list", "--open", "--all"), 2),
        (("approve", "list", "--group", ""), 2),
        (("approve", "grant", "apr_00000000000000000000000000"), 3),
        (("approve", "grant", "apr_00000000000000000000000000", "--for", "0"), 2),
        (("approve", "deny", "apr_00000000000000000000000000", "--group", " "), 2),
        (("issue", *PAY, "--wait", "soon"), 2),
    ],
)
def test_what_cannot_be_meant_or_found_has_a_status(
    words: tuple[str, ...], status: int, shell: Approving
) -> None:
    done = shell.run(*words)
    assert done.returncode == status, done.stderr


def test_nobody_approves_by_a_name_that_is_only_said(shell: Approving) -> None:
    """Neither an option nor a variable identifies an approver."""
    id_ = shell.ask()
    variables = {"JITID_DELEGATOR": "bob", "JITID_DELEGATOR_TOKEN_FILE": shell.id_token("bob")}
    done = shell.run("approve", "grant", id_, more=variables)
    assert done.returncode == 4
    assert "approver-" in done.stderr
    assert shell.run("approve", "grant", id_, "--delegator", "bob").returncode == 2
    assert shell.waiting() == [id_]


def test_an_issue_that_needs_no_approval_loads_nothing_of_it(
    made: Approving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JITID_LEDGER", str(made.ledger))
    loaded = loaded_by("issue", "--task", "T0", "--delegator", "alice")
    assert "jitid.capabilities.issue.issuance" in loaded
    assert not {module for module in loaded if "approv" in module or module.endswith(("consent", "waiting"))}
