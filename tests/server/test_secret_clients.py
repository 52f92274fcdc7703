"""Clients of other projects with only a name and a secret complete their flows: the secret is an access token."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.node import Node
from tests.real import free_port, missing, module, need
from tests.server.asking import API, configured, grant
from tests.serving import Answer, Served, serving

NAMES = ("system:ci", "system:ops/deploy.prod@eu-1+b")


class Authority(NamedTuple):
    """A service at the address of its issuer, and the access tokens of its clients."""

    served: Served
    secrets: dict[str, str]

    @property
    def url(self) -> str:
        """Return the issuer."""
        return self.served.url

    def introspected(self, token: str) -> Any:
        """Return the introspection answer for a token."""
        return self.form("/introspect", token=token).json

    def form(self, path: str, **fields: str) -> Answer:
        """Post a form as one of the clients."""
        from urllib.parse import urlencode

        headers = {
            "content-type": "application/x-www-form-urlencoded",
            "authorization": f"Bearer {self.secrets[NAMES[0]]}",
        }
        return self.served.ask("POST", path, urlencode(fields).encode(), headers)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    """Serve clients whose names have the characters that clients encode in different ways."""
    folder = tmp_path_factory.mktemp("authority")
    port = free_port()
    shell = configured(folder, (), issuer=f"http://127.0.0.1:{port}")
    with serving(folder, "--bind", f"127.0.0.1:{port}", ledger=shell.ledger) as served:
        yield Authority(served, {name: grant(shell, name, "verifier") for name in NAMES})


GO = """
package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"os"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

type answer struct {
	Token string
	Valid bool
	Error string
}

