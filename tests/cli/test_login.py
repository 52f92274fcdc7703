"""`jitid login` beside a ledger: a person proves their identity at an identity provider, once."""

from __future__ import annotations

import json
import os
import pwd
import re
import shlex
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from tests.client_process import client_process
from tests.identity_provider import CLIENT, SECRET_WORDS, IdentityProvider, identity_provider
from tests.person import BROWSER, new_browser, visit
from tests.real import Shell, command, faked, libfaketime, missing, need


@pytest.fixture
def idp() -> Iterator[IdentityProvider]:
    """Serve an identity provider."""
    with identity_provider() as provider:
        yield provider


@pytest.fixture
def shell(tmp_path: Path, idp: IdentityProvider) -> Shell:
    """Return a shell of a user with a browser, and the provider in the configuration."""
    made = Shell(tmp_path)
    made.choose_settings()
    made.environment["BROWSER"] = BROWSER
    for name, value in (("client_id", CLIENT), ("jwks", f"{idp.url}/jwks")):
        made.good("config", "set", f"oidc.{idp.url}.{name}", value)
    return made


ISSUE = ("issue", "--task", "T", "--kind", "opaque", "--out", "a.tok")


def proof(shell: Shell, *arguments: str) -> tuple[str, str]:
    """Issue, and return the delegator and how it was proved."""
    shell.good(*ISSUE, *arguments)
    text = shell.good("inspect", "a.tok", "--field", "sub", "--field", "delegator_proof")
    delegator, by = text.split()
    return delegator, by


def test_a_login_proves_the_delegator_until_it_ends(shell: Shell, idp: IdentityProvider) -> None:
    """The one who logged in is the default delegator; others are as unproved as before."""
    assert shell.run(*ISSUE).returncode == 2
    done = shell.run("login")
    assert (done.returncode, done.stdout[:25]) == (0, "logged in as user:alice u")
    assert proof(shell) == ("user:alice", "oidc")
    assert proof(shell, "--delegator", "alice") == ("user:alice", "oidc")
    assert proof(shell, "--delegator", "bob") == ("user:bob", "asserted")
    row = json.loads(shell.good("whoami", "--json"))
    assert (row["delegator"], row["proof"], row["login"], row["login_issuer"]) == (
        "user:alice",
        "oidc",
        "user:alice",
        idp.url,
    )
    assert json.loads(shell.good("status", "--json"))["login"] == "user:alice"
    assert shell.good("login", "--out") == "logged out: user:alice\n"
    assert shell.good("login", "--out") == "not logged in; nothing was changed\n"
    assert shell.run(*ISSUE).returncode == 2
    assert json.loads(shell.good("whoami", "--json"))["proof"] == "os-user"
    assert proof(shell, "--delegator", "alice") == ("user:alice", "asserted")
    shell.good("audit", "verify")


def test_the_address_is_printed_and_no_secret_is(shell: Shell, tmp_path: Path) -> None:
    """Neither the ledger nor the output has a token of the provider; the client keeps no refresh token."""
    done = shell.run("login", "--debug")
    address = re.search(r"to log in, open: (\S+)", done.stderr)
    assert address is not None
    stated = {name: values[0] for name, values in parse_qs(urlsplit(address[1]).query).items()}
    assert stated["code_challenge_method"] == "S256"
    assert "offline_access" not in stated["scope"]
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/login", stated["redirect_uri"])
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for word in SECRET_WORDS:
        assert word not in done.stderr + done.stdout
        assert word.encode() not in kept


def test_a_later_login_replaces_the_earlier(shell: Shell, idp: IdentityProvider) -> None:
    """When the later one ends, the earlier one is not in force again. Another person's login is not replaced."""
    shell.good("login")
    idp.subject = "bob"
    done = shell.run("login")
    assert (done.returncode, "`user:alice` is logged in here, not `user:bob`" in done.stderr) == (6, True)
    assert proof(shell) == ("user:alice", "oidc")
    shell.good("login", "--out")
    shell.good("login")
    shell.good("login")
    assert proof(shell) == ("user:bob", "oidc")
    assert proof(shell, "--delegator", "alice") == ("user:alice", "asserted")
    shell.good("login", "--out")
    assert shell.run(*ISSUE).returncode == 2
    states = shell.good("access", "list", "--all", "--field", "state").split()
    assert states == ["revoked", "rotated", "revoked"]
    shell.good("audit", "verify")


