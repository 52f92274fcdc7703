"""Run the rules of a sweep one after another, and yield their findings one by one."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager

from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.sweep.finding import Coverage, Finding
from jitid.capabilities.sweep.rule import Rule, RuleContext, RuleGroup
from jitid.errors import ClockError, IntegrityError, JitidError
from jitid.ledger.sqlite.clock import jumped
from jitid.model.ledger_condition import ClockReading
from jitid.model.ledger_rows import Selection

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
        raise IntegrityError(
            "a row of the ledger holds what no ledger writes", "run: jitid audit verify"
        ) from error


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
            "set the clock right; if it is right, repeat the command with --accept-clock",
        )
