"""`jitid scan --git` and `--staged`: what a git repository holds, instead of files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from jitid.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jitid.scan.source import Source


def source(paths: Sequence[str], commits: Sequence[str] | None, *, unreachable: bool) -> Source:
    """Return the history of the repository that is meant. Raises UsageError, RefusedError and StorageError."""
    from jitid.scan.blobs import Blobs
    from jitid.scan.git import Repository
    from jitid.scan.history import Selection

    if commits and unreachable:
        raise UsageError(
            "--commits and --unreachable contradict each other", "what no ref leads to is in no range"
        )
    repository = Repository(one(paths))
    return Blobs(repository, Selection(repository.resolved(commits or ()), unreachable))


def named(paths: Sequence[str]) -> list[str]:
    """Return where the repository is, as a leak's source says it."""
    return [os.path.abspath(one(paths) or ".")]


def one(paths: Sequence[str]) -> str | None:
    """Return the repository that is named, or None for the one that is here. Raises UsageError."""
    if len(paths) > 1:
        raise UsageError(
            "one repository is scanned at a time", "name one folder, or none for the repository that is here"
        )
    if "-" in paths:
        raise UsageError("a repository cannot come from standard input", "name its folder")
    return paths[0] if paths else None