def test_disabling_the_person_ends_it_for_good(shell: Shell, idp: IdentityProvider) -> None:
    """A proof from before counts no more, even once the person is enabled again (promise 23)."""
    shell.good("login")
    shell.good("delegator", "add", "alice")
    shell.good("delegator", "disable", "alice")
    done = shell.run("login")
    assert (done.returncode, "delegator-disabled" in done.stderr) == (4, True)
    shell.good("delegator", "enable", "alice")
    assert json.loads(shell.good("whoami", "--json"))["login"] is None
    assert proof(shell, "--delegator", "alice") == ("user:alice", "asserted")
    idp.claims = {"auth_time": 1_000_000}
    done = shell.run("login")
    assert (done.returncode, shell.hinted("login --fresh") in done.stderr) == (8, True)
    shell.good("audit", "verify")


def test_a_subject_that_the_directory_learns_later_is_disabled_too(
    shell: Shell, idp: IdentityProvider
) -> None:
    shell.good("login")
    shell.good("delegator", "add", "carol", "--subject", f"{idp.url} alice")
    assert proof(shell) == ("user:carol", "oidc")
    assert "1 access credential" in shell.good("delegator", "disable", "carol")
    assert json.loads(shell.good("whoami", "--json"))["login"] is None
    shell.good("audit", "verify")


def test_a_name_that_is_bound_to_another_subject_is_refused(shell: Shell, idp: IdentityProvider) -> None:
    shell.good("delegator", "add", "alice", "--subject", f"{idp.url} another")
    done = shell.run("login")
    assert (done.returncode, "delegator-subject" in done.stderr) == (4, True)


HOSTILE: dict[str, tuple[Callable[[IdentityProvider], None], int, str]] = {
    "state": (
        lambda idp: setattr(idp, "answer", lambda right: {**right, "state": "x"}),
        5,
        "their `state`: 1",
    ),
    "no state": (
        lambda idp: setattr(idp, "answer", lambda right: {"code": right["code"]}),
        5,
        "their `state`: 1",
    ),
    "iss": (
        lambda idp: setattr(idp, "answer", lambda right: {**right, "iss": "https://evil.example"}),
        8,
        "evil",
    ),
    "no iss": (
        lambda idp: setattr(idp, "answer", lambda right: {"code": right["code"], "state": right["state"]}),
        8,
        "names no issuer",
    ),
    "no code": (lambda idp: setattr(idp, "answer", lambda right: {**right, "code": ""}), 8, "neither a code"),
    "denied": (
        lambda idp: setattr(
            idp, "answer", lambda right: {"error": "access_denied", "state": right["state"], "iss": idp.url}
        ),
        6,
        "access_denied",
    ),
    "nonce": (lambda idp: idp.claims.update(nonce="x"), 8, "`nonce`"),
    "no nonce": (lambda idp: idp.claims.update(nonce=None), 8, "`nonce`"),
    "issuer": (
        lambda idp: idp.claims.update(iss="https://evil.example"),
        8,
        "is from `https://evil.example`",
    ),
    "audience": (lambda idp: idp.claims.update(aud="other"), 8, "not for the client"),
    "audiences": (lambda idp: idp.claims.update(aud=[CLIENT, "other"]), 8, "not for the client"),
    "azp": (lambda idp: idp.claims.update(azp="other"), 8, "another client"),
    "client_id": (lambda idp: idp.claims.update(client_id="other"), 8, "issued to the client `other`"),
    "expired": (lambda idp: idp.claims.update(exp=1_000_000), 8, "has expired"),
    "old": (lambda idp: idp.claims.update(iat=1_000_000), 8, "not issued within"),
    "future": (lambda idp: idp.claims.update(iat=1 << 40, nbf=1), 8, "in the future"),
    "no iat": (lambda idp: idp.claims.update(iat=None), 8, "times are missing"),
    "at_hash": (lambda idp: idp.claims.update(at_hash="x"), 8, "`at_hash`"),
    "c_hash": (lambda idp: idp.claims.update(c_hash="x"), 8, "`c_hash`"),
    "bound": (lambda idp: idp.claims.update(cnf={"jkt": "x"}), 8, "the holder of a key"),
    "alg none": (lambda idp: idp.header.update(alg="none"), 8, "algorithm `none`"),
    "alg": (lambda idp: idp.header.update(alg="RS256"), 8, "not that of its key"),
    "key": (
        lambda idp: setattr(idp, "key", generate_private_key(SECP256R1())),
        8,
        "signature does not verify",
    ),
    "kid": (lambda idp: idp.header.update(kid="x", jku=f"{idp.url}/evil"), 8, "not a signing key"),
    "type": (lambda idp: idp.header.update(typ="at+jwt"), 8, "type must be JWT"),
    "subject": (lambda idp: setattr(idp, "subject", "a b"), 8, "not a valid name"),
    "metadata": (
        lambda idp: idp.metadata.update(issuer="https://evil.example"),
        2,
        "metadata of `https://evil",
    ),
    "endpoint": (
        lambda idp: idp.metadata.update(authorization_endpoint="javascript:alert(1)"),
        2,
        "is not an https address",
    ),
    "file": (
        lambda idp: idp.metadata.update(token_endpoint="file:///etc/passwd"),
        2,
        "is not an https address",
    ),
    "redirect": (lambda idp: setattr(idp, "redirect_all", True), 2, "redirect"),
    "rubbish": (lambda idp: idp.token_answers.append((200, b"\x00<html>")), 5, "is not valid"),
    "twice": (
        lambda idp: idp.token_answers.append((200, b'{"id_token":"a","id_token":"b"}')),
        5,
        "is not valid",
    ),
    "huge": (lambda idp: idp.token_answers.append((200, b'"' + b"x" * (1 << 20) + b'"')), 5, "is not valid"),
    "huge token": (lambda idp: idp.token_answers.append((200, {"id_token": "x" * 20_000})), 8, ""),
    "no token": (lambda idp: idp.token_answers.append((200, {})), 8, "no ID token"),
    "not a text": (lambda idp: idp.token_answers.append((200, {"id_token": {"a": 1}})), 8, "no ID token"),
    "refused": (
        lambda idp: idp.token_answers.append((400, {"error": "invalid_client"})),
        6,
        "invalid_client",
    ),
    "escape": (lambda idp: idp.token_answers.append((400, {"error": "\x1b[31mred"})), 6, "\\x1b[31mred"),
    "fault": (lambda idp: idp.token_answers.append((500, b"oops")), 5, "status 500"),
    "unavailable": (
        lambda idp: idp.token_answers.append((503, {"error": "temporarily_unavailable"})),
        5,
        "temporarily_unavailable",
    ),
}


