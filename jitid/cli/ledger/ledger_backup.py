"""`jitid ledger backup` and `ledger restore`: a consistent copy with a manifest, and its restoration."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jitid.backup import destination
from jitid.backup import restore as restoration
from jitid.backup.destination import OUT
from jitid.backup.take_backup import BackupProgress
from jitid.cli import read_input
from jitid.cli.invocation import Invocation
from jitid.errors import IntegrityError, OutputError, UsageError
from jitid.formats.display import Display
from jitid.redaction.token_format import MAX_TOKEN, bare
from jitid.system import output
from jitid.system.files import read_regular
from jitid.values.text import quote, safe
from jitid.values.times import format_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jitid.backup.destination import MadeBackup
    from jitid.backup.restore import RestoredLedger
    from jitid.cli.ledger import commands

BACKED_UP = ("backup", "ledger", "events", "head", "made_at", "size", "keys", "verified")
RESTORED = (
    "path",
    "ledger",
    "made_at",
    "events",
    "lost",
    "kept",
    "ended",
    "tasks",
    "access",
    "revoked",
    "retired",
    "trusted",
    "replaced",
    "event",
)


def backup(cli: Invocation, args: commands.LedgerBackupCommand) -> None:
    """Perform `jitid ledger backup`."""
    cli.expect(BACKED_UP)
    must_be_a_path(args.to)
    stream = args.to == OUT
    if stream:
        cli.expect_own_form()
        if output.is_terminal():
            raise UsageError("a backup is no text for a terminal", "jitid ledger backup - > FILE")
    display = ProgressDisplay(cli)
    try:
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
    finally:
        display.end()
    if not stream:
        _report(cli, made_backup)
    if args.keys:
        cli.note("the backup holds private keys: whoever has them signs in the name of this ledger")
    else:
        cli.note(
            "the private keys are not in it: a ledger that is restored from it makes new ones, unless it takes over "
            "those of the ledger that it replaces; --keys takes them along"
        )


def _report(cli: Invocation, made_backup: MadeBackup) -> None:
    manifest = made_backup.manifest
    row = {
        "backup": made_backup.place,
        "ledger": manifest.ledger,
        "events": manifest.events,
        "head": manifest.head,
        "made_at": format_time(manifest.at),
        "size": made_backup.size,
        "keys": len(manifest.keys),
        "verified": manifest.verified,
    }
    if cli.field is not None or cli.format_name() is not None:
        cli.show(Display("jitid.ledger-backup/1", BACKED_UP, [row], one=True))
        return
    verification = "verified" if manifest.verified else "not verified"
    output.write(
        f"backed up to {safe(made_backup.place)}: {manifest.events} events, {made_backup.size} bytes; {verification}\n"
    )


def restore(cli: Invocation, args: commands.LedgerRestoreCommand) -> None:
    """Perform `jitid ledger restore`."""
    cli.expect(RESTORED)
    must_be_a_path(args.from_)
    expected = None if args.expect_head is None else _head(args.expect_head)
    display = ProgressDisplay(cli)
    try:
        with backup_hint():
            restored_ledger = restoration.restore(
                cli.config(),
                args.from_,
                replace=args.replace,
                keep=args.keep_live,
                expect=expected,
                accept_clock=cli.accept_clock,
                progress=display.stage,
                standard_input=read_input.file_of(0) if args.from_ == OUT else None,
            )
    finally:
        display.end()
    _report_restored(cli, restored_ledger)


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


def _report_restored(cli: Invocation, restored_ledger: RestoredLedger) -> None:
    restored = restored_ledger.restored
    row: dict[str, Any] = {
        "path": restored_ledger.path,
        "ledger": restored_ledger.manifest.ledger,
        "made_at": format_time(restored_ledger.manifest.at),
        "events": restored_ledger.manifest.events,
        "lost": restored_ledger.lost,
        "kept": restored.kept,
        "ended": restored.credentials,
        "tasks": restored.tasks,
        "access": restored.access,
        "revoked": restored.revoked,
        "retired": restored.retired,
        "trusted": restored.trusted,
        "replaced": restored_ledger.replaced,
        "event": restored.event,
    }
    if cli.field is not None or cli.format_name() is not None:
        cli.show(Display("jitid.ledger-restore/1", RESTORED, [row], one=True))
    else:
        output.write("\n".join(_sentences(restored_ledger)) + "\n")
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


def must_be_a_path(text: str) -> None:
    """Raise UsageError for a text that cannot be the path of a backup."""
    if not text.strip() or len(text) > _LONGEST or "\0" in text:
        raise UsageError("that is no path of a backup; nothing was done")


_LONGEST = 4_096


class ProgressDisplay:
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
