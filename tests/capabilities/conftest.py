"""Fixtures: ledgers with an authority over each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from jitid.model.access import OidcIssuer
from tests.builders import PERMIT_ALL, World
from tests.crypto import signed


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a new ledger under the default policy."""
    with World(tmp_path / "ledger") as world:
        yield world


@pytest.fixture
def lenient(tmp_path: Path) -> Iterator[World]:
    """Return a new ledger under a policy that permits everything."""
    with World(tmp_path / "ledger", policy=PERMIT_ALL) as world:
        yield world


@pytest.fixture
def oidc(tmp_path: Path) -> Iterator[World]:
    """Return a ledger that accepts the ID tokens of one issuer; a file has its keys."""
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps({"keys": [signed.jwk(signed.ED25519, kid="k1")]}))
    with World(tmp_path / "ledger", oidc=[OidcIssuer("https://id.example", str(jwks), "jitid")]) as world:
        yield world
