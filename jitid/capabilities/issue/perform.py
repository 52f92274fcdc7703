"""Performs the operations that issue and attach credentials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.issue import provision
from jitid.capabilities.targets.perform import targets_of
from jitid.errors import InvalidCredentialError, JitidError, PolicyDeniedError
from jitid.ledger import policies
from jitid.ledger.retry import change
from jitid.ledger.transaction import Transaction
from jitid.model.credential import is_outside
from jitid.model.request import check_size

if TYPE_CHECKING:
    from jitid.capabilities.issue.issuance import Issued
    from jitid.operation.context import Inside


def made(inside: Inside, issued: Sequence[Issued]) -> list[Issued]:
    """Return what was recorded with the secrets that its targets have made. Raises as `provision` does."""
    return provision.provision(inside.ledger, targets_of(inside), issued)


def attach_to(inside: Inside, operation: issue_operations.Attach) -> Issued:
    """Attach a further credential to an identity. Raises as `attach` does; a denial is recorded."""
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
