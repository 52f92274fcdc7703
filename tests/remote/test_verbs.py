"""The verbs of the command line against an authority elsewhere: as beside the ledger."""

from __future__ import annotations

import json

from tests.real import Shell
from tests.serving import Served


def issue(client: Shell, *arguments: str) -> str:
    """Issue one credential and return its token."""
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


def test_nothing_is_kept_here(client: Shell) -> None:
    issue(client)
    client.run("sweep")
    assert not [path for path in client.home.rglob("*") if path.is_file()]


def test_a_denial_ends_as_beside_the_ledger(client: Shell) -> None:
    done = client.run("issue", "--task", "T1", "--sensitivity", "critical", "--scope", "*")
    assert done.returncode == 4
    assert "denied" in done.stderr


def test_an_authority_that_is_gone_is_exit_5(client: Shell, served: Served) -> None:
    assert served.stop() == 0
    done = client.run("list", "--timeout", "2")
    assert done.returncode == 5
    assert "cannot be reached" in done.stderr
