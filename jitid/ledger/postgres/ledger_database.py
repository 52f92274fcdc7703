"""A ledger in a PostgreSQL database, as a `LedgerPlace`; and the folder of its keys and policy on this machine."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from jitid.errors import ConfigurationError, IntegrityError, LostConnectionError, RefusedError, StorageError
from jitid.keys.keyring import Keyring, key_names
from jitid.ledger.sqlite.folder import KEYS, POLICY, make_private, remove
from jitid.model.ledger_rows import Names
from jitid.system.files import check_private, sync_folder, write_private

if TYPE_CHECKING:
    from jitid.ledger.place import Answer, Vacuumed
    from jitid.ledger.postgres.copy import PostgresSource
    from jitid.ledger.postgres.ledger import PostgresLedger


def home_exists(path: str) -> bool:
    """Return whether the folder is there, after checking that other users have no access to it.

    Raises IntegrityError if it is a link, or its permissions are too loose.
    """
    if not os.path.lexists(path):
        return False
    check_private(path, "the folder of keys and policy")
    for name in (KEYS, POLICY):
        if os.path.lexists(os.path.join(path, name)):
            check_private(os.path.join(path, name), "a part of the folder of keys and policy")
    return True


def make_home(path: str, policy: Iterable[tuple[str, str]]) -> None:
    """Create the folder with this policy (names and texts of its files) and without a key; existing parts stay.

    Raises:
        RefusedError: this user may not create it.
        StorageError: it cannot be created.

    """
    try:
        # Other users may have access to the parent folders, as to those of any user data.
        os.makedirs(os.path.dirname(path) or "/", mode=0o700, exist_ok=True)
        for folder in (path, os.path.join(path, KEYS)):
            with suppress(FileExistsError):
                make_private(folder)
        if not os.path.lexists(os.path.join(path, POLICY)):
            _fill_policy(path, policy)
        for folder in (os.path.join(path, POLICY), os.path.join(path, KEYS), path, os.path.dirname(path)):
            sync_folder(folder)
    except PermissionError as error:
        raise RefusedError(
            f"the folder {path} cannot be created: {error.strerror}", "name another with the setting `home`"
        ) from error
    except OSError as error:
        raise StorageError(
            f"the folder {path} cannot be created: {error.strerror}", "name another with the setting `home`"
        ) from error


def _fill_policy(path: str, policy: Iterable[tuple[str, str]]) -> None:
    """Create the policy folder completely or not at all: a folder without rules would always permit nothing."""
    aside = os.path.join(path, f".{POLICY}.{os.urandom(6).hex()}.new")
    make_private(aside)
    for name, text in policy:
        write_private(os.path.join(aside, name), text.encode())
    sync_folder(aside)
    try:
        os.rename(aside, os.path.join(path, POLICY))
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        # Another process was first.
        remove(aside)


def has_keys(path: str) -> bool:
    """Return whether the folder has signing keys. Raises StorageError if that cannot be determined."""
    return bool(key_names(os.path.join(path, KEYS)))


def home_keyring(path: str) -> Keyring:
    """Return this machine's private keys; other machines may have their own."""
    return Keyring(os.path.join(path, KEYS), others=True)


_LEDGERS = """SELECT schemaname FROM pg_catalog.pg_tables WHERE tablename IN ('setting', 'chain', 'schema_version')
     GROUP BY schemaname HAVING count(*) = 3 ORDER BY schemaname"""


