"""The real psql with the output of `jitid helper pgpass`, and a role from its issue to its end on the command line."""

from __future__ import annotations

import json
import shlex
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomli_w

from tests.issuers.postgresplace import TEMPLATES, roles_server
from tests.postgres import Postgres, program
from tests.real import Shell, command, need

ASKED = ("--task", "T1", "--delegator", "alice")
QUESTION = "SELECT current_user || ' ' || what FROM orders"


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """Return a server whose roles are credentials."""
    with roles_server() as server:
        yield server


class User(Shell):
    """A user with the server as a target in jitid."""

    def __init__(self, home: Path, server: Postgres) -> None:
        super().__init__(home)
        self.server = server
        self.psql = [program("psql"), "-X", "-A", "-t", "-c", QUESTION]
        templates = {name: dict(table) for name, table in TEMPLATES.items()}
        target = {"kind": "postgres-role", "dsn": server.url(), "template": templates}
        path = home / "jitid.toml"
        path.touch(0o600)
        path.write_text(tomli_w.dumps({"target": {"db": target}}))
        self.environment["JITID_CONFIG"] = str(path)
        self.permit_kinds()

    def connect(self, *arguments: str, **variables: str) -> str:
        """Return the output of psql."""
        done = subprocess.run(
            [*self.psql, *arguments],
            capture_output=True,
            text=True,
            env={**self.environment, **variables},
            cwd=self.home,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def roles(self) -> list[str]:
        """Return the names of the existing roles."""
        return [
            name for (name,) in self.server.ask("SELECT rolname FROM pg_roles WHERE rolname LIKE 'jitid%'")
        ]


@pytest.fixture
def user(tmp_path: Path, server: Postgres) -> User:
    """Return a user without any credentials."""
    return User(tmp_path, server)


def test_psql_takes_a_service_file_from_a_pipe(user: User) -> None:
    """No file is left on the disk."""
    helper = shlex.join(command("helper", "pgpass", "--template", "reader", "--service", "db", *ASKED))
    line = f"PGSERVICEFILE=<({helper}) {shlex.join(user.psql)} service=db"
    done = subprocess.run(
        [need("bash"), "-c", line],
        capture_output=True,
        text=True,
        env=user.environment,
        cwd=user.home,
        timeout=120,
    )
    (role,) = user.roles()
    assert done.stdout.strip() == f"{role} tea", done.stderr
    user.good("revoke", "--task", "T1")
    assert user.roles() == []


def test_psql_takes_a_password_file(user: User) -> None:
    user.good("helper", "pgpass", "--template", "reader", *ASKED, "--out", "pgpass")
    path = user.home / "pgpass"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    host, port, database, role, _ = path.read_text().splitlines()[0].split(":")
    shown = user.connect(
        "-h", host, "-p", str(user.server.port), "-d", database, PGPASSFILE=str(path), PGUSER=role
    )
    assert (shown, port) == (f"{role} tea", "*")
    user.good("revoke", "--task", "T1")


def test_a_service_whose_name_is_none_is_refused_before_anything_is_made(user: User) -> None:
    done = user.run("helper", "pgpass", "--template", "reader", "--service", "a]\nb", *ASKED)
    assert done.returncode == 2
    assert user.roles() == []


def test_a_server_that_is_away_leaves_what_the_sweep_ends(user: User) -> None:
    """A revocation while the server is down is queued, reported, and done as soon as the server is back."""
    made = json.loads(user.good("issue", "--kind", "postgres-role:reader", *ASKED, "--format", "json"))
    user.server.stop()
    try:
        assert user.run("revoke", made["jti"]).returncode == 9
        swept = user.run("sweep", "--format", "json", "--target-timeout", "5s")
        assert swept.returncode == 11
        document = json.loads(swept.stdout)
        missed = [each["missed"] for each in document["coverage"] if each["rule"] == "revoked-live"]
        assert missed[0][0].startswith("target db: the database cannot be reached")
    finally:
        user.server.start()
    assert user.roles() == [made["secret"]["username"]]
    found = user.run("sweep", "--rule", "revoked-live", "--field", "subject")
    assert (found.returncode, found.stdout.split()) in ((10, [made["jti"]]), (0, []))
    user.good("sweep", "--rule", "revoked-live", "--fix")
    assert user.roles() == []


def test_a_role_that_the_ledger_has_lost_is_found_and_dropped(user: User) -> None:
    """This happens after a restore of an old ledger: the comment shows that this ledger made the role."""
    made = json.loads(user.good("issue", *ASKED, "--format", "json"))
    issuer = user.good("inspect", made["jti"], "--field", "iss").strip()
    name = f"jitid_{'0' * 26}"
    comment = json.dumps({"iss": issuer, "jti": f"jti_{'0' * 26}", "task": "T0", "agent": "bot"})
    user.server.execute(f"CREATE ROLE {name} LOGIN", f"COMMENT ON ROLE {name} IS 'jitid {comment}'")
    # Without an explicit rule the role is kept: it may belong to another ledger.
    assert user.run("sweep", "--fix").returncode == 10
    assert user.roles() == [name]
    rows = user.good("sweep", "--rule", "orphaned-untracked", "--fix", "--format", "jsonl").splitlines()
    (ended,) = [row for line in rows if (row := json.loads(line)).get("state") == "ended"]
    assert (ended["rule"], ended["subject"]) == ("orphaned-untracked", f"db/{name}")
    assert user.roles() == []
    (event,) = map(
        json.loads, user.good("audit", "log", "--operation", "clear", "--format", "jsonl").splitlines()
    )
    assert event["cleared"] == 1
    user.good("audit", "verify")


def test_without_the_driver_the_extra_is_named(user: User) -> None:
    code = "import sys; sys.modules['psycopg'] = None; from jitid.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "issue", "--kind", "postgres-role:reader", *ASKED],
        capture_output=True,
        text=True,
        env=user.environment,
        cwd=user.home,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{sys.executable} -m pip install 'psycopg[binary]>=" in done.stderr


def test_a_role_that_nobody_knows_is_found_and_never_dropped_without_its_comment(user: User) -> None:
    user.good("issue", *ASKED)
    name = f"jitid_{'0' * 26}"
    user.server.execute(f"CREATE ROLE {name} LOGIN")
    found = user.run("sweep", "--rule", "orphaned-untracked", "--field", "subject")
    assert (found.returncode, found.stdout.split()) == (10, [f"db/{name}"])
    left = user.run("sweep", "--rule", "orphaned-untracked", "--fix", "--format", "json")
    assert left.returncode == 11
    assert "this ledger did not make it" in left.stdout
    assert user.roles() == [name]
    user.server.execute(f"DROP ROLE {name}")
