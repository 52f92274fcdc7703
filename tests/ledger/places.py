"""Where a ledger of each kind stands; a newcomer adds one row to `KINDS` and answers to the whole contract."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from jitid.ledger.protocol import Ledger, Transaction
from tests.builders import Clock, make_folder, open_sqlite

Opener = Callable[[Callable[[], float]], Ledger]
"""Opens the ledger of a place with a clock."""


class Place:
    """A new, empty ledger with a clock that the test sets; opened as often as wanted."""

    def __init__(self, open_one: Opener) -> None:
        self.clock = Clock()
        self.open_one = open_one
        self._opened: list[Ledger] = []
        self.ledger = self.again()

    def again(self) -> Ledger:
        """Open the same ledger once more, as another process would."""
        self._opened.append(self.open_one(self.clock))
        return self._opened[-1]

    def close(self) -> None:
        """Close all that was opened."""
        for ledger in self._opened:
            ledger.close()


def _sqlite(folder: Path) -> Opener:
    make_folder(folder)
    return lambda clock: open_sqlite(folder, clock)


KINDS: dict[str, Callable[[Path], Opener]] = {"sqlite": _sqlite}


def public_key(transaction: Transaction) -> tuple[str, str, bytes]:
    """Return kid, algorithm and public half for a new key; nothing is ever signed by it."""
    public = os.urandom(32)
    return f"kid-{public.hex()[:12]}-{len(transaction.signing_keys())}", "EdDSA", public
