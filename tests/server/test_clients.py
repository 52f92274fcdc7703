"""Clients of other projects in a credential's life cycle: discovery, exchange, use, introspection, revocation."""

from __future__ import annotations

import importlib
import json
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from tests.crypto.signed import encode, jwk
from tests.node import Node
from tests.real import Shell, free_port, missing, need
from tests.server.asking import API, EXCHANGE, TYPE, configured, grant, id_token
from tests.serving import Served, serving

KEY = generate_private_key(SECP256R1())
PRIVATE = {**jwk(KEY), "d": encode(KEY.private_numbers().private_value.to_bytes(32))}


class Authority:
    """A service at the address of its issuer."""

    def __init__(self, served: Served, shell: Shell) -> None:
        self.url = served.url
        self.shell = shell
        self.served = served


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    """Serve an OAuth client that signs its assertions and may verify."""
    folder = tmp_path_factory.mktemp("authority")
    port = free_port()
    shell = configured(folder, (), issuer=f"http://127.0.0.1:{port}")
    with serving(folder, "--bind", f"127.0.0.1:{port}", ledger=shell.ledger) as served:
        grant(shell, "system:launcher", "verifier", key=jwk(KEY))
        yield Authority(served, shell)


def package(name: str) -> Any:
    """Return a module of another project; skip the test without it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        missing(f"{name} is not installed: pip install '.[test-real]'")


@pytest.mark.deep
def test_oauth4webapi_and_jose_take_what_we_serve(authority: Authority, node: Node) -> None:
    """Both libraries check each answer strictly: its issuer, its type, its status, its members."""
    script = """
    const insecure = { [oauth.allowInsecureRequests]: true };
    const issuer = new URL(given.issuer);
    const seen = {};
    for (const algorithm of ["oauth2", "oidc"]) {
        const found = await oauth.discoveryRequest(issuer, { algorithm, ...insecure });
        seen[algorithm] = (await oauth.processDiscoveryResponse(issuer, found)).issuer;
    }
    const as = await oauth.processDiscoveryResponse(
        issuer, await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...insecure }));
    const client = { client_id: "system:launcher" };
    const key = await crypto.subtle.importKey(
        "jwk", given.key, { name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]);
    const auth = oauth.PrivateKeyJwt(key);

    const parameters = new URLSearchParams({
        subject_token: given.subject, subject_token_type: given.type + "id_token",
        resource: given.resource, scope: "repo:read", jitid_task: "T-node",
    });
    const exchanged = await oauth.processGenericTokenEndpointResponse(as, client,
        await oauth.genericTokenEndpointRequest(as, client, auth, given.grant, parameters, insecure));
    const token = exchanged.access_token;

    const request = new Request(given.resource, { headers: { authorization: `Bearer ${token}` } });
    const claims = await oauth.validateJwtAccessToken(as, request, given.resource, insecure);
    const keys = jose.createRemoteJWKSet(new URL(as.jwks_uri));
    const { payload } = await jose.jwtVerify(token, keys,
        { issuer: as.issuer, audience: given.resource, typ: "at+jwt", algorithms: ["ES256"] });

    const own = await oauth.processClientCredentialsResponse(as, client,
        await oauth.clientCredentialsGrantRequest(
            as, client, auth, new URLSearchParams({ resource: given.resource }), insecure));

    const introspect = async () => oauth.processIntrospectionResponse(as, client,
        await oauth.introspectionRequest(as, client, auth, token, insecure));
    const before = await introspect();
    await oauth.processRevocationResponse(
        await oauth.revocationRequest(as, client, auth, token, insecure));
    const after = await introspect();

    let refused = null;
    try {
        parameters.set("subject_token", token);
        parameters.set("subject_token_type", given.type + "access_token");
        await oauth.processGenericTokenEndpointResponse(as, client,
            await oauth.genericTokenEndpointRequest(as, client, auth, given.grant, parameters, insecure));
    } catch (error) { refused = [error.name, error.error, error.status]; }
    answer({ seen, exchanged, claims, payload, own, before, after, refused });
    """
    told = node.run(
        script,
        issuer=authority.url,
        key=PRIVATE,
        subject=id_token(),
        type=TYPE,
        grant=EXCHANGE,
        resource="https://api.example/",
    )
    assert told["seen"] == {"oauth2": authority.url, "oidc": authority.url}
    assert (told["exchanged"]["token_type"], told["exchanged"]["scope"]) == ("bearer", "repo:read")
    assert told["claims"] == told["payload"]
    assert (told["claims"]["sub"], told["claims"]["client_id"]) == ("user:alice", "launcher")
    assert told["own"]["expires_in"] == 900
    before = told["before"]
    assert {name: before[name] for name in told["claims"] if name != "jitid"} == {
        name: value for name, value in told["claims"].items() if name != "jitid"
    }
    assert before["active"] is True
    assert told["after"] == {"active": False}
    assert told["refused"] == ["ResponseBodyError", "invalid_request", 400]


def test_authlib_takes_what_we_serve(authority: Authority) -> None:
    with warnings.catch_warnings():
        # Warnings about the libraries' own future do not concern jitid.
        warnings.simplefilter("ignore")
        client_of, rfc7523, jwk_ = (
            package(name)
            for name in ("authlib.integrations.requests_client", "authlib.oauth2.rfc7523", "joserfc.jwk")
        )
        place, key = f"{authority.url}/token", jwk_.ECKey.import_key(PRIVATE)
        with client_of.OAuth2Session(
            "system:launcher",
            key,
            token_endpoint_auth_method=rfc7523.PrivateKeyJWT(place, alg="ES256"),
            revocation_endpoint_auth_method=rfc7523.PrivateKeyJWT(place, alg="ES256"),
        ) as client:
            asked = {"audience": API, "scope": "repo:read"}
            own = client.fetch_token(place, grant_type="client_credentials", **asked)["access_token"]
            held = authority.shell.good(
                *("issue", "--task", "AUTHLIB-1", "--delegator", "system:launcher", "--agent", "planner"),
                *("--scope", "repo:read", "--may-audience", API),
            ).strip()
            subject = {"subject_token": held, "subject_token_type": f"{TYPE}access_token"}
            live = client.fetch_token(place, grant_type=EXCHANGE, **subject, **asked)["access_token"]
            introspect, revoke = f"{authority.url}/introspect", f"{authority.url}/revoke"
            assert client.introspect_token(introspect, token=live).json()["active"] is True
            for ended in (own, held):
                assert client.revoke_token(revoke, token=ended).status_code == 200
            for dead in (own, held, live):
                assert client.introspect_token(introspect, token=dead).json() == {"active": False}
            with pytest.raises(client_of.OAuthError, match="invalid_request"):
                client.fetch_token(place, grant_type=EXCHANGE, **subject, **asked)


def curl(authority: Authority, path: str, bearer: str, *options: str) -> tuple[int, Any]:
    """Send a request with curl, which reads the access token from a file; return the status and the document."""
    config = authority.shell.home / "curl.conf"
    config.touch(0o600)
    config.write_text(f'header = "Authorization: Bearer {bearer}"\n')
    done = subprocess.run(
        [need("curl"), "-sS", "-K", str(config), "-w", "\n%{http_code}", *options, f"{authority.url}{path}"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body) if body else None


def test_curl_needs_no_more_than_a_bearer(authority: Authority, tmp_path: Path) -> None:
    bearer = grant(authority.shell, "system:ci", "verifier")
    subject = tmp_path / "id.jwt"
    subject.write_text(id_token())
    status, told = curl(
        authority,
        "/token",
        bearer,
        *("-d", f"grant_type={EXCHANGE}", "--data-urlencode", f"subject_token@{subject}"),
        *("-d", f"subject_token_type={TYPE}id_token", "-d", f"audience={API}", "-d", "jitid_task=T-curl"),
    )
    assert status == 200, told
    live = tmp_path / "live.jwt"
    live.write_text(told["access_token"])
    status, told = curl(authority, "/introspect", bearer, "--data-urlencode", f"token@{live}")
    assert (status, told["active"], told["txn"]) == (200, True, "T-curl")
    assert curl(authority, "/revoke", bearer, "--data-urlencode", f"token@{live}") == (200, {})
    status, told = curl(authority, "/introspect", bearer, "--data-urlencode", f"token@{live}")
    assert (status, told) == (200, {"active": False})
    assert curl(authority, "/introspect", "nonsense", "-d", "token=x")[0] == 401
