"""A change of a ledger's issuer while a service runs and other processes issue."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jitid.server.native import WHOAMI
from jitid.values.strict_json import b64url_decode
from tests.postgres import Postgres
from tests.real import Shell
from tests.serving import Served, serving

NEW = "http://127.0.0.1:8477/team"


@pytest.fixture(params=["file", "database"])
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> Shell:
    """Return a shell with a ledger in a folder, and another with a ledger in a database."""
    if request.param == "file":
        return Shell(tmp_path)
    server: Postgres = request.getfixturevalue("postgres_server")
    made = Shell(tmp_path)
    made.environment["JITID_LEDGER"] = server.url(server.new_database())
    made.environment["JITID_HOME"] = str(tmp_path / "authority")
    return made


@pytest.fixture
def served(shell: Shell) -> Iterator[Served]:
    """Serve the shell's ledger, in which a first credential was issued."""
    shell.good("issue", "--task", "T0", "--delegator", "alice", "--ttl", "10m")
    more = {name: shell.environment[name] for name in ("JITID_HOME",) if name in shell.environment}
    with serving(shell.home, ledger=shell.environment["JITID_LEDGER"], more=more) as found:
        yield found


def claims(token: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(b64url_decode(token.strip().split(".")[1]))
    return found


def test_a_service_goes_on_under_the_new_name(shell: Shell, served: Served) -> None:
    """Metadata, access tokens and new credentials use it from the next request on, without a restart."""
    before = shell.good("issue", "--task", "T1", "--delegator", "alice", "--ttl", "10m").strip()
    refused = served.ask("GET", "/.well-known/openid-configuration")
    assert refused.status == 404
    assert "jitid ledger issuer set URL" in refused.json["error_description"]
    bearer = {"authorization": f"Bearer {before}"}
    old = served.ask("GET", WHOAMI, headers=bearer).json["issuer"]
    assert old.startswith("urn:jitid:")

    shell.good("ledger", "issuer", "set", NEW, "--yes")
    for place in (
        "/.well-known/oauth-authorization-server/team",
        "/.well-known/openid-configuration/team",
        "/team/.well-known/openid-configuration",
    ):
        assert served.ask("GET", place).json["issuer"] == NEW
    for place in ("/.well-known/openid-configuration", "/x/.well-known/openid-configuration"):
        assert served.ask("GET", place).status == 404
    # The holder of a token under the old name is still known, and gets new tokens under the new name.
    assert served.ask("GET", WHOAMI, headers=bearer).json["issuer"] == NEW
    (shell.home / "bearer").write_text(before)
    (shell.home / "bearer").chmod(0o600)
    there = ("--remote", served.url, "--credential-file", "bearer")
    done = shell.run(*there, "issue", "--parent-file", "bearer", "--agent", "child")
    assert done.returncode == 0, done.stderr
    assert (claims(done.stdout)["iss"], claims(done.stdout)["aud"]) == (NEW, NEW)
    assert claims(before)["iss"] == old
    shell.good("verify", "-", stdin=before)
    shell.good("audit", "verify")


@pytest.mark.deep
def test_no_interleaving_signs_under_the_old_name_after_the_change(shell: Shell) -> None:
    """The order of the events is the order of the issuers, during parallel issues too; the audit log is valid."""
    tokens = [shell.good("issue", "--task", "T0", "--delegator", "alice")]
    issuing = [
        shell.start("issue", "--task", f"T{number}", "--delegator", "alice", "--count", "3000")
        for number in range(3)
    ]
    for name in ("https://a.example", "https://b.example"):
        shell.good("ledger", "issuer", "set", name, "--yes")
    for process in issuing:
        out, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        tokens += [json.loads(line)["token"] for line in out.splitlines()]
    events = [json.loads(line) for line in shell.good("audit", "log", "--format", "jsonl").splitlines()]
    changes = [event["seq"] for event in events if event["op"] == "ledger-issuer"]
    assert len(changes) == 2
    names = ("urn", "https://a.example", "https://b.example")
    told = Counter[str]()
    for event in events:
        if event["op"] == "issue":
            told[names[sum(change < event["seq"] for change in changes)]] += event.get("count", 1)
    found = Counter(claims(token)["iss"] for token in tokens)
    found["urn"] = sum(found.pop(name) for name in list(found) if name.startswith("urn:"))
    assert +found == +told
    shell.good("audit", "verify")
    for token in tokens[:: len(tokens) // 5]:
        shell.good("verify", "-", stdin=token)
