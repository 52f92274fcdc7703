"""Both official MCP SDKs find the authority by its metadata, and call a tool of a server that introspects there."""

from __future__ import annotations

import asyncio
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.crypto.signed import jwk
from tests.node import Node
from tests.real import free_port, module, until
from tests.server.asking import configured, grant
from tests.serving import Served, serving

KEY = generate_private_key(SECP256R1())
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
SCOPE = "tools:call"


class World(NamedTuple):
    """An authority and an MCP server that accepts its tokens."""

    issuer: str
    resource: str
    served: Served
    secret: str
    """The access token of `system:ci`; `system:signer` has registered a key."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Serve both; the MCP server is the SDK's own, and verifies by introspection as FastMCP does."""
    folder = tmp_path_factory.mktemp("mcp")
    port, place = free_port(), free_port()
    issuer, resource = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{place}/mcp"
    shell = configured(folder, (), issuer=issuer)
    with serving(folder, "--bind", f"127.0.0.1:{port}", ledger=shell.ledger) as served:
        gate = grant(shell, "system:gate", "verifier", audiences=(resource,))
        grant(shell, "system:signer", key=jwk(KEY))
        made = World(issuer, resource, served, grant(shell, "system:ci"))
        with mcp_server(made, place, gate):
            yield made


@contextmanager
def mcp_server(world: World, port: int, secret: str) -> Iterator[None]:
    """Serve an MCP server with one tool, in a thread."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        verifying = module("fastmcp.server.auth.providers.introspection")
    server, settings = module("mcp.server.mcpserver"), module("mcp.server.auth.settings")
    made = server.MCPServer(
        "shop",
        auth=settings.AuthSettings(
            issuer_url=world.issuer,
            resource_server_url=world.resource,
            required_scopes=[SCOPE],
            # FastMCP compares the audience, and names no resource.
            validate_token_resource=False,
        ),
        token_verifier=verifying.IntrospectionTokenVerifier(
            introspection_url=f"{world.issuer}/introspect",
            client_id="system:gate",
            client_secret=secret,
            required_scopes=[SCOPE],
            audience=world.resource,
        ),
    )
    made.tool()(add)
    uvicorn = module("uvicorn")
    running = uvicorn.Server(
        uvicorn.Config(made.streamable_http_app(), host="127.0.0.1", port=port, log_level="error", ws="none")
    )
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        until(lambda: running.started, "the MCP server does not listen")
        yield
    finally:
        running.should_exit = True
        thread.join()


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Storage:
    """The Python SDK's storage between requests."""

    def __init__(self) -> None:
        self.tokens: Any = None

    async def get_tokens(self) -> Any:
        return self.tokens

    async def set_tokens(self, tokens: Any) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> None:
        return None

    async def set_client_info(self, client_info: Any) -> None:
        raise AssertionError(f"no client registers itself here: {client_info}")


def providers(world: World, storage: Storage) -> dict[str, Any]:
    """Return the Python SDK's authentication providers, by the name of the method."""
    made = module("mcp.client.auth.extensions.client_credentials")
    usual = {"server_url": world.resource, "storage": storage, "scope": SCOPE, "issuer": world.issuer}
    signing = made.SignedJWTParameters(
        issuer="system:signer", subject="system:signer", signing_key=PEM, signing_algorithm="ES256"
    )
    secret = {"client_id": "system:ci", "client_secret": world.secret}
    return {
        "private_key_jwt": lambda: made.PrivateKeyJWTOAuthProvider(
            client_id="system:signer", assertion_provider=signing.create_assertion_provider(), **usual
        ),
        **{
            method: lambda method=method: made.ClientCredentialsOAuthProvider(
                token_endpoint_auth_method=method, **secret, **usual
            )
            for method in ("client_secret_basic", "client_secret_post")
        },
    }


@pytest.mark.parametrize("method", ["private_key_jwt", "client_secret_basic", "client_secret_post"])
def test_the_python_sdk_completes_its_flow(world: World, method: str) -> None:
    """The server's challenge, its metadata (RFC 9728), the authority's (RFC 8414), a token (RFC 8707), and the call."""
    mcp, transports = module("mcp"), module("mcp.client.streamable_http")
    http = module("mcp.shared._httpx_utils")
    storage = Storage()

    async def call() -> Any:
        provider = providers(world, storage)[method]()
        async with (
            http.create_mcp_http_client(auth=provider) as client,
            mcp.Client(transports.streamable_http_client(world.resource, http_client=client)) as session,
        ):
            return (await session.call_tool("add", {"a": 2, "b": 3})).structured_content

    assert asyncio.run(call()) == {"result": 5}
    assert storage.tokens.scope == SCOPE
    assert payload(storage.tokens.access_token)["aud"] == world.resource


SCRIPT = """
const { Client } = await import("@modelcontextprotocol/sdk/client/index.js");
const { StreamableHTTPClientTransport } = await import("@modelcontextprotocol/sdk/client/streamableHttp.js");
const providers = await import("@modelcontextprotocol/sdk/client/auth-extensions.js");
const usual = { expectedIssuer: given.issuer, scope: given.scope };
const provider = given.method === "private_key_jwt"
    ? new providers.PrivateKeyJwtProvider(
        { clientId: "system:signer", privateKey: given.key, algorithm: "ES256", ...usual })
    : new providers.ClientCredentialsProvider({ clientId: "system:ci", clientSecret: given.secret, ...usual });
const client = new Client({ name: "test", version: "1" });
let error = null, result = null;
try {
    await client.connect(new StreamableHTTPClientTransport(new URL(given.resource), { authProvider: provider }));
    result = (await client.callTool({ name: "add", arguments: { a: 2, b: 3 } })).structuredContent;
    await client.close();
} catch (failure) { error = `${failure.name}: ${failure.message}`; }
answer({ result, error, token: provider.tokens()?.access_token });
"""


@pytest.fixture(scope="module")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Node:
    """Return node with the TypeScript SDK."""
    return Node(tmp_path_factory.mktemp("node"), "@modelcontextprotocol/sdk@^1.32")


@pytest.mark.parametrize("method", ["private_key_jwt", "client_secret_basic"])
def test_the_typescript_sdk_completes_its_flow(world: World, sdk: Node, method: str) -> None:
    """It encodes neither the name nor the secret in the header."""
    given = {
        "issuer": world.issuer,
        "resource": world.resource,
        "scope": SCOPE,
        "method": method,
        "key": PEM,
        "secret": world.secret,
    }
    told = sdk.run(SCRIPT, **given)
    assert (told["error"], told["result"]) == (None, {"result": 5})
    assert payload(told["token"])["aud"] == world.resource
    refused = sdk.run(SCRIPT, **{**given, "method": "client_secret_basic", "secret": "wrong"})
    assert "token" not in refused
    assert refused["error"].startswith("InvalidClientError")


def payload(token: str) -> Any:
    """Return the claims of a token, unverified."""
    return module("jwt").decode(token, options={"verify_signature": False})
