"""The verbs of `jitid approve` that are declared here; `issue` does not load them."""

from __future__ import annotations

from jitid.capabilities.issue.approval_operations import APPROVAL_FIELDS
from jitid.formats.columns import Columns
from jitid.operation.base import READS, Verb, limit_opt, reason_opt
from jitid.values.declaration import arg, flag, opt
from jitid.values.field_types import (
    APPROVAL_ID,
    DURATION,
    FILE,
    SHORT_REASON,
    TEXT,
)

_DECIDED = Columns(
    "jitid.approve-decision/1",
    "approval state groups missing approver usable_until event",
    single=True,
)


class ApproveListCommand(Verb):
    """List requests for approval.

    The newest first: those that wait for somebody's word, and those that were granted and not used yet. With
    --open and --group they are those that wait for the word of that group. An authority shows a caller without
    the role admin or auditor the requests that the caller's own groups must approve.
    """

    verb = "approve list"
    function = "issue.approve_verbs:list_"
    effect = READS
    view = Columns(
        "jitid.approve-list/1",
        APPROVAL_FIELDS,
        brief="approval task agent delegator missing left",
        more="left",
    )
    # An ended request has no missing approval.
    with_ended = Columns(
        "jitid.approve-list/1",
        APPROVAL_FIELDS,
        brief="approval state task agent delegator left",
        more="left",
    )

    open_: bool = flag("--open", help="Only those that wait for somebody's word.")
    all_: bool = flag("--all", help="Also those that were used or denied, or expired.")
    group: str | None = opt(
        TEXT, "--group", help="Only those that this group has to approve.", metavar="GROUP"
    )
    limit: int | None = limit_opt()


class ApproveGrantCommand(Verb):
    """Grant a request: what it asks for can be issued once.

    Beside a private ledger all callers are its owner: another person needs an authority (jitid serve). You are who your
    login says, or the ID token in --delegator-token-file; a name is never taken for it. You have to be a known
    delegator of a group that has to approve, and neither the one who asks nor anybody up the chain of delegation. Look
    at it first: jitid approve show.
    """

    verb = "approve grant"
    function = "issue.approve_verbs:grant"
    view = _DECIDED

    request: str = arg(APPROVAL_ID, "REQUEST", help="The id of a request for approval.")
    for_: int | None = opt(
        DURATION, "--for", help="How long it may be used (default and most: approval_lifetime)."
    )
    group: str | None = opt(
        TEXT, "--group", help="Speak for this group alone (default: all of your own).", metavar="GROUP"
    )
    reason: str | None = reason_opt()
    delegator_token_file: str | None = opt(
        FILE,
        "--delegator-token-file",
        help="An ID token that proves who you are (default: your login does); `-` is standard input.",
    )


class ApproveDenyCommand(Verb):
    """Deny a request, granted or not, and end it.

    What was issued with it is not ended by that. Who asks for the same again makes a new request.
    """

    verb = "approve deny"
    function = "issue.approve_verbs:deny"
    view = _DECIDED

    request: str = arg(APPROVAL_ID, "REQUEST", help="The id of a request for approval.")
    group: str | None = opt(
        TEXT, "--group", help="Speak for this group alone (default: all of your own).", metavar="GROUP"
    )
    reason: str | None = opt(
        SHORT_REASON, "--reason", help="Why; shown to whoever asks, and kept in the audit log."
    )
    delegator_token_file: str | None = opt(
        FILE,
        "--delegator-token-file",
        help="An ID token that proves who you are (default: your login does); `-` is standard input.",
    )
