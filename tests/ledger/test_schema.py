"""The steps of the schema stay as existing ledgers have run them."""

from __future__ import annotations

from hashlib import sha256

from jitid.ledger.postgres.schema import POSTGRES_STEPS


def test_the_steps_of_postgres_do_not_change_with_those_of_sqlite() -> None:
    """They share statements and indexes with SQLite; a new index needs a separate step here."""
    digests = [sha256("\n".join(step).encode()).hexdigest()[:16] for step in POSTGRES_STEPS]
    assert digests[:6] == [
        "8587467e02d5b241",
        "b834aa684deb0da5",
        "364b4ecfce3c7dfd",
        "85c1a0ecd3e4f587",
        "b3ff1d12c241196a",
        "ba8c41b5e5fb8958",
    ]
