"""A world whose authority serves callers, for each kind of ledger."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jitid.authority.local import LocalAuthority
from jitid.ledger.sqlite import folder
from tests.builders import World, make_database, open_postgres


class PostgresWorld(World):
    """The same on a PostgreSQL database; its folder has the keys."""

    def __init__(self, path: Path, address: str, **more: Any) -> None:
        self.address = address
        make_database(address, path)
        super().__init__(path, **more)

    def _open(self) -> None:
        self.ledger: Any = open_postgres(self.address, self.clock)
        self.authority = LocalAuthority(
            self.ledger, folder.keyring(str(self.path)), terms=lambda: self.terms, timeout=5
        )


@pytest.fixture(params=["sqlite", "postgres"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """Return a ledger of each kind, with an authority."""
    if request.param == "sqlite":
        with World(tmp_path / "ledger") as made:
            yield made
    else:
        with PostgresWorld(tmp_path / "home", request.getfixturevalue("postgres_url")) as other:
            yield other


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[World]:
    """Return a ledger in a folder, for tests that examine its files."""
    with World(tmp_path / "ledger") as made:
        yield made
