"""The command line with a real OpenBao: from `issue` to the role's login and the proof that the role is gone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from jitid.model.target import Life
from tests.issuers.openbaoplace import Cutting, OpenBaoPlace
from tests.issuers.places import make
from tests.issuers.test_transit import configure
from tests.real import Shell, faked

_TEMPLATES = """
[target.vault.template.reader]
path = "database/creds/reader"
policies = ["reader"]
"""


@pytest.fixture
def shell(openbao: OpenBaoPlace, tmp_path: Path) -> Shell:
    """Return a shell whose jitid has OpenBao and its templates in its configuration."""
    return reach(openbao, tmp_path, openbao.server.address)


def reach(openbao: OpenBaoPlace, home: Path, address: str) -> Shell:
    """Configure the server at this address, and return the shell."""
    configure(home, openbao, address)
    with (home / ".config/jitid/config.toml").open("a") as file:
        file.write(_TEMPLATES)
    shell = Shell(home)
    shell.permit_kinds()
    return shell


ISSUE = ("issue", "--task", "T1", "--delegator", "alice", "--kind", "openbao-lease:reader")


def inspected(shell: Shell, jti: str) -> dict[str, Any]:
    """Return the output of `jitid inspect` for a credential."""
    found: dict[str, Any] = json.loads(shell.good("inspect", jti, "--format", "json"))
    (row,) = [found] if "jti" in found else found[next(key for key in found if isinstance(found[key], list))]
    return dict(row)


def newest(shell: Shell) -> str:
    """Return the id of the newest credential."""
    return shell.good("list", "--field", "jti").split()[0]


def login(openbao: OpenBaoPlace, secret: dict[str, str]) -> None:
    with psycopg.connect(
        host="127.0.0.1",
        port=openbao.database.port,
        dbname="postgres",
        user=secret["username"],
        password=secret["password"],
    ) as connection:
        connection.execute("SELECT 1")


def roles(openbao: OpenBaoPlace) -> set[str]:
    """Return the roles that the database engine has made."""
    return {name for (name,) in openbao.database.ask("SELECT rolname FROM pg_roles WHERE rolname LIKE 'v-%'")}


def test_from_issue_to_the_proof_of_the_end(openbao: OpenBaoPlace, shell: Shell) -> None:
    before = roles(openbao)
    secret = json.loads(shell.good(*ISSUE))
    login(openbao, secret)
    assert roles(openbao) == before | {secret["username"]}
    jti = newest(shell)
    # A part of the secret is enough to find its credential. The role name alone proves nothing.
    for text in (secret["password"], f'export PGPASSWORD="{secret["password"]}";\n', json.dumps(secret)):
        found = json.loads(shell.good("trace", "--format", "jsonl", stdin=text))
        assert (found["jti"], found["match"], found["proof"]) == (jti, "secret", "fingerprint")
    found = json.loads(shell.good("trace", "--format", "jsonl", stdin=secret["username"]))
    assert (found["jti"], found["match"], found["proof"]) == (jti, "id", None)
    openbao.server.seal()
    try:
        ended = shell.run("revoke", jti)
        assert (ended.returncode, "is sealed" in ended.stderr) == (9, True), ended.stderr
    finally:
        openbao.server.unseal()
    login(openbao, secret)
    shell.good("revoke", jti, "--wait", "30s")
    assert roles(openbao) == before
    there = inspected(shell, jti)["at_target"]
    assert (there["settlement"], there["target"]) == ("done", "vault")
    assert "has neither the lease" in there["proof"]
    assert secret["password"] not in (shell.ledger / "ledger.db").read_bytes().decode("latin-1")


def test_a_server_out_of_reach_makes_nothing(openbao: OpenBaoPlace, shell: Shell) -> None:
    configure(shell.home, openbao, "https://127.0.0.1:1")
    with (shell.home / ".config/jitid/config.toml").open("a") as file:
        file.write(_TEMPLATES)
    failed = shell.run(*ISSUE)
    assert (failed.returncode, failed.stdout) == (5, "")
    assert "cannot be reached" in failed.stderr
    assert not shell.good("list", "--state", "active").strip()


@pytest.mark.parametrize("path", ["auth/token/create/jitid", "database/creds/reader"])
def test_a_lost_answer_leaves_nothing(openbao: OpenBaoPlace, tmp_path: Path, path: str) -> None:
    before, tokens = roles(openbao), len(openbao.tokens())
    proxy = Cutting(openbao.server, path)
    shell = reach(openbao, tmp_path, proxy.address)
    failed = shell.run(*ISSUE)
    assert proxy.cuts
    proxy.close()
    assert (failed.returncode, failed.stdout) == (5, ""), failed.stderr
    # jitid revoked it at once, through the same proxy.
    assert roles(openbao) == before
    assert len(openbao.tokens()) == tokens
    assert inspected(shell, newest(shell))["at_target"]["settlement"] == "done"


def test_clocks_may_differ_by_minutes(openbao: OpenBaoPlace, shell: Shell) -> None:
    """The server gets a lifetime, not an expiry time."""
    secret = json.loads(shell.run(*ISSUE, before=faked("+7m")).stdout)
    login(openbao, secret)
    jti = newest(shell)
    there = inspected(shell, jti)["at_target"]
    lease = openbao.server.ask("PUT", "sys/leases/lookup", {"lease_id": there["facts"]["lease"]})["data"]
    assert 840 < lease["ttl"] <= 900
    ended = shell.run("revoke", jti, before=faked("+7m"))
    assert ended.returncode == 0, ended.stderr
    assert inspected(shell, jti)["at_target"]["settlement"] == "done"


def test_what_a_lost_ledger_made_is_found_and_ended(openbao: OpenBaoPlace, shell: Shell) -> None:
    shell.good(*ISSUE)
    issuer = openbao.open(issuer=json.loads(shell.good("inspect", newest(shell), "--format", "json"))["iss"])
    try:
        record, made = make(issuer, openbao.record(template=None))
        sweep = ("sweep", "--rule", "orphaned-untracked", "--target", "vault", "--format", "jsonl")
        found = shell.run(*sweep)
        assert found.returncode == 10, found.stderr
        (line,) = [line for line in found.stdout.splitlines() if record.jti in line]
        assert "has a jitid name" in line
        shell.run(*sweep, "--fix")
        assert issuer.probe(record, made.secret).life is Life.DEAD
    finally:
        issuer.close()


def test_a_certificate_of_somebody_else_is_an_integrity_failure(
    openbao: OpenBaoPlace, shell: Shell, tmp_path: Path
) -> None:
    configuration = shell.home / ".config/jitid/config.toml"
    text = configuration.read_text()
    configuration.write_text(
        "".join(line for line in text.splitlines(True) if not line.startswith("ca_file"))
    )
    failed = shell.run(*ISSUE)
    assert (failed.returncode, failed.stdout) == (7, "")
    assert "did not prove its identity" in failed.stderr
