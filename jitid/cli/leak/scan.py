"""`jitid scan`: find jitid's secrets in files, and report the owner and the state of each.

Also scans of a git repository instead of files, and rules for other scanners.
"""

from __future__ import annotations

# Modules about the ledger are imported later, while other processes search already.
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jitid.capabilities.scan.rules.rule_file import RuleFormat, rules
from jitid.capabilities.scan.rules.token_patterns import check_place
from jitid.errors import JitidError, UsageError
from jitid.system import output

if TYPE_CHECKING:
    from jitid.capabilities.scan.hits import Source
    from jitid.capabilities.sweep.scan_result import Action
    from jitid.cli.invocation import Invocation
    from jitid.cli.leak import commands
    from jitid.config.effective import Config


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
        args.agents,
        args.only,
        args.no_ignore,
        args.one_file_system,
        args.fail_on,
    )
    doing = (
        args.scrub,
        args.report,
        args.source,
        args.revoke,
        args.reason,
        args.dry_run,
        args.max_,
        args.yes,
        args.out,
    )
    scans = any(option not in (None, False, ()) for option in (*searching, *doing))
    if args.agents and args.rules is not None:
        _scan_by_other(cli, args)
        return
    if args.rules is not None or args.authority is not None:
        print_rules(cli, args.rules, args.authority, searches=scans or args.install_hook or bool(args.paths))
        return
    from jitid.cli.leak import scan_work

    if args.install_hook:
        if scans:
            raise UsageError(
                "--install-hook cannot be combined with options of a search", "leave the other options out"
            )
        install_hook(cli, args.paths)
        return
    categories = frozenset[str]().union(*(FORMS[name] for name in args.only or FORMS))
    check(args)
    source_paths = named(args.paths) if args.git or args.staged else args.paths
    action = _action(cli, ["agents"] if args.agents else source_paths, args)
    scanned: Source
    if args.agents:
        scanned = _agents(cli)
    elif args.staged:
        scanned = staged(args.paths)
    elif args.git:
        scanned = history(args.paths, args.commits, unreachable=args.unreachable)
    else:
        scanned = _source(cli, args)
    scan_work.run(cli, args, action, scanned, categories)


def _source(cli: Invocation, args: commands.ScanCommand) -> Source:
    """Return the files to search. Raises UsageError."""
    from jitid.capabilities.scan.file_source import FileSource
    from jitid.system.read_input import check_one_stdin

    paths = args.paths
    if not paths:
        raise UsageError(
            "there is no path to scan", "name files or folders; `.` is this folder, `-` is standard input"
        )
    check_one_stdin(*paths)
    if "-" in paths and os.isatty(0):
        raise UsageError(
            "standard input is a terminal; expected a pipe or a file",
            "pipe the text in, or name files",
        )
    return FileSource(
        paths,
        ignore=not args.no_ignore,
        one_file_system=args.one_file_system,
        spared=_own_folder(cli.config()),
    )


def _agents(cli: Invocation) -> Source:
    """Return the files of this user's coding agents."""
    from jitid.capabilities.scan.agent_places import found_places
    from jitid.capabilities.scan.agent_source import AgentSource
    from jitid.system.xdg import home

    return AgentSource(found_places(home()), spared=_own_folder(cli.config()))


def _scan_by_other(cli: Invocation, args: commands.ScanCommand) -> None:
    """Run another scanner over the files of agents. Raises UsageError for options that it does not have."""
    check(args)
    options = (
        args.only,
        args.fail_on,
        args.scrub,
        args.report,
        args.source,
        args.revoke,
        args.dry_run,
        args.yes,
    )
    if (
        args.authority is not None
        or args.install_hook
        or any(option not in (None, False, ()) for option in options)
    ):
        raise UsageError(
            "with --agents, --rules takes only --out", "the other options are for searches of jitid itself"
        )
    from jitid.cli.leak import other_scanner

    cli.format = cli.special_format or cli.format
    cli.expect_own_form()
    other_scanner.run(cli, args, RuleFormat(str(args.rules)))


def _own_folder(config: Config) -> frozenset[tuple[int, int]]:
    """Return device and inode of the folder of ledger and keys, where secrets are in their proper place."""
    from jitid.authority.open_local import home_path

    if config.remote is not None:
        return frozenset()
    try:
        status = os.stat(home_path(config))
    except (OSError, JitidError):
        return frozenset()
    return frozenset({(status.st_dev, status.st_ino)})


def _action(cli: Invocation, paths: Sequence[str], args: commands.ScanCommand) -> Action | None:
    """Return the requested action, or None. Raises UsageError for guards without an action."""
    if args.yes and args.max_ is not None:
        raise UsageError("--yes and --max contradict each other", "--yes sets no limit: leave one out")
    if args.scrub:
        _check_scrub(cli, args)
        return None
    if not args.revoke and (args.reason is not None or args.max_ is not None or args.yes):
        raise UsageError(
            "--reason, --max and --yes require --revoke", "omit them to look only, or add --revoke"
        )
    if not args.report and args.source is not None:
        raise UsageError("--source requires --report", "add --report, or leave it out")
    if not (args.report or args.revoke):
        if args.dry_run:
            raise UsageError("--dry-run requires --revoke or --report", "add one, or leave it out")
        return None
    # Most scans do not need these imports.
    from jitid.capabilities.leak.leaks import LONGEST_SOURCE, LeakReport, check_source
    from jitid.capabilities.sweep.scan_result import Action

    max_count: int | None = None
    if args.revoke:
        max_count = cli.most(args.max_, yes=args.yes)
    joined_paths = " ".join("stdin" if path == "-" else path for path in paths)
    source_name = args.source if args.source is not None else joined_paths[:LONGEST_SOURCE]
    report = LeakReport(check_source(source_name), None) if args.report else None
    return Action(report, args.revoke, args.reason, max_count, args.dry_run)


