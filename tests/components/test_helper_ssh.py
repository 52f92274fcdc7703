"""`jitid helper ssh` as ssh calls it: a real ssh, a real ssh-agent, a real sshd."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jitid.capabilities.run.delivery.ssh_keys import SshAgent
from jitid.crypto import openssh
from jitid.system import ssh_agent
from tests.real import Shell, command, need, until
from tests.sshd import Sshd, sshd

ASKED = ("--task", "ROLLOUT-7", "--delegator", "alice", "--agent", "deployer")


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    found = Shell(tmp_path_factory.mktemp("home"))
    found.good("issue", "--task", "FIRST", "--delegator", "alice", "--kind", "ssh-cert")
    found.good("delegator", "add", "alice")
    found.good(
        *["agent", "register", "deployer", "--owner", "alice", "--purpose", "rollouts", "--kind", "ssh-cert"]
    )
    return found


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, shell: Shell) -> Iterator[Sshd]:
    with sshd(tmp_path_factory.mktemp("sshd")) as server:
        shell.good("keys", "ssh", "--out", str(server.authorities))
        server.principals.write_text("agent:deployer\n")
        yield server


@pytest.fixture
def agent() -> Iterator[SshAgent]:
    need("ssh-agent")
    with tempfile.TemporaryDirectory() as folder:
        started = SshAgent(folder)
        try:
            yield started
        finally:
            started.close()


def held(agent: SshAgent) -> list[ssh_agent.HeldKey]:
    with ssh_agent.connected(agent.path, 10) as connection:
        return connection.held()


def ids(agent: SshAgent) -> list[str]:
    """Return the ids of the certificates in an agent, in the agent's order."""
    return [
        openssh.parse_certificate(openssh.line("ssh-ed25519-cert-v01@openssh.com", one.blob)).key_id
        for one in held(agent)
    ]


def ask(shell: Shell, agent: SshAgent, *more: str) -> subprocess.CompletedProcess[str]:
    return shell.run("helper", "ssh", *(more or ASKED), more={"SSH_AUTH_SOCK": agent.path})


def state(shell: Shell, jti: str) -> str:
    return shell.good("inspect", jti, "--field", "state").strip()


@pytest.mark.deep
def test_ssh_asks_for_it_and_is_let_in(shell: Shell, host: Sshd, agent: SshAgent, tmp_path: Path) -> None:
    asking = shlex.join(command("helper", "ssh", *ASKED))
    (tmp_path / "config").write_text(
        f'Match host 127.0.0.1 exec "{asking}"\n    IdentityAgent {agent.path}\n'
    )
    environment = {**shell.environment, "SSH_AUTH_SOCK": agent.path}

    def log_in() -> str:
        line = host.command("echo", "in", options=["-F", str(tmp_path / "config")])
        line.remove("none")
        line.remove("-F")
        done = subprocess.run(
            line, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60
        )
        return done.stdout or done.stderr

    assert log_in() == "in\n"
    (first,) = ids(agent)
    assert first in host.log
    # The same certificate is used again. After its end, the helper requests a new one.
    assert log_in() == "in\n"
    assert ids(agent) == [first]
    shell.good("revoke", first)
    assert log_in() == "in\n"
    (second,) = ids(agent)
    assert second != first
    assert (state(shell, first), state(shell, second)) == ("revoked", "active")


@pytest.mark.deep
def test_the_agent_forgets_it_as_it_expires(shell: Shell, agent: SshAgent) -> None:
    assert ask(shell, agent, *ASKED, "--ttl", "3s").returncode == 0
    until(lambda: not held(agent), "the agent still has it")


def test_what_is_asked_for_otherwise_is_another(shell: Shell, agent: SshAgent) -> None:
    assert ask(shell, agent).returncode == 0
    assert ask(shell, agent, *ASKED, "--ttl", "5m").returncode == 0
    assert ask(shell, agent).returncode == 0
    assert len(ids(agent)) == 2


def test_other_keys_of_the_user_stay(shell: Shell, agent: SshAgent, tmp_path: Path) -> None:
    own = tmp_path / "own"
    subprocess.run(
        [need("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "jitid mine", "-f", str(own)], check=True
    )
    subprocess.run(
        [need("ssh-add"), "-q", str(own)], check=True, env={**os.environ, "SSH_AUTH_SOCK": agent.path}
    )
    assert ask(shell, agent).returncode == 0
    assert "jitid mine" in [one.comment for one in held(agent)]
    assert len(held(agent)) == 2


def test_within_a_run_it_descends_from_what_the_run_holds(
    shell: Shell, agent: SshAgent, tmp_path: Path
) -> None:
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\n{shlex.join(command('helper', 'ssh'))} && ssh-add -L\n")
    script.chmod(0o755)
    done = shell.run(
        *("run", "--task", "NIGHT-1", "--delegator", "alice", "--agent", "planner"),
        *("--may-kind", "ssh-cert", "--", str(script)),
        more={"SSH_AUTH_SOCK": agent.path},
    )
    assert done.returncode == 0, done.stderr
    (jti,) = ids(agent)
    assert openssh.parse_certificate(done.stdout.strip()).key_id == jti
    assert shell.good("inspect", jti, "--field", "txn") == "NIGHT-1\n"
    # The run has ended, so its descendants have ended too.
    assert state(shell, jti) == "revoked"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--kind", "jwt"), "accepts only keys with SSH certificates"),
        (("--kind", "ssh-cert:nothing"), "no target"),
        (("--kind", ""), "is blank"),
        (("--field", "jti"), "--field does not apply here"),
    ],
)
def test_what_cannot_be_meant_makes_nothing(
    shell: Shell, agent: SshAgent, more: tuple[str, ...], said: str
) -> None:
    done = ask(shell, agent, *ASKED, *more)
    assert (done.returncode, done.stdout, held(agent)) == (2, "", [])
    assert said in done.stderr


@pytest.mark.parametrize(("path", "status"), [("", 2), ("/nowhere/agent", 5)])
def test_without_an_agent_nothing_is_issued(shell: Shell, path: str, status: int) -> None:
    before = shell.good("list", "--task", "ROLLOUT-7") if path else ""
    done = shell.run("helper", "ssh", *ASKED, more={"SSH_AUTH_SOCK": path})
    assert (done.returncode, done.stdout) == (status, "")
    if path:
        assert shell.good("list", "--task", "ROLLOUT-7") == before


def test_what_the_agent_does_not_take_is_revoked(shell: Shell, agent: SshAgent, tmp_path: Path) -> None:
    askpass = tmp_path / "askpass"
    askpass.write_text("#!/bin/sh\necho x\n")
    askpass.chmod(0o700)
    subprocess.run(
        [need("ssh-add"), "-x"],
        check=True,
        capture_output=True,
        env={
            **os.environ,
            "SSH_AUTH_SOCK": agent.path,
            "SSH_ASKPASS": str(askpass),
            "SSH_ASKPASS_REQUIRE": "force",
        },
    )
    done = ask(shell, agent, "--task", "LOCKED", "--delegator", "alice")
    assert done.returncode == 6
    assert "refuses a key" in done.stderr
    assert shell.good("list", "--task", "LOCKED", "--field", "state") == "revoked\n"
