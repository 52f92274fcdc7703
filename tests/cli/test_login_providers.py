"""`jitid login` at identity providers of other projects: `oidc-provider` (npm) and `nanoidp` (PyPI)."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.node import Node
from tests.person import BROWSER
from tests.real import Shell, free_port, missing, need, until

CLIENT = "jitid-cli"

_OIDC_PROVIDER = """
import Provider from 'oidc-provider';
const [port, alg] = [Number(process.argv[2]), process.argv[3]];
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{
    client_id: 'jitid-cli', token_endpoint_auth_method: 'none', application_type: 'native',
    grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
    response_types: ['code'], redirect_uris: ['http://127.0.0.1/login'], id_token_signed_response_alg: alg,
  }],
  features: { deviceFlow: { enabled: true }, devInteractions: { enabled: true } },
  pkce: { required: () => true },
  claims: { openid: ['sub'], email: ['email', 'email_verified'] },
  conformIdTokenClaims: false,
  findAccount: async (_, id) => ({
    accountId: id,
    claims: async () => ({ sub: id, email: `${id}@example.com`, email_verified: true }),
  }),
});
provider.listen(port, '127.0.0.1');
"""

_NANOIDP_SETTINGS = """config_version: 1
server: {{host: 127.0.0.1, port: {port}}}
oauth:
  issuer: "http://127.0.0.1:{port}"
  audience: "jitid-cli"
  clients:
    - client_id: "jitid-cli"
      client_secret: "s3cret-of-the-client"
"""
_NANOIDP_USERS = """config_version: 1
users:
  alice:
    password: "secret"
    email: "alice@example.com"
"""


@contextmanager
def _running(folder: Path, *line: str, url: str) -> Iterator[str]:
    """Run a provider, wait until it answers, and yield its address."""
    log = folder / "provider.log"
    with log.open("wb") as output:
        process = subprocess.Popen(line, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        place = f"{url}/.well-known/openid-configuration"
        until(
            lambda: bool(urllib.request.urlopen(place, timeout=5).close() is None),
            f"no provider answers: {log.read_text()[-500:]}",
        )
        yield url
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def oidc_provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve `oidc-provider`: PKCE is required, and its answers have `iss` (RFC 9207)."""
    folder = tmp_path_factory.mktemp("oidc-provider")
    Node(folder, "oidc-provider@^9.13")
    (folder / "serve.mjs").write_text(_OIDC_PROVIDER)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with _running(folder, need("node"), "serve.mjs", str(port), "RS256", url=url):
        yield url


@pytest.fixture(scope="module")
def nanoidp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve `nanoidp`, with a client that has a secret."""
    if find_spec("nanoidp") is None:
        missing("nanoidp is not installed: pip install '.[test-real]'")
    folder, port = tmp_path_factory.mktemp("nanoidp"), free_port()
    (folder / "settings.yaml").write_text(_NANOIDP_SETTINGS.format(port=port))
    (folder / "users.yaml").write_text(_NANOIDP_USERS)
    url = f"http://127.0.0.1:{port}"
    program = (sys.executable, "-m", "nanoidp")
    with _running(folder, *program, "--config", str(folder), "--port", str(port), url=url):
        yield url


def _shell(home: Path, url: str, **settings: str) -> Shell:
    shell = Shell(home)
    shell.choose_settings()
    shell.environment["BROWSER"] = BROWSER
    for name, value in {"client_id": CLIENT, "device": "true", **settings}.items():
        shell.good("config", "set", f"oidc.{url}.{name}", value)
    return shell


FLOWS = pytest.mark.parametrize("flow", [(), ("--device",)], ids=["browser", "device"])


@FLOWS
def test_oidc_provider_logs_a_person_in(flow: tuple[str, ...], tmp_path: Path, oidc_provider: str) -> None:
    """The person types a name and consents; the verified email address is the name."""
    shell = _shell(
        tmp_path, oidc_provider, jwks=f"{oidc_provider}/jwks", claim="email", names="*@example.com"
    )
    done = shell.run("login", *flow)
    assert (done.returncode, "user:alice@example.com" in done.stdout) == (0, True), done.stderr
    shell.good("issue", "--task", "T", "--out", "a.tok")
    assert shell.good("inspect", "a.tok", "--field", "sub", "--field", "delegator_proof").split() == [
        "user:alice@example.com",
        "oidc",
    ]


def test_oidc_provider_refuses_another_client(tmp_path: Path, oidc_provider: str) -> None:
    """Its page for an unknown client never comes back to the listener."""
    shell = _shell(tmp_path, oidc_provider, jwks=f"{oidc_provider}/jwks", client_id="other")
    assert shell.run("login", "--timeout", "3s").returncode == 5
    done = shell.run("login", "--device")
    assert (done.returncode, "invalid_client" in done.stderr) == (6, True)


@FLOWS
def test_nanoidp_logs_a_person_in(flow: tuple[str, ...], tmp_path: Path, nanoidp: str) -> None:
    """The client's secret is needed at both endpoints."""
    secret = tmp_path / "client.secret"
    secret.write_text("s3cret-of-the-client\n")
    secret.chmod(0o600)
    shell = _shell(tmp_path, nanoidp, jwks=f"{nanoidp}/.well-known/jwks.json", client_secret_file=str(secret))
    done = shell.run("login", *flow)
    assert (done.returncode, "logged in as user:alice" in done.stdout) == (0, True), done.stderr
    assert json.loads(shell.good("whoami", "--json"))["proof"] == "oidc"
    secret.write_text("another\n")
    assert shell.run("login", *flow).returncode == 6