@pytest.mark.parametrize("fault", HOSTILE)
def test_a_hostile_provider_logs_nobody_in(fault: str, shell: Shell, idp: IdentityProvider) -> None:
    spoil, status, words = HOSTILE[fault]
    spoil(idp)
    done = shell.run("login", "--timeout", "4s" if status == 5 else "60s")
    assert done.returncode == status, done.stderr
    assert words in done.stderr
    assert "\x1b" not in done.stderr
    assert shell.run("whoami", "--field", "login").stdout.strip() == ""
    assert not any(path == "/evil" or path == "/elsewhere" for path, _, _ in idp.requests)


class Waiting:
    """A login that waits for a browser."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said = ""
        assert process.stderr is not None
        for line in process.stderr:
            self.said += line
            if found := re.search(r"to log in, open: (\S+)", line):
                self.address = found[1]
                return
        raise AssertionError(self.said)

    def visit(self) -> str:
        """Open the address in a browser; return the last page."""
        return visit(new_browser(), self.address, {})

    def ended(self) -> tuple[int, str]:
        """Wait for it; return its exit status and standard error."""
        _, rest = self.process.communicate(timeout=60)
        return self.process.returncode, self.said + rest


@contextmanager
def waiting_login(shell: Shell, *arguments: str) -> Iterator[Waiting]:
    """Start a login without a browser."""
    with shell.start("login", "--no-browser", *arguments) as process:
        try:
            yield Waiting(process)
        finally:
            process.kill()


def test_only_the_right_request_is_answered(shell: Shell) -> None:
    """Another host, path, method or state is refused, and the right answer still counts."""
    with waiting_login(shell) as login:
        stated = {name: values[0] for name, values in parse_qs(urlsplit(login.address).query).items()}
        place = urlsplit(stated["redirect_uri"])
        host, port = str(place.hostname), int(place.port or 0)

        def ask(method: str, target: str, **headers: str) -> int:
            with closing(HTTPConnection(host, port, timeout=20)) as connection:
                connection.request(method, target, headers=headers)
                answer = connection.getresponse()
                assert "script" not in answer.read().decode()
                assert answer.headers["content-security-policy"].startswith("default-src 'none'")
                return answer.status

        query = f"code=x&state={stated['state']}"
        assert ask("GET", f"/login?{query}", Host="evil.example") == 400
        assert ask("GET", f"/login?{query}", Host=f"localhost:{port}") == 400
        assert ask("GET", f"/other?{query}") == 404
        assert ask("POST", f"/login?{query}") == 405
        assert ask("GET", "/login?code=x&state=wrong") == 400
        assert ask("GET", f"/login?{query}&state={stated['state']}") == 400
        assert ask("GET", "/login?" + "x" * 20_000) == 431
        with closing(HTTPConnection(host, port, timeout=20)) as silent:
            silent.connect()
            assert "return to the terminal" in login.visit()
        assert login.ended()[0] == 0


def test_silent_connections_do_not_keep_the_browser_out(shell: Shell) -> None:
    with waiting_login(shell) as login, ExitStack() as opened:
        place = urlsplit(parse_qs(urlsplit(login.address).query)["redirect_uri"][0])
        for _ in range(60):
            opened.enter_context(socket.create_connection((str(place.hostname), int(place.port or 0))))
        assert "return to the terminal" in login.visit()
        assert login.ended()[0] == 0


def test_an_interrupted_login_leaves_nothing(shell: Shell, tmp_path: Path) -> None:
    shell.good(*ISSUE, "--delegator", "bob")
    before = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    with waiting_login(shell) as login:
        login.process.send_signal(signal.SIGINT)
        assert login.ended()[0] == 130
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == before
    assert shell.good("access", "list", "--all") == ""


def test_a_browser_that_never_comes_is_awaited_for_a_while(shell: Shell) -> None:
    with waiting_login(shell, "--timeout", "2s") as login:
        status, said = login.ended()
    assert (status, "no answer came from the browser in time" in said) == (5, True)


def test_two_logins_at_once_leave_one(shell: Shell) -> None:
    with waiting_login(shell) as first, waiting_login(shell) as second:
        second.visit()
        first.visit()
        assert (first.ended()[0], second.ended()[0]) == (0, 0)
    assert len(shell.good("access", "list").splitlines()) == 1
    shell.good("audit", "verify")


def test_an_id_token_counts_once(shell: Shell, idp: IdentityProvider, tmp_path: Path) -> None:
    """A second login with the same ID token is refused, also after its use as a delegator's token."""
    shell.good("config", "set", f"oidc.{idp.url}.device", "true")
    shell.good("config", "set", f"oidc.{idp.url}.audience", CLIENT)
    for use in (("login", "--device"), (*ISSUE, "--delegator-token-file", "id.jwt")):
        token = idp.id_token()
        (tmp_path / "id.jwt").write_text(token)
        idp.token_answers = [(200, {"id_token": token, "access_token": SECRET_WORDS[1]})] * 2
        shell.good(*use)
        done = shell.run("login", "--device")
        assert (done.returncode, "was used before" in done.stderr) == (8, True)
        assert shell.run("audit", "log", "--operation", "denial", "--field", "reason").stdout != ""


