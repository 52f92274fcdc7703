"""`jitid audit`: read, sign, verify and export the audit log.

With --follow, events are printed when they are committed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from jitid.authority.open import open_authority
from jitid.capabilities.audit.audit_log import LogFilter, UnreadableHeadError
from jitid.capabilities.integrity.audit_export import verify_export
from jitid.capabilities.integrity.operations import ExportLog, FollowLog, ReadLog, SignHead, VerifyLog
from jitid.cli.invocation import Invocation
from jitid.cli.progress import Waiting
from jitid.errors import IntegrityError, PartialError, UsageError
from jitid.formats.display import Display
from jitid.model.event import Event
from jitid.redaction.token_format import MAX_TOKEN, bare
from jitid.system import output, read_input
from jitid.system.read_input import check_one_stdin, unmarked
from jitid.values.field_types import MAX_ROWS
from jitid.values.strict_json import loads

if TYPE_CHECKING:
    from jitid.capabilities.use.operations import UsePage
    from jitid.cli.ledger import commands
    from jitid.formats.columns import Columns
    from jitid.model.use import RecordedUse, UseFilter


_DENIALS = ("seq", "at", "by", "agent", "rules")
"""Columns at a terminal, if the filter is for denials only."""
_ANY = "*"
"""In place of the name of an action: all actions."""
_AROUND = 60
"""Default number of seconds before and after a time."""
_MOST_ACTIONS = 1_000
"""Maximum number of actions without --limit."""


def log(cli: Invocation, args: commands.AuditLogCommand) -> None:
    """Perform `jitid audit log`."""
    if args.shows_actions:
        _show_actions(cli, args)
        return
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
    view = args.shown_view()
    if args.follow:
        if args.event is not None:
            raise UsageError("--follow and --event exclude each other", "leave one of them out")
        if cli.format_name() == "json" and not cli.field:
            raise UsageError("--follow cannot write one JSON document: it has no end", "use --format jsonl")
        _follow(cli, args, log_filter, view)
        return
    if args.tail is not None and (args.limit, args.after, args.event) != (None, None, None):
        raise UsageError("--tail excludes --limit, --after and --event", "omit one of them")
    newest_first = cli.by_eye() and args.after is None and args.event is None
    if newest_first or args.tail is not None:
        documents, more = _newest(cli, args, log_filter)
        if newest_first:
            documents.reverse()
    else:
        documents = open_authority(cli.config()).perform(
            ReadLog(chosen=log_filter, limit=args.limit, members=args.members)
        )
        more = None
    if cli.format_name() in ("json", "jsonl") and not cli.field:
        all_fields = dict.fromkeys((*view.fields, *(name for document in documents for name in document)))
        cli.show(Display(view.schema, tuple(all_fields), documents))
    elif args.event is not None and len(documents) == 1 and cli.by_eye():
        cli.show(view.display(documents, _count)._replace(one=True))
    else:
        cli.show_records(view, documents, _count, brief=_columns(args, view, documents))
    if more is not None:
        cli.note(more)
    elif args.limit is not None and documents and not newest_first:
        events = list(dict.fromkeys(document["seq"] for document in documents))
        cli.note_more(len(events), args.limit, f"for the next ones: --after {events[-1]}")


_SCREENFUL = 1_000
"""The number of events that a terminal shows by default."""


def _newest(
    cli: Invocation, args: commands.AuditLogCommand, log_filter: LogFilter
) -> tuple[list[dict[str, Any]], str | None]:
    """Return the newest matching events, oldest first, and a note if there may be older ones."""
    stated = args.tail or args.limit
    limit = stated or _SCREENFUL
    # One more shows whether there are older ones.
    page = open_authority(cli.config()).perform(
        FollowLog(chosen=log_filter, limit=min(limit + 1, MAX_ROWS), members=args.members, last=True)
    )
    events = list(page.events)
    numbers = list(dict.fromkeys(event["seq"] for event in events))
    if len(numbers) < min(limit + 1, MAX_ROWS):
        return events, None
    # With --members, an event has several rows.
    events = [event for event in events if event["seq"] >= numbers[-limit]]
    if stated is None or (args.limit is not None and output.is_terminal()):
        # The greatest limit leaves no room for one more.
        older = "older events are not shown" if limit < MAX_ROWS else "there may be older events"
        return events, f"{older}: the limit is {limit}; for more: --tail N"
    return events, None


def _columns(
    args: commands.AuditLogCommand, view: Columns, documents: list[dict[str, Any]]
) -> tuple[str, ...]:
    """Return the columns of a table at a terminal: with the id of the caller, if an agent called."""
    columns: tuple[str, ...] = view.brief
    if args.operation == "denial":
        columns = (*_DENIALS, "members") if args.members else _DENIALS
    if any("by_id" in document for document in documents):
        # An id needs the room of other columns: a line must fit into 80 characters.
        columns = tuple(
            "by_id" if name == "by" else name for name in columns if name not in ("agent", "count")
        )
    return columns


def _count(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the number of credentials: the event of a single one does not state it."""
    return {"count": document.get("count", 1 if "jti" in document else None)}


