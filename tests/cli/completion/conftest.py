"""A ledger with a few names in it, made through the command line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.real import Shell

NAMES = (
    ("INC:1/a@b+c", "alice@example.com", "bot-1"),
    ("INC:2/a@b+c", "alice@example.com", "bot-2"),
    ("INC:3/a@b+c", "bob", "bot-3"),
    ("ZED", "system:ci", "bot-1"),
)
"""Task, delegator and agent of each credential, in the order of issue."""

POLICY = """@id("pay") @approval("security")
forbid (principal, action == Action::"grant", resource) when { context.scope like "pay:*" };"""

AS_FILLED = "as-filled"


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Return a home with a ledger, a configuration that names another, and some files; no test changes it."""
    home = tmp_path_factory.mktemp("filled", numbered=False)
    shell = Shell(home)
    for task, delegator, agent in NAMES:
        shell.good("issue", "--task", task, "--delegator", delegator, "--agent", agent)
    shell.good("retire", "INC:2/a@b+c")
    shell.good("delegator", "add", "alice@example.com", "--subject", "https://id.example 1")
    shell.good("agent", "register", "bot-3", "--owner", "alice@example.com", "--purpose", "crawling")
    shell.good("access", "grant", "system:ci")
    (shell.ledger / "policy" / "pay.cedar").write_text(POLICY)
    for scope in ("pay:in", "pay:out"):
        words = ("issue", "--task", "PAY", "--delegator", "bob", "--agent", "bot-1", "--scope", scope)
        assert shell.run(*words).returncode == 4
    (home / ".config" / "jitid").mkdir(parents=True)
    configuration = f'ledger = "{shell.ledger}"\n[profile.elsewhere]\nledger = "{home}/other"\n'
    (home / ".config" / "jitid" / "config.toml").write_text(configuration)
    (home / "other.toml").write_text(f'ledger = "{home}/other"\n')
    other = Shell(home, home / "other")
    other.good("issue", "--task", "ELSEWHERE", "--delegator", "carol", "--agent", "other")
    (home / "folder").mkdir()
    (home / "tokenfile").touch()
    (home / "my file").touch()
    # Copied now: the last connection to close deletes the write-ahead log, perhaps in a garbage collection at any
    # time.
    shutil.copytree(shell.ledger, home.parent / AS_FILLED)
    return shell


@pytest.fixture
def ledger(filled: Shell, tmp_path: Path) -> Path:
    """Return a copy of the ledger, log included, that a test may change."""
    return Path(shutil.copytree(filled.home.parent / AS_FILLED, tmp_path / "ledger"))
