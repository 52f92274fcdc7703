"""Options of `scan`."""

from __future__ import annotations

from typing import Annotated

import typer

from jitid.cli.options.declare import option

ScanPaths = Annotated[
    list[str] | None,
    typer.Argument(metavar="[PATH...]", help="Files and folders; `-`: standard input.", show_default=False),
]
ScanOnly = Annotated[
    list[str] | None,
    option("--only", metavar="FORM", text="Look for this alone: opaque, jwt, certificate …; repeatable."),
]
NoIgnore = Annotated[
    bool, option("--no-ignore", metavar=None, text="Also what .gitignore names, and folders of git.")
]
ScanGit = Annotated[
    bool, option("--git", metavar=None, text="The history of the git repository PATH, or of the one here.")
]
ScanCommits = Annotated[
    list[str] | None,
    option("--commits", metavar="RANGE", text="With --git: what these bring, as main..HEAD; repeatable."),
]
ScanUnreachable = Annotated[
    bool, option("--unreachable", metavar=None, text="With --git: also what no ref leads to any more.")
]
ScanStaged = Annotated[
    bool, option("--staged", metavar=None, text="What is about to be committed there and is new in it.")
]
InstallHook = Annotated[
    bool, option("--install-hook", metavar=None, text="Scan nothing: let git look before each commit there.")
]
OneFileSystem = Annotated[
    bool, option("--one-file-system", metavar=None, text="Enter no other file system than each PATH's.")
]
ReportFound = Annotated[
    bool, option("--report", metavar=None, text="Record as leaks what is proved, with its places.")
]
ScanSource = Annotated[
    str | None,
    option("--source", metavar="TEXT", text="With --report: where that was (default: the paths)."),
]
EndProved = Annotated[
    bool, option("--revoke", metavar=None, text="End what is proved to be ours, and all below it.")
]
YesProved = Annotated[bool, option("--yes", metavar=None, text="End them without asking, however many.")]
ScanOut = Annotated[
    str | None,
    option("--out", metavar="FILE", text="Write to FILE, whole or not at all (0600; prometheus: 0644)."),
]
ScanRules = Annotated[
    str | None,
    option(
        "--rules",
        metavar="SCANNER",
        text="Scan nothing: print rules for gitleaks, kingfisher or betterleaks.",
    ),
]
RulesAuthority = Annotated[
    str | None,
    option(
        "--authority",
        metavar="URL",
        text="With --rules: where the scanner asks about what it finds, and ends it.",
    ),
]
