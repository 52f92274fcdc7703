"""A world whose authority serves callers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a ledger with an authority over it."""
    with World(tmp_path / "ledger") as made:
        yield made
