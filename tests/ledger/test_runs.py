"""`audit verify` compares many credentials of one event as a whole, and detects the same edits as for single rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from jitid.capabilities.integrity import members as members_module
from jitid.capabilities.integrity import verify_log
from jitid.capabilities.integrity.store import COMPARED, AlikeRows, RowStore
from jitid.capabilities.integrity.verify_issued import IssuedMembers
from jitid.capabilities.issue.operations import Issue
from jitid.errors import IntegrityError
from jitid.ledger.transaction import Transaction
from tests.builders import World, put, request
from tests.ledger.places import Place

_COPIES = 12


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path / "ledger", publish_url="https://tokens.example") as world:
        for kind in ("jwt", "opaque", "jwt"):
            many = request(kind=kind, copies=_COPIES, scopes=("a:b",), details=({"type": "x"},))
            world.authority.perform(Issue(requests=(many,)))
            world.issue(kind=kind)
        yield world


def test_the_bytes_of_a_run_are_those_of_its_rows(place: Place) -> None:
    with place.ledger.write() as transaction:
        assert isinstance(transaction, Transaction)
        rows = [put(transaction) for _ in range(4)]
        first, last, event = rows[0].key, rows[2].key, rows[0].event
        values = {"event": event, "last": rows[3].key}
        transaction.db.execute("UPDATE credential SET event = :event WHERE id <= :last", values)
        told = list(RowStore(transaction).issued_members())
        alike = AlikeRows._make(RowStore(transaction).alike(first) or ())[:COMPARED]
        run = RowStore(transaction).run_alike(first, last, event, alike)
        assert (run.length, run.claims) == (3, None)
        assert run.jtis == b"".join(row[1] for row in told[:3])
        assert run.prints == b"".join(row[2] for row in told[:3])
        assert run.uids == b"".join(row[5] for row in told[:3])
        assert RowStore(transaction).run_alike(first, last, event + 1, alike).length == 0
        assert RowStore(transaction).count_alike(first, last, event, alike) == 3


def test_many_of_one_event_are_not_read_one_by_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[bool] = []
    is_run = IssuedMembers.is_run

    def noting(members: IssuedMembers, *arguments: object) -> bool:
        found.append(is_run(members, *arguments))  # type: ignore[arg-type]  # it passes its arguments on
        return found[-1]

    monkeypatch.setattr(IssuedMembers, "is_run", noting)
    world.check()
    assert found == [True] * 3


_EDITS = (
    "UPDATE credential SET jti = CAST(jti AS TEXT) WHERE id = {row}",
    "UPDATE credential SET fingerprint = CAST(fingerprint AS TEXT) WHERE id = {row}",
    "UPDATE credential SET fingerprint = NULL WHERE id = {row}",
    # Move a byte of a value to the end of the value before it: the concatenation of the values stays the same.
    *(
        f"""UPDATE credential SET {column} = CAST(CASE
                WHEN id = {{row}} THEN
                    {column} || (SELECT substr(n.{column}, 1, 1) FROM credential n WHERE n.id = {{row}} + 1)
                ELSE substr({column}, 2) END AS BLOB) WHERE id IN ({{row}}, {{row}} + 1)"""
        for column in ("jti", "fingerprint", "claims_hash")
    ),
    "UPDATE credential SET claims_hash = CAST(claims_hash AS TEXT) WHERE id = {row}",
    "UPDATE credential SET claims_hash = substr(claims_hash, 1, 31) WHERE id = {row}",
    "UPDATE credential SET claims_hash = NULL WHERE id = {row}",
    "UPDATE credential SET kind = CAST(kind AS BLOB) WHERE id = {row}",
    "UPDATE credential SET line = 2 WHERE id = {row}",
    "UPDATE credential SET id = 0 WHERE id = {row}",
    "UPDATE credential SET id = -id WHERE id = {row}",
    "UPDATE credential SET id = id + 1000 WHERE id = {row}",
    "UPDATE credential SET event = event + 1 WHERE id = {row}",
    "UPDATE credential SET identity = identity + 1 WHERE id = {row}",
    "UPDATE identity SET uid = CAST(uid AS TEXT) WHERE id = {row}",
    "UPDATE identity SET uid = uid || x'00' WHERE id = {row}",
    "UPDATE identity SET depth = '0' || depth || 'x' WHERE id = {row}",
    "UPDATE identity SET parent = 1 WHERE id = {row}",
    "UPDATE status SET place = place + 1000 WHERE credential = {row}",
    "UPDATE status SET place = CAST(place AS TEXT) || 'x' WHERE credential = {row}",
    "DELETE FROM status WHERE credential = {row}",
    "DELETE FROM credential WHERE id = {row}",
    "DELETE FROM identity WHERE id = {row}",
    "INSERT INTO credential SELECT * FROM before WHERE id = 0",
    "INSERT INTO credential SELECT * FROM before WHERE id = -1",
    "INSERT INTO credential SELECT * FROM before WHERE id = 1000",
)


@pytest.mark.parametrize("row", [1, 7, 12, 14, 20, 25, 27, 38])
def test_an_edit_within_a_run_is_seen(world: World, row: int, monkeypatch: pytest.MonkeyPatch) -> None:
    as_a_whole = [_verdict(world, edit, row) for edit in _EDITS]
    monkeypatch.setattr(members_module, "_MANY", 1_000_000)
    assert as_a_whole == [_verdict(world, edit, row) for edit in _EDITS]
    # Opaque credentials have no hash of claims and no index in a status list.
    unseen = {edit for edit, seen in zip(_EDITS, as_a_whole, strict=True) if seen is None}
    assert unseen <= {edit for edit in _EDITS if "claims_hash" in edit or "status" in edit}
    assert not unseen or 14 <= row < 26


def _verdict(world: World, edit: str, row: int) -> str | None:
    """Return the error that an edit of a ledger causes, or None; undo the edit."""
    try:
        with world.ledger.write() as transaction:
            assert isinstance(transaction, Transaction)
            db = transaction.db
            db.execute("PRAGMA defer_foreign_keys = ON")
            for number in (0, -1, 1_000):
                _copy(db, row, number)
            try:
                db.execute(edit.format(row=row))
            except sqlite3.IntegrityError as error:
                raise IntegrityError(str(error)) from None
            db.execute("DROP TABLE before")
            verify_log.verify(transaction, transaction.names, None)
            raise _UnseenError
    except IntegrityError as error:
        return error.message
    except _UnseenError:
        return None


def _copy(db: sqlite3.Connection, row: int, number: int) -> None:
    """Keep a copy of a credential with another number and `jti`."""
    db.execute("CREATE TEMPORARY TABLE IF NOT EXISTS before AS SELECT * FROM credential WHERE id < -9")
    db.execute("INSERT INTO before SELECT * FROM credential WHERE id = ?", (row,))
    db.execute("UPDATE before SET id = ?, jti = ? WHERE id = ?", (number, abs(number).to_bytes(16), row))


class _UnseenError(Exception):
    """No check found the change; the change is undone."""
