"""The verbs of the command line with a remote authority: they work as with a local ledger."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from jitid.authority.remote import RemoteAuthority
from jitid.capabilities.audit.audit_log import LogFilter
from jitid.capabilities.identity.filter_store import Filter
from jitid.capabilities.integrity import operations as integrity_operations
from jitid.capabilities.inventory import operations as inventory_operations
from jitid.operation.base import PagedOperation
from jitid.system.authority_address import parse_address
from jitid.values.secret import new_opaque
from tests.cli.approving import ISSUER, POLICY
from tests.crypto.signed import ED25519
from tests.crypto.signed import token as signed
from tests.mcp.asking import API, OPENING, called, lines, piped
from tests.real import Shell, command, until
from tests.serving import Served


def issue(client: Shell, *arguments: str) -> str:
    """Issue one credential, and return its token."""
    done = client.run("issue", "--task", "T1", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_credential_from_its_issue_to_its_end(client: Shell) -> None:
    token = issue(client, "--delegator", "bob", "--scope", "repo:acme:read")
    assert client.run("verify", stdin=token).returncode == 0
    told = json.loads(client.run("inspect", "-", "--format", "json", stdin=token).stdout)
    assert told["active"] is True
    renewed = client.run("renew", stdin=token)
    assert renewed.returncode == 0, renewed.stderr
    assert client.run("retire", "T1").returncode == 0
    for dead in (token, renewed.stdout):
        done = client.run("verify", stdin=dead)
        assert done.returncode == 8, done.stderr


def test_who_names_nobody_delegates_as_whom_they_are_proved_to_be(client: Shell) -> None:
    told = json.loads(client.run("issue", "--task", "T1", "--format", "json").stdout)
    assert (told["delegator"], told["delegator_proof"]) == ("user:alice", "os-user")


def test_nothing_is_kept_here_but_the_time_of_a_sweep(client: Shell) -> None:
    issue(client)
    client.run("sweep")
    (kept,) = (path for path in client.home.rglob("*") if path.is_file())
    assert kept.name.startswith("last-sweep-")


def test_a_denial_ends_as_beside_the_ledger(client: Shell) -> None:
    done = client.run("issue", "--task", "T1", "--sensitivity", "critical", "--scope", "*")
    assert done.returncode == 4
    assert "denied" in done.stderr


@pytest.mark.deep
def test_an_authority_that_is_gone_is_exit_5(client: Shell, served: Served) -> None:
    assert served.stop() == 0
    done = client.run("list", "--timeout", "2")
    assert done.returncode == 5
    assert "cannot be reached" in done.stderr


def test_a_command_holds_a_credential_that_ends_with_it(client: Shell) -> None:
    """The command inside delegates with its own credential."""
    inside = 'jitid verify <"$JITID_TOKEN_FILE" >&2 && jitid issue --agent sub --task T1'
    tools = client.home / "bin"
    tools.mkdir()
    script = tools / "jitid"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m jitid "$@"\n')
    script.chmod(0o755)
    client.environment["PATH"] = f"{tools}:{client.environment['PATH']}"
    done = client.run("run", "--task", "T1", "--", "sh", "-c", inside)
    assert done.returncode == 0, done.stderr
    rows = json.loads(client.run("list", "--format", "json").stdout)["items"]
    assert [(row["agent"], row["depth"], row["state"]) for row in rows] == [
        ("sub", 1, "revoked"),
        ("sh", 0, "revoked"),
    ]


def test_what_could_not_be_handed_out_is_ended_there(client: Shell) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command("issue", "--task", "T1"),
            env=client.environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 74, done.stderr
    (row,) = json.loads(client.run("list", "--format", "json").stdout)["items"]
    assert row["state"] == "revoked"


def test_a_sweep_finds_and_ends(client: Shell) -> None:
    """Findings arrive one by one, and --fix ends the credentials that they report."""
    token = issue(client, "--delegator", "bob")
    assert client.run("leak", "add", "--source", "a log", stdin=token).returncode in (0, 9)
    found = client.run("sweep", "--rule", "leaked-live", "--format", "json")
    assert found.returncode == 0 or json.loads(found.stdout)
    fixed = client.run("sweep", "--rule", "leaked-live", "--fix")
    assert fixed.returncode == 0, fixed.stderr
    assert client.run("verify", stdin=token).returncode == 8


@pytest.mark.deep
@pytest.mark.parametrize(
    "line",
    [
        "list",
        "task list",
        "task show T1",
        "tree --task T1",
        "report",
        "report --format json",
        "audit log",
        "audit log --members",
        "audit head",
        "audit verify",
        "audit export",
        "keys list",
        "keys jwks",
        "keys rotate",
        "leak list",
        "agent list",
        "agent classify",
        "agent suggest --task T1",
        "delegator add carol",
        "delegator list",
        "approve list",
        "audit log --action s3:GetObject",
    ],
)
def test_a_verb_answers_as_beside_the_ledger(client: Shell, line: str) -> None:
    issue(client)
    done = client.run(*line.split())
    assert done.returncode == 0, done.stderr


def test_use_is_recorded_there(client: Shell) -> None:
    token = issue(client, "--scope", "s3:GetObject")
    done = client.run("authorize", "--action", "s3:GetObject", "--resource", "bucket", stdin=token)
    assert done.returncode == 0, done.stderr
    batch = json.dumps({"token": token, "action": "s3:GetObject", "resource": "b"}) + "\n"
    done = client.run("authorize", "--batch", stdin=batch * 2)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('"decision": "allow"') == 2


def test_a_trace_finds_whose_credential_a_string_is(client: Shell) -> None:
    token = issue(client)
    done = client.run("trace", "-", "--format", "json", stdin=f"log {token} log\n")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["items"][0]["match"] == "jwt"


@pytest.mark.parametrize("line", ["schedule cron", "serve", "policy show"])
def test_a_verb_that_makes_sense_beside_the_ledger_alone_says_so(client: Shell, line: str) -> None:
    done = client.run(*line.split())
    assert done.returncode == 2
    assert "only on the machine of the ledger" in done.stderr


def test_what_is_too_much_for_one_answer_is_asked_for_page_by_page(
    client: Shell, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PagedOperation, "page_size", 2)
    monkeypatch.setattr(integrity_operations.ReadLog, "page_size", 2)
    for number in range(5):
        issue(client, "--task", f"T{number}")
    authority = RemoteAuthority(parse_address(f"unix://{served.socket}"), None, timeout=30)
    chosen = inventory_operations.ListCredentials(
        chosen=Filter(), sort="issued_at", descending=True, after=None, limit=1 << 31
    )
    found = authority.perform(chosen).credentials
    assert len({row.jti for row in found}) == len(found) == 5
    tasks = authority.perform(inventory_operations.ListTasks(state=None, after=None, limit=3))
    assert [row.task.name for row in tasks] == ["T4", "T3", "T2"]
    events = authority.perform(integrity_operations.ReadLog(chosen=LogFilter(operation="issue"), limit=None))
    assert [event["task"] for event in events] == [f"T{number}" for number in range(5)]
    authority.close()


@pytest.mark.deep
def test_a_long_text_is_searched_for_in_parts(client: Shell) -> None:
    """The text has more strings than an authority accepts in one request."""
    token = issue(client)
    text = "\n".join(new_opaque(os.urandom) for _ in range(20_000))
    done = client.run("trace", "-", "--format", "json", stdin=f"{text}\n{token}\n")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["items"][0]["match"] == "jwt"
    done = client.run("leak", "add", "--source", "a log", stdin=f"{text}\n{token}\n")
    assert done.returncode == 0, done.stderr


@pytest.mark.deep
def test_the_report_of_a_scanner_travels_with_its_places(client: Shell) -> None:
    """The report has more places than an authority accepts in one request; the timeline shows the outcome."""
    token = issue(client)
    found = [
        {"RuleID": "jwt", "Secret": secret, "File": f"{'x' * 900}/{number}", "StartLine": number + 1}
        for number in range(150)
        for secret in (token, new_opaque(os.urandom), new_opaque(os.urandom), "AKIAIOSFODNN7EXAMPLE")
    ]
    (client.home / "found.json").write_text(json.dumps(found))
    arguments = ("leak", "add", "--from", str(client.home / "found.json"), "--source", "git", "--revoke")
    done = client.run(*arguments, "--format", "json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["findings"], told["findings_ours"], told["unknown"]) == (600, 150, 300)
    assert (told["items"][0]["places"], told["ended"]["ended"]) == (150, 1)
    done = client.run("leak", "timeline", "1", "--format", "json")
    (item,) = json.loads(done.stdout)["items"]
    assert [step["what"] for step in item["timeline"]] == ["issued", "reported", "ended", "proved"]
    assert len(item["sightings"]) == 100


@pytest.mark.deep
def test_an_approval_is_waited_for(client: Shell, served: Served) -> None:
    """The authority records the request and its approval, and the waiting command continues."""
    (served.log.parent / "ledger" / "policy" / "pay.cedar").write_text(POLICY)
    assert client.run("delegator", "add", "bob", "--group", "security").returncode == 0
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": "jitid", "sub": "bob", "iat": now, "exp": now + 3600}
    proof = client.home / "bob.jwt"
    proof.write_text(signed({"alg": "EdDSA", "typ": "JWT", "kid": "k1"}, claims, ED25519))
    waiting = subprocess.Popen(
        command("issue", "--task", "T1", "--scope", "pay:out", "--wait", "1m"),
        env=client.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        asked: list[str] = []

        def is_asked() -> bool:
            asked[:] = client.run("approve", "list", "--field", "approval").stdout.split()
            return bool(asked)

        until(is_asked, "nobody asks for an approval")
        # The requester may not present the approver's token; a caller without a part in the request may.
        own = client.run("approve", "grant", asked[0], "--delegator-token-file", str(proof))
        assert (own.returncode, "approver-requester" in own.stderr) == (4, True)
        desk = str(client.home / "desk")
        assert client.run("access", "grant", "system:desk", "--out", desk).returncode == 0
        granted = client.run(
            "--credential-file", desk, "approve", "grant", asked[0], "--delegator-token-file", str(proof)
        )
        assert granted.returncode == 0, granted.stderr
        token, told = waiting.communicate(timeout=60)
    finally:
        waiting.kill()
        waiting.communicate()
    assert waiting.returncode == 0, told
    assert client.run("verify", stdin=token).returncode == 0


def test_an_agent_delegates_through_its_server(client: Shell) -> None:
    """`jitid mcp` calls the authority with the agent's own credential."""
    token = client.home / "own.jwt"
    token.write_text(issue(client, "--scope", "repo:acme:read", "--may-audience", API))
    token.chmod(0o600)
    client.environment["JITID_PARENT_FILE"] = str(token)
    calls = lines(
        OPENING,
        called(1, "whoami", {}),
        called(2, "what_may_i_do", {"agent": "coder", "scopes": ["repo:acme:read"]}),
        called(3, "request_identity", {"agent": "coder", "scopes": ["repo:acme:read"]}),
    )
    answers = piped(client, calls, token=str(token))
    told = [answer["result"]["structuredContent"] for answer in answers[1:]]
    assert told[0]["agent"] == "agent"
    assert told[1]["permitted"] is True
    assert told[2]["depth"] == 1
    del client.environment["JITID_PARENT_FILE"]
    rows = json.loads(client.run("list", "--format", "json").stdout)["items"]
    assert {row["agent"]: row["state"] for row in rows} == {"agent": "active", "coder": "revoked"}


