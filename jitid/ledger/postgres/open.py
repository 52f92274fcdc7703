"""Ledgers in databases: opened, looked at, and made by the first use, with what PostgreSQL needs loaded only then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from jitid.errors import ConfigurationError, LostConnectionError
from jitid.ledger.postgres import home
from jitid.model.ledger_rows import Names

if TYPE_CHECKING:
    from jitid.ledger.postgres.ledger import PostgresLedger

Answer = TypeVar("Answer")

_LEDGERS = """SELECT schemaname FROM pg_catalog.pg_tables WHERE tablename IN ('setting', 'chain', 'schema_version')
     GROUP BY schemaname HAVING count(*) = 3 ORDER BY schemaname"""


def connect(address: str, *, by: str, timeout: float) -> PostgresLedger | None:
    """Open the ledger in the database at an address; None if there is none in it.

    Raises:
        ConfigurationError: the address is none, or the driver is not installed.
        NewerSchemaError: a newer jitid made it.
        RefusedError: the database refuses this login.
        StorageError: it cannot be reached.

    """
    must_be_installed()
    from jitid.ledger.postgres.ledger import PostgresLedger
    from jitid.ledger.postgres.session import DatabaseSession, NoLedgerError

    session = DatabaseSession(address, timeout)
    try:
        session.connection()
    except NoLedgerError:
        return None
    return PostgresLedger(session, by)


def is_there(address: str, *, by: str, timeout: float) -> bool:
    """Tell whether the database at an address has a ledger. Raises as `look` does."""
    must_be_installed()
    from jitid.ledger.postgres.session import NoLedgerError

    try:
        return look(address, lambda ledger: bool(ledger.names), by=by, timeout=timeout)
    except NoLedgerError:
        return False


def look(address: str, ask: Callable[[PostgresLedger], Answer], *, by: str, timeout: float) -> Answer:
    """Return what `ask` finds in the ledger at an address, of which not even the schema is brought up to date.

    Raises:
        StorageError: there is none, or it cannot be reached.

    """
    must_be_installed()
    from jitid.ledger.postgres.ledger import PostgresLedger
    from jitid.ledger.postgres.session import DatabaseSession

    session = DatabaseSession(address, timeout, migrates=False)
    try:
        return ask(PostgresLedger(session, by))
    finally:
        session.close()


def create(
    address: str,
    path: str,
    names: Names,
    policy: Sequence[tuple[str, str]],
    *,
    by: str,
    timeout: float,
) -> bool:
    """Make a ledger in the database at an address, and its signing key and policy in the folder `path`.

    Returns:
        Whether this call made it; somebody else may have been first.

    Raises:
        RefusedError: this user may not make tables, or not make the folder.
        StorageError: the database cannot be reached.

    """
    must_be_installed()
    from jitid.ledger.postgres import create as postgres_create
    from jitid.ledger.postgres.session import open_connection

    db = open_connection(address, timeout)
    try:
        home.make(path, policy)
        keyring = home.keyring(path)
        # It becomes a key once the ledger knows it: a process that is killed in between leaves no key without a ledger.
        signer = keyring.create("EdDSA", first=True)
        try:
            made = postgres_create.create(db, names, signer, by=by)
        except LostConnectionError:
            # The ledger may have been made. The next process that finds it gives the key its name.
            raise
        except BaseException:
            keyring.forget(signer.kid)
            raise
        if made:
            keyring.confirm(signer.kid)
        else:
            keyring.forget(signer.kid)
        return made
    finally:
        db.close()


def schemas(address: str, timeout: float) -> list[str]:
    """Return the names of the schemas in the database at an address that hold a ledger. Raises as `connect` does."""
    must_be_installed()
    from jitid.ledger.postgres.session import open_connection

    db = open_connection(address, timeout)
    try:
        return [name for (name,) in db.execute(_LEDGERS).fetchall()]
    finally:
        db.close()


def shown(address: str) -> str:
    """Return an address as it may be shown: without its passwords."""
    from jitid.ledger.postgres.address import shown

    return shown(address)


def must_be_installed() -> None:
    """Raise ConfigurationError unless the driver can be loaded."""
    # The driver loads a library of the system, which may be missing as well.
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        from jitid.system.dependencies import adding

        raise ConfigurationError(
            f"PostgreSQL needs the driver psycopg, which cannot be loaded: {error}", adding("postgres")
        ) from error
