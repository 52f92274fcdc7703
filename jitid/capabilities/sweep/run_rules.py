"""One sweep: the rules are asked one after another, and their findings are handed on as they come."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager

from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.sweep.finding import Coverage, Finding
from jitid.capabilities.sweep.rule import Rule, RuleGroup, Sight
from jitid.errors import ClockError, IntegrityError, JitidError
from jitid.ledger.sqlite.clock import jumped
from jitid.model.ledger_condition import ClockReading
from jitid.model.ledger_rows import Selection

MEASURED = 20_000
"""Of findings about so many credentials in all it is measured what their remedies end: more would take its time.

If all that lives has to be looked at for one of them, then of no more is it measured that lives.
"""


def sweep(sight: Sight, rules: Sequence[Rule], most: int | None = None) -> Iterator[Finding | Coverage]:
    """Yield what each rule finds, and after it what the rule has examined.

    A rule that cannot be asked has examined nothing; the others are asked all the same. Of remedies that end more
    than `most` it is measured how many, with what descends from them, as long as that is cheap.
    """
    sight.mark(rules)
    alive, doubts = sight.census()
    room = MEASURED
    for rule in rules:
        cheap = alive <= MEASURED or not rule.picks_among_all
        try:
            for finding in found(rule, sight):
                if most is not None and cheap and most < finding.revokes <= room:
                    room -= finding.revokes
                    yield _measured(rule, sight, finding)
                else:
                    yield finding
        except JitidError as error:
            sight.missed(error.message)
        if rule.group is not RuleGroup.HEALTH:
            for doubt in doubts:
                sight.missed(doubt)
        yield sight.told(rule)


def found(rule: Rule, sight: Sight) -> Generator[Finding, None, None]:
    """Yield what a rule finds. Raises IntegrityError for a row that no ledger writes, and what the ledger raises."""
    with reading_rows():
        yield from rule.find(sight)


def ends(rule: Rule, sight: Sight, finding: Finding) -> Selection | None:
    """Return what `--fix` revokes of a finding; none for what no revocation mends. Raises as `found` does."""
    with reading_rows():
        return rule.ends(sight, finding)


@contextmanager
def reading_rows() -> Iterator[None]:
    """Raise IntegrityError where what was read is of no type that a ledger writes."""
    try:
        yield
    except (TypeError, ValueError, AttributeError) as error:
        raise IntegrityError(
            "a row of the ledger holds what no ledger writes", "run: jitid audit verify"
        ) from error


def _measured(rule: Rule, sight: Sight, finding: Finding) -> Finding:
    selection = ends(rule, sight, finding)
    if selection is None or not any(selection):
        return finding
    return finding._replace(revokes=CredentialStore(sight.snapshot).measure(selection).credentials)


def check_clock(clock: ClockReading) -> None:
    """Raise ClockError if the clock has jumped ahead: by such a clock all would be dead, and nothing is found."""
    if clock.jump > 0:
        raise ClockError(
            f"{jumped(clock.jump)}; nothing was examined or changed",
            "set the clock right; if it is right, repeat the command with --accept-clock",
        )
