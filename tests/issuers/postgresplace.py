"""A PostgreSQL server as a target; the credentials are roles with passwords."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from jitid.issuers.postgres.role import PostgresRoleIssuer
from jitid.issuers.target_issuer import OutsideIssuer
from jitid.model.target import Target, TargetRecord
from tests.issuers.places import ISSUER, Place, troubled_port
from tests.ledger.proxy import Proxy
from tests.postgres import QUICK, SUPERUSER, Postgres, place

_HBA = f"""\
local all {SUPERUSER} trust
host all {SUPERUSER} 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
"""
TEMPLATES: Mapping[str, Mapping[str, Any]] = {
    "reader": {"grants": ["GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"]},
    "builder": {"grants": ["GRANT CREATE, USAGE ON SCHEMA public TO {role}"]},
    "bequeather": {
        "grants": ["GRANT CREATE, USAGE ON SCHEMA public TO {role}"],
        "reassign_to": "heir",
    },
}


@contextmanager
def roles_server() -> Iterator[Postgres]:
    """Run a server that requires a password of every role except the superuser."""
    with place() as folder:
        server = Postgres(folder, {**QUICK, "max_prepared_transactions": "5", "log_statement": "all"})
        server.initialise()
        (server.data / "pg_hba.conf").write_text(_HBA)
        try:
            server.start()
            server.execute(
                "CREATE TABLE orders (id int PRIMARY KEY, what text)",
                "INSERT INTO orders VALUES (1, 'tea')",
                "CREATE ROLE heir",
                "GRANT CREATE, USAGE ON SCHEMA public TO heir",
            )
            yield server
        finally:
            server.stop()


class PostgresPlace(Place):
    """The server as a target."""

    kind = "postgres-role"
    template = "reader"

    def __init__(self, server: Postgres) -> None:
        self.server = server

    def open(
        self,
        timeout: float = 10.0,
        issuer: str = ISSUER,
        templates: Mapping[str, Any] = TEMPLATES,
        **options: Any,
    ) -> PostgresRoleIssuer:
        """Return an issuer of a target with these options."""
        target = Target(self.target, self.kind, {"dsn": self.server.url(), **options}, templates)
        return PostgresRoleIssuer(target, timeout=timeout, issuer=issuer)

    def issuer(self, timeout: float = 10.0, issuer: str = ISSUER) -> OutsideIssuer:
        """Return an issuer for a ledger with this `iss`."""
        return self.open(timeout, issuer)

    def exists(self, record: TargetRecord) -> bool:
        """Look for the role in the catalogue."""
        return bool(self.server.ask(f"SELECT 1 FROM pg_roles WHERE rolname = '{record.name}'"))

    @contextmanager
    def losing(self) -> Iterator[OutsideIssuer]:
        """Yield an issuer that loses the answer to the commit."""
        proxy = Proxy(self.server.url(), b"COMMIT", forwarded=True)
        issuer = self.open(dsn=proxy.address)
        proxy.armed = True
        try:
            yield issuer
            assert proxy.cuts
        finally:
            issuer.close()
            proxy.close()

    @contextmanager
    def disturbed(self, trouble: str) -> Iterator[OutsideIssuer]:
        """Point the address at a port in trouble."""
        with troubled_port(trouble) as port:
            issuer = self.open(2.0, dsn=f"postgresql://{SUPERUSER}@127.0.0.1:{port}/postgres")
            yield issuer
            issuer.close()
