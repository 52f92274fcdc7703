"""`helper git` with git itself: clone and push through git-http-backend, with any challenge of the server."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.components.helping import ASKING, asked, is_for, shell_with_programs
from tests.real import Shell, need

BASIC, BEARER = 'Basic realm="code"', 'Bearer realm="code"'

OLD = """!f() { grep --invert-match '^capability' | jitid helper git "$1" --task T1 --delegator alice; }; f"""
"""The helper as a git before 2.46 calls it: the answer has only a user and a password."""

OURS = f"!jitid helper git {' '.join(ASKING)}"


class Place:
    """A server with one repository, which accepts the tokens that `jitid verify` accepts."""

    def __init__(self, shell: Shell, folder: Path) -> None:
        self.shell = shell
        self.folder = folder
        self.address = ""
        self.shown: list[tuple[str, str]] = []
        """The scheme and the token of each request that had a credential."""
        self.users: list[str] = []
        self.closed = False
        """Whether the server refuses all requests."""

    def admits(self, authorization: str, schemes: Sequence[str]) -> bool:
        """Return whether a credential is valid here, with one of these schemes."""
        scheme, _, token = authorization.partition(" ")
        if scheme == "Basic":
            user, _, token = base64.b64decode(token).decode().partition(":")
            self.users.append(user)
        self.shown.append((scheme, token))
        return not self.closed and scheme in schemes and is_for(self.shell, token, self.address)

    def backend(self, method: str, path: str, headers: Message, body: bytes) -> tuple[Message, bytes]:
        """Return the answer of git-http-backend (git-http-backend(1), RFC 3875)."""
        path, _, query = path.partition("?")
        done = subprocess.run(
            [need("git"), "http-backend"],
            input=body,
            capture_output=True,
            check=True,
            timeout=60,
            env={
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(self.folder),
                "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "REQUEST_METHOD": method,
                "REMOTE_USER": "jitid",
                "CONTENT_TYPE": headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": headers.get("Git-Protocol", ""),
            },
        )
        head, _, rest = done.stdout.partition(b"\r\n\r\n")
        said = Message()
        for line in head.decode().split("\r\n"):
            name, _, value = line.partition(": ")
            said[name] = value
        return said, rest


@contextmanager
def served(shell: Shell, challenges: Sequence[str], schemes: Sequence[str]) -> Iterator[Place]:
    """Serve a repository with one commit. A request needs a credential with one of the schemes, or gets a challenge."""
    git = need("git")
    place = Place(shell, shell.home / "served")
    for words in (
        ("init", "--quiet", "--bare", "--initial-branch=main", "served/x.git"),
        ("-C", "served/x.git", "config", "http.receivepack", "true"),
        ("init", "--quiet", "--initial-branch=main", "first"),
        ("-C", "first", *WHO, "commit", "--quiet", "--allow-empty", "--message=one"),
        ("-C", "first", "push", "--quiet", "../served/x.git", "main"),
    ):
        assert (done := asked(shell, git, *words)).returncode == 0, done.stderr

    class Visitor(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            authorization = self.headers.get("Authorization", "")
            if not (authorization and place.admits(authorization, schemes)):
                self.send_response(401)
                for challenge in challenges:
                    self.send_header("WWW-Authenticate", challenge)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            said, answer = place.backend(self.command, self.path, self.headers, body)
            self.send_response(int(said.get("Status", "200")[:3]))
            self.send_header("Content-Type", said["Content-Type"])
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Visitor)
    place.address = f"http://127.0.0.1:{listening.server_address[1]}"
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield place
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


WHO = ("-c", "user.name=a", "-c", "user.email=a@b.example")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a shell with a ledger. Its git gets credentials only from helpers."""
    made = shell_with_programs(tmp_path)
    made.environment |= {"GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1"}
    return made


def helped(shell: Shell, *helpers: str) -> None:
    """Let git use these helpers, in this order."""
    for helper in helpers:
        asked(shell, need("git"), "config", "--global", "--add", "credential.helper", helper)


def clone_and_push(shell: Shell, place: Place, *options: str, folder: str = "clone") -> None:
    """Clone the repository, commit, and push; each must succeed."""
    for words in (
        ("clone", "--quiet", f"{place.address}/x.git", folder),
        ("-C", folder, *WHO, "commit", "--quiet", "--allow-empty", "--message=two"),
        ("-C", folder, "push", "--quiet", "origin", "HEAD:main"),
    ):
        done = asked(shell, need("git"), *options, *words)
        assert done.returncode == 0, done.stderr
    heads = [
        asked(shell, need("git"), "-C", where, "rev-parse", name).stdout
        for where, name in ((folder, "HEAD"), ("served/x.git", "main"))
    ]
    assert heads[0] == heads[1] != ""


