"""A policy that requires the approval of a second person, beside a ledger that only one person can reach."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real import Shell

RULE = """@id("pay-needs-security") @approval("security")
forbid (principal, action == Action::"grant", resource) when { context.scope like "pay:*" };
"""
ASKING = ("issue", "--task", "PAY", "--delegator", "alice", "--scope", "pay:out")
WHY, HOW = (
    "with a private ledger and this configuration, no second person can approve",
    "jitid serve --socket PATH",
)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a shell with a ledger whose policy has a rule that requires a second person."""
    made = Shell(tmp_path)
    made.good("issue", "--task", "FIRST", "--delegator", "alice")
    rules = made.ledger / "policy" / "eyes.cedar"
    rules.touch(0o600)
    rules.write_text(RULE)
    return made


def told(shell: Shell, *words: str) -> list[bool]:
    """Return, for each verb that meets the rule, whether it prints that a second person is missing, and the remedy."""
    texts = [
        shell.run(*ASKING, *words).stderr,
        shell.run(*ASKING, "--dry-run", *words).stderr,
        shell.run(*ASKING, "--wait", "1s", *words).stderr,
        shell.run("run", *ASKING[1:], *words, "--", "true").stderr,
    ]
    request = shell.good("approve", "list", "--field", "approval", *words).split()[0]
    texts += [shell.run("approve", verb, request, *words).stderr for verb in ("grant", "deny")]
    texts.append(shell.run("policy", "check", *words).stderr)
    texts.append(shell.run("doctor", "--format", "json", *words).stdout)
    assert all((WHY in text) == (HOW in text) for text in texts)
    return [WHY in text for text in texts]


@pytest.mark.deep
def test_every_verb_that_meets_such_a_rule_says_what_a_second_person_needs(shell: Shell) -> None:
    assert told(shell) == [True] * 8


@pytest.mark.deep
@pytest.mark.parametrize(
    "settings",
    [
        '[oidc."https://id.example"]\njwks = "/nowhere/keys.json"\naudience = "jitid"\n',
        'serve_socket = "/run/jitid.sock"\n',
        'serve_bind = "127.0.0.1:8477"\n',
    ],
    ids=["an issuer proves others", "a socket is served", "an address is served"],
)
def test_where_others_can_prove_themselves_it_is_not_said(shell: Shell, settings: str) -> None:
    file = shell.home / "settings.toml"
    file.touch(0o600)
    file.write_text(settings)
    assert told(shell, "--config", str(file)) == [False] * 8


@pytest.mark.parametrize(
    "settings",
    [
        '[oidc."https://id.example"]\nkind = "user"\n',
        '[oidc."https://id.example"]\njwks = "/nowhere/keys.json"\naudience = "jitid"\nkind = "system"\n',
    ],
    ids=["an issuer without keys", "an issuer proves systems"],
)
def test_where_no_issuer_can_prove_a_person_it_is_said(shell: Shell, settings: str) -> None:
    file = shell.home / "settings.toml"
    file.touch(0o600)
    file.write_text(settings)
    assert WHY in shell.run("policy", "check", "--config", str(file)).stderr
    assert WHY in shell.run(*ASKING, "--config", str(file)).stderr


def test_without_such_a_rule_it_is_not_said(shell: Shell) -> None:
    (shell.ledger / "policy" / "eyes.cedar").unlink()
    assert WHY not in shell.run("policy", "check").stderr
    assert WHY not in shell.run("doctor").stdout
    assert WHY not in shell.run("issue", "--task", "H", "--delegator", "a", "--sensitivity", "high").stderr
