"""The creation of a ledger in PostgreSQL, and the migration of an older schema."""

from __future__ import annotations

import time

import psycopg

from jitid.errors import RefusedError
from jitid.keys.keyring import Signer
from jitid.ledger.postgres.connection import Connection
from jitid.ledger.postgres.failure import translated
from jitid.ledger.postgres.schema import OPEN_CHAINS, POSTGRES_STEPS
from jitid.ledger.postgres.transaction import CHAIN, CLOCK, PostgresTransaction
from jitid.ledger.signing_keys import KeyChanges
from jitid.ledger.transaction import KnownRows
from jitid.model.chain import following
from jitid.model.ledger_rows import Names

_EXISTS = (
    "SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname = current_schema() AND tablename = 'setting'"
)


def create(db: Connection, names: Names, signer: Signer, *, by: str, now: int | None = None) -> bool:
    """Create a ledger with its signing key in an empty database or schema, completely or not at all.

    Args:
        db: a connection outside of any transaction.
        names: the fixed names of the ledger.
        signer: the first signing key.
        by: the caller's name for the audit log.
        now: seconds since the epoch; None for the database's time.

    Returns:
        Whether this call created it; another process may have been first.

    Raises:
        IntegrityError: the schema holds other tables.
        RefusedError: the database's user may not create tables.

    """
    for may_repeat in (True, False):
        try:
            return _create(db, names, signer, by, now)
        except psycopg.Error as error:
            db.roll_back()
            if may_repeat and error.sqlstate in ("23505", "42P07", "42P06", "40001", "40P01"):
                # Two processes created the ledger at the same time.
                time.sleep(0.05)
                continue
            jitid_error = translated(error)
            if isinstance(jitid_error, RefusedError):
                jitid_error.hint = (
                    "grant that user CREATE on the database, or let its owner make the ledger first"
                )
            raise jitid_error from error
        except BaseException:
            db.roll_back()
            raise
    raise AssertionError


def _create(db: Connection, names: Names, signer: Signer, by: str, now: int | None) -> bool:
    db.begin()
    raw = db.raw
    row = raw.execute(
        "SELECT current_schema(), split_part(current_setting('search_path'), ',', 1)"
    ).fetchone()
    assert row is not None
    if row[0] is None or db.options.schema not in (None, row[0]):
        # Another schema of the search path may hold another ledger.
        raw.execute(f"CREATE SCHEMA IF NOT EXISTS {row[1]}")
    # If two processes create the ledger, the second one waits here until the first is done.
    raw.execute(
        """CREATE TABLE IF NOT EXISTS schema_version (
               id BIGINT PRIMARY KEY CHECK (id = 1), version BIGINT NOT NULL)"""
    )
    (exists,) = raw.execute(_EXISTS).fetchone() or (0,)
    if exists:
        raw.execute("ROLLBACK")
        return False
    raw.execute("INSERT INTO schema_version VALUES (1, 0)")
    _run_steps(db, 0)
    raw.cursor().executemany("INSERT INTO setting VALUES (%s, %s)", list(names.settings().items()))
    raw.cursor().executemany(
        "INSERT INTO chain (id, epoch, start, stride, length, hash) VALUES (%s, %s, %s, %s, %s, %s)",
        [tuple(chain)[:6] for chain in following([], names.uuid, OPEN_CHAINS)],
    )
    if now is None:
        ((now,),) = raw.execute(f"SELECT {CLOCK}").fetchall()
    assert now is not None
    transaction = PostgresTransaction(
        db, names, now, by, KnownRows({}, set()), {}, raw.execute(f"{CHAIN} ORDER BY id").fetchall()
    )
    KeyChanges(transaction).add_key(signer.kid, signer.algorithm, signer.public)
    transaction.append("init", names.facts(signer.kid))
    transaction.commit()
    return True


def migrate(db: Connection) -> None:
    """Migrate an older schema, in one transaction."""
    try:
        db.begin()
        # The lock comes before the query, so that two migrations do not race.
        ((version,),) = db.raw.execute("SELECT version FROM schema_version FOR UPDATE").fetchall()
        _run_steps(db, version)
        db.raw.execute("COMMIT")
    except psycopg.Error as error:
        db.roll_back()
        raise translated(error) from error


def _run_steps(db: Connection, version: int) -> None:
    for new_version, step in enumerate(POSTGRES_STEPS[version:], start=version + 1):
        for statement in step:
            db.raw.execute(statement)
        db.raw.execute("UPDATE schema_version SET version = %s", (new_version,))