def test_a_rotation_does_not_outlive_a_login(shell: Shell) -> None:
    shell.good("login")
    access = shell.good("access", "list", "--field", "id").strip()
    done = shell.run("access", "rotate", access)
    assert (done.returncode, "log in again" in done.stderr) == (2, True)


def test_an_edited_login_is_found(shell: Shell) -> None:
    """`audit verify` compares the person of a login, its time, and its system user."""
    shell.good("login")
    for column, value in (
        ("subject", "'x y'"),
        ("proved_at", "1"),
        ("holder", "'eve@host'"),
        ("name", "'user:eve'"),
    ):
        with sqlite3.connect(shell.ledger / "ledger.db") as db:
            (before,) = db.execute(f"SELECT {column} FROM access").fetchone()
            db.execute(f"UPDATE access SET {column} = {value}")
        assert shell.run("audit", "verify").returncode == 7, column
        with sqlite3.connect(shell.ledger / "ledger.db") as db:
            db.execute(f"UPDATE access SET {column} = ?", (before,))
    shell.good("audit", "verify")


def test_a_restored_ledger_has_no_logins(shell: Shell, idp: IdentityProvider, tmp_path: Path) -> None:
    """Promise 23: a login from before a restore proves nothing."""
    shell.good("login")
    shell.good("ledger", "backup", "b")
    shell.ledger.rename(tmp_path / "lost")
    shell.good("ledger", "restore", "b")
    assert json.loads(shell.good("whoami", "--json"))["login"] is None
    assert shell.run(*ISSUE).returncode == 2
    # In the second of the restore, the order of the two is unknown.
    later = int(time.time()) + 2
    idp.claims = {"iat": later, "auth_time": later}
    shell.good("login")
    shell.good("audit", "verify")


def test_the_device_flow_is_off_unless_configured(shell: Shell, idp: IdentityProvider) -> None:
    done = shell.run("login", "--device")
    assert (done.returncode, "not permitted" in done.stderr) == (2, True)
    shell.good("config", "set", f"oidc.{idp.url}.device", "true")
    idp.token_answers = [(400, {"error": "authorization_pending"}), (400, {"error": "authorization_pending"})]
    done = shell.run("login", "--device")
    assert (done.returncode, "enter the code WDJB-MJHT" in done.stderr) == (0, True)
    assert proof(shell) == ("user:alice", "oidc")


