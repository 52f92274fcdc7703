"""Who may delegate what: policies, and what was decided by them."""

from __future__ import annotations

from typing import Annotated

import typer

from jitid.commands.options.declaring import option

# explain
ExplainedId = Annotated[
    str | None,
    typer.Argument(
        metavar="[ID|FILE]", help="An id, or a file with a token; `-`: standard input.", show_default=False
    ),
]
ExplainedEvent = Annotated[
    int | None, option("--event", metavar="N", text="The decision of audit event N, such as a denial.")
]


# policy check
CheckedPaths = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[DIR|FILE]...", help="Policies; the one in force unless named.", show_default=False
    ),
]


# policy diff
OldPolicy = Annotated[
    str,
    typer.Argument(
        metavar="OLD", help="A folder, a file, `current`, `default` or a digest.", show_default=False
    ),
]
NewPolicy = Annotated[
    str, typer.Argument(metavar="NEW", help="What is compared with it, named alike.", show_default=False)
]
DiffSince = Annotated[
    str | None, option("--since", metavar="TIME", text="Only what was decided from TIME on (RFC 3339).")
]
ExitCode = Annotated[bool, option("--exit-code", metavar=None, text="End with 10 if something would change.")]


# policy init
NewFolder = Annotated[
    str, typer.Argument(metavar="DIR", help="A folder that is new or empty.", show_default=False)
]
WithDefault = Annotated[
    bool, option("--with-default", metavar=None, text="Put the default policy beside the example.")
]


# policy show
RuleName = Annotated[
    str | None,
    typer.Argument(metavar="[RULE]", help="A rule, whose text is shown.", show_default=False),
]
StoredDigest = Annotated[
    str | None,
    option("--digest", metavar="HEX", text="One that decided once: its digest, or how that begins."),
]
ShippedPolicy = Annotated[bool, option("--default", metavar=None, text="The one that jitid ships.")]
WholeText = Annotated[bool, option("--text", metavar=None, text="The text of its files.")]


# policy test
CaseFiles = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FILE|DIR]...",
        help="Cases; those beside the policy in force unless named.",
        show_default=False,
    ),
]
TestedPolicy = Annotated[
    str | None,
    option("--policy", metavar="DIR", text="Try this policy (default: the one in the folder of the cases)."),
]
RequireCoverage = Annotated[
    bool, option("--require-coverage", metavar=None, text="End with 10 if a rule is reached by no case.")
]
