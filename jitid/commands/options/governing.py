"""Who may do what: delegators, agents, policies, the use of credentials, approvals."""

from __future__ import annotations

from typing import Annotated

from jitid.commands.options.declaring import option

# audit log
AroundTime = Annotated[
    str | None, option("--at", metavar="TIME", text="Actions of around TIME (RFC 3339), instead of events.")
]
OfAction = Annotated[str | None, option("--action", metavar="ACTION", text="Actions of this name.")]
OfResource = Annotated[
    str | None, option("--resource", metavar="TEXT", text="Actions on just this resource.")
]
Within = Annotated[
    str | None,
    option("--within", metavar="DURATION", text="So long before and after --at (default: 1m)."),
]

# authorize
Action = Annotated[
    str | None, option("--action", metavar="ACTION", text="What is to be done, as s3:GetObject.")
]
Batch = Annotated[
    bool, option("--batch", metavar=None, text="Answer each JSON line of standard input with another.")
]
Context = Annotated[
    str | None,
    option("--context", metavar="JSON", text="What policies may know of it: an object, or @FILE."),
]
Resource = Annotated[str | None, option("--resource", metavar="TEXT", text="What it is done to.")]
UsedFile = Annotated[
    str | None,
    option("--token-file", metavar="FILE", text="The token; standard input if absent or `-`."),
]
