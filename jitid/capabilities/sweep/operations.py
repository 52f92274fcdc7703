"""Operations of a sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.errors import UsageError
from jitid.operation.base import READS, Operation
from jitid.values.declaration import leaves, value, values
from jitid.values.field_types import COUNT, TIME, number, pattern, text, texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jitid.capabilities.sweep.finding import (
        Canary,
        Coverage,
        Finding,
        KnownFindings,
        Remedied,
        Swept,
        Thresholds,
        Unfixed,
    )
    from jitid.capabilities.sweep.remedies import ForeseenFix


def _rule(value: str) -> str:
    from jitid.capabilities.sweep.rules import NAMES

    if value not in NAMES:
        raise UsageError(f"there is no such rule; the rules are: {', '.join(NAMES)}")
    return value


def _rules() -> Sequence[str]:
    from jitid.capabilities.sweep.rules import NAMES

    return NAMES


FINGERPRINT = pattern(
    "[0-9a-f]{16}",
    "the fingerprint of a finding: 16 hexadecimal digits",
    "FINGERPRINT",
    hint="to list them: jitid sweep --field fingerprint --field summary",
)
RULE = texts(_rule, "RULE", {"maxLength": 64}, words=_rules)
"""The name of a rule."""


class Sweep(Operation["Iterator[Finding | Coverage | Swept]"]):
    """Find credentials that should not be live; stream the results from one view of the ledger."""

    last_piece = "Swept"

    roles = ("sweeper", "auditor")
    effect = READS
    slow = True

    rules: tuple[str, ...] = values(RULE)
    limits: Thresholds
    heads: tuple[tuple[str, str], ...] = leaves(text(16_384, "a head or its place"), default=())
    """Signed audit heads that were kept, each after the name of its place."""
    reread: bool = False
    """Whether the audit log is read from its beginning, even if the heads vouch for a part."""
    most: int | None = value(COUNT, default=None)
    """Remedies that revoke more credentials than this are measured exactly; None measures no remedy."""
    canaries: tuple[Canary, ...] = ()
    """Results of the canaries of this sweep."""
    targets: tuple[str, ...] = values(text(64, "the target"), default=())
    """The targets to query; empty for all."""
    target_timeout: int = value(number(1, 3_600), default=60)
    """Seconds that each target has to answer."""
    dry_run: bool = False
    """Whether to record nothing. Otherwise a sweep records expired credentials before it examines the ledger."""
    accept_clock: bool = False


class ForeseeFix(Operation["ForeseenFix"]):
    """Count the credentials that a fix of some rules would revoke."""

    roles = ("sweeper",)
    effect = READS
    slow = True

    rules: tuple[str, ...] = values(RULE)
    limits: Thresholds
    since: int | None = value(TIME, default=None)
    """Findings that began before this time are left alone; seconds since the epoch, None for no such limit."""
    known: KnownFindings | None = None
    """Findings of the baseline, which are left alone."""
    finding: str | None = value(FINGERPRINT, default=None)
    """The only finding that is fixed, by its fingerprint; None for all."""
    accept_clock: bool = False


class Fix(Operation["Iterator[Remedied | Unfixed]"]):
    """Revoke the findings of some rules; stream each result when it is durable."""

    roles = ("sweeper",)
    slow = True

    rules: tuple[str, ...] = values(RULE)
    limits: Thresholds
    sweep: str = value(pattern("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "a UUID"))
    """The name of the sweep, a UUID."""
    since: int | None = value(TIME, default=None)
    known: KnownFindings | None = None
    finding: str | None = value(FINGERPRINT, default=None)
    most: int | None = value(COUNT)
    """Maximum number of live credentials to revoke; None for any number."""
    targets: tuple[str, ...] = values(text(64, "the target"), default=())
    target_timeout: int = value(number(1, 3_600), default=60)
    accept_clock: bool = False


class FlyCanaries(Operation["list[Canary]"]):
    """Issue a credential without rights of each kind; probe it before and after its revocation."""

    # A canary has no rights and is revoked at once.
    roles = ("sweeper", "admin")
    slow = True

    targets: tuple[str, ...] = values(text(64, "a target"), default=())
    """The targets to try; empty for all, and for jitid's own kinds."""
    limit: int = value(number(1, 3_600), default=60)
    """Seconds that each target has to revoke a canary."""
