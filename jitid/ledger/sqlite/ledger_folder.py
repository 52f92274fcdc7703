"""The place of a ledger that has a folder of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from jitid.errors import StorageError
from jitid.ledger.sqlite import folder

if TYPE_CHECKING:
    from jitid.keys.keyring import Keyring
    from jitid.ledger.place import Answer
    from jitid.ledger.sqlite.copy import SqliteSource
    from jitid.ledger.sqlite.ledger import SqliteLedger
    from jitid.model.ledger_rows import Names
    from jitid.model.vacuumed import Vacuumed


class LedgerFolder:
    """The place of a ledger that has a folder of its own."""

    in_database = False

    def __init__(self, path: str, by: str) -> None:
        """Name the folder, and who acts, for the audit log."""
        self.home = path
        self._by = by

    def shown(self) -> str:
        """Return the path of the folder."""
        return self.home

    def missing(self) -> StorageError:
        """Return the error for a ledger that has to be there and is not."""
        return StorageError(
            f"there is no ledger at {self.home} yet",
            "the first `jitid issue` makes it; or name another with --ledger",
        )

    def must_exist(self) -> None:
        """Raise StorageError if there is no ledger to keep, copy or mend. Raises as `folder.exists` does otherwise."""
        if not folder.exists(self.home):
            raise StorageError(f"there is no ledger at {self.home}", "name another with --ledger")

    def open(self, timeout: float) -> SqliteLedger | None:
        """Open the ledger; None if there is none yet. Raises as `folder.exists` does."""
        return (
            folder.open_ledger(self.home, by=self._by, timeout=timeout) if folder.exists(self.home) else None
        )

    def furnish(self, policy: Callable[[], Sequence[tuple[str, str]]]) -> bool:
        """Make nothing: keys and policy come and go with the ledger."""
        del policy
        return False

    def create(self, names: Names, policy: Sequence[tuple[str, str]], timeout: float) -> list[str]:
        """Make the ledger, as `folder.create` does; nobody is waited for."""
        del timeout
        if not folder.create(self.home, names, policy, by=self._by, now=int(time.time())):
            return []
        return [f"first use: made a ledger with a signing key and a default policy in {self.home}"]

    def look(self, ask: Callable[[SqliteLedger], Answer], timeout: float) -> Answer:
        """Return what `ask` finds. Raises as `read_only.look` does."""
        from jitid.ledger.sqlite import read_only

        database, lock = os.path.join(self.home, folder.DATABASE), os.path.join(self.home, folder.LOCK)
        return read_only.look(database, lock, ask, by=self._by, timeout=timeout)

    def watch(self) -> Callable[[], None]:
        """Return a check that the database is still the same file, and the folder whole and private."""
        first = self._inode()

        def check() -> None:
            try:
                same = folder.exists(self.home) and self._inode() == first
            except FileNotFoundError:
                # It went away between two looks.
                same = False
            if not same:
                raise StorageError(f"the ledger at {self.home} was removed or replaced", "start again")

        return check

    def _inode(self) -> tuple[int, int] | None:
        """Return which file the database is, whatever it holds."""
        try:
            status = os.lstat(os.path.join(self.home, folder.DATABASE))
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def keyring(self) -> Keyring:
        """Return the private keys of the ledger."""
        return folder.keyring(self.home)

    def source(self, timeout: float) -> SqliteSource:
        """Return the ledger as one that is copied. Raises as `must_exist` does."""
        from jitid.ledger.sqlite.copy import SqliteSource

        self.must_exist()
        return SqliteSource(self.home, timeout)

    def vacuum(self, timeout: float, progress: Callable[[str], None]) -> Vacuumed:
        """Write the database anew, without the room that rows have left.

        Raises as `must_exist` and `vacuum.vacuum` do.
        """
        self.must_exist()
        # That it is a ledger that this jitid knows, whoever opens it finds out.
        folder.open_ledger(self.home, by=self._by, timeout=timeout).close()
        progress("vacuuming")
        from jitid.ledger.sqlite.vacuum import vacuum

        return vacuum(self.home, timeout)
