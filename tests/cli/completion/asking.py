"""Queries to completion as the shells send them, without a process for each query."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from jitid.cli import complete


def lines(ledger: Path, what: str, current: str = "", *words: str) -> list[str]:
    """Return the lines that completion answers about the ledger in a folder."""
    return complete.answer([what, current, *words], {"JITID_LEDGER": str(ledger)}).splitlines()


def names(ledger: Path, what: str, current: str = "", *words: str) -> list[str]:
    """Return the same candidates without the descriptions."""
    return [line.partition("\t")[0] for line in lines(ledger, what, current, *words)]


def rows(ledger: Path, query: str) -> list[tuple[object, ...]]:
    """Return the rows of a query to the database."""
    with closing(sqlite3.connect(ledger / "ledger.db")) as db:
        return db.execute(query).fetchall()