class LedgerDatabase:
    """A database that holds a ledger or will hold one, with this machine's folder for keys and policy."""

    in_database = True

    def __init__(self, address: str, home: str, by: str) -> None:
        """Take the address, this machine's folder, and the login name that audit events are recorded under."""
        self.address = address
        self.home = home
        self._by = by

    def shown(self) -> str:
        """Return the address without its passwords."""
        from jitid.ledger.postgres.address import shown

        return shown(self.address)

    def missing(self) -> StorageError:
        """Return the error for a command that needs an existing ledger."""
        return StorageError(
            f"there is no ledger in {self.shown()} yet",
            "the first `jitid issue` creates it; to use another ledger: --ledger",
        )

    def open(self, timeout: float) -> PostgresLedger | None:
        """Open the ledger; return None if there is none.

        Raises:
            ConfigurationError: the address is invalid, or the driver is not installed.
            IntegrityError: this machine has signing keys, and the database has no ledger.
            NewerSchemaError: a newer jitid made it.
            RefusedError: the database refuses this login.
            StorageError: it cannot be reached.

        """
        home_exists(self.home)
        ledger = self._connect(timeout)
        if ledger is None and has_keys(self.home):
            # Another process may just have created the ledger: it renames its key file afterwards.
            ledger = self._connect(timeout)
            if ledger is None:
                self.must_have_ledger(timeout)
        return ledger

    def _connect(self, timeout: float) -> PostgresLedger | None:
        must_be_installed()
        from jitid.ledger.postgres.ledger import PostgresLedger
        from jitid.ledger.postgres.session import DatabaseSession, NoLedgerError

        session = DatabaseSession(self.address, timeout)
        try:
            session.connection()
        except NoLedgerError:
            return None
        return PostgresLedger(session, self._by)

    def must_have_ledger(self, timeout: float) -> None:
        """Raise IntegrityError if this machine has signing keys; call it for a database without a ledger."""
        if not has_keys(self.home):
            return
        hint = (
            "correct --ledger, or restore the database; for a new ledger, name a new folder: JITID_HOME=DIR"
        )
        if schemas := self._schemas(timeout):
            hint = f"schema {schemas[0]} has a ledger; to use it: ?options=-csearch_path%3D{schemas[0]}"
        raise IntegrityError(
            f"{self.shown()} has no ledger, but {os.path.join(self.home, KEYS)} has signing keys of one; "
            "no ledger was created",
            hint,
        )

    def is_there(self, timeout: float) -> bool:
        """Return whether the database has a ledger. Raises the errors of `look`."""
        must_be_installed()
        from jitid.ledger.postgres.session import NoLedgerError

        try:
            return self.look(lambda ledger: bool(ledger.names), timeout)
        except NoLedgerError:
            return False

    def furnish(self, policy: Callable[[], Sequence[tuple[str, str]]]) -> bool:
        """Create this machine's folder, without a key, if it is missing; return whether it was missing.

        Raises the errors of `home.make`.
        """
        if os.path.lexists(self.home):
            # `open` has checked it.
            return False
        make_home(self.home, policy())
        return True

    def create(self, names: Names, policy: Sequence[tuple[str, str]], timeout: float) -> list[str]:
        """Create the ledger in the database, and its signing key and policy in this machine's folder.

        Returns the lines to print. There are none if another process created the ledger first.

        Raises:
            ConfigurationError: the driver is not installed.
            RefusedError: this user may not create the tables or the folder.
            StorageError: the database cannot be reached.

        """
        schemas = self._schemas(timeout)
        if not self._create(names, policy, timeout):
            return []
        message = f"first use: made a ledger in {self.shown()}, with a signing key and a default policy in {self.home}"
        if not schemas:
            return [message]
        hint = (
            f"schema {schemas[0]} of that database already has another ledger; to use that ledger instead: "
            f"?options=-csearch_path%3D{schemas[0]}"
        )
        return [message, hint]

    def _create(self, names: Names, policy: Sequence[tuple[str, str]], timeout: float) -> bool:
        """Create the ledger; return whether this call created it."""
        from jitid.ledger.postgres import create as postgres_create
        from jitid.ledger.postgres.session import open_connection

        db = open_connection(self.address, timeout)
        try:
            make_home(self.home, policy)
            keyring = self.keyring()
            # The key gets its final name after the ledger exists: a killed process leaves no key without a ledger.
            signer = keyring.create("EdDSA", first=True)
            try:
                created = postgres_create.create(db, names, signer, by=self._by)
            except LostConnectionError:
                # The ledger may have been created. The next process that finds it renames the key.
                raise
            except BaseException:
                keyring.forget(signer.kid)
                raise
            if created:
                keyring.confirm(signer.kid)
            else:
                keyring.forget(signer.kid)
            return created
        finally:
            db.close()

    def _schemas(self, timeout: float) -> list[str]:
        """Return the names of the database's schemas that hold a ledger."""
        must_be_installed()
        from jitid.ledger.postgres.session import open_connection

        db = open_connection(self.address, timeout)
        try:
            return [name for (name,) in db.execute(_LEDGERS).fetchall()]
        finally:
            db.close()

    def look(self, read: Callable[[PostgresLedger], Answer], timeout: float) -> Answer:
        """Return the result of `read` on the ledger. Its schema is not migrated.

        Raises:
            ConfigurationError: the address is invalid, or the driver is not installed.
            NewerSchemaError: a newer jitid made it.
            RefusedError: the database refuses this login.
            StorageError: there is no ledger, or the database cannot be reached.

        """
        must_be_installed()
        from jitid.ledger.postgres.ledger import PostgresLedger
        from jitid.ledger.postgres.session import DatabaseSession

        session = DatabaseSession(self.address, timeout, migrates=False)
        try:
            return read(PostgresLedger(session, self._by))
        finally:
            session.close()

    def watch(self) -> Callable[[], None]:
        """Return a check that does nothing: each new connection checks that the ledger is the same."""
        return lambda: None

    def keyring(self) -> Keyring:
        """Return this machine's private keys."""
        return home_keyring(self.home)

    def source(self, timeout: float) -> PostgresSource:
        """Return the ledger as the source of a copy. Raises the errors of `home.exists` and `look`."""
        must_be_installed()
        from jitid.ledger.postgres.copy import PostgresSource

        home_exists(self.home)
        return PostgresSource(self.address, timeout)

    def vacuum(self, timeout: float, progress: Callable[[str], None]) -> Vacuumed:
        """Vacuum and analyze the ledger's tables. Raises the errors of `condition.vacuum`."""
        must_be_installed()
        from jitid.ledger.postgres.condition import vacuum

        return vacuum(self.address, timeout, progress)


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
