"""Attach a further credential to an identity, of another kind or for another use, by a credential that it has."""

from __future__ import annotations

from jitid.capabilities.identity import recognise_token
from jitid.capabilities.identity.task_store import TaskStore
from jitid.capabilities.issue.add_credential import add_credential
from jitid.capabilities.issue.issuance import result_of
from jitid.capabilities.issue.issue_result import Issued
from jitid.capabilities.issue.renewal import plan
from jitid.keys.keyring import Keyring
from jitid.ledger.transaction import Transaction
from jitid.model.ledger_rows import Names
from jitid.model.request import AttachRequest
from jitid.operation.terms import Terms


def attach(
    transaction: Transaction, names: Names, request: AttachRequest, terms: Terms, keyring: Keyring
) -> Issued:
    """Record a further credential of the identity whose token is presented, and make it unless a target does.

    The current policy, task, parent and sensitivity floors apply. The new credential replaces no other one. It holds
    no more than the presented credential, expires no later, and ends with it and its successors.

    Raises:
        InvalidCredentialError: the token is not valid now, or its lineage has ended.
        PolicyDeniedError: it would not be issued now, or would hold more.
        UsageError: there is no such target or template.

    """
    verified = recognise_token.verify(transaction, names, request.token.reveal(), None)
    presented = verified.credential
    task = TaskStore(transaction).task_numbered(presented.task_key)
    assert task is not None
    planned = plan(transaction, names, verified, task, request, terms)
    attached, facts = add_credential(
        transaction, names, terms, keyring, presented, planned, source=presented.key
    )
    transaction.append("attach", {**planned.facts, **facts, "made_from": presented.jti})
    return result_of(
        planned,
        (attached,),
        kind=planned.kind,
        delegator_state=presented.delegator_state,
        parent=presented.parent,
    )
