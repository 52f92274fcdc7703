"""Letting go of what is over: rows of the dead that nobody can need any more."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from jitid.capabilities.integrity import verify_log
from jitid.capabilities.integrity.prune_store import ChosenRows, PruneChanges, PruneStore
from jitid.errors import ConflictError, UsageError
from jitid.ledger.contract import Ledger
from jitid.ledger.pruned import Pruned
from jitid.values.times import format_duration

LEAST = 3_600
"""Seconds for which rows of the dead are kept at least: clocks differ, and what just ended is what is asked about."""

_AT_ONCE = 20_000
"""So many identities go in one transaction: other writers wait for no longer than it takes."""
_TRIES = 3


class Pruning(NamedTuple):
    """What went, or would go."""

    before: int
    """What had ended, and had expired, before this time; seconds since the epoch."""
    rows: Mapping[str, int]
    """How many rows, by their tables."""
    event: int | None
    """The audit event that tells of it; None if nothing went."""
    left: int
    """Of how many identities that have gone the rows are still to be deleted."""


class _Prunable(NamedTuple):
    """What may go, as one view of the ledger has it."""

    last: Pruned | None
    before: int
    through: int
    leaks: int
    rows: Mapping[str, int]
    chosen: ChosenRows | None
    """Those that have not gone yet; None if there are none, or nothing is to be changed."""
    facts: Mapping[str, Any]
    """What the audit event says."""


def prune(
    ledger: Ledger,
    *,
    rows_after: int | None,
    leaks_after: int | None = None,
    seconds: int,
    dry_run: bool,
    accept_clock: bool = False,
) -> Pruning:
    """Let go of the rows of whatever has been dead and expired for long enough, with all that descends from it.

    The log is checked before: what was changed behind the ledger's back must not go unseen because of this. What goes
    is told by one audit event; its rows are deleted after that, a few at a time, for at most so many `seconds`. What is
    left then goes with the next call.

    Args:
        ledger: what is pruned.
        rows_after: for how many seconds rows of the dead are kept; None to go on with what has gone already.
        leaks_after: what leaked goes too, once its leaks were closed and proved refused for this long; None: never.
        seconds: after how many seconds of deleting to return.
        dry_run: to change nothing, and tell what would go.
        accept_clock: as of a write transaction.

    Raises:
        IntegrityError: the log does not hold, or the rows are not as it says; nothing was changed.
        UsageError: rows are to go too soon.

    """
    if rows_after is None:
        return _go_on(ledger, seconds, accept_clock=accept_clock)
    if rows_after < LEAST:
        raise UsageError(
            f"rows of the dead are kept for {format_duration(LEAST)} at least; nothing was changed",
            "choose a longer time: --rows-after 30d",
        )
    if leaks_after is not None and leaks_after < max(LEAST, rows_after):
        raise UsageError("what leaked is kept for as long as other rows at least; nothing was changed")
    for attempt in range(_TRIES):
        found = _find(ledger, rows_after, leaks_after, dry_run=dry_run)
        if found.chosen is None:
            event = None
            break
        try:
            event = _condemn(ledger, found, found.chosen, accept_clock=accept_clock)
        except ConflictError:
            if attempt + 1 == _TRIES:
                raise
        else:
            break
    left = 0 if dry_run else _delete(ledger, time.monotonic() + seconds, accept_clock=accept_clock)
    return Pruning(found.before, found.rows, event, left)


def _go_on(ledger: Ledger, seconds: int, *, accept_clock: bool) -> Pruning:
    with ledger.read() as snapshot:
        last = PruneStore(snapshot).last()
    left = _delete(ledger, time.monotonic() + seconds, accept_clock=accept_clock)
    return Pruning(0 if last is None else last.before, {}, None, left)


def _find(ledger: Ledger, rows_after: int, leaks_after: int | None, *, dry_run: bool) -> _Prunable:
    """Find what may go."""
    with ledger.read() as snapshot:
        if not dry_run:
            verify_log.verify(snapshot, ledger.names, None)
        snapshot = snapshot.afresh()
        retention, through = PruneStore(snapshot), snapshot.settled()
        last = retention.last()
        before = snapshot.now - rows_after
        leaks = 0 if leaks_after is None else snapshot.now - leaks_after
        if last is not None:
            # What has gone does not come back because rows are kept for longer now.
            before, leaks = max(before, last.before), max(leaks, last.leaks)
            through = max(through, last.through)
        rows = retention.find(before, through, leaks)
        chosen = retention.chosen()
        if dry_run or not (chosen.identities or chosen.approvals or rows["action"]):
            return _Prunable(last, before, through, leaks, rows, None, {})
        facts = {
            "before": before,
            "through": through,
            "leaks": leaks,
            "rows": {table: number for table, number in rows.items() if number},
            "gone": retention.gone(),
            "left": dict(retention.remains(before, through, leaks)),
        }
        return _Prunable(last, before, through, leaks, rows, chosen, facts)


def _condemn(ledger: Ledger, found: _Prunable, chosen: ChosenRows, *, accept_clock: bool) -> int:
    with ledger.write(accept_clock=accept_clock) as transaction:
        transaction.alone()
        now = Pruned(transaction.next_seq(), found.before, found.through, found.leaks)
        PruneChanges(transaction).condemn(found.last, now, chosen)
        return transaction.append("prune", found.facts).seq


def _delete(ledger: Ledger, until: float, *, accept_clock: bool) -> int:
    """Delete rows of what has gone until that time of the monotonic clock; return of how many they are left."""
    removed, after = 0, None
    while True:
        with ledger.write(accept_clock=accept_clock) as transaction:
            number, after = PruneChanges(transaction).remove(_AT_ONCE, after)
        removed += number
        if after is None:
            with ledger.read() as snapshot:
                left = PruneStore(snapshot).condemned()
            # Where others write side by side, what descends from something may have come before it.
            if not left or not removed or time.monotonic() >= until:
                return left
            removed = 0
        elif time.monotonic() >= until:
            with ledger.read() as snapshot:
                return PruneStore(snapshot).condemned()
