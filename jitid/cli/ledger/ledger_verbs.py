"""`jitid ledger backup`, `restore`, `vacuum`, `copy` and `issuer`: the care of a whole ledger.

And `jitid ledger prune`: delete expired records past their retention period.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from shlex import quote as word
from typing import TYPE_CHECKING, Any

from jitid.authority.open import open_authority
from jitid.authority.open_local import must_be_local, open_local, place_text
from jitid.backup import restore as restoration
from jitid.backup import take_backup
from jitid.backup.take_backup import OUT, BackupProgress
from jitid.backup.transfer import CopyRequest, copy_ledger
from jitid.capabilities.integrity.operations import CutLog, Prune
from jitid.cli.input_lines import confirm
from jitid.cli.invocation import Invocation
from jitid.cli.ledger import commands
from jitid.cli.progress import performed
from jitid.errors import IntegrityError, OutputError, UsageError
from jitid.formats.cell import counted
from jitid.redaction.token_format import MAX_TOKEN, bare
from jitid.system import output
from jitid.system.files import read_regular
from jitid.system.read_input import file_of
from jitid.values.text import quote, safe
from jitid.values.times import format_time

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

    from jitid.backup.restore import RestoredLedger
    from jitid.capabilities.integrity.cut import Cut
    from jitid.capabilities.integrity.retention import Pruning
    from jitid.capabilities.trust.own_issuer import Naming
    from jitid.operation.base import Authority


def backup(cli: Invocation, args: commands.LedgerBackupCommand) -> None:
    """Perform `jitid ledger backup`."""
    stream = args.to == OUT
    if stream:
        cli.expect_own_form()
        if output.is_terminal():
            raise UsageError(
                "a backup is binary: not written to a terminal",
                "to write a file: jitid ledger backup - > FILE",
            )
    try:
        with stages(cli) as display:
            made_backup = take_backup.back_up(
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
        cli.note("the backup contains private keys: a reader of the backup can sign as this ledger")
    else:
        cli.note(
            "the backup has no private keys: restoring makes new ones, or uses those of the replaced ledger; "
            "to include them: --keys"
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
            error.hint or "nothing was restored; copy the backup again from its source, or use another"
        )
        raise


def _head(path: str) -> str:
    try:
        return bare(read_regular(path, MAX_TOKEN).decode("utf-8", "replace"))
    except OSError as error:
        raise UsageError(
            f"cannot read the signed head from {quote(path, 200)}: {(error.strerror or 'error').lower()}"
        ) from error


def _note_consequences(cli: Invocation, restored_ledger: RestoredLedger) -> None:
    restored = restored_ledger.restored
    if restored_ledger.replaced is not None:
        cli.note(
            f"the replaced ledger is in {restored_ledger.replaced}, with its keys: delete it once you no longer need it"
        )
    if restored.trusted and not restored_ledger.newest:
        cli.note(
            f"certificates of {', '.join(restored.trusted)} are still trusted: "
            "if such a key was revoked since, revoke it again: jitid keys revoke"
        )
    if not restored.kept:
        cli.note(
            "persons disabled and agents suspended since the backup are enabled again, and later reports of leaks "
            "are lost: see `jitid delegator list` and `jitid agent list`"
        )
    if restored.access:
        cli.note("all access to an authority was revoked; to grant it again: jitid access grant")


def _sentences(restored_ledger: RestoredLedger) -> list[str]:
    restored = restored_ledger.restored
    lines = [
        (
            f"restored to {safe(restored_ledger.path)}: {restored_ledger.manifest.events} events, "
            f"state of {format_time(restored_ledger.manifest.at)}"
        )
    ]
    if restored_ledger.lost:
        events = "1 event is" if restored_ledger.lost == 1 else f"{restored_ledger.lost} events are"
        lines.append(f"{events} known to be lost")
    if restored.kept:
        reason = ": no event is later than the backup" if restored_ledger.newest else ""
        lines.append(f"its credentials stay valid{reason}")
    else:
        counts = (
            (restored.credentials, "credential"),
            (restored.tasks, "task"),
            (restored.access, "access token"),
            (len(restored.revoked), "signing key"),
        )
        lines.append(
            f"revoked or retired {', '.join(counted(*count_and_noun) for count_and_noun in counts)}, "
            "because a backup does not contain later revocations"
        )
    return lines


def vacuum(cli: Invocation) -> None:
    """Perform `jitid ledger vacuum`."""
    from jitid.doctor import upkeep

    with stages(cli) as display:
        result = upkeep.vacuum(cli.config(), display.stage)
    sentence = f"{result.before} bytes before, {result.after} after\n"
    saved = {"saved": result.before - result.after}
    cli.show_record(commands.LedgerVacuumCommand.view, result, sentence, saved)
    if result.log_left:
        cli.note("a reader of an old state kept some room in use; it is freed when that reader ends")


def standard_input(path: str) -> IO[bytes] | None:
    """Return standard input if a backup is read from there."""
    return file_of(0) if path == OUT else None


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


def copy(cli: Invocation, args: commands.LedgerCopyCommand) -> None:
    """Perform `jitid ledger copy`."""
    config = cli.config()
    request = CopyRequest(args.to, args.issuer, args.keys)
    target = safe(place_text(args.to))
    copied_rows: dict[str, int] = {}

    with stages(cli) as display:

        def progress(table: str, rows: int) -> None:
            copied_rows[table] = copied_rows.get(table, 0) + rows
            display.stage(f"copying {table}: {copied_rows[table]}")

        result = copy_ledger(config, request, progress, cli.note)
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
        f", {row_count} rows; all agree, and the audit chain is intact"
        if counts
        else "; the earlier attempt compared the rows"
    )
    sentence = f"copied to {target}: {result.events} events{verified}\n"
    document = {**row, "tables": [copied_table._asdict() for copied_table in result.tables]}
    cli.show_record(args.view, row, sentence, document=document)
    cli.note(f"the source is sealed and read-only; to use the copy: jitid --ledger {word(target)}")


def issuer(cli: Invocation, args: commands.LedgerIssuerCommand) -> None:
    """Perform `jitid ledger issuer`."""
    if args.action == "set":
        if args.url is None:
            raise UsageError("URL is required", "for example: jitid ledger issuer set https://id.example.com")
        _set(cli, args, args.url)
        return
    if args.url is not None or args.yes:
        raise UsageError(
            "show accepts neither URL nor --yes", "to change the issuer: jitid ledger issuer set URL"
        )
    must_be_local(cli.config())
    cli.show_records(args.shown_view(), _rows(open_local(cli.config()).look_at_names()))


def _set(cli: Invocation, args: commands.LedgerIssuerCommand, new_issuer: str) -> None:
    config = cli.config()
    must_be_local(config)
    authority = open_local(config, issuer=new_issuer, accept_clock=cli.accept_clock)
    if not args.yes:
        _confirm(cli, authority.look_at_names(new_issuer), new_issuer)
    change = authority.set_issuer(new_issuer, accept_clock=cli.accept_clock)
    former = change.names.former[-1]
    until = format_time(change.until) if change.live else None
    acceptance = "" if until is None else f"; credentials under {former} are accepted until {until}"
    cli.show_record(
        args.shown_view(),
        change,
        f"the issuer is {new_issuer}{acceptance} (audit event {change.event})\n",
        {"issuer": new_issuer, "former": former, "until": until},
    )
    if config.text("issuer") not in (None, new_issuer):
        cli.note(f"the configuration still has issuer = {former}; to remove it: jitid config unset issuer")
    cli.note(
        f"verifiers that pin {former} refuse new tokens: inform their operators, and repeat `jitid publish DIR`"
    )


def _confirm(cli: Invocation, naming: Naming, new_issuer: str) -> None:
    """Refuse a change while credentials are live; at a terminal, ask for confirmation instead. Raises UsageError."""
    if not naming.live or new_issuer == naming.names.issuer:
        return
    would = (
        f"change the issuer from {naming.names.issuer} to {new_issuer}, "
        f"with {counted(naming.live, 'live credential')}"
    )
    if not cli.can_prompt():
        raise UsageError(
            f"this would {would}; nothing was changed",
            "live credentials stay valid until they expire; verifiers that pin the issuer refuse new ones; "
            "to change it, repeat with --yes",
        )
    confirm(would, naming.live, f"their number, {naming.live}, to change it; anything else changes nothing")


def _rows(naming: Naming) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{"issuer": naming.names.issuer, "state": "current", "until": None}]
    for name, until in reversed(naming.names.lasting()):
        state = "accepted" if naming.now < until else "former"
        rows.append({"issuer": name, "state": state, "until": until or None})
    return rows


_MANY = 100_000
"""Number of deleted rows from which a note recommends a vacuum."""


def prune(cli: Invocation, operation: Prune) -> None:
    """Perform `jitid ledger prune`."""
    config = cli.config()
    export, dry_run = operation.export, operation.dry_run
    rows_seconds = config.number("retain_rows") if operation.rows_after is None else operation.rows_after
    evidence_seconds = (
        config.number("retain_evidence") if operation.evidence_after is None else operation.evidence_after
    )
    if export is None and operation.evidence_after is not None:
        raise UsageError(
            "--evidence-after requires --export: only exported audit events are cut; nothing was changed",
            "name a folder: --export DIR",
        )
    authority = open_authority(config)
    if export is not None and config.remote is not None:
        raise UsageError(
            "--export works only on the machine of the ledger; nothing was changed",
            "run the command there, or leave --export out",
        )
    # Leaks are evidence: they are deleted together with their events.
    leaks_seconds = None if export is None else max(evidence_seconds, rows_seconds)
    step = "counting the expired records" if dry_run else "deleting expired records"
    pruning = performed(
        cli, authority, operation.replace(rows_after=rows_seconds, leaks_after=leaks_seconds), step
    )
    pruning = _finish(cli, authority, pruning)
    cut = None
    if export is not None:
        cut_log = CutLog(
            evidence_after=evidence_seconds,
            folder=os.path.abspath(export),
            dry_run=dry_run,
            accept_clock=cli.accept_clock,
        )
        cut = performed(cli, authority, cut_log, "exporting audit events")
    _report(cli, operation, pruning, cut)
    count = sum(pruning.rows.values())
    if pruning.event is not None and count >= _MANY and config.remote is None and "://" not in config.ledger:
        cli.note("the ledger's file has not shrunk; to return the room: jitid ledger vacuum")


def _report(cli: Invocation, operation: Prune, pruning: Pruning, cut: Cut | None) -> None:
    sentences = _sentence(pruning, dry_run=operation.dry_run) + "\n"
    if cut is not None:
        sentences += _cut(cut, dry_run=operation.dry_run) + "\n"
    row = operation.view.row(
        pruning,
        {
            "before": format_time(pruning.before),
            "identities": pruning.rows.get("identities", 0),
            "credentials": pruning.rows.get("credentials", 0),
            "rows": sum(pruning.rows.values()),
            "dry_run": operation.dry_run,
            "evidence_before": cut and cut.before,
            "exported": cut and cut.exported,
            "kept": cut and cut.kept,
            "cut_event": cut and cut.event,
            "file": cut and cut.file,
        },
    )
    cli.show_record(operation.view, row, sentences, document={**row, "tables": dict(pruning.rows)})


def _cut(cut: Cut, *, dry_run: bool) -> str:
    before = format_time(cut.before)
    if not cut.exported:
        return f"there are no audit events from before {before} to cut"
    events = f"{counted(cut.exported, 'audit event')} from before {before}, up to {cut.through}"
    kept_text = f"{cut.kept} older events stay, because rows refer to them or they define the ledger"
    if dry_run:
        return f"would export and cut {events}; {kept_text}; nothing was changed"
    return f"exported {events} to {safe(cut.file or '')}, and cut them (audit event {cut.event}); {kept_text}"


def _finish(cli: Invocation, authority: Authority, pruning: Pruning) -> Pruning:
    """Delete the remaining rows of pruned identities, until none can be deleted any more."""
    last_left = None
    with stages(cli) as display:
        while pruning.left and pruning.left != last_left:
            last_left = pruning.left
            display.stage(f"deleting the rows of {last_left} identities")
            pruning = pruning._replace(left=authority.perform(Prune(rows_after=None)).left)
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
        deleted += f", and related rows ({', '.join(others)})"
    if dry_run:
        return f"would delete {deleted}; nothing was changed"
    if pruning.event is not None:
        return f"deleted {deleted} (audit event {pruning.event})"
    if pruning.left:
        remaining = counted(pruning.left, "identity", "identities")
        return f"no other identity had ended before {before}; {remaining} leaked meanwhile and stay"
    return f"no identity had ended before {before}; nothing was deleted"
