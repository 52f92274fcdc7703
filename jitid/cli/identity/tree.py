"""`jitid tree`: show chains of delegation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.authority.open import open_authority
from jitid.capabilities.inventory.operations import ShowTree
from jitid.cli import hints, record_rows
from jitid.cli.identity.commands import CREDENTIAL
from jitid.cli.invocation import Invocation
from jitid.errors import UsageError
from jitid.formats.display import Display

if TYPE_CHECKING:
    from jitid.cli.identity import commands


def tree(cli: Invocation, args: commands.TreeCommand) -> None:
    """Perform `jitid tree`."""
    shape = cli.special_format or args.shape
    if not args.ids and args.task is None:
        raise UsageError(
            "nothing says which tree to show",
            "give the id of an identity or a credential in it, or a task with --task NAME; see: jitid list",
        )
    hints.check_ids(args.ids, token_files=False)
    page = open_authority(cli.config()).perform(ShowTree(ids=args.ids, task=args.task, limit=args.limit))
    from jitid.formats import drawing
    from jitid.system import output

    rows = (args.view.row(row, record_rows.computed(row, page.now)) for row in page.credentials)
    # In a JSON document, in the order of all fields of a credential.
    nodes = [{name: row[name] for name in CREDENTIAL.split() if name in row} for row in rows]
    if shape == "mermaid":
        output.write(drawing.mermaid(nodes))
    elif shape == "dot":
        output.write(drawing.dot(nodes))
    elif cli.by_eye():
        output.write(drawing.text(nodes, cli.coloured()))
    else:
        cli.show(
            Display(args.view.schema, args.view.fields, nodes, document={"trees": drawing.nested(nodes)})
        )
    if len(page.credentials) == args.limit:
        cli.note(f"no more than {args.limit} are shown, and there may be more: raise --limit")
