"""How to open an empty ledger of each kind. A new kind adds a row to a table, and must pass the contract tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from jitid.ledger.contract import Ledger
from jitid.ledger.signing_keys import KeyStore
from jitid.ledger.transaction import Transaction
from tests.builders import Clock, make_database, make_folder, open_postgres, open_sqlite
from tests.pgbouncer import PgBouncer
from tests.postgres import SUPERUSER, Postgres

Opener = Callable[[Callable[[], float]], Ledger]
"""A function that opens a particular ledger with a given clock."""


class Place:
    """A new, empty ledger with a clock that the test sets. A test can open it any number of times."""

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
        """Close all ledgers that were opened here."""
        for ledger in self._opened:
            ledger.close()


def _sqlite(folder: Path) -> Opener:
    make_folder(folder)
    return lambda clock: open_sqlite(folder, clock)


def _postgres(folder: Path, server: Postgres, *options: str) -> Opener:
    address = server.url(server.new_database(), **({"options": " ".join(options)} if options else {}))
    make_database(address, folder)
    return lambda clock: open_postgres(address, clock)


def _serializable(folder: Path, server: Postgres) -> Opener:
    return _postgres(folder, server, "-c%20default_transaction_isolation%3Dserializable")


def _pooled(folder: Path, pooler: PgBouncer) -> Opener:
    """Make a ledger behind a pooler: each transaction may get another session, with the remains of earlier clients."""
    database = pooler.server.new_database()
    make_database(pooler.server.url(database), folder)
    address = pooler.url(SUPERUSER, database)
    return lambda clock: open_postgres(address, clock)


FILES: dict[str, Callable[[Path], Opener]] = {"sqlite": _sqlite}
SERVERS: dict[str, Callable[[Path, Postgres], Opener]] = {
    "postgres": _postgres,
    "serializable": _serializable,
}
POOLERS: dict[str, Callable[[Path, PgBouncer], Opener]] = {"pooled": _pooled}
KINDS = (*FILES, *SERVERS, *POOLERS)

with_a_mark = pytest.mark.parametrize("place", [*FILES], indirect=True)
"""A mark that runs a test only on ledgers with a time mark. A ledger in a database uses the clock of the database."""


def opener(
    kind: str, folder: Path, server: Callable[[], Postgres], pooler: Callable[[], PgBouncer]
) -> Opener:
    """Create a ledger of a kind, and return its opener. Call `server` or `pooler` only if the kind needs one."""
    if kind in POOLERS:
        return POOLERS[kind](folder, pooler())
    return FILES[kind](folder) if kind in FILES else SERVERS[kind](folder, server())


def public_key(transaction: Transaction) -> tuple[str, str, bytes]:
    """Return kid, algorithm and public half for a new key, which never signs."""
    public = os.urandom(32)
    return f"kid-{public.hex()[:12]}-{len(KeyStore(transaction).signing_keys())}", "EdDSA", public
