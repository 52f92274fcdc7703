"""`jitid ledger copy`: move a ledger to another place, and seal the source."""

from __future__ import annotations

import os
from shlex import quote as word
from typing import TYPE_CHECKING

from jitid.authority.open_local import place_text
from jitid.backup.transfer import CopyRequest, copy_ledger
from jitid.cli.invocation import Invocation
from jitid.errors import UsageError
from jitid.formats.display import Display
from jitid.system import output
from jitid.values.names import check_issuer
from jitid.values.text import safe

if TYPE_CHECKING:
    from jitid.cli.ledger import commands

COPIED = ("to", "events", "credentials", "rows", "head", "event", "resumed")

_LONGEST = 1024
"""Maximum number of characters in the place of a copy; every path and address is shorter."""


def copy(cli: Invocation, args: commands.LedgerCopyCommand) -> None:
    """Perform `jitid ledger copy`."""
    cli.expect(COPIED)
    if args.to is None:
        raise UsageError("a copy needs a place; nothing was copied", "say where it is to be: --to URL")
    if len(args.to) > _LONGEST:
        raise UsageError(f"the place of the copy is longer than {_LONGEST} characters; nothing was copied")
    config = cli.config()
    request = CopyRequest(args.to, None if args.issuer is None else check_issuer(args.issuer), args.keys)
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
    row = {
        "to": target,
        "events": result.events,
        "credentials": counts.get("credential"),
        "rows": sum(counts.values()) if counts else None,
        "head": result.head.hash.hex(),
        "event": result.event,
        "resumed": result.resumed,
    }
    if cli.field is not None or cli.format_name() is not None:
        document = {**row, "tables": [copied_table._asdict() for copied_table in result.tables]}
        cli.show(Display("jitid.ledger-copy/1", COPIED, [row], one=True, document=document))
    else:
        output.write(
            f"copied to {target}: {result.events} events, {row['rows']} rows; all agree, and the audit chain holds\n"
            if counts
            else f"copied to {target}: {result.events} events; the earlier attempt had compared them\n"
        )
    cli.note(
        f"the source is sealed: it can be read, and refuses all else; use the copy: jitid --ledger {word(target)}"
    )
