"""One sweep: the rules are asked one after another, and their findings are handed on as they come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jitid.errors import IntegrityError, JitidError
from jitid.ledger.clock import jumped
from jitid.ledger.condition import ClockReading
from jitid.sweep.finding import Coverage, Finding
from jitid.sweep.rule import Group, Rule, Sight


def sweep(sight: Sight, rules: Sequence[Rule]) -> Iterator[Finding | Coverage]:
    """Yield what each rule finds, and after it what the rule has examined.

    A rule that cannot be asked has examined nothing; the others are asked all the same.
    """
    sight.mark(rules)
    _, lost = sight.census()
    for rule in rules:
        try:
            yield from found(rule, sight)
        except JitidError as error:
            sight.missed(error.message)
        if lost and rule.group is not Group.HEALTH:
            sight.missed(
                f"{lost} live credentials belong to an identity, agent, task or delegator that the ledger lacks"
            )
        examined, missed = sight.told(rule.examines)
        yield Coverage(rule.name, examined, missed)


def found(rule: Rule, sight: Sight) -> Iterator[Finding]:
    """Yield what a rule finds. Raises IntegrityError for a row that no ledger writes, and what the ledger raises."""
    try:
        yield from rule.find(sight)
    except (TypeError, ValueError, AttributeError) as error:
        raise IntegrityError(
            "a row of the ledger holds what no ledger writes", "run: jitid audit verify"
        ) from error


def check_clock(clock: ClockReading) -> None:
    """Raise IntegrityError if the clock has jumped ahead: by such a clock all would be dead, and nothing is found."""
    if clock.jump > 0:
        raise IntegrityError(
            f"{jumped(clock.jump)}; nothing was examined or changed",
            "set the clock right; if it is right, repeat the command with --accept-clock",
        )
