"""Pruning: delete rows of ended credentials that are no longer needed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from jitid.capabilities.integrity import verify_log
from jitid.capabilities.integrity.prune_store import ChosenRows, PruneChanges, PruneStore
from jitid.errors import ConflictError, UsageError
from jitid.ledger.contract import Ledger
from jitid.ledger.expiry import Pruned
from jitid.values.record import Record
from jitid.values.times import format_duration

LEAST = 3_600
"""Minimum seconds for which rows of ended credentials are kept: clocks differ, and recent ends are queried most."""

_AT_ONCE = 20_000
"""Number of identities that one transaction deletes: other writers wait for at most that time."""
_TRIES = 3


class Pruning(Record):
    """The result of a pruning, or of a dry run."""

    before: int
    """The time before which pruned rows had ended and expired, in seconds since the epoch."""
    rows: Mapping[str, int]
    """Number of rows, by table."""
    event: int | None
    """The audit event that records the pruning; None if no row was pruned."""
    left: int
    """Number of condemned identities with rows that are not deleted yet."""


class _Prunable(Record):
    """The rows that may go, in one view of the ledger."""

    last: Pruned | None
    pruning: Pruned
    """The bounds of this pruning, without its event."""
    rows: Mapping[str, int]
    chosen: ChosenRows | None
    """The rows that are not condemned yet; None if there are none, or in a dry run."""
    facts: Mapping[str, Any]
    """The facts of the audit event."""


def prune(
    ledger: Ledger,
    *,
    rows_after: int | None,
    leaks_after: int | None = None,
    seconds: int,
    dry_run: bool,
    accept_clock: bool = False,
) -> Pruning:
    """Delete the rows of credentials that ended and expired long enough ago, with all their descendants.

    The log is verified first: a pruning must not hide changes that were made outside of jitid. One audit event records
    the pruned rows. They are deleted after that, in batches, for at most `seconds`. The next call deletes the rest.

    Args:
        ledger: the ledger.
        rows_after: the seconds for which rows of ended credentials are kept; None only continues an earlier pruning.
        leaks_after: leaks go too, once they were closed and proved refused for this number of seconds; None: never.
        seconds: the seconds of deletion after which the call returns.
        dry_run: whether to change nothing and only return the result.
        accept_clock: as in a write transaction.

    Raises:
        IntegrityError: the log is invalid, or rows disagree with it; nothing was changed.
        ConflictError: other processes changed the rows in each of several attempts; nothing was changed.
        UsageError: `rows_after` or `leaks_after` is too short.

    """
    if rows_after is None:
        return _go_on(ledger, seconds, accept_clock=accept_clock)
    if rows_after < LEAST:
        raise UsageError(
            f"--rows-after must be at least {format_duration(LEAST)}; nothing was changed",
            "for example: --rows-after 30d",
        )
    if leaks_after is not None and leaks_after < max(LEAST, rows_after):
        raise UsageError("`leaks_after` must be at least `rows_after`; nothing was changed")
    for attempt in range(_TRIES):
        prunable = _find(ledger, rows_after, leaks_after, dry_run=dry_run)
        if prunable.chosen is None:
            event = None
            break
        try:
            event = _condemn(ledger, prunable, prunable.chosen, accept_clock=accept_clock)
        except ConflictError:
            if attempt + 1 == _TRIES:
                raise
        else:
            break
    remaining = 0 if dry_run else _delete(ledger, time.monotonic() + seconds, accept_clock=accept_clock)
    return Pruning(prunable.pruning.before, prunable.rows, event, remaining)


def _go_on(ledger: Ledger, seconds: int, *, accept_clock: bool) -> Pruning:
    with ledger.read() as snapshot:
        last_pruning = PruneStore(snapshot).last()
    remaining = _delete(ledger, time.monotonic() + seconds, accept_clock=accept_clock)
    return Pruning(0 if last_pruning is None else last_pruning.before, {}, None, remaining)


def _find(ledger: Ledger, rows_after: int, leaks_after: int | None, *, dry_run: bool) -> _Prunable:
    """Find the rows that may go."""
    with ledger.read() as snapshot:
        if not dry_run:
            verify_log.verify(snapshot, ledger.names, None)
        snapshot = snapshot.afresh()
        retention, through = PruneStore(snapshot), snapshot.settled()
        last_pruning = retention.last()
        before = snapshot.now - rows_after
        leaks = 0 if leaks_after is None else snapshot.now - leaks_after
        if last_pruning is not None:
            # A longer retention period now does not bring condemned rows back.
            before, leaks = max(before, last_pruning.before), max(leaks, last_pruning.leaks)
            through = max(through, last_pruning.through)
        pruning = Pruned(0, before, through, leaks)
        rows = retention.find(before, through, leaks)
        chosen = retention.chosen()
        if dry_run or not (chosen.identities or chosen.approvals or rows["action"]):
            return _Prunable(last_pruning, pruning, rows, None, {})
        facts = {
            "before": before,
            "through": through,
            "leaks": leaks,
            "rows": {table: count for table, count in rows.items() if count},
            "gone": retention.credentials_digest(),
            "left": dict(retention.remains(before, through, leaks)),
        }
        return _Prunable(last_pruning, pruning, rows, chosen, facts)


def _condemn(ledger: Ledger, prunable: _Prunable, chosen: ChosenRows, *, accept_clock: bool) -> int:
    with ledger.write(accept_clock=accept_clock) as transaction:
        transaction.alone()
        pruning = prunable.pruning._replace(event=transaction.next_seq())
        PruneChanges(transaction).condemn(prunable.last, pruning, chosen)
        return transaction.append("prune", prunable.facts).seq


def _delete(ledger: Ledger, deadline: float, *, accept_clock: bool) -> int:
    """Delete condemned rows until that time of the monotonic clock; return the number of identities left."""
    removed, after = 0, None
    while True:
        with ledger.write(accept_clock=accept_clock) as transaction:
            count, after = PruneChanges(transaction).remove(_AT_ONCE, after)
        removed += count
        if after is None:
            with ledger.read() as snapshot:
                remaining = PruneStore(snapshot).condemned()
            # With several writers, a descendant may have a lower number than its ancestor: another round is needed.
            if not remaining or not removed or time.monotonic() >= deadline:
                return remaining
            removed = 0
        elif time.monotonic() >= deadline:
            with ledger.read() as snapshot:
                return PruneStore(snapshot).condemned()