def test_a_ledger_is_copied_beside_it_alone(client: Shell) -> None:
    done = client.run("ledger", "copy", "--to", str(client.home / "copy"))
    assert done.returncode == 2
    assert "only on the machine of the ledger" in done.stderr
    assert not (client.home / "copy").exists()


@pytest.mark.deep
def test_a_scan_asks_it_about_what_it_found(client: Shell) -> None:
    """A scan needs several requests: it looks each string up once, and proves each recorded leak at once."""
    token = issue(client, "--kind", "opaque")
    tree = client.home / "tree"
    tree.mkdir()
    for number in range(3):
        (tree / f"{number}.txt").write_text(f"\n{token}\n")
    unknown = (new_opaque(os.urandom) for _ in range(12_000))
    (tree / "unknown").write_text("\n".join(unknown))
    done = client.run("scan", "tree", "--report", "--revoke", "--reason", "found", "--field", "rule")
    assert done.returncode == 0, done.stderr
    assert Counter(done.stdout.split()) == {"secret-unknown": 12_000, "secret-dead": 3}
    assert "recorded 1 leak" in done.stderr
    assert "revoked 1 live credential" in done.stderr
    assert client.good("leak", "list", "--field", "places").split() == ["3"]


def test_rows_go_at_an_administrators_request_and_the_log_is_cut_where_it_is(
    client: Shell, tmp_path: Path
) -> None:
    issue(client)
    told = json.loads(client.run("prune", "--format", "json").stdout)
    assert (told["credentials"], told["left"], told["event"]) == (0, 0, None)
    done = client.run("prune", "--export", str(tmp_path / "old"))
    assert (done.returncode, "on the machine of the ledger" in done.stderr) == (2, True)
    assert not (tmp_path / "old").exists()
