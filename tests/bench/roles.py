"""Revocation of PostgreSQL roles, against the bare statements that psql sends for the same roles."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator

from psycopg.sql import SQL, Identifier, Literal

from jitid.issuers.postgres.role import PostgresRoleIssuer
from jitid.model.target import Settlement, TargetRecord
from tests.bench.ground import Ground
from tests.bench.measure import Row, Series, at_most, duration, in_turns, seconds
from tests.issuers.postgresplace import PostgresPlace
from tests.postgres import DURABLE, Postgres, program, running

_ROLES = 1_000
_TABLES = 3


def rows(place: Ground) -> Iterator[Row]:
    """Measure the revocation of 1,000 roles that may read three tables."""
    with running({**DURABLE, "shared_buffers": "128MB"}) as server:
        server.execute(*(f"CREATE TABLE t{number} (id int)" for number in range(_TABLES)))
        roles = PostgresPlace(server)
        issuer = roles.open(120.0)

        def ours() -> float:
            records = _made(roles, issuer)
            return seconds(lambda: _end(issuer, records))

        def theirs(*options: str) -> float:
            names = [record.name for record in _made(roles, issuer)]
            script = "".join(f'DROP OWNED BY "{name}";\nDROP ROLE "{name}";\n' for name in names)
            return seconds(lambda: _psql(server, script, *options))

        found = in_turns(
            place.rounds,
            {"ours": ours, "each": theirs, "together": lambda: theirs("--single-transaction")},
        )
        issuer.close()
        what = "`revoke` of 1,000 PostgreSQL roles, in process"
        yield Row(
            what,
            Series("ours", found["ours"], duration),
            Series("psql: DROP OWNED and DROP ROLE of each", found["each"], duration),
            at_most(1.5),
        )
        yield Row(
            what,
            Series("ours", found["ours"], duration),
            Series("psql: the same in one transaction", found["together"], duration),
            at_most(1.5),
        )


def _end(issuer: PostgresRoleIssuer, records: list[TargetRecord]) -> None:
    outcomes = issuer.revoke(records)
    assert all(each.settlement is Settlement.DONE for each in outcomes), outcomes[0]


def _made(roles: PostgresPlace, issuer: PostgresRoleIssuer) -> list[TargetRecord]:
    """Return the records of new roles, as `mint` makes them."""
    records = [roles.record() for _ in range(_ROLES)]
    with roles.server.connect() as db:
        db.execute("SET synchronous_commit = off")
        for record in records:
            role = Identifier(record.name)
            db.execute(
                SQL(
                    "CREATE ROLE {} LOGIN VALID UNTIL '2100-01-01'; COMMENT ON ROLE {} IS {};"
                    " GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}"
                ).format(role, role, Literal(issuer._comment(record)), role)
            )
        db.execute("VACUUM ANALYZE pg_class, pg_authid, pg_shdepend, pg_shdescription")
    return records


def _psql(server: Postgres, script: str, *options: str) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        subprocess.run(
            [program("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", *options, "-f", file.name, server.url()],
            check=True,
            capture_output=True,
        )