def _show_actions(cli: Invocation, args: commands.AuditLogCommand) -> None:
    """Show the recorded actions, in the order of time.

    Raises:
        UsageError: an option is for events only, or the time is specified twice.

    """
    from jitid.capabilities.use.operations import ListUses

    if args.follow or args.members or args.after is not None:
        raise UsageError(
            "--follow, --members and --after select events, but --at, --action and --resource select actions",
            "leave out either kind of option",
        )
    for name in ("operation", "by", "sweep", "trace"):
        if getattr(args, name) is not None:
            raise UsageError(
                f"--{name} selects events, but --at, --action and --resource select actions",
                "leave out either kind of option",
            )
    page = open_authority(cli.config()).perform(
        ListUses(chosen=_use_filter(args), limit=args.limit or _MOST_ACTIONS)
    )
    view = args.shown_view()
    # A column that a filter fixes is left out.
    fixed = {name for name in ("agent", "action", "resource") if getattr(args, name) not in (None, _ANY)}
    brief = tuple(name for name in view.brief if name not in fixed)
    cli.show_records(view, page.uses, lambda use: _decided(use, page), brief=brief)
    cli.note_more(len(page.uses), args.limit or _MOST_ACTIONS)


def _use_filter(args: commands.AuditLogCommand) -> UseFilter:
    from jitid.model.use import UseFilter

    since, until = args.since, args.until
    if args.at is not None:
        if since is not None or until is not None:
            raise UsageError(
                "--at excludes --since and --until", "to widen the time around --at: --within DURATION"
            )
        around = _AROUND if args.within is None else args.within
        since, until = args.at - around, args.at + around + 1
    elif args.within is not None:
        raise UsageError("--within requires --at TIME")
    return UseFilter(
        since=since,
        until=until,
        action=None if args.action == _ANY else args.action,
        resource=args.resource,
        task=args.task,
        agent=args.agent,
        delegators=() if args.delegator is None else (args.delegator,),
        event=args.event,
        rule=args.rule,
    )


def _decided(use: RecordedUse, page: UsePage) -> dict[str, Any]:
    chain = None
    if use.agent is not None:
        lineage = () if use.identity_key is None else page.lineages.get(use.identity_key, ())
        chain = (use.delegator, *(ancestor.agent for ancestor in reversed(lineage)), use.agent)
    return {"decision": "allow" if use.allowed else "deny", "chain": chain}


def _follow(cli: Invocation, args: commands.AuditLogCommand, log_filter: LogFilter, view: Columns) -> None:
    from jitid.authority.open_local import watch
    from jitid.capabilities.integrity.follow_log import follow
    from jitid.formats.display import Format
    from jitid.formats.stream import Stream

    format_ = cli.format_name() or ("table" if output.is_terminal() else "tsv")
    columns = view.brief if cli.by_eye() and not cli.verbose else view.fields
    config = cli.config()
    check = watch(config)
    stream: Stream | None = None
    authority = open_authority(config)
    start = args.after is not None or args.since is not None
    for documents, last_event in follow(
        authority, check, output.wait, log_filter, args.limit, start=start, members=args.members
    ):
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
        unfiltered = format_ == "jsonl" and not cli.field
        text += stream.lines(
            documents if unfiltered else [view.row(document, _count(document)) for document in documents]
        )
        if text:
            output.write(text)


def head(cli: Invocation, operation: SignHead) -> None:
    """Perform `jitid audit head`."""
    if operation.out is not None:
        cli.expect_own_form()
    signed_head = open_authority(cli.config()).perform(operation)
    # The configured format does not apply: the stored head must have the form that --expect-head reads.
    if not cli.field and cli.format is None:
        output.put([f"{signed_head}\n"], operation.out)
    else:
        cli.show_records(operation.view, [{"head": signed_head}])


def verify(cli: Invocation, operation: VerifyLog) -> None:
    """Perform `jitid audit verify`."""
    file, expect_head = operation.file, operation.expect_head
    check_one_stdin(file, expect_head)
    expected = None if expect_head is None else _head(expect_head)
    try:
        if file is None:
            authority = open_authority(cli.config())
        with Waiting(cli, lambda: "verifying the audit chain"):
            if file is None:
                result = authority.perform(operation.replace(expected_head=expected))
            else:
                result = verify_export((text for _, text in read_input.lines(file, "the export")), expected)
    except UnreadableHeadError as error:
        error.hint = "if this is the right file, verify without it, and move it away: jitid audit verify"
        raise
    except IntegrityError as error:
        error.hint = error.hint or "change neither ledger nor files; compare them with copies kept elsewhere"
        raise
    head_hash = result.head.hash.hex()
    # An export has only events.
    compared = "" if file else f", and the ledger's rows agree ({result.members} issues and ends)"
    sentence = f"the audit chain is intact: {result.events} events{compared}; head {head_hash}\n"
    cli.show_record(operation.view, result, sentence, {"head": head_hash})
    if result.cut is not None:
        raise PartialError(
            f"the ledger is intact, but the head names event {result.cut}, which was cut from it: "
            "the ledger alone cannot prove that event",
            "verify the exported file: jitid audit verify --file FILE --expect-head HEAD",
        )


def _head(path: str) -> str:
    # An empty file is a lost head, not a mistake of the caller.
    return bare(unmarked(path, MAX_TOKEN, "the signed head").decode("utf-8", "replace"))


def export(cli: Invocation, operation: ExportLog) -> None:
    """Perform `jitid audit export`."""
    lines = open_authority(cli.config()).perform(operation)
    if cli.special_format == "syslog":
        from jitid.formats import syslog as messages
        from jitid.system.processes import host_name

        output.put(messages.text(_events(lines), host_name()), operation.out)
    else:
        output.put((f"{line}\n" for line in lines), operation.out)


def _events(lines: Iterable[str]) -> Iterator[Event]:
    """Yield the events of an export."""
    for line in lines:
        record = loads(line)
        if record["type"] == "event":
            yield Event(record["seq"], record["body"].encode(), bytes.fromhex(record["hash"]))
