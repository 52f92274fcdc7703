"""Who may do what: delegators, agents, policies, the use of credentials, approvals."""

from __future__ import annotations

from typing import Annotated

import typer

from jitid.commands.options.declaring import option

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
