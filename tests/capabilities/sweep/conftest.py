"""Fixture: a ledger for sweeps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from jitid.policy.default import default_files
from tests.builders import KINDS, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a new ledger with an authority over it."""
    # Some tests configure targets later. A rule of the policy must name their kinds.
    with World(tmp_path / "ledger", policy=[*default_files(), ("kinds.cedar", KINDS)]) as made:
        yield made
