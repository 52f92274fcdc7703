"""Options of the verbs that issue."""

from __future__ import annotations

from typing import Annotated

import typer

from jitid.cli.options.declare import option

# Scripts and launchers call `issue`, so these options have environment variables.
Task = Annotated[
    str | None, option("--task", metavar="NAME", text="The task the identity is for.", variable="JITID_TASK")
]
Delegator = Annotated[
    str | None,
    option(
        "--delegator",
        metavar="NAME",
        text="Who asks: NAME, user:NAME or system:NAME.",
        variable="JITID_DELEGATOR",
    ),
]
DelegatorTokenFile = Annotated[
    str | None,
    option(
        "--delegator-token-file",
        metavar="FILE",
        text="An ID token that proves the delegator; `-` is standard input.",
        variable="JITID_DELEGATOR_TOKEN_FILE",
    ),
]
Agent = Annotated[
    str | None, option("--agent", metavar="NAME", text="Who acts (default: agent).", variable="JITID_AGENT")
]
RunningAgent = Annotated[
    str | None,
    option("--agent", metavar="NAME", text="Who acts (default: the program's name).", variable="JITID_AGENT"),
]
Kind = Annotated[
    str | None,
    option(
        "--kind",
        metavar="KIND",
        text="What to make: jwt (default), opaque … or KIND:TEMPLATE.",
        variable="JITID_KIND",
    ),
]
Scopes = Annotated[
    list[str] | None,
    option(
        "--scope", metavar="SCOPE", text="A right, as segment:segment; repeatable.", variable="JITID_SCOPE"
    ),
]
Audiences = Annotated[
    list[str] | None,
    option(
        "--audience",
        metavar="AUD",
        text="A service that it is shown to; repeatable (default: an identity token).",
        variable="JITID_AUDIENCE",
    ),
]
MayAudiences = Annotated[
    list[str] | None,
    option(
        "--may-audience",
        metavar="AUD",
        text="A service it may obtain tokens for, as https://*.example.com; repeatable.",
        variable="JITID_MAY_AUDIENCE",
    ),
]
MayActs = Annotated[
    list[str] | None,
    option(
        "--may-act",
        metavar="CALLER=AUD",
        text="Let CALLER exchange it for tokens for AUD,…; repeat for the next in a chain.",
        variable=None,
    ),
]
Ttl = Annotated[
    str | None,
    option(
        "--ttl", metavar="DURATION", text="How long it lives, as 90s or 15m (default).", variable="JITID_TTL"
    ),
]
Purpose = Annotated[
    str | None,
    option("--purpose", metavar="TEXT", text="Why; fixed by a task's first issue.", variable="JITID_PURPOSE"),
]
Sensitivity = Annotated[
    str | None,
    option(
        "--sensitivity",
        metavar="LEVEL",
        text="low, moderate (default), high or critical.",
        variable="JITID_SENSITIVITY",
    ),
]
Deadline = Annotated[
    str | None,
    option(
        "--deadline",
        metavar="WHEN",
        text="When a new task ends: a duration (24h) or a time.",
        variable="JITID_DEADLINE",
    ),
]
ParentFile = Annotated[
    str | None,
    option(
        "--parent-file",
        metavar="FILE",
        text="The token to delegate from; `-` is standard input.",
        variable="JITID_PARENT_FILE",
    ),
]
Details = Annotated[
    list[str] | None,
    option("--detail", metavar="JSON", text="An authorization detail (RFC 9396); repeatable.", variable=None),
]
Out = Annotated[
    str | None,
    option("--out", metavar="FILE", text="Write the token to FILE, mode 0600.", variable="JITID_OUT"),
]
PublicKey = Annotated[
    str | None,
    option(
        "--public-key", metavar="FILE", text="The key for a certificate, made by you; `-` is standard input."
    ),
]
MayKinds = Annotated[
    list[str] | None,
    option(
        "--may-kind",
        metavar="KIND",
        text="A kind that its holder may obtain, as KIND[:TEMPLATE]; repeatable (default: jwt, opaque).",
        variable="JITID_MAY_KIND",
    ),
]
AllowNarrower = Annotated[
    bool,
    option(
        "--allow-narrower", metavar=None, text="Take the scopes that are permitted, and say which are not."
    ),
]
Variable = Annotated[
    str | None,
    option("--env", metavar="VAR", text="Give the command its token in VAR too; it is then not renewed."),
]
TokenFolder = Annotated[
    str | None,
    option("--file", metavar="DIR", text="Keep the token in the file DIR/token instead of in memory."),
]
Secrets = Annotated[
    list[str] | None,
    option(
        "--secret",
        metavar="NAME=KIND",
        text="A further credential for the command, as NAME=KIND[:TEMPLATE]; repeatable.",
        variable="JITID_SECRET",
    ),
]
OnExit = Annotated[
    str | None,
    option("--on-exit", metavar="WHAT", text="revoke (default) or keep what the command was given."),
]
Grace = Annotated[
    str | None,
    option("--grace", metavar="DURATION", text="At its last moment, from TERM to KILL (default 10s)."),
]
Command = Annotated[
    list[str],
    typer.Argument(metavar="CMD...", help="The command, after `--`.", show_default=False),
]
Wait = Annotated[
    str | None,
    option("--wait", metavar="DURATION", text="Wait so long for an approval, if one is needed."),
]
AsOf = Annotated[
    str | None,
    option("--as-of", metavar="TIME", text="With --dry-run: what the policy would say at TIME (RFC 3339)."),
]
PrivateOut = Annotated[
    str | None, option("--out", metavar="FILE", text="Write it to FILE, for its owner alone (0600).")
]
PublicOut = Annotated[
    str | None, option("--out", metavar="FILE", text="Write it to FILE, for everybody to read (0644).")
]
Count = Annotated[int | None, option("--count", metavar="N", text="Issue N credentials, one JSON line each.")]
YesMany = Annotated[
    bool, option("--yes", metavar=None, text="Issue as many as --count or --from-file says without asking.")
]
FromFile = Annotated[
    str | None,
    option("--from-file", metavar="FILE", text="Issue one for each JSON line; `-` is standard input."),
]
