"""The condition of a ledger in PostgreSQL: schema, size, clock and server settings; and vacuuming."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from psycopg import sql

from jitid.errors import IntegrityError, RefusedError
from jitid.ledger.place import Vacuumed
from jitid.ledger.postgres.failure import translating
from jitid.ledger.postgres.schema import FORMER_INDEXES, POSTGRES_STEPS
from jitid.ledger.postgres.session import DatabaseSession
from jitid.ledger.postgres.transaction import CLOCK
from jitid.model.ledger_condition import ClockReading, ConditionRemark, Schema, Size

_MADE = re.compile(r"CREATE (?:UNIQUE )?(TABLE|INDEX|TRIGGER) (\w+)")
_MOST = 5
"""The maximum number of damages to look for: one is a reason to restore a backup."""
_HERE = "(SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = current_schema())"
_OBJECTS = f"""
    SELECT 'TABLE', c.relname, 1 FROM pg_catalog.pg_class c
     WHERE c.relnamespace = {_HERE} AND c.relkind = 'r'
    UNION ALL
    SELECT 'INDEX', c.relname, CASE WHEN x.indisvalid THEN 1 ELSE 0 END
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_index x ON x.indexrelid = c.oid
     WHERE c.relnamespace = {_HERE}
    UNION ALL
    SELECT 'TRIGGER', t.tgname, CASE WHEN t.tgenabled IN ('O', 'A') THEN 1 ELSE 0 END
      FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
     WHERE c.relnamespace = {_HERE}"""
_LOST = (
    ("credential", "identity", "c.identity"),
    ("credential", "task", "c.task"),
    ("credential", "term", "c.audiences"),
    ("identity", "identity", "c.parent"),
    ("identity", "term", "c.agent"),
    ("leak", "credential", "c.credential"),
)
"""Tables, the tables that their rows refer to, and the columns of the references."""
_SIZE = f"""
    SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0) FROM pg_catalog.pg_class c
     WHERE c.relnamespace = {_HERE} AND c.relkind = 'r'"""
_SETTINGS = """
    SELECT current_setting('server_version'), current_setting('fsync'), current_setting('synchronous_commit'),
           current_setting('full_page_writes'), pg_is_in_recovery()"""
_ENCRYPTED = "SELECT ssl, version FROM pg_catalog.pg_stat_ssl WHERE pid = pg_backend_pid()"
_OLDEST = 14
"""The oldest version of PostgreSQL that jitid is known to work with."""
_LOOPBACK = ("127.", "::1", "localhost")


class PostgresCondition:
    """The condition of the ledger in a database."""

    def __init__(self, session: DatabaseSession) -> None:
        self._session = session

    def damage(self) -> list[str]:
        """Return descriptions of rows that refer to a missing row, a few at most: no constraint checks that."""
        descriptions = []
        for table, parent, column in _LOST:
            rows = self._rows(
                f"""SELECT c.id FROM {table} c LEFT JOIN {parent} p ON p.id = {column}
                     WHERE {column} IS NOT NULL AND p.id IS NULL LIMIT {_MOST}"""
            )
            descriptions += [f"row {row} of {table} refers to a missing row of {parent}" for (row,) in rows]
        return descriptions[:_MOST]

    def reindexing(self) -> str | None:
        """Return None: the damage found here is a missing row, never an index."""
        return None

    def schema(self) -> Schema:
        """Return the schema of the ledger. Raises IntegrityError if the database is not a ledger."""
        ((version,),) = self._rows("SELECT version FROM schema_version")
        if type(version) is not int:
            raise IntegrityError(
                "the database is not a ledger of jitid", "restore the database from a backup"
            )
        known_version = len(POSTGRES_STEPS)
        return Schema(version, known_version, self._differences() if version == known_version else [])

    def _differences(self) -> list[str]:
        expected = {
            match.groups()
            for step in POSTGRES_STEPS
            for statement in step
            for match in [_MADE.match(statement)]
            if match and match[2] not in FORMER_INDEXES
        }
        actual = {(kind, name): is_valid for kind, name, is_valid in self._rows(_OBJECTS)}
        differences = []
        for kind, name in sorted(expected):
            if (kind, name) not in actual:
                differences.append(f"its {kind.lower()} {name} is missing")
            elif not actual[kind, name]:
                differences.append(f"its {kind.lower()} {name} is disabled or invalid")
        return differences

    def size(self) -> Size:
        """Return its size; the server does not report its free space to clients."""
        return Size(
            self._number(_SIZE),
            0,
            None,
            self._number("SELECT count(*) FROM credential"),
            self._number("SELECT count(*) FROM task"),
            self._number("SELECT count(*) FROM audit_event"),
        )

    def clock(self) -> ClockReading:
        """Return this machine's clock, and the database's clock, which alone decides."""
        return ClockReading(
            int(time.time()), self._session.time(self._number(f"SELECT {CLOCK}")), 0, "the database's clock"
        )

    def remarks(self) -> list[ConditionRemark]:
        """Return remarks on the server and on the connection to it."""
        version, fsync, commit, pages, standby = self._rows(_SETTINGS)[0]
        db = self._session.connection()
        remarks = [ConditionRemark(f"PostgreSQL {version}", None)]
        if db.raw.info.server_version < _OLDEST * 10_000:
            remarks.append(
                ConditionRemark(
                    f"PostgreSQL {version} is older than {_OLDEST}", "upgrade the database server"
                )
            )
        for name, value in (("fsync", fsync), ("full_page_writes", pages), ("synchronous_commit", commit)):
            if value in ("off", "local"):
                risk = (
                    "a power cut can lose acknowledged changes"
                    if value == "off"
                    else "a failover can lose acknowledged changes"
                )
                remarks.append(
                    ConditionRemark(f"{name} is {value}: {risk}", f"set {name} = on on the database server")
                )
        if standby:
            remarks.append(
                ConditionRemark(
                    "the server is a standby and accepts no writes",
                    "add the primary to the address of the ledger",
                )
            )
        ((encrypted, protocol),) = self._rows(_ENCRYPTED) or [(False, None)]
        if db.pooled:
            remarks.append(
                ConditionRemark(
                    "a connection pooler is in use: each transaction makes its own settings", None
                )
            )
            # The server only knows how the pooler connects to it.
            encrypted, protocol = db.raw.pgconn.ssl_in_use, "TLS as far as the pooler"
        if encrypted:
            remarks.append(ConditionRemark(f"the connection is encrypted with {protocol}", None))
        elif not self._is_near(db.raw.info.host):
            remarks.append(
                ConditionRemark(
                    "the connection is not encrypted",
                    "add ?sslmode=verify-full to the address of the ledger, and sslrootcert=FILE",
                )
            )
        return remarks

    @staticmethod
    def _is_near(host: str) -> bool:
        return host.startswith(("/", "@", *_LOOPBACK)) or not host

    def _rows(self, sql: str) -> list[Any]:
        rows: list[Any] = self._session.connection().execute(sql).fetchall()
        return rows

    def _number(self, sql: str) -> int:
        ((number,),) = self._rows(sql)
        return int(number)


_TABLES = f"""
    SELECT c.relname, pg_has_role(c.relowner, 'USAGE') FROM pg_catalog.pg_class c
     WHERE c.relnamespace = {_HERE} AND c.relkind = 'r' ORDER BY c.relname"""


def vacuum(address: str, timeout: float, progress: Callable[[str], None]) -> Vacuumed:
    """Vacuum and analyze the tables of the ledger at an address; readers and writers need not wait.

    Files shrink only if the free space is at their end; otherwise new rows use the space.

    Raises:
        RefusedError: the tables belong to another login.
        StorageError: the database cannot be reached.

    """
    session = DatabaseSession(address, timeout)
    try:
        connection = session.connection()
        connection.must_be_own("jitid ledger vacuum")
        db = connection.raw
        with translating():
            # Vacuuming a large table takes longer than any query.
            db.execute("SET statement_timeout = 0")
            tables = db.execute(_TABLES).fetchall()
            if not all(owned for _, owned in tables):
                raise RefusedError(
                    "permission denied: only the owner of the ledger's tables may vacuum them",
                    "name the owner in the address: --ledger postgresql://OWNER@HOST/DATABASE",
                )
            ((size_before,),) = db.execute(_SIZE).fetchall()
            for name, _ in tables:
                progress(f"vacuuming {name}")
                db.execute(sql.SQL("VACUUM (ANALYZE) {}").format(sql.Identifier(name)))
            ((size_after,),) = db.execute(_SIZE).fetchall()
        return Vacuumed(int(size_before), int(size_after), 0)
    finally:
        session.close()
