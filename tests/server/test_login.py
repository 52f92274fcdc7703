"""`jitid login --remote`: an ID token is exchanged once for a caller's access token."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import sqlite3
import stat
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.client_process import client_process
from tests.crypto.signed import P256
from tests.crypto.signed import token as signed
from tests.identity_provider import CLIENT, SEED, IdentityProvider, identity_provider, nonce_at
from tests.mcp.asking import OPENING, called, lines
from tests.person import BROWSER
from tests.real import Shell, command, faked, libfaketime
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


def log_in(served: Served, token: str, address: str | None = None, **headers: str) -> tuple[int, Any]:
    """Exchange an ID token with bare HTTP, as one for a login at `address`, by default that of this authority."""
    done = served.ask(
        "POST",
        "/v1/operations/LogIn",
        json.dumps({"token": token, "authority": address or served.url, "seed": SEED}).encode(),
        {"Content-Type": "application/json", **headers},
    )
    return done.status, done.json


def id_token(idp: IdentityProvider, served: Served, **claims: Any) -> str:
    """Return an ID token for a login at this authority."""
    return idp.id_token(nonce_at(served.url), **claims)


def access_token(granted: Any) -> str:
    """Return the access token in the answer to a login."""
    found = re.search(r"jitid_\w{38}", json.dumps(granted["secret"]))
    assert found is not None, granted
    return found[0]


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
    token = id_token(idp, served)
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
        assert log_in(served, id_token(idp, served, **claims))[0] == 422
    assert log_in(served, (operator.home / "zoe.tok").read_text().strip())[0] == 422
    assert len(operator.good("access", "list").splitlines()) == 1
    # An unknown client does not fill the audit log.
    assert operator.good("audit", "log", "--operation", "denial") == ""


def _form(served: Served, caller: str, **fields: str) -> tuple[int, str]:
    """Request a token, with the id and the secret of a caller."""
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Authorization": f"Basic {base64.b64encode(caller.encode()).decode()}",
    }
    done = served.ask("POST", "/token", urlencode({**fields, "jitid_task": "T-1"}).encode(), headers)
    return done.status, done.body.decode()


def _id_jag(idp: IdentityProvider, authority: str) -> str:
    """Return an ID-JAG for the client `system:ci`."""
    now = int(time.time())
    claims = {
        "iss": idp.url,
        "sub": "alice",
        "aud": authority,
        "client_id": "system:ci",
        "iat": now,
        "exp": now + 60,
    }
    more = {"jti": os.urandom(8).hex(), "scope": "repo:read", "resource": "https://api.example"}
    return signed({"alg": "ES256", "typ": "oauth-id-jag+jwt", "kid": "idp"}, {**claims, **more}, P256)


EXCHANGE = {
    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
    "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
    "audience": "https://api.example",
}
JWT_BEARER = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}


def test_an_issuer_for_logins_is_for_logins_alone(operator: Shell, idp: IdentityProvider) -> None:
    """A caller cannot exchange an ID token of a login that it was shown; other uses of the issuer are stated."""
    secret = operator.good("access", "grant", "system:ci").strip()
    ci = f"system:ci:{secret}"
    issuer = operator.good("status", "--field", "issuer").strip()
    with serving(operator.home, ledger=operator.ledger) as served:
        granted = log_in(served, id_token(idp, served, sub="mallory"))[1]
        mallory = f"user:mallory:{access_token(granted)}"
        for caller in (ci, mallory):
            status, body = _form(served, caller, **EXCHANGE, subject_token=idp.id_token())
            assert (status, "configured for logins of people" in body) == (400, True), body
        status, body = _form(served, ci, **JWT_BEARER, assertion=_id_jag(idp, issuer))
        assert (status, "not for assertions (ID-JAG)" in body) == (400, True), body
        assert log_in(served, id_token(idp, served))[0] == 200
    operator.good("config", "set", f"oidc.{idp.url}.audience", CLIENT)
    operator.good("config", "set", f"oidc.{idp.url}.id_jag", "true")
    with serving(operator.home, ledger=operator.ledger) as served:
        # An ID token that names the client of logins is for no caller.
        for token in (idp.id_token(azp=CLIENT), idp.id_token(nonce_at("https://other.example"))):
            status, body = _form(served, ci, **EXCHANGE, subject_token=token)
            assert (status, "is not that client" in body) == (400, True), body
        assert _form(served, ci, **EXCHANGE, subject_token=idp.id_token())[0] == 200
        assert _form(served, ci, **JWT_BEARER, assertion=_id_jag(idp, issuer))[0] == 200


def test_the_denial_of_a_disabled_person_is_recorded_once(
    served: Served, operator: Shell, idp: IdentityProvider
) -> None:
    operator.good("delegator", "add", "alice")
    operator.good("delegator", "disable", "alice")
    token = id_token(idp, served)
    assert [log_in(served, token)[0] for _ in range(3)] == [403, 422, 422]
    assert len(operator.good("audit", "log", "--operation", "denial").splitlines()) == 1
    operator.good("audit", "verify")


def test_a_login_needs_no_credential_and_uses_none(
    served: Served, operator: Shell, idp: IdentityProvider
) -> None:
    """Another caller's access token in the header has no effect: only the ID token counts."""
    admin = operator.good("access", "grant", "user:ada", "--role", "admin").strip()
    status, document = log_in(served, id_token(idp, served), Authorization=f"Bearer {admin}")
    assert (status, document["access"]["name"], document["access"]["roles"]) == (200, "user:alice", [])
    assert log_in(served, id_token(idp, served), Authorization="Bearer jitid_wrong")[0] == 200
    with sqlite3.connect(operator.ledger / "ledger.db") as db:
        bodies = [json.loads(body) for (body,) in db.execute("SELECT body FROM audit_event")]
    assert {event["by"] for event in bodies if event["op"] == "access-login"} == {"anonymous"}


