"""The audit log event by event, as the events are committed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from jitid.capabilities.audit.audit_log import LogFilter
from jitid.capabilities.integrity.operations import FollowLog
from jitid.errors import BusyError, IntegrityError
from jitid.operation.base import Authority
from jitid.system import time_limit

PAUSE = 0.5
"""Seconds between two reads of the log; a read takes a fraction of a millisecond."""
_FIRST = 10
"""Number of events at the start, if no option says where to start."""
_PAGE = 1_000


def follow(
    authority: Authority,
    check: Callable[[], None],
    wait: Callable[[float], None],
    log_filter: LogFilter,
    limit: int | None,
    *,
    start: bool,
    members: bool,
) -> Iterator[tuple[list[dict[str, Any]], int]]:
    """Yield the matching events in batches, each with the last event that was read; at most `limit` events.

    Start at the first match, or at the last ten. Wait for more events between the batches. `check` raises an error
    when the ledger is no longer there. `wait` waits for some seconds, and raises an error when the reader of the output
    is gone. Raises IntegrityError when the log has become shorter.
    """
    # The command waits for events until it is interrupted.
    time_limit.lift()
    remaining = limit
    read_last = not start
    last_event = 0
    while remaining is None or remaining > 0:
        size = min(_FIRST if read_last else _PAGE, _PAGE if remaining is None else remaining)
        try:
            check()
            page = authority.perform(
                FollowLog(chosen=log_filter, limit=size, last=read_last, members=members)
            )
        except BusyError:
            # Another process holds the ledger for a while.
            wait(PAUSE)
            continue
        if page.seen < last_event:
            raise IntegrityError(
                f"the audit log became shorter: it ended at event {last_event}, and now ends at event {page.seen}",
                "compare it with an export or a backup",
            )
        read_last = False
        last_event = page.seen
        log_filter = log_filter._replace(after=max(log_filter.after, last_event))
        yield page.events, last_event
        if remaining is not None:
            remaining -= len(page.events)
        if len(page.events) < size and remaining != 0:
            wait(PAUSE)
