"""Options of the verbs that read: subjects and filters."""

from __future__ import annotations

from typing import Annotated

import typer

from jitid.cli.options.declare import option

# Subjects.
Subject = Annotated[
    str | None,
    typer.Argument(
        metavar="[ID|FILE]", help="An id, or a file with a token; `-`: standard input.", show_default=False
    ),
]
Leaked = Annotated[
    str | None,
    typer.Argument(
        metavar="[ID|FILE]",
        help="An id or a fingerprint, or a file with any text; `-`: standard input.",
        show_default=False,
    ),
]
EndFound = Annotated[bool, option("--revoke", metavar=None, text="End what was found, and all below it.")]
LeakedText = Annotated[
    str | None,
    typer.Argument(
        metavar="[FILE]",
        help="A file with any text; standard input if absent or `-`.",
        show_default=False,
    ),
]
FromReport = Annotated[
    str | None,
    option("--from", metavar="FILE", text="What a scanner reported (`-`: standard input), with its places."),
]
OfScanner = Annotated[
    str | None,
    option("--report-format", metavar="FORMAT", text="Whose report that is (default: told by its content)."),
]
Source = Annotated[
    str | None,
    option("--source", metavar="TEXT", text="Where it was found (default: the file's name, or stdin)."),
]
ReportedAt = Annotated[
    str | None, option("--at", metavar="TIME", text="When that was reported (RFC 3339; default: now).")
]
EndLeaked = Annotated[bool, option("--revoke", metavar=None, text="End what leaked, and all below it.")]
LeakIds = Annotated[
    list[str],
    typer.Argument(
        metavar="ID...", help="The number of a leak, or the jti of what leaked.", show_default=False
    ),
]
LeakId = Annotated[
    str,
    typer.Argument(metavar="ID", help="The number of a leak, or the jti of what leaked.", show_default=False),
]
Open = Annotated[bool, option("--open", metavar=None, text="Only those that nobody has closed.")]
StillValid = Annotated[bool, option("--valid", metavar=None, text="Only those that still work.")]
TokenArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[FILE]", help="A file with a token; standard input if absent or `-`.", show_default=False
    ),
]
RenewedFile = Annotated[
    str | None,
    option(
        "--token-file",
        metavar="FILE",
        text="The token to renew; FILE is rewritten in place. Standard input if absent or `-`.",
    ),
]
RenewedTtl = Annotated[
    str | None,
    option("--ttl", metavar="DURATION", text="How long the successor lives (default: as its predecessor)."),
]
StatusListFile = Annotated[
    str | None,
    option(
        "--status-list", metavar="FILE", text="Ask no ledger but this status list, which the token names."
    ),
]
KeySetFile = Annotated[
    str | None,
    option("--jwks", metavar="FILE", text="With --status-list: the keys that sign both (JWKS)."),
]
PublishedPlace = Annotated[
    str | None,
    option("--published", metavar="DIR", text="Ask no ledger but what `jitid publish` wrote into DIR."),
]
ExpectedIssuer = Annotated[
    str | None,
    option(
        "--issuer", metavar="ISS", text="Without a ledger: whose tokens are taken (default: the setting)."
    ),
]
ExpectedAudiences = Annotated[
    list[str] | None, option("--audience", metavar="AUD", text="Accept tokens meant for AUD; repeatable.")
]
Live = Annotated[bool, option("--live", metavar=None, text="Only what is alive.")]
Unsettled = Annotated[
    bool,
    option("--unsettled", metavar=None, text="Only what has ended, and is still to be ended at its target."),
]
Sort = Annotated[
    str | None, option("--sort", metavar="FIELD", text="Sort by FIELD; -FIELD turns it round (-issued_at).")
]
Limit = Annotated[int | None, option("--limit", metavar="N", text="At most N rows.")]
After = Annotated[str | None, option("--after", metavar="ID", text="Go on after ID, the last one seen.")]
Since = Annotated[str | None, option("--since", metavar="TIME", text="From TIME on (RFC 3339).")]
Until = Annotated[str | None, option("--until", metavar="TIME", text="Before TIME (RFC 3339).")]


