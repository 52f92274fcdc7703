"""Fixtures of the capability tests, such as a ledger with an authority."""

from __future__ import annotations

from tests.capabilities.conftest import lenient, oidc, world

__all__ = ["lenient", "oidc", "world"]
