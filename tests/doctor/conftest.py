"""A ledger with an authority over it, as the tests of the capabilities have it."""

from __future__ import annotations

from tests.capabilities.conftest import lenient, oidc, world

__all__ = ["lenient", "oidc", "world"]
