"""`jitid audit`: read, sign, verify and export the audit log."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from jitid.authority.open import open_authority
from jitid.authority.open_local import watch
from jitid.capabilities.audit.audit_log import LogFilter, UnreadableHeadError
from jitid.capabilities.integrity.audit_export import verify_export
from jitid.capabilities.integrity.operations import ExportLog, ReadLog, SignHead, VerifyLog
from jitid.capabilities.integrity.verify_log import Verification
from jitid.cli import read_input, record_rows
from jitid.cli.identity.list import limit_of
from jitid.cli.invocation import Invocation
from jitid.errors import IntegrityError, PartialError, UsageError
from jitid.formats.display import Display
from jitid.model.event import Event
from jitid.redaction.token_format import MAX_TOKEN, bare
from jitid.system import output
from jitid.values.strict_json import loads
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.cli.ledger import commands

LOG = ("seq", "at", "op", "by", "task", "agent", "delegator", "count", "rules", "reason", "hash")
BRIEF = ("seq", "at", "op", "by", "task", "agent", "count")
DENIALS = ("seq", "at", "by", "agent", "rules")
"""Columns at a terminal, if the filter is for denials only."""
BY_ID = "by_id"
"""Id of the caller's identity, if the caller is an agent; no other caller has one. TSV and CSV show it only with
`--field`; a table has this column if an event has an id.
"""
HEAD = ("head",)
EXPORTS = ("jsonl", "syslog")
VERIFIED = ("events", "members", "head")


def log(cli: Invocation, args: commands.AuditLogCommand) -> None:
    """Perform `jitid audit log`."""
    fields: tuple[str, ...] = (*LOG, "members") if args.members else LOG
    if cli.field == BY_ID:
        fields = (*fields, BY_ID)
    about_use = any(each is not None for each in (args.at, args.within, args.action, args.resource))
    if not about_use:
        cli.expect(fields)
    log_filter = LogFilter(
        operation=args.operation,
        task=args.task,
        agent=args.agent,
        delegator=args.delegator,
        by=args.by,
        rule=args.rule,
        sweep=args.sweep,
        trace=args.trace,
        since=args.since,
        until=args.until,
        after=(args.after or 0) if args.event is None else max(args.after or 0, args.event - 1),
        event=args.event,
    )
    if args.limit is not None:
        limit_of(args.limit)
    if about_use:
        from jitid.cli.ledger import audit_actions

        if args.follow or args.members or args.after is not None:
            raise UsageError("--follow, --members and --after are about events, and actions are asked for")
        audit_actions.show(cli, log_filter, args.at, args.within, args.action, args.resource, args.limit)
        return
    if args.follow:
        if args.event is not None:
            raise UsageError("--follow and --event cannot go together", "a single event has nothing after it")
        if cli.format_name() == "json" and cli.field is None:
            raise UsageError("a JSON document has an end, and --follow has none", "use --format jsonl")
        start = args.after is not None or args.since is not None
        _follow(cli, log_filter, args.limit, fields, start=start, members=args.members)
        return
    documents = open_authority(cli.config()).perform(
        ReadLog(chosen=log_filter, limit=args.limit, members=args.members)
    )
    _show_log(cli, documents, log_filter, fields, members=args.members)


def _show_log(
    cli: Invocation,
    documents: list[dict[str, Any]],
    chosen: LogFilter,
    fields: tuple[str, ...],
    *,
    members: bool,
) -> None:
    """Print the events that a filter has found."""
    if cli.format_name() in ("json", "jsonl") and cli.field is None:
        all_fields: dict[str, None] = dict.fromkeys(fields)
        for document in documents:
            all_fields.update(dict.fromkeys(document))
        cli.show(Display("jitid.audit-log/1", tuple(all_fields), documents))
        return
    rows = [_row(document) for document in documents]
    if chosen.event is not None and len(rows) == 1 and cli.by_eye():
        cli.show(Display("jitid.audit-log/1", fields, rows, one=True))
        return
    brief: tuple[str, ...] = DENIALS if chosen.operation == "denial" else BRIEF
    if any(BY_ID in document for document in documents):
        index = brief.index("by") + 1
        brief = (*brief[:index], BY_ID, *brief[index:])
    columns = record_rows.columns(cli, fields, (*brief, "members") if members else brief)
    cli.show(Display("jitid.audit-log/1", columns, rows))


def _follow(
    cli: Invocation,
    log_filter: LogFilter,
    limit: int | None,
    fields: tuple[str, ...],
    *,
    start: bool,
    members: bool,
) -> None:
    from jitid.cli.ledger.audit_follow import follow
    from jitid.formats.display import Format
    from jitid.formats.stream import Stream

    format_ = cli.format_name() or ("table" if output.is_terminal() else "tsv")
    columns = record_rows.columns(cli, fields, (*BRIEF, "members") if members else BRIEF)
    config = cli.config()
    check = watch(config)
    stream: Stream | None = None
    authority = open_authority(config)
    for documents, last_event in follow(authority, check, log_filter, limit, start=start, members=members):
        text = ""
        if stream is None:
            # The column of event numbers has room to grow.
            widths = {
                "seq": max(len(str(last_event)) + 1, 4),
                "at": 20,
                "op": 12,
                "count": 5,
                "members": 30,
                "hash": 64,
            }
            stream = Stream(
                columns,
                Format(format_),
                cli.field,
                widths={field: width for field, width in widths.items() if field in columns},
                colour=cli.coloured(),
            )
            text = stream.header()
        unfiltered = format_ == "jsonl" and cli.field is None
        text += stream.lines(documents if unfiltered else [_row(document) for document in documents])
        if text:
            output.write(text)


def _row(document: dict[str, Any]) -> dict[str, Any]:
    return {"count": 1 if "jti" in document else None, **document, "at": record_rows.time(document["at"])}


def head(cli: Invocation, args: commands.AuditHeadCommand) -> None:
    """Perform `jitid audit head`."""
    if args.out is None:
        cli.expect(HEAD)
    else:
        cli.expect_own_form()
    signed_head = open_authority(cli.config()).perform(SignHead())
    # The configured format does not apply: the stored head must have the form that --expect-head reads.
    if cli.field is None and cli.format is None:
        output.put([f"{signed_head}\n"], args.out)
    else:
        cli.show(Display("jitid.audit-head/1", HEAD, [{"head": signed_head}], one=True))


def verify(cli: Invocation, args: commands.AuditVerifyCommand) -> None:
    """Perform `jitid audit verify`."""
    cli.expect(VERIFIED)
    read_input.check_one_stdin(args.file, args.expect_head)
    expected = None if args.expect_head is None else _head(args.expect_head)
    try:
        if args.file is None:
            result = open_authority(cli.config()).perform(VerifyLog(expected_head=expected))
        else:
            result = verify_export((text for _, text in read_input.lines(args.file, "the export")), expected)
    except UnreadableHeadError as error:
        error.hint = "if it is the right file, verify without it (jitid audit verify), and put it away"
        raise
    except IntegrityError as error:
        error.hint = (
            error.hint or "keep ledger and files as they are, and compare them with copies kept elsewhere"
        )
        raise
    _report(cli, result, compared_rows=args.file is None)
    if result.cut is not None:
        raise PartialError(
            f"what is here holds, but event {result.cut}, which the remembered head tells of, was cut: "
            "whether it is the one in the ledger's past is not known from here",
            "check the file that was exported when it was cut: jitid audit verify --file FILE --expect-head HEAD",
        )


def _head(path: str) -> str:
    # An empty file is a lost head, not a mistake of the caller.
    return bare(read_input.unmarked(path, MAX_TOKEN, "the signed head").decode("utf-8", "replace"))


def _report(cli: Invocation, result: Verification, *, compared_rows: bool) -> None:
    row = {"events": result.events, "members": result.members, "head": result.head.hash.hex()}
    if cli.field is not None or cli.format_name() is not None:
        cli.show(Display("jitid.audit-verify/1", VERIFIED, [row], one=True))
    else:
        # An export has only events.
        compared = (
            f", and the ledger's rows agree ({result.members} issues and ends)" if compared_rows else ""
        )
        output.write(f"the audit chain holds: {result.events} events{compared}; head {row['head']}\n")


def export(cli: Invocation, args: commands.AuditExportCommand) -> None:
    """Perform `jitid audit export`."""
    if cli.format not in (None, *EXPORTS):
        raise UsageError(f"{quote(cli.format)} is no format here", f"choose one of: {', '.join(EXPORTS)}")
    syslog = cli.format == "syslog"
    if syslog:
        cli.format = None
    cli.expect_own_form("jsonl")
    lines = open_authority(cli.config()).perform(ExportLog())
    if syslog:
        from jitid.formats import syslog as messages

        output.put(messages.text(_events(lines), os.uname().nodename), args.out)
    else:
        output.put((f"{line}\n" for line in lines), args.out)


def _events(lines: Iterable[str]) -> Iterator[Event]:
    """Yield the events of an export."""
    for line in lines:
        record = loads(line)
        if record["type"] == "event":
            yield Event(record["seq"], record["body"].encode(), bytes.fromhex(record["hash"]))