def _check_scrub(cli: Invocation, args: commands.ScanCommand) -> None:
    """Raise UsageError for options that contradict --scrub, and where no user can confirm it."""
    if not args.agents:
        raise UsageError("--scrub requires --agents", "add --agents, or leave it out")
    if (
        args.revoke
        or args.report
        or args.source is not None
        or args.out is not None
        or args.fail_on is not None
    ):
        raise UsageError(
            "--scrub cannot be combined with --revoke, --report, --source, --out or --fail-on",
            "revoke first: only secrets that no verifier accepts are replaced",
        )
    cli.expect(args.shown_view().fields)
    if not (args.yes or args.dry_run or cli.can_prompt()):
        raise UsageError(
            "--scrub changes files of other programs: it requires --yes",
            "to see the changes: --dry-run",
        )


HOOK = ("path", "state")
"""Fields of an installed hook."""


def check(args: commands.ScanCommand) -> None:
    """Raise UsageError for options that contradict each other."""
    if args.agents and (args.git or args.staged or args.no_ignore or args.one_file_system or args.paths):
        raise UsageError(
            "--agents searches fixed places: paths, --git, --staged, --no-ignore and --one-file-system do not apply",
            "leave them out, or --agents",
        )
    if args.git and args.staged:
        raise UsageError(
            "--git and --staged contradict each other", "--git includes the staged files: leave one out"
        )
    if (args.git or args.staged) and (args.no_ignore or args.one_file_system):
        raise UsageError(
            "--no-ignore and --one-file-system apply only to files", "leave them out, or --git and --staged"
        )
    if not args.git and (args.commits or args.unreachable):
        raise UsageError("--commits and --unreachable require --git", "add --git, or leave them out")
    if args.commits and args.unreachable:
        raise UsageError(
            "--commits and --unreachable contradict each other",
            "a range has no unreachable objects: leave one out",
        )


def history(paths: Sequence[str], commits: Sequence[str], *, unreachable: bool) -> Source:
    """Return the history of the named repository. Raises UsageError, RefusedError and StorageError."""
    from jitid.capabilities.scan.blobs import Blobs
    from jitid.capabilities.scan.git_repository import Repository
    from jitid.capabilities.scan.history import ObjectSelection

    repository = Repository(_one(paths))
    return Blobs(repository, ObjectSelection(repository.resolved(commits), unreachable))


def staged(paths: Sequence[str]) -> Source:
    """Return the staged changes. Raises UsageError, RefusedError and StorageError."""
    from jitid.capabilities.scan.git_repository import Repository
    from jitid.capabilities.scan.staged import Staged

    return Staged(Repository(_one(paths)))


def install_hook(cli: Invocation, paths: Sequence[str]) -> None:
    """Install the pre-commit hook. Raises UsageError, RefusedError, StorageError and OutputError."""
    from jitid.capabilities.scan.git_repository import Repository
    from jitid.capabilities.scan.hook import install
    from jitid.formats.display import Display
    from jitid.system.installation import check_words, program

    cli.expect(HOOK)
    words = program()
    check_words(words)
    installed = install(Repository(_one(paths)), words)
    cli.show(Display("jitid.hook/1", HOOK, [{"path": installed.path, "state": installed.state}], one=True))
    if not installed.hooks.own:
        cli.note("other repositories use this hook too: core.hooksPath names its folder")
    if installed.state != "present":
        cli.note("git runs the hook before each commit; to skip it: git commit --no-verify")


def named(paths: Sequence[str]) -> list[str]:
    """Return the absolute path of the repository, for the source of a leak."""
    return [os.path.abspath(_one(paths) or ".")]


def _one(paths: Sequence[str]) -> str | None:
    """Return the named repository, or None for the current one. Raises UsageError."""
    if len(paths) > 1:
        raise UsageError(
            "only one repository can be scanned at a time",
            "name one folder, or none for the current repository",
        )
    if "-" in paths:
        raise UsageError("a repository cannot be read from standard input", "name its folder")
    return paths[0] if paths else None


def print_rules(cli: Invocation, scanner: str | None, authority: str | None, *, searches: bool) -> None:
    """Print the rules for a scanner. Rules that can query an authority query the named or the configured one.

    `searches`: the line has options or paths for a search.

    Raises:
        UsageError: no scanner is named, it has no rules, it cannot query that authority, or the line is for a search.

    """
    if scanner is None:
        raise UsageError(
            "--authority requires --rules", "name a scanner with --rules, or leave --authority out"
        )
    if searches:
        raise UsageError(
            "--rules cannot be combined with paths or options of a search",
            f"jitid scan --rules {scanner} > FILE",
        )
    cli.format = cli.special_format or cli.format
    cli.expect_own_form()
    format_ = RuleFormat(scanner)
    address = _place(cli, format_, authority)
    output.write(rules(format_, address))
    if address is None and format_.queries_authority:
        cli.note(
            f"these rules query no authority: with --authority URL, {format_} can also check and revoke tokens"
        )


def _place(cli: Invocation, format_: RuleFormat, authority: str | None) -> str | None:
    if authority is not None:
        if not format_.queries_authority:
            raise UsageError(
                f"{format_} cannot query an authority",
                "leave --authority out, or use --rules kingfisher",
            )
        return check_place(authority)
    remote = cli.config().remote
    if remote is None or not format_.queries_authority:
        return None
    try:
        return check_place(str(remote))
    except UsageError as error:
        cli.note(f"{error.message}: {error.hint}")
        return None
