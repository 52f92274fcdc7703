"""`audit verify` sees an edit of every column of every table (promise 21), except those listed with a reason."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from jitid import auditing
from jitid.authority.operations import CutLog, Issue, Prune, Renew
from jitid.errors import IntegrityError
from jitid.ledger import folder
from jitid.request import RenewRequest
from tests.builders import DAY, World, open_sqlite, request
from tests.eventful import leave_marks, live_through_everything

BOOKKEEPING = "the retries of what is not settled at a target yet; the next one writes it anew"
NUMBER = "a number by which nothing else names the row"

MAY_PASS: dict[tuple[str, str], str] = {
    ("clock_mark", "boot"): "only tells whether a jump ahead is plausible, by which nothing becomes valid",
    ("clock_mark", "uptime"): "only tells whether a jump ahead is plausible, by which nothing becomes valid",
    ("clock_mark", "changed_at"): "only tells a writer whether to look again at what it planned a moment ago",
    ("credential", "recurring"): "of ended credentials, it only counts what an agent was ever given",
    ("process", "renews_until"): "moves with renewals; it only tells a sweep when the process renews no more",
    ("outside", "attempts"): BOOKKEEPING,
    ("outside", "next_at"): BOOKKEEPING,
    ("outside", "tried_at"): BOOKKEEPING,
    ("delegator", "event"): "the number of the last event about the row; nothing is decided by it",
    ("agent", "event"): "the number of the last event about the row; nothing is decided by it",
    ("action", "id"): NUMBER,
    ("sighting", "id"): NUMBER,
    ("task_share", "id"): NUMBER,
    (
        "condemned",
        "identity",
    ): "a note of a pruning for itself; `audit verify` checks what is gone by digests",
}
"""Columns that may be edited unseen, with the reason. They carry no right."""


class Edit(NamedTuple):
    """A change of one value of one row."""

    table: str
    column: str
    row: int
    old: Any
    new: Any


MAY_BE: tuple[tuple[str, Callable[[Edit], bool]], ...] = (
    (
        "a mark that is raised refuses more: `doctor` tells of the clock",
        lambda edit: edit[:2] == ("clock_mark", "marked_at") and (edit.new or 0) > edit.old,
    ),
    (
        "NULL and its own number both mean the first credential of a line",
        lambda edit: edit[:2] == ("credential", "line") and edit.new in (None, edit.row),
    ),
    (
        "any number but 0 means the same",
        lambda edit: edit[:2] == ("delegator", "imported") and bool(edit.old) == bool(edit.new),
    ),
    (
        "an answer that is older than a day counts no more: the request is answered anew",
        lambda edit: edit[:2] == ("idempotency", "at") and (edit.new or 0) < edit.old - DAY,
    ),
    (
        "row numbers that nothing names",
        lambda edit: (
            edit.column == "id" and edit.table in ("signing_key", "delegator", "agent", "approval", "leak")
        ),
    ),
    (
        "what a target said before the secret was confirmed, and last said of what is still open",
        lambda edit: (
            edit.table == "outside"
            and edit.column in ("reference", "facts", "honoured_until", "proof", "settlement", "event")
        ),
    ),
)
"""Edits that may pass in columns of which others are seen."""


def _everything(world: World) -> None:
    live_through_everything(world)
    plain = {"scopes": ("a:b",), "details": ({"type": "x"},)}
    for kind in ("jwt", "opaque"):
        fields = request(task=f"{kind}-3", copies=3, kind=kind, may_audience=("urn:a",), **plain)
        (issued,) = world.authority.perform(Issue(requests=(fields,)))
        token = issued.credentials[0].secret
        world.issue(parent=token.reveal(), agent="child", kind=kind, **plain)
        world.authority.perform(Renew(request=RenewRequest(token)))


def _pruned(world: World) -> None:
    world.chain(3)
    world.issue(task="T2", ttl=60)
    world.clock.now += 60 * DAY
    world.issue(task="T3", accept_clock=True)
    world.authority.perform(Prune(rows_after=30 * DAY))
    world.authority.perform(CutLog(evidence_after=50 * DAY, folder=str(world.path.parent / "segments")))
    world.issue(task="T4")


HISTORIES = (_everything, leave_marks, _pruned)


class Kept:
    """A ledger whose file was copied, to be edited again and again."""

    def __init__(self, path: Path, live: Callable[[World], None]) -> None:
        with World(path / "ledger", publish_url="https://tokens.example") as world:
            live(world)
            world.check()
            self.clock = world.clock
        self.path = path / "ledger"
        self.cut = live is _pruned
        with closing(sqlite3.connect(self.path / folder.DATABASE, isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode = DELETE")
            for name in ("audit_event_is_kept", "audit_event_is_final"):
                db.execute(f"DROP TRIGGER IF EXISTS {name}")
        self.data = (self.path / folder.DATABASE).read_bytes()
        self._numbers = count()

    def columns(self) -> dict[str, list[str]]:
        """Return the columns of each table that has rows."""
        with closing(sqlite3.connect(self.path / folder.DATABASE)) as db:
            names = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
            return {
                name: [row[1] for row in db.execute(f"PRAGMA table_info({name})")]
                for name in names
                if db.execute(f"SELECT 1 FROM {name}").fetchone() is not None
            }

    def edits(self, table: str, column: str) -> Iterator[Edit]:
        """Yield some edits of a column: of several rows, to values that others have, to similar ones, and to none."""
        with closing(sqlite3.connect(self.path / folder.DATABASE)) as db:
            rows = db.execute(f"SELECT rowid, {column} FROM {table}").fetchall()
        for row, old in rows[:: max(1, len(rows) // 5)]:
            for new in dict.fromkeys(_others(old, [value for _, value in rows])):
                yield Edit(table, column, row, old, new)

    def sees(self, edit: Edit) -> bool:
        """Tell whether an edit is seen, or cannot be made."""
        place = self.path.parent / f"edited-{next(self._numbers)}"
        shutil.copytree(self.path, place)
        try:
            with closing(sqlite3.connect(place / folder.DATABASE, isolation_level=None)) as db:
                try:
                    db.execute(
                        f"UPDATE {edit.table} SET {edit.column} = ? WHERE rowid = ?", (edit.new, edit.row)
                    )
                except sqlite3.IntegrityError:
                    return True
            return not _holds(place, self.clock)
        finally:
            shutil.rmtree(place)


def _others(old: Any, all_: list[Any]) -> Iterator[Any]:
    match old:
        case int():
            yield from (old + 1, old - 1)
        case str():
            yield old + "x"
        case bytes():
            yield bytes([old[0] ^ 1]) + old[1:] if old else b"x"
    yield next((value for value in all_ if value not in (None, old)), 0 if old == 1 else 1)
    if old is not None:
        yield None


def _holds(path: Path, clock: Callable[[], float]) -> bool:
    """Tell whether `audit verify` finds nothing."""
    try:
        with closing(open_sqlite(path, clock)) as ledger, ledger.read() as snapshot:
            auditing.verify(snapshot, snapshot.names, None)
    except IntegrityError:
        return False
    return True


@pytest.fixture(params=HISTORIES, ids=lambda live: live.__name__.strip("_"))
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    """Return a ledger with a history."""
    return Kept(tmp_path, request.param)


def _may_pass(edit: Edit) -> bool:
    return edit[:2] in MAY_PASS or any(holds(edit) for _, holds in MAY_BE)


def test_an_edit_of_any_column_is_seen(kept: Kept) -> None:
    assert _holds(kept.path, kept.clock)
    unseen = [
        edit
        for table, columns in kept.columns().items()
        # Of rows whose events were cut, the file of the segment has the events.
        if not kept.cut or table in ("prune", "segment", "kept_event")
        for column in columns
        for edit in kept.edits(table, column)
        if not _may_pass(edit) and not kept.sees(edit)
    ]
    assert not unseen, "\n".join(map(str, unseen))


def test_every_table_has_rows_in_one_of_the_histories(tmp_path: Path) -> None:
    """Or nothing would be said of its columns."""
    found: set[str] = set()
    for live in HISTORIES:
        kept = Kept(tmp_path / live.__name__, live)
        found |= kept.columns().keys()
        with closing(sqlite3.connect(kept.path / folder.DATABASE)) as db:
            tables = {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    # It has rows only in the middle of a pruning.
    assert found | {"condemned"} == tables


def test_what_may_pass_is_there(tmp_path: Path) -> None:
    columns = Kept(tmp_path, leave_marks)
    with closing(sqlite3.connect(columns.path / folder.DATABASE)) as db:
        for table, column in MAY_PASS:
            assert column in [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
