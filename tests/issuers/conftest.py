"""Real targets, each started once for all tests of a process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.issuers.postgresplace import PostgresPlace, roles_server


@pytest.fixture(scope="session")
def postgres_roles() -> Iterator[PostgresPlace]:
    """Return a PostgreSQL server whose roles are credentials."""
    with roles_server() as server:
        yield PostgresPlace(server)
