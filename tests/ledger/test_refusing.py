"""The bulk query for refused leaks agrees with the single verification of each credential, in every kind of ledger."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jitid.capabilities.identity import validity
from jitid.capabilities.identity.store import CredentialChanges
from jitid.capabilities.identity.task_store import TaskChanges, TaskStore
from jitid.capabilities.leak import exposure
from jitid.capabilities.leak.store import LeakChanges, LeakStore
from jitid.errors import InvalidCredentialError
from jitid.ledger.transaction import Transaction
from jitid.ledger.view import View
from jitid.model.credential import State
from jitid.model.leak import LeakFilter, RefusedLeaks
from jitid.model.ledger_rows import Selection
from tests.builders import NOW, Clock, Row, edit, make_folder, open_sqlite, put
from tests.ledger.places import Place


def judged(snapshot: View) -> list[int]:
    """Return the unproved leaks without live descendants whose credential has ended and fails verification."""
    found = [leak for leak in LeakStore(snapshot).leaks(LeakFilter(), 99) if leak.proved_at is None]
    credentials = exposure.credentials_of(snapshot, found)
    refused = []
    for leak in reversed(found):
        if leak.dead_at is None or leak.kin is not None:
            continue
        try:
            validity.judge(snapshot, credentials[leak.jti], None)
        except InvalidCredentialError:
            refused.append(leak.key)
    return refused


def leak(transaction: Transaction, rows: list[Row]) -> None:
    LeakChanges(transaction).add_leaks([row.key for row in rows], "wiki", NOW)
    transaction.append("leak", {"count": len(rows)})


def grow(transaction: Transaction, plan: list[tuple[int, int, int]]) -> list[Row]:
    """Record a forest: `plan` has the parent, the lifetime and the fate of each credential."""
    rows: list[Row] = []
    for above, ttl, _ in plan:
        parent = rows[above % len(rows)] if rows and above % 3 else None
        rows.append(put(transaction, parent=parent, ttl=ttl, task=f"T{above % 4}", pending=ttl == 60))
    for row, (_, _, fate) in zip(rows, plan, strict=True):
        if fate == 1:
            CredentialChanges(transaction).end_one(row.key, State.REVOKED)
            transaction.append("revoke", {"count": 1})
        elif fate == 2:
            CredentialChanges(transaction).end(Selection(ids=(row.id,)), State.REVOKED)
            transaction.append("revoke", {"count": 1})
        elif fate == 3:
            CredentialChanges(transaction).supersede(row.key, transaction.now + 50)
        elif fate == 4:
            task = TaskStore(transaction).find_task(f"T{plan[rows.index(row)][0] % 4}")
            assert task is not None
            TaskChanges(transaction).end_task(task.key)
    leak(transaction, [row for row, (above, _, _) in zip(rows, plan, strict=True) if above % 5])
    return rows


PLANS = st.lists(
    st.tuples(st.integers(0, 30), st.sampled_from((30, 60, 90, 900)), st.integers(0, 5)),
    min_size=1,
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(PLANS, st.sampled_from((0, 40, 75, 1_000)))
def test_the_question_about_many_has_the_judges_answer(plan: list[tuple[int, int, int]], later: int) -> None:
    clock = Clock()
    with TemporaryDirectory() as folder:
        ledger = open_sqlite(make_folder(Path(folder) / "ledger"), clock)
        with ledger.write() as transaction:
            grow(transaction, plan)
        clock.now += later
        with ledger.read() as snapshot:
            assert LeakStore(snapshot).refused_leaks(0, 99) == RefusedLeaks(judged(snapshot), [], None)
        ledger.close()


def test_every_place_answers_alike_page_by_page(place: Place) -> None:
    plan = [(above, (30, 60, 90, 900)[above % 4], above % 6) for above in range(20)]
    with place.ledger.write() as transaction:
        grow(transaction, plan)
    place.clock.now += 75
    with place.ledger.read() as snapshot:
        expected = judged(snapshot)
        assert len(expected) > 3
        seen, after = [], 0
        while True:
            page = LeakStore(snapshot).refused_leaks(after, 2)
            assert page.doubtful == []
            seen += page.leaks
            if page.last is None:
                break
            after = page.last
        assert seen == expected
        assert LeakStore(snapshot).refused_leaks(expected[-1], 9).leaks == []


def test_what_a_ledger_never_writes_is_left_to_the_judge(tmp_path: Path) -> None:
    """Verification decides then, and it still accepts such a row."""
    ledger = open_sqlite(make_folder(tmp_path / "ledger"), Clock())
    with ledger.write() as transaction:
        rows = [put(transaction) for _ in range(3)]
        leak(transaction, rows)
        CredentialChanges(transaction).end_one(rows[2].key, State.RETIRED)
        transaction.append("retire", {"count": 1})
    ledger.close()
    edit(tmp_path / "ledger", f"UPDATE credential SET ended_at = {NOW} WHERE id = {rows[1].key}")
    ledger = open_sqlite(tmp_path / "ledger", Clock())
    with ledger.read() as snapshot:
        assert LeakStore(snapshot).refused_leaks(0, 9) == RefusedLeaks([3], [2], None)
        assert judged(snapshot) == [3]
    ledger.close()


@pytest.mark.parametrize("state", [state for state in State if state not in (State.ACTIVE, State.PENDING)])
def test_each_way_to_end_is_one(place: Place, state: State) -> None:
    with place.ledger.write() as transaction:
        row = put(transaction)
        leak(transaction, [row])
        CredentialChanges(transaction).end_one(row.key, state)
        transaction.append("revoke", {"count": 1})
    with place.ledger.read() as snapshot:
        assert LeakStore(snapshot).refused_leaks(0, 9) == RefusedLeaks([1], [], None)