@pytest.mark.parametrize(
    ("answers", "status", "words"),
    [
        ([(400, {"error": "slow_down"})], 5, "in time"),
        ([(400, {"error": "access_denied"})], 6, "access_denied"),
        ([(400, {"error": "expired_token"})], 5, "no person confirmed"),
        ([(400, {"error": "invalid_grant"})], 6, "invalid_grant"),
        ([(200, b"rubbish")], 5, "not valid"),
        ([(200, {"id_token": "a.b.c"})], 8, ""),
    ],
    ids=lambda value: str(value)[:40],
)
def test_the_device_flow_ends(
    answers: list[tuple[int, Any]], status: int, words: str, shell: Shell, idp: IdentityProvider
) -> None:
    """After `slow_down` the client waits 5 s longer, which is more than this command may take."""
    shell.good("config", "set", f"oidc.{idp.url}.device", "true")
    idp.token_answers = answers
    done = shell.run("login", "--device", "--timeout", "5s")
    assert (done.returncode, words in done.stderr) == (status, True), done.stderr


def test_a_device_code_with_a_foreign_address_opens_nothing(shell: Shell, idp: IdentityProvider) -> None:
    shell.good("config", "set", f"oidc.{idp.url}.device", "true")
    idp.device = {"verification_uri_complete": "file:///etc/passwd"}
    assert shell.run("login", "--device").returncode == 2
    idp.device = {"user_code": "\x1b[2J", "verification_uri_complete": None}
    done = shell.run("login", "--device")
    assert (done.returncode, "\x1b" in done.stderr, "\\x1b[2J" in done.stderr) == (0, False, True)


def test_fresh_requires_a_new_authentication(shell: Shell, idp: IdentityProvider) -> None:
    shell.good("login", "--fresh")
    stated = next(values for path, values, _ in idp.requests if path == "/authorize")
    assert (stated["prompt"], stated["max_age"]) == ("login", "0")
    idp.claims = {"auth_time": 1_000_000}
    done = shell.run("login", "--fresh")
    assert (done.returncode, "`auth_time`" in done.stderr) == (8, True)


def test_a_client_secret_comes_from_a_private_file(
    shell: Shell, idp: IdentityProvider, tmp_path: Path
) -> None:
    secret = tmp_path / "client.secret"
    secret.write_text("s3cret%:+ä\n")
    secret.chmod(0o644)
    shell.good("config", "set", f"oidc.{idp.url}.client_secret_file", str(secret))
    assert shell.run("login").returncode == 7
    secret.chmod(0o600)
    shell.good("login")
    headers = next(headers for path, _, headers in reversed(idp.requests) if path == "/token")
    assert headers["authorization"].startswith("Basic ")
    assert "s3cret" not in shell.good("config", "show")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("scopes", "openid offline_access", "keeps no refresh token"),
        ("scopes", "email", "without `openid`"),
        ("device", "maybe", "true, false"),
    ],
)
def test_settings_that_cannot_be_right_are_not_written(
    name: str, value: str, words: str, shell: Shell, idp: IdentityProvider
) -> None:
    done = shell.run("config", "set", f"oidc.{idp.url}.{name}", value)
    assert (done.returncode, words in done.stderr) == (2, True), done.stderr


def test_the_lifetime_is_the_operators(shell: Shell, idp: IdentityProvider) -> None:
    """An environment variable does not change it; the configuration may shorten it."""
    shell.environment["JITID_LOGIN_LIFETIME"] = "30d"
    config = shell.home / "c.toml"
    config.write_text(
        f'login_lifetime = "10m"\n[oidc."{idp.url}"]\nclient_id = "{CLIENT}"\njwks = "{idp.url}/jwks"\n'
    )
    shell.good("--config", str(config), "login")
    row = json.loads(shell.good("access", "list", "--json"))["items"][0]
    assert row["expires_at"] > row["issued_at"]
    with sqlite3.connect(shell.ledger / "ledger.db") as db:
        assert db.execute("SELECT expires_at - issued_at FROM access").fetchall() == [(600,)]


def test_an_unusable_line_changes_nothing(shell: Shell, idp: IdentityProvider) -> None:
    assert shell.run("login", "--out", "--device").returncode == 2
    assert shell.run("login", "--issuer", "https://other.example").returncode == 2
    assert shell.run("login", "--field", "nothing").returncode == 2
    shell.good("login", "--issuer", "127.0.0.1")
    shell.good("config", "unset", f"oidc.{idp.url}")
    assert shell.run("login").returncode == 2


