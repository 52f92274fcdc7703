"""What is served, to whom, and how much of it."""

from __future__ import annotations

from typing import Annotated

from jitid.commands.options.declaring import option

# mcp
OwnTokenFile = Annotated[
    str | None,
    option(
        "--token-file",
        metavar="FILE",
        text="The token of the agent's own credential, read anew for each call.",
        variable="JITID_PARENT_FILE",
    ),
]
MostOut = Annotated[
    int | None,
    option("--most", metavar="N", text="Give out at most N identities at a time (default 100)."),
]
WriteRate = Annotated[
    int | None,
    option(
        "--rate",
        metavar="N",
        text="Write to the ledger at most N times a second (default 5), and 10 N at once.",
    ),
]
KeepOut = Annotated[
    bool, option("--keep", metavar=None, text="At the end, leave alive what was given and not handed back.")
]