def test_too_many_invalid_logins_are_refused(served: Served, idp: IdentityProvider) -> None:
    """Many at once, because a busy machine is slow by itself. A valid ID token still counts."""
    token = id_token(idp, served, aud="other")
    with ThreadPoolExecutor(8) as pool:
        for _ in range(100):
            statuses = {*pool.map(lambda _: log_in(served, token)[0], range(16))}
            assert statuses <= {422, 429}
            if 429 in statuses:
                break
    assert 429 in statuses
    assert log_in(served, id_token(idp, served))[0] == 200


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


@pytest.mark.parametrize("named", ["option", "variable", "file", "link"])
def test_the_access_token_is_no_credential_for_another_authority(
    person: Shell, idp: IdentityProvider, tmp_path: Path, named: str
) -> None:
    """The name of its file has the address of the authority. The provider records its requests."""
    person.good("login")
    path, more = str(stored(person)), {"JITID_REMOTE": idp.url}
    if named == "link":
        (tmp_path / "link").symlink_to(path)
        path = f"{tmp_path}/link"
    options = ("--credential-file", path) if named in ("option", "link") else ()
    if named == "variable":
        more["JITID_REMOTE_CREDENTIAL_FILE"] = path
    elif named == "file":
        settings = tmp_path / "evil.toml"
        settings.write_text(f'remote = "{idp.url}"\nremote_credential_file = "{path}"\n')
        more = {"JITID_CONFIG": str(settings)}
        del person.environment["JITID_REMOTE"]
    done = person.run("list", *options, more=more)
    assert (done.returncode, "is the login at another authority" in done.stderr) == (2, True), done.stderr
    assert not any(
        "authorization" in headers for asked, _, headers in idp.requests if asked.startswith("/v1/")
    )


def test_the_file_of_the_login_is_no_credential_of_an_agent(person: Shell) -> None:
    """Named as any other file, it is still the login of the person."""
    person.good("login")
    option = ("--credential-file", str(stored(person)))
    assert person.good("whoami", "--field", "caller", *option) == "user:alice\n"
    line = shlex.join(command("whoami", *option))
    done = person.run("run", "--task", "R", "--agent", "coder", "--", "sh", "-c", line)
    assert (done.returncode, "the login of the person does not count" in done.stderr) == (6, True), (
        done.stderr
    )