def test_a_login_beside_a_database(shell: Shell, postgres_url: str) -> None:
    """It counts for the system user on this machine; another machine with the same ledger has its own."""
    shell.environment |= {"JITID_LEDGER": postgres_url, "JITID_HOME": str(shell.home / "home")}
    shell.good("login")
    assert proof(shell) == ("user:alice", "oidc")
    assert json.loads(shell.good("whoami", "--json"))["login"] == "user:alice"
    (row,) = json.loads(shell.good("access", "list", "--json"))["items"]
    assert row["holder"].endswith(f"@{os.uname().nodename}")
    shell.good("login", "--out")
    assert shell.run(*ISSUE).returncode == 2
    shell.good("audit", "verify")


def test_a_run_is_for_the_person_who_logged_in(shell: Shell) -> None:
    """The agent in it delegates by its own right, not by the login."""
    shell.good("login")
    jitid = shlex.join(command())
    line = f"{jitid} issue --task T --agent sub --out b.tok && {jitid} inspect b.tok --json"
    found = json.loads(shell.good("run", "--task", "T", "--agent", "top", "--", "sh", "-c", line))
    assert (found["sub"], found["delegator_proof"], found["depth"]) == ("user:alice", "oidc", 1)


def test_a_login_of_another_machine_or_user_does_not_count(shell: Shell) -> None:
    shell.good("login")
    with sqlite3.connect(shell.ledger / "ledger.db") as db:
        db.execute("UPDATE access SET holder = 'root@elsewhere'")
    assert shell.run(*ISSUE).returncode == 2
    assert proof(shell, "--delegator", "alice") == ("user:alice", "asserted")


INSIDE = ("run", "--task", "R", "--agent", "coder", "--", "env", "-u", "JITID_PARENT_FILE")
"""A command of an agent that lost the variable of its run."""


def test_inside_a_run_the_login_does_not_count(shell: Shell) -> None:
    """An agent whose environment was cleared has no identity, and is not the person who logged in."""
    shell.good("login")
    jitid = ("sh", "-c", f'{shlex.join(command())} --config own.toml "$@"', "sh")
    done = shell.run(*INSIDE, *jitid, "issue", "--task", "NEW", "--agent", "root")
    assert (done.returncode, done.stdout) == (6, ""), done.stderr
    assert "inside `jitid run`, the login of `user:alice` does not count" in done.stderr
    line = ("issue", "--task", "NEW", "--delegator", "alice", "--kind", "opaque", "--out", "b.tok")
    assert shell.run(*INSIDE, *jitid, *line).returncode == 0
    assert shell.good("inspect", "b.tok", "--field", "delegator_proof").strip() == "asserted"
    assert json.loads(shell.run(*INSIDE, *jitid, "whoami", "--json").stdout)["login"] is None
    for words in (("login",), ("login", "--out")):
        done = shell.run(*INSIDE, *jitid, *words)
        assert (done.returncode, "inside `jitid run`" in done.stderr) == (6, True)
    assert proof(shell) == ("user:alice", "oidc")


def test_in_a_command_of_a_client_the_login_does_not_count(shell: Shell, tmp_path: Path) -> None:
    """A process that was detached from the client still has its variable."""
    shell.good("login")
    for words, status in ((("issue", "--task", "NEW"), 6), (("run", "--task", "NEW", "--", "true"), 125)):
        done = shell.run("--config", str(tmp_path / "own.toml"), *words, more={"CLAUDECODE": "1"})
        assert (done.returncode, done.stdout) == (status, "")
        assert "in a session of claude-code, the login of `user:alice` does not count" in done.stderr
    assert proof(shell) == ("user:alice", "oidc")


def test_in_a_session_the_login_does_not_count(shell: Shell, tmp_path: Path) -> None:
    """A command of a coding agent is not the person who logged in, at any ledger; hooks and helpers open sessions."""
    shell.good("login")
    settings = ("--config", str(tmp_path / "own.toml"))
    start = {"hook_event_name": "SessionStart", "session_id": "A", "source": "startup"}
    as_alice = ("--delegator", "alice", "--may-audience", "https://llm.example")
    new = (*settings, "issue", "--task", "NEW", "--kind", "opaque", "--out", "b.tok")
    with client_process(shell, "codex") as client:
        done = client.hook("start", start, *as_alice, "--scope", "repo:read", *settings)
        assert done.status == 0, done.err
        done = client.run(*new)
        assert (done.status, done.out) == (6, ""), done.err
        assert "in a session of codex, the login of `user:alice` does not count" in done.err
        assert client.run(*new, "--delegator", "alice").status == 0
        assert shell.good("inspect", "b.tok", "--field", "delegator_proof").strip() == "asserted"
        assert json.loads(client.good(*settings, "whoami", "--json"))["login"] is None
        for words in (("login",), ("login", "--out")):
            done = client.run(*settings, *words)
            assert (done.status, "in a session of codex" in done.err) == (6, True)
        # Another session of the same client, and a token of a session.
        done = client.hook(
            "start", {**start, "session_id": "B"}, *as_alice, "--scope", "repo:read", *settings
        )
        assert done.status == 0, done.err
        client.good(*settings, "helper", "token", "--audience", "https://llm.example", CODEX_THREAD_ID="B")
        rows = json.loads(shell.good("list", "--live", "--json", "--agent", "codex"))["items"]
        assert {(row["delegator"], row["delegator_proof"]) for row in rows} == {("user:alice", "oidc")}
        for name in "AB":
            client.hook("stop", {"hook_event_name": "SessionEnd", "session_id": name}, *settings)
    assert proof(shell) == ("user:alice", "oidc")


