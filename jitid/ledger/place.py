"""Where a ledger is, and how it is reached there: what is asked of it before there is anything to open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from jitid.errors import StorageError
    from jitid.keys.keyring import Keyring
    from jitid.ledger.contract import Ledger
    from jitid.ledger.copy_rows import CopySource
    from jitid.model.ledger_rows import Names
    from jitid.model.vacuumed import Vacuumed

Answer = TypeVar("Answer")


class LedgerPlace(Protocol):
    """Where a ledger is or will be. Times are in seconds: how long others are waited for."""

    home: str
    """The folder of keys and policy: the ledger's own, or this machine's where the ledger is in a database."""
    in_database: bool
    """Whether other machines may use the ledger too, each with a folder of its own."""

    def shown(self) -> str:
        """Return what the place is called where others may read it: without any password."""

    def missing(self) -> StorageError:
        """Return the error for a ledger that has to be there and is not."""

    def open(self, timeout: float) -> Ledger | None:
        """Open the ledger; None if there is none yet.

        Raises:
            IntegrityError: a part of it is missing, damaged, or open to others.
            StorageError: it is out of reach.

        """

    def furnish(self, policy: Callable[[], Sequence[tuple[str, str]]]) -> bool:
        """Make what of `home` is missing beside a ledger that is there; tell whether that made the folder.

        `policy` returns names and texts of the files of a first policy.
        """

    def create(self, names: Names, policy: Sequence[tuple[str, str]], timeout: float) -> list[str]:
        """Make the ledger with a signing key and a policy, whole or not at all; return what to say of it.

        That is nothing if somebody else was first.

        Raises:
            RefusedError: this user may not make it.
            StorageError: there is no room, or the place is out of reach.

        """

    def look(self, ask: Callable[[Ledger], Answer], timeout: float) -> Answer:
        """Return what `ask` finds; nothing is changed, not even the schema is brought up to date.

        Raises:
            IntegrityError: a file of the ledger is a link or no plain file.
            StorageError: there is no ledger, or it is out of reach.

        """

    def watch(self) -> Callable[[], None]:
        """Return a check that the ledger is still the one that is there now, whole and private.

        The check raises as `open` does, and StorageError for another ledger in its place.
        """

    def keyring(self) -> Keyring:
        """Return the private keys in `home`."""

    def source(self, timeout: float) -> CopySource:
        """Return the ledger as one that is copied. Raises as `open` does, and StorageError if there is none."""

    def vacuum(self, timeout: float, progress: Callable[[str], None]) -> Vacuumed:
        """Give the room that rows have left back to the file system. Raises as `source` does."""
