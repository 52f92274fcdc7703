"""`audit verify` detects an edit of every column, and each row that is added to or removed from a table (promise 21).

Each exception is listed with its reason.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import combinations, count
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from jitid.capabilities.integrity import verify_log
from jitid.capabilities.integrity.operations import CutLog, Prune
from jitid.capabilities.issue.operations import Issue, Renew
from jitid.errors import IntegrityError
from jitid.ledger.sqlite import folder
from jitid.ledger.transaction import Transaction
from jitid.model.request import RenewRequest
from tests.builders import DAY, World, open_sqlite, request
from tests.eventful import leave_marks, live_through_everything

BOOKKEEPING = (
    "the retries of what is not settled at a target: it bounds how soon the next one is, not whether"
)
NUMBER = "a number by which nothing else names the row"

MAY_PASS: dict[tuple[str, str], str] = {
    ("clock_mark", "boot"): "only tells whether a jump ahead is plausible, by which nothing becomes valid",
    ("clock_mark", "uptime"): "only tells whether a jump ahead is plausible, by which nothing becomes valid",
    ("clock_mark", "changed_at"): "only tells a writer whether to look again at what it planned a moment ago",
    ("outside", "attempts"): BOOKKEEPING,
    ("outside", "next_at"): BOOKKEEPING,
    ("delegator", "event"): "the number of the last event about the row; nothing is decided by it",
    ("agent", "event"): "the number of the last event about the row; nothing is decided by it",
    ("action", "id"): NUMBER,
    ("sighting", "id"): NUMBER,
    ("task_share", "id"): NUMBER,
}
"""Columns whose edits `audit verify` may miss, with the reason. They grant no right."""


ADDED: dict[str, str] = {
    "term": "a name that nothing has",
    "identity": "an identity without a credential; the next one that is issued is refused",
    "status": "a place of a credential that is not there; the next one that is issued is refused",
    "assertion": "a mark that no event tells of only refuses more",
    "kept_event": "the number of an event that is not there",
}
"""Tables to which rows may be added undetected, with the reason. The test adds copies of rows under other keys."""

REMOVED: dict[str, str] = {}
"""Tables from which a row may be removed undetected, with the reason."""


class Edit(NamedTuple):
    """A change of one value of one row."""

    table: str
    column: str
    row: int
    old: Any
    new: Any
    sort: str
    """The class of the row, where rows of one table are compared with different events, for example `adopted`."""

    @property
    def statement(self) -> tuple[str, tuple[Any, ...]]:
        """Return the SQL statement of the change, and its values."""
        return f"UPDATE {self.table} SET {self.column} = ? WHERE rowid = ?", (self.new, self.row)


MAY_BE: tuple[tuple[str, Callable[[Edit], bool]], ...] = (
    (
        "a mark that is raised refuses more: `doctor` tells of the clock",
        lambda edit: edit[:2] == ("clock_mark", "marked_at") and (edit.new or 0) > edit.old,
    ),
    (
        "of what was adopted, it only counts what is said to be an agent's",
        lambda edit: edit[:2] == ("credential", "recurring") and edit.sort.startswith("adopted"),
    ),
    (
        "any number but 0 means the same",
        lambda edit: edit[:2] == ("delegator", "imported") and bool(edit.old) == bool(edit.new),
    ),
    (
        "it moves with renewals, and any number but 0 only tells a sweep when the process renews no more",
        lambda edit: edit[:2] == ("process", "renews_until") and bool(edit.old) == bool(edit.new),
    ),
    (
        "NULL and its own number both mean the first credential of a line",
        lambda edit: edit[:2] == ("credential", "line") and edit.new in (None, edit.row),
    ),
    (
        "the number of the last row, if nothing names it",
        lambda edit: edit.column == "id" and edit.table in ("credential", "signing_key"),
    ),
    (
        "what a target said before the secret was confirmed",
        lambda edit: (
            edit.table == "outside" and edit.column in ("reference", "facts") and "unconfirmed" in edit.sort
        ),
    ),
    (
        "what a target last said of what is still open",
        lambda edit: (
            edit.table == "outside"
            and edit.column in ("honoured_until", "proof", "settlement", "event")
            and "open" in edit.sort
        ),
    ),
)
"""Reasons and conditions of edits that may be missed in columns where other edits are detected."""


def _everything(world: World) -> None:
    live_through_everything(world)
    plain = {"scopes": ("a:b",), "details": ({"type": "x"},)}
    for kind in ("jwt", "opaque"):
        fields = request(task=f"{kind}-3", copies=3, kind=kind, may_audience=("urn:a",), **plain)
        (issued,) = world.authority.perform(Issue(requests=(fields,)))
        token = issued.credentials[0].secret
        world.issue(parent=token.reveal(), agent="child", kind=kind, **plain)
        world.authority.perform(Renew(request=RenewRequest(token)))


def _many(world: World) -> None:
    """Issue enough credentials at once that `audit verify` compares them as a whole."""
    plain = {"scopes": ("a:b",), "details": ({"type": "x"},), "copies": 12}
    for kind in ("jwt", "opaque"):
        # Opaque credentials get their own agent name, which no event of another kind contains.
        fields = request(task=f"{kind}-12", agent=f"{kind}-12", kind=kind, may_audience=("urn:a",), **plain)
        (issued,) = world.authority.perform(Issue(requests=(fields,)))
        below = request(
            task=None, delegator=None, parent=issued.credentials[0].secret, agent="child", **plain
        )
        world.authority.perform(Issue(requests=(below, below._replace(copies=1))))
        if kind == "jwt":
            world.authority.perform(Renew(request=RenewRequest(issued.credentials[1].secret)))


def _pruned(world: World) -> None:
    """Prune old rows, which share no event with the later rows."""
    world.issue(task="OLD", ttl=60)
    world.clock.now += 60 * DAY
    world.issue(task="NEXT", accept_clock=True)
    live_through_everything(world)
    assert world.authority.perform(Prune(rows_after=30 * DAY)).rows["credentials"] == 1


def _cut(world: World) -> None:
    world.chain(3)
    world.issue(task="T2", ttl=60)
    world.clock.now += 60 * DAY
    world.issue(task="T3", accept_clock=True)
    world.authority.perform(Prune(rows_after=30 * DAY))
    world.authority.perform(CutLog(evidence_after=50 * DAY, folder=str(world.path.parent / "segments")))
    world.issue(task="T4")


HISTORIES = (_everything, _many, leave_marks, _pruned, _cut)


class Kept:
    """A ledger whose file was copied, for repeated edits."""

    def __init__(self, path: Path, live: Callable[[World], None]) -> None:
        with World(path / "ledger", publish_url="https://tokens.example") as world:
            live(world)
            world.check()
            self.clock = world.clock
        self.path = path / "ledger"
        self.cut = live is _cut
        with closing(sqlite3.connect(self.path / folder.DATABASE, isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode = DELETE")
            for name in ("audit_event_is_kept", "audit_event_is_final"):
                db.execute(f"DROP TRIGGER IF EXISTS {name}")
        self._numbers = count()
        self.ledger = open_sqlite(self.path, self.clock)

    def held(self) -> list[str]:
        """Return the tables that `audit verify` checks.

        After a cut, only three: the events of the other rows are in the file of the segment.
        """
        tables = list(self.columns())
        return [table for table in tables if not self.cut or table in ("prune", "segment", "kept_event")]

    def columns(self) -> dict[str, list[str]]:
        """Return the columns of each table that has rows."""
        with closing(sqlite3.connect(self.path / folder.DATABASE)) as db:
            names = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
            return {
                name: [row[1] for row in db.execute(f"PRAGMA table_info({name})")]
                for name in names
                if db.execute(f"SELECT 1 FROM {name}").fetchone() is not None
            }

    def rows(self, table: str) -> dict[int, str]:
        """Return some rows of a table with their classes: at least one row of each class."""
        with closing(sqlite3.connect(self.path / folder.DATABASE)) as db:
            sorts = dict(db.execute(f"SELECT rowid, {_SORTS.get(table, '0')} FROM {table}").fetchall())
        some = list(sorts)[:: max(1, len(sorts) // 5)]
        each = {sort: row for row, sort in reversed(sorts.items())}.values()
        return {row: str(sorts[row]) for row in dict.fromkeys((*some, *each))}

    def edits(self, table: str, column: str) -> Iterator[Edit]:
        """Yield some edits of a column: several rows get values of other rows, similar values, and no value."""
        with closing(sqlite3.connect(self.path / folder.DATABASE)) as db:
            values = dict(db.execute(f"SELECT rowid, {column} FROM {table}").fetchall())
        for row, sort in self.rows(table).items():
            for new in dict.fromkeys(_others(values[row], list(values.values()))):
                yield Edit(table, column, row, values[row], new, sort)

    def added(self, table: str) -> Iterator[tuple[str, Sequence[Any]]]:
        """Yield statements that add a copy of a row, with different values in some of the unique columns."""
        with closing(sqlite3.connect(self.path / folder.DATABASE)) as db:
            columns = [row[1:6:4] for row in db.execute(f"PRAGMA table_info({table})")]
            unique = {name for name, key in columns if key}
            for _, index, is_unique, *_ in db.execute(f"PRAGMA index_list({table})").fetchall():
                if is_unique:
                    unique.update(name for _, _, name in db.execute(f"PRAGMA index_info({index})") if name)
            rows = db.execute(f"SELECT rowid, * FROM {table}").fetchall()
        statement = f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})"
        for row, *old in rows:
            if row in self.rows(table):
                for size in range(1, len(unique) + 1):
                    for other in combinations(sorted(unique), size):
                        yield (
                            statement,
                            [
                                _another(value, row) if name in other else value
                                for (name, _), value in zip(columns, old, strict=True)
                            ],
                        )

    def removed(self, table: str) -> Iterator[tuple[str, Sequence[Any]]]:
        """Yield statements that remove a row."""
        for row in self.rows(table):
            yield f"DELETE FROM {table} WHERE rowid = ?", (row,)

    def sees(self, statement: str, values: Sequence[Any]) -> bool:
        """Return whether `audit verify` detects a change, or the database refuses it."""
        try:
            with self.ledger.write() as transaction:
                assert isinstance(transaction, Transaction)
                try:
                    transaction.db.execute(statement, values)
                except sqlite3.IntegrityError:
                    raise _ImpossibleError from None
                verify_log.verify(transaction, transaction.names, None)
                raise _UnseenError
        except (IntegrityError, _ImpossibleError):
            return True
        except _UnseenError:
            # Some checks run only when the ledger is opened.
            return self._refuses(statement, values)

    def _refuses(self, statement: str, values: Sequence[Any]) -> bool:
        place = self.path.parent / f"edited-{next(self._numbers)}"
        shutil.copytree(self.path, place)
        try:
            with closing(sqlite3.connect(place / folder.DATABASE, isolation_level=None)) as db:
                db.execute(statement, values)
            return not _holds(place, self.clock)
        finally:
            shutil.rmtree(place)


class _UnseenError(Exception):
    """No check found the change; the change is undone."""


class _ImpossibleError(Exception):
    """The database refuses the change."""


_SORTS = {
    "credential": "kind || iif(ended_at IS NULL, ' live', ' ended')",
    "identity": "(SELECT kind FROM credential WHERE identity = identity.id)",
    "task": "name LIKE 'adopted%'",
    "outside": """iif(settled_at IS NULL, 'open', 'settled') || (
        SELECT iif(kind = 'adopted', ' adopted', iif(fingerprint IS NULL, ' unconfirmed', ''))
          FROM credential WHERE id = credential)""",
}
"""SQL expressions that return the class of a row: rows of different classes are compared with different events."""


def _another(value: Any, number: int) -> Any:
    match value:
        case int():
            return value + 1_000 + number
        case str():
            return f"{value}z{number}"
        case bytes():
            return bytes([value[0] ^ 1]) + value[1:]
    return value


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
    """Return whether `audit verify` finds no problem."""
    try:
        with closing(open_sqlite(path, clock)) as ledger, ledger.read() as snapshot:
            verify_log.verify(snapshot, snapshot.names, None)
    except IntegrityError:
        return False
    return True


@pytest.fixture(params=HISTORIES, ids=lambda live: live.__name__.strip("_"))
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kept]:
    """Return a ledger with a history."""
    kept = Kept(tmp_path, request.param)
    yield kept
    kept.ledger.close()


def _may_pass(edit: Edit) -> bool:
    return edit[:2] in MAY_PASS or any(holds(edit) for _, holds in MAY_BE)


@pytest.mark.deep
def test_an_edit_of_any_column_is_seen(kept: Kept) -> None:
    assert _holds(kept.path, kept.clock)
    unseen = [
        edit
        for table in kept.held()
        for column in kept.columns()[table]
        for edit in kept.edits(table, column)
        if not _may_pass(edit) and not kept.sees(*edit.statement)
    ]
    assert not unseen, "\n".join(map(str, unseen))


@pytest.mark.deep
def test_a_row_that_is_added_or_removed_is_seen(kept: Kept) -> None:
    unseen = [
        change
        for table in kept.held()
        for changes, may in ((kept.added, ADDED), (kept.removed, REMOVED))
        if table not in may
        for change in changes(table)
        if not kept.sees(*change)
    ]
    assert not unseen, "\n".join(map(str, unseen))


@pytest.mark.deep
def test_every_table_has_rows_in_one_of_the_histories(tmp_path: Path) -> None:
    """Otherwise the columns of that table would not be tested."""
    found: set[str] = set()
    for live in HISTORIES:
        kept = Kept(tmp_path / live.__name__, live)
        found |= kept.columns().keys()
        with closing(sqlite3.connect(kept.path / folder.DATABASE)) as db:
            tables = {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    # This table has rows only during a prune.
    assert found | {"condemned"} == tables


@pytest.mark.deep
def test_whatever_may_pass_passes(tmp_path: Path) -> None:
    """An exception that no longer applies would hide a later regression."""
    idle = {*MAY_PASS, *(reason for reason, _ in MAY_BE), *ADDED, *(f"-{table}" for table in REMOVED)}
    for live in HISTORIES:
        kept = Kept(tmp_path / live.__name__, live)
        for table in kept.held():
            for changes, mark in ((kept.added, ""), (kept.removed, "-")):
                if f"{mark}{table}" in idle and not all(kept.sees(*change) for change in changes(table)):
                    idle.discard(f"{mark}{table}")
            for column in kept.columns()[table]:
                for edit in kept.edits(table, column):
                    may = {edit[:2], *(reason for reason, holds in MAY_BE if holds(edit))} & idle
                    if may and not kept.sees(*edit.statement):
                        idle -= may
        kept.ledger.close()
    assert not idle
