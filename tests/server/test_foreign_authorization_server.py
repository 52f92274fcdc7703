"""An authorization server of another project, in the official SDK, accepts tokens of jitid as grants (RFC 7523).

Its own code delegates the check of a grant to its operator: here PyJWT with the ledger's published keys, as the
profiles state it. A service token is the assertion of a workload (workload identity federation); an ID-JAG proves the
delegator to it.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.issuers.test_assertion import PERMITTED, world
from tests.real import Shell, free_port, module, until
from tests.server.asking import id_token
from tests.server.test_assertion_provider import AGENTS
from tests.server.test_mcp_clients import SCOPE, Storage, add

FORMS = {
    "workload": ("at+jwt", ()),
    "jag": ("oauth-id-jag+jwt", ("--kind", "jwt:chat/jag", "--ttl", "5m")),
}
"""By the name of a form: the type that the server accepts, and further options of `jitid issue`."""
CLIENT = {"client_id": "my-client", "client_secret": "a-secret-of-the-client"}


class Operator:
    """The part of the server that its operator writes."""

    def __init__(self, issuer: str, keys: list[dict[str, Any]], typ: str) -> None:
        self._issuer, self._typ = issuer, typ
        self._keys = {key["kid"]: key for key in keys}
        self.granted: dict[str, Any] = {}
        self.claims: list[dict[str, Any]] = []
        self.refused: list[str] = []

    async def get_client(self, client_id: str) -> Any:
        assert client_id == CLIENT["client_id"]
        shared = module("mcp.shared.auth")
        return shared.OAuthClientInformationFull(
            redirect_uris=None,
            grant_types=[shared.JWT_BEARER_GRANT_TYPE],
            token_endpoint_auth_method="client_secret_post",
            scope=SCOPE,
            **CLIENT,
        )

    async def exchange_identity_assertion(self, client: Any, params: Any) -> Any:
        jwt, provider = module("jwt"), module("mcp.server.auth.provider")
        try:
            header = jwt.get_unverified_header(params.assertion)
            if header["typ"] != self._typ:
                raise jwt.InvalidTokenError("typ")
            key = jwt.PyJWK(self._keys[header["kid"]])
            claims = jwt.decode(
                params.assertion,
                key.key,
                algorithms=[key.algorithm_name],
                audience=self._issuer,
                issuer=AGENTS,
                options={"require": ["exp", "iat", "jti", "sub"]},
            )
            if claims["aud"] != self._issuer:
                raise jwt.InvalidTokenError("aud")
            if header["typ"] == "oauth-id-jag+jwt" and (
                claims["client_id"] != client.client_id or claims["resource"] != params.resource
            ):
                raise jwt.InvalidTokenError("client or resource")
        except jwt.InvalidTokenError as error:
            self.refused.append(str(error))
            raise provider.TokenError("invalid_grant", str(error)) from None
        self.claims.append(claims)
        self.granted[f"token-{claims['jti']}"] = params
        token = module("mcp.shared.auth").OAuthToken
        return token(access_token=f"token-{claims['jti']}", expires_in=60, scope=claims["scope"])

    async def load_access_token(self, token: str) -> Any:
        params = self.granted.get(token)
        made = module("mcp.server.auth.provider").AccessToken
        return params and made(token=token, client_id=CLIENT["client_id"], scopes=[SCOPE])


@contextmanager
def serve(operator: Operator, port: int) -> Iterator[None]:
    """Serve an MCP server that is its own authorization server."""
    server, settings = module("mcp.server.mcpserver"), module("mcp.server.auth.settings")
    address = f"http://127.0.0.1:{port}"
    made = server.MCPServer(
        "shop",
        auth_server_provider=operator,
        auth=settings.AuthSettings(
            issuer_url=address,
            resource_server_url=f"{address}/mcp",
            required_scopes=[SCOPE],
            identity_assertion_enabled=True,
            validate_token_resource=False,
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
        until(lambda: running.started, "the server does not listen")
        yield
    finally:
        running.should_exit = True
        thread.join()


def token_of(agents: Shell, audience: str, *more: str) -> str:
    """Return a token of the agents' ledger."""
    line = ("-q", "issue", "--task", "T1", "--agent", "planner", "--delegator-token-file", "login.jwt")
    (agents.home / "login.jwt").write_text(id_token())
    return agents.good(*line, "--audience", audience, "--scope", SCOPE, *more).strip()


@pytest.mark.parametrize("form", FORMS)
def test_it_accepts_the_assertion_for_it_and_no_other(
    form: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("agents")
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    agents = world(
        folder,
        f'issuer = "{AGENTS}"\n[target.chat]\nkind = "jwt"\n[target.chat.template.jag]\nassertion = "id-jag"\n'
        f'client_id = "my-client"\naudience = "{issuer}"\nresource = "{issuer}/mcp"\n',
        PERMITTED,
    )
    typ, more = FORMS[form]
    other_form = next(name for name in FORMS if name != form)
    token_of(agents, issuer)
    operator = Operator(issuer, json.loads(agents.good("keys", "export", "jwks"))["keys"], typ)
    extension = module("mcp.client.auth.extensions.identity_assertion")

    async def call(provide: Any) -> Any:
        mcp, transports = module("mcp"), module("mcp.client.streamable_http")
        auth = extension.IdentityAssertionOAuthProvider(
            server_url=f"{issuer}/mcp",
            storage=Storage(),
            issuer=issuer,
            assertion_provider=provide,
            scope=SCOPE,
            **CLIENT,
        )
        async with (
            module("mcp.shared._httpx_utils").create_mcp_http_client(auth=auth) as client,
            mcp.Client(transports.streamable_http_client(f"{issuer}/mcp", http_client=client)) as session,
        ):
            return (await session.call_tool("add", {"a": 2, "b": 3})).structured_content

    async def provide(audience: str, _resource: str) -> str:
        return token_of(agents, audience, *more)

    async def provide_other(_audience: str, _resource: str) -> str:
        return token_of(agents, issuer, *FORMS[other_form][1])

    with serve(operator, port):
        assert asyncio.run(call(provide)) == {"result": 5}
        with pytest.raises(ExceptionGroup):
            asyncio.run(call(provide_other))
    (claims,) = operator.claims
    assert (claims["iss"], claims["sub"], claims["scope"]) == (AGENTS, "user:alice", SCOPE)
    assert operator.refused == ["typ"]