def test_a_file_that_others_may_read_is_not_used(person: Shell) -> None:
    person.good("login")
    stored(person).chmod(0o644)
    assert person.run("list").returncode == 7


def test_the_identity_token_of_a_run_takes_precedence(person: Shell) -> None:
    """An agent under `jitid run` is not the person who logged in."""
    person.good("login")
    done = person.run(
        "run", "--task", "T", "--", "sh", "-c", shlex.join(command("whoami", "--field", "caller"))
    )
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


def test_inside_a_run_the_login_is_not_used(person: Shell, operator: Shell) -> None:
    """An agent whose environment was cleared has no identity, and is not the person who logged in."""
    person.good("login")
    jitid = shlex.join(command())
    kept = f'env -i PATH="$PATH" HOME="$HOME" PYTHONPATH="$PYTHONPATH" JITID_REMOTE="$JITID_REMOTE" {jitid}'
    inside = ("run", "--task", "R", "--agent", "coder", "--", "sh", "-c")
    done = person.run(*inside, f"{kept} issue --task NEW --agent root-agent --scope prod:deploy")
    assert (done.returncode, done.stdout) == (6, ""), done.stderr
    assert "inside `jitid run`, the login of the person does not count" in done.stderr
    assert person.run(*inside, f"{kept} login --out").returncode == 6
    assert operator.good("list", "--task", "NEW") == ""
    assert person.good("whoami", "--field", "caller") == "user:alice\n"


def test_in_a_session_the_login_is_not_used(person: Shell, operator: Shell) -> None:
    """A command of a coding agent is not the person; the hooks and helpers of its client are."""
    person.good("login")
    start = {"hook_event_name": "SessionStart", "session_id": "A", "source": "startup"}
    reach = ("--may-audience", "https://llm.example", "--scope", "repo:read")
    token = ("helper", "token", "--audience", "https://llm.example")
    with client_process(person, "codex") as client:
        done = client.hook("start", start, *reach)
        assert done.status == 0, done.err
        for words in (
            ("issue", "--task", "NEW", "--agent", "root-agent", "--scope", "prod:deploy"),
            ("list",),
            ("login", "--out"),
            ("helper", "git", "get", "--task", "NEW", "--delegator", "alice"),
        ):
            done = client.run(*words, stdin="protocol=https\nhost=g.example\n\n")
            assert (done.status, done.out) == (6, ""), done.err
            assert "in a session of codex, the login of the person does not count" in done.err
        client.good(*token)
        assert client.hook("start", {**start, "session_id": "B"}, *reach).status == 0
        client.good(*token, CODEX_THREAD_ID="B")
        assert len(operator.good("list", "--live", "--agent", "codex").splitlines()) >= 2
        for name in "AB":
            assert client.hook("stop", {"hook_event_name": "SessionEnd", "session_id": name}).status == 0
    assert operator.good("list", "--task", "NEW") == ""
    assert operator.good("list", "--live", "--agent", "codex") == ""
    assert person.good("whoami", "--field", "caller") == "user:alice\n"


def test_an_expired_session_is_not_opened_again_for_another_person(
    person: Shell, operator: Shell, idp: IdentityProvider, tmp_path: Path
) -> None:
    """Not even if that person may inspect the identities of others: the session keeps its person."""
    later = {**dict(word.split("=", 1) for word in faked("+0")[1:]), "FAKETIME_NO_CACHE": "1"}
    start = {"hook_event_name": "SessionStart", "session_id": "A", "source": "startup"}
    token = ("helper", "token", "--audience", "https://llm.example")
    person.good("config", "set", "remote", person.environment.pop("JITID_REMOTE"))
    person.good("login")
    with client_process(person, "codex", later) as client:
        assert client.hook("start", start, "--may-audience", "https://llm.example").status == 0
        client.good(*token, FAKETIME="+40m")
        person.good("login", "--out")
        idp.subject = "bob"
        person.good("login")
        done = client.run(*token, FAKETIME="+80m")
        assert (done.status, done.out, "needs the role" in done.err) == (6, "", True), done.err
        token_file = tmp_path / "bob"
        token_file.touch(0o600)
        token_file.write_text(operator.good("access", "grant", "user:bob", "--role", "responder"))
        person.good("config", "set", "remote_credential_file", str(token_file))
        done = client.run(*token, FAKETIME="+80m")
        assert (done.status, done.out) == (6, ""), done.err
        assert "you may not name `user:alice` as the delegator: you are `user:bob`" in done.err
    rows = json.loads(operator.good("list", "--json", "--agent", "codex"))["items"]
    assert {row["delegator"] for row in rows} == {"user:alice"}


