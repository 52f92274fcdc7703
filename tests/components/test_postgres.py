"""The database servers of the tests: a database for each test, and three nodes that lose no acknowledged change."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.postgres import Cluster, Postgres
from tests.real import module


@pytest.fixture(scope="module")
def psycopg() -> Any:
    """Return the driver."""
    return module("psycopg", "postgres")


def test_each_test_has_a_database_of_its_own(
    psycopg: Any, postgres_server: Postgres, postgres_url: str
) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE mine (n integer)")
    other = postgres_server.new_database()
    with psycopg.connect(postgres_server.url(other)) as connection:
        assert connection.execute("SELECT to_regclass('mine')").fetchall() == [(None,)]
    postgres_server.drop(other)


def test_no_server_runs_as_root(postgres_server: Postgres) -> None:
    seen = set()
    for pid in postgres_server.pids:
        # The process of a connection may have ended since.
        with suppress(FileNotFoundError):
            seen.add(Path(f"/proc/{pid}").stat().st_uid)
    assert seen
    assert 0 not in seen


def test_what_was_acknowledged_outlives_the_primary_twice(psycopg: Any, postgres_cluster: Cluster) -> None:
    first, where = postgres_cluster.primary, postgres_cluster.url()
    with psycopg.connect(where, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (n integer)")
        connection.execute("INSERT INTO kept VALUES (1)")
        postgres_cluster.fail_over()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("INSERT INTO kept VALUES (2)")
    with psycopg.connect(where, autocommit=True) as connection:
        connection.execute("INSERT INTO kept VALUES (3)")
        assert connection.execute("SELECT n FROM kept ORDER BY n").fetchall() == [(1,), (3,)]
    assert postgres_cluster.primary is not first
    assert len(postgres_cluster.standbys) == 1
