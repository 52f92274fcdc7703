"""What a rule is, and what it sees."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from jitid.capabilities.sweep.finding import Coverage, Finding, Severity
from jitid.capabilities.sweep.store import KNOWN_USE, LIVING, SUSPECTS, WITHOUT_DELEGATOR, marking
from jitid.capabilities.sweep.targets_seen import Observed
from jitid.capabilities.sweep.thresholds import Thresholds
from jitid.capabilities.use import reported_store
from jitid.errors import IntegrityError, UsageError
from jitid.ledger.select import LIVE
from jitid.ledger.view import View
from jitid.model.event import Head
from jitid.model.ledger_condition import ClockReading
from jitid.model.ledger_rows import Names, Selection
from jitid.values.scope import Scope, parse_scope

if TYPE_CHECKING:
    from jitid.capabilities.sweep.canary_result import Canary
    from jitid.operation.terms import Terms


class RuleGroup(StrEnum):
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


def _no_values(_: Thresholds) -> Mapping[str, Any]:
    return {}


class Rule(NamedTuple):
    """One question to a ledger; each is a file of `sweep/rules/`."""

    name: str
    severity: Severity
    group: RuleGroup
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
    values: Callable[[Thresholds], Mapping[str, Any]] = _no_values
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


_DOUBTS = (
    (
        "a.id IS NULL OR (i.parent IS NOT NULL AND p.id IS NULL)",
        "belongs to an identity, agent, task or delegator that the ledger lacks",
        "belong to an identity, agent, task or delegator that the ledger lacks",
    ),
    (
        "c.task <> i.task OR c.delegator <> i.delegator",
        "is of another task or delegator than its identity",
        "are of another task or delegator than their identity",
    ),
    (
        " OR ".join(
            f"CAST(c.{column} AS BIGINT) <> c.{column}"
            for column in ("issued_at", "expires_at", "superseded_at")
        ),
        "has a time that is none",
        "have a time that is none",
    ),
)
"""What no ledger writes: of such a row no question can be sure. The condition, and what is said of one and of many."""


class Sight:
    """What the rules of one sweep see: one view of the ledger, and what was observed outside of it."""

    def __init__(
        self,
        snapshot: View,
        names: Names,
        clock: ClockReading,
        limits: Thresholds,
        remembered: Sequence[tuple[str, Head | IntegrityError]] = (),
        *,
        reread: bool = True,
        terms: Callable[[], Terms] | None = None,
        canaries: Sequence[Canary] = (),
        observed: Observed | None = None,
        unrecorded: str | None = None,
    ) -> None:
        """`remembered` are audit heads that were kept, with their places, or why one cannot be believed.

        What they vouch for is read again only if that is asked for. `terms` gives those on which something would be
        issued now; without it no rule can ask for them. `canaries` were flown for this sweep, and `observed` is what
        targets outside have told. `unrecorded` says why the sweep could not record what has expired.
        """
        self.snapshot = snapshot
        self.names = names
        self.clock = clock
        self.limits = limits
        self.remembered = remembered
        self.reread = reread
        self._terms = terms
        self.canaries = canaries
        self.observed = observed
        self.unrecorded = unrecorded
        self._loaded = False
        self.verified: Head | None = None
        """Up to where the audit chain was found whole by this sweep."""
        self._marks: dict[str, int] = {}
        self._doubts = [0] * len(_DOUBTS)
        self._census: tuple[int, tuple[str, ...]] | None = None
        self._reported: bool | None = None
        self._use_unknown: str | None = None
        self._examined: str | None = None
        self._missed: list[str] = []
        self._unknown: str | None = None

    @property
    def now(self) -> int:
        """The time that is judged by, in seconds since the epoch."""
        return self.snapshot.now

    @property
    def terms(self) -> Terms:
        """The terms on which something would be issued now. Raises what reading policy and configuration raises."""
        assert self._terms is not None
        return self._terms()

    def ask(self, question: str, **values: Any) -> Iterator[Any]:  # noqa: ANN401 - whatever a driver takes
        """Yield the rows that answer a question in portable SQL; `:now` is there."""
        return self.snapshot.ask(question, values)

    def mark(self, rules: Iterable[Rule]) -> None:
        """Look once at each live credential for all these rules together, and keep those that one of them suspects."""
        asking = [rule for rule in rules if rule.suspect is not None]
        self._marks = {rule.name: 1 << number for number, rule in enumerate(asking)}
        for statement in SUSPECTS:
            self._do(statement)
        marks = [f"CASE WHEN {rule.suspect} THEN {self._marks[rule.name]} ELSE 0 END" for rule in asking]
        doubts = [1 << number for number in range(len(asking), len(asking) + len(_DOUBTS))]
        marks += [
            f"CASE WHEN {condition} THEN {mark} ELSE 0 END"
            for (condition, _, _), mark in zip(_DOUBTS, doubts, strict=True)
        ]
        values = {name: value for rule in asking for name, value in rule.values(self.limits).items()}
        self._do(marking(marks), values)
        counts = ", ".join(
            f"coalesce(sum(CASE WHEN marks & {mark} <> 0 THEN 1 ELSE 0 END), 0)" for mark in doubts
        )
        ((*self._doubts,),) = self.ask(f"SELECT {counts} FROM suspect WHERE marks >= {doubts[0]}")

    def census(self) -> tuple[int, tuple[str, ...]]:
        """Return how many credentials are alive, and why the questions of rules may pass over some of them.

        That is of rows that no ledger writes: what they belong to is missing, or they contradict themselves. To be
        asked after `mark`.
        """
        if self._census is None:
            self._census = self._count()
        return self._census

    def _count(self) -> tuple[int, tuple[str, ...]]:
        ((live, off_task, untimed),) = self.ask(LIVING)
        ((unasked,),) = self.ask(WITHOUT_DELEGATOR)
        lost, torn, timeless = map(int, self._doubts)
        # One row may be counted by several questions: at least so many are in doubt.
        counts = (max(lost, int(off_task), int(unasked)), torn, max(timeless, int(untimed)))
        return int(live), tuple(
            f"1 live credential {one}" if count == 1 else f"{count} live credentials {many}"
            for count, (_, one, many) in zip(counts, _DOUBTS, strict=True)
            if count
        )

    def suspects(self, rule: Rule, question: str) -> Iterator[Any]:
        """Yield the answer to a question about what a rule suspects.

        It finds them in the table `suspect` (`credential`, `identity`) where `suspect.marks & :mark <> 0`.
        """
        if rule.name not in self._marks:
            self.mark([rule])
        return self.ask(question, **rule.values(self.limits), mark=self._marks[rule.name])

    def examine_use(self) -> bool:
        """Find out for which audiences use is reported, and say of the rest that its use is not known.

        The temporary table `reporting` has them then. Return whether use is reported at all.
        """
        if self._reported is None:
            self._reported = reported_store.find(self.ask, LIVE)
            self._use_unknown = self._unreported() if self._reported else "use is reported nowhere"
        if self._use_unknown is not None:
            self.not_known(self._use_unknown)
        return self._reported

    def look_abroad(self) -> None:
        """Put what targets have told beside the ledger (`target_store.load`), and say what they have not."""
        from jitid.capabilities.sweep import target_store

        observed = self.observed
        if observed is None:
            self.missed("targets were not asked")
            observed = Observed()
        if not self._loaded:
            target_store.load(self.snapshot, observed)
            self._loaded = True
        for why in observed.missed:
            self.missed(why)
        if observed.seen:
            count = sum(len(one.existing) for one in observed.seen)
            where = "1 target" if len(observed.seen) == 1 else f"{len(observed.seen)} targets"
            self.examined(f"{count:,} credentials that exist at {where}")
        unseen = [f"{one.target}: {one.unseen}" for one in observed.seen if one.unseen is not None]
        if unseen:
            self.not_known("; ".join(unseen))

    def _unreported(self) -> str | None:
        ((live, known),) = self.ask(KNOWN_USE)
        if known == live:
            return None
        return (
            f"whether {live - known} of {live} live credentials are used: since their issue no use was reported for "
            "their audiences"
        )

    def _do(self, statement: str, values: Mapping[str, Any] = MappingProxyType({})) -> None:
        deque(self.snapshot.ask(statement, values), maxlen=0)

    def examined(self, what: str) -> None:
        """Say what the rule has examined, where that differs from sweep to sweep."""
        self._examined = what

    def missed(self, why: str) -> None:
        """Say that the rule could not examine something, and why: it then never counts as clean."""
        self._missed.append(why)

    def not_known(self, what: str) -> None:
        """Say what the rule cannot know, since the ledger is not told: it then does not count as clean either."""
        self._unknown = what

    def told(self, rule: Rule) -> Coverage:
        """Return what a rule has said of its coverage, and forget it."""
        said = Coverage(rule.name, self._examined or rule.examines, tuple(self._missed), self._unknown)
        self._examined = self._unknown = None
        self._missed = []
        return said
