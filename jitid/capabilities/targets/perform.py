"""Performs the operations on targets outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jitid.authority.prove import prove
from jitid.capabilities.issue import provision
from jitid.capabilities.issue.request import check_size
from jitid.capabilities.targets import operations as ops
from jitid.capabilities.targets import settle
from jitid.capabilities.targets.targets import Targets
from jitid.errors import InvalidCredentialError, JitidError, PolicyDeniedError
from jitid.ledger import policies
from jitid.ledger.retry import change
from jitid.ledger.transaction import Transaction
from jitid.model.credential import is_outside

if TYPE_CHECKING:
    from jitid.capabilities.issue.issuance import Issued
    from jitid.operation.base import TargetOperation
    from jitid.operation.context import Inside


def made(inside: Inside, issued: Sequence[Issued]) -> list[Issued]:
    """Return what was recorded with the secrets that its targets have made. Raises as `provision` does."""
    return provision.provision(inside.ledger, targets_of(inside), issued)


def perform(inside: Inside, operation: TargetOperation[Any]) -> object:
    """Perform an operation and return its answer."""
    match operation:
        case ops.Attach():
            return _attach(inside, operation)
        case ops.Settle(ids=ids, event=event, target=target, waiting=waiting, limit=limit):
            settled = settle.settle(
                inside.ledger,
                targets_of(inside),
                target=target,
                event=event,
                ids=ids,
                waiting=waiting,
                limit=limit,
            )
            if settled.done:
                # What leaked of it is dead only now. Where that cannot be recorded, the next end or sweep does it.
                prove(inside.ledger)
            return settled
        case ops.ExamineTargets():
            from jitid.capabilities.targets import visit

            return list(visit.visit(inside, targets_of(inside)))
        case ops.FlyCanaries(targets=chosen, limit=limit):
            from jitid.capabilities.sweep import canaries

            return list(canaries.fly(inside, targets_of(inside), chosen, limit))
        case _:
            raise TypeError(operation)


def _attach(inside: Inside, operation: ops.Attach) -> Issued:
    from jitid.capabilities.issue.attachment import attach

    check_size(operation.request)
    terms = inside.terms()

    def make(transaction: Transaction) -> Issued:
        return attach(transaction, transaction.names, operation.request, terms, inside.keyring)

    try:
        issued = change(inside.ledger, make, accept_clock=operation.accept_clock)
    except (PolicyDeniedError, InvalidCredentialError) as denial:
        _deny(inside, denial, accept_clock=operation.accept_clock)
        raise
    if not is_outside(issued.kind):
        return issued
    (whole,) = made(inside, [issued])
    return whole


def _deny(inside: Inside, denial: JitidError, *, accept_clock: bool) -> None:
    if isinstance(denial, PolicyDeniedError):
        # No other writer waits for the lock any more.
        denial.advise()
    facts: Mapping[str, Any] = (
        denial.facts
        if isinstance(denial, PolicyDeniedError)
        else {"attachment": True, "reason": denial.message}
    )

    def record(transaction: Transaction) -> None:
        if facts.get("policy") is not None:
            # Whoever asks why must find the rules that said so.
            policies.keep(transaction, facts["policy"], inside.terms().policy_text)
        transaction.append("denial", facts)

    change(inside.ledger, record, accept_clock=accept_clock, shared=True)


def targets_of(inside: Inside) -> Targets:
    """Return the targets of the configuration, perhaps none."""
    return Targets((), inside.ledger.names.issuer) if inside.targets is None else inside.targets()
