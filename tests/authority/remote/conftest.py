"""A real authority on a Unix socket and another over TLS, and a command line that uses them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.approving import ISSUER
from tests.crypto.signed import ED25519, jwk
from tests.real import Shell
from tests.serving import Served, serving

ROLES = '["issuer", "responder", "auditor", "verifier", "sweeper", "admin"]'
EVERYTHING = f"""\
[socket.delegator]
{os.getuid()} = "user:alice"

[socket.role]
{os.getuid()} = {ROLES}
"""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """Yield an authority whose caller has each role."""
    config = tmp_path / "authority.toml"
    issuer = f'\n[oidc."{ISSUER}"]\njwks = "{tmp_path}/jwks.json"\naudience = "jitid"\n'
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [jwk(ED25519, kid="k1")]}))
    config.write_text(EVERYTHING + issuer)
    with serving(
        tmp_path / "authority", "--socket", str(tmp_path / "s"), more={"JITID_CONFIG": str(config)}
    ) as found:
        yield found


@pytest.fixture
def client(tmp_path: Path, served: Served) -> Shell:
    """Return a command line that uses the authority."""
    shell = Shell(tmp_path / "client")
    shell.home.mkdir()
    del shell.environment["JITID_LEDGER"]
    shell.environment["JITID_REMOTE"] = f"unix://{served.socket}"
    return shell
