"""A client for the MCP conformance suite: the official SDK in Python, with jitid as the provider of its assertions.

The suite states the client's key. It is imported into OpenBao, where jitid signs with it and cannot read it.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from tests.issuers.test_assertion import PERMITTED, world
from tests.openbao import OpenBaoServer
from tests.real import Shell
from tests.server.asking import id_token

Ask = Callable[..., Any]


def import_key(ask: Ask, pem: str, name: str) -> None:
    """Import a P-256 key into the transit engine, wrapped as the engine requires it."""
    wrapping = load_pem_public_key(ask("GET", "transit/wrapping_key")["data"]["public_key"].encode())
    assert isinstance(wrapping, RSAPublicKey)
    key = load_pem_private_key(pem.encode(), None).private_bytes(
        Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
    )
    transport = os.urandom(32)
    wrapped = wrapping.encrypt(transport, OAEP(MGF1(SHA256()), SHA256(), None))
    ciphertext = base64.b64encode(wrapped + aes_key_wrap_with_padding(transport, key)).decode()
    ask(
        "POST",
        f"transit/keys/{name}/import",
        {"ciphertext": ciphertext, "hash_function": "SHA256", "type": "ecdsa-p256"},
    )


def signing_shell(folder: Path, target: str, client: str, audience: str, key: str) -> Shell:
    """Return a shell whose ledger signs for the audience with the key in the engine."""
    shell = world(
        folder,
        f'issuer = "https://agents.example"\n{target}\n[target.chat]\nkind = "jwt"\n'
        f'[target.chat.template.client]\nassertion = "client"\nclient_id = "{client}"\naudience = "{audience}"\n',
        PERMITTED,
    )
    shell.good("issue", "--task", "T0", "--delegator", "alice")
    shell.good("config", "set", f"algorithm.audience.{audience}", "ES256")
    shell.good("keys", "rotate", "--algorithm", "ES256", "--transit", f"vault/{key}")
    return shell


class Storage:
    """The SDK's storage between requests."""

    tokens: Any = None

    async def get_tokens(self) -> Any:
        return self.tokens

    async def set_tokens(self, tokens: Any) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> None:
        return None

    async def set_client_info(self, client_info: Any) -> None:
        raise AssertionError(client_info)


def main(address: str) -> None:
    """Connect to the suite's server, and list its tools."""
    context = json.loads(os.environ["MCP_CONFORMANCE_CONTEXT"])
    given = json.loads(Path(os.environ["JITID_CONFORMANCE"]).read_text())
    folder, key = Path(given["folder"]), f"suite-{os.urandom(4).hex()}"

    server = OpenBaoServer(Path(given["server"]))
    server.port, server.root = given["port"], given["root"]
    import_key(server.ask, context["private_key_pem"], key)

    async def provide(audience: str) -> str:
        shell = signing_shell(folder, given["target"], context["client_id"], audience, key)
        (folder / "login.jwt").write_text(id_token())
        line = ("-q", "issue", "--task", "T1", "--delegator-token-file", "login.jwt", "--ttl", "5m")
        return shell.good(*line, "--kind", "jwt:chat/client", "--audience", audience).strip()

    async def call() -> None:
        mcp, transports = import_module("mcp"), import_module("mcp.client.streamable_http")
        made = import_module("mcp.client.auth.extensions.client_credentials")
        auth = made.PrivateKeyJWTOAuthProvider(
            server_url=address, storage=Storage(), client_id=context["client_id"], assertion_provider=provide
        )
        http = import_module("mcp.shared._httpx_utils").create_mcp_http_client(auth=auth)
        async with (
            http as client,
            mcp.Client(
                transports.streamable_http_client(address, http_client=client), mode="legacy"
            ) as session,
        ):
            await session.list_tools()

    asyncio.run(call())


if __name__ == "__main__":
    main(sys.argv[1])
