"""Options of settings, the audit log, keys, completions, sweeps and schedules."""

from __future__ import annotations

from typing import Annotated

import typer

from jitid.cli.options.declare import option

# config
Key = Annotated[str, typer.Argument(metavar="KEY", help="The name of a setting.", show_default=False)]
NewValue = Annotated[str, typer.Argument(metavar="VALUE", help="Its new value.", show_default=False)]
Origin = Annotated[bool, option("--origin", metavar=None, text="Say where each value came from.")]


# audit log, keys
ExpectHead = Annotated[
    str | None, option("--expect-head", metavar="FILE", text="A signed head kept earlier.")
]
LogFile = Annotated[
    str | None, option("--file", metavar="FILE", text="An exported log instead of the ledger's.")
]
Kid = Annotated[str, typer.Argument(metavar="KID", help="The id of a key.", show_default=False)]


# prune
RowsAfter = Annotated[
    str | None,
    option("--rows-after", metavar="DURATION", text="How long rows of the dead are kept (default: 30d)."),
]


EvidenceAfter = Annotated[
    str | None,
    option(
        "--evidence-after",
        metavar="DURATION",
        text="How long audit events are kept, with --export (default: 400d).",
    ),
]
ExportFolder = Annotated[
    str | None,
    option("--export", metavar="DIR", text="Export older audit events into this folder, and cut them."),
]


# completion
Shell = Annotated[str, typer.Argument(metavar="SHELL", help="bash, zsh or fish.", show_default=False)]
Shells = Annotated[
    list[str] | None,
    option(
        "--shell", metavar="SHELL", text="bash, zsh or fish; repeatable (default: those that are installed)."
    ),
]


# sweep
Rules = Annotated[list[str] | None, option("--rule", metavar="RULE", text="Ask this rule only; repeatable.")]
SkippedRules = Annotated[
    list[str] | None, option("--skip", metavar="RULE", text="Leave this rule out; repeatable.")
]
Canary = Annotated[
    bool,
    option(
        "--canary",
        metavar=None,
        text="Make, see, revoke and see again a credential without rights of each kind.",
    ),
]
SweptTargets = Annotated[
    list[str] | None, option("--target", metavar="NAME", text="Ask this target only; repeatable.")
]
TargetTimeout = Annotated[
    str | None,
    option("--target-timeout", metavar="DURATION", text="How long each target may take (default: 60s)."),
]
ListRules = Annotated[bool, option("--list-rules", metavar=None, text="Explain the rules, and ask none.")]
FailOn = Annotated[
    str | None,
    option(
        "--fail-on",
        metavar="SEVERITY",
        text="End with 10 if a finding is so grave or graver (default: high).",
    ),
]
SinceTime = Annotated[
    str | None,
    option("--since", metavar="TIME", text="Only what has been so since TIME (RFC 3339) or later."),
]
Baseline = Annotated[
    str | None,
    option("--baseline", metavar="FILE", text="Findings that are in FILE are known, and no news."),
]
UpdateBaseline = Annotated[
    bool, option("--update-baseline", metavar=None, text="Write what is left to the baseline.")
]
FixFound = Annotated[
    bool, option("--fix", metavar=None, text="End orphans and what leaked; others if --rule names them.")
]
SweepOut = Annotated[
    str | None,
    option("--out", metavar="FILE", text="Write to FILE, whole or not at all (0600; prometheus: 0644)."),
]
HeadOut = Annotated[
    str | None,
    option(
        "--head-out",
        metavar="FILE",
        text="Read on from the signed audit head in FILE (all, if it is new); renew it.",
    ),
]


# schedule
SweepOptions = Annotated[
    list[str] | None,
    typer.Argument(metavar="[OPTION]...", help="Options of `jitid sweep`, after `--`.", show_default=False),
]
Every = Annotated[str | None, option("--every", metavar="DURATION", text="How often it runs (default: 10m).")]
UnitName = Annotated[
    str | None, option("--name", metavar="NAME", text="The name of the units (default: jitid-sweep).")
]
UnitFolder = Annotated[
    str | None, option("--out", metavar="DIR", text="Write both units into DIR, instead of printing them.")
]
