"""Failed connections to a database: jitid parses libpq's message; each cause has its status and its hint."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jitid.errors import ConfigurationError, IntegrityError, JitidError, RefusedError, StorageError
from tests.real import Shell, module

if TYPE_CHECKING:
    from pathlib import Path

AT = 'connection to server at "db", port 5432 failed: '
SAID: dict[str, type[JitidError]] = {
    f"{AT}Connection refused": StorageError,
    f"{AT}FATAL:  sorry, too many clients already": StorageError,
    f'{AT}FATAL:  password authentication failed for user "jitid"': RefusedError,
    f"{AT}fe_sendauth: no password supplied": RefusedError,
    f"{AT}SSL error: certificate verify failed": IntegrityError,
    f'{AT}server certificate for "db" (and 1 other name) does not match host name "db1"': IntegrityError,
    f'{AT}root certificate file "/home/a/.postgresql/root.crt" does not exist': ConfigurationError,
    'definition of service "jitid" not found': ConfigurationError,
    'invalid sslmode value: "bogus"': ConfigurationError,
}


@pytest.mark.parametrize("said", SAID)
def test_what_is_said_has_its_status(said: str) -> None:
    psycopg = module("psycopg", "postgres")
    from jitid.ledger.postgres.failure import connecting

    found = connecting(psycopg.OperationalError(said), None)
    assert type(found).mro().index(SAID[said]) < type(found).mro().index(JitidError)
    assert found.inward, "where the database is, is not for those who ask an authority"


def test_a_service_that_nobody_defined_is_a_matter_of_configuration(tmp_path: Path) -> None:
    module("psycopg", "postgres")
    done = Shell(tmp_path).run("--ledger", "postgresql:///?service=nosuch", "list")
    assert done.returncode == 2
    assert "nosuch" in done.stderr
