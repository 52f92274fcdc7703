"""A ledger in its own folder, as a `LedgerPlace`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from jitid.errors import StorageError
from jitid.ledger.sqlite import folder

if TYPE_CHECKING:
    from jitid.keys.keyring import Keyring
    from jitid.ledger.place import Answer, Vacuumed
    from jitid.ledger.sqlite.copy import SqliteSource
    from jitid.ledger.sqlite.ledger import SqliteLedger
    from jitid.model.ledger_rows import Names


class LedgerFolder:
    """The folder of a ledger, whether or not it exists yet."""

    in_database = False

    def __init__(self, path: str, by: str) -> None:
        """Take the path of the folder, and the login name that audit events are recorded under."""
        self.home = path
        self._by = by

    def shown(self) -> str:
        """Return the path of the folder."""
        return self.home

    def missing(self) -> StorageError:
        """Return the error for a command that needs an existing ledger."""
        return StorageError(
            f"there is no ledger at {self.home} yet",
            "the first `jitid issue` creates it; to use another ledger: --ledger",
        )

    def must_exist(self) -> None:
        """Raise StorageError if there is no ledger. Raises the errors of `folder.exists`, too."""
        if not folder.exists(self.home):
            raise StorageError(f"there is no ledger at {self.home}", "name another ledger with --ledger")

    def open(self, timeout: float) -> SqliteLedger | None:
        """Open the ledger; return None if there is none. Raises the errors of `folder.exists`."""
        return (
            folder.open_ledger(self.home, by=self._by, timeout=timeout) if folder.exists(self.home) else None
        )

    def furnish(self, policy: Callable[[], Sequence[tuple[str, str]]]) -> bool:
        """Do nothing: the folder of a ledger always contains its keys and its policy."""
        del policy
        return False

    def create(self, names: Names, policy: Sequence[tuple[str, str]], timeout: float) -> list[str]:
        """Create the ledger with `folder.create`, which does not wait for other processes."""
        del timeout
        if not folder.create(self.home, names, policy, by=self._by, now=int(time.time())):
            return []
        return [f"first use: made a ledger with a signing key and a default policy in {self.home}"]

    def look(self, read: Callable[[SqliteLedger], Answer], timeout: float) -> Answer:
        """Return the result of `read`. Raises the errors of `read_only.look`."""
        from jitid.ledger.sqlite import read_only

        database, lock = os.path.join(self.home, folder.DATABASE), os.path.join(self.home, folder.LOCK)
        return read_only.look(database, lock, read, by=self._by, timeout=timeout)

    def watch(self) -> Callable[[], None]:
        """Return a check that the database is the same file, and the folder complete and private."""
        first_inode = self._inode()

        def check() -> None:
            try:
                is_same = folder.exists(self.home) and self._inode() == first_inode
            except FileNotFoundError:
                # It was removed after `exists` had found it.
                is_same = False
            if not is_same:
                raise StorageError(f"the ledger at {self.home} was removed or replaced", "repeat the command")

        return check

    def _inode(self) -> tuple[int, int] | None:
        """Return the device and the inode of the database; None if it cannot be read."""
        try:
            status = os.lstat(os.path.join(self.home, folder.DATABASE))
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def keyring(self) -> Keyring:
        """Return the private keys of the ledger."""
        return folder.keyring(self.home)

    def source(self, timeout: float) -> SqliteSource:
        """Return the ledger as the source of a copy. Raises the errors of `must_exist`."""
        from jitid.ledger.sqlite.copy import SqliteSource

        self.must_exist()
        return SqliteSource(self.home, timeout)

    def vacuum(self, timeout: float, progress: Callable[[str], None]) -> Vacuumed:
        """Rewrite the database without the space of deleted rows.

        Raises the errors of `must_exist` and `copy.vacuum`.
        """
        self.must_exist()
        # Opening it checks that this version of jitid supports its schema.
        folder.open_ledger(self.home, by=self._by, timeout=timeout).close()
        progress("vacuuming")
        from jitid.ledger.sqlite.copy import vacuum

        return vacuum(self.home, timeout)
