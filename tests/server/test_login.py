"""`jitid login --remote`: an ID token is exchanged once for a caller's access token."""

from __future__ import annotations

import json
import sqlite3
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.identity_provider import CLIENT, IdentityProvider, identity_provider
from tests.person import BROWSER
from tests.real import Shell
from tests.serving import Served, serving


@pytest.fixture
def idp() -> Iterator[IdentityProvider]:
    """Serve an identity provider."""
    with identity_provider() as provider:
        yield provider


@pytest.fixture
def operator(tmp_path: Path, idp: IdentityProvider) -> Shell:
    """Return a shell on the machine of the authority, with the provider in the configuration."""
    made = Shell(tmp_path / "authority")
    made.home.mkdir()
    for name, value in (("client_id", CLIENT), ("jwks", f"{idp.url}/jwks")):
        made.good("config", "set", f"oidc.{idp.url}.{name}", value)
    made.good("issue", "--task", "OTHER", "--delegator", "zoe", "--out", "zoe.tok")
    return made


@pytest.fixture
def served(operator: Shell) -> Iterator[Served]:
    """Serve the authority."""
    with serving(operator.home, ledger=operator.ledger) as service:
        yield service


@pytest.fixture
def person(tmp_path: Path, idp: IdentityProvider, served: Served) -> Shell:
    """Return a shell on the machine of a person, with the authority and the provider's client."""
    made = Shell(tmp_path / "person")
    made.home.mkdir()
    del made.environment["JITID_LEDGER"]
    made.environment |= {"JITID_REMOTE": served.url, "BROWSER": BROWSER}
    made.good("config", "set", f"oidc.{idp.url}.client_id", CLIENT)
    return made


def stored(person: Shell) -> Path:
    """Return the file of the access token."""
    (path,) = (person.home / ".local/state/jitid").glob("login-*")
    return path


def log_in(served: Served, token: str, **headers: str) -> tuple[int, Any]:
    """Exchange an ID token with bare HTTP."""
    done = served.ask(
        "POST",
        "/v1/operations/LogIn",
        json.dumps({"token": token}).encode(),
        {"Content-Type": "application/json", **headers},
    )
    return done.status, done.json


def test_a_person_is_a_caller_without_a_role(person: Shell, operator: Shell, idp: IdentityProvider) -> None:
    """It delegates for itself alone; it is listed, with its proof, and the token is never printed."""
    assert person.run("list").returncode == 6
    done = person.run("login")
    assert (done.returncode, done.stdout[:24]) == (0, "logged in as user:alice "), done.stderr
    token = stored(person).read_text().strip()
    assert token.startswith("jitid_")
    assert token not in done.stdout + done.stderr
    assert stat.S_IMODE(stored(person).stat().st_mode) == 0o600
    assert stat.S_IMODE(stored(person).parent.stat().st_mode) == 0o700
    row = json.loads(person.good("whoami", "--json"))
    assert (row["caller"], row["proof"], row["roles"], row["login_issuer"]) == (
        "user:alice",
        "oidc",
        [],
        idp.url,
    )
    person.good("issue", "--task", "T", "--kind", "opaque", "--out", "a.tok")
    assert person.good("inspect", "a.tok", "--field", "sub", "--field", "delegator_proof").split() == [
        "user:alice",
        "oidc",
    ]
    for line in (
        ("issue", "--task", "T", "--delegator", "bob"),
        ("access", "list"),
        ("access", "grant", "user:eve"),
        ("inspect", operator.good("list", "--task", "OTHER", "--field", "id").strip()),
    ):
        assert person.run(*line).returncode == 6, line
    assert len(person.good("list").splitlines()) == 1
    access = json.loads(operator.good("access", "list", "--json"))["items"][0]
    assert (access["name"], access["by"], access["roles"], access["subject"]) == (
        "user:alice",
        "oidc",
        [],
        f"{idp.url} alice",
    )
    operator.good("audit", "verify")


def test_logging_out_revokes_the_access(person: Shell, operator: Shell, served: Served) -> None:
    person.good("login")
    token = stored(person).read_text().strip()
    assert person.good("login", "--out") == "logged out: user:alice\n"
    assert not [*(person.home / ".local/state/jitid").glob("login-*")]
    assert person.good("login", "--out") == "not logged in; nothing was changed\n"
    assert served.ask("GET", "/v1/whoami", headers={"Authorization": f"Bearer {token}"}).status == 401
    assert operator.good("access", "list") == ""


def test_an_operator_ends_it(person: Shell, operator: Shell) -> None:
    person.good("login")
    operator.good("access", "revoke", operator.good("access", "list", "--field", "id").strip())
    done = person.run("list")
    assert (done.returncode, "log in again: jitid login" in done.stderr) == (6, True)
    assert person.good("login", "--out") == "not logged in; nothing was changed\n"


def test_disabling_the_person_ends_it_for_good(person: Shell, operator: Shell, idp: IdentityProvider) -> None:
    """Promise 23: neither the access nor the provider's session from before counts after the person is enabled."""
    person.good("login")
    operator.good("delegator", "add", "alice")
    operator.good("delegator", "disable", "alice")
    assert person.run("list").returncode == 6
    done = person.run("login")
    assert (done.returncode, "delegator-disabled" in done.stderr) == (4, True)
    operator.good("delegator", "enable", "alice")
    assert person.run("list").returncode == 6
    idp.claims = {"auth_time": 1_000_000}
    assert person.run("login").returncode == 8
    operator.good("audit", "verify")


