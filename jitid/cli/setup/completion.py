"""`jitid completion`: print the completion scripts, and install them for shells."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from jitid.cli.invocation import Invocation
from jitid.errors import JitidError, NotFoundError, OutputError, PartialError
from jitid.system import installed_files, output, shell_setup
from jitid.system.installed_files import Reader

if TYPE_CHECKING:
    from jitid.cli.setup import commands


def show(cli: Invocation, args: commands.CompletionShowCommand) -> None:  # noqa: ARG001 - every verb gets it
    """Perform `jitid completion show`."""
    output.write(installed_files.completion(_reader(args.shell)).text())


def install(cli: Invocation, args: commands.CompletionInstallCommand) -> None:
    """Perform `jitid completion install`."""
    shells = [_reader(name) for name in args.shell] or shell_setup.present()
    if not shells:
        raise NotFoundError(
            "bash, zsh and fish are not installed; nothing was changed", "name a shell with --shell"
        )
    files = [
        *(installed_files.completion(reader) for reader in dict.fromkeys(shells)),
        *installed_files.man_pages(),
    ]
    rows = []
    failures: list[JitidError] = []
    for file in files:
        path = installed_files.target(file)
        try:
            state: str = installed_files.install(file, path)
        except OutputError as error:
            failures.append(error)
            state = "failed"
        rows.append({"for": file.reader, "path": path, "state": state})
    installed = [file for file, row in zip(files, rows, strict=True) if row["state"] != "failed"]
    next_steps = list(shell_setup.left_to_do(installed))
    shown_rows = rows if cli.verbose else _brief(rows)
    cli.show_records(args.view, shown_rows, document={"files": rows, "left_to_do": next_steps})
    for sentence in next_steps:
        cli.note(sentence)
    if failures and not installed:
        raise failures[0]
    if failures:
        raise PartialError(
            f"{len(failures)} of {len(files)} files could not be written: {failures[0].message}",
            failures[0].hint,
        )


def _brief(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return the rows without --verbose: the man pages are in one row for each of their states."""
    brief = [row for row in rows if row["for"] != "man"]
    pages = [row for row in rows if row["for"] == "man"]
    for state in dict.fromkeys(row["state"] for row in pages):
        count = sum(row["state"] == state for row in pages)
        folder = os.path.dirname(os.path.dirname(pages[0]["path"]))
        brief.append({"for": f"man ({count} pages)", "path": folder, "state": state})
    return brief


def _reader(name: str) -> Reader:
    return next(shell for shell in installed_files.SHELLS if shell == name)
