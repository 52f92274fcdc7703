"""`jitid tree`: show chains of delegation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.authority.open import open_authority
from jitid.capabilities.inventory.operations import Page, ShowTree
from jitid.cli import hints, record_rows
from jitid.cli.identity.list import limit_of
from jitid.cli.invocation import Invocation
from jitid.errors import UsageError
from jitid.formats.display import Display
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.cli.identity import commands
    from jitid.model.credential import Credential

FIELDS = ("depth", "id", "parent", "agent", "task", "delegator", "state", "scopes", "expires_at")
SHAPES = ("mermaid", "dot")


def tree(cli: Invocation, args: commands.TreeCommand) -> None:
    """Perform `jitid tree`."""
    shape = args.shape
    limit = args.limit
    if cli.format in SHAPES:
        shape, cli.format = cli.format, None
    if shape is not None and shape not in SHAPES:
        raise UsageError(f"{quote(shape)} is no shape", f"choose one of: {', '.join(SHAPES)}")
    cli.expect(FIELDS)
    if not args.ids and args.task is None:
        raise UsageError(
            "nothing says which tree to show",
            "give the id of an identity or a credential in it, or a task with --task NAME; see: jitid list",
        )
    hints.check_ids(args.ids, token_files=False)
    page = open_authority(cli.config()).perform(
        ShowTree(
            ids=tuple(args.ids),
            task=args.task,
            limit=limit_of(limit),
        )
    )
    from jitid.formats import drawing
    from jitid.system import output

    nodes = [_node(row, page) for row in page.credentials]
    by_eye = cli.format_name() is None and cli.field is None and output.is_terminal()
    if shape == "mermaid":
        output.write(drawing.mermaid(nodes))
    elif shape == "dot":
        output.write(drawing.dot(nodes))
    elif by_eye or cli.format_name() == "table":
        output.write(drawing.text(nodes, cli.coloured()))
    else:
        cli.show(Display("jitid.tree/1", FIELDS, nodes, document={"trees": drawing.nested(nodes)}))
    if len(page.credentials) == limit_of(limit):
        cli.note(f"no more than {limit_of(limit)} are shown, and there may be more: raise --limit")


def _node(row: Credential, page: Page) -> dict[str, Any]:
    return {name: value for name, value in record_rows.credential(row, page.now).items() if name in FIELDS}
