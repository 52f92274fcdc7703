"""Agents of one ledger get tokens at the authorization server of others: jitid provides the assertions to the SDKs.

The other server is an authority that knows the ledger by its keys alone: as those of a client, and as those of an
identity provider.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.issuers.test_assertion import PERMITTED, parts, world
from tests.node import Node
from tests.real import Shell, command, free_port, module
from tests.server.asking import grant, id_token
from tests.server.test_mcp_clients import SCOPE, Storage, World, mcp_server, payload
from tests.serving import serving

AGENTS = "https://agents.example"


class Provider(NamedTuple):
    """The agents' ledger, and the world of the other authority."""

    agents: Shell
    world: World

    def line(self, template: str) -> list[str]:
        """Return the command that prints an assertion."""
        more = ("--scope", SCOPE) if template == "jag" else ()
        return command(
            *("-q", "issue", "--task", "T1", "--agent", "planner", "--delegator-token-file", "login.jwt"),
            *("--kind", f"jwt:chat/{template}", "--audience", self.world.issuer, "--ttl", "5m", *more),
        )

    def assertion(self, template: str) -> str:
        """Return an assertion."""
        done = subprocess.run(
            self.line(template),
            cwd=self.agents.home,
            env=self.agents.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """Serve an authority and an MCP server, and make a ledger whose keys the authority knows."""
    folder = tmp_path_factory.mktemp("provider")
    port, place = free_port(), free_port()
    issuer, resource = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{place}/mcp"
    (folder / "agents").mkdir()
    common = f'client_id = "system:agents"\naudience = "{issuer}"\n'
    agents = world(
        folder / "agents",
        f'issuer = "{AGENTS}"\n[target.chat]\nkind = "jwt"\n'
        f'[target.chat.template.client]\nassertion = "client"\n{common}'
        f'[target.chat.template.jag]\nassertion = "id-jag"\n{common}resource = "{resource}"\n',
        PERMITTED,
    )
    (agents.home / "login.jwt").write_text(id_token())
    made = Provider(agents, World(issuer, resource, None, ""))  # type: ignore[arg-type]
    kid = parts(made.assertion("client"))[0]["kid"]
    keys = json.loads(agents.good("keys", "export", "jwks"))
    (key,) = [each for each in keys["keys"] if each["kid"] == kid]
    other = Shell(folder)
    (folder / "agents.json").write_text(json.dumps(keys))
    path = folder / ".config/jitid/config.toml"
    path.parent.mkdir(parents=True)
    path.touch(0o600)
    path.write_text(
        f'issuer = "{issuer}"\n[oidc."{AGENTS}"]\njwks = "{folder}/agents.json"\naudience = "jitid"\n'
    )
    with serving(folder, "--bind", f"127.0.0.1:{port}", ledger=other.ledger) as served:
        gate = grant(other, "system:gate", "verifier", audiences=(resource,))
        grant(
            other, "system:agents", key={name: key[name] for name in key if name in ("kty", "crv", "x", "y")}
        )
        secret = grant(other, "system:agents")
        found = World(issuer, resource, served, secret)
        with mcp_server(found, place, gate):
            yield Provider(agents, found)


@pytest.mark.parametrize("template", ["client", "jag"])
def test_the_python_sdk_completes_its_flow_with_assertions_of_jitid(
    provider: Provider, template: str
) -> None:
    """`PrivateKeyJWTOAuthProvider` and `IdentityAssertionOAuthProvider`, neither of which has a key."""
    mcp, transports = module("mcp"), module("mcp.client.streamable_http")
    extensions, storage, asked = "mcp.client.auth.extensions", Storage(), []

    async def provide(*audience_and_resource: str) -> str:
        asked.append(audience_and_resource)
        return provider.assertion(template)

    usual = {
        "server_url": provider.world.resource,
        "storage": storage,
        "scope": SCOPE,
        "issuer": provider.world.issuer,
        "client_id": "system:agents",
        "assertion_provider": provide,
    }

    async def call() -> Any:
        if template == "client":
            auth = module(f"{extensions}.client_credentials").PrivateKeyJWTOAuthProvider(**usual)
        else:
            made = module(f"{extensions}.identity_assertion").IdentityAssertionOAuthProvider
            auth = made(client_secret=provider.world.secret, **usual)
        async with (
            module("mcp.shared._httpx_utils").create_mcp_http_client(auth=auth) as client,
            mcp.Client(
                transports.streamable_http_client(provider.world.resource, http_client=client)
            ) as session,
        ):
            return (await session.call_tool("add", {"a": 2, "b": 3})).structured_content

    assert asyncio.run(call()) == {"result": 5}
    assert asked[0][0] == provider.world.issuer
    claims = payload(storage.tokens.access_token)
    delegator = {"client": "system:agents", "jag": "user:user:alice"}[template]
    assert (claims["aud"], claims["scope"], claims["sub"]) == (provider.world.resource, SCOPE, delegator)


SCRIPT = """
const { execFileSync } = await import("node:child_process");
const sdk = await import("@modelcontextprotocol/client");
const [program, ...line] = given.line;
const assertion = () => execFileSync(program, line, { cwd: given.cwd, env: given.env }).toString().trim();
const usual = { clientId: "system:agents", expectedIssuer: given.issuer, scope: given.scope };
const provider = given.template === "client"
    ? new sdk.StaticPrivateKeyJwtProvider({ jwtBearerAssertion: assertion(), ...usual })
    : new sdk.CrossAppAccessProvider({ assertion: async () => assertion(), clientSecret: given.secret, ...usual });
const client = new sdk.Client({ name: "test", version: "1" });
await client.connect(
    new sdk.StreamableHTTPClientTransport(new URL(given.resource), { authProvider: provider }));
const result = (await client.callTool({ name: "add", arguments: { a: 2, b: 3 } })).structuredContent;
await client.close();
answer({ result, token: provider.tokens()?.access_token });
"""


@pytest.fixture(scope="module")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Node:
    """Return node with the TypeScript SDK."""
    return Node(tmp_path_factory.mktemp("node"), "@modelcontextprotocol/client@^2.4")


@pytest.mark.parametrize("template", ["client", "jag"])
def test_the_typescript_sdk_completes_its_flow_with_assertions_of_jitid(
    provider: Provider, sdk: Node, template: str
) -> None:
    told = sdk.run(
        SCRIPT,
        line=provider.line(template),
        cwd=str(provider.agents.home),
        env=provider.agents.environment,
        template=template,
        secret=provider.world.secret,
        issuer=provider.world.issuer,
        resource=provider.world.resource,
        scope=SCOPE,
    )
    assert told["result"] == {"result": 5}
    assert payload(told["token"])["aud"] == provider.world.resource
