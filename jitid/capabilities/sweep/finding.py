"""Results of a sweep: findings, and the coverage of each rule.

Also the thresholds of rules, the findings of a baseline, and the result of a canary.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Any

from jitid.model.ledger_rows import Selection
from jitid.model.task import SENSITIVITIES
from jitid.model.types import SENSITIVITY
from jitid.values.field_types import COUNT, ID, LONG, text
from jitid.values.record import Record


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


class Finding(Record):
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


class Coverage(Record):
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


class Remedied(Record):
    """The credentials that `--fix` ended in one transaction."""

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


class Unfixed(Record):
    """Findings that `--fix` could not fix."""

    rule: str
    findings: int
    """Number of findings; 0 if unknown."""
    why: str


class Swept(Record):
    """The last part of the results: facts about the sweep as a whole."""

    at: int
    """The time that the rules used as now."""
    live: int
    """Number of live credentials."""
    head: str | None
    """The signed audit head, if the sweep verified the chain up to it."""
    unsigned: str | None
    """The reason why it could not be signed."""
    issuer: str | None = None
    """The issuer of the ledger; None for a scan, and from an authority of an older version."""


class KnownFindings:
    """The findings of a baseline, sixteen bytes each: there may be a million."""

    def __init__(self, entries: Iterable[tuple[int, int]]) -> None:
        """`entries` are fingerprints with numbers of credentials."""
        prints, numbers = array("Q"), array("Q")
        for fingerprint, credentials in entries:
            prints.append(fingerprint)
            numbers.append(credentials)
        order = sorted(range(len(prints)), key=prints.__getitem__)
        self._prints = array("Q", (prints[index] for index in order))
        self._numbers = array("Q", (numbers[index] for index in order))

    def __contains__(self, finding: object) -> bool:
        assert isinstance(finding, Finding)
        # A critical finding always counts as new, even if the baseline contains it.
        if finding.severity is Severity.CRITICAL:
            return False
        return finding.credentials <= self.number(int(finding.fingerprint, 16))

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield the fingerprints in their order, each with its number of credentials."""
        return zip(self._prints, self._numbers, strict=True)

    def number(self, fingerprint: int) -> int:
        """Return the largest number of credentials of a finding with that fingerprint; -1 if there is none."""
        index = bisect_left(self._prints, fingerprint)
        largest = -1
        while index < len(self._prints) and self._prints[index] == fingerprint:
            largest = max(largest, self._numbers[index])
            index += 1
        return largest


class Fate(StrEnum):
    """The outcome of a canary."""

    PROVED = "proved"
    """It worked before its revocation and not afterwards: the probe is reliable, and revocation works."""
    BLIND = "blind"
    """It did not work before its revocation, so that its refusal afterwards proves nothing."""
    SURVIVED = "survived"
    """It was revoked and still works."""
    UNPROVED = "unproved"
    """It was revoked, and the second probe could not find out whether it works."""
    GROUNDED = "grounded"
    """It could not be made: no proof, and no credential is left."""


class Canary(Record):
    """One canary. Durations are milliseconds."""

    place: Annotated[str, text(64, "the target")]
    """The target, or the kind if jitid itself makes it."""
    kind: Annotated[str, text(80, "the kind")]
    fate: Fate
    why: Annotated[str, text(LONG, "the observation")]
    """The observation, in a few words."""
    jti: Annotated[str | None, ID] = None
    made_in: Annotated[int | None, COUNT] = None
    """Time from the request to the secret."""
    dead_in: Annotated[int | None, COUNT] = None
    """Time from the revocation until a probe was refused."""


class Thresholds(Record):
    """Values that are still in order; a rule reports values beyond them. Durations are seconds."""

    standing_low: Annotated[int, COUNT] = 28_800
    """Maximum lifetime of a credential for a task of low sensitivity; the next three are for the others."""
    standing_moderate: Annotated[int, COUNT] = 3_600
    standing_high: Annotated[int, COUNT] = 900
    standing_critical: Annotated[int, COUNT] = 300
    duplicates: Annotated[int, COUNT] = 25
    """Maximum number of live credentials of one agent on one task with the same scopes."""
    identities: Annotated[int, COUNT] = 100
    """Maximum number of live credentials that descend from one delegator."""
    agents_per_person: Annotated[int, COUNT] = 80
    """Maximum number of live credentials for each person who delegates, on average."""
    pending: Annotated[int, COUNT] = 60
    """Maximum time between the record of a credential and its confirmation."""
    key_age: Annotated[int, COUNT] = 90 * 86_400
    """Maximum time for which a key may sign."""
    asserted: Annotated[str, SENSITIVITY] = "moderate"
    """Highest sensitivity for which a delegator may be only asserted."""
    unused: Annotated[int, COUNT] = 300
    """Maximum time without use, for a live credential and for its scopes."""
    known_only: bool = False
    """Whether only delegators in the directory may delegate (the setting `delegators`)."""

    def max_lifetime(self, sensitivity: str) -> int:
        """Return the maximum lifetime for a sensitivity."""
        lifetime: int = getattr(self, f"standing_{sensitivity}")
        return lifetime

    @property
    def needs_proof(self) -> tuple[str, ...]:
        """The sensitivities at which an assertion is not enough."""
        return SENSITIVITIES[SENSITIVITIES.index(self.asserted) + 1 :]
