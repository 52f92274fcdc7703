"""Real targets, each started once for all tests of a process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.issuers.awsplace import AwsPlace
from tests.issuers.execplace import ExecPlace
from tests.issuers.openbaoplace import OpenBaoPlace
from tests.issuers.postgresplace import PostgresPlace, roles_server
from tests.moto import Moto
from tests.openbao import running
from tests.postgres import Postgres


@pytest.fixture(scope="session")
def postgres_roles() -> Iterator[PostgresPlace]:
    """Return a PostgreSQL server whose roles are credentials."""
    with roles_server() as server:
        yield PostgresPlace(server)


@pytest.fixture(scope="session")
def aws_account(moto_server: Moto) -> AwsPlace:
    """Return an AWS account, emulated by moto."""
    return AwsPlace(moto_server)


@pytest.fixture(scope="session")
def exec_shop(tmp_path_factory: pytest.TempPathFactory) -> ExecPlace:
    """Return a target whose credentials are made by a user's program."""
    return ExecPlace(tmp_path_factory.mktemp("exec") / "shop")


@pytest.fixture(scope="session")
def openbao(tmp_path_factory: pytest.TempPathFactory, postgres_server: Postgres) -> Iterator[OpenBaoPlace]:
    """Return an OpenBao whose leases are credentials."""
    with running(tmp_path_factory.mktemp("openbao"), postgres_server) as server:
        yield OpenBaoPlace(server, postgres_server)
