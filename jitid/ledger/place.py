"""The place of a ledger: a folder or a database, whether or not it holds a ledger yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from jitid.values.record import Record

if TYPE_CHECKING:
    from jitid.errors import StorageError
    from jitid.keys.keyring import Keyring
    from jitid.ledger.contract import Ledger
    from jitid.ledger.copy_rows import CopySource
    from jitid.model.ledger_rows import Names


class Vacuumed(Record):
    """The size of a ledger before and after, in bytes."""

    before: int
    """The database with its write-ahead log; on a server, all tables with their indexes."""
    after: int
    log_left: int
    """The size of the remaining log, which a reader still used; SQLite reuses it."""


Answer = TypeVar("Answer")


class LedgerPlace(Protocol):
    """The place of a ledger. Each `timeout` limits the wait for other processes and for the network, in seconds."""

    home: str
    """The folder with keys and policy: the ledger's own, or this machine's for a ledger in a database."""
    in_database: bool
    """Whether the ledger is in a database, which several machines may share, each with its own `home`."""

    def shown(self) -> str:
        """Return the path or the address of the place, without passwords."""

    def missing(self) -> StorageError:
        """Return the error for a command that needs an existing ledger."""

    def open(self, timeout: float) -> Ledger | None:
        """Open the ledger; None if there is none yet.

        Raises:
            IntegrityError: a part of it is missing or damaged, or other users have access.
            StorageError: it cannot be reached.

        """

    def furnish(self, policy: Callable[[], Sequence[tuple[str, str]]]) -> bool:
        """Create `home` for an existing ledger if it is missing; return whether it was missing.

        `policy` returns the names and texts of the initial policy files.
        """

    def create(self, names: Names, policy: Sequence[tuple[str, str]], timeout: float) -> list[str]:
        """Create the ledger with a signing key and a policy, completely or not at all.

        Returns the lines to print. There are none if another process created the ledger first.

        Raises:
            RefusedError: the database refuses this login, or this user may not create the folder.
            StorageError: the disk is full, or the place cannot be reached.

        """

    def look(self, read: Callable[[Ledger], Answer], timeout: float) -> Answer:
        """Return the result of `read` on the ledger. The ledger is not changed, and its schema is not migrated.

        Raises:
            ConfigurationError: the database driver is not installed.
            IntegrityError: a file of the ledger is a link or not a regular file.
            RefusedError: this user may not read it.
            StorageError: there is no ledger, or it cannot be reached.

        """

    def watch(self) -> Callable[[], None]:
        """Return a check that the place still holds the same ledger, complete and private.

        The check raises the errors of `open`, and StorageError if the ledger was replaced.
        """

    def keyring(self) -> Keyring:
        """Return the private keys in `home`."""

    def source(self, timeout: float) -> CopySource:
        """Return the ledger as the source of a copy. Raises the errors of `open`, and StorageError without a ledger."""

    def vacuum(self, timeout: float, progress: Callable[[str], None]) -> Vacuumed:
        """Return the space of deleted rows to the file system. Raises the errors of `source`."""
