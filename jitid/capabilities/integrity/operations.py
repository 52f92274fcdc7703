"""Operations that check, export, cut and prune the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.operation.base import Operation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jitid.capabilities.integrity.cut import Cut
    from jitid.capabilities.integrity.retention import Pruning
    from jitid.capabilities.integrity.verify_log import Verification
    from jitid.model.check_result import Check


class VerifyLog(Operation["Verification"]):
    """Check the audit chain and the rows that it accounts for."""

    expected_head: str | None = None


class Prune(Operation["Pruning"]):
    """Let go of the rows of what has been dead for long enough."""

    rows_after: int | None
    """Seconds for which rows of the dead are kept; None to go on with what has gone, and is not deleted yet."""
    leaks_after: int | None = None
    """Seconds for which what leaked is kept, once it is closed and proved refused; None for ever."""
    seconds: int = 20
    """After how long of deleting to answer, with what is left to be deleted."""
    dry_run: bool = False
    accept_clock: bool = False


class CutLog(Operation["Cut"]):
    """Export old audit events into a file on the machine of the ledger, and let go of those that nothing needs."""

    evidence_after: int
    """Seconds for which events are kept."""
    folder: str
    """Where the file is put."""
    dry_run: bool = False
    accept_clock: bool = False


class ExportLog(Operation["Iterator[str]"]):
    """Return the audit log as lines that can be verified without the ledger; they come out of one view of it."""


class Examine(Operation["list[Check]"]):
    """Examine the ledger and its keys, changing nothing."""

    stated: Mapping[str, str | None]
    """What the configuration says of the ledger's own names, by `issuer` and `trust_domain`."""
    head: tuple[str, str] | None = None
    """The signed audit head that a sweep has kept, after the name of its place."""
