"""The parameters of the verbs: their spelling on the command line, their variables, their help.

Each is the type of a verb's parameter: `def issue(given: Globals, task: options.Task = None) -> None`. Verbs
import this module for type checking only, since it needs Typer, which a plain line of `issue` may do without.
A selector or a guard rail has no environment variable: what ends credentials stands on the line.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer


def _option(*names: str, metavar: str | None, text: str, variable: str | None = None) -> Any:  # noqa: ANN401 - as Typer
    return typer.Option(
        *names, metavar=metavar, help=text, envvar=variable, show_envvar=True, show_default=False
    )


# config
Key = Annotated[str, typer.Argument(metavar="KEY", help="The name of a setting.", show_default=False)]
NewValue = Annotated[str, typer.Argument(metavar="VALUE", help="Its new value.", show_default=False)]
Origin = Annotated[bool, _option("--origin", metavar=None, text="Say where each value came from.")]

# What is issued. These have variables, since `issue` is called from scripts and launchers.
Task = Annotated[
    str | None, _option("--task", metavar="NAME", text="The task the identity is for.", variable="JITID_TASK")
]
Delegator = Annotated[
    str | None,
    _option(
        "--delegator",
        metavar="NAME",
        text="Who asks: NAME, user:NAME or system:NAME.",
        variable="JITID_DELEGATOR",
    ),
]
DelegatorTokenFile = Annotated[
    str | None,
    _option(
        "--delegator-token-file",
        metavar="FILE",
        text="An ID token that proves the delegator; `-` is standard input.",
        variable="JITID_DELEGATOR_TOKEN_FILE",
    ),
]
Agent = Annotated[
    str | None, _option("--agent", metavar="NAME", text="Who acts (default: agent).", variable="JITID_AGENT")
]
RunningAgent = Annotated[
    str | None,
    _option(
        "--agent", metavar="NAME", text="Who acts (default: the program's name).", variable="JITID_AGENT"
    ),
]
Kind = Annotated[
    str | None, _option("--kind", metavar="KIND", text="jwt (default) or opaque.", variable="JITID_KIND")
]
Scopes = Annotated[
    list[str] | None,
    _option(
        "--scope", metavar="SCOPE", text="A right, as segment:segment; repeatable.", variable="JITID_SCOPE"
    ),
]
Audiences = Annotated[
    list[str] | None,
    _option("--audience", metavar="AUD", text="Who it is meant for; repeatable.", variable="JITID_AUDIENCE"),
]
Ttl = Annotated[
    str | None,
    _option(
        "--ttl", metavar="DURATION", text="How long it lives, as 90s or 15m (default).", variable="JITID_TTL"
    ),
]
Purpose = Annotated[
    str | None,
    _option(
        "--purpose", metavar="TEXT", text="Why; fixed by a task's first issue.", variable="JITID_PURPOSE"
    ),
]
Sensitivity = Annotated[
    str | None,
    _option(
        "--sensitivity",
        metavar="LEVEL",
        text="low, moderate (default), high or critical.",
        variable="JITID_SENSITIVITY",
    ),
]
Deadline = Annotated[
    str | None,
    _option(
        "--deadline",
        metavar="WHEN",
        text="When a new task ends: a duration (24h) or a time.",
        variable="JITID_DEADLINE",
    ),
]
ParentFile = Annotated[
    str | None,
    _option(
        "--parent-file",
        metavar="FILE",
        text="The token to delegate from; `-` is standard input.",
        variable="JITID_PARENT_FILE",
    ),
]
Details = Annotated[
    list[str] | None,
    _option(
        "--detail", metavar="JSON", text="An authorization detail (RFC 9396); repeatable.", variable=None
    ),
]
Out = Annotated[
    str | None,
    _option("--out", metavar="FILE", text="Write the token to FILE, mode 0600.", variable="JITID_OUT"),
]
AllowNarrower = Annotated[
    bool,
    _option(
        "--allow-narrower", metavar=None, text="Take the scopes that are permitted, and say which are not."
    ),
]
Variable = Annotated[
    str | None,
    _option("--env", metavar="VAR", text="Give the command its token in VAR too; it is then not renewed."),
]
TokenFolder = Annotated[
    str | None,
    _option("--file", metavar="DIR", text="Keep the token in the file DIR/token instead of in memory."),
]
OnExit = Annotated[
    str | None,
    _option("--on-exit", metavar="WHAT", text="revoke (default) or keep what the command was given."),
]
Grace = Annotated[
    str | None,
    _option("--grace", metavar="DURATION", text="At its last moment, from TERM to KILL (default 10s)."),
]
Command = Annotated[
    list[str],
    typer.Argument(metavar="CMD...", help="The command, after `--`.", show_default=False),
]
PrivateOut = Annotated[
    str | None, _option("--out", metavar="FILE", text="Write it to FILE, for its owner alone (0600).")
]
PublicOut = Annotated[
    str | None, _option("--out", metavar="FILE", text="Write it to FILE, for everybody to read (0644).")
]
Count = Annotated[
    int | None, _option("--count", metavar="N", text="Issue N credentials, one JSON line each.")
]
FromFile = Annotated[
    str | None,
    _option("--from-file", metavar="FILE", text="Issue one for each JSON line; `-` is standard input."),
]

# What is looked at.
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
EndFound = Annotated[bool, _option("--revoke", metavar=None, text="End what was found, and all below it.")]
LeakedText = Annotated[
    str | None,
    typer.Argument(
        metavar="[FILE]",
        help="A file with any text; standard input if absent or `-`.",
        show_default=False,
    ),
]
Source = Annotated[
    str | None,
    _option("--source", metavar="TEXT", text="Where it was found (default: the file's name, or stdin)."),
]
ReportedAt = Annotated[
    str | None, _option("--at", metavar="TIME", text="When that was reported (RFC 3339; default: now).")
]
EndLeaked = Annotated[bool, _option("--revoke", metavar=None, text="End what leaked, and all below it.")]
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
Open = Annotated[bool, _option("--open", metavar=None, text="Only those that nobody has closed.")]
StillValid = Annotated[bool, _option("--valid", metavar=None, text="Only those that still work.")]
TokenArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[FILE]", help="A file with a token; standard input if absent or `-`.", show_default=False
    ),
]
RenewedFile = Annotated[
    str | None,
    _option(
        "--token-file",
        metavar="FILE",
        text="The token to renew; FILE is rewritten in place. Standard input if absent or `-`.",
    ),
]
RenewedTtl = Annotated[
    str | None,
    _option("--ttl", metavar="DURATION", text="How long the successor lives (default: as its predecessor)."),
]
ExpectedAudiences = Annotated[
    list[str] | None, _option("--audience", metavar="AUD", text="Accept tokens meant for AUD; repeatable.")
]
Live = Annotated[bool, _option("--live", metavar=None, text="Only what is alive.")]
Sort = Annotated[
    str | None, _option("--sort", metavar="FIELD", text="Sort by FIELD; -FIELD turns it round (-issued_at).")
]
Limit = Annotated[int | None, _option("--limit", metavar="N", text="At most N rows.")]
After = Annotated[str | None, _option("--after", metavar="ID", text="Go on after ID, the last one seen.")]
Since = Annotated[str | None, _option("--since", metavar="TIME", text="From TIME on (RFC 3339).")]
Until = Annotated[str | None, _option("--until", metavar="TIME", text="Before TIME (RFC 3339).")]

# What is selected, to be listed or ended.
Ids = Annotated[
    list[str] | None, typer.Argument(metavar="[ID]...", help="Identities or credentials.", show_default=False)
]
OfTasks = Annotated[list[str] | None, _option("--task", metavar="NAME", text="Those of a task; repeatable.")]
OfDelegators = Annotated[
    list[str] | None,
    _option(
        "--delegator",
        metavar="NAME",
        text="Those of a root delegator, or what agent:NAME delegated; repeatable.",
    ),
]
OfAgents = Annotated[
    list[str] | None, _option("--agent", metavar="NAME", text="Those of an agent; repeatable.")
]
OfTrees = Annotated[
    list[str] | None,
    _option("--tree", metavar="ID", text="The whole tree of ID, from its root down; repeatable."),
]
TokenFiles = Annotated[
    list[str] | None,
    _option("--token-file", metavar="FILE", text="The one whose token is in FILE; `-` is standard input."),
]

# What is filtered by its columns.
OfTask = Annotated[str | None, _option("--task", metavar="NAME", text="Of this task.")]
OfDelegator = Annotated[
    str | None,
    _option("--delegator", metavar="NAME", text="Of this root delegator, or delegated by agent:NAME."),
]
OfAgent = Annotated[str | None, _option("--agent", metavar="NAME", text="Of this agent.")]
OfKind = Annotated[str | None, _option("--kind", metavar="KIND", text="Of this kind.")]
OfSensitivity = Annotated[str | None, _option("--sensitivity", metavar="LEVEL", text="Of this sensitivity.")]
OfProof = Annotated[
    str | None,
    _option("--proof", metavar="PROOF", text="Delegator proved so: asserted, os-user, parent or oidc."),
]
OfScope = Annotated[str | None, _option("--scope", metavar="SCOPE", text="Holding exactly this scope.")]
OfAudience = Annotated[str | None, _option("--audience", metavar="AUD", text="Meant for this audience.")]
OfPurpose = Annotated[str | None, _option("--purpose", metavar="TEXT", text="Of a task with this purpose.")]
OfState = Annotated[
    str | None,
    _option("--state", metavar="STATE", text="pending, active, expired, revoked, retired or superseded."),
]
OfProcess = Annotated[
    str | None,
    _option(
        "--process", metavar="STATE", text="Live, and given to a process that is alive, gone or unknown."
    ),
]
OfId = Annotated[str | None, _option("--id", metavar="ID", text="This identity or credential.")]
OfSource = Annotated[str | None, _option("--source", metavar="TEXT", text="Found there.")]
OfParent = Annotated[str | None, _option("--parent", metavar="ID", text="Delegated by this identity.")]
OfDepth = Annotated[int | None, _option("--depth", metavar="N", text="So many delegations from the root.")]
OfKey = Annotated[str | None, _option("--signed-by", metavar="KID", text="Signed by this key.")]
ExpiresBefore = Annotated[
    str | None, _option("--expires-before", metavar="TIME", text="Expiring before TIME (RFC 3339).")
]
ExpiresAfter = Annotated[
    str | None, _option("--expires-after", metavar="TIME", text="Expiring at TIME or later (RFC 3339).")
]
OfTaskState = Annotated[str | None, _option("--state", metavar="STATE", text="open, overdue or ended.")]
AfterTask = Annotated[str | None, _option("--after", metavar="NAME", text="Go on after the task NAME.")]
Shape = Annotated[
    str | None, _option("--as", metavar="SHAPE", text="mermaid or dot: the tree as a drawing's source.")
]

# What is filtered in the audit log.
OfOperation = Annotated[
    str | None, _option("--operation", metavar="NAME", text="Of this operation, as issue or denial.")
]
OfCaller = Annotated[str | None, _option("--by", metavar="LOGIN", text="Done by this login.")]
OfRule = Annotated[str | None, _option("--rule", metavar="ID", text="Decided by this policy rule.")]
OfSweep = Annotated[str | None, _option("--sweep", metavar="ID", text="Done by this sweep.")]
OfEvent = Annotated[int | None, _option("--event", metavar="N", text="This event only.")]
AfterEvent = Annotated[int | None, _option("--after", metavar="N", text="Go on after event N.")]
Members = Annotated[
    bool, _option("--members", metavar=None, text="Name the credentials each event issued and ended.")
]
Follow = Annotated[
    bool, _option("--follow", "-f", metavar=None, text="Go on with new events as they are committed.")
]
Algorithm = Annotated[str | None, _option("--algorithm", metavar="ALG", text="EdDSA (default) or ES256.")]
IdsFile = Annotated[
    str | None, _option("--ids-file", metavar="FILE", text="A file with an id a line; `-` is standard input.")
]

# How something is ended.
Reason = Annotated[str | None, _option("--reason", metavar="TEXT", text="Why; kept in the audit log.")]
Max = Annotated[int | None, _option("--max", metavar="N", text="Refuse to end more than N without --yes.")]
Yes = Annotated[bool, _option("--yes", metavar=None, text="End them without asking, however many.")]
YesFound = Annotated[
    bool,
    _option("--yes", metavar=None, text="End also what is not proved, and however many."),
]
YesLeaked = Annotated[
    bool,
    _option("--yes", metavar=None, text="Record and end also what is not proved, and however many."),
]
YesValid = Annotated[bool, _option("--yes", metavar=None, text="Close also what still works.")]
DryRun = Annotated[bool, _option("--dry-run", metavar=None, text="Say what would be done, and do nothing.")]
TaskName = Annotated[str, typer.Argument(metavar="TASK", help="The name of a task.", show_default=False)]

# The audit log and the keys.
ExpectHead = Annotated[
    str | None, _option("--expect-head", metavar="FILE", text="A signed head kept earlier.")
]
LogFile = Annotated[
    str | None, _option("--file", metavar="FILE", text="An exported log instead of the ledger's.")
]
Kid = Annotated[str, typer.Argument(metavar="KID", help="The id of a key.", show_default=False)]

# The report.
At = Annotated[
    str | None,
    _option("--at", metavar="TIME", text="Report that time from what the ledger remembers (default: now)."),
]
Days = Annotated[
    int | None, _option("--days", metavar="N", text="For how many days to tell the trend (default 30).")
]
ReportOut = Annotated[
    str | None,
    _option("--out", metavar="FILE", text="Write it to FILE: mode 0600, and 0644 what is for Prometheus."),
]

# Completions.
Shell = Annotated[str, typer.Argument(metavar="SHELL", help="bash, zsh or fish.", show_default=False)]
Shells = Annotated[
    list[str] | None,
    _option(
        "--shell", metavar="SHELL", text="bash, zsh or fish; repeatable (default: those that are installed)."
    ),
]

# What a sweep looks for, and what becomes of it.
Rules = Annotated[list[str] | None, _option("--rule", metavar="RULE", text="Ask this rule only; repeatable.")]
SkippedRules = Annotated[
    list[str] | None, _option("--skip", metavar="RULE", text="Leave this rule out; repeatable.")
]
ListRules = Annotated[bool, _option("--list-rules", metavar=None, text="Explain the rules, and ask none.")]
FailOn = Annotated[
    str | None,
    _option(
        "--fail-on",
        metavar="SEVERITY",
        text="End with 10 if a finding is so grave or graver (default: high).",
    ),
]
SinceTime = Annotated[
    str | None,
    _option("--since", metavar="TIME", text="Only what has been so since TIME (RFC 3339) or later."),
]
Baseline = Annotated[
    str | None,
    _option("--baseline", metavar="FILE", text="Findings that are in FILE are known, and no news."),
]
UpdateBaseline = Annotated[
    bool, _option("--update-baseline", metavar=None, text="Write what is left to the baseline.")
]
FixFound = Annotated[
    bool, _option("--fix", metavar=None, text="End orphans and what leaked; others if --rule names them.")
]
SweepOut = Annotated[
    str | None,
    _option("--out", metavar="FILE", text="Write to FILE, whole or not at all (0600; prometheus: 0644)."),
]
HeadOut = Annotated[
    str | None,
    _option(
        "--head-out",
        metavar="FILE",
        text="Read on from the signed audit head in FILE (all, if it is new); renew it.",
    ),
]

# What runs by itself.
SweepOptions = Annotated[
    list[str] | None,
    typer.Argument(metavar="[OPTION]...", help="Options of `jitid sweep`, after `--`.", show_default=False),
]
Every = Annotated[
    str | None, _option("--every", metavar="DURATION", text="How often it runs (default: 10m).")
]
UnitName = Annotated[
    str | None, _option("--name", metavar="NAME", text="The name of the units (default: jitid-sweep).")
]
UnitFolder = Annotated[
    str | None, _option("--out", metavar="DIR", text="Write both units into DIR, instead of printing them.")
]
