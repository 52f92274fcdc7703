"""Results of a sweep: findings, and the coverage of each rule."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from hashlib import sha256
from typing import Any, NamedTuple

from jitid.model.ledger_rows import Selection


class Severity(StrEnum):
    """The severity of a finding, from the lowest to the highest."""

    INFO = "info"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """The position in this order: 0 for `info`."""
        return SEVERITIES.index(self)


SEVERITIES = tuple(Severity)


class Finding(NamedTuple):
    """A problem that a sweep reports."""

    rule: str
    severity: Severity
    subject: str
    """The subject: the name of a task or a delegator, an id, a key, or `ledger`."""
    summary: str
    """The problem, in one sentence without a period."""
    since: int | None
    """The time when the problem began, in seconds since the epoch."""
    credentials: int
    """Number of credentials that it is about."""
    evidence: Mapping[str, Any]
    """Observed facts by name, never a secret. Names of times end in `_at` or `_until` (seconds since the epoch), names
    of durations in `_seconds`.
    """
    remedy: str | None
    """The command that fixes it, such as `jitid revoke --task T`; None if an operator can only wait."""
    ends: Selection | None = None
    """The selection that `--fix` revokes; None if no revocation fixes it, or the rule's `pick` must find it."""
    picked_by: tuple[str, ...] = ()
    """Values by which the rule's `pick` queries the ledger for the selection to revoke."""
    revokes: int = 0
    """Number of live credentials that the remedy revokes, as far as that is foreseen; 0 if it revokes none."""

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that stay the same from sweep to sweep, while the severity is the same."""
        text = "\0".join((self.rule, self.severity, self.subject))
        # File names may contain bytes that are not UTF-8.
        return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Coverage(NamedTuple):
    """The coverage of one rule: the examined part, and the missed parts."""

    rule: str
    examined: str
    """A description, such as `450,000 live credentials`."""
    missed: tuple[str, ...]
    """Descriptions of parts that could not be examined, with reasons; empty if the rule examined everything."""
    unknown: str | None = None
    """Facts that no event reports to the ledger, such as use: the rule is then neither clean nor incomplete."""

    @property
    def complete(self) -> bool:
        """Return whether the rule examined everything."""
        return not self.missed


class Remedied(NamedTuple):
    """The credentials that `--fix` has ended in one transaction."""

    sweep: str
    """The sweep that did it, a UUID; the audit event names it too."""
    rule: str
    findings: tuple[Finding, ...]
    """The findings that it fixed."""
    credentials: int
    """Number of live credentials that it ended, with all their descendants."""
    event: int
    """The audit event that names each credential."""
    at: int
    accepted: int | None
    """Number of these credentials that a verifier with this ledger still accepted afterwards; 0 is right.

    None if that could not be checked.
    """
    offline_until: int | None
    """The latest expiry of the signed credentials among them."""


class Unfixed(NamedTuple):
    """Findings that `--fix` could not end."""

    rule: str
    findings: int
    """Number of findings; 0 if unknown."""
    why: str


class Swept(NamedTuple):
    """The last part of the results: facts about the sweep as a whole."""

    at: int
    """The time that the rules used as now."""
    live: int
    """Number of live credentials."""
    head: str | None
    """The signed audit head, if the sweep verified the chain up to it."""
    unsigned: str | None
    """The reason why it could not be signed."""
