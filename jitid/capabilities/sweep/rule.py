"""Rules of a sweep, and the input that they read.

The rules run one after another, and yield their findings one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.sweep import store as sweep_store
from jitid.capabilities.sweep.finding import Canary, Coverage, Finding, Severity, Thresholds
from jitid.capabilities.sweep.store import Observed
from jitid.capabilities.use import store as use_store
from jitid.errors import ClockError, IntegrityError, JitidError, UsageError
from jitid.ledger.select import LIVE
from jitid.ledger.sqlite.clock import jumped
from jitid.ledger.view import View
from jitid.model.event import Head
from jitid.model.ledger_condition import ClockReading
from jitid.model.ledger_rows import Names, Selection
from jitid.values.record import Record
from jitid.values.scope import Scope, parse_scope
from jitid.values.text import number_of

if TYPE_CHECKING:
    from jitid.operation.context import Terms


class RuleGroup(StrEnum):
    """The group of problems to which a rule belongs."""

    ORPHAN = "orphan"
    """Live credentials whose task, delegator, parent or process is gone."""
    VALID = "valid"
    """Credentials that some verifier accepts but should not."""
    SPRAWL = "sprawl"
    """More credentials, or longer lifetimes, than necessary."""
    GOVERNANCE = "governance"
    """Differences from the directory and the policy."""
    HEALTH = "health"
    """Problems of the ledger itself."""


def scopes_of(text: str) -> tuple[Scope, ...]:
    """Return the scopes in a row of the ledger. Raises ValueError for an invalid scope."""
    try:
        return tuple(map(parse_scope, text.split()))
    except UsageError as error:
        raise ValueError(error.message) from error


def _no_values(_: Thresholds) -> Mapping[str, Any]:
    return {}


class Rule(Record):
    """A rule that searches the ledger for one problem; each is a module of `sweep/rules/`."""

    name: str
    severity: Severity
    group: RuleGroup
    owasp: tuple[str, ...]
    """Numbers of the OWASP Non-Human Identities Top 10 (2025); empty if none fits."""
    title: str
    """The problem, in a few words."""
    reports: str
    """The findings that it reports, in a sentence."""
    spares: str
    """The nearest cases that it does not report."""
    examines: str
    """The objects that it examines."""
    find: Callable[[RuleContext], Iterator[Finding]]
    suspect: str | None = None
    """Condition in portable SQL for suspects: live credentials `c` of an identity `i` that it may report.

    All live credentials are read once for all rules with a condition; each rule then queries only its suspects.
    """
    values: Callable[[Thresholds], Mapping[str, Any]] = _no_values
    """The parameters of the condition, by names that no other rule uses."""
    pick: Callable[[RuleContext, Finding], Selection] | None = None
    """A function that queries the ledger for the selection that `--fix` revokes, for findings without `ends`."""
    picks_among_all: bool = False
    """Whether `pick` reads all live credentials."""
    mended: bool = False
    """Whether `--fix` revokes its findings even if the command does not name the rule."""
    clears: bool = False
    """Whether `--fix` has targets revoke the credentials of its findings."""
    abroad: bool = False
    """Whether it is about targets, which are queried before the ledger is read."""
    closes: bool = False
    """Whether its credentials have expired and only need a record: `--fix` writes it and revokes no credential."""
    worst: Severity | None = None
    """The highest severity of its findings, if some are more severe than `severity`."""

    @property
    def highest(self) -> Severity:
        """The highest severity of its findings."""
        return self.worst or self.severity

    def ends(self, context: RuleContext, finding: Finding) -> Selection | None:
        """Return the selection that `--fix` revokes for a finding; None if no revocation fixes it."""
        return finding.ends if self.pick is None else self.pick(context, finding)

    def finding(
        self,
        subject: str,
        summary: str,
        *,
        by_sweep: bool = False,
        **details: Any,  # noqa: ANN401 - fields of Finding
    ) -> Finding:
        """Return a finding of this rule; its evidence, remedy and so on are given by name.

        `by_sweep`: the remedy is a sweep that fixes only this finding.
        """
        fields: dict[str, Any] = {"since": None, "credentials": 0, "evidence": {}, "remedy": None, **details}
        if self.pick is not None or fields.get("ends") is not None:
            fields.setdefault("revokes", fields["credentials"])
        finding = Finding(self.name, fields.pop("severity", self.severity), subject, summary, **fields)
        return finding._replace(remedy=self._own_fix(finding)) if by_sweep else finding

    def _own_fix(self, finding: Finding) -> str:
        """Return the command of a sweep that fixes this finding and no other."""
        target = finding.evidence.get("target")
        option = "" if target is None else f" --target {target}"
        return f"jitid sweep --fix --rule {self.name}{option} --finding {finding.fingerprint}"


_DOUBTS = (
    (
        "a.id IS NULL OR (i.parent IS NOT NULL AND p.id IS NULL)",
        "belongs to an identity, agent, task or delegator that the ledger lacks",
        "belong to an identity, agent, task or delegator that the ledger lacks",
    ),
    (
        "c.task <> i.task OR c.delegator <> i.delegator",
        "has another task or delegator than its identity",
        "have another task or delegator than their identity",
    ),
    (
        " OR ".join(
            f"CAST(c.{column} AS BIGINT) <> c.{column}"
            for column in ("issued_at", "expires_at", "superseded_at")
        ),
        "has an invalid time",
        "have an invalid time",
    ),
)
"""Conditions for rows that no ledger writes, and that queries may miss; with a text for one row and for several."""


class RuleContext:
    """The input of the rules of one sweep: one view of the ledger, and observations outside of it."""

    def __init__(
        self,
        snapshot: View,
        names: Names,
        clock: ClockReading,
        limits: Thresholds,
        *,
        terms: Callable[[], Terms] | None = None,
        observed: Observed | None = None,
    ) -> None:
        """Keep the input of the rules.

        `terms` returns the current terms of issuance; without it, no rule may use them. `observed` are the answers of
        targets.
        """
        self.snapshot = snapshot
        self.names = names
        self.clock = clock
        self.limits = limits
        self._terms = terms
        self.observed = observed
        self.remembered: Sequence[tuple[str, Head | IntegrityError]] = ()
        """Kept audit heads with their places, or the error that makes a head untrustworthy."""
        self.reread = True
        """Whether the events up to these heads are read again."""
        self.canaries: Sequence[Canary] = ()
        """The results of this sweep's canaries."""
        self.unrecorded: str | None = None
        """The reason why the sweep could not record expired credentials."""
        self._loaded = False
        self.verified: Head | None = None
        """The head up to which this sweep has verified the audit chain."""
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
        """The time that rules use as now, in seconds since the epoch."""
        return self.snapshot.now

    @property
    def terms(self) -> Terms:
        """The current terms of issuance. Raises the errors of reading policy and configuration."""
        assert self._terms is not None
        return self._terms()

    def query(self, question: str, **values: Any) -> Iterator[Any]:  # noqa: ANN401 - any value that a driver accepts
        """Yield the rows of a query in portable SQL, which may use `:now`."""
        return self.snapshot.query(question, values)

    def mark(self, rules: Iterable[Rule]) -> None:
        """Check each live credential once for all these rules, and keep the suspects of each rule."""
        marked = [rule for rule in rules if rule.suspect is not None]
        self._marks = {rule.name: 1 << bit for bit, rule in enumerate(marked)}
        for statement in sweep_store.SUSPECTS:
            self.snapshot.run(statement)
        marks = [f"CASE WHEN {rule.suspect} THEN {self._marks[rule.name]} ELSE 0 END" for rule in marked]
        doubts = [1 << bit for bit in range(len(marked), len(marked) + len(_DOUBTS))]
        marks += [
            f"CASE WHEN {condition} THEN {mark} ELSE 0 END"
            for (condition, _, _), mark in zip(_DOUBTS, doubts, strict=True)
        ]
        values = {name: value for rule in marked for name, value in rule.values(self.limits).items()}
        self.snapshot.run(sweep_store.marking(marks), values)
        counts = ", ".join(
            f"coalesce(sum(CASE WHEN marks & {mark} <> 0 THEN 1 ELSE 0 END), 0)" for mark in doubts
        )
        ((*self._doubts,),) = self.query(f"SELECT {counts} FROM suspect WHERE marks >= {doubts[0]}")

    def census(self) -> tuple[int, tuple[str, ...]]:
        """Return the number of live credentials, and reasons why the queries of rules may miss some of them.

        The reasons are rows that no ledger writes: they contradict themselves, or a row that they belong to is
        missing. Call it after `mark`.
        """
        if self._census is None:
            self._census = self._count()
        return self._census

    def _count(self) -> tuple[int, tuple[str, ...]]:
        ((live, off_task, untimed),) = self.query(sweep_store.LIVE_COUNTS)
        ((without_delegator,),) = self.query(sweep_store.WITHOUT_DELEGATOR)
        lost, torn, timeless = map(int, self._doubts)
        # Several queries may count the same row, so that the largest count is a minimum.
        counts = (max(lost, int(off_task), int(without_delegator)), torn, max(timeless, int(untimed)))
        return int(live), tuple(
            f"1 live credential {singular}" if count == 1 else f"{count} live credentials {plural}"
            for count, (_, singular, plural) in zip(counts, _DOUBTS, strict=True)
            if count
        )

    def suspects(self, rule: Rule, question: str) -> Iterator[Any]:
        """Yield the rows of a query about the suspects of a rule.

        The query finds them in the table `suspect` (`credential`, `identity`) where `suspect.marks & :mark <> 0`.
        """
        if rule.name not in self._marks:
            self.mark([rule])
        return self.query(question, **rule.values(self.limits), mark=self._marks[rule.name])

    def examine_use(self) -> bool:
        """Find the audiences that report use, and record that use is unknown for all others.

        The temporary table `reporting` then contains these audiences. Return whether any audience reports use.
        """
        if self._reported is None:
            self._reported = use_store.find(self.query, LIVE)
            self._use_unknown = (
                self._unreported()
                if self._reported
                else "whether credentials are used: no audience reports use"
            )
        if self._use_unknown is not None:
            self.not_known(self._use_unknown)
        return self._reported

    def load_targets(self) -> None:
        """Load the answers of targets into temporary tables (`store.load`), and record missing answers."""
        observed = self.observed
        if observed is None:
            self.missed("targets were not queried")
            observed = Observed()
        if not self._loaded:
            sweep_store.load(self.snapshot, observed)
            self._loaded = True
        for reason in observed.missed:
            self.missed(reason)
        if observed.seen:
            count = sum(len(seen_target.existing) for seen_target in observed.seen)
            where = number_of(len(observed.seen), "target")
            self.examined(f"{count:,} credentials that exist at {where}")
        unseen = [
            f"{seen_target.target}: {seen_target.unseen}"
            for seen_target in observed.seen
            if seen_target.unseen is not None
        ]
        if unseen:
            self.not_known("; ".join(unseen))

    def _unreported(self) -> str | None:
        ((live, reported),) = self.query(sweep_store.KNOWN_USE)
        if reported == live:
            return None
        return (
            f"whether {live - reported} of {live} live credentials are used: no use was reported for their audiences "
            "since their issue"
        )

    def examined(self, part: str) -> None:
        """Record the part that the rule has examined, if it differs from sweep to sweep."""
        self._examined = part

    def missed(self, reason: str) -> None:
        """Record a part that the rule could not examine, and why: the rule then never counts as clean."""
        self._missed.append(reason)

    def not_known(self, facts: str) -> None:
        """Record facts that the rule cannot know from the ledger: the rule does not count as clean then either."""
        self._unknown = facts

    def coverage(self, rule: Rule) -> Coverage:
        """Return the coverage that a rule has recorded, and reset it."""
        coverage = Coverage(rule.name, self._examined or rule.examines, tuple(self._missed), self._unknown)
        self._examined = self._unknown = None
        self._missed = []
        return coverage


