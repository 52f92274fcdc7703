"""Vacuuming of a ledger in PostgreSQL: the space of deleted rows becomes free for new rows."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
from psycopg import sql

from jitid.errors import RefusedError
from jitid.ledger.place import Vacuumed
from jitid.ledger.postgres.failure import translated
from jitid.ledger.postgres.session import DatabaseSession

_TABLES = """
    SELECT c.relname, pg_has_role(c.relowner, 'USAGE') FROM pg_catalog.pg_class c
     WHERE c.relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = current_schema())
       AND c.relkind = 'r' ORDER BY c.relname"""
_SIZE = """
    SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0) FROM pg_catalog.pg_class c
     WHERE c.relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = current_schema())
       AND c.relkind = 'r'"""


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
        try:
            # Vacuuming a large table takes longer than any query.
            db.execute("SET statement_timeout = 0")
            tables = db.execute(_TABLES).fetchall()
            if not all(owned for _, owned in tables):
                raise RefusedError(
                    "the ledger's tables belong to another login, and only their owner may vacuum them",
                    "name the owner in the address: --ledger postgresql://OWNER@HOST/DATABASE",
                )
            ((size_before,),) = db.execute(_SIZE).fetchall()
            for name, _ in tables:
                progress(f"vacuuming {name}")
                db.execute(sql.SQL("VACUUM (ANALYZE) {}").format(sql.Identifier(name)))
            ((size_after,),) = db.execute(_SIZE).fetchall()
        except psycopg.Error as error:
            raise translated(error) from error
        return Vacuumed(int(size_before), int(size_after), 0)
    finally:
        session.close()
