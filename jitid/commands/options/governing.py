"""Who may delegate, who answers for what, and what policies are asked."""

from __future__ import annotations

from typing import Annotated

import typer

from jitid.commands.options.declaring import option

# delegator
NewDelegator = Annotated[
    str,
    typer.Argument(metavar="NAME", help="Their name: NAME, user:NAME or system:NAME.", show_default=False),
]
KnownDelegator = Annotated[
    str, typer.Argument(metavar="NAME", help="Any name of a known delegator.", show_default=False)
]
Entitlements = Annotated[
    list[str] | None,
    option(
        "--entitlement",
        metavar="SCOPE",
        text="They may hand out what SCOPE covers, and nothing that none covers; repeatable.",
    ),
]
NoEntitlements = Annotated[
    bool,
    option(
        "--no-entitlements",
        metavar=None,
        text="They may hand out no scope but by an --entitlement beside it.",
    ),
]
PolicyAlone = Annotated[
    bool,
    option("--policy-alone", metavar=None, text="Leave it to the policy alone what they may hand out."),
]
RemovedEntitlements = Annotated[
    list[str] | None,
    option("--remove-entitlement", metavar="SCOPE", text="Take this entitlement away; repeatable."),
]
HighestSensitivity = Annotated[
    str | None,
    option("--sensitivity", metavar="LEVEL", text="The highest that they may hand out (default: critical)."),
]
ChangedSensitivity = Annotated[
    str | None, option("--sensitivity", metavar="LEVEL", text="The highest that they may hand out.")
]
InGroups = Annotated[
    list[str] | None, option("--group", metavar="GROUP", text="They are in GROUP; repeatable.")
]
NoGroups = Annotated[
    bool, option("--no-groups", metavar=None, text="They are in no group but by a --group beside it.")
]
RemovedGroups = Annotated[
    list[str] | None,
    option("--remove-group", metavar="GROUP", text="They are in GROUP no longer; repeatable."),
]
Manager = Annotated[str | None, option("--manager", metavar="NAME", text="Whom they report to.")]
NoManager = Annotated[bool, option("--no-manager", metavar=None, text="They report to nobody.")]
Aliases = Annotated[
    list[str] | None, option("--alias", metavar="NAME", text="Another name of theirs; repeatable.")
]
Subjects = Annotated[
    list[str] | None,
    option(
        "--subject",
        metavar="SUBJECT",
        text="Who they are in ID tokens, as 'ISS SUB', the `iss` and the `sub`; repeatable.",
    ),
]
NoAliases = Annotated[
    bool,
    option("--no-aliases", metavar=None, text="They have no alias but by an --alias or --subject beside it."),
]
RemovedAliases = Annotated[
    list[str] | None,
    option("--remove-alias", metavar="NAME", text="NAME or 'ISS SUB' is theirs no longer; repeatable."),
]
KeepLive = Annotated[
    bool,
    option("--keep-live", metavar=None, text="What descends from them lives on until it ends by itself."),
]
OfGroup = Annotated[str | None, option("--group", metavar="GROUP", text="In this group.")]
OnlyDisabled = Annotated[bool, option("--disabled", metavar=None, text="Only those who are disabled.")]
OnlyEnabled = Annotated[bool, option("--enabled", metavar=None, text="Only those who are not.")]
AfterDelegator = Annotated[
    str | None, option("--after", metavar="NAME", text="Go on after the delegator NAME.")
]
RosterFile = Annotated[
    str,
    typer.Argument(metavar="FILE", help="A file with delegators; `-`: standard input.", show_default=False),
]
RosterForm = Annotated[
    str | None,
    option("--as", metavar="FORM", text="csv, scim or jsonl (default: by how FILE's name ends)."),
]
FullRoster = Annotated[
    bool,
    option("--full", metavar=None, text="Disable also those whom an import has brought and FILE lacks."),
]
MaxLost = Annotated[
    int | None,
    option("--max", metavar="N", text="Refuse to disable or end more than N without --yes."),
]
YesLost = Annotated[bool, option("--yes", metavar=None, text="Disable and end without asking, however many.")]
