"""Fixture of tests about delegators: a ledger with an authority over it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders import PERMIT_ALL, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a new ledger under a policy that permits everything, so that the directory alone refuses."""
    with World(tmp_path / "ledger", policy=PERMIT_ALL) as world:
        yield world
