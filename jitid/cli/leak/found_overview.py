"""The summary of many found credentials at a terminal, and the command that revokes them."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from jitid.capabilities.leak.overview import MANY
from jitid.system import output
from jitid.values.text import safe

if TYPE_CHECKING:
    from jitid.capabilities.leak.overview import Overview
    from jitid.cli.invocation import Invocation


def is_summarised(cli: Invocation, count: int) -> bool:
    """Return whether credentials are summarised: many at a terminal, without a requested format or --verbose."""
    requested = cli.field or cli.format_name() is not None or cli.verbose
    return count > MANY and not requested and output.is_terminal()


def show_overview(cli: Invocation, overview: Overview, revoking: str | None) -> None:
    """Show the numbers of credentials, and the command that revokes them."""
    output.write_pieces(overview.text(colour=cli.coloured()))
    output.write("\n")
    if revoking is not None:
        of = "them" if overview.task is None else "all of the task"
        output.write(f"to revoke {of}: {cli.command(revoking)}\n")
    output.write("to list each credential: add --verbose, or --format tsv\n")


def operand(path: str | None) -> str:
    """Return the word for the searched file in a command; `FILE` for standard input."""
    if path is None or path == "-":
        return "FILE"
    return quote(path) if safe(path) == path and not path.startswith("-") else "FILE"
