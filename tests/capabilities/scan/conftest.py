"""Fixture: a ledger with an authority over it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a new ledger under the default policy."""
    with World(tmp_path / "ledger") as world:
        yield world
