"""`jitid ledger copy`: move a ledger to another place, and seal the source."""

from __future__ import annotations

import os
from shlex import quote as word
from typing import TYPE_CHECKING

from jitid.authority.open_local import place_text
from jitid.backup.transfer import CopyRequest, copy_ledger
from jitid.cli.invocation import Invocation
from jitid.values.text import safe

if TYPE_CHECKING:
    from jitid.cli.ledger import commands


def copy(cli: Invocation, args: commands.LedgerCopyCommand) -> None:
    """Perform `jitid ledger copy`."""
    config = cli.config()
    request = CopyRequest(args.to, args.issuer, args.keys)
    target = safe(place_text(args.to))
    copied_rows: dict[str, int] = {}

    def progress(table: str, rows: int) -> None:
        copied_rows[table] = copied_rows.get(table, 0) + rows
        if os.isatty(2) and not cli.quiet:
            os.write(2, f"\r\033[Kjitid: copying {table}: {copied_rows[table]}".encode())

    try:
        result = copy_ledger(config, request, progress, cli.note)
    finally:
        if copied_rows and os.isatty(2) and not cli.quiet:
            os.write(2, b"\r\033[K")
    counts = {copied_table.table: copied_table.rows for copied_table in result.tables}
    row_count = sum(counts.values()) if counts else None
    row = args.view.row(
        result,
        {
            "to": target,
            "credentials": counts.get("credential"),
            "rows": row_count,
            "head": result.head.hash.hex(),
        },
    )
    verified = (
        f", {row_count} rows; all agree, and the audit chain holds"
        if counts
        else "; the earlier attempt had compared them"
    )
    sentence = f"copied to {target}: {result.events} events{verified}\n"
    document = {**row, "tables": [copied_table._asdict() for copied_table in result.tables]}
    cli.show_record(args.view, row, sentence, document=document)
    cli.note(
        f"the source is sealed: it can be read, and refuses all else; use the copy: jitid --ledger {word(target)}"
    )
