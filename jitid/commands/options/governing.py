"""Who may do what: delegators, agents, policies, the use of credentials, approvals."""

from __future__ import annotations

from typing import Annotated

import typer

from jitid.commands.options.declaring import option

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
