"""`jitid prune`: let go of what has been over for long enough."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from jitid.authority.operations import Prune
from jitid.commands import rows
from jitid.commands.globals import Globals
from jitid.environment import open_authority
from jitid.formats import output
from jitid.formats.view import View
from jitid.lifetime import format_time, parse_duration

if TYPE_CHECKING:
    from jitid.authority.protocol import Authority
    from jitid.commands import options
    from jitid.retention import Pruning

PRUNED = ("before", "identities", "credentials", "rows", "event", "left", "dry_run")

_MANY = 100_000
"""From so many rows on it is worth telling that the file does not get smaller by itself."""


def prune(
    given: Globals,
    rows_after: options.RowsAfter = None,
    dry_run: options.DryRun = False,
) -> None:
    """Let go of what has been over for long enough.

    Rows of identities go whose credentials have ended and expired before --rows-after (30d unless configured), with all
    that descends from them. What leaked stays, and so do tasks, whose names are never used again, and the audit log.
    The log and the rows are checked before. If it is broken off, the same command goes on with it.
    """
    given.expect(PRUNED)
    config = given.config()
    after = config.number("retain_rows") if rows_after is None else parse_duration(rows_after)
    authority = open_authority(config)
    done = authority.perform(Prune(rows_after=after, dry_run=dry_run, accept_clock=given.accept_clock))
    done = _finish(given, authority, done)
    count = sum(done.rows.values())
    row = {
        "before": rows.time(done.before),
        "identities": done.rows.get("identities", 0),
        "credentials": done.rows.get("credentials", 0),
        "rows": count,
        "event": done.event,
        "left": done.left,
        "dry_run": dry_run,
    }
    if given.field is not None or given.format_name() is not None:
        document = {**row, "tables": dict(done.rows)}
        given.show(View("jitid.prune/1", PRUNED, [row], one=True, document=document))
    else:
        output.write(_sentence(done, row) + "\n")
    if done.event is not None and count >= _MANY and config.remote is None and "://" not in config.ledger:
        given.note("the ledger's file has room for others now; it gets smaller by: jitid ledger vacuum")


def _finish(given: Globals, authority: Authority, done: Pruning) -> Pruning:
    """Let the rows of what has gone be deleted until none is left that can be."""
    shown = os.isatty(2) and not given.quiet
    left = None
    while done.left and done.left != left:
        left = done.left
        if shown:
            os.write(2, f"\r\033[Kjitid: deleting the rows of {left} identities".encode())
        done = done._replace(left=authority.perform(Prune(rows_after=None)).left)
    if left is not None and shown:
        os.write(2, b"\r\033[K")
    return done


def _sentence(done: Pruning, row: dict[str, Any]) -> str:
    what = f"{row['credentials']} credentials of {row['identities']} identities that had ended before "
    what += format_time(done.before)
    told = ", ".join(f"{number} of {table}" for table, number in done.rows.items() if number)
    if row["dry_run"]:
        return f"would let go of {what}{f' ({told})' if told else ''}; nothing was changed"
    if done.event is None and not done.left:
        return f"nothing had ended before {format_time(done.before)} that has not gone"
    if done.event is None:
        return f"nothing more had ended before {format_time(done.before)}"
    return f"let go of {what} ({told}; audit event {done.event})"
