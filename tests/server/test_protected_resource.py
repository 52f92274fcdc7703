"""Metadata of protected resources (RFC 9728): a client without a token finds the authority by the challenge alone."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from tests.nginx import nginx
from tests.real import free_port, module, until
from tests.server.asking import API, ISSUER, Asked, asking, configured, grant
from tests.server.test_mcp_clients import SCOPE, Storage, add, payload
from tests.serving import serving

PLACE = "/.well-known/oauth-protected-resource"


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """Serve this user without any role."""
    with asking(tmp_path_factory.mktemp("plain")) as made:
        yield made


def challenge(asked: Asked, query: str, bearer: str | None = None) -> str:
    """Return the challenge of forward authentication."""
    headers = {} if bearer is None else {"authorization": f"Bearer {bearer}"}
    done = asked.served.ask("GET", f"/forward-auth?{query}", headers=headers)
    assert done.status == 401
    return str(done.headers["www-authenticate"])


def test_a_challenge_leads_to_the_metadata_of_the_service(asked: Asked) -> None:
    said = challenge(asked, f"audience={API}/mcp&scope=repo:read&scope=repo:list")
    assert said.startswith('Bearer realm="jitid", scope="repo:read repo:list", ')
    (address,) = re.findall(r'resource_metadata="([^"]+)"', said)
    assert address.startswith(f"{ISSUER}{PLACE}?")
    found = asked.served.ask("GET", f"{PLACE}?{urlsplit(address).query}")
    assert (found.status, found.headers["content-type"]) == (200, "application/json")
    assert found.json == {
        "resource": f"{API}/mcp",
        "authorization_servers": [ISSUER],
        "bearer_methods_supported": ["header"],
        "scopes_supported": ["repo:read", "repo:list"],
    }
    # The challenge about an invalid token leads there, too.
    refused = challenge(asked, f"audience={API}/mcp", "nonsense")
    assert 'error="invalid_token"' in refused
    assert f'resource_metadata="{ISSUER}{PLACE}?resource=' in refused


@pytest.mark.parametrize(
    "query",
    [
        "",
        "audience=api",
        f"audience={API}&audience=https://db.example",
        "audience=https://[",
        "nonsense=1",
        "%zz",
    ],
)
def test_a_challenge_names_no_metadata_without_one_service_that_is_an_address(
    asked: Asked, query: str
) -> None:
    assert challenge(asked, query) == 'Bearer realm="jitid"'


def test_the_authority_is_a_resource_too(asked: Asked) -> None:
    found = asked.served.ask("GET", PLACE).json
    assert (found["resource"], found["authorization_servers"]) == (ISSUER, [ISSUER])
    assert asked.served.ask("GET", f"{PLACE}/other").status == 404


@pytest.mark.parametrize(
    "query",
    [
        *(
            f"resource={quote(resource, safe='')}"
            for resource in (
                "api",
                "urn:example:api",
                "javascript:alert(1)",
                "file:///etc/passwd",
                "https://",
                "https://[",
                "https://api.example/#x",
                "https://api.example/<script>",
                "https://api.example/\u202e",
                'https://api.example/"',
                f"https://api.example/{'x' * 300}",
            )
        ),
        "resource=%zz",
        "resource=https://a.example&resource=https://b.example",
        f"resource={API}&authorization_servers=https://evil.example",
        f"resource={API}&scopes=%00",
        f"resource={API}&scopes=a%20%20b",
        f"resource={API}&scopes={'%20'.join(['a'] * 129)}",
        f"resource={API}{'&scopes=a' * 129}",
    ],
)
def test_a_hostile_resource_is_refused_and_not_repeated_unsafely(asked: Asked, query: str) -> None:
    done = asked.served.ask("GET", f"{PLACE}?{query}")
    assert (done.status, done.json["error"]) == (400, "invalid_request")
    assert (done.headers["content-type"], done.headers["x-content-type-options"]) == (
        "application/json",
        "nosniff",
    )
    assert not re.search(rb"[\x00-\x1f\x7f-\xff]", done.body)


def test_a_service_may_state_as_many_scopes_as_a_credential_has(asked: Asked) -> None:
    done = asked.served.ask("GET", f"{PLACE}?resource={API}&scopes={'%20'.join(['a'] * 128)}")
    assert (done.status, len(done.json["scopes_supported"])) == (200, 128)


def test_a_ledger_whose_issuer_is_no_address_has_no_metadata(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        assert served.ask("GET", PLACE).status == 404
        done = served.ask("GET", f"/forward-auth?audience={API}")
        assert done.headers["www-authenticate"] == 'Bearer realm="jitid"'


@contextmanager
def open_mcp_server() -> Iterator[int]:
    """Serve an MCP server that checks no token, and yield its port."""
    made = module("mcp.server.mcpserver").MCPServer("shop")
    made.tool()(add)
    uvicorn, port = module("uvicorn"), free_port()
    security = module("mcp.server.transport_security").TransportSecuritySettings(
        enable_dns_rebinding_protection=False
    )
    running = uvicorn.Server(
        uvicorn.Config(
            made.streamable_http_app(transport_security=security),
            host="127.0.0.1",
            port=port,
            log_level="error",
            ws="none",
        )
    )
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        until(lambda: running.started, "the MCP server does not listen")
        yield port
    finally:
        running.should_exit = True
        thread.join()


def test_an_sdk_gets_through_a_proxy_in_front_of_a_server_that_knows_no_tokens(tmp_path: Path) -> None:
    """The proxy alone checks tokens; neither it nor the MCP server has a document about them."""
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    shell = configured(tmp_path, (), issuer=issuer)
    locations = """
        location / {{
            auth_request /check;
            proxy_pass http://127.0.0.1:{server};
        }}
        location = /check {{
            internal;
            proxy_pass {issuer}/forward-auth?audience=$scheme://$http_host/mcp&scope={scope};
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
        }}
"""
    with (
        serving(tmp_path, "--bind", f"127.0.0.1:{port}", ledger=shell.ledger),
        open_mcp_server() as server,
        nginx(tmp_path, locations.format(server=server, issuer=issuer, scope=SCOPE)) as address,
    ):
        secret = grant(shell, "system:ci")
        storage = Storage()

        async def call() -> Any:
            mcp, transports = module("mcp"), module("mcp.client.streamable_http")
            made = module("mcp.client.auth.extensions.client_credentials")
            provider = made.ClientCredentialsOAuthProvider(
                server_url=f"{address}/mcp",
                storage=storage,
                issuer=issuer,
                client_id="system:ci",
                client_secret=secret,
            )
            async with (
                module("mcp.shared._httpx_utils").create_mcp_http_client(auth=provider) as client,
                mcp.Client(
                    transports.streamable_http_client(f"{address}/mcp", http_client=client)
                ) as session,
            ):
                return (await session.call_tool("add", {"a": 2, "b": 3})).structured_content

        assert asyncio.run(call()) == {"result": 5}
    claims = payload(storage.tokens.access_token)
    # The scope is from the challenge: the client has none configured.
    assert (claims["aud"], claims["scope"]) == (f"{address}/mcp", SCOPE)
