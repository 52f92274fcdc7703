"""Programs that get credentials from `helper`: git, kubectl and skopeo themselves, and their servers."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.components.helping import ASKING, asked, is_for, shell_with_programs
from tests.crypto.loopback import certificate
from tests.real import Shell, need


class Answer(NamedTuple):
    """The server's answer at a path to a request with a credential."""

    type: str
    body: bytes


class Server:
    """A server that requires a credential, and records each one."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.shown: list[str] = []


@contextmanager
def demanding(scheme: str, answers: Mapping[str, Answer], pem: Path | None = None) -> Iterator[Server]:
    """Serve requests with a credential of that scheme, over TLS if there is a certificate."""

    class Visitor(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            authorization = self.headers.get("Authorization", "")
            if not authorization.startswith(f"{scheme} "):
                self._say(401, Answer("text/plain", b""))
                return
            server.shown.append(authorization.removeprefix(f"{scheme} "))
            answer = answers.get(self.path.partition("?")[0])
            self._say(404 if answer is None else 200, answer or Answer("text/plain", b""))

        def _say(self, status: int, answer: Answer) -> None:
            self.send_response(status)
            if status == 401:
                self.send_header("WWW-Authenticate", f'{scheme} realm="test"')
            self.send_header("Content-Type", answer.type)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Visitor)
    if pem is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        listening.socket = context.wrap_socket(listening.socket, server_side=True)
    server = Server(f"{'http' if pem is None else 'https'}://127.0.0.1:{listening.server_address[1]}")
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a shell with a ledger, and with jitid and its name for docker in PATH."""
    return shell_with_programs(tmp_path)


REFS = b"001e# service=git-upload-pack\n0000" + b"003d" + b"1" * 40 + b" refs/heads/main\n0000"
ADVERTISED = {"/x.git/info/refs": Answer("application/x-git-upload-pack-advertisement", REFS)}


def test_git_shows_a_bearer_token_for_the_server(shell: Shell) -> None:
    """The installed git uses the helper for one server."""
    git = need("git")
    with demanding("Bearer", ADVERTISED) as server:
        helper = f"credential.{server.address}.helper=!jitid helper git {' '.join(ASKING)}"
        done = asked(
            shell, git, "-c", helper, "ls-remote", f"{server.address}/x.git", GIT_TERMINAL_PROMPT="0"
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.split()[1] == "refs/heads/main"
        assert is_for(shell, server.shown[-1], server.address)


def test_git_within_a_run_shows_what_descends_from_it(shell: Shell) -> None:
    """The helper gets only the run, and the server must be among the run's audiences."""
    git = need("git")
    with demanding("Bearer", ADVERTISED) as server:
        shell.good("run", *ASKING, "--", git, "config", "--global", "credential.helper", "!jitid helper git")
        words = ["--", git, "ls-remote", f"{server.address}/x.git"]
        refused = shell.run("run", *ASKING, *words, more={"GIT_TERMINAL_PROMPT": "0"})
        assert refused.returncode == 128
        assert f"does not hold audience `{server.address}`" in refused.stderr
        assert not server.shown
        done = shell.run("run", *ASKING, "--audience", server.address, *words)
        assert done.returncode == 0, done.stderr
        told = json.loads(shell.run("inspect", "-", "--format", "json", stdin=server.shown[-1]).stdout)
        assert (told["depth"], told["state"]) == (1, "revoked")


def test_an_older_git_gets_it_as_a_password(shell: Shell) -> None:
    """Without the capability `authtype`, the same token is a password."""
    said = "protocol=https\nhost=git.example\nusername=bob\n\n"
    told = dict(
        line.split("=", 1) for line in shell.good("helper", "git", "get", *ASKING, stdin=said).split()
    )
    assert told["username"] == "bob"
    assert is_for(shell, told["password"], "https://git.example")


@pytest.mark.parametrize("operation", ["store", "erase", "capability"])
def test_whatever_else_git_calls_makes_nothing(shell: Shell, operation: str) -> None:
    before = shell.good("list", "--field", "jti")
    said = "protocol=https\nhost=git.example\nusername=x\npassword=y\n\n"
    assert shell.good("helper", "git", operation, *ASKING, stdin=said) == ""
    assert shell.good("list", "--field", "jti") == before


@pytest.mark.deep
@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("protocol=http\nhost=git.example\n\n", "unencrypted"),
        ("protocol=https\n\n", "names no server"),
        ("protocol=ssh\nhost=git.example\n\n", "is not an address with a host"),
        ("host\n\n", "without `=`"),
        # Git's input for `https://x%0bhost=git.example@evil.example`: it has decoded the user.
        ("protocol=https\nhost=evil.example\nusername=x\vhost=git.example\n\n", "a character"),
        ("protocol=https\nhost=evil.example\nusername=x\x85host=git.example\n\n", "a character"),
        ("protocol=https\nhost=evil.example\nusername=x\u2028host=git.example\n\n", "a character"),
        ("protocol=https\nhost=evil.example\nusername=x\rhost=git.example\n\n", "a character"),
        ("protocol=https\nhost=git.example/.evil.example\n\n", "an invalid host"),
        ("protocol=https\nhost=git.example#.evil.example\n\n", "an invalid host"),
        ("protocol=https\nhost=evil.example@git.example\n\n", "is not an address with a host"),
        ("protocol=https\nhost=git.example\\.evil.example\n\n", "is not an address with a host"),
    ],
)
def test_a_server_that_a_token_must_not_reach_gets_none(shell: Shell, said: str, why: str) -> None:
    """No credential is issued for it either."""
    done = shell.run("helper", "git", "get", *ASKING, stdin=said)
    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr
    assert shell.good("list", "--task", "FIRST", "--field", "jti") == shell.good("list", "--field", "jti")


