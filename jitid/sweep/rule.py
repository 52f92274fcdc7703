"""What a rule is, and what it sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Any, NamedTuple

from jitid.audit import Head
from jitid.errors import IntegrityError
from jitid.ledger.condition import ClockReading
from jitid.ledger.protocol import Names, Snapshot
from jitid.ledger.selecting import LIVE
from jitid.sweep.finding import Finding, Severity
from jitid.sweep.limits import Limits


class Group(StrEnum):
    """What sort of thing a rule reports."""

    ORPHAN = "orphan"
    """Alive, and nobody is there to whom it belongs."""
    VALID = "valid"
    """Taken somewhere, and it should not be."""
    SPRAWL = "sprawl"
    """More, or for longer, than anybody needs."""
    HEALTH = "health"
    """The ledger itself."""


class Sight:
    """What the rules of one sweep see: one view of the ledger, and what was observed outside of it."""

    def __init__(
        self,
        snapshot: Snapshot,
        names: Names,
        clock: ClockReading,
        limits: Limits,
        remembered: Head | IntegrityError | None = None,
    ) -> None:
        """`remembered` is the last audit head that was verified, or why it cannot be believed."""
        self.snapshot = snapshot
        self.names = names
        self.clock = clock
        self.limits = limits
        self.remembered = remembered
        self.verified: Head | None = None
        """Up to where the audit chain was found whole by this sweep."""
        self._examined: str | None = None
        self._missed: list[str] = []

    @property
    def now(self) -> int:
        """The time that is judged by, in seconds since the epoch."""
        return self.snapshot.now

    def ask(self, question: str, **values: Any) -> Iterator[Any]:  # noqa: ANN401 - whatever a driver takes
        """Yield the rows that answer a question in portable SQL; `:now` is there."""
        return self.snapshot.ask(question, values)

    def live(self) -> int:
        """Return how many credentials are alive."""
        # Grouped by what an index has, so that no row is looked at.
        ((count,),) = self.ask(
            f"""SELECT coalesce(sum(of_task.live), 0)
                  FROM (SELECT count(*) AS live FROM credential c WHERE {LIVE} GROUP BY c.task) of_task"""
        )
        return int(count)

    def examined(self, what: str) -> None:
        """Say what the rule has examined, where that differs from sweep to sweep."""
        self._examined = what

    def missed(self, why: str) -> None:
        """Say that the rule could not examine something, and why: it then never counts as clean."""
        self._missed.append(why)

    def told(self, otherwise: str) -> tuple[str, tuple[str, ...]]:
        """Return what the last rule has said of its coverage, and forget it."""
        said = self._examined or otherwise, tuple(self._missed)
        self._examined = None
        self._missed = []
        return said


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
    mended: bool = False
    """`--fix` ends what it reports without being told the rule's name."""

    def finding(self, subject: str, summary: str, **more: Any) -> Finding:  # noqa: ANN401 - fields of Finding
        """Return a finding of this rule; its evidence, remedy and so on are given by name."""
        fields: dict[str, Any] = {"since": None, "credentials": 0, "evidence": {}, "remedy": None, **more}
        return Finding(self.name, fields.pop("severity", self.severity), subject, summary, **fields)
