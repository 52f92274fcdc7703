"""`jitid scan --git`, `--staged` and `--install-hook`: scans of a git repository instead of files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from jitid.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jitid.capabilities.scan.hits import Source
    from jitid.cli.invocation import Invocation


HOOK = ("path", "state")
"""Fields of an installed hook."""


def check(commits: Sequence[str], *, git: bool, staged: bool, unreachable: bool, for_files: bool) -> None:
    """Raise UsageError for options that contradict each other."""
    if git and staged:
        raise UsageError(
            "--git and --staged contradict each other", "--git searches what is staged too: leave one out"
        )
    if (git or staged) and for_files:
        raise UsageError(
            "--no-ignore and --one-file-system are for files", "leave them out, or --git and --staged"
        )
    if not git and (commits or unreachable):
        raise UsageError("--commits and --unreachable go with --git", "add --git, or leave them out")
    if commits and unreachable:
        raise UsageError(
            "--commits and --unreachable contradict each other", "what no ref leads to is in no range"
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
    from jitid.cli.setup.installation import check_words, program
    from jitid.formats.display import Display

    cli.expect(HOOK)
    words = program()
    check_words(words)
    installed = install(Repository(_one(paths)), words)
    cli.show(Display("jitid.hook/1", HOOK, [{"path": installed.path, "state": installed.state}], one=True))
    if not installed.hooks.own:
        cli.note("git looks there for the hooks of other repositories too, as core.hooksPath says")
    if installed.state != "present":
        cli.note("git looks before each commit from now on; `git commit --no-verify` goes without")


def named(paths: Sequence[str]) -> list[str]:
    """Return the absolute path of the repository, for the source of a leak."""
    return [os.path.abspath(_one(paths) or ".")]


def _one(paths: Sequence[str]) -> str | None:
    """Return the named repository, or None for the current one. Raises UsageError."""
    if len(paths) > 1:
        raise UsageError(
            "one repository is scanned at a time", "name one folder, or none for the repository that is here"
        )
    if "-" in paths:
        raise UsageError("a repository cannot come from standard input", "name its folder")
    return paths[0] if paths else None
