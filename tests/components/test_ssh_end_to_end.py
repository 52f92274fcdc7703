"""A task on a host: certificates of the command line at a real sshd, from their issue to their end."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real import Shell, need
from tests.sshd import Sshd, sshd

CONFIGURATION = """\
[target.hosts]
kind = "ssh-cert"

[target.hosts.template.restart]
principals = ["web:restart"]
source_address = ["127.0.0.0/8"]
force_command = 'echo "restarted for $SSH_ORIGINAL_COMMAND"'

[target.hosts.template.shell]
principals = ["web:shell"]
extensions = ["permit-pty"]
"""


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    found = Shell(tmp_path_factory.mktemp("home"))
    found.permit_kinds()
    configuration = found.home / ".config/jitid/config.toml"
    configuration.parent.mkdir(parents=True)
    configuration.write_text(CONFIGURATION)
    found.good("issue", "--task", "FIRST", "--delegator", "alice", "--kind", "opaque")
    found.good("delegator", "add", "alice")
    found.good(
        *["agent", "register", "deployer", "--owner", "alice", "--purpose", "rollouts", "--kind", "ssh-cert"]
    )
    found.good("keys", "rotate", "--use", "ssh")
    return found


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, shell: Shell) -> Iterator[Sshd]:
    with sshd(tmp_path_factory.mktemp("sshd")) as server:
        shell.good("keys", "ssh", "--out", str(server.authorities))
        shell.good("keys", "krl", "--out", str(server.revoked))
        server.principals.write_text("agent:deployer\nweb:restart\nweb:shell\n")
        yield server


def issue(shell: Shell, key: Path, *more: str, kind: str = "ssh-cert") -> str:
    """Issue a certificate, with its key at `key`, and return its id."""
    shell.good("issue", "--delegator", "alice", "--kind", kind, "--out", str(key), *more)
    return shell.good("inspect", f"{key}-cert.pub", "--field", "jti").strip()


@pytest.mark.deep
def test_what_sshd_logs_is_found_in_the_ledger_and_what_is_revoked_is_refused(
    shell: Shell, host: Sshd, tmp_path: Path
) -> None:
    key = tmp_path / "deploy"
    jti = issue(shell, key, "--task", "ROLLOUT-7", "--agent", "deployer")
    assert host.run(key, "echo", "in").stdout == "in\n"
    logged = re.findall(r"ID (jti_\w+) \(serial \d+\)", host.log)
    assert jti in logged
    assert shell.good("inspect", jti, "--field", "txn") == "ROLLOUT-7\n"
    shell.good("revoke", jti)
    # Hosts do not query jitid: until a host fetches the list, the certificate is accepted.
    assert host.run(key, "echo", "in").stdout == "in\n"
    shell.good("keys", "krl", "--out", str(host.revoked))
    assert host.run(key, "echo", "in").returncode == 255
    assert "revoked" in host.log


def test_a_template_of_the_configuration_says_what_it_may_do(
    shell: Shell, host: Sshd, tmp_path: Path
) -> None:
    restart, open_ = tmp_path / "restart", tmp_path / "shell"
    issue(shell, restart, "--task", "WEB-1", "--agent", "janitor", kind="ssh-cert:restart")
    assert host.run(restart, "web").stdout == "restarted for web\n"
    issue(shell, open_, "--task", "WEB-1", "--agent", "janitor", kind="ssh-cert:hosts/shell")
    done = host.run(open_, "test -t 0 && echo terminal", options=["-tt"])
    assert done.stdout.strip() == "terminal"
    none = shell.run("issue", "--task", "WEB-1", "--delegator", "alice", "--kind", "ssh-cert:nothing")
    assert (none.returncode, none.stdout) == (2, "")


@pytest.mark.deep
def test_a_rotated_key_is_trusted_beside_its_successor(shell: Shell, host: Sshd, tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    issue(shell, before, "--task", "ROLLOUT-8", "--agent", "deployer")
    shell.good("keys", "rotate", "--use", "ssh")
    issue(shell, after, "--task", "ROLLOUT-8", "--agent", "deployer")
    assert host.run(after, "true").returncode == 255
    shell.good("keys", "ssh", "--out", str(host.authorities))
    assert host.run(before, "true").returncode == host.run(after, "true").returncode == 0
    shell.good("retire", "ROLLOUT-8")
    shell.good("keys", "krl", "--out", str(host.revoked))
    assert host.run(before, "true").returncode == host.run(after, "true").returncode == 255


def test_a_key_that_never_was_here_is_certified(shell: Shell, host: Sshd, tmp_path: Path) -> None:
    key = tmp_path / "own"
    subprocess.run([need("ssh-keygen"), "-q", "-t", "ecdsa", "-N", "", "-f", str(key)], check=True)
    shell.good(
        *(
            "issue",
            "--task",
            "ROLLOUT-9",
            "--delegator",
            "alice",
            "--agent",
            "deployer",
            "--kind",
            "ssh-cert",
        ),
        *("--public-key", f"{key}.pub", "--out", f"{key}-cert.pub"),
    )
    assert host.run(key, "echo", "in").stdout == "in\n"
