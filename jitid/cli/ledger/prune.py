"""`jitid prune`: delete expired records past their retention period."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from jitid.authority.open import open_authority
from jitid.capabilities.integrity.operations import CutLog, Prune
from jitid.cli.invocation import Invocation
from jitid.errors import UsageError
from jitid.formats.cell import counted
from jitid.values.text import safe
from jitid.values.times import format_time

if TYPE_CHECKING:
    from jitid.capabilities.integrity.cut import Cut
    from jitid.capabilities.integrity.retention import Pruning
    from jitid.cli.ledger import commands
    from jitid.operation.base import Authority

_MANY = 100_000
"""Number of deleted rows from which a note says that the file does not shrink by itself."""


def prune(cli: Invocation, args: commands.PruneCommand) -> None:
    """Perform `jitid prune`."""
    config = cli.config()
    rows_seconds = config.number("retain_rows") if args.rows_after is None else args.rows_after
    evidence_seconds = (
        config.number("retain_evidence") if args.evidence_after is None else args.evidence_after
    )
    if args.export is None and args.evidence_after is not None:
        raise UsageError(
            "audit events are cut only once they are exported; nothing was changed",
            "say where to: --export DIR",
        )
    authority = open_authority(config)
    if args.export is not None and config.remote is not None:
        raise UsageError(
            "audit events are exported and cut on the machine of the ledger; nothing was changed",
            "run it there, or leave --export out",
        )
    # Leaks are evidence: they are deleted together with their events.
    leaks_seconds = None if args.export is None else max(evidence_seconds, rows_seconds)
    operation = Prune(
        rows_after=rows_seconds,
        leaks_after=leaks_seconds,
        dry_run=args.dry_run,
        accept_clock=cli.accept_clock,
    )
    pruning = authority.perform(operation)
    pruning = _finish(cli, authority, pruning)
    cut = None
    if args.export is not None:
        folder = os.path.abspath(args.export)
        cut = authority.perform(
            CutLog(
                evidence_after=evidence_seconds,
                folder=folder,
                dry_run=args.dry_run,
                accept_clock=cli.accept_clock,
            )
        )
    _report(cli, args, pruning, cut)
    count = sum(pruning.rows.values())
    if pruning.event is not None and count >= _MANY and config.remote is None and "://" not in config.ledger:
        cli.note("the ledger's file has room for others now; it gets smaller by: jitid ledger vacuum")


def _report(cli: Invocation, args: commands.PruneCommand, pruning: Pruning, cut: Cut | None) -> None:
    sentences = _sentence(pruning, dry_run=args.dry_run) + "\n"
    if cut is not None:
        sentences += _cut(cut, dry_run=args.dry_run) + "\n"
    row = args.view.row(
        pruning,
        {
            "before": format_time(pruning.before),
            "identities": pruning.rows.get("identities", 0),
            "credentials": pruning.rows.get("credentials", 0),
            "rows": sum(pruning.rows.values()),
            "dry_run": args.dry_run,
            "evidence_before": cut and cut.before,
            "exported": cut and cut.exported,
            "kept": cut and cut.kept,
            "cut_event": cut and cut.event,
            "file": cut and cut.file,
        },
    )
    cli.show_record(args.view, row, sentences, document={**row, "tables": dict(pruning.rows)})


def _cut(cut: Cut, *, dry_run: bool) -> str:
    before = format_time(cut.before)
    if not cut.exported:
        return f"there are no audit events from before {before} that were not cut"
    events = f"{counted(cut.exported, 'audit event')} from before {before}, up to {cut.through}"
    kept_text = f"{cut.kept} up to there stay, since rows remember them or they tell what the ledger is"
    if dry_run:
        return f"would export and cut {events}; {kept_text}; nothing was changed"
    return (
        f"exported {events}, to {safe(cut.file or '')}, and cut them (audit event {cut.event}); {kept_text}"
    )


def _finish(cli: Invocation, authority: Authority, pruning: Pruning) -> Pruning:
    """Delete the remaining rows of pruned identities, until none can be deleted any more."""
    visible = os.isatty(2) and not cli.quiet
    last_left = None
    while pruning.left and pruning.left != last_left:
        last_left = pruning.left
        if visible:
            os.write(2, f"\r\033[Kjitid: deleting the rows of {last_left} identities".encode())
        pruning = pruning._replace(left=authority.perform(Prune(rows_after=None)).left)
    if last_left is not None and visible:
        os.write(2, b"\r\033[K")
    return pruning


def _sentence(pruning: Pruning, *, dry_run: bool) -> str:
    before = format_time(pruning.before)
    identities = counted(pruning.rows.get("identities", 0), "identity", "identities")
    credentials = counted(pruning.rows.get("credentials", 0), "credential")
    deleted = f"{credentials} of {identities} that had ended before {before}"
    others = [
        f"{count} of `{table}`"
        for table, count in pruning.rows.items()
        if count and table not in ("credentials", "identities")
    ]
    if others:
        deleted += f", with rows of theirs and others' ({', '.join(others)})"
    if dry_run:
        return f"would let go of {deleted}; nothing was changed"
    if pruning.event is not None:
        return f"let go of {deleted} (audit event {pruning.event})"
    if pruning.left:
        remaining = counted(pruning.left, "identity", "identities")
        return f"nothing more had ended before {before}; {remaining} that leaked meanwhile stay"
    return f"nothing had ended before {before} that has not gone"
