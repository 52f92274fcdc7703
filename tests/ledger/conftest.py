"""A fixture that opens an empty ledger of each kind for the contract tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ledger.places import KINDS, Place, opener


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Return an empty ledger of each kind, as a `Place`."""
    server = lambda: request.getfixturevalue("postgres_server")  # noqa: E731
    pooler = lambda: request.getfixturevalue("pooler_of_transactions")  # noqa: E731
    ledger_place = Place(opener(request.param, tmp_path / "ledger", server, pooler))
    yield ledger_place
    ledger_place.close()
