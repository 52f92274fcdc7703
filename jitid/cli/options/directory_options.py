"""Options of delegators, agents, policies, approvals and the use of credentials."""

from __future__ import annotations

from typing import Annotated

import typer

from jitid.cli.options.declare import option

# agent
AgentName = Annotated[str, typer.Argument(metavar="NAME", help="The name of an agent.", show_default=False)]
AgentNames = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME]...", help="Names of agents; all of them if absent.", show_default=False),
]
SuggestedAgent = Annotated[
    str | None, typer.Argument(metavar="[NAME]", help="The name of an agent.", show_default=False)
]
Owner = Annotated[
    str | None, option("--owner", metavar="DELEGATOR", text="Who answers for it: a known delegator.")
]
AgentPurpose = Annotated[str | None, option("--purpose", metavar="TEXT", text="What it is for.")]
AgentScopes = Annotated[
    list[str] | None,
    option("--scope", metavar="SCOPE", text="What covers what it may hold; repeatable."),
]
AgentAudiences = Annotated[
    list[str] | None,
    option(
        "--audience",
        metavar="AUD",
        text="Who its credentials may be meant for; repeatable (default: as usual).",
    ),
]
AgentKinds = Annotated[
    list[str] | None,
    option("--kind", metavar="KIND", text="What it may be given; repeatable (default: jwt and opaque)."),
]
AgentUsers = Annotated[
    list[str] | None,
    option(
        "--may-use",
        metavar="WHO",
        text="A delegator, group:NAME or agent:NAME that may use the name; repeatable.",
    ),
]
MaxTtl = Annotated[
    str | None,
    option("--max-ttl", metavar="DURATION", text="How long a credential lives at most (default: 1h)."),
]
Concurrency = Annotated[
    int | None,
    option("--concurrency", metavar="N", text="How many identities may live at once (default: any number)."),
]
ReviewDue = Annotated[
    str | None,
    option(
        "--review", metavar="WHEN", text="When it is to be reviewed: a duration or a time (default: 90d)."
    ),
]
NextReview = Annotated[
    str | None,
    option("--next", metavar="WHEN", text="When that is due again: a duration or a time (default: 90d)."),
]
Clear = Annotated[
    list[str] | None,
    option("--clear", metavar="WHAT", text="Let it have no scope, audience or concurrency; repeatable."),
]
KeepLive = Annotated[bool, option("--keep-live", metavar=None, text="Let what it holds live on.")]
OfOwner = Annotated[str | None, option("--owner", metavar="DELEGATOR", text="Of this owner.")]
OfAgentState = Annotated[
    str | None, option("--state", metavar="STATE", text="registered, overdue, suspended or unregistered.")
]
AfterAgent = Annotated[str | None, option("--after", metavar="NAME", text="Go on after the agent NAME.")]
PastDays = Annotated[
    int | None, option("--days", metavar="N", text="For how many days to look back (default: 90).")
]
SuggestedTask = Annotated[
    str | None, option("--task", metavar="NAME", text="What was issued on this task alone.")
]

# approve
ApprovalId = Annotated[
    str, typer.Argument(metavar="REQUEST", help="The id of a request for approval.", show_default=False)
]
WaitingApprovals = Annotated[
    bool, option("--open", metavar=None, text="Only those that wait for somebody's word.")
]
AllApprovals = Annotated[
    bool, option("--all", metavar=None, text="Also those that were used or denied, or expired.")
]
OfGroup = Annotated[
    str | None, option("--group", metavar="GROUP", text="Only those that this group has to approve.")
]
ForGroup = Annotated[
    str | None,
    option("--group", metavar="GROUP", text="Speak for this group alone (default: all of your own)."),
]
ApprovedFor = Annotated[
    str | None,
    option(
        "--for", metavar="DURATION", text="How long it may be used (default and most: approval_lifetime)."
    ),
]
WhyGranted = Annotated[str | None, option("--reason", metavar="TEXT", text="Why; kept in the audit log.")]
WhyDenied = Annotated[
    str | None,
    option("--reason", metavar="TEXT", text="Why; shown to whoever asks, and kept in the audit log."),
]
ApproverTokenFile = Annotated[
    str | None,
    option(
        "--delegator-token-file",
        metavar="FILE",
        text="An ID token that proves who you are (default: your login does); `-` is standard input.",
    ),
]

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
KeepDescended = Annotated[
    bool,
    option("--keep-live", metavar=None, text="What descends from them lives on until it ends by itself."),
]
InGroup = Annotated[str | None, option("--group", metavar="GROUP", text="In this group.")]
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