def test_a_session_beside_a_ledger_is_for_the_person_who_logged_in(shell: Shell, tmp_path: Path) -> None:
    """If its line has no delegator, as at an authority: the person has one name. A session keeps its first one.

    After the end of the login, no session is for the user of the system instead.
    """
    libfaketime()
    later = {**dict(word.split("=", 1) for word in faked("+0")[1:]), "FAKETIME_NO_CACHE": "1"}
    settings = ("--config", str(tmp_path / "own.toml"))
    start = {"hook_event_name": "SessionStart", "source": "startup"}
    reach = ("--may-audience", "https://llm.example", *settings)
    token = ("helper", "token", "--audience", "https://llm.example", *settings)

    def latest() -> tuple[str, str, str]:
        lines = shell.good("audit", "log", "--format", "jsonl").splitlines()
        events = [event for event in map(json.loads, lines) if event["op"] == "issue"]
        event = max(events, key=lambda each: int(each["seq"]))
        return event["agent"], event["delegator"], event["proof"]

    user = f"user:{pwd.getpwuid(os.geteuid()).pw_name}"
    with client_process(shell, "codex", later) as codex, client_process(shell, "claude", later) as claude:
        assert codex.hook("start", {**start, "session_id": "A"}, *reach).status == 0
        assert latest() == ("codex", user, "os-user")
        shell.good("login")
        assert claude.hook("start", {**start, "session_id": "B"}, *reach).status == 0
        assert latest() == ("claude-code", "user:alice", "oidc")
        # Idle for longer than the lifetime of their tokens, they get new identities.
        codex.good(*token, FAKETIME="+40m")
        assert latest() == ("codex", user, "os-user")
        claude.good(*token, FAKETIME="+40m")
        assert latest() == ("claude-code", "user:alice", "oidc")
        shell.good("login", "--out")
        claude.good(*token, FAKETIME="+80m")
        assert latest() == ("claude-code", "user:alice", "asserted")
        done = claude.hook("start", {**start, "session_id": "C"}, *reach)
        assert (done.status, "the login of `user:alice` has ended" in done.err) == (6, True), done.err
        assert latest() == ("claude-code", "user:alice", "asserted")
    with client_process(shell, "codex", later) as named:
        assert named.hook("start", {**start, "session_id": "D"}, *reach, "--delegator", "carol").status == 0
        assert latest() == ("codex", "user:carol", "asserted")


def test_no_session_of_a_client_whose_person_was_disabled_is_for_another_name(
    shell: Shell, tmp_path: Path
) -> None:
    """As by `/clear`, not even for a delegator in the line of the hook. A restarted client may have one."""
    shell.good("login")
    shell.good("delegator", "add", "alice")
    settings = ("--config", str(tmp_path / "own.toml"))
    start = {"hook_event_name": "SessionStart", "source": "clear"}
    with client_process(shell, "codex") as client, client_process(shell, "codex") as another:
        assert client.hook("start", {**start, "session_id": "A"}, *settings).status == 0
        text = shell.good("delegator", "disable", "alice")
        assert "1 process, if it still runs, gets no other identity until it is restarted" in text
        stop = {"hook_event_name": "SessionEnd", "session_id": "A"}
        assert client.hook("stop", stop, *settings).status == 0
        for process, options, status in (
            (client, (), 6),
            (client, ("--delegator", "carol"), 125),
            (another, (), 6),
            (another, ("--delegator", "carol"), 0),
        ):
            done = process.hook("start", {**start, "session_id": "B"}, *settings, *options)
            assert done.status == status, done.err
    rows = json.loads(shell.good("list", "--live", "--json", "--agent", "codex"))["items"]
    assert [row["delegator"] for row in rows] == ["user:carol"]
    shell.good("audit", "verify")