@pytest.mark.deep
@pytest.mark.parametrize(
    ("challenges", "scheme"),
    [
        ([BASIC], "Basic"),
        ([BEARER], "Bearer"),
        # Two headers, and one header with two challenges.
        ([BASIC, BEARER], "Bearer"),
        ([BEARER, BASIC], "Bearer"),
        ([f"{BASIC}, {BEARER}"], "Bearer"),
        ([f"{BEARER}, {BASIC}"], "Bearer"),
        # Schemes are case-insensitive. A scheme name in a realm or a parameter is not a scheme.
        (['bAsIc REALM = "Bearer, Bearer x", charset="UTF-8"'], "Basic"),
        (['Basic realm="a \\" b, Bearer", bearer=1'], "Basic"),
        (['BEARER Realm="Basic, Basic x", error="invalid_token", scope="a b"'], "Bearer"),
        (["Basic realm=x,bearer"], "Bearer"),
        # Bytes that are not UTF-8, and a control character.
        (['Basic realm="Z\xfcrich\x85"'], "Basic"),
        (['Bearer realm="Z\xfcrich",\tBasic realm="\xad"'], "Bearer"),
    ],
)
def test_git_clones_and_pushes_by_the_scheme_that_the_server_names(
    shell: Shell, challenges: Sequence[str], scheme: str
) -> None:
    """The server accepts every scheme of its challenges. Git sends a valid token, and never the same token twice."""
    helped(shell, OURS)
    with served(shell, challenges, [scheme]) as place:
        clone_and_push(shell, place)
    assert {one for one, _ in place.shown} == {scheme}
    # Each git command gets its own token.
    assert len({token for _, token in place.shown}) == 2
    assert set(place.users) <= {"jitid"}


def test_an_older_git_gets_user_and_password(shell: Shell) -> None:
    helped(shell, OLD)
    with served(shell, [BASIC, BEARER], ["Basic"]) as place:
        clone_and_push(shell, place)
    assert {scheme for scheme, _ in place.shown} == {"Basic"}


def test_before_any_challenge_it_is_a_password(shell: Shell) -> None:
    """With `http.proactiveAuth` (git 2.46), and the user from the address."""
    helped(shell, OURS)
    with served(shell, [BASIC], ["Basic"]) as place:
        named = place.address.replace("//", "//bob@")
        done = asked(
            shell, need("git"), "-c", "http.proactiveAuth=basic", "ls-remote", f"{named}/x.git", "main"
        )
    assert done.returncode == 0, done.stderr
    assert set(place.users) == {"bob"}


@pytest.mark.deep
@pytest.mark.parametrize("challenge", [BASIC, BEARER])
@pytest.mark.parametrize("keeper", ["store", "cache"])
@pytest.mark.parametrize("first", [True, False], ids=["keeper-first", "keeper-last"])
def test_no_other_helper_keeps_the_token(shell: Shell, challenge: str, keeper: str, first: bool) -> None:
    """This holds for git-credential-store and git-credential-cache: each command gets its own token."""
    helped(shell, *((keeper, OURS) if first else (OURS, keeper)))
    try:
        with served(shell, [challenge], [challenge.split()[0]]) as place:
            clone_and_push(shell, place)
            # A stored token would be sent again, although it is revoked.
            shell.good("revoke", "--task", "T1")
            clone_and_push(shell, place, folder="again")
    finally:
        asked(shell, need("git"), "credential-cache", "exit")
    assert len({token for _, token in place.shown}) == 4
    kept = "".join(path.read_text() for path in shell.home.glob(".git-credentials"))
    assert not [token for _, token in place.shown if token in kept]
    assert kept == ""


@pytest.mark.deep
@pytest.mark.parametrize(("helper", "challenge"), [(OURS, BASIC), (OURS, BEARER), (OLD, BASIC)])
def test_a_refusal_by_the_server_revokes_nothing(shell: Shell, helper: str, challenge: str) -> None:
    """Git then calls `erase`. That reports only this server's decision, and any holder of the token could cause it."""
    helped(shell, helper)
    with served(shell, [challenge], []) as place:
        place.closed = True
        done = asked(shell, need("git"), "ls-remote", f"{place.address}/x.git")
        assert done.returncode == 128
        assert "Authentication failed" in done.stderr
        (_, token), *_ = place.shown
        assert is_for(shell, token, place.address)
    assert shell.good("list", "--task", "T1", "--field", "state") == "active\n"


@pytest.mark.deep
@pytest.mark.parametrize(
    ("challenges", "scheme"),
    [
        ([], "Basic"),
        (["Bearer"], "Bearer"),
        (["Negotiate"], "Basic"),
        (["Negotiate YWJj=="], "Basic"),
        (["Negotiate YWJj==, bearer"], "Bearer"),
        (["Digest nonce=\"x\", qop=auth, Bearer"], "Bearer"),
        (["Bearer=1"], "Basic"),
        (["Bearer = 1"], "Basic"),
        (["Basic realm=Bearer"], "Basic"),
        (["Basic realm=\"x"], "Basic"),
        (["Basic realm=\"x, Bearer"], "Basic"),
        (["Bearers realm=x"], "Basic"),
        (["XBearer"], "Basic"),
        (["Bearer\"\""], "Basic"),
        ([",, ,Bearer"], "Bearer"),
        # An empty value clears the earlier values (git-credential(1)).
        (["Bearer", ""], "Basic"),
        (["Basic", "", "Bearer"], "Bearer"),
        (["=" * 30_000 + "\"" * 30_000], "Basic"),
    ],
)  # fmt: skip
def test_bearer_is_shown_only_where_a_challenge_names_it(
    shell: Shell, challenges: Sequence[str], scheme: str
) -> None:
    said = "capability[]=authtype\nprotocol=https\nhost=git.example\n"
    said += "".join(f"wwwauth[]={one}\n" for one in challenges)
    told = shell.good("helper", "git", "get", *ASKING, stdin=f"{said}\n").splitlines()
    assert told[:2] == ["capability[]=authtype", f"authtype={scheme}"]
    assert "ephemeral=1" in told