def test_kubectl_shows_a_token_for_its_server(shell: Shell, tmp_path: Path) -> None:
    """As an exec plug-in, which gets the address of the server from kubectl."""
    kubectl = need("kubectl")
    pem = certificate(tmp_path)
    version = Answer("application/json", b'{"major":"1","minor":"32"}')
    with demanding("Bearer", {"/version": version}, pem) as server:
        configuration = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "agent"}}],
            "clusters": [
                {"name": "here", "cluster": {"server": server.address, "certificate-authority": str(pem)}}
            ],
            "users": [
                {
                    "name": "agent",
                    "user": {
                        "exec": {
                            "apiVersion": "client.authentication.k8s.io/v1",
                            "command": "jitid",
                            "args": ["helper", "kube", *ASKING],
                            "interactiveMode": "Never",
                            "provideClusterInfo": True,
                        }
                    },
                }
            ],
        }
        (tmp_path / "kubeconfig").write_text(json.dumps(configuration))
        done = asked(shell, kubectl, "--kubeconfig", str(tmp_path / "kubeconfig"), "get", "--raw", "/version")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["minor"] == "32"
        assert is_for(shell, server.shown[-1], server.address)


def test_kubectl_can_have_a_certificate_instead(shell: Shell) -> None:
    """The answer is an ExecCredential with a key and its certificate."""
    told = json.loads(shell.good("helper", "kube", *ASKING, "--kind", "x509-svid"))
    assert told["kind"] == "ExecCredential"
    assert told["status"]["clientCertificateData"].startswith("-----BEGIN CERTIFICATE-----")
    assert told["status"]["clientKeyData"].startswith("-----BEGIN PRIVATE KEY-----")
    assert "token" not in told["status"]


@pytest.mark.parametrize("info", ["{", '{"apiVersion":"client.authentication.k8s.io/v1beta1"}'])
def test_kubectl_that_asks_otherwise_gets_nothing(shell: Shell, info: str) -> None:
    done = shell.run("helper", "kube", *ASKING, more={"KUBERNETES_EXEC_INFO": info})
    assert (done.returncode, done.stdout) == (2, "")