def test_beside_a_session_the_login_counts(shell: Shell, tmp_path: Path) -> None:
    """In a terminal of an editor with sessions in another process. Sessions of any ledger make an agent."""
    shell.good("login")
    settings = ("--config", str(tmp_path / "own.toml"))
    start = {"hook_event_name": "SessionStart", "session_id": "A", "source": "startup"}
    new = (*settings, "issue", "--task", "NEW", "--kind", "opaque", "--out", "b.tok")
    with client_process(shell, "claude") as agent, client_process(shell, "cursor") as terminal:
        assert (
            agent.hook("start", start, "--delegator", "alice", JITID_LEDGER=f"{tmp_path}/other").status == 0
        )
        assert agent.run(*new).status == 6
        assert terminal.run(*new).status == 0
    assert proof(shell) == ("user:alice", "oidc")


def test_inside_a_run_in_another_namespace_the_login_does_not_count(shell: Shell) -> None:
    """Sandboxes of coding agents are such namespaces; there the variables of the run remain."""
    unshare = (need("unshare"), "-Urpf", "--mount-proc")
    if subprocess.run([*unshare, "true"], capture_output=True).returncode:
        missing("this system permits no user namespaces")
    shell.good("login")
    jitid = (*command(), "--config", "own.toml")
    done = shell.run(*INSIDE, *unshare, *jitid, "issue", "--task", "NEW", "--agent", "root")
    assert (done.returncode, done.stdout) == (6, ""), done.stderr
    assert json.loads(shell.run(*INSIDE, *unshare, *jitid, "whoami", "--json").stdout)["login"] is None


def test_logging_out_ends_a_login_that_does_not_count_now(shell: Shell, idp: IdentityProvider) -> None:
    """It would count again once the configuration has the issuer again."""
    shell.good("login")
    names = f"oidc.{idp.url}.names"
    shell.good("config", "set", names, "bob")
    assert shell.run(*ISSUE).returncode == 2
    assert shell.good("login", "--out") == "logged out: user:alice\n"
    assert shell.good("login", "--out") == "not logged in; nothing was changed\n"
    shell.good("config", "unset", names)
    assert shell.run(*ISSUE).returncode == 2


def test_a_login_is_for_one_user_and_not_for_a_name(shell: Shell, tmp_path: Path) -> None:
    """Machines and containers of one image have the same names of hosts and users, and may share a ledger."""
    shell.good("login")
    secret = tmp_path / ".local/state/jitid/holder"
    assert (secret.stat().st_mode & 0o777, len(secret.read_bytes())) == (0o600, 32)
    (row,) = json.loads(shell.good("access", "list", "--json"))["items"]
    assert re.fullmatch(r"\S+\+[0-9a-f]{32}@\S+", row["holder"])
    elsewhere = {"XDG_STATE_HOME": str(tmp_path / "elsewhere")}
    assert shell.run(*ISSUE, more=elsewhere).returncode == 2
    assert json.loads(shell.run("whoami", "--json", more=elsewhere).stdout)["login"] is None
    done = shell.run("login", more=elsewhere)
    assert done.returncode == 0, done.stderr
    # Neither ends the other.
    assert len(shell.good("access", "list").splitlines()) == 2
    assert proof(shell) == ("user:alice", "oidc")
    for spoil in (lambda: secret.chmod(0o644), lambda: secret.write_bytes(b"short")):
        spoil()
        assert shell.run(*ISSUE).returncode == 2
    shell.good("audit", "verify")


def test_settings_that_the_environment_chose_are_not_for_logins(
    shell: Shell, idp: IdentityProvider, tmp_path: Path
) -> None:
    """Neither a new login nor an existing one counts: otherwise an agent's own provider would prove any name."""
    shell.good("login")
    evil = tmp_path / "evil.toml"
    evil.write_text(f'[oidc."{idp.url}"]\nclient_id = "{CLIENT}"\njwks = "{idp.url}/jwks"\n')
    options, shell.options = shell.options, ()
    chosen = {"JITID_CONFIG": str(evil)}
    idp.subject = "ceo"
    done = shell.run("login", more=chosen)
    assert (done.returncode, f"{evil}, which JITID_CONFIG selects" in done.stderr) == (2, True), done.stderr
    assert f"name the file: --config {evil}" in done.stderr
    assert shell.run(*ISSUE, more=chosen).returncode == 2
    shell.options = options
    assert proof(shell) == ("user:alice", "oidc")
    shell.good("config", "unset", f"oidc.{idp.url}")
    assert shell.run(*ISSUE).returncode == 2
    assert json.loads(shell.good("whoami", "--json"))["login"] is None
