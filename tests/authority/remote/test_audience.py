"""A service in the client's configuration: tokens from a remote authority are for that service only.

The remote authority has its own setting, here none. If no service is named, it makes an identity token.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.mcp.asking import OPENING, called, lines, piped
from tests.real import Shell

SERVICE = "https://api.example"
WHO = ("--task", "T1", "--agent", "a")


@pytest.fixture
def shell(client: Shell) -> Shell:
    """Return the client with a service in its configuration, and an agent's token in `own.jwt`."""
    own = ("issue", "--task", "T0", "--agent", "planner", "--delegator", "alice", "--scope", "repo:*")
    client.good(*own, "--may-audience", SERVICE, "--out", "own.jwt")
    client.good("config", "set", "audience", SERVICE)
    return client


def use_of(token: str) -> tuple[str, list[str]]:
    """Return the type of a token and its audiences."""
    header, claims = (
        json.loads(base64.urlsafe_b64decode(f"{part}==")) for part in token.strip().split(".")[:2]
    )
    named = claims["aud"]
    return header["typ"], [named] if isinstance(named, str) else named


FOR_IT = ("at+jwt", [SERVICE])


def test_issue_makes_a_token_for_it(shell: Shell) -> None:
    assert use_of(shell.good("issue", "--delegator", "alice", *WHO)) == FOR_IT
    assert use_of(shell.good("issue", "--parent-file", "own.jwt", "--agent", "kid")) == FOR_IT


def test_what_is_stated_counts_instead(shell: Shell) -> None:
    line = ("issue", "--delegator", "alice", *WHO)
    other = "https://db.example"
    assert use_of(shell.good(*line, "--audience", other)) == ("at+jwt", [other])
    assert use_of(shell.good(*line, "--may-audience", other))[0] == "jitid-identity+jwt"


def test_a_helper_hands_out_one_for_it(shell: Shell) -> None:
    # The home folder of a test is not that of the password database, so that the line names the file.
    file = ("--config", shell.good("config", "path").strip())
    told: dict[str, Any] = json.loads(shell.good("helper", "kube", "--delegator", "alice", *WHO, *file))
    assert use_of(told["status"]["token"]) == FOR_IT


def test_a_helper_beside_the_ledger_hands_out_no_identity_token(tmp_path: Path) -> None:
    """The setting may also name only the authority, as on a machine that verifies tokens."""
    shell = Shell(tmp_path)
    for setting in ("issuer", "audience"):
        shell.good("config", "set", setting, "https://jitid.example")
    shell.good("issue", "--delegator", "alice", *WHO)
    done = shell.run("helper", "kube", "--delegator", "alice", *WHO)
    assert (done.returncode, done.stdout) == (2, "")


def test_a_run_obtains_one_for_it(shell: Shell) -> None:
    read = 'cat "$JITID_TOKEN_FILE"; echo; cat "$JITID_PARENT_FILE"'
    told = shell.good("run", "--delegator", "alice", *WHO, "--", "sh", "-c", read).split()
    assert use_of(told[0]) == FOR_IT
    assert use_of(told[1])[0] == "jitid-identity+jwt"


def test_an_agent_is_given_one_for_it(shell: Shell) -> None:
    (shell.home / "run").mkdir(mode=0o700)
    shell.environment["XDG_RUNTIME_DIR"] = str(shell.home / "run")
    ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    asked = called(1, "request_identity", {"agent": "kid", "audiences": []})
    # As for a helper, the line names the file: the home folder of a test is not that of the password database.
    file = ("--config", shell.good("config", "path").strip())
    (_, answer) = piped(shell, lines(OPENING, ready, asked), "--keep", *file)
    told = answer["result"]["structuredContent"]
    assert use_of(Path(told["token_file"]).read_text()) == FOR_IT
