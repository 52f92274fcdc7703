"""`jitid scan`: find jitid's secrets in files, and report the owner and the state of each."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from jitid.errors import UsageError
from jitid.values.text import quote

# Modules about the ledger are imported later, while other processes search already.
if TYPE_CHECKING:
    from jitid.capabilities.scan.source import Source
    from jitid.cli import options
    from jitid.cli.invocation import Invocation

OWN_FORMATS = ("sarif", "prometheus", "html")
"""Formats of this verb, besides the formats of all verbs."""

FORMS: dict[str, frozenset[str]] = {
    "opaque": frozenset({"opaque"}),
    "jwt": frozenset({"signed", "foreign", "cut"}),
    "certificate": frozenset({"prints"}),
    "private-key": frozenset({"keys", "locked"}),
    "adopted": frozenset({"secrets"}),
}
"""Forms that --only accepts, each with its types of strings."""


def scan(
    cli: Invocation,
    paths: options.ScanPaths = None,
    git: options.ScanGit = False,
    commits: options.ScanCommits = None,
    unreachable: options.ScanUnreachable = False,
    staged: options.ScanStaged = False,
    install_hook: options.InstallHook = False,
    only: options.ScanOnly = None,
    no_ignore: options.NoIgnore = False,
    one_file_system: options.OneFileSystem = False,
    fail_on: options.FailOn = None,
    report: options.ReportFound = False,
    source: options.ScanSource = None,
    revoke: options.EndProved = False,
    reason: options.Reason = None,
    dry_run: options.DryRun = False,
    max_: options.Max = None,
    yes: options.YesProved = False,
    out: options.ScanOut = None,
    rules: options.ScanRules = None,
    authority: options.RulesAuthority = None,
) -> None:
    """Find our own secrets in files, and end them with --revoke.

    Looks through files, folders, gzip and zip files, standard input, or with --git the whole history of a repository
    for tokens, certificates, private keys and adopted secrets of the ledger, and says of each place whose that is and
    whether it lives; without a ledger it goes by their form alone. What .gitignore names is passed over, and no link is
    followed. Where only the files of a repository are searched, a note names the command for its history. The findings
    come in the formats and with the statuses of `sweep`: 10 says that something is there at or above --fail-on, 11 that
    not all was searched. What --revoke ends and --report records is what a fingerprint or a signature proves.
    """
    searching = (git, commits, unreachable, staged, only, no_ignore, one_file_system, fail_on)
    doing = (report, source, revoke, reason, dry_run, max_, yes, out)
    scans = any(option not in (None, False) for option in (*searching, *doing))
    if rules is not None or authority is not None:
        from jitid.cli.leak.scan_rules import print_rules

        print_rules(cli, rules, authority, searches=scans or install_hook or bool(paths))
        return
    from jitid.cli.leak import scan_git, scan_rows, scan_work

    if install_hook:
        if scans:
            raise UsageError("--install-hook scans nothing", "leave the other options out")
        scan_git.install_hook(cli, paths or ())
        return
    own_format = cli.own_format(OWN_FORMATS)
    categories = _categories(only)
    request = scan_rows.scan_request(cli, own_format, fail_on, out)
    scan_git.check(
        commits or (), git=git, staged=staged, unreachable=unreachable, for_files=no_ignore or one_file_system
    )
    source_paths = scan_git.named(paths or ()) if git or staged else paths or ()
    action = scan_rows.action(
        cli, source_paths, source, reason, max_, report=report, revoke=revoke, dry_run=dry_run, yes=yes
    )
    if staged:
        scanned = scan_git.staged(paths or ())
    elif git:
        scanned = scan_git.history(paths or (), commits or (), unreachable=unreachable)
    else:
        scanned = _source(cli, paths, no_ignore, one_file_system)
    scan_work.run(cli, request, action, scanned, categories)


def _categories(only: list[str] | None) -> frozenset[str]:
    for name in only or ():
        if name not in FORMS:
            raise UsageError(f"there is no form {quote(name)}", f"choose one of: {', '.join(FORMS)}")
    return frozenset[str]().union(*(FORMS[name] for name in only or FORMS))


def _source(cli: Invocation, paths: list[str] | None, no_ignore: bool, one_file_system: bool) -> Source:
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
