"""`jitid ledger backup`, `restore` and `vacuum`: a consistent copy and its restoration; the space of deleted rows."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jitid.backup import destination
from jitid.backup import restore as restoration
from jitid.backup.destination import OUT
from jitid.backup.take_backup import BackupProgress
from jitid.cli import read_input
from jitid.cli.invocation import Invocation
from jitid.cli.ledger import commands
from jitid.errors import IntegrityError, OutputError, UsageError
from jitid.redaction.token_format import MAX_TOKEN, bare
from jitid.system import output
from jitid.system.files import read_regular
from jitid.values.text import quote, safe
from jitid.values.times import format_time

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

    from jitid.backup.restore import RestoredLedger


def backup(cli: Invocation, args: commands.LedgerBackupCommand) -> None:
    """Perform `jitid ledger backup`."""
    stream = args.to == OUT
    if stream:
        cli.expect_own_form()
        if output.is_terminal():
            raise UsageError("a backup is no text for a terminal", "jitid ledger backup - > FILE")
    try:
        with stages(cli) as display:
            made_backup = destination.back_up(
                cli.config(),
                args.to,
                keys=args.keys,
                verify=not args.no_verify,
                progress=BackupProgress(display.pages, display.stage),
                write=output.write_bytes,
            )
    except OutputError as error:
        if error.standard:
            error.add("no backup was made")
        raise
    manifest = made_backup.manifest
    if not stream:
        sentence = (
            f"backed up to {safe(made_backup.place)}: {manifest.events} events, {made_backup.size} bytes; "
            f"{'verified' if manifest.verified else 'not verified'}\n"
        )
        cli.show_record(args.view, made_backup, sentence, {"keys": len(manifest.keys)})
    if args.keys:
        cli.note("the backup holds private keys: whoever has them signs in the name of this ledger")
    else:
        cli.note(
            "the private keys are not in it: a ledger that is restored from it makes new ones, unless it takes over "
            "those of the ledger that it replaces; --keys takes them along"
        )


def restore(cli: Invocation, args: commands.LedgerRestoreCommand) -> None:
    """Perform `jitid ledger restore`."""
    expected = None if args.expect_head is None else _head(args.expect_head)
    with stages(cli) as display, backup_hint():
        restored_ledger = restoration.restore(
            cli.config(),
            args.from_,
            replace=args.replace,
            keep=args.keep_live,
            expect=expected,
            accept_clock=cli.accept_clock,
            progress=display.stage,
            standard_input=standard_input(args.from_),
        )
    cli.show_record(args.view, restored_ledger, "\n".join(_sentences(restored_ledger)) + "\n")
    _note_consequences(cli, restored_ledger)


@contextmanager
def backup_hint() -> Iterator[None]:
    """Add the next step to the error for a damaged backup, if it has no hint."""
    try:
        yield
    except IntegrityError as error:
        error.hint = (
            error.hint or "nothing was restored; copy it again from where it is kept, or take another"
        )
        raise


def _head(path: str) -> str:
    try:
        return bare(read_regular(path, MAX_TOKEN).decode("utf-8", "replace"))
    except OSError as error:
        raise UsageError(
            f"the signed head cannot be read from {quote(path, 200)}: {(error.strerror or 'error').lower()}"
        ) from error


def _note_consequences(cli: Invocation, restored_ledger: RestoredLedger) -> None:
    restored = restored_ledger.restored
    if restored_ledger.replaced is not None:
        cli.note(
            f"what was there before is in {restored_ledger.replaced}, with its keys: remove it once it is of no use"
        )
    if restored.trusted and not restored_ledger.newest:
        cli.note(
            f"certificates of {', '.join(restored.trusted)} are trusted as before: "
            "if one of these was revoked since, do so again with `jitid keys revoke`"
        )
    if not restored.kept:
        cli.note(
            "who was disabled or suspended since is enabled again, and what was reported as leaked since is "
            "forgotten: see `jitid delegator list` and `jitid agent list`"
        )
    if restored.access:
        cli.note("nobody may ask an authority over it before that is granted anew: jitid access grant")


def _sentences(restored_ledger: RestoredLedger) -> list[str]:
    restored = restored_ledger.restored
    lines = [
        (
            f"restored to {safe(restored_ledger.path)}: {restored_ledger.manifest.events} events, "
            f"as it was at {format_time(restored_ledger.manifest.at)}"
        )
    ]
    if restored_ledger.lost:
        events = "1 event is" if restored_ledger.lost == 1 else f"{restored_ledger.lost} events are"
        lines.append(f"{events} known to be lost")
    if restored.kept:
        reason = ": nothing has happened since" if restored_ledger.newest else ""
        lines.append(f"what lived in it goes on living{reason}")
    else:
        counts = (
            (restored.credentials, "credential"),
            (restored.tasks, "task"),
            (restored.access, "bearer of access"),
            (len(restored.revoked), "signing key"),
        )
        lines.append(
            f"ended {', '.join(_number(*count_and_noun) for count_and_noun in counts)}, "
            "since nobody can tell what was ended after the backup was made"
        )
    return lines


def _number(count: int, noun: str) -> str:
    first, space, rest = noun.partition(" ")
    return f"{count} {noun if count == 1 else f'{first}s{space}{rest}'}"


def vacuum(cli: Invocation) -> None:
    """Perform `jitid ledger vacuum`."""
    from jitid.doctor import upkeep

    with stages(cli) as display:
        result = upkeep.vacuum(cli.config(), display.stage)
    sentence = f"{result.before} bytes before, {result.after} after\n"
    saved = {"saved": result.before - result.after}
    cli.show_record(commands.LedgerVacuumCommand.view, result, sentence, saved)
    if result.log_left:
        cli.note("somebody was reading an old state: what that held back goes as soon as nobody does")


def standard_input(path: str) -> IO[bytes] | None:
    """Return standard input if a backup is read from there."""
    return read_input.file_of(0) if path == OUT else None


@contextmanager
def stages(cli: Invocation) -> Iterator[_ProgressDisplay]:
    """Show the progress at a terminal until the work ends."""
    display = _ProgressDisplay(cli)
    try:
        yield display
    finally:
        display.end()


class _ProgressDisplay:
    """Display of the progress at a terminal."""

    def __init__(self, cli: Invocation) -> None:
        self._shown = os.isatty(2) and not cli.quiet
        self._written = False
        self._percent = -1

    def pages(self, copied: int, all_: int) -> None:
        """Show the percentage of copied pages."""
        percent = 100 * copied // max(all_, 1)
        if percent != self._percent:
            self._percent = percent
            self.stage(f"copying {percent} %")

    def stage(self, text: str) -> None:
        """Show the stage that begins."""
        if self._shown:
            self._written = True
            os.write(2, f"\r\033[Kjitid: {text}".encode())

    def end(self) -> None:
        """Erase the line."""
        if self._written:
            os.write(2, b"\r\033[K")
