"""`jitid scan`: find jitid's secrets in files, and report the owner and the state of each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jitid.errors import UsageError

# Modules about the ledger are imported later, while other processes search already.
if TYPE_CHECKING:
    from jitid.capabilities.scan.hits import Source
    from jitid.cli.invocation import Invocation
    from jitid.cli.leak import commands

FORMS: dict[str, frozenset[str]] = {
    "opaque": frozenset({"opaque"}),
    "jwt": frozenset({"signed", "foreign", "cut"}),
    "certificate": frozenset({"prints"}),
    "private-key": frozenset({"keys", "locked"}),
    "adopted": frozenset({"secrets"}),
}
"""Forms that --only accepts, each with its types of strings."""


def scan(cli: Invocation, args: commands.ScanCommand) -> None:
    """Perform `jitid scan`."""
    searching = (
        args.git,
        args.commits,
        args.unreachable,
        args.staged,
        args.only,
        args.no_ignore,
        args.one_file_system,
        args.fail_on,
    )
    doing = (args.report, args.source, args.revoke, args.reason, args.dry_run, args.max_, args.yes, args.out)
    scans = any(option not in (None, False, ()) for option in (*searching, *doing))
    if args.rules is not None or args.authority is not None:
        from jitid.cli.leak.scan_rules import print_rules

        print_rules(cli, args.rules, args.authority, searches=scans or args.install_hook or bool(args.paths))
        return
    from jitid.cli.leak import scan_git, scan_rows, scan_work

    if args.install_hook:
        if scans:
            raise UsageError("--install-hook scans nothing", "leave the other options out")
        scan_git.install_hook(cli, args.paths)
        return
    categories = frozenset[str]().union(*(FORMS[name] for name in args.only or FORMS))
    scan_git.check(
        args.commits,
        git=args.git,
        staged=args.staged,
        unreachable=args.unreachable,
        for_files=args.no_ignore or args.one_file_system,
    )
    source_paths = scan_git.named(args.paths) if args.git or args.staged else args.paths
    action = scan_rows.action(cli, source_paths, args)
    if args.staged:
        scanned = scan_git.staged(args.paths)
    elif args.git:
        scanned = scan_git.history(args.paths, args.commits, unreachable=args.unreachable)
    else:
        scanned = _source(cli, args.paths, args.no_ignore, args.one_file_system)
    scan_work.run(cli, args, action, scanned, categories)


def _source(cli: Invocation, paths: Sequence[str], no_ignore: bool, one_file_system: bool) -> Source:
    """Return the files to search. Raises UsageError."""
    from jitid.capabilities.scan.file_source import FileSource
    from jitid.cli.leak.scan_rows import own_folder
    from jitid.cli.read_input import check_one_stdin

    if not paths:
        raise UsageError(
            "nothing is named to be scanned", "name files or folders, `.` for this one; `-`: stdin"
        )
    check_one_stdin(*paths)
    if "-" in paths and os.isatty(0):
        raise UsageError(
            "what is to be scanned is expected on standard input, and that is a terminal",
            "pipe it in, or name files",
        )
    return FileSource(
        paths, ignore=not no_ignore, one_file_system=one_file_system, spared=own_folder(cli.config())
    )
