"""`jitid list`: list credentials.

And `jitid tree`: show chains of delegation.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from jitid.authority.open import open_authority
from jitid.capabilities.identity.filter_store import Filter
from jitid.capabilities.inventory.operations import ListCredentials
from jitid.cli import record_rows
from jitid.cli.identity.commands import BOUND, CREDENTIAL
from jitid.cli.identity.revoke import check_ids
from jitid.cli.invocation import Invocation
from jitid.errors import UsageError
from jitid.system.processes import orphans

if TYPE_CHECKING:
    from jitid.capabilities.inventory.operations import ShowTree
    from jitid.cli.identity import commands


_ALL = 1 << 31


def list_(cli: Invocation, args: commands.ListCommand) -> None:
    """Perform `jitid list`."""
    chosen = Filter(**{name: getattr(args, name) for name in Filter.fields})
    limit, process = args.limit, args.process
    if process is not None:
        # Only this machine can check which of its processes are alive, so it needs all rows.
        chosen, limit = chosen._replace(live=True, bound=True), _ALL
    page = open_authority(cli.config()).perform(
        ListCredentials(
            chosen=chosen,
            sort=args.sort.removeprefix("-"),
            descending=args.sort.startswith("-"),
            after=args.after,
            limit=limit,
        )
    )
    credentials = page.credentials
    if process is not None:
        credentials = [row for row in credentials if record_rows.process_state(row, page.now) == process]
        credentials = credentials[: args.limit]
    bound = any(row.process is not None and row.ended_at is None for row in credentials)
    cli.show_records(BOUND if bound else args.view, credentials, partial(record_rows.computed, now=page.now))
    if not cli.field:
        record_rows.warn_of_orphans(cli, orphans(credentials, page.now))
    if process is None and credentials:
        cli.note_more(len(credentials), limit, f"for the next ones: --after {credentials[-1].jti}")


def tree(cli: Invocation, operation: ShowTree) -> None:
    """Perform `jitid tree`."""
    shape = cli.special_format or operation.shape
    if not operation.ids and operation.task is None:
        raise UsageError(
            "an id or a task is required",
            "pass the id of an identity or a credential, or --task NAME; see: jitid list",
        )
    check_ids(operation.ids, token_files=False)
    page = open_authority(cli.config()).perform(operation)
    from jitid.formats import drawing
    from jitid.formats.display import Display
    from jitid.system import output

    rows = (operation.view.row(row, record_rows.computed(row, page.now)) for row in page.credentials)
    # In a JSON document, in the order of all fields of a credential.
    nodes = [{name: row[name] for name in CREDENTIAL.split() if name in row} for row in rows]
    if shape == "mermaid":
        output.write(drawing.mermaid(nodes))
    elif shape == "dot":
        output.write(drawing.dot(nodes))
    elif cli.by_eye():
        output.write(drawing.text(nodes, cli.coloured()))
    else:
        view = operation.view
        cli.show(Display(view.schema, view.fields, nodes, document={"trees": drawing.nested(nodes)}))
    if len(page.credentials) == operation.limit:
        cli.note(f"only {operation.limit} identities are shown; for more: --limit N")
