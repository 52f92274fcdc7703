"""Overload of the service, by one client and by all: the refused requests, and the unaffected clients."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import pytest

from jitid.authority.open import open_authority
from jitid.capabilities.access.authenticate import TYPE
from jitid.capabilities.issue.operations import Attach
from jitid.config.effective import load
from jitid.model.request import AttachRequest
from jitid.values.scope import Scope
from jitid.values.secret import Secret
from tests.crypto.signed import P256, jwk, token
from tests.real import Shell
from tests.server.asking import API, FORM, grant
from tests.server.test_ending import Asking, held
from tests.server.waiting import eventually
from tests.serving import Answer, Served, serving


@contextmanager
def limited(folder: Path, **limits: int | str) -> Iterator[Served]:
    """Start a service on a socket with these limits."""
    lines = [f"{name} = {json.dumps(value)}\n" for name, value in limits.items()]
    (folder / "config.toml").write_text("".join(lines))
    with serving(folder, "--socket", str(folder / "s"), "--config", str(folder / "config.toml")) as served:
        yield served


def keys(served: Served, **headers: str) -> Answer:
    """Request the keys, which every authenticated caller may read."""
    given = {"content-type": "application/json", **headers}
    return served.ask("POST", "/v1/operations/PublishKeys", b"{}", given)


def test_more_requests_than_may_be_in_work_are_told_to_come_again(tmp_path: Path) -> None:
    with limited(tmp_path, serve_requests=2) as served, held(tmp_path):
        asking = [Asking(served, f"T{number}") for number in range(5)]
        assert eventually(lambda: sum(one.answer is not None for one in asking) == 3)
        answer = keys(served)
        assert answer.status == 503
        assert answer.headers["retry-after"] == "1"
        assert answer.json["error"]["retryable"] is True
        # A health check is still answered.
        assert served.ask("GET", "/healthz").status == 200
    for one in asking:
        one.join(30)
    answers = [one.answer.status for one in asking if one.answer is not None]
    assert sorted(answers) == [200, 200, 503, 503, 503]


def test_a_caller_that_asks_too_fast_is_told_to_wait(tmp_path: Path) -> None:
    with limited(tmp_path, serve_rate=5) as served:
        answers = [keys(served) for _ in range(40)]
        assert {answer.status for answer in answers} == {200, 429}
        late = next(answer for answer in answers if answer.status == 429)
        assert int(late.headers["retry-after"]) >= 1
        assert late.json["error"]["code"] == "limited"
        assert eventually(lambda: keys(served).status == 200)


def test_agents_of_one_name_have_a_pace_each(tmp_path: Path) -> None:
    """Any caller can give its agent the name of another caller's agent."""
    shell = Shell(tmp_path)
    words = ("issue", "--agent", "worker", "--task", "T", "--delegator")
    hers, others = (
        {"authorization": f"Bearer {shell.good(*words, who).strip()}"} for who in ("alice", "mallory")
    )
    with limited(tmp_path, serve_rate=5) as served:
        assert 429 in {keys(served, **others).status for _ in range(40)}
        assert keys(served, **hers).status == 200


def test_what_a_service_does_with_a_token_is_not_the_pace_of_its_holder(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    own = shell.good(
        "issue", "--delegator", "alice", "--task", "T", "--may-audience", API, "--scope", "http:GET"
    )
    attaching = AttachRequest(
        Secret.single(own.strip()), "jwt", audiences=(API,), scopes=(Scope("http:GET"),)
    )
    authority = open_authority(load(environ=shell.environment))
    (attached,) = authority.perform(Attach(request=attaching)).credentials
    authority.close()
    shown = {"authorization": f"Bearer {attached.secret.reveal()}", "x-original-uri": "/x"}
    with limited(tmp_path, serve_rate=5) as served:
        place = f"/forward-auth?audience={API}&action=http:GET"
        assert {served.ask("GET", place, headers=shown).status for _ in range(40)} == {200, 429}
        assert keys(served, authorization=f"Bearer {own.strip()}").status == 200


def test_what_fails_is_slowed_down_and_keeps_nobody_else_out(tmp_path: Path) -> None:
    """Others' failures never refuse an authenticated caller, even with its first request or with a signature."""
    with limited(tmp_path) as served:
        right = {"authorization": f"Bearer {grant(Shell(tmp_path), 'system:ci', 'verifier')}"}
        grant(Shell(tmp_path), "system:signs", "verifier", key=jwk(P256))
        wrong = {"authorization": "Bearer jitid_00000000000000000000000000000000000000"}
        assert keys(served, **wrong).status == 401
        assert int(slowed(served, wrong).headers["retry-after"]) >= 1
        assert keys(served, **right).status == 200
        assert served.ask("POST", "/introspect", signed("system:signs"), FORM).status == 200
        slowed(served, wrong)


def slowed(served: Served, wrong: Mapping[str, str]) -> Answer:
    """Send failing requests until one is slowed down; many at once, because a busy machine is slow by itself."""
    with ThreadPoolExecutor(8) as pool:
        for _ in range(500):
            for answer in pool.map(lambda _: keys(served, **wrong), range(16)):
                if answer.status == 429:
                    return answer
                assert answer.status == 401
    raise AssertionError("none was slowed down")


def signed(client: str) -> bytes:
    """Return a form with an assertion that a client signed."""
    now = int(time.time())
    claims = {
        "iss": client,
        "sub": client,
        "aud": "http://localhost/introspect",
        "jti": "once",
        "exp": now + 60,
    }
    assertion = token({"alg": "ES256", "typ": "JWT"}, claims, P256)
    return urlencode({"token": "x", "client_assertion": assertion, "client_assertion_type": TYPE}).encode()


@pytest.mark.parametrize("name", ["serve_rate", "serve_threads", "serve_connections", "serve_body"])
def test_a_bound_of_nothing_is_none(tmp_path: Path, name: str) -> None:
    (tmp_path / "config.toml").write_text(f"{name} = 0\n")
    done = Shell(tmp_path).run("--config", "config.toml", "serve", "--bind", "127.0.0.1:0")
    assert done.returncode == 2
    assert f"`{name}` must be at least 1" in done.stderr


def test_it_listens_on_ipv6_too(tmp_path: Path) -> None:
    with serving(tmp_path, "--bind", "[::1]:0") as served:
        assert served.url.startswith("http://[::1]:")
        assert served.ask("GET", "/healthz").status == 200


def test_a_stream_whose_client_left_frees_its_thread(tmp_path: Path) -> None:
    """Two threads serve the operations on the whole ledger; neither waits for a client that has left."""
    (tmp_path / "native.toml").write_text("[socket.role]\nroot = 'auditor'\n0 = 'auditor'\n")
    shell = Shell(tmp_path)
    for number in range(3):
        shell.good("-q", "issue", "--task", f"T{number}", "--delegator", "alice", "--count", "2000")
    arguments = ("--socket", str(tmp_path / "s"), "--config", str(tmp_path / "native.toml"))
    with serving(tmp_path, *arguments) as served:
        head = b"POST /v1/operations/ExportLog HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        for _ in range(6):
            with served.connect() as connection:
                connection.sendall(head + b"content-length: 2\r\n\r\n{}")
                assert connection.recv(100).startswith(b"HTTP/1.1 200")
        answer = served.ask("POST", "/v1/operations/ExportLog", b"{}", {"content-type": "application/json"})
        assert answer.status == 200
        assert answer.body.endswith(b"\n")