MEASURED = 20_000
"""Maximum number of credentials, over all findings, for which remedies are measured: more would take too long.

If `pick` reads all live credentials, a rule is measured only with at most this number of live credentials.
"""


def sweep(
    context: RuleContext, rules: Sequence[Rule], limit: int | None = None
) -> Iterator[Finding | Coverage]:
    """Yield the findings of each rule, followed by its coverage.

    A rule that fails is reported as incomplete, and the other rules still run. A remedy that revokes more than `limit`
    credentials is measured with all descendants, as long as that is cheap.
    """
    context.mark(rules)
    alive, doubts = context.census()
    room = MEASURED
    for rule in rules:
        cheap = alive <= MEASURED or not rule.picks_among_all
        try:
            for finding in found(rule, context):
                if limit is not None and cheap and limit < finding.revokes <= room:
                    room -= finding.revokes
                    yield _measured(rule, context, finding)
                else:
                    yield finding
        except JitidError as error:
            context.missed(error.message)
        if rule.group is not RuleGroup.HEALTH:
            for doubt in doubts:
                context.missed(doubt)
        yield context.coverage(rule)


def found(rule: Rule, context: RuleContext) -> Generator[Finding, None, None]:
    """Yield the findings of a rule.

    Raises IntegrityError for a row that no ledger writes, and the errors of reading the ledger.
    """
    with reading_rows():
        yield from rule.find(context)


def ends(rule: Rule, context: RuleContext, finding: Finding) -> Selection | None:
    """Return the selection that `--fix` revokes for a finding; None if no revocation fixes it.

    Raises the same errors as `found`.
    """
    with reading_rows():
        return rule.ends(context, finding)


@contextmanager
def reading_rows() -> Iterator[None]:
    """Raise IntegrityError if a value has a type that no ledger writes."""
    try:
        yield
    except (TypeError, ValueError, AttributeError) as error:
        raise IntegrityError("a row of the ledger has an invalid value", "run: jitid audit verify") from error


def _measured(rule: Rule, context: RuleContext, finding: Finding) -> Finding:
    selection = ends(rule, context, finding)
    if selection is None or not any(selection):
        return finding
    return finding._replace(revokes=CredentialStore(context.snapshot).measure(selection).credentials)


def check_clock(clock: ClockReading) -> None:
    """Raise ClockError if the clock has jumped ahead.

    By such a clock all credentials would be expired, and a sweep would find none.
    """
    if clock.jump > 0:
        raise ClockError(
            f"{jumped(clock.jump)}; nothing was examined or changed",
            "correct the clock; if it is correct, repeat the command with --accept-clock",
        )
