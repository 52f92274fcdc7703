"""The order of checks is authentication, authorization, content: only a permitted caller learns of content errors."""

from __future__ import annotations

import getpass
import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from jitid.authority.wire import codec
from jitid.authority.wire.codec import operations
from tests.server.asking import API, EXCHANGE, TYPE, Asked, asking, grant
from tests.serving import Answer, Served, serving

FORM = "application/x-www-form-urlencoded"
OPERATIONS = [f"/v1/operations/{name}" for name in codec.names()]
OAUTH = ("/token", "/introspect", "/revoke")
FEW = (*OAUTH, "/access/v1/evaluation", "/access/v1/evaluations", "/v1/operations/Nothing")
CONTENTS: dict[str, tuple[str | None, bytes]] = {
    "nothing": (None, b""),
    "no type": (None, b"x"),
    "another type": ("text/plain", b"x"),
    "several parts": ("multipart/form-data; boundary=x", b"--x--"),
    "an empty object": ("application/json", b"{}"),
    "broken JSON": ("application/json", b"{"),
    "deep JSON": ("application/json", b"[" * 20_000),
    "a member twice": ("application/json", b'{"token": "a", "token": "b"}'),
    "no UTF-8": ("application/json", b'"\xff"'),
    "an unknown member": ("application/json", b'{"nothing": 1}'),
    "no evaluation": ("application/json", b'{"evaluations": 1}'),
    "an empty form": (FORM, b""),
    "an unknown grant": (FORM, b"grant_type=password"),
    "no target": (FORM, f"grant_type={EXCHANGE}&subject_token=x&subject_token_type={TYPE}jwt".encode()),
    "a bad target": (FORM, f"grant_type={EXCHANGE}&audience=a+b".encode()),
    "a bad scope": (FORM, f"grant_type=client_credentials&audience={API}&scope=a++b".encode()),
    "bad details": (FORM, b"grant_type=client_credentials&authorization_details=%7B"),
    "a parameter twice": (FORM, b"token=a&token=b"),
    "a broken form": (FORM, b"token=%f"),
    "another client": (FORM, b"token=a&client_id=somebody"),
    "a long form": (FORM, b"token=" + b"a" * 300_000),
}
NOBODY: dict[str, str | None] = {
    "nothing": None,
    "another scheme": "Digest x",
    "an empty one": "Bearer ",
    "a malformed token": "Bearer a b",
    "an unknown token": "Bearer jitid_" + "0" * 38,
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Return a service that knows no caller without a token."""
    with serving(tmp_path_factory.mktemp("nobody")) as found:
        yield found


def post(
    served: Served, path: str, content: str, bearer: str | None, source: str | None = None, **more: str
) -> Answer:
    """Post one of the contents."""
    kind, body = CONTENTS[content]
    headers = more | ({} if kind is None else {"content-type": kind})
    headers |= {} if bearer is None else {"authorization": bearer}
    return served.ask("POST", path, body, headers, source=source)


def told(answer: Answer) -> tuple[int, bytes, str | None]:
    """Return the client's view of an answer: its status, its body and its challenge."""
    return answer.status, answer.body, answer.headers.get("www-authenticate")


@pytest.mark.deep
@pytest.mark.parametrize("who", NOBODY)
def test_whoever_is_nobody_is_told_that_and_nothing_else(served: Served, who: str) -> None:
    bearer = NOBODY[who]
    for number, path in enumerate((*FEW, *OPERATIONS[:: 1 if who == "nothing" else 7])):
        if path.endswith("/LogIn"):
            continue  # An ID token authenticates its caller.
        # Failures are counted by the client's address, so a new address for each path avoids status 429.
        source = f"127.{1 + list(NOBODY).index(who)}.0.{1 + number}"
        found = {told(post(served, path, content, bearer, source)) for content in CONTENTS}
        found.add(told(post(served, f"{path}?token=x", "an empty form", bearer, source)))
        found.add(told(post(served, path, "an empty object", bearer, source, **{"idempotency-key": "a b"})))
        ((status, body, challenge),) = found
        assert status == 401, (path, body)
        if path in OAUTH:
            assert json.loads(body)["error"] == "invalid_client"
        # RFC 6750, section 3.1: no error code for a request without a token.
        shown = who.endswith("token")
        assert challenge == 'Bearer realm="jitid"' + (', error="invalid_token"' if shown else ""), path


def test_so_is_who_sends_no_body(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        for path in (
            "/v1/whoami",
            "/token-status",
            f"/forward-auth?audience={API}",
            "/forward-auth?audienc=x",
        ):
            for who, bearer in NOBODY.items():
                answer = served.ask("GET", path, headers={} if bearer is None else {"authorization": bearer})
                if path.endswith("=x") and who in ("a malformed token", "an unknown token"):
                    # The proxy is configured wrongly, and no token can correct that.
                    assert answer.status == 400
                    continue
                assert answer.status == 401, (path, who)
                challenge = answer.headers["www-authenticate"]
                assert ('error="invalid_token"' in challenge) == who.endswith("token"), (who, challenge)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """Serve this user without a role; other callers have tokens."""
    with asking(tmp_path_factory.mktemp("roles")) as made:
        yield made


@pytest.mark.deep
def test_who_has_no_role_is_told_that_and_nothing_else(asked: Asked) -> None:
    token = f"Bearer {grant(asked.shell, 'system:powerless')}"
    guarded = ["/introspect", "/access/v1/evaluation", "/access/v1/evaluations"]
    guarded += [
        f"/v1/operations/{name}"
        for name in codec.names()
        if not ((kind := operations()[name]).for_anybody or kind.for_own)
    ]
    assert len(guarded) > 30
    for path in guarded:
        contents = [
            content for content, (kind, _) in CONTENTS.items() if path != "/introspect" or kind == FORM
        ]
        found = {
            told(post(asked.served, path, content, token))
            for content in contents
            if content != "another client"
        }
        assert {status for status, _, _ in found} == {403}, (path, found)
        assert len({body for _, body, _ in found if path != "/introspect"}) <= 1, (path, found)
    # The audit log has all refusals, including the refusals before the content was examined.
    log = asked.shell.good("audit", "log", "--operation", "denial", "--format", "jsonl")
    refused = {path.removeprefix("/v1/operations/") for path in guarded if path.startswith("/v1/")}
    assert {json.loads(line)["operation"] for line in log.splitlines()} == refused | {
        "Introspect",
        "Authorize",
    }


def test_who_may_ask_is_told_what_is_wrong(asked: Asked) -> None:
    token = f"Bearer {grant(asked.shell, 'system:verifier', 'verifier')}"
    for path in ("/introspect", "/access/v1/evaluation", "/v1/operations/Introspect"):
        statuses = {post(asked.served, path, content, token).status for content in CONTENTS}
        assert statuses <= {200, 400, 401, 413, 415}, path
        assert 400 in statuses
    answer = asked.form("/token", grant_type="client_credentials", bearer=token[7:], scope="a  b")
    assert answer.json["error"] == "invalid_scope"
    person = f"{grant(asked.shell, 'user:carol')}"
    answer = asked.form("/token", grant_type="client_credentials", bearer=person, scope="a  b")
    assert answer.json["error"] == "unauthorized_client"


def test_a_user_of_the_socket_is_known_before_the_content(tmp_path: Path) -> None:
    configuration = tmp_path / "config.toml"
    configuration.write_text(f'[socket.role]\n{getpass.getuser()} = ["verifier"]\n')
    configuration.chmod(0o600)
    with serving(tmp_path, "--config", str(configuration), "--socket", str(tmp_path / "s.sock")) as served:
        assert post(served, "/introspect", "a broken form", None).status == 400
        assert post(served, "/introspect", "a broken form", "Bearer x").status == 401


MISTAKES = {
    "a parameter twice": "token=x&token=y&{client}",
    "a pair without a value": "token=x&hint&{client}",
    "a broken escape": "token=%f&{client}",
    "too many parameters": "{client}" + "&a=b" * 80,
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_client_is_known_whatever_else_is_wrong_with_its_form(asked: Asked, mistake: str) -> None:
    """A secret in the form works like the same secret in the header."""
    name = "system:form"
    secret = grant(asked.shell, name, "verifier")
    for right, status in ((secret, 400), (f"{secret[:-1]}!", 401)):
        posted = MISTAKES[mistake].format(client=urlencode({"client_id": name, "client_secret": right}))
        basic = f"Basic {b64encode(f'{name}:{right}'.encode()).decode()}"
        shown = MISTAKES[mistake].format(client=urlencode({"client_id": name}))
        kind = {"content-type": FORM}
        for answer in (
            asked.served.ask("POST", "/introspect", posted.encode(), kind),
            asked.served.ask("POST", "/introspect", shown.encode(), kind | {"authorization": basic}),
        ):
            assert answer.status == status, answer.body
            assert answer.json["error"] == ("invalid_request" if status == 400 else "invalid_client")
    # A repeated parameter does not identify a client.
    twice = urlencode([("client_id", name), ("client_secret", secret), ("client_secret", secret)])
    assert asked.served.ask("POST", "/introspect", twice.encode(), kind).status == 401


@pytest.mark.parametrize("path", OAUTH)
def test_each_401_has_a_challenge(asked: Asked, path: str) -> None:
    """RFC 9110, section 15.5.2."""
    token = grant(asked.shell, "system:challenged", "verifier")
    answers = [
        asked.form(path, token="x", bearer=token, client_id="system:other"),
        asked.form(path, token="x", client_secret=token),
        asked.form(path, token="x", client_secret=token, client_id=""),
        asked.form(path, token="x", client_secret="wrong", client_id="system:challenged"),
        asked.form(path, token="x", client_assertion="x", client_assertion_type="x"),
        asked.form(path, token="x", client_assertion="x"),
        asked.form(path, token="x", basic="system:challenged:wrong"),
    ]
    for answer in answers:
        assert answer.status == 401, answer.body
        assert answer.headers["www-authenticate"].startswith(("Bearer ", "Basic "))


HEADERS = (
    ("Basic\tYTpi", "Bearer\tx", "Negotiate x", "Digest", ""),
    ("x", "Basic YTpi", "Bearer", "Bearer x"),
)
"""In two parts, because too many invalid credentials are answered with 429."""


@pytest.mark.parametrize("headers", HEADERS)
def test_who_shows_a_credential_is_not_taken_for_the_user_of_the_socket(
    tmp_path: Path, headers: tuple[str, ...]
) -> None:
    """A header that the service cannot understand is refused; it never means the user of the socket."""
    configuration = tmp_path / "config.toml"
    configuration.write_text(f'[socket.role]\n{getpass.getuser()} = ["verifier", "auditor"]\n')
    configuration.chmod(0o600)
    with serving(tmp_path, "--config", str(configuration), "--socket", str(tmp_path / "s.sock")) as served:
        assert served.ask("GET", "/v1/whoami").status == 200
        assert post(served, "/introspect", "an empty form", None).status == 400
        for header in headers:
            answers = [served.ask("GET", "/v1/whoami", headers={"authorization": header})]
            paths = (*OAUTH, "/access/v1/evaluation", "/v1/operations/ListTasks")
            answers += [post(served, path, "an empty form", header) for path in paths]
            assert {answer.status for answer in answers} == {401}, (header, [one.body for one in answers])
            assert all("www-authenticate" in answer.headers for answer in answers)