# Filters on columns.
OfTask = Annotated[str | None, option("--task", metavar="NAME", text="Of this task.")]
OfDelegator = Annotated[
    str | None,
    option("--delegator", metavar="NAME", text="Of this root delegator, or delegated by agent:NAME."),
]
OfAgent = Annotated[str | None, option("--agent", metavar="NAME", text="Of this agent.")]
OfKind = Annotated[str | None, option("--kind", metavar="KIND", text="Of this kind.")]
OfSensitivity = Annotated[str | None, option("--sensitivity", metavar="LEVEL", text="Of this sensitivity.")]
OfProof = Annotated[
    str | None,
    option(
        "--proof", metavar="PROOF", text="Delegator proved so: asserted, os-user, credential, parent or oidc."
    ),
]
OfScope = Annotated[str | None, option("--scope", metavar="SCOPE", text="Holding exactly this scope.")]
OfAudience = Annotated[str | None, option("--audience", metavar="AUD", text="Meant for this audience.")]
OfPurpose = Annotated[str | None, option("--purpose", metavar="TEXT", text="Of a task with this purpose.")]
OfState = Annotated[
    str | None,
    option("--state", metavar="STATE", text="pending, active, expired, revoked, retired or superseded."),
]
OfProcess = Annotated[
    str | None,
    option("--process", metavar="STATE", text="Live, and given to a process that is alive, gone or unknown."),
]
OfId = Annotated[str | None, option("--id", metavar="ID", text="This identity or credential.")]
OfSource = Annotated[str | None, option("--source", metavar="TEXT", text="Found there.")]
OfParent = Annotated[str | None, option("--parent", metavar="ID", text="Delegated by this identity.")]
OfDepth = Annotated[int | None, option("--depth", metavar="N", text="So many delegations from the root.")]
OfKey = Annotated[str | None, option("--signed-by", metavar="KID", text="Signed by this key.")]
ExpiresBefore = Annotated[
    str | None, option("--expires-before", metavar="TIME", text="Expiring before TIME (RFC 3339).")
]
ExpiresAfter = Annotated[
    str | None, option("--expires-after", metavar="TIME", text="Expiring at TIME or later (RFC 3339).")
]
OfTaskState = Annotated[str | None, option("--state", metavar="STATE", text="open, overdue or ended.")]
AfterTask = Annotated[str | None, option("--after", metavar="TASK", text="Go on after this task.")]
Shape = Annotated[
    str | None, option("--as", metavar="SHAPE", text="mermaid or dot: the tree as a drawing's source.")
]


# Filters on the audit log; keys.
OfOperation = Annotated[
    str | None, option("--operation", metavar="NAME", text="Of this operation, as issue or denial.")
]
OfCaller = Annotated[
    str | None, option("--by", metavar="LOGIN", text="Done by this login, caller or identity (jid_).")
]
OfRule = Annotated[str | None, option("--rule", metavar="ID", text="Decided by this policy rule.")]
OfSweep = Annotated[str | None, option("--sweep", metavar="ID", text="Done by this sweep.")]
OfTrace = Annotated[
    str | None,
    option("--trace", metavar="TRACE", text="Of the request that had this trace id or traceparent."),
]
OfEvent = Annotated[int | None, option("--event", metavar="N", text="This event only.")]
AfterEvent = Annotated[int | None, option("--after", metavar="N", text="Go on after event N.")]
Members = Annotated[
    bool, option("--members", metavar=None, text="Name the credentials each event issued and ended.")
]
Follow = Annotated[
    bool, option("--follow", "-f", metavar=None, text="Go on with new events as they are committed.")
]
Algorithm = Annotated[str | None, option("--algorithm", metavar="ALG", text="EdDSA (default) or ES256.")]
KeyUse = Annotated[
    str | None, option("--use", metavar="USE", text="What the key signs: jws (default), x509 or ssh.")
]
TransitKey = Annotated[
    str | None,
    option(
        "--transit",
        metavar="TARGET/KEY",
        text="Let a transit engine keep the key; `none`: a file (default: as the key before).",
    ),
]
Chain = Annotated[
    str | None,
    typer.Argument(
        metavar="[FILE]",
        help="A file with the certificates in PEM; standard input if absent or `-`.",
        show_default=False,
    ),
]
ListLifetime = Annotated[
    str | None, option("--lifetime", metavar="DURATION", text="How long the list counts (default: 24h).")
]
IdsFile = Annotated[
    str | None, option("--ids-file", metavar="FILE", text="A file with an id a line; `-` is standard input.")
]


# report
At = Annotated[
    str | None,
    option("--at", metavar="TIME", text="Report that time from what the ledger remembers (default: now)."),
]
Days = Annotated[
    int | None, option("--days", metavar="N", text="For how many days to tell the trend (default 30).")
]
ReportOut = Annotated[
    str | None,
    option("--out", metavar="FILE", text="Write it to FILE: mode 0600, and 0644 what is for Prometheus."),
]
