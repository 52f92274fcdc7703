"""Options of copies, backups and publications of a ledger."""

from __future__ import annotations

from typing import Annotated

import typer

from jitid.cli.options.declare import option

PublishedFolder = Annotated[
    str,
    typer.Argument(metavar="DIR", help="The folder; it is made if it is not there.", show_default=False),
]
CopyTo = Annotated[
    str | None,
    option(
        "--to",
        metavar="URL",
        text="Where the copy is to be: a folder that is not there yet, or postgresql://…",
    ),
]
IssuerAction = Annotated[
    str | None,
    typer.Argument(metavar="[ACTION]", help="What to do: show (the default) or set.", show_default=False),
]
IssuerName = Annotated[
    str | None,
    typer.Argument(metavar="[URL]", help="With set: the new issuer, an https address.", show_default=False),
]
YesRename = Annotated[
    bool, option("--yes", metavar=None, text="Change the issuer without asking, though credentials are live.")
]
NewIssuer = Annotated[
    str | None,
    option(
        "--issuer",
        metavar="URL",
        text="The issuer that new credentials of the copy name; those under the earlier one stay valid.",
    ),
]
CopyKeys = Annotated[
    bool,
    option(
        "--keys",
        metavar=None,
        text="Copy the private keys too, for a database into the folder that `home` names (mode 0600).",
    ),
]


# Backups.
BackupPlace = Annotated[
    str,
    typer.Argument(
        metavar="BACKUP",
        help="A new folder, a new file *.tar, a folder for many of them, or `-`.",
        show_default=False,
    ),
]
BackupKeys = Annotated[bool, option("--keys", metavar=None, text="Put the private keys into it too.")]
NoVerify = Annotated[
    bool,
    option("--no-verify", metavar=None, text="Do not examine the copy; restoring it does in any case."),
]
BackupToRestore = Annotated[
    str,
    typer.Argument(
        metavar="BACKUP", help="The folder or the file; `-` is standard input.", show_default=False
    ),
]
ReplaceLedger = Annotated[
    bool, option("--replace", metavar=None, text="Move the ledger that is there aside, and keep it.")
]
RestoreNoEnds = Annotated[
    bool,
    option("--keep-live", metavar=None, text="End nothing: nothing was ended since the backup was made."),
]
BackupToCheck = Annotated[
    str | None,
    typer.Argument(
        metavar="[BACKUP]", help="A backup instead of the ledger; `-` is standard input.", show_default=False
    ),
]