def test_skopeo_shows_a_token_for_its_registry(shell: Shell, tmp_path: Path) -> None:
    """The helper has the name by which docker, podman and skopeo look for a credential helper."""
    skopeo = need("skopeo")
    answers = {
        "/v2/": Answer("application/json", b"{}"),
        "/v2/app/tags/list": Answer("application/json", b'{"name":"app","tags":["one"]}'),
    }
    pem = certificate(tmp_path)
    with demanding("Basic", answers, pem) as server:
        host = server.address.removeprefix("https://")
        (tmp_path / "auth.json").write_text(json.dumps({"credHelpers": {host: "jitid"}}))
        done = asked(
            shell,
            skopeo,
            "list-tags",
            "--tls-verify=false",
            "--authfile",
            str(tmp_path / "auth.json"),
            f"docker://{host}/app",
            JITID_TASK="T1",
            JITID_DELEGATOR="alice",
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["Tags"] == ["one"]
        name, _, token = base64.b64decode(server.shown[-1]).decode().partition(":")
        assert name == "jitid"
        assert is_for(shell, token, server.address)


def test_docker_finds_nothing_that_is_kept(shell: Shell) -> None:
    assert json.loads(shell.good("helper", "docker", "list")) == {}
    stored = json.dumps({"ServerURL": "registry.example", "Username": "bob", "Secret": "s"})
    assert shell.good("helper", "docker", "store", stdin=stored) == ""
    assert shell.good("helper", "docker", "erase", stdin="registry.example") == ""


def test_what_is_no_token_is_ended_and_not_handed_over(shell: Shell) -> None:
    """Git accepts only tokens."""
    said = "protocol=https\nhost=git.example\n\n"
    done = shell.run("helper", "git", "get", *ASKING, "--kind", "x509-svid", stdin=said)
    assert (done.returncode, done.stdout) == (2, "")
    assert shell.good("list", "--task", "T1", "--field", "state") == "revoked\n"


def test_kubectl_within_a_run_finds_its_cluster(shell: Shell, tmp_path: Path) -> None:
    """A template gives the cluster's name. The cluster is the current context, and the token is the run's own."""
    kubectl = need("kubectl")
    pem = certificate(tmp_path)
    version = Answer("application/json", b'{"major":"1","minor":"32"}')
    with demanding("Bearer", {"/version": version}, pem) as server:
        settings = tmp_path / "settings.toml"
        settings.touch(0o600)
        settings.write_text(
            f'target.prod.kind = "jwt"\n[target.prod.template.look]\n'
            f'kube_server = "{server.address}"\nkube_ca_file = "{pem}"\n'
        )
        (shell.ledger / "policy/cluster.cedar").write_text(
            '@id("cluster") permit (principal, action == Action::"issue", resource)'
            ' when { context.kind == "jwt" && context.template == "prod/look" };'
        )
        words = ["run", *ASKING, "--audience", server.address, "--secret", "cluster=jwt:look", "--"]
        done = shell.run(
            *words,
            kubectl,
            "get",
            "--raw",
            "/version",
            more={"JITID_CONFIG": str(settings), "KUBECONFIG": "x"},
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["minor"] == "32"
        told = json.loads(shell.run("inspect", "-", "--format", "json", stdin=server.shown[-1]).stdout)
        assert (told["template"], told["aud"], told["state"]) == ("prod/look", [server.address], "revoked")


def test_within_a_run_it_is_a_further_credential_of_the_same_identity(shell: Shell, tmp_path: Path) -> None:
    """It is for the audience of the settings. If it cannot be written, only it ends, and the run continues."""
    script = """
        jitid helper kube --config "$JITID_CONFIG" --kind opaque > /dev/full; echo "$?"
        jitid verify "$JITID_TOKEN_FILE"; echo "$?"
        jitid helper kube --config "$JITID_CONFIG" --kind opaque > given.json
        jitid list --task "$JITID_TASK" --format jsonl > all.jsonl
        echo "$JITID_ID"
    """
    settings = tmp_path / "settings.toml"
    settings.touch(0o600)
    settings.write_text('audience = ["https://kube.example"]\n')
    done = shell.run("run", *ASKING, "--", "sh", "-c", script, more={"JITID_CONFIG": str(settings)})
    assert done.returncode == 0, done.stderr
    status, valid, identity = done.stdout.split()
    assert (status, valid) == ("74", "0")
    assert "the new credential was revoked" in done.stderr
    listed = [json.loads(line) for line in (shell.home / "all.jsonl").read_text().splitlines()]
    assert [(one["id"], one["kind"], one["state"]) for one in listed] == [
        (identity, "opaque", "active"),
        (identity, "opaque", "revoked"),
        # The run's token for the service, and its identity token.
        (identity, "jwt", "active"),
        (identity, "jwt", "active"),
    ]
    given = json.loads((shell.home / "given.json").read_text())["status"]["token"]
    assert shell.run("verify", "-", stdin=given).returncode == 8


def test_within_a_run_a_named_service_has_an_identity_below(shell: Shell) -> None:
    """If the credential cannot be written, it is revoked, and the run continues."""
    script = """
        jitid helper kube --audience https://kube.example > /dev/full; echo "$?"
        jitid verify "$JITID_PARENT_FILE"; echo "$?"
        jitid list --task "$JITID_TASK" --format jsonl > all.jsonl
        echo "$JITID_ID"
    """
    done = shell.run("run", *ASKING, "--audience", "https://kube.example", "--", "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    status, valid, identity = done.stdout.split()
    assert (status, valid) == ("74", "0")
    assert "the credential just made was revoked" in done.stderr
    below, *own = [json.loads(line) for line in (shell.home / "all.jsonl").read_text().splitlines()]
    assert (below["parent"], below["state"]) == (identity, "revoked")
    assert [(one["id"], one["state"]) for one in own] == [(identity, "active")] * 2
