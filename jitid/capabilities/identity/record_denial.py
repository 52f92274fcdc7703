"""Recording of denials in the audit log, so that their reasons can be explained later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jitid.capabilities.identity.store import CredentialChanges
from jitid.errors import JitidError, PolicyDeniedError
from jitid.ledger import policies
from jitid.ledger.contract import change

if TYPE_CHECKING:
    from collections.abc import Callable

    from jitid.ledger.contract import Ledger
    from jitid.ledger.transaction import Transaction
    from jitid.operation.context import Terms


def record_denial(
    ledger: Ledger,
    terms: Callable[[], Terms],
    denial: JitidError,
    request_facts: Mapping[str, object],
    *,
    accept_clock: bool,
) -> None:
    """Record a denial: by a rule, or because a token is not valid.

    Args:
        ledger: the ledger of the audit log.
        terms: supplies the policy that decided.
        denial: the error; its hint is computed here, where no other writer waits for the lock.
        request_facts: the facts of a request whose token is not valid.
        accept_clock: like the argument of a write transaction.

    """
    if isinstance(denial, PolicyDeniedError):
        denial.advise()
    facts: Mapping[str, Any] = (
        denial.facts if isinstance(denial, PolicyDeniedError) else {**request_facts, "reason": denial.message}
    )
    reused = facts.get("rules") == ["renewed-twice"]

    def record(transaction: Transaction) -> None:
        if facts.get("policy") is not None:
            # The text of the policy is kept, so that the decision can be explained with its rules.
            policies.keep(transaction, facts["policy"], terms().policy_text)
        if reused:
            from jitid.values.ids import parse_id

            CredentialChanges(transaction).mark_reused(parse_id(facts["of"])[1])
        transaction.append("denial", facts)

    change(ledger, record, accept_clock=accept_clock, shared=not reused)
