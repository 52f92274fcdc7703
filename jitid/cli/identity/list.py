"""`jitid list`: list credentials, delegation trees or tasks."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from jitid.authority.open import open_authority
from jitid.capabilities.identity.filter_store import Filter
from jitid.capabilities.inventory.operations import TASK_STATES, ListCredentials, ListTasks, ShowTree
from jitid.cli import record_rows
from jitid.cli.identity import subject
from jitid.cli.identity.commands import BOUND, CREDENTIAL, ListCommand
from jitid.cli.identity.revoke import check_ids
from jitid.cli.invocation import Invocation
from jitid.errors import UsageError
from jitid.model.types import TASK
from jitid.system import output
from jitid.system.processes import orphans
from jitid.values.field_types import ID
from jitid.values.ids import PREFIXES
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.cli.identity import commands
    from jitid.operation.base import Authority


_ALL = 1 << 31


def list_(cli: Invocation, args: commands.ListCommand) -> None:
    """Perform `jitid list`."""
    if args.tree:
        _check_options(cli, "--tree", {"tree", "ids", "task", "shape", "limit"})
        _tree(cli, args)
    elif args.shape is not None or cli.special_format is not None:
        raise UsageError("a diagram requires --tree", "add --tree")
    elif args.by is not None:
        _check_options(cli, "--by task", {"by", "state", "limit", "after"})
        _tasks(cli, args)
    else:
        _credentials(cli, args)


def _check_options(cli: Invocation, with_: str, permitted: set[str]) -> None:
    """Raise UsageError if the line has an option that does not apply."""
    other = next((name for name in ListCommand.fields if name in cli.stated and name not in permitted), None)
    if other is not None:
        raise UsageError(
            f"{ListCommand.fields[other].label} and {with_} exclude each other", "omit one of them"
        )


def _credentials(cli: Invocation, args: commands.ListCommand) -> None:
    chosen = Filter(**{name: getattr(args, name) for name in Filter.fields})
    if args.state in TASK_STATES:
        raise UsageError(f"{args.state} is a state of tasks", "add --by task")
    if args.ids:
        if len(args.ids) > 1 or args.id is not None:
            raise UsageError("several ids require --tree", "pass one id, or add --tree")
        chosen = _with_word(cli, chosen, args.ids[0])
    limit, process = args.limit, args.process
    if process is not None:
        # Only this machine can check which of its processes are alive, so it needs all rows.
        chosen, limit = chosen._replace(live=True, bound=True), _ALL
    page = open_authority(cli.config()).perform(
        ListCredentials(
            chosen=chosen,
            sort=args.sort.removeprefix("-"),
            descending=args.sort.startswith("-"),
            after=None if args.after is None else ID.parse(args.after, "`--after`"),
            limit=limit,
        )
    )
    credentials, omitted = page.credentials, 0
    if process is not None:
        credentials = [row for row in credentials if record_rows.process_state(row, page.now) == process]
        omitted = max(len(credentials) - args.limit, 0)
        credentials = credentials[: args.limit]
    bound = any(row.process is not None and row.ended_at is None for row in credentials)
    view = BOUND if bound else args.view
    # All of them are active with --live.
    brief = tuple(name for name in view.brief if name != "state") if chosen.live else ()
    cli.show_records(view, credentials, partial(record_rows.computed, now=page.now), brief=brief)
    if not cli.field:
        record_rows.warn_of_orphans(cli, orphans(credentials, page.now))
    if omitted and ("limit" not in cli.stated or output.is_terminal()):
        cli.note(f"{omitted:,} more were omitted by --limit")
    if process is None and credentials:
        cli.note_more(len(credentials), limit, f"for the next ones: --after {credentials[-1].jti}")


def _with_word(cli: Invocation, chosen: Filter, word: str) -> Filter:
    """Return the filter with the condition for an id, or for the task, agent or delegator of a name."""
    if word.startswith(PREFIXES):
        return chosen._replace(id=ID.parse(word, "`ID`"))
    authority = open_authority(cli.config())
    # Before a file of that name: another user may have written into this folder.
    found = subject.find(authority, word)
    if found is None and subject.is_file(word):
        return chosen._replace(id=subject.of_file(authority, word))
    if found is None:
        raise subject.unknown(word)
    if getattr(chosen, found.kind.value) is not None:
        raise UsageError(f"{quote(word)} and --{found.kind.value} exclude each other", "omit one of them")
    return chosen._replace(**{found.kind.value: found.name})


def _roots(
    cli: Invocation, authority: Authority, word: str, limit: int
) -> tuple[tuple[str, ...], str | None]:
    """Return the identities or the task that a word selects: a name, or the file of a token. Raises UsageError."""
    # A sub-agent may have the name of a task: that must not hide the trees of the task.
    named = subject.task_of(authority, word) or subject.find(authority, word)
    if named is None and subject.is_file(word):
        return (subject.of_file(authority, word),), None
    if named is None:
        raise subject.unknown(word)
    if named.task is not None:
        return (), named.name
    return _ids_of(cli, authority, named.filter, limit), None


def _ids_of(cli: Invocation, authority: Authority, chosen: Filter, limit: int) -> tuple[str, ...]:
    """Return the identities of the newest credentials that a filter selects."""
    page = authority.perform(
        ListCredentials(chosen=chosen, sort="issued_at", descending=True, after=None, limit=limit)
    )
    if len(page.credentials) == limit:
        cli.note(f"only the trees of the newest {limit} credentials are shown; for more: --limit N")
    return tuple(dict.fromkeys(row.id for row in page.credentials))


def show_credentials(cli: Invocation, chosen: Filter) -> None:
    """Show the latest credentials that a filter selects."""
    page = open_authority(cli.config()).perform(
        ListCredentials(chosen=chosen, sort="issued_at", descending=True, after=None, limit=MAX_SHOWN)
    )
    cli.show_records(ListCommand.view, page.credentials, partial(record_rows.computed, now=page.now))


MAX_SHOWN = 1_000


def _tasks(cli: Invocation, args: commands.ListCommand) -> None:
    if args.state is not None and args.state not in TASK_STATES:
        raise UsageError(f"invalid state of a task: {args.state}", f"choose one of: {', '.join(TASK_STATES)}")
    after = None if args.after is None else TASK.parse(args.after, "`--after`")
    operation = ListTasks(state=args.state, limit=args.limit, after=after)
    rows = open_authority(cli.config()).perform(operation)
    cli.show_records(ListTasks.view, rows)
    if rows:
        cli.note_more(len(rows), args.limit, f"for the next ones: --after {rows[-1].task.full_name}")


def _tree(cli: Invocation, args: commands.ListCommand) -> None:
    shape = cli.special_format or args.shape
    ids, task = args.ids, args.task
    authority = open_authority(cli.config())
    if task is None and not ids:
        ids = _ids_of(cli, authority, Filter(live=True), args.limit)
    elif task is None and len(ids) == 1 and not ids[0].startswith(PREFIXES):
        ids, task = _roots(cli, authority, ids[0], args.limit)
    check_ids(cli, ids, token_files=False, verb="list")
    view = ShowTree.view
    page = authority.perform(ShowTree(ids=ids, task=task, limit=args.limit))
    from jitid.formats import drawing
    from jitid.formats.display import Display

    rows = (view.row(row, record_rows.computed(row, page.now)) for row in page.credentials)
    # In a JSON document, in the order of all fields of a credential.
    nodes = [{name: row[name] for name in CREDENTIAL.split() if name in row} for row in rows]
    if shape == "mermaid":
        output.write(drawing.mermaid(nodes))
    elif shape == "dot":
        output.write(drawing.dot(nodes))
    elif cli.by_eye():
        output.write(drawing.text(nodes, cli.coloured()))
    else:
        cli.show(Display(view.schema, view.fields, nodes, document={"trees": drawing.nested(nodes)}))
    if len(page.credentials) == args.limit:
        cli.note(f"only {args.limit} identities are shown; for more: --limit N")
