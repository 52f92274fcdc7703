"""Operations of a sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.operation.base import Operation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jitid.capabilities.sweep.canary_result import Canary
    from jitid.capabilities.sweep.finding import Coverage, Finding, Remedied, Swept, Unfixed
    from jitid.capabilities.sweep.known_findings import KnownFindings
    from jitid.capabilities.sweep.remedies import ForeseenFix
    from jitid.capabilities.sweep.thresholds import Thresholds


class Sweep(Operation["Iterator[Finding | Coverage | Swept]"]):
    """Find what should not be alive; the answer comes piece by piece, out of one view of the ledger."""

    slow = True

    rules: tuple[str, ...]
    limits: Thresholds
    heads: tuple[tuple[str, str], ...] = ()
    """Signed audit heads that were kept, each after the name of its place."""
    reread: bool = False
    """Whether the audit log is read from its beginning, whatever the heads vouch for."""
    most: int | None = None
    """Of remedies that end more than this it is measured how many; None for none."""
    canaries: tuple[Canary, ...] = ()
    """What those have shown that were flown for it."""
    targets: tuple[str, ...] = ()
    """The targets outside that are asked; none: all."""
    target_timeout: int = 60
    """Seconds that each of them has."""
    dry_run: bool = False
    """Whether to record nothing: without it, a sweep records what has expired before it looks."""
    accept_clock: bool = False


class ForeseeFix(Operation["ForeseenFix"]):
    """Say what ending all that some rules find would come to."""

    slow = True

    rules: tuple[str, ...]
    limits: Thresholds
    since: int | None = None
    """Only what has been so since then, in seconds since the epoch."""
    known: KnownFindings | None = None
    """Findings that are left alone."""
    accept_clock: bool = False


class Fix(Operation["Iterator[Remedied | Unfixed]"]):
    """End what some rules find; the answer comes piece by piece, as it is done."""

    slow = True

    rules: tuple[str, ...]
    limits: Thresholds
    sweep: str
    """The name of the sweep, a UUID."""
    since: int | None = None
    known: KnownFindings | None = None
    most: int | None
    """How many live credentials may end; None for any number."""
    targets: tuple[str, ...] = ()
    target_timeout: int = 60
    accept_clock: bool = False


class FlyCanaries(Operation["list[Canary]"]):
    """Make a credential without rights of each kind, see it work, end it, and see it dead."""

    slow = True

    targets: tuple[str, ...] = ()
    """Only these; none: all, and the kinds that are made here."""
    limit: int = 60
    """Seconds that each target has to end one."""


AnyOperation = Sweep | ForeseeFix | Fix | FlyCanaries