@pytest.mark.parametrize("name", ["CLAUDECODE", "CODEX_THREAD_ID", "GEMINI_CLI", "OPENCODE"])
def test_in_a_command_of_a_client_the_login_is_not_used(person: Shell, operator: Shell, name: str) -> None:
    """A process that was detached from the client still has its variable. The client's helpers have it too."""
    person.good("login")
    more = {name: "1"}
    for words, status in (
        (("issue", "--task", "NEW"), 6),
        (("run", "--task", "NEW", "--", "true"), 125),
        (("list",), 6),
    ):
        done = person.run(*words, more=more)
        assert (done.returncode, done.stdout) == (status, ""), done.stderr
        assert "the login of the person does not count" in done.stderr
    start = {"hook_event_name": "SessionStart", "session_id": "1", "source": "startup"}
    with client_process(person, "codex") as client:
        assert client.hook("start", start, "--may-audience", "https://llm.example", **more).status == 0
        client.good("helper", "token", "--audience", "https://llm.example", **more)
    assert operator.good("list", "--task", "NEW") == ""


@pytest.mark.parametrize("revoked", [True, False])
def test_after_its_sessions_a_client_does_not_use_the_login(
    person: Shell, operator: Shell, *, revoked: bool
) -> None:
    """Until its process ends: `/clear` ends a session, and a revoked client gets no other one."""
    person.good("login")
    start = {"hook_event_name": "SessionStart", "session_id": "A", "source": "startup"}
    reach = ("--may-audience", "https://llm.example", "--scope", "repo:read")
    with client_process(person, "codex") as client:
        assert client.hook("start", start, *reach).status == 0
        (id_,) = person.good("list", "--live", "--agent", "codex", "--field", "id").split()
        if revoked:
            person.good("revoke", id_)
        assert client.hook("stop", {"hook_event_name": "SessionEnd", "session_id": "A"}).status == 0
        for _ in range(2):
            for words in (
                ("issue", "--task", "NEW", "--scope", "prod:deploy"),
                ("list",),
                ("login", "--out"),
            ):
                done = client.run(*words)
                assert (done.status, done.out) == (6, ""), done.err
                assert "in a session of codex, the login of the person does not count" in done.err
            wider = client.hook("start", {**start, "session_id": "C"}, *reach, "--scope", "prod:deploy")
            assert wider.status == 125
            assert client.hook("start", {**start, "session_id": "B"}, *reach).status == (8 if revoked else 0)
        line = ("helper", "token", "--audience", "https://llm.example", "--scope", "prod:deploy")
        for remote in (person.environment["JITID_REMOTE"], person.environment["JITID_REMOTE"] + "/"):
            done = client.run(*line, JITID_REMOTE=remote)
            assert (done.status, done.out) == (8 if revoked else 4, ""), done.err
    assert operator.good("list", "--task", "NEW") == ""
    assert person.good("whoami", "--field", "caller") == "user:alice\n"


