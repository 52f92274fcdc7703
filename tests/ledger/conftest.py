"""The ledger of each kind that the contract is asked of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ledger.places import KINDS, Place


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Return the place of an empty ledger of each kind."""
    place = Place(KINDS[request.param](tmp_path / "ledger"))
    yield place
    place.close()
