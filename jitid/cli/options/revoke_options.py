"""Options of the verbs that revoke: selectors and guard rails."""

from __future__ import annotations

from typing import Annotated

import typer

from jitid.cli.options.declare import option

# Selectors, also of verbs that list.
Ids = Annotated[
    list[str] | None, typer.Argument(metavar="[ID]...", help="Identities or credentials.", show_default=False)
]
OfTasks = Annotated[list[str] | None, option("--task", metavar="NAME", text="Those of a task; repeatable.")]
OfDelegators = Annotated[
    list[str] | None,
    option(
        "--delegator",
        metavar="NAME",
        text="Those of a root delegator, or what agent:NAME delegated; repeatable.",
    ),
]
OfAgents = Annotated[
    list[str] | None, option("--agent", metavar="NAME", text="Those of an agent; repeatable.")
]
OfTrees = Annotated[
    list[str] | None,
    option("--tree", metavar="ID", text="The whole tree of ID, from its root down; repeatable."),
]
TokenFiles = Annotated[
    list[str] | None,
    option("--token-file", metavar="FILE", text="The one whose token is in FILE; `-` is standard input."),
]


# Guard rails and tasks.
Reason = Annotated[str | None, option("--reason", metavar="TEXT", text="Why; kept in the audit log.")]
Max = Annotated[int | None, option("--max", metavar="N", text="Refuse to end more than N without --yes.")]
Yes = Annotated[bool, option("--yes", metavar=None, text="End them without asking, however many.")]
YesFound = Annotated[
    bool,
    option("--yes", metavar=None, text="End also what is not proved, and however many."),
]
YesLeaked = Annotated[
    bool,
    option("--yes", metavar=None, text="Record and end also what is not proved, and however many."),
]
YesValid = Annotated[bool, option("--yes", metavar=None, text="Close also what still works.")]
WaitForTargets = Annotated[
    str | None,
    option("--wait", metavar="DURATION", text="Try so long until targets confirm that nothing is left."),
]
DryRun = Annotated[bool, option("--dry-run", metavar=None, text="Say what would be done, and do nothing.")]
TaskName = Annotated[
    str,
    typer.Argument(metavar="TASK", help="The name of a task, or OWNER/NAME.", show_default=False),
]
ShareWith = Annotated[
    list[str] | None,
    option("--with", metavar="WHO", text="A delegator, or a group as group:NAME; repeatable."),
]
EndShare = Annotated[bool, option("--end", metavar=None, text="End the share instead.")]
GiveTo = Annotated[str | None, option("--to", metavar="DELEGATOR", text="The new owner of the task.")]
