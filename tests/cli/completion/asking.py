"""Asks as the shells do, without a process for each question."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from jitid.cli import complete


def lines(ledger: Path, what: str, current: str = "", *words: str) -> list[str]:
    """Return what is answered about the ledger in a folder."""
    return complete.answer([what, current, *words], {"JITID_LEDGER": str(ledger)}).splitlines()


def names(ledger: Path, what: str, current: str = "", *words: str) -> list[str]:
    """Return the same without the descriptions."""
    return [line.partition("\t")[0] for line in lines(ledger, what, current, *words)]


def rows(ledger: Path, query: str) -> list[tuple[object, ...]]:
    """Ask the database."""
    with closing(sqlite3.connect(ledger / "ledger.db")) as db:
        return db.execute(query).fetchall()
