"""Access at a remote authority: from the bootstrap file to separate roles, and a revocation that counts at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.real import Shell
from tests.serving import Served, serving


def _client(folder: Path, served: Served, name: str) -> Shell:
    """Return a command line of the caller whose access token is in the file of this name."""
    shell = Shell(folder / f"{name}-home")
    shell.home.mkdir()
    del shell.environment["JITID_LEDGER"]
    shell.environment["JITID_REMOTE"] = served.url
    shell.environment["JITID_REMOTE_CREDENTIAL_FILE"] = str(folder / f"{name}.bearer")
    return shell


def _granted(admin: Shell, folder: Path, name: str, *options: str) -> None:
    file = folder / f"{name}.bearer"
    admin.good("access", "grant", name, *options, "--out", str(file))


@pytest.mark.deep
def test_from_the_first_administrator_to_separate_duties(tmp_path: Path) -> None:
    with serving(tmp_path / "authority", "--bootstrap", str(tmp_path / "first.bearer")) as served:
        assert (tmp_path / "first.bearer").stat().st_mode & 0o777 == 0o600
        first = _client(tmp_path, served, "first")
        assert first.run("list").returncode == 6
        _granted(first, tmp_path, "olga", "--role", "admin")
        # The bootstrap token is spent once the first administrator is granted.
        assert first.run("access", "grant", "mallory", "--role", "admin").returncode == 6
        admin = _client(tmp_path, served, "olga")
        _granted(admin, tmp_path, "alice")
        _granted(admin, tmp_path, "gate", "--role", "verifier", "--all-audiences")
        _granted(admin, tmp_path, "night", "--role", "responder")
        _granted(admin, tmp_path, "launcher", "--role", "issuer")
        alice, gate, night, launcher = (
            _client(tmp_path, served, name) for name in ("alice", "gate", "night", "launcher")
        )

        # Alice issues for herself only.
        token = alice.good("issue", "--task", "T1", "--agent", "planner").strip()
        (alice.home / "token").write_text(token)
        refused = alice.run("issue", "--task", "T2", "--delegator", "bob")
        assert refused.returncode == 6
        assert "you may not name `user:bob` as the delegator: you are `user:alice`" in refused.stderr
        told = json.loads(launcher.good("issue", "--task", "T3", "--delegator", "bob", "--format", "json"))
        assert (told["delegator"], told["delegator_proof"]) == ("user:bob", "asserted")

        # A verifier may not revoke; a responder may.
        file = str(alice.home / "token")
        assert gate.run("verify", file).returncode == 0
        assert gate.run("revoke", "--token-file", file, "--yes").returncode == 6
        assert night.run("issue", "--task", "T4", "--delegator", "bob").returncode == 6
        assert gate.run("audit", "log").returncode == 6
        night.good("revoke", "--task", "T1", "--yes")
        assert gate.run("verify", file).returncode == 8

        # A revocation of alice's access counts at once, also for the token that she rotated to.
        ids = admin.good("access", "list", "--name", "alice", "--field", "id").split()
        assert alice.run("access", "rotate", ids[0], "--out", str(tmp_path / "alice.bearer")).returncode == 0
        alice.good("issue", "--task", "T5")
        admin.good("access", "revoke", "alice")
        assert alice.run("issue", "--task", "T6").returncode == 6
        served.stop()

    beside = Shell(tmp_path / "authority")
    beside.environment["JITID_LEDGER"] = str(tmp_path / "authority" / "ledger")
    log = [
        json.loads(line)
        for line in beside.good("audit", "log", "--format", "jsonl", "--limit", "99").splitlines()
    ]
    by = {(event["by"], event["op"]) for event in log}
    assert {
        ("system:bootstrap", "access-grant"),
        ("user:olga", "access-grant"),
        ("user:alice", "issue"),
        ("user:alice", "denial"),
        ("user:gate", "denial"),
        ("user:gate", "reads"),
        ("user:night", "revoke"),
        ("user:olga", "access-revoke"),
    } <= by
    beside.good("audit", "verify")


def test_a_service_that_starts_again_needs_no_new_file(tmp_path: Path) -> None:
    for _ in range(2):
        with serving(tmp_path / "authority", "--bootstrap", str(tmp_path / "first.bearer")) as served:
            assert served.ask("GET", "/healthz").status == 200
    assert "no bootstrap access token was made" in served.log.read_text()
