"""What a sweep reports: findings, and what was examined for them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from hashlib import sha256
from typing import Any, NamedTuple

from jitid.model.ledger_rows import Selection


class Severity(StrEnum):
    """How grave a finding is, from the least to the gravest."""

    INFO = "info"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """The place in the order: 0 for `info`."""
        return SEVERITIES.index(self)


SEVERITIES = tuple(Severity)


class Finding(NamedTuple):
    """One thing that a sweep reports."""

    rule: str
    severity: Severity
    subject: str
    """What it is about: the name of a task or a delegator, an id, a key, or `ledger`."""
    summary: str
    """What is wrong, in one sentence without its end."""
    since: int | None
    """Since when it has been so; seconds since the epoch."""
    credentials: int
    """How many credentials it is about."""
    evidence: Mapping[str, Any]
    """What was seen, by name, never a secret; times are seconds since the epoch and end in `_at` or `_until`,
    durations in `_seconds`."""
    remedy: str | None
    """The command that ends it, as `jitid revoke --task T`; none where there is nothing to do but wait."""
    ends: Selection | None = None
    """What `--fix` revokes; none for what no revocation mends."""
    picked_by: tuple[str, ...] = ()
    """What a rule that cannot say it without asking the ledger asks by, as the ledger has it."""
    revokes: int = 0
    """How many live credentials the remedy revokes, as far as that is foreseen; 0 if it revokes none."""

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that stay the same from sweep to sweep, as long as it is equally grave."""
        text = "\0".join((self.rule, self.severity, self.subject))
        # Names of files may have bytes in them that are no text.
        return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Coverage(NamedTuple):
    """What one rule has examined, and what not."""

    rule: str
    examined: str
    """In words: `450,000 live credentials`."""
    missed: tuple[str, ...]
    """What could not be examined, and why; nothing if all was."""
    unknown: str | None = None
    """What the ledger is not told, and nobody can know from it: neither clean, nor for lack of looking."""

    @property
    def complete(self) -> bool:
        """Tell whether everything was examined."""
        return not self.missed


class Remedied(NamedTuple):
    """What `--fix` has ended in one transaction."""

    sweep: str
    """The sweep that did it, a UUID; the audit event names it too."""
    rule: str
    findings: tuple[Finding, ...]
    """Those that it ended."""
    credentials: int
    """How many live credentials that came to, with all that descended from them."""
    event: int
    """The audit event that names each of them."""
    at: int
    accepted: int | None
    """How many of them a verifier that asks this ledger still took afterwards: 0, if all is well.

    None where that could not be told.
    """
    offline_until: int | None
    """The latest expiry of those that are signed."""


class Unfixed(NamedTuple):
    """What `--fix` has found and could not end."""

    rule: str
    findings: int
    """How many; 0 where that is not known."""
    why: str


class Swept(NamedTuple):
    """What comes last: what is true of the sweep as a whole."""

    at: int
    """The time that was judged by."""
    live: int
    """How many credentials were alive."""
    head: str | None
    """The signed audit head, if the chain was examined and holds up to it."""
    unsigned: str | None
    """Why it could not be signed."""
