"""`jitid status` and `jitid whoami` at a remote authority: for callers with roles, without one, and for an agent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.real import Shell, command
from tests.server.asking import grant
from tests.serving import serving


class Clients(NamedTuple):
    """Callers of one authority, and the shell beside its ledger."""

    admin: Shell
    alice: Shell
    bob: Shell
    night: Shell
    issuer: str


def shown(shell: Shell, verb: str) -> dict[str, Any]:
    """Return the answer of a verb as JSON."""
    found: dict[str, Any] = json.loads(shell.good(verb, "--format", "json"))
    return found


def text(shell: Shell, verb: str) -> str:
    """Return the answer of a verb as on a terminal."""
    done = shell.run(verb, more={"JITID_FORMAT": "table"})
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    """Yield callers with and without roles; alice has two credentials, of which one leaked, and bob has one."""
    folder = tmp_path_factory.mktemp("remote-status")
    admin = Shell(folder)
    for task, delegator in (("A1", "alice"), ("A2", "alice"), ("B1", "bob")):
        admin.good("-q", "issue", "--task", task, "--delegator", delegator, "--out", task)
    admin.good("leak", "add", "--source", "log", "-q", stdin=(folder / "A1").read_text())
    admin.good("sweep", "--fail-on", "critical", "--skip", "leaked-live")

    with serving(folder, ledger=admin.ledger) as served:

        def client(name: str, *roles: str) -> Shell:
            shell = Shell(folder / name.partition(":")[2])
            shell.home.mkdir()
            token = shell.home / "access"
            token.touch(0o600)
            token.write_text(grant(admin, name, *roles))
            del shell.environment["JITID_LEDGER"]
            shell.environment["JITID_REMOTE"] = served.url
            shell.environment["JITID_REMOTE_CREDENTIAL_FILE"] = str(token)
            return shell

        yield Clients(
            admin,
            client("user:alice"),
            client("user:bob"),
            client("system:night", "sweeper", "auditor"),
            shown(admin, "status")["issuer"],
        )


def test_without_a_role_the_counts_are_about_own_credentials_only(clients: Clients) -> None:
    found = shown(clients.alice, "status")
    assert (found["live"], found["open_tasks"], found["issuer"]) == (2, 2, clients.issuer)
    assert [found[name] for name in ("leaked", "standing", "unsettled", "approvals")] == [None] * 4
    assert (found["swept_at"], found["findings"], found["next"]) == (None, None, "jitid list --live")
    found = shown(clients.bob, "status")
    assert (found["live"], found["open_tasks"]) == (1, 1)
    words = text(clients.bob, "status")
    assert "live       1 credential; " in words
    assert "scope      your own credentials only" in words
    assert not {"leaked", "sweep"} & {line.split()[0] for line in words.splitlines()}


def test_the_next_command_for_own_credentials_is_permitted(clients: Clients) -> None:
    assert len(clients.alice.good("list", "--live").splitlines()) == 2


def test_with_a_role_the_counts_are_about_the_ledger(clients: Clients) -> None:
    found = shown(clients.night, "status")
    assert (found["live"], found["leaked"], found["next"]) == (3, 1, "jitid leak list --valid")


def test_the_sweep_of_an_authority_is_recorded_with_the_time_there(clients: Clients) -> None:
    """The record belongs to the user who swept, and to the address of the authority."""
    assert shown(clients.night, "status")["swept_at"] is None
    done = clients.night.run("sweep", "--format", "json")
    assert done.returncode == 10
    found = shown(clients.night, "status")
    assert found["swept_at"] == json.loads(done.stdout)["summary"]["at"]
    assert found["findings"]["critical"] == 1
    assert shown(clients.bob, "status")["swept_at"] is None


def test_whoami_names_the_caller_and_its_roles(clients: Clients) -> None:
    night = shown(clients.night, "whoami")
    assert (night["caller"], night["roles"], night["issuer"]) == (
        "system:night",
        ["auditor", "sweeper"],
        clients.issuer,
    )
    alice = shown(clients.alice, "whoami")
    assert (alice["caller"], alice["delegator"], alice["proof"], alice["roles"]) == (
        "user:alice",
        "user:alice",
        "credential",
        [],
    )
    assert alice["ledger"] == clients.alice.environment["JITID_REMOTE"]
    assert (clients.alice.home / "access").read_text() not in json.dumps(alice) + text(
        clients.alice, "whoami"
    )


def test_whoami_within_run_names_the_agent_and_its_task(clients: Clients) -> None:
    inner = command("whoami", "--format", "json")
    found = json.loads(clients.alice.good("run", "--task", "R1", "--agent", "worker", "-q", "--", *inner))
    assert (found["agent"], found["task"], found["issuer"]) == ("worker", "R1", clients.issuer)
    assert found["expires_at"] is not None


def test_a_mistyped_name_is_not_a_denial(clients: Clients) -> None:
    """The look-up of a name requests no more than the caller may see; its own name is found."""
    before = clients.admin.good("audit", "log", "--operation", "denial", "--field", "hash")
    for line in (
        ("inspect", "nobody"),
        ("list", "nobody"),
        ("list", "--tree", "nobody"),
        ("revoke", "nobody"),
    ):
        assert clients.bob.run(*line).returncode == 2
    assert clients.admin.good("audit", "log", "--operation", "denial", "--field", "hash") == before
    assert clients.bob.good("list", "bob", "--field", "task") == "B1\n"
    assert clients.bob.run("list", "alice").returncode == 2
    assert len(clients.night.good("list", "alice", "--field", "task").splitlines()) >= 2


def test_a_refused_caller_learns_nothing(clients: Clients) -> None:
    wrong = clients.bob.home / "wrong"
    wrong.touch(0o600)
    wrong.write_text("jitid_" + "0" * 38)
    for verb in ("status", "whoami"):
        done = clients.bob.run(verb, more={"JITID_REMOTE_CREDENTIAL_FILE": str(wrong)})
        assert (done.returncode, done.stdout) == (6, "")
        assert "jitid_0" not in done.stderr


def test_an_authority_that_does_not_answer_is_an_error(clients: Clients, tmp_path: Path) -> None:
    for verb in ("status", "whoami"):
        done = clients.bob.run(verb, "--timeout", "1s", more={"JITID_REMOTE": f"unix://{tmp_path}/none"})
        assert (done.returncode, done.stdout) == (5, "")
