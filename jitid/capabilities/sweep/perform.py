"""Perform the operations of a sweep, and collect the input of its rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from jitid.capabilities.audit import audit_log
from jitid.capabilities.sweep import operations as ops
from jitid.capabilities.sweep import remedies
from jitid.capabilities.sweep.finding import Canary, Coverage, Finding, Remedied, Swept, Unfixed
from jitid.capabilities.sweep.rule import Rule, RuleContext, check_clock, found
from jitid.capabilities.sweep.rule import sweep as run_rules
from jitid.capabilities.sweep.rules import rule_of
from jitid.errors import ClockError, IntegrityError, JitidError
from jitid.ledger.signing_keys import KeyStore
from jitid.ledger.view import View
from jitid.model.event import Head
from jitid.model.ledger_rows import Names, SigningKey

if TYPE_CHECKING:
    from jitid.capabilities.sweep.store import Observed
    from jitid.operation.context import Context


def fly_canaries(context: Context, operation: ops.FlyCanaries) -> list[Canary]:
    """Make and end a canary of each kind."""
    from jitid.capabilities.sweep import canaries
    from jitid.capabilities.targets.perform import targets_of

    return list(canaries.fly(context, targets_of(context), operation.targets, operation.limit))


def foresee_fix(context: Context, operation: ops.ForeseeFix) -> remedies.ForeseenFix:
    """Return the credentials that a fix would end."""
    rules = _rules(operation)
    with context.ledger.read() as snapshot:
        rule_context = _rule_context(context, operation, snapshot)
        foreseen = remedies.foresee(rule_context, _ledger_rules(rules), partial(_is_selected, operation))
        # Credentials to be recorded as ended have expired, and those at targets are revoked: they do not count.
        closing = tuple(rule.name for rule in rules if rule.closes or rule.abroad)
        return foreseen._replace(rules=(*foreseen.rules, *closing))


def sweep(context: Context, operation: ops.Sweep) -> Iterator[Finding | Coverage | Swept]:
    """Yield the findings of the rules, and at last the examined amount."""
    rules = _rules(operation)
    unrecorded = _record_expiry(context, operation)
    # Query targets first: the ledger, which is read later, then has all credentials that they list.
    observed = _observed(context, operation, rules)
    with context.ledger.read() as snapshot:
        keys, names = KeyStore(snapshot).signing_keys(), snapshot.names
        rule_context = _rule_context(context, operation, snapshot, observed=observed)
        rule_context.remembered = [(path, _read_head(text, names, keys)) for path, text in operation.heads]
        rule_context.reread = operation.reread
        rule_context.canaries = operation.canaries
        rule_context.unrecorded = unrecorded
        yield from run_rules(rule_context, rules, operation.most)
        head = unsigned = None
        if rule_context.verified is not None:
            try:
                head = audit_log.signed_head(snapshot, names, audit_log.signer_of(snapshot, context.keyring))
            except JitidError as error:
                unsigned = error.message
        yield Swept(rule_context.now, rule_context.census()[0], head, unsigned, names.issuer)


def _record_expiry(context: Context, operation: ops.Sweep) -> str | None:
    """Record expired credentials, except in a dry run; return the reason if that failed, else None."""
    if operation.dry_run:
        return None
    clock = context.ledger.condition().clock()
    if not operation.accept_clock:
        check_clock(clock)
    try:
        if operation.accept_clock and clock.jump < 0:
            # Even if no credential is due: an error about the clock names this command.
            with context.ledger.write(accept_clock=True):
                pass
        remedies.record_expiry(context.ledger, clock.mark, accept_clock=operation.accept_clock)
    except ClockError:
        raise
    except JitidError as error:
        # A sealed or read-only ledger is examined nevertheless.
        return error.message.removesuffix("; nothing was changed")
    return None


def fix(context: Context, operation: ops.Fix) -> Iterator[Remedied | Unfixed]:
    """End credentials that the rules find, and yield the outcomes."""
    ledger, rules, accept_clock = context.ledger, _rules(operation), operation.accept_clock
    for rule in rules:
        if rule.closes:
            for finding in _selected(context, operation, rule):
                yield from remedies.close_due(ledger, operation.sweep, finding, accept_clock=accept_clock)
    yield from remedies.fix(
        ledger,
        partial(_rule_context, context, operation),
        _ledger_rules(rules),
        partial(_is_selected, operation),
        operation.sweep,
        operation.most,
        accept_clock=accept_clock,
    )
    yield from _mend(context, operation, [rule for rule in rules if rule.abroad])


def _rules(operation: ops.Sweep | ops.ForeseeFix | ops.Fix) -> list[Rule]:
    return [rule_of(name) for name in operation.rules]


def _ledger_rules(rules: Sequence[Rule]) -> list[Rule]:
    """Return the rules about the ledger, without those about targets."""
    return [rule for rule in rules if not rule.abroad]


def _observed(context: Context, operation: ops.Sweep | ops.Fix, rules: Sequence[Rule]) -> Observed | None:
    """Return the answers of targets; None if no rule needs them. Raises UsageError for an unknown target."""
    if not any(rule.abroad for rule in rules):
        return None
    from jitid.capabilities.sweep.fix_targets import observe
    from jitid.capabilities.targets.perform import targets_of

    return observe(context.ledger, targets_of(context), operation.targets, operation.target_timeout)


def _mend(context: Context, operation: ops.Fix, rules: Sequence[Rule]) -> Iterator[Remedied | Unfixed]:
    """Have targets end credentials that they should not accept, including credentials revoked just now."""
    from jitid.capabilities.sweep.fix_targets import mend
    from jitid.capabilities.targets.perform import targets_of

    clearing = [rule for rule in rules if rule.clears]
    observed = _observed(context, operation, clearing)
    for rule in clearing:
        wrong = _selected(context, operation, rule, observed)
        if wrong:
            limit = operation.target_timeout
            yield from mend(context.ledger, targets_of(context), rule, wrong, operation.sweep, limit)


def _selected(
    context: Context, operation: ops.Fix, rule: Rule, observed: Observed | None = None
) -> list[Finding]:
    """Return the findings of a rule that end; none if the rule fails, which the sweep that follows reports."""
    with context.ledger.read() as snapshot:
        rule_context = _rule_context(context, operation, snapshot, observed=observed)
        with suppress(IntegrityError):
            return [finding for finding in found(rule, rule_context) if _is_selected(operation, finding)]
    return []


def _is_selected(operation: ops.ForeseeFix | ops.Fix, finding: Finding) -> bool:
    if operation.finding is not None and finding.fingerprint != operation.finding:
        return False
    late = operation.since is None or finding.since is None or finding.since >= operation.since
    return late and (operation.known is None or finding not in operation.known)


def _read_head(text: str, names: Names, keys: list[SigningKey]) -> Head | IntegrityError:
    try:
        return audit_log.read_head(text, names, keys)
    except IntegrityError as error:
        return error


def _rule_context(
    context: Context,
    operation: ops.Sweep | ops.ForeseeFix | ops.Fix,
    snapshot: View,
    *,
    observed: Observed | None = None,
) -> RuleContext:
    """Return the input of the rules. Raises ClockError if the clock has jumped ahead."""
    ledger = context.ledger
    clock = ledger.condition().clock()
    if not operation.accept_clock:
        check_clock(clock)
    return RuleContext(
        snapshot, ledger.names, clock, operation.limits, terms=context.terms, observed=observed
    )
