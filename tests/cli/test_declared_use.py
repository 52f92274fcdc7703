"""`use.cedarschema`, beside the policy in force, declares types of a context: an IP address may be a text."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real import Shell, command

POLICY = """@id("all") permit (principal, action in [Action::"issue", Action::"grant"], resource);
@id("inside") permit (principal, action == Action::"authorize", resource)
when { context.use has ip && context.use.ip.isInRange(ip("10.0.0.0/8")) };
"""
DECLARED = "type Use = { ip?: ipaddr };\n"
USE = ("authorize", "--token-file", "token", "--action", "a:b", "--resource", "r")


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """Return a user with a token in `~/token`, and a policy that permits uses from addresses in 10.0.0.0/8."""
    shell = Shell(tmp_path)
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "p.cedar").write_text(POLICY)
    (tmp_path / "policy" / "use.cedarschema").write_text(DECLARED)
    shell.environment["JITID_POLICY"] = str(tmp_path / "policy")
    shell.good("-q", "issue", "--task", "T1", "--delegator", "alice", "--scope", "a:b", "--out", "token")
    yield shell
    shell.good("audit", "verify")


@pytest.mark.deep
@pytest.mark.parametrize(
    ("use", "status"),
    [
        ('{"ip":"10.1.2.3"}', 0),
        ('{"ip":"11.1.2.3"}', 4),
        ('{"ip":{"__extn":{"fn":"ip","arg":"10.1.2.3"}}}', 0),
        ('{"ip":"10.1.2.3\\u0000"}', 4),
        ('{"ip":"10.0.0.0/7"}', 4),
        ('{"ip":["10.1.2.3"]}', 4),
        ('{"ip":' + "[" * 1_500 + "]" * 1_500 + "}", 4),
        ("{}", 4),
    ],
)
def test_an_address_is_text(use: str, status: int, shell: Shell) -> None:
    done = shell.run(*USE, "--context", use)
    assert done.returncode == status or (use.startswith('{"ip":[[') and done.returncode == 2)
    assert "internal error" not in done.stderr


def test_what_cannot_be_trusted_declares_nothing_and_refuses(shell: Shell) -> None:
    """Another user who may write the file could turn a text into another address; no default replaces the file."""
    file = shell.home / "policy" / "use.cedarschema"
    file.chmod(0o666)
    done = shell.run(*USE, "--context", '{"ip":"10.1.2.3"}')
    assert done.returncode == 7
    assert "use.cedarschema may be written by others" in done.stderr
    file.rename(shell.home / "elsewhere")
    file.symlink_to(shell.home / "elsewhere")
    assert shell.run(*USE, "--context", '{"ip":"10.1.2.3"}').returncode == 7
    file.unlink()
    os.mkfifo(file, 0o644)
    assert shell.run(*USE, "--context", '{"ip":"10.1.2.3"}').returncode == 7
    file.unlink()
    for text in (None, "type Use = {", "type Use = " + "{a: " * 5_000, "type Use = String;"):
        if text is not None:
            file.write_text(text)
        done = shell.run(*USE, "--context", '{"ip":"10.1.2.3"}')
        assert done.returncode == 4
        assert "expected ipaddr, got string; declare the type ipaddr in use.cedarschema" in done.stdout


@pytest.mark.deep
def test_a_declaration_that_is_changed_counts_for_whoever_asks_on(shell: Shell) -> None:
    """`authorize --batch` reads the declaration again whenever it reads the policy again."""
    file = shell.home / "policy" / "use.cedarschema"
    file.unlink()
    token = (shell.home / "token").read_text().strip()
    line = (
        json.dumps({"token": token, "action": "a:b", "resource": "r", "context": {"ip": "10.1.2.3"}}) + "\n"
    )
    with subprocess.Popen(
        [*command(), "authorize", "--batch"],
        env=shell.environment,
        cwd=shell.home,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as asking:
        assert asking.stdin is not None
        assert asking.stdout is not None
        answers = []
        for text in (None, DECLARED):
            if text is not None:
                file.write_text(text)
                time.sleep(1.5)
            asking.stdin.write(line)
            asking.stdin.flush()
            answers.append(json.loads(asking.stdout.readline())["decision"])
        asking.stdin.close()
    assert answers == ["deny", "allow"]


def test_a_rule_for_whatever_action_takes_the_use_from_nobody(shell: Shell) -> None:
    payer = '@id("payer") permit (principal == Agent::"payer", action, resource);\n'
    (shell.home / "policy" / "p.cedar").write_text(POLICY.splitlines()[0] + "\n" + payer)
    assert shell.run(*USE).returncode == 0
    (shell.home / "policy" / "p.cedar").write_text(POLICY + payer)
    assert shell.run(*USE).returncode == 4