def test_a_client_in_a_session_of_another_one_is_below_it(person: Shell, operator: Shell) -> None:
    """The session is the caller, and the login does not count."""
    person.good("login")
    start = {"hook_event_name": "SessionStart", "session_id": "A", "source": "startup"}
    reach = ("--may-audience", "https://llm.example", "--scope", "repo:read")
    libfaketime()
    more = {**dict(word.split("=", 1) for word in faked("+0")[1:]), "FAKETIME_NO_CACHE": "1"}
    with client_process(person, "codex", more=more) as client:
        assert client.hook("start", start, *reach).status == 0
        with client.inner("gemini"):
            assert client.hook("start", start, *reach, "--scope", "prod:deploy").status == 4
            assert client.hook("start", start).status == 0
            for time in ("+0", "+13m"):
                client.good("helper", "token", "--audience", "https://llm.example", FAKETIME=time)
            rows = json.loads(operator.good("list", "--live", "--json"))["items"]
            parents = {row["id"]: row["parent"] for row in rows if row["agent"] in ("codex", "gemini")}
            assert len(parents) == 2
            (outer,) = [id_ for id_, parent in parents.items() if parent is None]
            person.good("revoke", outer)
            done = client.run("helper", "token", "--audience", "https://llm.example")
            assert (done.status, done.out, "revoked" in done.err) == (6, "", True), done.err
            assert client.run("issue", "--task", "NEW").status == 6


def test_the_mcp_server_of_a_session_is_not_the_person(person: Shell, operator: Shell) -> None:
    """It renews the session with the login, and requests with the token of the session alone."""
    person.good("login")
    start = {"hook_event_name": "SessionStart", "session_id": "A", "source": "startup"}
    work = {"agent": "helper", "scopes": ["repo:read"]}
    wide = {"agent": "wide", "scopes": ["prod:deploy"]}
    calls = (
        called(1, "whoami", {}),
        called(2, "request_identity", work),
        called(3, "request_identity", wide),
    )
    libfaketime()
    more = {**dict(word.split("=", 1) for word in faked("+0")[1:]), "FAKETIME_NO_CACHE": "1"}
    with client_process(person, "codex", more=more) as client:
        asked = lines(OPENING, *calls)
        reach = ("--may-audience", "https://api.example", "--scope", "repo:*")
        assert client.hook("start", start, *reach).status == 0
        for time in ("+0", "+13m"):
            done = client.run("mcp", stdin=asked, FAKETIME=time)
            assert (done.status, done.err) == (0, "")
            own, given, refused = (
                json.loads(line)["result"]["structuredContent"] for line in done.out.splitlines()[1:]
            )
            assert (own["agent"], given["parent"]) == ("codex", own["id"])
            assert refused["error"]["code"] == "policy_denied"
        for operation, by in (("issue", "agent:codex"), ("renew", "user:alice")):
            text = operator.good("audit", "log", "--operation", operation, "--format", "jsonl")
            agent = "helper" if operation == "issue" else "codex"
            events = [json.loads(line) for line in text.splitlines()]
            assert {event["by"] for event in events if event["agent"] == agent} == {by}


def test_no_variable_names_the_login_of_another_person(
    person: Shell, served: Served, operator: Shell, idp: IdentityProvider
) -> None:
    """The line of a hook names the authority; a project's variable does not name the caller there."""
    token = access_token(log_in(served, id_token(idp, served, sub="mallory"))[1])
    (person.home / "mallory.tok").write_text(token)
    (person.home / "mallory.tok").chmod(0o600)
    person.good("login")
    (person.home / "other.toml").write_text('remote_credential_file = "mallory.tok"\n')
    foreign = {"JITID_REMOTE_CREDENTIAL_FILE": "mallory.tok"}
    start = {"hook_event_name": "SessionStart", "session_id": "A", "source": "startup"}
    line = ("--may-audience", "https://llm.example", "--remote", served.url)

    def delegators(*words: str, **variables: str) -> set[str]:
        with client_process(person, "codex") as client:
            done = client.hook("start", start, *line, *words, **variables)
            assert done.status == 0, done.err
            rows = json.loads(operator.good("list", "--live", "--agent", "codex", "--json"))["items"]
            client.hook("stop", {"hook_event_name": "SessionEnd", "session_id": "A"})
        return {row["delegator"] for row in rows}

    assert delegators(**foreign) == delegators(JITID_CONFIG="other.toml") == {"user:alice"}
    assert delegators("--credential-file", "mallory.tok") == {"user:mallory"}
    assert delegators("--config", "other.toml", **foreign) == {"user:mallory"}


