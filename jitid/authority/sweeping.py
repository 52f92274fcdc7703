"""The operations of a sweep: what the rules see is put together here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from jitid import auditing
from jitid.audit import Head
from jitid.authority import operations as ops
from jitid.authority.looking import sign_head
from jitid.errors import IntegrityError, JitidError
from jitid.keyring import Keyring
from jitid.ledger.protocol import Ledger, Snapshot
from jitid.ledger.records import Names, SigningKey
from jitid.sweep import remedies
from jitid.sweep.finding import Coverage, Finding, Remedied, Swept, Unfixed
from jitid.sweep.limits import Limits
from jitid.sweep.rule import Rule, Sight
from jitid.sweep.rules import rule_of
from jitid.sweep.sweeping import check_clock, found, sweep

if TYPE_CHECKING:
    from jitid.request import Terms
    from jitid.sweep.canary import Canary


def perform(
    ledger: Ledger,
    keyring: Keyring,
    operation: ops.Sweep | ops.ForeseeFix | ops.Fix,
    terms: Callable[[], Terms],
) -> Iterator[Finding | Coverage | Swept] | remedies.Foreseen | Iterator[Remedied | Unfixed]:
    """Perform an operation of a sweep; `terms` are those on which something would be issued now."""
    rules = [rule_of(name) for name in operation.rules]
    match operation:
        case ops.Sweep():
            return _sweep(ledger, keyring, operation, rules, terms)
        case ops.ForeseeFix():
            with ledger.read() as snapshot:
                sight = _look(ledger, operation.limits, terms, snapshot, accept_clock=operation.accept_clock)
                foreseen = remedies.foresee(sight, rules, partial(_wanted, operation))
                # What is due to be recorded is dead, and counts for nothing.
                closing = tuple(rule.name for rule in rules if rule.closes)
                return foreseen._replace(rules=(*foreseen.rules, *closing))
        case ops.Fix():
            return _fix(ledger, operation, rules, terms)


def _sweep(
    ledger: Ledger,
    keyring: Keyring,
    operation: ops.Sweep,
    rules: Sequence[Rule],
    terms: Callable[[], Terms],
) -> Iterator[Finding | Coverage | Swept]:
    names = ledger.names
    with ledger.read() as snapshot:
        keys = snapshot.signing_keys()
        remembered = [(place, _believed(text, names, keys)) for place, text in operation.heads]
        sight = _look(
            ledger,
            operation.limits,
            terms,
            snapshot,
            accept_clock=operation.accept_clock,
            remembered=remembered,
            reread=operation.reread,
            canaries=operation.canaries,
        )
        yield from sweep(sight, rules, operation.most)
        head = unsigned = None
        if sight.verified is not None:
            try:
                head = sign_head(snapshot, names, keyring)
            except JitidError as error:
                unsigned = error.message
        yield Swept(sight.now, sight.census()[0], head, unsigned)


def _fix(
    ledger: Ledger, operation: ops.Fix, rules: Sequence[Rule], terms: Callable[[], Terms]
) -> Iterator[Remedied | Unfixed]:
    accept_clock = operation.accept_clock
    for rule in rules:
        if rule.closes:
            due: list[Finding] = []
            with ledger.read() as snapshot:
                sight = _look(ledger, operation.limits, terms, snapshot, accept_clock=accept_clock)
                # If it cannot be asked, the sweep that follows tells so.
                with suppress(IntegrityError):
                    due = [finding for finding in found(rule, sight) if _wanted(operation, finding)]
            for finding in due:
                yield from remedies.close_due(ledger, operation.sweep, finding, accept_clock=accept_clock)
    look = partial(_look, ledger, operation.limits, terms, accept_clock=accept_clock)
    yield from remedies.fix(
        ledger,
        look,
        rules,
        partial(_wanted, operation),
        operation.sweep,
        operation.most,
        accept_clock=accept_clock,
    )


def _wanted(operation: ops.ForeseeFix | ops.Fix, finding: Finding) -> bool:
    late = operation.since is None or finding.since is None or finding.since >= operation.since
    return late and (operation.known is None or finding not in operation.known)


def _believed(text: str, names: Names, keys: list[SigningKey]) -> Head | IntegrityError:
    try:
        return auditing.read_head(text, names, keys)
    except IntegrityError as error:
        return error


def _look(
    ledger: Ledger,
    limits: Limits,
    terms: Callable[[], Terms],
    snapshot: Snapshot,
    *,
    accept_clock: bool,
    remembered: Sequence[tuple[str, Head | IntegrityError]] = (),
    reread: bool = True,
    canaries: Sequence[Canary] = (),
) -> Sight:
    """Return what rules see. Raises ClockError for a clock that has jumped ahead."""
    clock = ledger.condition().clock()
    if not accept_clock:
        check_clock(clock)
    return Sight(
        snapshot, ledger.names, clock, limits, remembered, reread=reread, terms=terms, canaries=canaries
    )
