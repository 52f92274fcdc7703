"""The summary of many found credentials at a terminal, and the command that revokes them."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from jitid.capabilities.leak.overview import MANY
from jitid.system import output
from jitid.values.field_types import FILE
from jitid.values.text import safe
from jitid.values.times import format_time

if TYPE_CHECKING:
    from jitid.capabilities.identity.revocation_result import Ended
    from jitid.capabilities.leak.overview import Overview
    from jitid.cli.invocation import Invocation
    from jitid.operation.base import Verb


def is_summarised(cli: Invocation, count: int) -> bool:
    """Return whether credentials are summarised: many at a terminal, without a requested format or --verbose."""
    requested = cli.field or cli.format_name() is not None or cli.verbose
    return count > MANY and not requested and output.is_terminal()


def show_overview(cli: Invocation, overview: Overview, revoking: str | None) -> None:
    """Show the numbers of credentials, and the command that revokes exactly these; if any is left to revoke.

    The whole task of the credentials may have more, so its command is another one.
    """
    output.write_pieces(overview.text(colour=cli.coloured()))
    output.write("\n")
    if revoking is not None:
        output.write(f"to revoke them: {cli.command(revoking)}\n")
        if overview.task is not None:
            whole = f"jitid revoke --task {quote(overview.task)} --dry-run"
            output.write(f"for all credentials of the task: {cli.command(whole)}\n")
    output.write("to list each credential: add --verbose, or --format tsv\n")


def revoking_line(cli: Invocation, args: Verb, foreseen: Ended | None) -> str:
    """Return this command line with --revoke: first as a dry run; after a dry run, with its number instead.

    All other options are repeated, so that the line has the effect that the dry run showed. A time is absolute.
    """
    words = ["jitid", args.verb]
    for name, field in args.fields.items():
        value = getattr(args, name)
        if name not in cli.stated or name in _REPLACED:
            continue
        if field.is_argument:
            words.append(operand(value))
        elif field.type is None:
            words.append(field.flags[0])
        else:
            text = format_time(value) if field.type.direction else str(value)
            words += [field.flags[0], operand(text) if field.type is FILE else quote(text)]
    if not any(
        each.is_argument or name == "from_" for name, each in args.fields.items() if name in cli.stated
    ):
        words.append(operand(None))
    words.append("--revoke")
    if foreseen is None:
        words.append("--dry-run")
    elif "yes" not in cli.stated:
        # --yes excludes --max.
        words.append(f"--max {foreseen.radius.credentials}")
    return " ".join(words)


_REPLACED = ("revoke", "dry_run", "max_")


def operand(path: str | None) -> str:
    """Return the word for the searched file in a command; `FILE` for standard input."""
    if path is None or path == "-":
        return "FILE"
    return quote(path) if safe(path) == path and not path.startswith("-") else "FILE"
