"""Performs the operation that records a client's names for an identity."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.capabilities.identity import recognise_token
from jitid.capabilities.session import operations as ops
from jitid.capabilities.session.store import SessionChanges

if TYPE_CHECKING:
    from jitid.model.client_session import ClientSession
    from jitid.operation.context import Context


def record_session(context: Context, operation: ops.RecordSession) -> ClientSession:
    """Record the session of the identity whose token is presented. Raises InvalidCredentialError."""
    with context.ledger.write() as transaction:
        verified = recognise_token.verify(transaction, transaction.names, operation.token.reveal(), None)
        credential, sessions = verified.credential, SessionChanges(transaction)
        if sessions.of(credential.identity_key) == operation.session:
            return operation.session
        event = transaction.append(
            "session",
            {
                "task": credential.task,
                "opener": credential.task_opener,
                "agent": credential.agent,
                "id": credential.id,
                "session": operation.session._asdict(),
            },
        )
        sessions.record(credential.identity_key, operation.session, event.seq)
        return operation.session