func main() {
	var given struct{ Client, Secret, TokenURL, Audience, Scope string }
	if err := json.NewDecoder(os.Stdin).Decode(&given); err != nil {
		panic(err)
	}
	var answers []answer
	for _, style := range []oauth2.AuthStyle{
		oauth2.AuthStyleInHeader, oauth2.AuthStyleInParams, oauth2.AuthStyleAutoDetect,
	} {
		for _, secret := range []string{given.Secret, "wrong"} {
			config := clientcredentials.Config{
				ClientID: given.Client, ClientSecret: secret, TokenURL: given.TokenURL, AuthStyle: style,
				Scopes: []string{given.Scope}, EndpointParams: url.Values{"audience": {given.Audience}},
			}
			token, err := config.Token(context.Background())
			var failed *oauth2.RetrieveError
			switch {
			case errors.As(err, &failed):
				answers = append(answers, answer{Error: failed.ErrorCode})
			case err != nil:
				panic(err)
			default:
				answers = append(answers, answer{Token: token.AccessToken, Valid: token.Valid()})
			}
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		panic(err)
	}
}
"""


@pytest.fixture(scope="module")
def go_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the program above, built with Debian's package of golang.org/x/oauth2."""
    go = need("go")
    sources = Path("/usr/share/gocode")
    if not (sources / "src/golang.org/x/oauth2/clientcredentials").is_dir():
        missing("golang-golang-x-oauth2-dev is not installed")
    folder = tmp_path_factory.mktemp("go")
    (folder / "main.go").write_text(GO)
    built = subprocess.run(
        # Without optimisation it is built in half the time.
        [go, "build", "-gcflags=all=-N -l", "-o", "client", "main.go"],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "GOPATH": str(sources),
            "GOCACHE": str(folder / "cache"),
            "GO111MODULE": "off",
            "GOTOOLCHAIN": "local",
            "CGO_ENABLED": "0",
        },
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert built.returncode == 0, built.stderr
    return folder / "client"


@pytest.mark.deep
@pytest.mark.parametrize("name", NAMES)
def test_the_oauth2_package_of_go(authority: Authority, go_client: Path, name: str) -> None:
    """It encodes name and secret; without a style it tries the header, and then the body."""
    given = {
        "Client": name,
        "Secret": authority.secrets[name],
        "TokenURL": f"{authority.url}/token",
        "Audience": API,
        "Scope": "repo:read",
    }
    done = subprocess.run(
        [str(go_client)], input=json.dumps(given), capture_output=True, text=True, timeout=60, env={}
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert [(one["Valid"], one["Error"]) for one in answers] == [(True, ""), (False, "invalid_client")] * 3
    for one in answers[::2]:
        found = authority.introspected(one["Token"])
        assert (found["active"], found["sub"], found["scope"]) == (True, name, "repo:read")


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Node:
    """Return node with simple-oauth2."""
    return Node(tmp_path_factory.mktemp("node"), "simple-oauth2@^5.1")


@pytest.mark.deep
@pytest.mark.parametrize("name", NAMES)
def test_simple_oauth2(authority: Authority, nodes: Node, name: str) -> None:
    """It encodes in the header (strict) or does not (loose), or posts both, and revokes its own token."""
    script = """
    const { ClientCredentials } = await import("simple-oauth2");
    const made = [];
    for (const options of [
        { credentialsEncodingMode: "strict" }, { credentialsEncodingMode: "loose" }, { authorizationMethod: "body" },
    ]) {
        const client = new ClientCredentials({
            client: { id: given.name, secret: given.secret },
            auth: { tokenHost: given.issuer, tokenPath: "/token", revokePath: "/revoke" },
            options,
        });
        const token = await client.getToken({ scope: "repo:read", audience: given.audience });
        made.push(token.token.access_token);
        if (options.authorizationMethod) await token.revoke("access_token");
    }
    answer(made);
    """
    given = {"name": name, "secret": authority.secrets[name], "issuer": authority.url, "audience": API}
    made = nodes.run(script, **given)
    assert [authority.introspected(token)["active"] for token in made] == [True, True, False]


@pytest.mark.parametrize("name", NAMES)
def test_oauth4webapi_encodes_every_character_that_it_may(
    authority: Authority, node: Node, name: str
) -> None:
    script = """
    const insecure = { [oauth.allowInsecureRequests]: true };
    const issuer = new URL(given.issuer);
    const as = await oauth.processDiscoveryResponse(
        issuer, await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...insecure }));
    const client = { client_id: given.name };
    const seen = [];
    for (const auth of [oauth.ClientSecretBasic(given.secret), oauth.ClientSecretPost(given.secret)]) {
        const { access_token: token } = await oauth.processClientCredentialsResponse(as, client,
            await oauth.clientCredentialsGrantRequest(
                as, client, auth, new URLSearchParams({ resource: given.audience }), insecure));
        const introspect = async () => oauth.processIntrospectionResponse(as, client,
            await oauth.introspectionRequest(as, client, auth, token, insecure));
        seen.push((await introspect()).active);
        await oauth.processRevocationResponse(await oauth.revocationRequest(as, client, auth, token, insecure));
        seen.push((await introspect()).active);
    }
    answer(seen);
    """
    given = {"name": name, "secret": authority.secrets[name], "issuer": authority.url, "audience": API}
    assert node.run(script, **given) == [True, False] * 2


@pytest.mark.parametrize("name", NAMES)
def test_requests_oauthlib(authority: Authority, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It encodes nothing in the header."""
    oauthlib, sessions = module("oauthlib.oauth2"), module("requests_oauthlib")
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    secret = authority.secrets[name]
    with sessions.OAuth2Session(
        client=oauthlib.BackendApplicationClient(client_id=name, scope=["repo:read"])
    ) as session:
        place, asked = f"{authority.url}/token", {"audience": API}
        header = session.fetch_token(place, client_id=name, client_secret=secret, **asked)
        body = session.fetch_token(place, client_secret=secret, include_client_id=True, **asked)
        for token in (header, body):
            assert authority.introspected(token["access_token"])["sub"] == name
        with pytest.raises(oauthlib.InvalidClientError):
            session.fetch_token(place, client_id=name, client_secret="wrong", **asked)


def test_httpx_oauth_reads_the_metadata_and_revokes(authority: Authority) -> None:
    """It needs an authorization endpoint and a secret's method at each endpoint; its own grant is refused."""
    clients, oauth2 = module("httpx_oauth.clients.openid"), module("httpx_oauth.oauth2")
    name = NAMES[1]
    client = clients.OpenID(
        name, authority.secrets[name], f"{authority.url}/.well-known/openid-configuration"
    )
    assert (client.token_endpoint_auth_method, client.revocation_endpoint_auth_method) == (
        "client_secret_basic",
    ) * 2
    own = authority.form("/token", grant_type="client_credentials", audience=API).json["access_token"]
    with pytest.raises(oauth2.RevokeTokenError):
        # It was issued to another client.
        asyncio.run(client.revoke_token(own))
    assert authority.introspected(own)["active"] is True
    with pytest.raises(oauth2.GetAccessTokenError) as refused:
        asyncio.run(client.get_access_token("code", "https://app.example/callback"))
    assert refused.value.response.json()["error"] == "unsupported_grant_type"


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
@pytest.mark.parametrize("name", NAMES)
def test_fastmcp_introspects(authority: Authority, name: str, method: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        introspection = module("fastmcp.server.auth.providers.introspection")

    def verified(secret: str, token: str) -> Any:
        verifier = introspection.IntrospectionTokenVerifier(
            introspection_url=f"{authority.url}/introspect",
            client_id=name,
            client_secret=secret,
            client_auth_method=method,
            required_scopes=["repo:read"],
            audience=API,
        )
        return asyncio.run(verifier.verify_token(token))

    own = authority.form("/token", grant_type="client_credentials", audience=API, scope="repo:read")
    token, secret = own.json["access_token"], authority.secrets[name]
    found = verified(secret, token)
    assert (found.subject, found.scopes) == (NAMES[0], ["repo:read"])
    assert verified("wrong", token) is None
    assert verified(secret, "x") is None
    assert authority.form("/revoke", token=token).status == 200
    assert verified(secret, token) is None
