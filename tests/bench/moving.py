"""`ledger copy` of 1.5 million credentials, against SQLite's copy of the file, which verifies nothing."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from jitid.backup.transfer import copy
from jitid.ledger.copy_rows import CopySource, CopyTarget
from jitid.ledger.postgres.copy import PostgresSource, PostgresTarget
from jitid.ledger.sqlite import folder
from jitid.ledger.sqlite.copy import SqliteSource, SqliteTarget
from tests.bench import fleet
from tests.bench.ground import Ground
from tests.bench.measure import Row, Series, duration, seconds, under
from tests.postgres import DURABLE, running

_MINUTES = 300.0


def rows(place: Ground) -> Iterator[Row]:
    """Measure a copy into PostgreSQL and back, each once, because it takes minutes; its floor takes seconds."""
    made = fleet.fleet(place.cache or place.new("cache"))
    at = float((made / "time").read_text())
    here = place.new("moving")
    vacuumed = seconds(lambda: _vacuum(made / "ledger" / folder.DATABASE, here / "vacuumed.db"))

    def clock() -> float:
        return at

    def measured(what: str, source: CopySource, target: CopyTarget) -> Row:
        taken = seconds(lambda: _copy(source, target))
        return Row(
            f"`ledger copy` of 1.5 million, {what}",
            Series("", [taken], duration),
            Series("`VACUUM INTO`", [vacuumed], duration),
            under(_MINUTES, duration),
        )

    def of_folder() -> SqliteSource:
        # `ledger copy` seals its source.
        shutil.rmtree(here / "source", ignore_errors=True)
        shutil.copytree(made / "ledger", here / "source")
        return SqliteSource(str(here / "source"), 5, clock)

    with running({**DURABLE, "shared_buffers": "128MB"}) as server:
        address = server.url(server.new_database())
        steps: list[tuple[str, Callable[[], CopySource], Callable[[], CopyTarget]]] = [
            ("to a folder", of_folder, lambda: SqliteTarget(str(here / "folder"))),
            ("into PostgreSQL", of_folder, lambda: PostgresTarget(address, 5, clock)),
            (
                "out of PostgreSQL",
                lambda: PostgresSource(address, 5, clock),
                lambda: SqliteTarget(str(here / "back")),
            ),
        ]
        for what, source, target in steps:
            yield measured(what, source(), target())
    shutil.rmtree(here)


def _copy(source: CopySource, target: CopyTarget) -> None:
    copy(source, target, by="bench", furnish=lambda: None, progress=lambda _table, _rows: None)


def _vacuum(path: Path, to: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("VACUUM INTO ?", (str(to),))
    db.close()