def test_an_id_token_counts_once_and_for_its_client(
    served: Served, operator: Shell, idp: IdentityProvider
) -> None:
    token = idp.id_token()
    assert log_in(served, token)[0] == 200
    status, document = log_in(served, token)
    assert (status, document["error"]["code"]) == (422, "invalid_credential")
    for claims in (
        {"azp": "other"},
        {"aud": "jitid"},
        {"aud": [CLIENT, "x"]},
        {"client_id": "x"},
        {"iat": 1_000},
    ):
        assert log_in(served, idp.id_token(**claims))[0] == 422
    assert log_in(served, (operator.home / "zoe.tok").read_text().strip())[0] == 422
    assert len(operator.good("access", "list").splitlines()) == 1
    # An unknown client does not fill the audit log.
    assert operator.good("audit", "log", "--operation", "denial") == ""


def test_the_denial_of_a_disabled_person_is_recorded_once(
    served: Served, operator: Shell, idp: IdentityProvider
) -> None:
    operator.good("delegator", "add", "alice")
    operator.good("delegator", "disable", "alice")
    token = idp.id_token()
    assert [log_in(served, token)[0] for _ in range(3)] == [403, 422, 422]
    assert len(operator.good("audit", "log", "--operation", "denial").splitlines()) == 1
    operator.good("audit", "verify")


def test_a_login_needs_no_credential_and_uses_none(
    served: Served, operator: Shell, idp: IdentityProvider
) -> None:
    """Another caller's access token in the header has no effect: only the ID token counts."""
    admin = operator.good("access", "grant", "user:ada", "--role", "admin").strip()
    status, document = log_in(served, idp.id_token(), Authorization=f"Bearer {admin}")
    assert (status, document["access"]["name"], document["access"]["roles"]) == (200, "user:alice", [])
    assert log_in(served, idp.id_token(), Authorization="Bearer jitid_wrong")[0] == 200
    with sqlite3.connect(operator.ledger / "ledger.db") as db:
        bodies = [json.loads(body) for (body,) in db.execute("SELECT body FROM audit_event")]
    assert {event["by"] for event in bodies if event["op"] == "access-login"} == {"anonymous"}


def test_too_many_invalid_logins_are_refused(served: Served, idp: IdentityProvider) -> None:
    """Many at once, because a busy machine is slow by itself. A valid ID token still counts."""
    token = idp.id_token(aud="other")
    with ThreadPoolExecutor(8) as pool:
        for _ in range(100):
            statuses = {*pool.map(lambda _: log_in(served, token)[0], range(16))}
            assert statuses <= {422, 429}
            if 429 in statuses:
                break
    assert 429 in statuses
    assert log_in(served, idp.id_token())[0] == 200


def test_a_login_that_cannot_be_stored_is_revoked(person: Shell, operator: Shell) -> None:
    folder = person.home / ".local/state/jitid"
    folder.parent.mkdir(parents=True)
    folder.write_text("not a folder")
    assert person.run("login").returncode == 74
    assert operator.good("access", "list") == ""


def test_a_second_login_replaces_the_first(person: Shell, operator: Shell) -> None:
    person.good("login")
    first = stored(person).read_text()
    person.good("login")
    assert stored(person).read_text() != first
    assert len(operator.good("access", "list").splitlines()) == 1


def test_the_token_goes_to_its_authority_alone(person: Shell, idp: IdentityProvider) -> None:
    """Another address gets no access token; here it is the provider, which records its requests."""
    person.good("login")
    person.run("list", more={"JITID_REMOTE": idp.url})
    assert not any("authorization" in headers for path, _, headers in idp.requests if path.startswith("/v1/"))


def test_a_file_that_others_may_read_is_not_used(person: Shell) -> None:
    person.good("login")
    stored(person).chmod(0o644)
    assert person.run("list").returncode == 7


def test_the_identity_token_of_a_run_takes_precedence(person: Shell) -> None:
    """An agent under `jitid run` is not the person who logged in."""
    person.good("login")
    done = person.run("run", "--task", "T", "--", "sh", "-c", "python3 -m jitid whoami --field caller")
    assert done.stdout.strip().startswith("agent:"), done.stderr


def test_a_configured_credential_takes_precedence(person: Shell, operator: Shell, tmp_path: Path) -> None:
    """The command warns that later requests do not use the login."""
    token = tmp_path / "ci.token"
    token.write_text(operator.good("access", "grant", "system:ci"))
    token.chmod(0o600)
    person.good("config", "set", "remote", person.environment.pop("JITID_REMOTE"))
    person.good("config", "set", "remote_credential_file", str(token))
    done = person.run("login")
    assert (done.returncode, "takes precedence" in done.stderr) == (0, True)
    assert person.good("whoami", "--field", "caller") == "system:ci\n"
    assert person.good("login", "--out") == "logged out: user:alice\n"
