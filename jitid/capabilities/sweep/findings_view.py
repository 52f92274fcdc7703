"""What the formats of a sweep's result are given: rows as they come, and what they need to know of each rule.

First come the findings that the sweep has ended, then for each rule its findings and after them its coverage, and at
the very end the summary. There may be a million rows: a format keeps no more of them than it has said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypedDict, final

from jitid.capabilities.sweep.finding import Severity
from jitid.model import acceptance
from jitid.values.times import format_time, parse_time

FindingState = Literal["open", "known", "ended"]
"""`known`: the baseline has it; `ended`: this sweep has ended it."""

STATES: tuple[FindingState, ...] = ("open", "known", "ended")


@final
class FindingRow(TypedDict):
    """One finding; times are RFC 3339 text."""

    state: FindingState
    rule: str
    severity: str
    subject: str
    since: str | None
    credentials: int
    """How many credentials it is about."""
    summary: str
    remedy: str | None
    """The command that ends it."""
    evidence: Mapping[str, Any]
    fingerprint: str
    """Sixteen hexadecimal digits, the same from sweep to sweep."""
    sweep: str | None
    """The sweep that ended it, a UUID."""
    event: int | None
    """The audit event that names what was ended."""
    ended_at: str | None
    ended_credentials: int | None
    """How many credentials that event ended: those of all findings that end with it, and what descended from them."""
    proof: str | None
    """How it is known to have ended."""
    offline_until: str | None
    """The latest expiry of what was ended and is signed."""


def accepted_until(row: FindingRow) -> str | None:
    """Return the time from which no offline verifier accepts what was ended; None if nothing of it is signed."""
    expiry = row["offline_until"]
    return None if expiry is None else format_time(acceptance.accepted_until(parse_time(expiry)))


class Examined(TypedDict):
    """What one rule has examined, and what not."""

    rule: str
    examined: str
    complete: bool
    missed: Sequence[str]
    """What could not be examined, and why."""
    unknown: str | None
    """What the ledger is not told: neither clean, nor for lack of looking."""


def covered(examined: Examined) -> str:
    """Return what was examined, with what nobody can know of it."""
    unknown = examined["unknown"]
    return examined["examined"] if unknown is None else f"{examined['examined']}; not known: {unknown}"


@final
class CoverageRow(TypedDict):
    """The end of a rule's findings."""

    coverage: Examined


class Summary(TypedDict):
    """The result as a whole."""

    sweep: str
    at: str
    """When it looked, RFC 3339."""
    live: int
    """How many credentials were alive."""
    open: int
    known: int
    ended: int
    ended_credentials: int
    """How many credentials ended with those, and with all that descended from them."""
    worst: str | None
    """The gravest severity among the open findings."""
    complete: bool


@final
class SummaryRow(TypedDict):
    """The end of the rows."""

    summary: Summary


SweptRow = FindingRow | CoverageRow | SummaryRow
SweptRows = Iterable[SweptRow]


class RuleInfo(NamedTuple):
    """A rule as it is told to people."""

    name: str
    severity: Severity
    owasp: tuple[str, ...]
    """Numbers of the OWASP Non-Human Identities Top 10 (2025), as `NHI1:2025`."""
    title: str
    """What it finds, in a few words."""
    reports: str
    """What it reports, in a sentence without its end."""
    spares: str
    """The nearest that it does not report, in a sentence without its end."""
    examines: str
    """What it looks at."""


class Wording(NamedTuple):
    """How a verb that finds something speaks of itself."""

    verb: str
    """The verb, and what one run of it is called."""
    title: str
    """What the page says at its top."""
    listing: str
    """The command that lists all findings of a rule, with `{rule}` in it."""
    broken: str
    """What is said where the rows break off."""
    base: str
    """What the subjects are, as SARIF calls the base of their addresses."""
    about: str
    """The same in a sentence."""


SWEEP = Wording(
    "sweep",
    "What should not be alive",
    "jitid sweep --rule {rule} --format tsv",
    "the sweep broke off: this is not all",
    "JITID-LEDGER",
    "The names and ids of the ledger, which are no files.",
)
SCAN = Wording(
    "scan",
    "Secrets of ours that were found",
    "jitid scan PATH --format tsv",
    "the scan broke off: this is not all",
    "SCANROOT",
    "The folder that the scan was run in.",
)

Command = Callable[[str], str]
"""From a command of jitid to the same with the flags by which this one found its ledger."""


def as_it_is(command: str) -> str:
    """Return the command for whoever needs no other flags."""
    return command
