"""`jitid audit log --follow`: events as they are committed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from jitid.capabilities.audit.audit_log import LogFilter
from jitid.capabilities.integrity.operations import FollowLog
from jitid.errors import BusyError, IntegrityError
from jitid.operation.authority import Authority
from jitid.system import output, time_limit

PAUSE = 0.5
"""Seconds between two looks at the log: one costs a fraction of a millisecond."""

_FIRST = 10
"""So many events are shown at the start, when nothing says where to start."""

_PAGE = 1_000


def follow(
    authority: Authority,
    check: Callable[[], None],
    chosen: LogFilter,
    limit: int | None,
    *,
    start: bool,
    members: bool,
) -> Iterator[tuple[list[dict[str, Any]], int]]:
    """Yield the events that match, in batches, and the last event looked at for each; at most `limit` events.

    It begins at the start of what `chosen` has, or with the last ten of it. Between the batches it waits for more.
    `check` raises when the ledger is no longer there. Raises OutputError when nobody reads any longer.
    """
    # It waits for events until it is ended.
    time_limit.lift()
    left = limit
    last = not start
    seen = 0
    while left is None or left > 0:
        size = min(_FIRST if last else _PAGE, _PAGE if left is None else left)
        try:
            check()
            page = authority.perform(FollowLog(chosen=chosen, limit=size, last=last, members=members))
        except BusyError:
            # Somebody has the ledger for himself for a while.
            output.wait(PAUSE)
            continue
        if page.seen < seen:
            raise IntegrityError(
                f"the audit log ended at event {seen}, and now it ends at event {page.seen}",
                "compare it with an export or a backup",
            )
        last = False
        seen = page.seen
        chosen = chosen._replace(after=max(chosen.after, seen))
        yield page.events, seen
        if left is not None:
            left -= len(page.events)
        if len(page.events) < size and left != 0:
            output.wait(PAUSE)
