"""What a rule is, and what it sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from jitid.capabilities.sweep.evidence import Sight
from jitid.capabilities.sweep.finding import Finding, Severity
from jitid.capabilities.sweep.thresholds import Limits
from jitid.errors import UsageError
from jitid.model.ledger_rows import Selection
from jitid.values.scope import Scope, parse_scope


class Group(StrEnum):
    """What sort of thing a rule reports."""

    ORPHAN = "orphan"
    """Alive, and nobody is there to whom it belongs."""
    VALID = "valid"
    """Taken somewhere, and it should not be."""
    SPRAWL = "sprawl"
    """More, or for longer, than anybody needs."""
    GOVERNANCE = "governance"
    """Not, or no longer, what the directory and the policy say."""
    HEALTH = "health"
    """The ledger itself."""


def scopes_of(text: str) -> tuple[Scope, ...]:
    """Return the scopes that a row of the ledger has. Raises ValueError for what is none."""
    try:
        return tuple(map(parse_scope, text.split()))
    except UsageError as error:
        raise ValueError(error.message) from error


def _no_values(_: Limits) -> Mapping[str, Any]:
    return {}


class Rule(NamedTuple):
    """One question to a ledger; each is a file of `sweep/rules/`."""

    name: str
    severity: Severity
    group: Group
    owasp: tuple[str, ...]
    """Numbers of the OWASP Non-Human Identities Top 10 (2025); empty where none of them fits."""
    title: str
    """What is wrong, in a few words."""
    reports: str
    """What it reports, in a sentence."""
    spares: str
    """The nearest to that which it does not report."""
    examines: str
    """What it looks at."""
    find: Callable[[Sight], Iterator[Finding]]
    suspect: str | None = None
    """Which live credentials `c` of an identity `i` may be what it reports: a condition in portable SQL.

    All credentials are looked at once for all rules that have one; the rule then asks about those alone.
    """
    values: Callable[[Limits], Mapping[str, Any]] = _no_values
    """What the condition compares with, by names that no other rule uses."""
    pick: Callable[[Sight, Finding], Selection] | None = None
    """Returns what `--fix` revokes of a finding whose `ends` cannot say it without asking the ledger."""
    picks_among_all: bool = False
    """For `pick` all that lives has to be looked at."""
    mended: bool = False
    """`--fix` ends what it reports without being told the rule's name."""
    clears: bool = False
    """`--fix` has targets end what it reports."""
    abroad: bool = False
    """It is about targets outside, which are asked before the ledger is."""
    closes: bool = False
    """What it reports is dead and only to be recorded so: `--fix` does that, and no revocation ends it."""

    def ends(self, sight: Sight, finding: Finding) -> Selection | None:
        """Return what `--fix` revokes of a finding; none for what no revocation mends."""
        return finding.ends if self.pick is None else self.pick(sight, finding)

    def finding(self, subject: str, summary: str, **more: Any) -> Finding:  # noqa: ANN401 - fields of Finding
        """Return a finding of this rule; its evidence, remedy and so on are given by name."""
        fields: dict[str, Any] = {"since": None, "credentials": 0, "evidence": {}, "remedy": None, **more}
        if self.pick is not None or fields.get("ends") is not None:
            fields.setdefault("revokes", fields["credentials"])
        return Finding(self.name, fields.pop("severity", self.severity), subject, summary, **fields)
