"""`scan` and tokens that no longer work: they are marked, come last, and do not fail the scan."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from jitid.capabilities.issue.operations import Renew
from jitid.model.request import RenewRequest
from jitid.values.secret import Secret
from tests.builders import World
from tests.real import Shell


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Return a shell with a live token, and with tokens that were revoked, in files that sort before it."""
    made = Shell(tmp_path_factory.mktemp("home"))
    for name, more in (("a-signed", ()), ("b-opaque", ("--kind", "opaque")), ("c-live", ())):
        made.good("-q", "issue", "--task", name, "--delegator", "alice", "--out", name, *more)
    made.good("-q", "issue", "--parent-file", "a-signed", "--out", "child")
    made.good("revoke", "--token-file", "a-signed", "--token-file", "b-opaque")
    return made


def test_a_token_that_no_longer_works_does_not_fail_a_scan(shell: Shell) -> None:
    done = shell.run("scan", "a-signed", "b-opaque")
    assert done.returncode == 0, done.stdout
    signed, opaque = [line.split("\t") for line in done.stdout.splitlines()[:2]]
    assert signed[:3] == ["open", "medium", "secret-ended"]
    assert ": no longer valid: revoked at 2" in signed[4]
    assert "; verifiers that do not query this ledger may accept it until 2" in signed[4]
    assert opaque[:3] == ["open", "low", "secret-dead"]
    assert ": no longer valid: revoked at 2" in opaque[4]
    assert shell.run("scan", "a-signed", "--fail-on", "medium").returncode == 10


def test_a_revoked_access_token_is_marked(shell: Shell) -> None:
    granted = shell.good("access", "grant", "user:alice", "--out", "access", "--field", "id").strip()
    done = shell.run("scan", "access", "--field", "rule")
    assert (done.returncode, done.stdout) == (10, "access-live\n")
    shell.good("access", "revoke", granted)
    done = shell.run("scan", "access", "--field", "rule", "--field", "summary")
    assert done.returncode == 0
    assert done.stdout.startswith("secret-dead\tno longer valid: the access token of ")


def test_tokens_that_work_come_first(shell: Shell) -> None:
    done = shell.run("scan", "a-signed", "b-opaque", "c-live", "--format", "json")
    assert done.returncode == 10
    findings = json.loads(done.stdout)["findings"]
    assert [one["rule"] for one in findings] == ["secret-live", "secret-ended", "secret-dead"]
    assert [one["evidence"]["path"] for one in findings] == ["c-live", "a-signed", "b-opaque"]


def test_an_ended_token_with_a_live_identity_is_still_to_be_revoked(tmp_path: Path) -> None:
    """A renewal makes a successor, so the identity stays live, and its leak has a remedy. Then there is none."""
    shell = Shell(tmp_path)
    shell.good("-q", "issue", "--task", "T", "--delegator", "alice", "--out", "old")
    with World(shell.ledger, now=int(time.time()), overlap=0) as world:
        old = Secret.single((shell.home / "old").read_text().strip())
        new = world.authority.perform(Renew(request=RenewRequest(old))).credentials[0].secret.reveal()
    done = shell.run("scan", "old", "--format", "json")
    assert done.returncode == 10, done.stderr
    (finding,) = json.loads(done.stdout)["findings"]
    assert (finding["rule"], finding["severity"]) == ("secret-live", "critical")
    assert "no longer valid: superseded at 2" in finding["summary"]
    assert "; its identity is live" in finding["summary"]
    assert finding["remedy"].startswith("jitid revoke jti_")
    assert shell.run("scan", "old", "--revoke").returncode == 0
    assert shell.run("verify", stdin=new).returncode == 8
    assert shell.good("scan", "old", "--field", "rule") == "secret-ended\n"