def test_a_stranger_does_not_log_in_where_delegators_are_known(
    operator: Shell, idp: IdentityProvider
) -> None:
    """The provider may have more people than the directory; beside the ledger the same rule holds."""
    operator.good("delegator", "add", "alice")
    operator.good("config", "set", "delegators", "known")
    with serving(operator.home, ledger=operator.ledger) as served:
        assert log_in(served, id_token(idp, served))[0] == 200
        status, document = log_in(served, id_token(idp, served, sub="stranger"))
    assert (status, "delegator-unknown" in document["error"]["message"]) == (403, True)
    assert len(operator.good("access", "list").splitlines()) == 1
    operator.good("audit", "verify")


def test_an_id_token_is_for_one_authority(
    person: Shell, served: Served, operator: Shell, idp: IdentityProvider, tmp_path: Path
) -> None:
    """The operator of another authority with the same client has the ID token, its seed and its address."""
    other = Shell(tmp_path / "other")
    other.home.mkdir()
    for name, value in (("client_id", CLIENT), ("jwks", f"{idp.url}/jwks")):
        other.good("config", "set", f"oidc.{idp.url}.{name}", value)
    other.good("issue", "--task", "O", "--delegator", "zoe", "--out", "z.tok")
    with serving(other.home, ledger=other.ledger) as second:
        token = id_token(idp, second)
        for address, status in ((second.url, 400), (served.url, 422)):
            found, document = log_in(served, token, address)
            assert found == status, document
        assert "does not count here" in log_in(served, token, second.url)[1]["error"]["message"]
        assert log_in(second, token)[0] == 200
    # An ID token without a nonce, or with that of another program, is not for a login either.
    for nonce in (None, "x", nonce_at("")):
        assert log_in(served, idp.id_token(nonce))[0] == 422
    assert operator.good("access", "list") == ""


def test_the_device_flow_is_the_operators_choice(
    operator: Shell, person: Shell, served: Served, idp: IdentityProvider
) -> None:
    """Its ID tokens have no `nonce`, so any authority that permits it accepts them."""
    person.good("config", "set", f"oidc.{idp.url}.device", "true")
    done = person.run("login", "--device", "--no-browser")
    assert (done.returncode, "the device flow is not permitted" in done.stderr) == (8, True)
    operator.good("config", "set", f"oidc.{idp.url}.device", "true")
    with serving(operator.home, ledger=operator.ledger) as permitting:
        here = {"JITID_REMOTE": permitting.url}
        assert person.run("login", "--device", "--no-browser", more=here).returncode == 0
        body = json.dumps({"token": id_token(idp, permitting)}).encode()
        answer = permitting.ask("POST", "/v1/operations/LogIn", body, {"Content-Type": "application/json"})
        assert answer.status == 422


def test_a_login_over_each_address_of_the_authority(operator: Shell, person: Shell, tmp_path: Path) -> None:
    """Its socket, its issuer and its public address; the issuer is an address only if it is one."""
    socket = tmp_path / "s" / "authority.sock"
    socket.parent.mkdir(mode=0o700)
    with serving(operator.home, "--socket", str(socket), ledger=operator.ledger):
        assert person.run("login", more={"JITID_REMOTE": f"unix://{socket}"}).returncode == 0
    with serving(operator.home, "--public-url", "https://other.example", ledger=operator.ledger) as served:
        done = person.run("login", more={"JITID_REMOTE": served.url})
        named = "the addresses of this authority: `https://other.example`" in done.stderr
        assert (done.returncode, named) == (2, True)
        operator.good("ledger", "issuer", "set", served.url, "--yes")
        assert person.run("login", more={"JITID_REMOTE": served.url}).returncode == 0


def test_another_spelling_of_the_address_is_the_same_authority(person: Shell, served: Served) -> None:
    person.good("login")
    assert person.run("whoami", more={"JITID_REMOTE": f"{served.url}/"}).returncode == 0
    assert person.run("login", "--out", more={"JITID_REMOTE": f"{served.url}/"}).returncode == 0
    assert not [*(person.home / ".local/state/jitid").glob("login-*")]
