"""What a line of `jitid scan` asks for: how it is told, and what is to become of what is found."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from jitid.errors import JitidError, UsageError

if TYPE_CHECKING:
    from jitid.capabilities.leak.leaks import LeakReport
    from jitid.capabilities.sweep.finding import Severity
    from jitid.capabilities.sweep.findings_view import Wording
    from jitid.cli.invocation import Globals
    from jitid.config.effective import Config


class Asked(NamedTuple):
    """How the result is told."""

    own: str | None
    """A format of its own, if one is asked for."""
    fail_on: Severity
    out: str | None
    wording: Wording


class Action(NamedTuple):
    """What is to become of what is proved to be ours."""

    report: LeakReport | None
    """None to record nothing."""
    revoke: bool
    reason: str | None
    most: int | None
    dry_run: bool


def asked(given: Globals, own: str | None, fail_on: str | None, out: str | None) -> Asked:
    """Return how the result is to be told. Raises UsageError."""
    from jitid.capabilities.sweep.findings_view import SCAN
    from jitid.cli.leak.scan_rows import FIELDS
    from jitid.cli.sweep.sweep_rows import severity_of

    given.expect(FIELDS)
    return Asked(own, severity_of(fail_on), out, SCAN)


def action(
    given: Globals,
    paths: Sequence[str],
    source: str | None,
    reason: str | None,
    max_: int | None,
    *,
    report: bool,
    revoke: bool,
    dry_run: bool,
    yes: bool,
) -> Action | None:
    """Return what is to become of what is found; None for nothing. Raises UsageError for guards without a deed."""
    if yes and max_ is not None:
        raise UsageError("--yes and --max contradict each other", "--yes ends however many there are")
    if not revoke and (reason is not None or max_ is not None or yes):
        raise UsageError("--reason, --max and --yes go with --revoke", "add --revoke, or leave them out")
    if not report and source is not None:
        raise UsageError("--source goes with --report", "add --report, or leave it out")
    if not (report or revoke):
        if dry_run:
            raise UsageError("--dry-run goes with --revoke or --report", "add one, or leave it out")
        return None
    # Most scans are done before this would be loaded.
    from jitid.capabilities.leak.leaks import LONGEST_SOURCE, LeakReport, check_source

    most: int | None = None
    if revoke:
        from jitid.cli.identity.revoke import check_reason, most_of

        check_reason(reason)
        most = None if yes else most_of(given, max_)
    named = " ".join("stdin" if path == "-" else path for path in paths)
    said = source if source is not None else named[:LONGEST_SOURCE]
    return Action(LeakReport(check_source(said), None) if report else None, revoke, reason, most, dry_run)


def own_folder(config: Config) -> frozenset[tuple[int, int]]:
    """Return the folder of the ledger and its keys, by device and inode: what stands there is where it belongs."""
    from jitid.authority.open import home_path

    if config.remote is not None:
        return frozenset()
    try:
        found = os.stat(home_path(config))
    except (OSError, JitidError):
        return frozenset()
    return frozenset({(found.st_dev, found.st_ino)})
